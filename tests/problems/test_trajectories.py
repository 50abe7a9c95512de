"""Fitted trajectories against the plain formula, and their derivatives."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import tolerances as tol
import trajectory_oracle as plain
from contract import close

import refode
from refode import bases, fields
from refode.machine.threads import num_threads
from refode.verify import check_gradient

N, K, M = 3, 5, 2
C = np.array([[1.0, -0.5], [0.3, 2.0], [0.7, 0.1]])


def observations(kind, n=N, m=M, seed=0, span=(0.0, 1.0)):
    """Common times, each sample's own, or these with gaps; weights, and much that is missing."""
    rng = np.random.default_rng(seed)
    low, high = sorted(span)
    shape = (K,) if kind == "common" else (n, K)
    times = np.sort(rng.uniform(low, high, shape), axis=-1)
    values = rng.standard_normal((n, K, m))
    mask = rng.uniform(size=values.shape) < 0.7
    values[rng.uniform(size=values.shape) < 0.1] = np.nan
    weights = rng.uniform(0.5, 2.0, values.shape)
    if kind == "gaps":
        times[0, 3:] = times[1, 0] = times[2, 2:4] = np.nan
        mask[0, 3:] = mask[1, 0] = mask[2, 2:4] = False
    if kind == "common":
        middle = 0.5 * (low + high)  # a point of the grid
        times[np.argmin(np.abs(times - middle))] = middle
    if span[0] > span[1]:
        times, values = times[..., ::-1], values[:, ::-1]
        mask, weights = mask[:, ::-1], weights[:, ::-1]
    values[~mask] = 1e300  # of no matter
    return refode.Observations(times, values, mask, weights)


def states(problem, theta, x, y, times):
    ode = problem.ode
    field = oracle.shallow(time=ode.field.time)
    theta = theta[: ode.n_parameters]
    if problem.steps_between is not None:
        times = np.broadcast_to(times, (len(x), times.shape[-1]))
        return plain.own_steps(ode, field, theta, x, times, problem.steps_between)
    return (plain.at_stops if times.ndim == 1 else plain.within)(ode, field, theta, x, times)


def objective(problem, theta, x, y, times=None):
    """The plain formula, complex numbers and all."""
    named = oracle.unpack(theta, problem.layout.shapes)
    x = named.get("x0", x)
    z = states(problem, theta, x, y, y.times if times is None else times)
    matrix = named.get("W", problem.observed)
    outputs = z if matrix is None else z @ np.asarray(matrix).T + named.get("b", 0.0)
    value = plain.loss(outputs, y.values, y.weights)
    p = problem.ode.n_parameters
    coefficients = oracle.unpack(theta[:p], problem.ode.layout.shapes)
    stiffness = problem.ode.basis.stiffness().toarray()
    length = abs(problem.ode.t_span[1] - problem.ode.t_span[0])
    rough = oracle.smoothness(coefficients, stiffness / length)
    return value + problem.tikhonov * oracle.tikhonov(theta) + problem.smoothness * rough


def made(kind="own", *, scheme="dopri5", basis=None, span=(0.0, 1.0), time=True, **how):
    basis = bases.Legendre(3) if basis is None else basis
    ode = refode.NeuralODE(fields.Shallow(2, 3, time=time), scheme, 4, span, basis)
    problem = refode.TrajectoryFitting(ode, **how)
    y = observations(kind, m=problem.n_channels, span=span)
    rng = np.random.default_rng(1)
    theta = 0.7 * rng.standard_normal(problem.n_parameters)
    x = None if problem.n_samples else rng.standard_normal((N, 2))
    return problem, theta, x, y


