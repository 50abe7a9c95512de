"""``adapt`` of fitted trajectories: grids by which values and gradients are exact."""

from __future__ import annotations

import numpy as np
import pytest

import refode
from refode import bases, fields
from refode.adaptation.halving import Halving
from refode.adaptation.pairs import pair_of
from refode.adaptation.planner import Planner
from refode.adaptation.settings import Settings
from refode.machine.threads import num_threads
from refode.ode.interpolation import reading_of
from refode.ode.steps import Given
from refode.problems.trajectory_courses import points_of, reading_in

ASKED = {"rtol": 1e-6, "atol": 1e-8}
SPAN = (0.0, 2.0)


def observations(own, n=20, K=7, m=2, span=SPAN, seed=0):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(*sorted(span), (n, K) if own else K), axis=-1)
    values = rng.standard_normal((n, K, m))
    values[rng.uniform(size=values.shape) < 0.2] = np.nan
    if own:
        times[0, 4:] = np.nan
        values[0, 4:] = np.nan
        times[1, 0], times[2, -1] = sorted(span)
    if span[0] > span[1]:
        times = np.where(np.isnan(times), times, span[0] + span[1] - times)
    return refode.Observations(times, values, weights=rng.uniform(0.5, 2.0, values.shape))


def made(own, scheme="dopri5", basis=None, span=SPAN, **how):
    ode = refode.NeuralODE(fields.Shallow(2, 6), scheme, 4, span, basis or bases.Constant())
    problem = refode.TrajectoryFitting(ode, **how)
    y = observations(own, m=problem.n_channels, span=span)
    rng = np.random.default_rng(1)
    theta = problem.initial(2) * 2.0
    theta += 0.3 * rng.standard_normal(len(theta))
    x = None if problem.fitted else rng.standard_normal((20, 2))
    return problem, theta, x, y


C = np.array([[1.0, -0.5], [0.3, 2.0], [0.7, 0.1]])
CASES = {
    "common": lambda: made(False),
    "own": lambda: made(True),
    "tsit5": lambda: made(False, "tsit5"),
    "fehlberg8": lambda: made(False, "fehlberg8"),
    "own, tsit5": lambda: made(True, "tsit5"),
    "own, bogacki_shampine": lambda: made(True, "bogacki_shampine"),
    "in cells": lambda: made(True, basis=bases.PiecewiseConstant(3)),
    "common, in cells": lambda: made(False, basis=bases.PiecewiseConstant(3)),
    "moving": lambda: made(True, basis=bases.Legendre(2)),
    "common, moving": lambda: made(False, basis=bases.Legendre(2)),
    "backwards": lambda: made(True, span=SPAN[::-1]),
    "common, backwards": lambda: made(False, span=SPAN[::-1]),
    "observed": lambda: made(True, observed=C),
    "readout": lambda: made(True, observed=C, readout=True),
    "fitted": lambda: made(False, initial="fitted", n_samples=20),
    "shooting": lambda: made(True, shooting=[0.7, 1.4], n_samples=20),
    "common, shooting": lambda: made(False, shooting=[0.7, 1.4], n_samples=20),
    "shooting, backwards": lambda: made(True, span=SPAN[::-1], shooting=[1.4, 0.7], n_samples=20),
}


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_are_as_exact_as_asked_for(name):
    problem, theta, x, y = CASES[name]()
    exact = problem.with_steps(600).value_and_gradient(theta, x, y)
    planned, report = problem.adapt(theta, x, y, **ASKED)
    assert type(planned) is type(problem)
    assert planned.ode.n_steps == report.n_steps
    assert np.array_equal(planned.ode.steps.nodes(problem.ode.t_span), report.grid)
    value, gradient = planned.value_and_gradient(theta, x, y)
    own = y.times.ndim == 2
    wanted = "" if not own else "bounded" if problem.ode.scheme == "dopri5" else "not bounded"
    assert report.interpolant == wanted
    room = 50.0 if wanted == "not bounded" else 1.0
    size = 1.0 + np.abs(exact[1]).max()
    error = np.abs(gradient - exact[1]).max()
    assert abs(value - exact[0]) < 1e-6 * room * (1.0 + exact[0])
    assert error < 2e-6 * size * room
    assert report.gradient_error < 1e-4 * size


