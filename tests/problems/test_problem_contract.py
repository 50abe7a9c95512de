"""What a problem is: one contract for refode's own, for derived ones and for anybody's object."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import tolerances as tol
from training_problems import Regression, Valley, WithGame, X, Y, same_result

import refode
from refode.packing import Layout
from refode.problems.contract import Problem, SecondOrder, WithODE
from refode.problems.wrapped import Wrapped, problem_of

RNG = np.random.default_rng(0)
POINTS = RNG.standard_normal((6, 2))
LABELS = (POINTS[:, 0] > 0).astype(int)
ODE = refode.NeuralODE(
    refode.fields.Shallow(dim=2, width=3), n_steps=2, basis=refode.bases.PiecewiseConstant(2)
)
grouped = pytest.mark.parametrize("group", ["x"], ids=["ShallowSpec-problem-contract"])


class Decay(SecondOrder):
    """Mean of |y - a exp(-b x)|^2 / 2."""

    layout = Layout({"a": (), "b": ()})
    n_data = (2, 2)

    def initial(self, seed=0):
        return np.random.default_rng(seed).uniform(0.5, 1.5, 2)

    def _value_and_gradient(self, theta, x, y):
        a, b = theta
        e = np.exp(-b * x)
        r = a * e - y
        return 0.5 * (r * r).mean(), np.array([(r * e).mean(), -(r * a * x * e).mean()])


TIMES = np.linspace(0.0, 2.0, 9)
SEEN = 2.0 * np.exp(-0.7 * TIMES)


def games():
    normal = refode.densities.Gaussian([0.0, 0.0], 1.0)
    game = refode.games.optimal_transport(normal, normal)
    return refode.MeanFieldGame(refode.fields.Potential(dim=2, width=3), game, hjb=1.0)


# --- one place for what is shared --------------------------------------------------------------


def test_training_asks_no_problem_what_it_is():
    folder = Path(inspect.getfile(refode.training)).parent
    text = {file.name: file.read_text() for file in folder.glob("*.py")}
    assert len(text) >= 9
    found = [name for name, source in text.items() if re.search(r"\b(get|has)attr\(", source)]
    assert found == []


def test_the_complex_step_through_a_gradient_is_written_once():
    folder = Path(inspect.getfile(Problem)).parent
    found = [f.name for f in folder.glob("*.py") if "1j * step * v, *" in f.read_text()]
    assert found == ["contract.py"]
    for kind in (refode.Supervised, refode.ContinuousNormalizingFlow, refode.MeanFieldGame):
        assert issubclass(kind, WithODE)
        assert kind._parameters is Problem._parameters
        assert kind.n_parameters is Problem.n_parameters


def test_every_problem_has_costs_and_other_steps():
    theirs = (refode.Supervised(ODE), refode.ContinuousNormalizingFlow(ODE), games())
    for problem, data in zip(theirs, ((POINTS, LABELS), (POINTS,), (POINTS,)), strict=True):
        *names, last = inspect.signature(problem.costs).parameters.values()
        assert (last.name, last.kind) == ("sample_weight", last.KEYWORD_ONLY)
        names = [parameter.name for parameter in names]
        assert names[: 1 + len(data)] == ["theta", *"xy"[: len(data)]] or names == ["theta", "y"]
        finer = problem.with_steps(5)
        assert type(finer) is type(problem)
        assert finer.ode.n_steps == 5
        assert finer.with_steps(problem.ode.n_steps).fingerprint() == problem.fingerprint()
        assert problem.has_costs
        assert problem.has_hessian
        assert problem_of(problem) is problem
        assert problem.parametrisation == finer.parametrisation


@grouped
def test_terms_of_the_supervised_objective(group):
    settings = {"loss": "softmax", "n_outputs": 2, "tikhonov": 0.3, "smoothness": 0.2}
    problem = refode.Supervised(ODE, **settings)
    theta = problem.initial(1) + 0.1 * RNG.standard_normal(problem.n_parameters)
    terms = problem.costs(theta, POINTS, LABELS)
    assert list(terms) == ["loss", "tikhonov", "smoothness", "total"]
    plain = refode.Supervised(ODE, "softmax", 2)
    assert terms["loss"] == plain.value(theta, POINTS, LABELS)
    for name in ("tikhonov", "smoothness"):
        alone = refode.Supervised(ODE, "softmax", 2, **{name: settings[name]})
        assert plain.costs(theta, POINTS, LABELS)[name] == 0.0
        assert terms[name] > 0.0
        left = alone.value(theta, POINTS, LABELS) - terms["loss"]
        assert terms[name] == pytest.approx(left, rel=tol.SWEEP_STATE * 10, abs=1e-14)
    value = problem.value(theta, POINTS, LABELS)
    assert terms["total"] == pytest.approx(value, rel=tol.SWEEP_STATE)
    assert problem.shows_costs
    assert not plain.shows_costs
    again = problem.with_steps(7).with_steps(2)
    assert again.costs(theta, POINTS, LABELS) == terms


@grouped
@pytest.mark.parametrize("trace", ["exact", "rademacher"])
def test_terms_of_a_flow(group, trace):
    how = {"transport": 0.4, "tikhonov": 0.3, "smoothness": 0.2, "trace": trace, "noise_seed": 3}
    flow = refode.ContinuousNormalizingFlow(ODE, **how)
    theta = flow.initial(1) + 0.1 * RNG.standard_normal(flow.n_parameters)
    terms = flow.costs(theta, POINTS)
    assert list(terms) == ["likelihood", "transport", "tikhonov", "smoothness", "total"]
    assert min(terms.values()) > 0.0
    plain = refode.ContinuousNormalizingFlow(ODE, trace=trace, noise_seed=3)
    assert terms["likelihood"] == plain.value(theta, POINTS)
    assert terms["total"] == pytest.approx(flow.value(theta, POINTS), rel=tol.SWEEP_STATE)
    value = flow.value_and_gradient(theta, POINTS)[0]  # by another sweep
    assert terms["total"] == pytest.approx(value, rel=tol.SWEEP_STATE * 10)
    assert flow.shows_costs
    assert not plain.shows_costs
    assert flow.with_steps(7).with_steps(2).costs(theta, POINTS) == terms


@grouped
def test_the_history_has_the_terms_of_refode_s_own_problems(group, capfd):
    problem = refode.Supervised(ODE, tikhonov=0.1)
    for terms in (True, False):
        result = refode.train(problem, POINTS, LABELS, max_iter=2, terms=terms)
        lines = capfd.readouterr().err.splitlines()
        shown = next(line for line in lines if "compiling" not in line)
        assert "  loss 0." in shown
        assert "tikhonov 0." in shown
        if terms:
            assert result.history.dtype.names[-4:] == ("loss", "tikhonov", "smoothness", "total")
    refode.train(refode.Supervised(ODE), POINTS, LABELS, max_iter=2)
    assert "loss" not in capfd.readouterr().err


# --- derived problems --------------------------------------------------------------------------


def test_a_gradient_in_complex_numbers_is_all_that_products_need():
    problem, theta = Decay(), np.array([1.3, 0.4])
    v, h = np.array([0.6, -0.8]), 1e-6
    product = problem.hessian_vector(theta, v, TIMES, SEEN)
    up, down = (problem.value_and_gradient(theta + e * v, TIMES, SEEN)[1] for e in (h, -h))
    assert np.abs(product - (up - down) / (2 * h)).max() < 1e-8
    assert not problem.hessian_vector(theta, 0 * v, TIMES, SEEN).any()
    for method in ("lbfgs", "newton-cg", "trust-krylov"):
        found = refode.train(problem, TIMES, SEEN, method=method, progress=False)
        assert found.success
        assert np.abs(found.x - [2.0, 0.7]).max() < 1e-4
    assert problem.costs(theta, TIMES, SEEN) == {"total": problem.value(theta, TIMES, SEEN)}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, t: p.value_and_gradient(t[:1], TIMES, SEEN), "theta: got an array of shape"),
        (lambda p, t: p.hessian_vector(t, t[:1], TIMES, SEEN), "v: got an array of shape"),
        (lambda p, t: p.value(t, y=SEEN, x=TIMES), "y: got it by name, wanted the data by pos"),
        (lambda p, t: refode.train(p, TIMES), "y: got 1 arrays of data, x included, wanted 2 for"),
        (lambda p, t: refode.train(p, TIMES, SEEN, terms=True), "problem: got Decay without a me"),
        (
            lambda p, t: refode.train(refode.ContinuousNormalizingFlow(ODE), POINTS, LABELS),
            "y: got 2 arrays of data, x included, wanted 1 for ContinuousNormalizingFlow",
        ),
        (
            lambda p, t: refode.train_resampled(games(), lambda n, seed: (POINTS,) * 3),
            "sampler: returned data of the wrong kind, y: got 3 arrays of data, x included, "
            "wanted 1 to 2 for MeanFieldGame",
        ),
        (
            lambda p, t: refode.train_resampled(
                p, lambda n, seed: (TIMES, SEEN), validation_samples=TIMES
            ),
            "validation_samples: y: got 1 arrays of data, x included, wanted 2 for Decay",
        ),
        (lambda p, t: refode.train_resampled(p), "sampler: got None and Decay without game.init"),
    ],
)
def test_the_contract_s_door(call, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        call(Decay(), np.ones(2))


# --- anybody's objects -------------------------------------------------------------------------


def test_what_an_object_can_do_is_what_it_is_asked_for():
    wrapped = problem_of(Valley())
    assert (wrapped.has_gradient, wrapped.has_hessian, wrapped.has_costs) == (True, True, False)
    assert (wrapped.kind, repr(wrapped), wrapped.parametrisation) == ("Valley", "Valley()", 4)
    assert wrapped.fingerprint() == "training_problems.Valley: Valley()"
    assert wrapped.sampler is None
    assert Wrapped(WithGame()).sampler is not None
    assert wrapped.ode is None
    theta = wrapped.initial(2)
    assert wrapped.value(theta, X, Y) == Valley().value_and_gradient(theta, X, Y)[0]
    regression = Regression(bend=0.3)
    sample = regression.draw(5, 0)
    assert problem_of(regression).has_costs
    assert problem_of(regression).value(np.ones(12), sample) == regression.value(
        np.ones(12), sample
    )
    assert regression.count["test"] == 2
    nothing = Wrapped(object())
    assert (nothing.has_gradient, nothing.has_hessian, nothing.has_costs) == (False,) * 3
    assert nothing.parametrisation is None
    bare = Wrapped(ODE)
    assert bare.ode is ODE
    assert bare.parametrisation is ODE.layout


def test_wrapped_beforehand_or_at_the_door_is_the_same_training():
    for method in ("lbfgs", "newton-cg"):
        how = {"method": method, "progress": False, "seed": 3}
        wanted = refode.train(Valley(), X, Y, **how)
        assert same_result(refode.train(problem_of(Valley()), X, Y, **how), wanted)


def test_addresses_are_no_part_of_a_fingerprint():
    class Nameless(Decay):
        pass

    assert " at 0x" in repr(Nameless())
    assert Nameless().fingerprint() == Nameless().fingerprint()
    assert " at 0x" not in Nameless().fingerprint()
