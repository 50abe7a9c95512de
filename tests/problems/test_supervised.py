"""Supervised learning (5)-(8): objective, gradient, Hessians, predictions, transport (9)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracle
import pytest
import tolerances as tol
from contract import close, same
from supervised_cases import CASES, FIELDS, SCALAR, T_SPAN, SupervisedCase
from sweep_oracle import Twin

import refode
from refode import bases, verify
from refode.machine.compile import JIT

EVERY = CASES if JIT else [*CASES, SCALAR]
SHALLOW = [c for c in CASES if c.field != "hamiltonian"]  # their Hessians are compiled too


def over(cases):
    return pytest.mark.parametrize("case", cases, ids=str)


def blocks(problem, flat):
    """Name -> part of a flat vector."""
    return {name: flat[place] for name, place in problem.layout.slices.items()}


@pytest.mark.nojit
@over(EVERY)
def test_value_and_gradient(case):
    problem, (theta, x, y) = case.problem, case.draw()
    value, gradient = problem.value_and_gradient(theta, x, y)
    assert type(value) is float
    close(value, case.objective(theta, x, y).real, tol.SUPERVISED_VALUE)
    close(problem.value(theta, x, y), value, tol.SUPERVISED_VALUE)
    want = oracle.complex_gradient(lambda th: case.objective(th, x, y), theta)
    for name, block in blocks(problem, want).items():
        close(blocks(problem, gradient)[name], block, tol.SUPERVISED_GRADIENT)


@over(CASES)
def test_check_gradient(case):
    problem, (theta, x, y) = case.problem, case.draw()
    report = verify.check_gradient(
        lambda th: problem.value(th, x, y),
        lambda th: problem.value_and_gradient(th, x, y)[1],
        theta,
        blocks=dict(problem.layout.slices),
        n_directions=2,
        print_table=False,
    )
    assert report.passed, report


@over(CASES)
def test_every_sample_of_every_block_has_its_own_target(case):
    """A mean over more than two blocks is the mean of its parts' means, whatever the order."""
    case = replace(case, tikhonov=0.0, smoothness=0.0, n=2 * case.problem.ode.field.block() + 5)
    problem, (theta, x, y) = case.problem, case.draw()
    value, gradient = problem.value_and_gradient(theta, x, y)
    close(problem.value(theta, x, y), value, tol.SUPERVISED_VALUE)
    order = np.random.default_rng(3).permutation(case.n)
    total, slope = 0.0, np.zeros_like(theta)
    for part in np.array_split(order, 7):
        one, bar = problem.value_and_gradient(theta, x[part], y[part])
        total, slope = total + one * len(part) / case.n, slope + bar * len(part) / case.n
    close(total, value, tol.SUPERVISED_VALUE)
    close(slope, gradient, tol.SUPERVISED_GRADIENT)


@pytest.mark.parametrize("part", ["tikhonov", "smoothness"])
@over([c for c in CASES if c.tikhonov and c.smoothness])
def test_regularisers_alone(case, part):
    """The difference of two problems is the one penalty; also with t_span backwards."""
    theta, x, y = case.draw()
    options = {"tikhonov": case.tikhonov, "smoothness": case.smoothness}
    for span in (T_SPAN, T_SPAN[::-1]):
        ode = refode.NeuralODE(FIELDS[case.field][0], case.scheme, 3, span, case.basis)
        rest = {k: v for k, v in options.items() if k != part}
        both, one = (
            refode.Supervised(ode, case.loss, case.m, case.augment, case.readout, **o)
            for o in (options, rest)
        )
        got = both.value(theta, x, y) - one.value(theta, x, y)
        only = {part: options[part]}
        alone = SupervisedCase(case.field, case.loss, case.m, basis=case.basis, **only)
        want = alone.penalty(theta).real
        assert want > 0
        assert abs(got - want) <= tol.SUPERVISED_VALUE * both.value(theta, x, y)


