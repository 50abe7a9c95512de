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


WAYS = {
    "given": {},
    "readout": {"readout": True},
    "fitted": {"initial": "fitted", "n_samples": N},
    "shooting": {"shooting": [0.5], "n_samples": N},
    "all": {"readout": True, "initial": "fitted", "shooting": [0.4], "n_samples": N},
}


def pair(scheme, own=False, **how):
    """A field that reads t, and one whose input is t: the same numbers by the same theta."""
    rng = np.random.default_rng(8)
    problems = [
        refode.TrajectoryFitting(
            refode.NeuralODE(field, scheme, 5),
            [[1.0, 0.5], [0.2, -1.0]],
            tikhonov=0.3,
            **how,
        )
        for field in (
            refode.fields.Shallow(D, WIDTH, time=True),
            refode.fields.Shallow(D, WIDTH, inputs=1),
        )
    ]
    times = np.sort(rng.uniform(0.1, 1.0, (N, 4)), axis=1) if own else [0.2, 0.35, 0.6, 0.9]
    values = rng.standard_normal((N, 4, 2))
    values[0, 2] = np.nan
    u = np.repeat(KNOTS[None, :, None], N, axis=0)
    seen = [refode.Observations(times, values, inputs=i) for i in (None, (KNOTS, u))]
    x = None if how.get("initial") == "fitted" else rng.standard_normal((N, D))
    theta = problems[0].initial(3)
    theta += 0.3 * rng.standard_normal(len(theta))
    return problems, theta, x, seen, (KNOTS, u)


@pytest.mark.nojit
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_the_input_t_is_the_field_that_reads_t(way, own):
    problems, theta, x, seen, inputs = pair("dopri5", own, **WAYS[way])
    v = np.random.default_rng(1).standard_normal(len(theta))
    times = np.array([0.1, 0.25, 0.7])

    def results(problem, y, *inputs):
        yield problem.value(theta, x, y)
        yield problem.value_and_gradient(theta, x, y)[1]
        yield problem.hessian_vector(theta, v, x, y)
        yield np.nan_to_num(problem.residuals(theta, x, y))
        yield problem.predict(theta, x, times, *inputs)
        if "shooting" not in WAYS[way]:
            yield problem.gauss_newton_vector(theta, v, x, y)
            yield from problem.gradients(theta, x, y)
        else:
            yield problem.gaps(theta, x, y)
            raised = problem.raised(theta, x, y)
            yield raised.value_and_gradient(theta, x, y)[1]
            yield raised.hessian_vector(theta, v, x, y)

    found = zip(results(problems[0], seen[0]), results(problems[1], seen[1], inputs), strict=True)
    for of_time, of_inputs in found:
        assert np.abs(of_time).max() > 0.0
        np.testing.assert_allclose(of_inputs, of_time, rtol=0, atol=1e-12)


@pytest.mark.nojit
@pytest.mark.parametrize("time", [False, True])
def test_a_perceptron_of_one_layer_is_a_shallow_network(time):
    problem, theta, x, y = case(time=time)
    field = refode.fields.MLP(D, (WIDTH,), time=time, inputs=Q)
    assert field.layout.shapes == problem.ode.field.layout.shapes
    ode = refode.NeuralODE(field, "bogacki_shampine", 4)
    other = refode.TrajectoryFitting(ode, problem.observed, tikhonov=0.1)
    (a, a_bar), (b, b_bar) = (p.value_and_gradient(theta, x, y) for p in (problem, other))
    assert b == pytest.approx(a, rel=1e-13)
    np.testing.assert_allclose(b_bar, a_bar, rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match="no data for its inputs"):
        ode.solve(theta, x)
    implicit = [
        refode.TrajectoryFitting(refode.NeuralODE(f, "sdirk2", 4), problem.observed)
        for f in (problem.ode.field, field)
    ]
    (a, a_bar), (b, b_bar) = (p.value_and_gradient(theta, x, y) for p in implicit)
    assert b == pytest.approx(a, rel=1e-10)
    np.testing.assert_allclose(b_bar, a_bar, rtol=0, atol=1e-9)


@pytest.mark.parametrize("made", [refode.fields.Shallow, refode.fields.MLP])
def test_other_outputs_are_no_slope(made):
    width = 4 if made is refode.fields.Shallow else (4,)
    same, other = made(2, width, outputs=2), made(2, width, inputs=1, outputs=6)
    assert repr(same) == repr(made(2, width))
    assert same.description()._asdict().keys() == made(2, width).description()._asdict().keys()
    assert "inputs=1, outputs=6" in repr(other)
    with pytest.raises(ValueError, match=r"field: got .*outputs=6.*, wanted as many .* as dim=2"):
        refode.NeuralODE(other)
    for inputs, outputs, said in ((-1, None, "inputs: got -1"), (0, 0, "outputs: got 0")):
        with pytest.raises(ValueError, match=said):
            made(2, width, inputs=inputs, outputs=outputs)
    with pytest.raises(TypeError, match="outputs: got 2.0"):
        made(2, width, outputs=2.0)