CASES = {
    "common": {"kind": "common"},
    "common-rk4": {"kind": "common", "scheme": "rk4", "basis": bases.PiecewiseConstant(4)},
    "common-back": {"kind": "common", "scheme": "rk4", "span": (1.3, -0.2)},
    "own": {"kind": "own"},
    "own-cells": {"kind": "own", "scheme": "tsit5", "basis": bases.PiecewiseConstant(4)},
    "own-back": {"kind": "own", "scheme": "bogacki_shampine", "span": (1.3, -0.2)},
    "gaps": {"kind": "gaps", "tikhonov": 0.1, "smoothness": 0.2},
    "observed": {"kind": "own", "observed": C},
    "observed-common": {"kind": "common", "observed": C, "tikhonov": 0.1},
    "readout": {"kind": "gaps", "observed": C, "readout": True},
    "readout-common": {"kind": "common", "readout": True, "initial": "fitted", "n_samples": N},
    "fitted": {"kind": "own", "initial": "fitted", "n_samples": N, "tikhonov": 0.1},
    "steps": {"kind": "own", "steps_between": 2, "time": False, "basis": bases.Constant()},
    "steps-gaps": {
        "kind": "gaps",
        "steps_between": 3,
        "scheme": "rk4",
        "time": False,
        "basis": bases.Constant(),
        "observed": C,
    },
    "steps-common": {
        "kind": "common",
        "steps_between": 2,
        "time": False,
        "basis": bases.Constant(),
        "initial": "fitted",
        "n_samples": N,
        "readout": True,
    },
    "steps-back": {
        "kind": "own",
        "steps_between": 1,
        "time": False,
        "basis": bases.Constant(),
        "span": (1.3, -0.2),
    },
}
cases = pytest.mark.parametrize("case", CASES, ids=lambda name: f"ShallowSpec-{name}")


@pytest.mark.nojit
@cases
def test_value_and_gradient_are_the_oracles(case):
    problem, theta, x, y = made(**CASES[case])
    value, gradient = problem.value_and_gradient(theta, x, y)
    close(value, objective(problem, theta, x, y), tol.TRAJECTORIES)
    wanted = oracle.complex_gradient(lambda a: objective(problem, a, x, y), theta)
    close(gradient, wanted, tol.TRAJECTORIES)
    close(problem.value(theta, x, y), value, tol.TRAJECTORIES)


@pytest.mark.nojit
@cases
def test_gradients_in_states_and_times_are_the_oracles(case):
    problem, theta, x, y = made(**CASES[case])
    x_bar, times_bar = problem.gradients(theta, x, y)
    start = problem.unpack(theta)["x0"] if x is None else x
    layout, free = problem.layout, np.nan_to_num(y.times, nan=0.0)

    def by_times(times):
        return objective(problem, theta, x, y, np.where(np.isnan(y.times), np.nan, times))

    def by_start(z):
        if x is None:
            moved = theta.astype(complex)
            moved[layout.slices["x0"]] = z.ravel()
            return plain.loss(*outputs(problem, moved, None, y))
        return plain.loss(*outputs(problem, theta, z, y))

    close(x_bar, oracle.complex_gradient(by_start, start), tol.TRAJECTORIES)
    close(times_bar, oracle.complex_gradient(by_times, free), tol.TRAJECTORIES)


def outputs(problem, theta, x, y):
    named = oracle.unpack(theta, problem.layout.shapes)
    z = states(problem, theta, named.get("x0", x), y, y.times)
    matrix = named.get("W", problem.observed)
    return (
        z if matrix is None else z @ np.asarray(matrix).T + named.get("b", 0.0),
        y.values,
        y.weights,
    )


@pytest.mark.nojit
@cases
def test_second_derivatives(case):
    """Hessian products against differences; Gauss-Newton's against J^T w J by the oracle."""
    problem, theta, x, y = made(**CASES[case])
    v = np.random.default_rng(2).standard_normal(theta.shape)
    e = 1e-5
    up, down = (problem.value_and_gradient(theta + s * v, x, y)[1] for s in (e, -e))
    wanted = (up - down) / (2 * e)
    close(problem.hessian_vector(theta, v, x, y), wanted, tol.TRAJECTORIES_DIFFERENCES)
    J = oracle.complex_gradient(lambda a: outputs(problem, a, x, y)[0], theta)
    H = np.einsum("skcp,skc,skcq->pq", J, y.weights / y.total, J)
    p = problem.ode.n_parameters
    penalty = problem.tikhonov * v
    stiffness = problem.ode.basis.stiffness().toarray() * problem.smoothness
    stiffness = stiffness / abs(problem.ode.t_span[1] - problem.ode.t_span[0])
    for _name, place in problem.ode.layout.slices.items():
        rows = v[:p][place].reshape(len(stiffness), -1)
        penalty[place] += (stiffness @ rows).ravel()
    close(problem.gauss_newton_vector(theta, v, x, y), H @ v + penalty, tol.TRAJECTORIES)


