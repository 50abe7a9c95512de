"""``problem.adapt``: grids for supervised learning, flows and games."""

from __future__ import annotations

import numpy as np
import pytest

import refode
from refode import bases, fields

ASKED = {"rtol": 1e-6, "atol": 1e-8}


def supervised(loss="logistic", **named):
    ode = refode.NeuralODE(fields.Shallow(3, 6), "dopri5", basis=bases.Legendre(2))
    problem = refode.Supervised(ode, loss, augment=1, **named)
    x = np.random.default_rng(0).normal(size=(30, 2))
    y = (x[:, 0] > 0).astype(float) if loss == "logistic" else x[:, :1] * x[:, 1:]
    return problem, 2.0 * problem.initial(), (x, y)


def flow(trace="exact", **named):
    ode = refode.NeuralODE(fields.Shallow(2, 6), "tsit5", t_span=(0.0, 2.0))
    problem = refode.ContinuousNormalizingFlow(ode, 0.3, trace=trace, **named)
    return problem, 2.0 * problem.initial(), (np.random.default_rng(1).normal(size=(25, 2)),)


def game(kind="crowd"):
    initial = refode.densities.Gaussian([0.0, 0.0], 0.5)
    target = refode.densities.Gaussian([1.0, -1.0], 0.3)
    if kind == "crowd":
        bump = refode.games.GaussianBump(5.0, [0.5, -0.5], 0.1)
        played = refode.games.crowd_motion(
            initial, target, alpha=1.0, obstacle=bump, entropy=0.1, terminal=2.0
        )
    elif kind == "transport":
        played = refode.games.optimal_transport(initial, target, alpha=1.0, terminal=2.0)
    else:
        played = refode.games.normalizing_flow(initial, target)
    h = 1.0 if played.alpha else 0.0
    problem = refode.MeanFieldGame(
        fields.Potential(dim=2, width=6), played, h, h, "squared", scheme="dopri5"
    )
    return problem, problem.initial(3) * 2.0, (initial.sample(30, seed=1),)


CASES = {
    "logistic": supervised,
    "regression": lambda: supervised("regression"),
    "flow": flow,
    "flow, estimated": lambda: flow("rademacher"),
    "crowd": game,
    "transport": lambda: game("transport"),
    "game of a flow": lambda: game("flow"),
}


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_are_as_exact_as_asked_for(name):
    problem, theta, data = CASES[name]()
    exact = problem.with_steps(400).value_and_gradient(theta, *data)
    planned, report = problem.adapt(
        theta, *data, error_in=("z", "log_det")[: 1 + ("flow" in name)], **ASKED
    )
    assert type(planned) is type(problem)
    assert planned.ode.t_span == problem.ode.t_span
    assert planned.ode.n_steps == report.n_steps
    value, gradient = planned.value_and_gradient(theta, *data)
    size = 1.0 + np.abs(exact[1]).max()
    assert abs(value - exact[0]) < 1e-5
    error = np.abs(gradient - exact[1]).max()
    assert error < 1e-5 * size
    assert error < 5.0 * report.gradient_error + 1e-12
    assert report.gradient_error < 1e-4 * size


@pytest.mark.parametrize("name", CASES)
def test_without_the_gradient_the_state_alone_is_planned_for(name):
    problem, theta, data = CASES[name]()
    _, report = problem.adapt(theta, *data, gradient=False, **ASKED)
    assert report.gradient_error is None
    assert report.adjoint_evaluations == 0


def test_quadratures_of_flows_and_games_are_reported():
    problem, theta, data = flow()
    assert list(problem.adapt(theta, *data, **ASKED)[1].quadratures) == ["log_det", "transport"]
    problem, theta, data = game()
    assert list(problem.adapt(theta, *data, **ASKED)[1].quadratures) == ["log rho", "L", "F", "R"]


def test_a_flow_is_planned_on_its_way_back_from_the_data():
    problem, theta, data = flow()
    planned, report = problem.adapt(theta, *data, **ASKED)
    assert report.tried["t"][0] == 2.0
    assert report.tried["h"][0] < 0.0
    assert report.grid[0] == 0.0
    assert np.array_equal(planned.ode.steps.nodes((2.0, 0.0)), report.grid[::-1])


def test_a_flow_that_starts_with_a_zero_last_layer():
    """Where the state does not move at all: (6) of the pitfalls."""

    def f(theta, t, z):
        return np.cos(8 * t) * z * theta[0]

    def vjp(theta, t, z, f_bar):
        return [np.cos(8 * t) * np.sum(f_bar * z)], np.cos(8 * t) * theta[0] * f_bar

    def trace(theta, t, z):
        return np.full(len(z), np.cos(8 * t) * theta[0])

    def trace_vjp(theta, t, z, bar):
        return [np.cos(8 * t) * np.sum(bar)], np.zeros_like(z)

    field = fields.User(f, dim=1, n_parameters=1, vjp=vjp, trace=(trace, trace_vjp))
    problem = refode.ContinuousNormalizingFlow(refode.NeuralODE(field, "dopri5", t_span=(0.0, 3.0)))
    y, theta = np.array([[0.5], [-2.0]]), np.zeros(1)
    growth = np.sin(24.0) / 8  # w = y e^{-a growth}, the log-determinant is -a growth
    exact = growth * (1.0 - np.mean(y**2))
    planned, report = problem.adapt(theta, y, rtol=1e-6, atol=1e-6)
    error = abs(planned.value_and_gradient(theta, y)[1][0] - exact)
    assert error < 1e-6
    assert error < 2.0 * report.gradient_error
    state, _ = problem.adapt(theta, y, rtol=1e-6, atol=1e-6, gradient=False)
    assert abs(state.value_and_gradient(theta, y)[1][0] - exact) > 0.01


def test_samples_of_weight_zero_do_not_count():
    problem, theta, (x, y) = supervised()
    x = np.concatenate([x, [[1e6, 1e6]]])
    y = np.append(y, 1.0)
    weight = np.append(np.ones(len(x) - 1), 0.0)
    ours = problem.adapt(theta, x, y, sample_weight=weight, **ASKED)[1]
    without = problem.adapt(theta, x[:-1], y[:-1], **ASKED)[1]
    assert np.array_equal(ours.grid, without.grid)


def test_scaled_problems_plan_for_scaled_samples():
    problem, theta, (x, y) = supervised("regression")
    raw = problem.standardized(100.0 * x + 7.0, y)
    ours = raw.adapt(theta, 100.0 * x + 7.0, y, **ASKED)[1]
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    theirs = problem.adapt(theta, scaled, (y - y.mean()) / y.std(), **ASKED)[1]
    assert np.allclose(ours.grid, theirs.grid, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rtol": 0.0}, ValueError, "rtol: got 0.0"),
        ({"gradient": 1}, TypeError, "gradient: got 1"),
        ({"error_in": ("z", "cost")}, ValueError, "error_in: got 'cost', wanted of 'z'"),
        ({"sample_weight": [1.0]}, ValueError, "sample_weight: got"),
    ],
)
def test_arguments_are_named(change, error, message):
    problem, theta, data = supervised()
    with pytest.raises(error, match=message):
        problem.adapt(theta, *data, **{**ASKED, **change})


def test_other_problems_say_that_they_have_none():
    problem, theta, data = supervised()
    with pytest.raises(TypeError, match="y: got 1 arrays"):
        problem.adapt(theta, data[0], **ASKED)
    other = refode.Supervised(refode.NeuralODE(fields.Shallow(3, 6)), augment=1)
    with pytest.raises(ValueError, match="ode: got scheme 'rk4'"):
        other.adapt(theta, *data, **ASKED)