@pytest.mark.parametrize("name", CASES)
def test_the_grid_given_back_has_the_same_bits(name):
    problem, theta, x, y = CASES[name]()
    planned, report = problem.adapt(theta, x, y, **ASKED)
    ode = planned.ode
    given = refode.NeuralODE(
        ode.field, ode.scheme, t_span=ode.t_span, basis=ode.basis, grid=report.grid
    )
    named = {
        name: getattr(problem, name) for name in ("observed", "readout", "n_samples", "shooting")
    }
    again = refode.TrajectoryFitting(given, initial=problem.initial_states, **named)
    ours, theirs = (p.value_and_gradient(theta, x, y) for p in (planned, again))
    assert ours[0] == theirs[0]
    assert np.array_equal(ours[1], theirs[1])


@pytest.mark.parametrize("name", CASES)
def test_the_shares_of_the_steps_are_the_gradient(name):
    """On the state's grid, or in pairs of its steps: then a path's every other point begins one."""
    problem, theta, x, y = CASES[name]()
    settings = Settings.of(1e-3, 1e-3)._replace(
        stops=() if y.times.ndim == 2 else tuple(y.times), interpolated=y.times.ndim == 2
    )
    total, nodes = 0.0, []
    for course in problem._courses(*problem._arguments(theta, x, y)):
        low, high = sorted(course.span)
        stops = tuple(t for t in settings.stops if low < t < high)
        within, pair = settings._replace(stops=stops), pair_of(problem.ode)
        plan = Planner(course, pair, within, keep=True).run()
        nodes += [*plan.nodes[:-1]]
        halving, n = Halving(course, pair, within, plan), len(plan.nodes) - 1
        bars = np.zeros((n + 1, *plan.path.shape[1:]))
        times = np.stack([plan.nodes[:-1], plan.nodes[1:]], axis=1)
        shares = halving._shares(times, np.arange(n), plan.path, bars, charged=True)
        total += shares.of_theta.sum(axis=(0, 1))
    grid = np.array([*nodes, plan.nodes[-1]])
    on_it = problem.with_steps(Given(grid))
    gradient = on_it.value_and_gradient(theta, x, y)[1][: problem.ode.n_parameters]
    wanted = problem.ode._coefficients(gradient).ravel()
    assert np.abs(total - wanted).max() < 1e-12 * np.abs(wanted).max()
    if y.times.ndim == 2 and problem.shooting is None and n % 2 == 0:
        bars = np.zeros((n // 2 + 1, *plan.path.shape[1:]))
        times = np.stack([plan.nodes[:-1:2], plan.nodes[1::2], plan.nodes[2::2]], axis=1)
        pairs = halving._shares(times, 2 * np.arange(n // 2), plan.path, bars, charged=True)
        assert np.abs(pairs.of_theta.sum(axis=(0, 1)) - wanted).max() < 1e-12 * np.abs(wanted).max()


def test_tolerances_refer_to_cotangents_along_the_way():
    """Where nothing comes in at the end: by that alone atol would allow nothing."""
    problem, theta, x, y = made(True)
    _, report = problem.adapt(theta, x, y, rtol=1e-12, atol=1e-4)
    assert report.n_steps < 100


def wave(own, times, span=(0.0, 3.0)):
    """x' = a cos(8 t) x at a = 0, where the state does not move: (6) of the pitfalls."""

    def f(theta, t, z):
        return theta[0] * np.cos(8 * t) * z

    def vjp(theta, t, z, f_bar):
        return [np.cos(8 * t) * np.sum(f_bar * z)], theta[0] * np.cos(8 * t) * f_bar

    field = fields.User(f, dim=1, n_parameters=1, vjp=vjp)
    problem = refode.TrajectoryFitting(refode.NeuralODE(field, "dopri5", t_span=span))
    times = np.asarray(times)
    y = refode.Observations(times[None] if own else times, np.zeros((1, len(times), 1)))
    return problem, np.zeros(1), np.ones((1, 1)), y


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("times", [[3.0], [2.1], [0.4, 1.3, 2.9]])
def test_a_state_that_stands_still_does_not_hide_the_gradient(own, times):
    problem, theta, x, y = wave(own, times)
    exact = np.mean(np.sin(8.0 * np.array(times)) / 8.0)
    planned, report = problem.adapt(theta, x, y, rtol=1e-6, atol=1e-6)
    error = abs(planned.value_and_gradient(theta, x, y)[1][0] - exact)
    assert error < 1e-6
    assert error < 2.0 * report.gradient_error
    assert report.halved > 0
    state, report = problem.adapt(theta, x, y, rtol=1e-6, atol=1e-6, gradient=False)
    assert abs(state.value_and_gradient(theta, x, y)[1][0] - exact) > 0.004
    assert report.gradient_error is None


def test_common_times_are_stops_and_the_plan_goes_on_to_the_end():
    problem, theta, x, y = made(False)
    _, report = problem.adapt(theta, x, y, stops=[1.0], **ASKED)
    assert set(y.times) | {0.0, 1.0, 2.0} <= set(report.grid)
    later = np.array([1.95, 2.0])
    planned, _ = problem.adapt(theta, x, refode.Observations([0.3], y.values[:, :1]), **ASKED)
    fine = problem.with_steps(600).predict(theta, x, later)
    assert np.abs(planned.predict(theta, x, later) - fine).max() < 1e-5


def test_what_is_read_between_points_counts():
    """Without the interpolant's error the state's plan is too coarse to be read within steps."""
    problem, theta, x, y = made(True)
    times = np.where(np.isnan(y.times), np.linspace(1.4, 2.0, 7), y.times)
    fine = problem.with_steps(600).predict(theta, x, times)
    steps = []
    for asked in (y, refode.Observations(np.array([2.0]), y.values[:, :1])):
        planned, report = problem.adapt(theta, x, asked, gradient=False, **ASKED)
        steps.append(report.n_steps)
        if asked is y:
            error = np.abs(planned.predict(theta, x, times) - fine)[y.there].max()
    assert error < 1e-6
    assert steps[0] > 1.5 * steps[1]


def test_the_interpolant_is_that_of_each_step_that_is_looked_at():
    """Where the state is a polynomial of degree 4 halves of a step differ by rounding."""

    def f(theta, t, z):
        return theta[0] * 4 * t**3 + 0.0 * z

    def vjp(theta, t, z, f_bar):
        return [4 * t**3 * np.sum(f_bar)], 0.0 * f_bar

    field = fields.User(f, dim=1, n_parameters=1, vjp=vjp)
    problem = refode.TrajectoryFitting(refode.NeuralODE(field, "dopri5", t_span=(0.0, 2.0)))
    rng = np.random.default_rng(0)
    y = refode.Observations(np.sort(rng.uniform(0, 2, (5, 9)), axis=1), rng.normal(size=(5, 9, 1)))
    _, report = problem.adapt(np.ones(1), np.ones((5, 1)), y, rtol=1e-3, atol=1e-3)
    assert report.halved == 0
    assert report.gradient_error < 1e-12


def test_threads_plan_the_same_grid():
    rng = np.random.default_rng(3)
    problem, theta, _, _ = made(True)
    y = observations(True, n=300)
    x = rng.standard_normal((300, 2))
    grids = []
    for threads in (1, 2):
        with num_threads(threads):
            grids.append(problem.adapt(theta, x, y, **ASKED)[1].grid)
    assert np.array_equal(*grids)


@pytest.mark.parametrize("window", [1, 3])
def test_the_memory_of_a_plan_does_not_matter(monkeypatch, window):
    """Fewer steps looked at together: the same places are read, and grids are as good."""
    from refode.adaptation import halving

    problem, theta, x, y = made(True, basis=bases.Legendre(2))
    exact = problem.with_steps(600).value_and_gradient(theta, x, y)[1]
    monkeypatch.setattr(halving.Halving, "_window", lambda self: window)
    planned, _ = problem.adapt(theta, x, y, **ASKED)
    error = np.abs(planned.value_and_gradient(theta, x, y)[1] - exact).max()
    assert error < 2e-6 * (1.0 + np.abs(exact).max())


# --- where things are ----------------------------------------------------------------------------
def test_points_of_a_path():
    nodes, times = np.array([0.0, 0.5, 1.0, 2.0]), np.array([0.0, 1.0, 2.0])
    assert points_of(nodes, times, True).tolist() == [0, -1, 1, 2]
    assert points_of(nodes, times, False).tolist() == [-1, -1, 1, 2]
    assert points_of(nodes[2:], times, False).tolist() == [-1, 2]
    assert points_of(nodes[::-1], times[::-1], True).tolist() == [0, 1, -1, 2]


@pytest.mark.parametrize("way", [1.0, -1.0])
@pytest.mark.parametrize("m", [1, 2])
def test_times_in_steps_that_follow_one_another_are_as_schedules_have_them(way, m):
    rng = np.random.default_rng(0)
    nodes = way * np.linspace(0.0, 2.0, 9)
    times = way * np.sort(
        np.concatenate([rng.uniform(0, 2, (4, 5)), np.tile([0.0, 0.25, 2.0], (4, 1))], axis=1)
    )
    steps = np.stack([nodes[i : len(nodes) - m + i : m] for i in range(m + 1)], axis=1)
    begin, fraction, which = reading_in(steps, times, 0.0)
    plain = reading_of(nodes, times, np.zeros((4, 7)))
    assert np.array_equal(begin, plain.begin)
    assert np.array_equal(fraction, plain.fraction)
    assert np.array_equal(which, np.tile(np.arange(8), (4, 1)))


def test_times_in_steps_with_gaps_between():
    steps = np.array([[0.5, 1.0], [1.5, 2.0]])
    times = np.array([[0.5, 0.75, 1.2, 2.0], [0.0, 0.1, 0.2, 0.3], [1.0, 1.5, 1.6, 1.75]])
    begin, fraction, which = reading_in(steps, times, 0.0)
    assert begin.tolist() == [[0, 1, 2], [0, 0, 0], [0, 1, 3]]
    assert which[0, :2].tolist() == [1, 3]
    assert which[2, :3].tolist() == [0, 2, 3]
    assert np.allclose(fraction[0, :2], [0.5, 1.0])
    assert np.allclose(fraction[2, :3], [1.0, 0.2, 0.5])
    assert reading_in(steps, times, 0.5)[0].tolist() == [[0, 2, 3], [0, 0, 0], [0, 1, 3]]


# --- training ------------------------------------------------------------------------------------
def test_training_plans_anew():
    ode = refode.NeuralODE(fields.Shallow(2, 6), "dopri5", 4, (0.0, 3.0))
    problem = refode.TrajectoryFitting(ode)
    rng = np.random.default_rng(0)
    times, x = np.sort(rng.uniform(0, 3, (20, 8)), axis=1), rng.standard_normal((20, 2))
    A = np.array([[-0.1, 2.0], [-2.0, -0.1]])
    rate, U = np.linalg.eig(A)
    values = np.einsum(
        "ij,skj,jl,sl->ski", U, np.exp(rate * times[..., None]), np.linalg.inv(U), x
    ).real
    y = refode.Observations(times, values)
    result = refode.train(
        problem, x, y, adapt={"rtol": 1e-4, "atol": 1e-6}, every=10, max_iter=25, progress=False
    )
    assert result.periods == 3
    assert len(set(result.history["n_steps"])) > 1
    assert result.fun < result.history["value"][0]
    fine = problem.with_steps(300).value_and_gradient(result.x, x, y)
    assert abs(result.fun - fine[0]) < 1e-4 * fine[0] + 1e-6
    assert isinstance(result.problem, refode.TrajectoryFitting)


# --- bad input -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rtol": 0.0}, ValueError, "rtol: got 0.0, wanted a number > 0"),
        ({"atol": -1.0}, ValueError, "atol: got -1.0, wanted a number > 0"),
        ({"gradient": 1}, TypeError, "gradient: got 1"),
        ({"error_in": ("z", "log_det")}, ValueError, "error_in: got 'log_det'"),
        ({"stops": [2.5]}, ValueError, r"stops: got 2.5, wanted times within \[0.0, 2.0\]"),
        ({"sample_weight": np.ones(20)}, TypeError, "sample_weight: got"),
        ({"max_steps": 5}, ValueError, "are more than max_steps=5 at t = 0.* sample [0-9]+ of x"),
    ],
)
@pytest.mark.parametrize("own", [False, True])
def test_arguments_are_named(own, change, error, message):
    problem, theta, x, y = made(own)
    with pytest.raises(error, match=message):
        problem.adapt(theta, x, y, **{**ASKED, **change})


def test_what_no_grid_can_be_planned_for():
    problem, theta, x, y = made(True, steps_between=2)
    with pytest.raises(ValueError, match="steps_between: got 2, by which each sample has steps"):
        problem.adapt(theta, x, y, **ASKED)
    problem, theta, x, y = made(True, "fehlberg8")
    with pytest.raises(ValueError, match="scheme: got 'fehlberg8', which has no state within"):
        problem.adapt(theta, x, y, **ASKED)
    problem, theta, x, y = made(False, "rk4")
    with pytest.raises(ValueError, match="ode: got scheme 'rk4', which has no embedded"):
        problem.adapt(theta, x, y, **ASKED)
    problem, theta, x, y = made(False, shooting=[1e-3], n_samples=20)
    with pytest.raises(ValueError, match="max_steps=5 at t = .* sample [0-9]+ of nodes"):
        problem.adapt(theta, x, y, max_steps=5, **ASKED)