@pytest.mark.parametrize("case", ["common", "own", "steps-gaps"])
def test_taylor(case):
    problem, theta, x, y = made(**CASES[case])
    report = check_gradient(
        lambda a: problem.value(a, x, y), lambda a: problem.value_and_gradient(a, x, y)[1], theta
    )
    assert report.passed, str(report)


@cases
def test_predictions_and_residuals(case):
    problem, theta, x, y = made(**CASES[case])
    residuals = problem.residuals(theta, x, y)
    np.testing.assert_array_equal(np.isnan(residuals), y.weights == 0.0)
    there = y.there
    squares = y.weights[there] @ residuals[there] ** 2
    close(squares / (2 * y.total), problem.costs(theta, x, y)["loss"], tol.TRAJECTORIES)
    if not np.isnan(y.times).any():
        predicted = problem.predict(theta, x, y.times)
        assert predicted.shape == y.values.shape
        np.testing.assert_array_equal((predicted - y.values)[there], residuals[there])


# --- the same numbers --------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["common", "own"])
def test_threads_change_no_bit(kind):
    how = CASES[kind]
    problem = made(**how)[0]
    theta = problem.initial(1)
    y = observations(kind, n=700)
    x = np.random.default_rng(3).standard_normal((700, 2))
    found = []
    for n in (1, 3):
        with num_threads(n):
            products = problem.hessian_vector(theta, theta, x, y)
            found.append((*problem.value_and_gradient(theta, x, y), products))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_missing_is_never_looked_at():
    """Whatever stands there, to the last bit; and a sample without any observation counts not."""
    problem, theta, x, y = made("own")
    weights = y.weights.copy()
    weights[1] = 0.0
    clean = refode.Observations(y.times, y.values, weights=weights)
    bits = problem.value_and_gradient(theta, x, clean)
    for junk in (np.nan, np.inf, 1e308):
        values = np.where(weights > 0.0, y.values, junk)
        there = weights > 0.0
        masked = refode.Observations(y.times, values, there, np.where(there, weights, junk))
        again = problem.value_and_gradient(theta, x, masked)
        assert again[0] == bits[0]
        np.testing.assert_array_equal(again[1], bits[1])
    alone = refode.Observations(y.times[[0, 2]], y.values[[0, 2]], weights=weights[[0, 2]])
    close(problem.value_and_gradient(theta, x[[0, 2]], alone)[1], bits[1], tol.TRAJECTORIES)


def test_a_frozen_grid_with_the_times_in_it_gives_the_same_bits():
    """Stops that are there already are no further ones."""
    problem, theta, x, y = made("common")
    grid = plain.stops(problem.ode, y.times)
    grid = np.append(grid, 1.0)
    frozen = refode.TrajectoryFitting(
        refode.NeuralODE(problem.ode.field, "dopri5", grid=grid, basis=problem.ode.basis)
    )
    one, two = (p.value_and_gradient(theta, x, y) for p in (problem, frozen))
    assert one[0] == two[0]
    np.testing.assert_array_equal(one[1], two[1])


def test_a_time_at_the_start_and_one_alone():
    problem, theta, x, _ = made("common")
    for times in ([0.0], [[0.0]] * N):
        y = refode.Observations(times, np.zeros((N, 1, 2)))
        value, gradient = problem.value_and_gradient(theta, x, y)
        assert value == pytest.approx(0.25 * np.mean(np.sum(x**2, axis=1)))
        assert not gradient.any()


