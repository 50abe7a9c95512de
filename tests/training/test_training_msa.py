"""Successive approximations: the Hamiltonian's gradient, exact layers, known contractions."""

from __future__ import annotations

import numpy as np
import pytest
from closed_form_checks import close
from tolerances import MSA_LINEAR, MSA_ROUNDING

import refode
from refode import bases, fields, training, verify
from refode.training.msa import _Sweeps, affine_layer, train_msa

RNG = np.random.default_rng(6)
X, Y = RNG.standard_normal((2, 12, 2))


def problem_of(field, n=4, loss="regression", tikhonov=0.05, **named):
    ode = refode.NeuralODE(field, "euler", n, (0.2, 1.4), bases.PiecewiseConstant(n))
    m = field.dim if loss == "regression" else 1
    return refode.Supervised(ode, loss, m, tikhonov=tikhonov, **named)


PROBLEMS = {
    "affine": problem_of(fields.Affine(2), readout=False),
    "shallow": problem_of(fields.Shallow(2, 3, time=True)),
    "parabolic": problem_of(fields.Parabolic(2, 3), loss="logistic"),
    "mlp": problem_of(fields.MLP(2, (3,)), readout=False, tikhonov=0.0),
}
over_problems = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)


def at(problem, seed=0):
    theta = 0.7 * np.random.default_rng(seed).standard_normal(problem.n_parameters)
    return theta, (Y[:, 0] > 0.0).astype(float) if problem.loss == "logistic" else Y


@over_problems
def test_the_gradient_is_that_of_the_hamiltonian(problem):
    """dJ/dtheta_n = -h dH/dtheta_n: the penalties' gradients vanish on the old path."""
    theta, y = at(problem)
    run = _Sweeps(problem, X, y, 2.0, 10)
    n = problem.ode.n_parameters
    right = problem.ode._coefficients(problem.value_and_gradient(theta, X, y)[1][:n])
    weights = problem.ode._coefficients(theta[:n])
    found = [run.hamiltonian(a, w)[1] for a, w in zip(run.layers(theta), weights, strict=True)]
    close(run.h * np.stack(found), right, MSA_ROUNDING)


@over_problems
def test_the_hamiltonians_gradient_off_the_path(problem):
    """With both penalties, the second of which has second derivatives of the field."""
    theta, y = at(problem)
    run = _Sweeps(problem, X, y, 2.0, 10)
    other = problem.ode._coefficients(at(problem, 1)[0][: problem.ode.n_parameters])
    for k in (0, 3):
        layer = run.layers(theta)[k]
        report = verify.check_gradient(
            lambda w, layer=layer: run.hamiltonian(layer, w)[0],
            lambda w, layer=layer: run.hamiltonian(layer, w)[1],
            other[k],
            n_directions=2,
        )
        assert report, str(report)


@pytest.mark.parametrize("tikhonov", [0.0, 0.05])
def test_affine_layers_are_maximised_exactly(tikhonov):
    problem = problem_of(fields.Affine(2), readout=False, tikhonov=tikhonov)
    theta, y = at(problem)
    run = _Sweeps(problem, X, y, 0.7, 10)
    weights = problem.ode._coefficients(theta)
    for layer, w in zip(run.layers(theta), weights, strict=True):
        best = affine_layer(run, layer, w)
        value, gradient = run.hamiltonian(layer, best)
        assert np.abs(gradient).max() < MSA_ROUNDING * 10.0
        assert value < run.hamiltonian(layer, w)[0]


@pytest.mark.parametrize(
    ("r", "rho", "factor"),
    [(2.0, 0.0, -0.5), (0.5, 0.0, -2.0), (0.5, 0.5, -0.5), (0.5, 1.0, 0.0), (0.5, 3.0, 4.0 / 7.0)],
)
def test_linear_quadratic_control_contracts_as_known(r, rho, factor):
    """x' = u, x(1)^2/2 + r/2 int u^2: x(1) goes to r/(1 + r) by (rho - 1)/(r + rho) a sweep."""
    field = fields.User(
        lambda theta, t, z: theta[0] + 0.0 * z,
        dim=1,
        n_parameters=1,
        vjp=lambda theta, t, z, w: (w.sum(axis=0), 0.0 * w),
    )
    n = 5
    ode = refode.NeuralODE(field, "euler", n, basis=bases.PiecewiseConstant(n))
    problem = refode.Supervised(ode, "regression", 1, readout=False, tikhonov=r / n)
    run = _Sweeps(problem, np.ones((1, 1)), np.zeros((1, 1)), rho, 10)
    theta, optimum, off = np.full(n, 0.3), r / (1.0 + r), []
    for _ in range(4):
        off.append(problem.ode.solve(theta, np.ones((1, 1))).item() - optimum)
        theta = run.swept(theta)
    for before, after in zip(off, off[1:], strict=False):
        assert after == pytest.approx(factor * before, abs=1e-8)