@pytest.mark.nojit
@pytest.mark.parametrize("t_span", [(-0.5, 4.0), (3.0, -0.5)])
def test_long_and_falling_times(t_span):
    """Numbers of samples stay what they are, and each sample has its own inputs."""
    rng = np.random.default_rng(6)
    field = refode.fields.Shallow(D, WIDTH, inputs=1)
    problem = refode.TrajectoryFitting(refode.NeuralODE(field, "rk4", 12, t_span))
    timed = refode.fields.Shallow(D, WIDTH, time=True)
    known = refode.TrajectoryFitting(refode.NeuralODE(timed, "rk4", 12, t_span))
    theta, x = problem.initial(4), rng.standard_normal((N, D))
    knots, size = np.array([-1.0, 0.0, 2.5, 5.0]), np.arange(1.0, N + 1.0)[:, None, None]
    times = np.linspace(*t_span, 7)[1:]
    found = problem.predict(theta, x, times, (knots, size * knots[:, None]))
    column = np.s_[:, :, -1]
    for i in range(N):  # u = (i + 1) t is the time's column, i + 1 times as large
        blocks = {name: w.copy() for name, w in known.unpack(theta).items()}
        blocks["W0"][column] *= i + 1.0
        wanted = known.predict(known.pack(blocks), x[i : i + 1], times)
        np.testing.assert_allclose(found[i : i + 1], wanted, rtol=0, atol=1e-12)


@pytest.mark.nojit
def test_error_bars_of_the_input_t():
    problems, theta, x, seen, inputs = pair("rk4")
    theta = refode.train(problems[0], x, seen[0], theta, tolerance=1e-9, progress=False).x
    more = [(), (inputs,)]
    dot = np.random.default_rng(4).standard_normal(x.shape)
    for curvature in ("hessian", "gauss_newton"):
        bars = [
            problem.laplace(theta, x, y, curvature=curvature)
            for problem, y in zip(problems, seen, strict=True)
        ]
        np.testing.assert_allclose(bars[1].covariance, bars[0].covariance, rtol=0, atol=1e-9)
        said = [b.predictive(x, np.array([0.3, 0.8]), *m) for b, m in zip(bars, more, strict=True)]
        for one, other in zip(*said, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)
    moves = [
        problem.sensitivity(theta, x, y, x_dot=dot)
        for problem, y in zip(problems, seen, strict=True)
    ]
    np.testing.assert_allclose(moves[1], moves[0], rtol=1e-8)
    left = [problem.leave_one_out(theta, x, y) for problem, y in zip(problems, seen, strict=True)]
    np.testing.assert_allclose(left[1].predictions, left[0].predictions, rtol=0, atol=1e-9)
    with pytest.raises(TypeError, match="got 3 arguments after x"):
        bars[1].predictive(x, [0.3], inputs, None)


@pytest.mark.nojit
@pytest.mark.parametrize("scheme", ["implicit_midpoint", "sdirk3", "gauss2", "ros2"])
def test_implicit_schemes_take_inputs(scheme):
    problems, theta, x, seen, _ = pair(scheme)
    values = [
        problem.value_and_gradient(theta, x, y) for problem, y in zip(problems, seen, strict=True)
    ]
    assert values[1][0] == pytest.approx(values[0][0], rel=1e-10)
    np.testing.assert_allclose(values[1][1], values[0][1], rtol=0, atol=1e-9)
    found = [problem.gradients(theta, x, y)[1] for problem, y in zip(problems, seen, strict=True)]
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-9)


@pytest.mark.nojit
def test_stages_that_nobody_finds_are_an_error():
    """Newton's iteration leaves NaN in all rows, the sample's number's among them."""
    problems, theta, x, seen, _ = pair("gauss2")
    theta = 1e3 * theta
    theta[0] = 1e308
    with pytest.raises(ValueError, match="did not converge|finite range"):
        problems[1].predict(theta, x, [0.3], seen[1].inputs)


def order_of(errors):
    return np.log2(np.array(errors)[:-1] / np.array(errors)[1:])


@pytest.mark.nojit
def test_orders():
    """u = sin 5t, all slopes through three points: u's error is of order 3, at fixed knots h^p."""
    field = refode.fields.Shallow(D, WIDTH, inputs=1)
    theta = refode.NeuralODE(field).initial(2) * 2.0
    x = np.array([[0.4, -0.3]])

    def ends(n_knots, scheme, n_steps, grid=None):
        knots = np.linspace(0.0, 1.0, n_knots)
        ode = refode.NeuralODE(field, scheme, n_steps, grid=grid)
        problem = refode.TrajectoryFitting(ode)
        return problem.predict(theta, x, [1.0], (knots, np.sin(5.0 * knots)[None, :, None]))

    truth = ends(641, "dopri5", 640)
    of_knots = [np.abs(ends(k + 1, "dopri5", 320) - truth).max() for k in (10, 20, 40)]
    assert (order_of(of_knots) > 2.8).all()
    # knots are points of the grid: the scheme's own order
    fine = ends(6, "dopri5", 640)
    at_knots = [np.abs(ends(6, "rk4", n) - fine).max() for n in (10, 20, 40)]
    np.testing.assert_allclose(order_of(at_knots), 4.0, atol=0.35)
    # they are not: u'' jumps within steps, and order 3 is left at least
    apart = [np.abs(ends(6, "rk4", n) - fine).max() for n in (11, 22, 44, 88)]
    assert np.mean(order_of(apart)) > 2.7


