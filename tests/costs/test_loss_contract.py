"""What every loss owes: values, derivatives and Hessians, held against the oracle.

`loss_classes` finds refode's losses by itself and `EXAMPLES` says how to make them; a class
without an example is a failure. One loss of somebody's own goes through the same tests.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import oracle
import pytest
import tolerances as tol
from contract import close, same

import refode
from refode import bases, fields, verify
from refode.costs.contract import COST, Moment, observe
from refode.costs.losses import Logistic, Loss, Regression, Softmax, loss, one_by_one
from refode.costs.supervised import SupervisedCost
from refode.machine.parts import entry, link

D = 3
TINY = 1e-200


# --- a loss of somebody's own -----------------------------------------------------------------
class PoissonSpec(NamedTuple):
    """Counts (N, m), and what every loss is multiplied by."""

    counts: Any
    weight: float


class Poisson(Loss):
    """l = weight sum_i (e^{v_i} - y_i v_i), for counts y with means e^v."""

    def __init__(self, weight=1.0):
        self.weight = float(weight)

    def description(self, targets):
        return PoissonSpec(targets, self.weight)

    def targets(self, y, n, m):
        counts = super().targets(y, n, m)
        if (counts < 0).any():
            raise ValueError("y: got a negative count, wanted none")
        return counts


@loss.register(PoissonSpec)
def poisson_loss(about, V, first, m):
    value = V[0, 0] * 0
    for i in range(V.shape[0]):
        for s in range(m):
            y, mean = about.counts[first + s, i], np.exp(V[i, s])
            value += about.weight * (mean - y * V[i, s])
            V[i, s] = about.weight * (mean - y)
    return value


# --- examples ---------------------------------------------------------------------------------
@dataclass(frozen=True)
class Example:
    """A loss, its number of outputs, its targets' kind, and the oracle's formula for a sample."""

    loss: Any
    m: int
    kind: str
    formula: Callable[[Any, Any], Any]

    def targets(self, rng, n):
        if self.kind == "real":
            return rng.standard_normal((n, self.m))
        if self.kind == "counts":
            return rng.poisson(2.0, (n, self.m)).astype(float)
        return rng.integers(2 if self.kind == "binary" else self.m, size=n)

    def draw(self, n, salt=0):
        """Outputs (n, m), a direction, and targets."""
        rng = np.random.default_rng((self.m, n, salt))
        return *rng.standard_normal((2, n, self.m)), self.targets(rng, n)

    def problem(self):
        """A supervised problem with the loss, without a readout where the state can be v."""
        ode = refode.NeuralODE(fields.Shallow(D, 2), "heun", 2, basis=bases.PiecewiseLinear(2))
        return refode.Supervised(ode, self.loss, self.m, readout=self.m != D)


def named(name):
    return lambda v, y: oracle.sample_loss(name, v, y)


EXAMPLES: dict[type, list[Example]] = {
    Regression: [Example(Regression(), m, "real", named("regression")) for m in (1, 2, D)],
    Logistic: [Example(Logistic(), 1, "binary", named("logistic"))],
    Softmax: [Example(Softmax(), m, "classes", named("softmax")) for m in (2, D, 4)],
    Poisson: [
        Example(Poisson(w), m, "counts", lambda v, y, w=w: w * np.sum(np.exp(v) - y * v))
        for w, m in ((1.0, 1), (0.3, D))
    ],
}
over_all = pytest.mark.parametrize(
    "case",
    [e for some in EXAMPLES.values() for e in some],
    ids=[f"{cls.__name__}-{e.m}" for cls, some in EXAMPLES.items() for e in some],
)


def loss_classes(root: type = Loss) -> Iterator[type]:
    """Every loss of refode's, however deep it derives."""
    for cls in root.__subclasses__():
        if cls.__module__.startswith("refode."):
            yield cls
        yield from loss_classes(cls)


def test_every_loss_class_has_examples():
    costs = importlib.import_module("refode.costs")
    for module in pkgutil.iter_modules(costs.__path__):
        importlib.import_module(f"refode.costs.{module.name}")
    found = set(loss_classes())
    assert found >= {Regression, Logistic, Softmax}
    assert found <= set(EXAMPLES), f"no example of {found - set(EXAMPLES)}"


