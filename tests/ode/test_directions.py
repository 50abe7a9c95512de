"""Tangents, adjoints and second derivatives are linear maps of directions of every size."""

from __future__ import annotations

import numpy as np
import pytest

import refode
from refode import fields, games
from refode._scaling import BOUND, restored, scaled
from refode.costs import losses
from refode.ode import evaluate

RNG = np.random.default_rng(5)
X, X_DOT, Z_BAR = RNG.standard_normal((3, 4, 2))
Y = np.array([0, 1, 1, 2])
ODE = refode.NeuralODE(fields.Shallow(2, 3), n_steps=2)
THETA = ODE.initial(3) + 0.1
THETA_DOT = RNG.standard_normal(ODE.n_parameters)
L_BAR = RNG.standard_normal(4)
POTENTIAL = fields.Potential(2, 3)
POT = RNG.standard_normal(POTENTIAL.n_weights)
POT_DOT = RNG.standard_normal(POTENTIAL.n_weights)
WEIGHTS = RNG.standard_normal(ODE.field.n_weights)
WEIGHTS_DOT = RNG.standard_normal(ODE.field.n_weights)
NORMAL = refode.densities.Gaussian([0.0, 0.0], 1.0)


def _with(problem, *data, name="hessian_vector"):
    theta = problem.initial(1) + 0.1
    v = np.random.default_rng(6).standard_normal(problem.n_parameters)
    return lambda f: getattr(problem, name)(theta, f * v, *data)


#: Each takes a factor of its direction.
MAPS = {
    "tangent": lambda f: ODE.tangent(THETA, X, f * THETA_DOT, f * X_DOT),
    "tangent in theta": lambda f: ODE.tangent(THETA, X, f * THETA_DOT, 0.0 * X_DOT),
    "adjoint": lambda f: ODE.adjoint(THETA, X, f * Z_BAR, times=True),
    "adjoint of a path": lambda f: ODE.adjoint(THETA, X, f * np.stack([Z_BAR, X, X_DOT])),
    "adjoint of log_det": lambda f: ODE.log_det_adjoint(THETA, X, f * Z_BAR, f * L_BAR),
    "supervised": _with(refode.Supervised(ODE, "softmax", 3, tikhonov=0.1), X, Y),
    "Gauss-Newton": _with(
        refode.Supervised(ODE, "softmax", 3, tikhonov=0.1), X, Y, name="gauss_newton_vector"
    ),
    "flow": _with(refode.ContinuousNormalizingFlow(ODE, 0.1), X),
    "game": _with(
        refode.MeanFieldGame(POTENTIAL, games.optimal_transport(NORMAL, NORMAL), hjb=1.0), X
    ),
    "loss": lambda f: losses.Softmax().hessian_vector(X, f * Z_BAR, [0, 1, 1, 0]),
    "field": lambda f: evaluate.tangent(ODE.field, WEIGHTS, X, f * WEIGHTS_DOT, f * X_DOT),
    "field's adjoint": lambda f: evaluate.adjoint(ODE.field, WEIGHTS, X, f * Z_BAR, f * L_BAR),
    "potential": lambda f: evaluate.potential_tangent(
        POTENTIAL, POT, X, f * POT_DOT, f * X_DOT, 0.5, f
    ),
    "potential's adjoint": lambda f: evaluate.potential_adjoint(
        POTENTIAL, POT, X, f * L_BAR, f * Z_BAR, f * L_BAR, f * L_BAR, 0.5
    ),
    "complex step": lambda f: refode.verify.complex_step(lambda x: (x**3).sum(), X, f * X_DOT),
}
#: Powers of two near 1e-300, 1e-160, 1e-100, 1e100, 1e150 and 1e290: products with them are exact.
FACTORS = [2.0**e for e in (-996, -531, -332, 332, 498, 963)]
over_maps = pytest.mark.parametrize("name", MAPS)


def listed(result):
    return result if isinstance(result, tuple) else (result,)


@over_maps
@pytest.mark.parametrize("factor", FACTORS)
def test_maps_are_linear_in_directions_of_every_size(name, factor):
    ordinary, other = listed(MAPS[name](1.0)), listed(MAPS[name](factor))
    for a, b in zip(ordinary, other, strict=True):
        np.testing.assert_allclose(np.divide(b, factor), a, rtol=1e-13, atol=1e-14)
        assert np.any(np.asarray(b) != 0.0) or not np.any(a)


@over_maps
def test_no_direction_gives_nothing(name):
    for part in listed(MAPS[name](0.0)):
        assert not np.any(part)


def test_ordinary_directions_stay_as_they_are():
    for size in (2.0**-299, 1e-80, 1.0, 1e80, 2.0**299):
        v = np.array([size, -0.5 * size, 0.0])
        exponent, (same, other) = scaled(v, X)
        assert exponent == 0
        assert same is v
        assert other is X
        assert restored(0, v) is v


@pytest.mark.parametrize("dtype", BOUND)
def test_others_come_to_size_one(dtype):
    for size in (5e-324, 1e-300, 1e300, np.finfo(float).max):
        v = np.array([0.25 * size, size])
        exponent, (small, nothing) = scaled(v, np.zeros(3), dtype=dtype)
        assert 0.5 <= small.max() < 1.0
        assert not nothing.any()
        np.testing.assert_array_equal(restored(exponent, small), v)


def test_products_beyond_float64_are_named():
    """The tangent of exp(5 t) along 1e308 does not fit."""
    ode = refode.NeuralODE(fields.Affine(1))
    theta = ode.pack({"A": np.full((1, 1, 1), 5.0), "c": np.zeros((1, 1))})
    x = np.ones((1, 1))
    with pytest.raises(ValueError, match=r"^x: got sample 0, whose path leaves the finite range"):
        ode.tangent(theta, x, 0.0 * theta, 1e308 * x)
    assert ode.adjoint(theta, x, 1e308 * x)[1] == np.inf


def test_taylor_remainders_along_directions_of_every_size():
    x, v = np.array([0.3, -0.7, 0.2]), np.array([1.0, 2.0, -1.0])
    reports = [
        refode.verify.taylor_test(lambda x: np.exp(x).sum(), np.exp, x, f * v)
        for f in (1.0, 2.0**600, 2.0**-600)
    ]
    assert all(report.passed for report in reports)
    assert len({str(report) for report in reports}) == 1