@pytest.mark.nojit
def test_slope_of_taylor():
    problem, theta, x, y = case(own=True, time=True)
    report = refode.verify.taylor_test(
        lambda w: problem.value(w, x, y), lambda w: problem.value_and_gradient(w, x, y)[1], theta
    )
    assert report.passed, report
    assert report.slope1 == pytest.approx(2.0, abs=0.1)


@pytest.mark.nojit
def test_saved_and_loaded(tmp_path):
    problem, theta, x, y = case(time=True)
    refode.save(tmp_path / "driven.refode", problem, theta)
    found = refode.load(tmp_path / "driven.refode")
    assert repr(found.problem) == repr(problem)
    assert "inputs=2" in repr(problem)
    assert found.problem.value(found.theta, x, y) == problem.value(theta, x, y)


@pytest.mark.nojit
def test_training_takes_some_of_the_samples():
    problem, theta, x, y = case()
    some = np.array([2, 0])
    np.testing.assert_allclose(
        problem.residuals(theta, x[some], y[some]),
        problem.residuals(theta, x, y)[some],
        atol=1e-15,
    )
    result = refode.train(problem, x, y, theta, max_iter=5, progress=False)
    assert result.fun < problem.value(theta, x, y)


@pytest.mark.nojit
def test_what_is_refused():
    problem, theta, x, y = case()
    knots, u = y.inputs
    without = refode.Observations(y.times, y.values)
    wants = r"y: got no inputs with Shallow\(dim=2, width=3, inputs=2\), wanted u\(t\)"
    with pytest.raises(ValueError, match=wants):
        problem.value(theta, x, without)
    with pytest.raises(ValueError, match="inputs: got no inputs"):
        problem.predict(theta, x, y.times)
    for asked in (problem.ode.solve, problem.ode.trajectory):
        with pytest.raises(ValueError, match="field: got .*inputs=2.* and no data for its inputs"):
            asked(theta, x)
    with pytest.raises(ValueError, match="field: got .* has no trace"):
        problem.ode.log_det(theta, x)
    ode = refode.NeuralODE(problem.ode.field, "dopri5")
    with pytest.raises(ValueError, match="no data for its inputs"):
        refode.adapt(ode, theta, x, rtol=1e-3, atol=1e-3)
    network = refode.Supervised(problem.ode, "regression")
    with pytest.raises(ValueError, match="no data for its inputs"):
        network.value(network.initial(), x, x[:, 0])
    with pytest.raises(ValueError, match="inputs: got inputs of 1 channels, wanted 2"):
        problem.predict(theta, x, y.times, (knots, u[:, :, :1]))
    with pytest.raises(ValueError, match=r"from t=0.0 to 0.9, wanted them from 0.0 to 1.0"):
        problem.predict(theta, x, y.times, (0.9 * knots, u))
    with pytest.raises(ValueError, match="steps_between: got 2 with a Shallow that reads inputs"):
        refode.TrajectoryFitting(problem.ode, steps_between=2)
    plain_field = refode.TrajectoryFitting(refode.NeuralODE(refode.fields.Shallow(D, WIDTH)))
    with pytest.raises(ValueError, match="inputs: got inputs with a Shallow that reads none"):
        plain_field.predict(plain_field.initial(), x, y.times, y.inputs)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (3.0, TypeError, "inputs: got 3.0"),
        ((KNOTS,), TypeError, "inputs: got"),
        ((KNOTS[::-1], None), ValueError, r"inputs\[0\]: got times that do not rise"),
        ((KNOTS[:1], None), ValueError, r"inputs\[0\]: got times that do not rise"),
        ((KNOTS[None], None), ValueError, r"inputs\[0\]: got"),
        (([0.0, np.nan], None), ValueError, r"inputs\[0\]: got"),
        ((KNOTS, np.ones((N, 3, Q))), ValueError, r"inputs\[1\]: got"),
        ((KNOTS, np.ones((N + 1, 4, Q))), ValueError, r"inputs\[1\]: got"),
        ((KNOTS, np.ones((N, 4))), ValueError, r"inputs\[1\]: got"),
        ((KNOTS, np.ones((N, 4, 0))), ValueError, r"inputs\[1\]: got"),
        ((KNOTS, np.full((N, 4, Q), np.inf)), ValueError, r"inputs\[1\]: got inf"),
        ((KNOTS, np.full((N, 4, Q), "a")), TypeError, r"inputs\[1\]: got"),
    ],
)
def test_inputs_that_are_none(given, error, said):
    problem, theta, x, y = case()
    with pytest.raises(error, match=said):
        refode.Observations(y.times, y.values, inputs=given)
    with pytest.raises(error, match=said):
        problem.predict(theta, x, y.times, given)