# --- the loss by itself -----------------------------------------------------------------------
@pytest.mark.nojit
@over_all
@pytest.mark.parametrize("n", [1, 7])
def test_values_and_derivatives_against_the_oracle(case, n):
    F, _, y = case.draw(n)
    close(
        case.loss.values(F, y),
        [case.formula(*both).real for both in zip(F, y, strict=True)],
        tol.FIELD_VALUE,
    )
    want = [
        oracle.complex_gradient(lambda v, y=t: case.formula(v, y), f)
        for f, t in zip(F, y, strict=True)
    ]
    close(case.loss.gradient(F, y), want, tol.FIELD_COMPLEX_STEP)


@pytest.mark.nojit
@over_all
def test_complex_step_of_the_value(case):
    """The kernel's own value, in complex numbers, has the derivative that it writes."""
    F, v, y = case.draw(5)
    about = case.loss.description(case.loss.targets(y, 5, case.m))
    values, _ = one_by_one(about, F + 1j * TINY * v)
    close(values.real, case.loss.values(F, y), tol.FIELD_VALUE)
    close(values.imag / TINY, (case.loss.gradient(F, y) * v).sum(axis=1), tol.FIELD_COMPLEX_STEP)


@over_all
def test_hessians(case):
    """Symmetric; what differences of the derivative give; each sample's own."""
    F, v, y = case.draw(4)
    of = case.loss
    report = verify.dot_test(
        lambda v: of.hessian_vector(F, v, y), lambda w: of.hessian_vector(F, w, y), F.shape, F.shape
    )
    assert report, report

    def central(h):
        return (of.gradient(F + h * v, y) - of.gradient(F - h * v, y)) / (2 * h)

    h, got = 1e-3, of.hessian_vector(F, v, y)
    close(got, (4 * central(h) - central(2 * h)) / 3, tol.PLAIN_PYTHON_RICHARDSON)
    close(of.hessian_vector(F, 1e30 * v, y), 1e30 * got, tol.FIELD_COMPLEX_STEP)
    assert not of.hessian_vector(F, 0.0 * v, y).any()
    v[1:] = 0.0
    assert not of.hessian_vector(F, v, y)[1:].any()


@over_all
def test_taylor_remainders(case):
    F, _, y = case.draw(3)
    report = verify.taylor_test(
        lambda f: float(case.loss.values(f.reshape(F.shape), y).sum()),
        lambda f: case.loss.gradient(f.reshape(F.shape), y).ravel(),
        F.ravel(),
    )
    assert report.passed, report
    assert report.kind1 == "power law"
    assert abs(report.slope1 - 2.0) <= tol.TAYLOR_SLOPE


# --- within a cost ----------------------------------------------------------------------------
@entry([COST, "i", "i", "M", "M", "v", "M"], "s")
def charged(cost, first, m, Y, L, cost_bar, scratch):
    """The cost of one block."""
    return observe(cost, Moment(0, True, 0.0 * Y[0, 0], first, m), Y, L, cost_bar, scratch)


@pytest.mark.nojit
@over_all
def test_a_block_has_its_own_samples_and_no_others(case):
    """Samples 2, 3, 4 in a block of five; what lies in the other columns is nobody's."""
    F, _, y = case.draw(6)
    of, m, first = case.loss, 3, 2
    cost = SupervisedCost(
        of.description(of.targets(y, 6, case.m)), np.zeros((0, case.m)), np.zeros(0), 0.7
    )
    Y = np.full((case.m, 5), np.nan)
    Y[:, :m] = F[first : first + m].T
    L = np.ones_like(Y)
    part = link(COST, cost, float, frozenset([(observe, 0)]))
    value = charged.of(float)(part, first, m, Y, L, np.zeros(0), np.zeros_like(Y))
    mine = slice(first, first + m)
    close(value, 0.7 * of.values(F, y)[mine].sum(), tol.FIELD_VALUE)
    close(L[:, :m], 1.0 + 0.7 * of.gradient(F, y)[mine].T, tol.FIELD_VALUE)
    same(L[:, m:], np.ones((case.m, 2)))