def test_the_extended_method_reaches_the_optimum_where_the_plain_one_diverges():
    problem = problem_of(fields.Affine(2), readout=False)
    theta = np.zeros(problem.n_parameters)
    best = refode.train(problem, X, Y, theta, progress=False, max_iter=500, tolerance=1e-9)
    found = train_msa(problem, X, Y, 2.0, theta0=theta, max_iter=400, progress=False)
    assert found.fun == pytest.approx(best.fun, rel=MSA_LINEAR)
    assert (np.diff(found.history["value"]) < 1e-12).all()
    plain = train_msa(
        problem_of(fields.Affine(2), readout=False, tikhonov=0.005), X, Y, 0.0,
        theta0=theta, max_iter=30, progress=False,
    )  # fmt: skip
    assert max(plain.history["value"]) > 10.0 * plain.history["value"][0]
    assert not plain.success


def test_tanh_layers_are_trained():
    problem = problem_of(fields.Shallow(2, 4), loss="logistic", tikhonov=1e-3)
    theta, y = at(problem)
    found = train_msa(problem, X, y, 1.0, theta0=theta, max_iter=20, progress=False)
    assert found.history["value"][-1] < 0.9 * found.history["value"][0]
    n = problem.ode.n_parameters
    np.testing.assert_array_equal(found.x[n:], theta[n:])  # the readout stays
    assert found.method == "e-msa"
    assert found.status == training.MAX_ITER
    assert found.history.dtype == training.HISTORY
    assert found.fun == problem.value_and_gradient(found.x, X, y)[0] == found.history["value"].min()


def test_progress_callback_and_tolerance(capsys):
    problem = PROBLEMS["affine"]
    seen = []
    found = train_msa(problem, X, Y, 2.0, max_iter=5, callback=lambda row: seen.append(row.fun))
    assert "iteration" in capsys.readouterr().err
    assert seen == found.history["value"][1:].tolist()
    stopped = train_msa(problem, X, Y, 2.0, progress=False, callback=lambda row: True)
    assert stopped.status == training.STOPPED
    assert stopped.nit == 1
    easy = train_msa(problem, X, Y, 2.0, progress=False, tolerance=1e3)
    assert easy.success
    assert easy.nit == 0


def test_bad_input_is_named():
    affine = PROBLEMS["affine"]
    for ode in (
        refode.NeuralODE(fields.Affine(2), "heun", 4, basis=bases.PiecewiseConstant(4)),
        refode.NeuralODE(fields.Affine(2), "euler", 8, basis=bases.PiecewiseConstant(4)),
    ):
        with pytest.raises(ValueError, match=r"^problem: got scheme=.* wanted 'euler'"):
            train_msa(refode.Supervised(ode, "regression", 2, readout=False), X, Y)
    back = refode.NeuralODE(fields.Affine(2), "euler", 4, (1.0, 0.0), bases.PiecewiseConstant(4))
    with pytest.raises(ValueError, match=r"^problem: got .* wanted equal steps forward"):
        train_msa(refode.Supervised(back, "regression", 2, readout=False), X, Y)
    with pytest.raises(ValueError, match=r"^problem: got smoothness=1\.0"):
        train_msa(problem_of(fields.Affine(2), readout=False, smoothness=1.0), X, Y)
    with pytest.raises(TypeError, match="^problem: got"):
        train_msa(affine.ode, X, Y)
    with pytest.raises(ValueError, match="^rho: got 0.0 for an affine"):
        train_msa(problem_of(fields.Affine(2), readout=False, tikhonov=0.0), X, Y, 0.0)
    for change, match in (
        ({"rho": -1.0}, "^rho: got -1.0"),
        ({"inner": 0}, "^inner: got 0"),
        ({"max_iter": -1}, "^max_iter: got -1"),
        ({"theta0": np.zeros(3)}, "^theta0: got an array of shape"),
        ({"x": X[:, :1]}, "^x: got an array of shape"),
    ):
        with pytest.raises(ValueError, match=match):
            train_msa(**({"problem": affine, "x": X, "y": Y, "progress": False} | change))