@over(SHALLOW)
def test_hessian_vector(case):
    problem, (theta, x, y) = case.problem, case.draw()
    rng = np.random.default_rng(1)
    u, v = rng.standard_normal((2, theta.size))
    Hu, Hv = (problem.hessian_vector(theta, w, x, y) for w in (u, v))
    size = np.linalg.norm(u) * np.linalg.norm(Hv) + np.linalg.norm(v) * np.linalg.norm(Hu)
    assert abs(u @ Hv - v @ Hu) <= tol.SUPERVISED_GRADIENT * size

    def central(h):
        ends = [problem.value_and_gradient(theta + s * h * v, x, y)[1] for s in (1, -1)]
        return (ends[0] - ends[1]) / (2 * h)

    h = tol.SUPERVISED_STEP
    close(Hv, (4 * central(h) - central(2 * h)) / 3, tol.SUPERVISED_RICHARDSON)
    close(problem.hessian_vector(theta, 1e30 * v, x, y), 1e30 * Hv, tol.SUPERVISED_GRADIENT)
    close(problem.hessian_vector(theta, 1e-30 * v, x, y), 1e-30 * Hv, tol.SUPERVISED_GRADIENT)
    assert not problem.hessian_vector(theta, np.zeros_like(v), x, y).any()


@over([c for c in CASES if c.field == "small" and c.loss == "softmax" and c.readout])
def test_whole_hessian(case):
    """Column by column: symmetric, and third-order Taylor remainders."""
    problem, (theta, x, y) = case.problem, case.draw()
    H = np.array([problem.hessian_vector(theta, e, x, y) for e in np.eye(theta.size)])
    close(H, H.T, tol.SUPERVISED_GRADIENT)
    report = verify.check_gradient(
        lambda th: problem.value(th, x, y),
        lambda th: problem.value_and_gradient(th, x, y)[1],
        theta,
        hessian_vector=lambda th, v: problem.hessian_vector(th, v, x, y),
        n_directions=2,
        print_table=False,
    )
    assert report.passed, report


def output_hessian(loss, v):
    """Hessian of l(v, y) in v, (m, m); no y in it."""
    if loss == "regression":
        return np.eye(len(v))
    p = oracle.probabilities(loss, v)
    if loss == "logistic":
        return np.array([[p[0] * p[1]]])
    return np.diag(p) - np.outer(p, p)


@over(SHALLOW)
def test_gauss_newton(case):
    """J^T H_l J v with J from the oracle, column by column."""
    problem, (theta, x, y) = case.problem, case.draw()
    v = np.random.default_rng(2).standard_normal(theta.size)
    F = case.outputs(theta, x).real
    J = oracle.complex_gradient(lambda th: case.outputs(th, x), theta)  # (N, m, p)
    want = oracle.complex_gradient(case.penalty, v) if case.tikhonov or case.smoothness else 0.0
    for F_i, J_i in zip(F, J, strict=True):
        want = want + J_i.T @ (output_hessian(case.loss, F_i) @ (J_i @ v)) / len(x)
    got = problem.gauss_newton_vector(theta, v, x, y)
    for name, block in blocks(problem, want).items():
        close(blocks(problem, got)[name], block, tol.SUPERVISED_GRADIENT)
    if case.loss == "regression":  # without a residual it is the Hessian
        exact = problem.hessian_vector(theta, v, x, problem.predict(theta, x))
        close(got, exact, tol.SUPERVISED_GRADIENT)
    assert v @ got > 0
    assert not problem.gauss_newton_vector(theta, np.zeros_like(v), x, y).any()


@pytest.mark.nojit
@over(EVERY)
def test_predictions(case):
    problem, (theta, x, _) = case.problem, case.draw()
    F = case.outputs(theta, x).real
    close(problem.predict(theta, x), F, tol.SUPERVISED_VALUE)
    if case.loss == "regression":
        for method in (problem.predict_proba, problem.predict_label):
            with pytest.raises(ValueError, match="loss: got 'regression'"):
                method(theta, x)
        return
    P = np.array([oracle.probabilities(case.loss, v) for v in F])
    got = problem.predict_proba(theta, x)
    close(got, P, tol.SUPERVISED_VALUE)
    close(got.sum(axis=1), np.ones(len(x)), tol.SUPERVISED_VALUE)
    labels = problem.predict_label(theta, x)
    assert labels.dtype.kind == "i"
    assert labels.tolist() == P.argmax(axis=1).tolist()


