"""Trajectories driven by inputs: a plain oracle, known solutions, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline

import refode

D, WIDTH, Q, N, KNOTS = 2, 3, 2, 3, np.array([0.0, 0.3, 0.7, 1.0])


def case(own=False, time=False):
    rng = np.random.default_rng(5)
    field = refode.fields.Shallow(D, WIDTH, time=time, inputs=Q)
    problem = refode.TrajectoryFitting(
        refode.NeuralODE(field, "bogacki_shampine", 4), rng.standard_normal((1, D)), tikhonov=0.1
    )
    times = np.sort(rng.uniform(0.1, 0.9, (N, 3)), axis=1) if own else np.array([0.3, 0.6, 1.0])
    values = rng.standard_normal((N, 3, 1))
    values[1, 1, 0] = np.nan
    inputs = KNOTS, rng.standard_normal((N, len(KNOTS), Q))
    y = refode.Observations(times, values, weights=2.5, inputs=inputs)
    theta = problem.initial(1) + 0.2 * rng.standard_normal(problem.n_parameters)
    return problem, theta, rng.standard_normal((N, D)), y


def parabola_slopes(u):
    """Derivatives at the knots of the parabola through the nearest three."""
    out = np.empty_like(u)
    for k in range(len(KNOTS)):
        three = np.clip(k, 1, len(KNOTS) - 2) + np.array([-1, 0, 1])
        for i in range(u.shape[1]):
            p = np.polynomial.Polynomial.fit(KNOTS[three], u[three, i], 2)
            out[k, i] = p.deriv()(KNOTS[k])
    return out


def plain(problem, theta, x, y):
    """The objective for common times, one sample at a time."""
    field, grid = problem.ode.field, np.array([0.0, 0.25, 0.3, 0.5, 0.6, 0.75, 1.0])
    w, at = {}, 0
    for name, shape in field.layout.shapes.items():
        w[name] = theta[at : at + np.prod(shape)].reshape(shape)
        at += np.prod(shape)
    total = 0.05 * np.sum(theta * theta)
    for s in range(N):
        u = CubicHermiteSpline(KNOTS, y.inputs[1][s], parabola_slopes(y.inputs[1][s]))

        def f(t, z, u=u):
            v = np.concatenate([z, u(t), [t] if field.time else []])
            return w["W1"] @ np.tanh(w["W0"] @ v + w["b0"]) + w["b1"]

        z = x[s].astype(theta.dtype)
        for t, h in zip(grid, np.diff(grid), strict=False):
            k1 = f(t, z)
            k2 = f(t + h / 2, z + h / 2 * k1)
            k3 = f(t + 3 * h / 4, z + 3 * h / 4 * k2)
            z = z + h * (2 * k1 + 3 * k2 + 4 * k3) / 9
            for k in np.flatnonzero(np.isclose(y.times, t + h)):
                if y.there[s, k, 0]:
                    r = (problem.observed @ z)[0] - y.values[s, k, 0]
                    total = total + y.weights[s, k, 0] * r * r / (2 * y.total)
    return total


@pytest.mark.nojit
@pytest.mark.parametrize("time", [False, True])
def test_value_and_gradient_are_the_plain_program_s(time):
    problem, theta, x, y = case(time=time)
    value, gradient = problem.value_and_gradient(theta, x, y)
    assert abs(value - plain(problem, theta, x, y)) <= 1e-14 * max(1.0, abs(value))
    assert problem.value(theta, x, y) == pytest.approx(value, rel=1e-14)
    for v in np.eye(len(theta)):
        assert abs(plain(problem, theta + 1e-30j * v, x, y).imag / 1e-30 - gradient @ v) <= 1e-13


@pytest.mark.nojit
@pytest.mark.parametrize("own", [False, True])
def test_products_and_slopes(own):
    problem, theta, x, y = case(own)
    rng = np.random.default_rng(2)
    v, u = rng.standard_normal((2, len(theta)))
    gradient = problem.value_and_gradient(theta, x, y)[1]
    h = 1e-4
    slope = (problem.value(theta + h * v, x, y) - problem.value(theta - h * v, x, y)) / (2 * h)
    assert slope == pytest.approx(gradient @ v, rel=1e-6)
    Hv, Hu = problem.hessian_vector(theta, v, x, y), problem.hessian_vector(theta, u, x, y)
    assert Hv @ u == pytest.approx(Hu @ v, rel=1e-11)
    ends = [problem.value_and_gradient(theta + s * h * v, x, y)[1] for s in (1, -1)]
    np.testing.assert_allclose((ends[0] - ends[1]) / (2 * h), Hv, rtol=0, atol=1e-6)
    Gv, Gu = (problem.gauss_newton_vector(theta, a, x, y) for a in (v, u))
    assert Gv @ u == pytest.approx(Gu @ v, rel=1e-11)


@pytest.mark.nojit
@pytest.mark.parametrize("own", [False, True])
def test_derivatives_by_states_and_times(own):
    problem, theta, x, y = case(own, time=True)
    x_bar, times_bar = problem.gradients(theta, x, y)
    assert x_bar.shape == x.shape
    h = 1e-5

    def moved(dx, dt):
        of = refode.Observations(y.times + dt, y.values, y.there, y.weights, y.inputs)
        return problem.value(theta, x + dx, of)

    one = np.zeros_like(x)
    one[2, 1] = h
    assert (moved(one, 0) - moved(-one, 0)) / (2 * h) == pytest.approx(x_bar[2, 1], abs=1e-8)
    one = np.zeros_like(y.times)
    one[(0, 1) if own else 1] = h
    slope = (moved(0, one) - moved(0, -one)) / (2 * h)
    assert slope == pytest.approx(times_bar[(0, 1) if own else 1], abs=1e-7)


@pytest.mark.nojit
def test_predictions_and_residuals_are_each_sample_s_own():
    problem, theta, x, y = case()
    z = problem.predict(theta, x, y.times, y.inputs)
    np.testing.assert_allclose(
        problem.residuals(theta, x, y), np.where(y.there, z - y.values, np.nan), atol=1e-14
    )
    back = slice(None, None, -1)
    turned = problem.predict(theta, x[back], y.times, (KNOTS, y.inputs[1][back]))
    np.testing.assert_allclose(turned[back], z, rtol=0, atol=1e-15)


@pytest.mark.nojit
def test_a_linear_equation_with_a_known_solution():
    """z' = a z + b u, u = 1 - t + t^3 (its own Hermite cubic but for the slopes at few knots)."""
    a, b, T, small = -0.8, 0.6, 1.0, 1e-4
    knots = np.linspace(0.0, T, 201)
    u = 1.0 - knots + knots**2  # a parabola: slopes through three points are exact
    field = refode.fields.Shallow(1, 1, inputs=1)
    problem = refode.TrajectoryFitting(refode.NeuralODE(field, "dopri5", 20))
    # tanh(s) = s - s^3/3: one unit of small inputs is linear to small^2
    theta = np.array([small * a, small * b, 0.0, 1.0 / small, 0.0])
    found = problem.predict(theta, np.array([[0.3]]), np.array([T]), (knots, u[None, :, None]))
    # the particular solution is p0 + p1 t + p2 t^2
    p2 = -b / a
    p1 = (2.0 * p2 + b) / a
    p0 = (p1 - b) / a
    exact = (0.3 - p0) * np.exp(a * T) + p0 + p1 * T + p2 * T * T
    assert abs(found[0, 0, 0] - exact) <= 1e-8


@pytest.mark.nojit
def test_what_is_refused():
    problem, theta, x, y = case()
    without = refode.Observations(y.times, y.values)
    with pytest.raises(ValueError, match="inputs=2 and no data"):
        problem.value(theta, x, without)
    with pytest.raises(ValueError, match="inputs=2 and no data"):
        problem.ode.solve(theta, x)
    with pytest.raises(ValueError, match="1 channels, wanted 2"):
        problem.predict(theta, x, y.times, (KNOTS, y.inputs[1][:, :, :1]))
    with pytest.raises(ValueError, match=r"from t=0.0 to 0.9, wanted them from 0.0 to 1.0"):
        problem.predict(theta, x, y.times, (0.9 * KNOTS, y.inputs[1]))
    trained = refode.TrajectoryFitting(problem.ode, problem.observed, readout=True)
    with pytest.raises(ValueError, match="inputs with readout=True"):
        trained.value(trained.initial(), x, y)
    plain_field = refode.TrajectoryFitting(refode.NeuralODE(refode.fields.Shallow(D, WIDTH)))
    with pytest.raises(ValueError, match="reads none"):
        plain_field.predict(plain_field.initial(), x, y.times, y.inputs)