# --- truths -------------------------------------------------------------------------------------
def linear(n_steps, t_span, d=2):
    """z' = A z, b = 0 at the start of the fit and, by the gradient, near it."""
    return refode.NeuralODE(fields.Affine(d), "rk4", n_steps, t_span)


def fitted(problem, x, y, theta):
    """To rounding, by Newton's method."""
    for _ in range(12):
        gradient = problem.value_and_gradient(theta, x, y)[1]
        p = len(theta)
        H = np.array([problem.hessian_vector(theta, e, x, y) for e in np.eye(p)])
        step = np.linalg.lstsq(H, gradient, rcond=1e-12)[0]
        theta = theta - step
        if np.abs(step).max() < 1e-14:
            break
    return theta


@pytest.mark.parametrize(
    ("h", "wanted"),
    [
        (0.5, -0.0896754437585430092 + 2.0146218428527329j),
        (0.25, -0.0998211707310274811 + 2.001055349474713j),
        (0.125, -0.100002737506765665 + 2.00006611125559608j),
    ],
)
def test_bias_of_a_fitted_oscillation(h, wanted):
    """One RK4 step between observations: the fit solves R(h a) = exp(h a*)."""
    a, t = -0.1 + 2.0j, h * np.arange(1, 9)
    z = np.exp(a * t)
    y = refode.Observations(t, np.stack([z.real, z.imag], axis=-1)[None])
    problem = refode.TrajectoryFitting(linear(8, (0.0, 8 * h)))
    A = np.array([[a.real, -a.imag], [a.imag, a.real]])
    theta = problem.pack({"A": A[None], "c": np.zeros((1, 2))})
    theta = fitted(problem, np.array([[1.0, 0.0]]), y, theta)
    A = problem.unpack(theta)["A"][0]
    close([A[0, 0], A[1, 0]], [wanted.real, wanted.imag], tol.TRAJECTORIES_FIT)
    assert problem.value(theta, np.array([[1.0, 0.0]]), y) < 1e-25


@pytest.mark.parametrize(
    ("h", "wanted"),
    [(0.5, -1.000795221031313), (0.25, -1.00004012462440262), (0.125, -1.00000225823749457)],
)
def test_bias_of_a_fitted_decay(h, wanted):
    t = h * np.arange(1, 7)
    y = refode.Observations(np.tile(t, (2, 1)), np.exp(-t)[None, :, None] * [[[1.0]], [[2.0]]])
    ode = refode.NeuralODE(fields.Affine(1), "rk4", 1, (0.0, 6 * h))
    problem = refode.TrajectoryFitting(ode, steps_between=1)
    x = np.array([[1.0], [2.0]])
    theta = fitted(problem, x, y, np.array([-1.0, 0.0]))
    close(problem.unpack(theta)["A"].item(), wanted, tol.TRAJECTORIES_FIT)


def test_a_decay_too_fast_for_the_steps():
    """Below R's least value, at h a = -1.59607..., no a fits: the optimum of one step is there."""
    y = refode.Observations([0.5], [[[np.exp(-1.5)]]])
    problem = refode.TrajectoryFitting(refode.NeuralODE(fields.Affine(1), "rk4", 1, (0.0, 0.5)))
    x, a = np.ones((1, 1)), -1.59607163798332152 / 0.5
    gradient = problem.value_and_gradient(np.array([a, 0.0]), x, y)[1]
    assert abs(gradient[0]) < 1e-15
    close(problem.predict(np.array([a, 0.0]), x, [0.5]).item(), 0.270394765205184608, 1e-14)
    assert problem.hessian_vector(np.array([a, 0.0]), np.array([1.0, 0.0]), x, y)[0] > 0.0