@over([c for c in CASES if c.readout])
def test_losses_far_out(case):
    """Outputs of a thousand neither overflow nor lose the small loss of a sure prediction."""
    problem, (theta, x, y) = case.problem, case.draw()
    b = problem.unpack(theta)["b"]
    b += np.linspace(-1000.0, 1000.0, b.size) if b.size > 1 else 1000.0  # the last is the largest
    value, gradient = problem.value_and_gradient(theta, x, y)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    close(problem.value(theta, x, y), value, tol.SUPERVISED_VALUE)
    if case.loss != "regression":
        P = problem.predict_proba(theta, x)
        assert np.all((P >= 0) & (P <= 1))
    if case.loss == "logistic":  # softplus(-v) = e^-v where v is large, not 0
        sure = SupervisedCase(case.field, "logistic", n=1, augment=case.augment).problem
        flat = np.zeros(sure.n_parameters)
        sure.unpack(flat)["b"][...] = 60.0
        value, gradient = sure.value_and_gradient(flat, x[:1], np.array([1]))
        close(value, np.exp(-60.0), tol.SUPERVISED_VALUE)
        close(sure.unpack(gradient)["b"], [-np.exp(-60.0)], tol.SUPERVISED_VALUE)


# --- (9), the transport view ----------------------------------------------------------------


@over([c for c in CASES if c.field == "small"])
def test_transported(case):
    """u(., T) = W x + b; u((x, 0), t0) = F(x); in between the oracle's characteristic."""
    problem, (theta, x, _) = case.problem, case.draw()
    padded = np.array([oracle.pad(row, case.augment) for row in x])
    t0, T = T_SPAN
    same(problem.transported(theta, padded, t0), problem.predict(theta, x))
    named = problem.unpack(theta)
    readout = (named["W"], named["b"]) if case.readout else (None, None)
    want = [oracle.readout(row, *readout) for row in padded]
    close(problem.transported(theta, padded, T), want, tol.SUPERVISED_VALUE)
    twin = Twin(problem.ode, FIELDS["small"][1])
    ends = twin.states(theta[: problem.ode.n_parameters], padded, 0.4, T)[-1].real
    want = [oracle.readout(row, *readout) for row in ends]
    close(problem.transported(theta, padded, 0.4), want, tol.SUPERVISED_VALUE)
    for t in (t0 - 0.1, T + 0.1, np.nan):
        with pytest.raises(ValueError, match=r"^t: got "):
            problem.transported(theta, padded, t)


@over([CASES[4]])
def test_transported_is_constant_along_characteristics(case):
    """Eq. (9) but for the scheme's error, which falls at its order."""
    errors, steps = [], [32, 64, 128, 256]
    theta, x, _ = case.draw()
    for n in steps:
        ode = refode.NeuralODE(FIELDS["small"][0], "rk4", n, T_SPAN, case.basis)
        problem = refode.Supervised(ode, case.loss, case.m)
        u0 = problem.transported(theta, x, T_SPAN[0])
        z = ode.solve(theta[: ode.n_parameters], x, t_span=(T_SPAN[0], 0.5))
        errors.append(np.abs(problem.transported(theta, z, 0.5) - u0).max())
        assert np.abs(z - x).max() > tol.SWEEP_INVARIANT_CLEAR
    report = verify.observed_order(
        errors, 1.0 / np.array(steps), expected=4, tolerance=tol.OBSERVED_ORDER
    )
    assert report, report


@over([CASES[0]])
def test_backward_in_time(case):
    """The ode's own t_span may run backwards; transported then runs to its end too."""
    ode = refode.NeuralODE(FIELDS["small"][0], "rk4", 4, (1.0, 0.0), bases.PiecewiseLinear(2))
    problem = refode.Supervised(ode, "regression", 2)
    rng = np.random.default_rng(0)
    theta, x = rng.standard_normal(problem.n_parameters), rng.standard_normal((3, 2))
    same(problem.transported(theta, x, 1.0), problem.predict(theta, x))
    z, named = problem.features(theta, x), problem.unpack(theta)
    same(z, ode.solve(theta[: ode.n_parameters], x))
    close(problem.predict(theta, x), z @ named["W"].T + named["b"], tol.SUPERVISED_VALUE)


def test_value_over_more_blocks_than_chunks():
    """The gradient's sweep adds its chunks' blocks up; ``value`` takes the mean of predictions."""
    problem = refode.Supervised(refode.NeuralODE(FIELDS["small"][0], "euler", 1), "regression", 1)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5000, problem.ode.dim)), rng.standard_normal(5000)
    theta = rng.standard_normal(problem.n_parameters)
    value, gradient = problem.value_and_gradient(theta, x, y)
    close(value, problem.value(theta, x, y), tol.SUPERVISED_VALUE)
    parts = [
        problem.value_and_gradient(theta, a, b)[1]
        for a, b in zip(np.split(x, 50), np.split(y, 50), strict=True)
    ]
    close(gradient, np.mean(parts, axis=0), tol.SUPERVISED_VALUE)