@over_all
@pytest.mark.parametrize("n", [1, None], ids=["one-sample", "blocks"])
def test_gradient_of_a_problem(case, n):
    """Against the complex step through the same sweep; the value by the oracle's loss."""
    problem = case.problem()
    n = n or 2 * problem.ode.field.block() + 5
    rng = np.random.default_rng(n)
    theta, v = 0.6 * rng.standard_normal((2, problem.n_parameters))
    x, y = rng.standard_normal((n, D)), case.targets(rng, n)
    value, gradient = problem.value_and_gradient(theta, x, y)
    losses = [case.formula(*both).real for both in zip(problem.predict(theta, x), y, strict=True)]
    close(value, np.mean(losses), tol.SUPERVISED_VALUE)
    close(problem.value(theta, x, y), np.mean(losses), tol.SUPERVISED_VALUE)
    targets = problem._targets(y, n)
    moved = problem._value_and_gradient(theta + 1j * TINY * v, x, targets)[0]
    close(moved.imag / TINY, gradient @ v, tol.SUPERVISED_GRADIENT)
    report = verify.check_gradient(
        lambda th: problem.value(th, x, y),
        lambda th: problem.value_and_gradient(th, x, y)[1],
        theta,
        n_directions=2,
        print_table=False,
    )
    assert report.passed, report


# --- objects and names ------------------------------------------------------------------------
def test_a_name_stands_for_its_object():
    ode = refode.NeuralODE(fields.Shallow(D, 2), "euler", 1)
    for made, m in ((Regression(), 2), (Logistic(), 1), (Softmax(), 2)):
        by_name, by_object = (refode.Supervised(ode, of, m) for of in (made.name, made))
        assert repr(by_name) == repr(by_object)
        assert f"loss={made.name!r}" in repr(by_name)
        assert by_object.loss == by_object.with_steps(3).loss == made.name
        assert repr(made) == f"{type(made).__name__}()"


def test_a_loss_of_ones_own_goes_where_a_name_goes():
    ode = refode.NeuralODE(fields.Shallow(D, 2), "euler", 1)
    problem = refode.Supervised(ode, Poisson(0.3), 2)
    assert problem.loss == "poisson"
    assert "loss=Poisson(weight=0.3)" in repr(problem.with_steps(2))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, D)), rng.poisson(2.0, (20, 2))
    result = refode.train(problem, x, y, max_iter=5, progress=False)
    assert result.fun < problem.value(problem.initial(), x, y)
    theta = result.x
    v = rng.standard_normal(theta.size)
    F, step = problem.predict(theta, x), 1e-5
    F_dot = (problem.predict(theta + step * v, x) - problem.predict(theta - step * v, x)) / 2e-5
    quadratic = (F_dot * problem._loss.hessian_vector(F, F_dot, y)).sum() / len(x)
    got = v @ problem.gauss_newton_vector(theta, v, x, y)
    assert abs(got - quadratic) <= tol.LOSS_GAUSS_NEWTON * quadratic
    with pytest.raises(ValueError, match="^y: got a negative count"):
        problem.value(theta, x, y - 10)
    with pytest.raises(ValueError, match="^loss: got 'poisson', wanted a classifier"):
        problem.predict_proba(theta, x)


@pytest.mark.nojit
def test_far_out():
    """Logits of 1e15 leave a loss of order one; a sure prediction's small loss stays."""
    got = Softmax().values([[1e15 + 1, 1e15]], [1])
    close(got, [np.log1p(np.e)], tol.FIELD_VALUE)
    close(Logistic().values([[60.0]], [1]), [np.exp(-60.0)], tol.FIELD_VALUE)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Regression().values([1.0], [1.0]), r"^outputs: got .*\(1,\)"),
        (lambda: Regression().values([[np.nan]], [1.0]), "^outputs: got"),
        (lambda: Regression().gradient([[1.0, 2.0]], [[1.0]]), r"^y: got .*wanted \(1, 2\)"),
        (
            lambda: Logistic().values([[1.0, 2.0]], [1]),
            "^n_outputs: got 2, wanted 1 for the logistic",
        ),
        (lambda: Logistic().values([[1.0]], [2]), "^y: got 2"),
        (lambda: Softmax().values([[1.0]], [0]), "^n_outputs: got 1, wanted at least 2"),
        (lambda: Softmax().values([[1.0, 2.0]], [2]), "^y: got 2"),
        (
            lambda: Softmax().hessian_vector([[1.0, 2.0]], [[1.0]], [1]),
            r"^v: got .*wanted \(1, 2\)",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