def test_variance_of_a_rate():
    """(J^T J)^-1 of a in z0 exp(a t): with z0 known, and with z0 fitted besides."""
    a, t = -0.7, np.linspace(0.2, 2.0, 10)
    ode = refode.NeuralODE(fields.Affine(1), "dopri5", 40, (0.0, 2.0))
    y = refode.Observations(t, np.exp(a * t)[None, :, None])
    for how, wanted in (
        ({}, 0.487001729313936789),
        ({"initial": "fitted", "n_samples": 1}, 1.48859229500718678),
    ):
        problem = refode.TrajectoryFitting(ode, **how)
        theta = np.array([a, 0.0, 1.0])[: problem.n_parameters]
        x = None if how else np.ones((1, 1))
        rows = [i for i in range(len(theta)) if i != 1]  # b = 0 is known
        H = [problem.gauss_newton_vector(theta, e, x, y)[rows] for e in np.eye(len(theta))[rows]]
        assert np.linalg.inv(np.array(H) * y.total)[0, 0] == pytest.approx(wanted, rel=1e-9)


def test_a_known_flow_at_irregular_times():
    """One neuron, exact at every time; own times by the interpolant, common ones by stops."""
    W, V, b, x = np.array([1.5, -0.7]), np.array([0.8, 1.1]), 0.3, np.array([0.4, -0.9])
    u0 = W @ x + b
    t = np.sort(np.random.default_rng(4).uniform(0.0, 1.0, 9))
    a = W @ V
    z = x + V * ((np.arcsinh(np.exp(a * t) * np.sinh(u0)) - u0) / a)[:, None]
    ode = refode.NeuralODE(fields.Shallow(2, 1), "dopri5", 16)
    named = {"W0": W[None, None], "b0": [[b]], "W1": V[None, :, None], "b1": np.zeros((1, 2))}
    theta = ode.pack({k: np.asarray(v, float) for k, v in named.items()})
    for times, how in ((t, {}), (t[None], {}), (t[None], {"steps_between": 4})):
        problem = refode.TrajectoryFitting(ode, **how)
        close(problem.predict(theta, x[None], times)[0], z, tol.TRAJECTORIES_FLOW)


# --- training -----------------------------------------------------------------------------------
@pytest.mark.parametrize("how", [{}, {"initial": "fitted", "n_samples": 20}])
def test_training_finds_the_field(how, tmp_path):
    rng = np.random.default_rng(5)
    A = np.array([[-0.2, -1.5], [1.5, -0.2]])
    x = rng.standard_normal((20, 2))
    t = np.sort(rng.uniform(0.1, 2.0, (20, 6)), axis=1)
    w, U = np.linalg.eig(A)
    z = np.einsum("ij,skj,jl,sl->ski", U, np.exp(w * t[..., None]), np.linalg.inv(U), x).real
    y = refode.Observations(t, z, rng.uniform(size=z.shape) < 0.8)
    ode = refode.NeuralODE(fields.Affine(2), "dopri5", 10, (0.0, 2.0))
    problem = refode.TrajectoryFitting(ode, **how)
    theta0 = problem.initial()
    if how:
        problem.unpack(theta0)["x0"][...] = z[:, 0]
    path = str(tmp_path / "run.npz")
    result = refode.train(
        problem, None if how else x, y, theta0=theta0, max_iter=300, progress=False, checkpoint=path
    )
    close(problem.unpack(result.x)["A"][0], A, tol.TRAJECTORIES_TRAINED)
    again = refode.train(
        problem,
        None if how else x,
        y,
        theta0=theta0,
        max_iter=300,
        progress=False,
        checkpoint=path,
        resume=True,
    )
    np.testing.assert_array_equal(again.x, result.x)
    other = refode.Observations(t, z)
    with pytest.raises(ValueError, match="y"):
        refode.train(
            problem,
            None if how else x,
            other,
            theta0=theta0,
            max_iter=300,
            progress=False,
            checkpoint=path,
            resume=True,
        )


def test_batches_and_held_out_samples():
    problem, theta, _, _ = made("own", basis=bases.Constant())
    y, x = observations("own", n=40), np.random.default_rng(6).standard_normal((40, 2))
    held_out = x[30:], y[30:]
    result = refode.train(
        problem, x[:30], y[:30], batch=10, max_iter=20, progress=False, validation=held_out
    )
    assert result.validation == pytest.approx(problem.costs(result.x, *held_out)["loss"])
