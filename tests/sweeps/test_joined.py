"""Steps that share a slope with the next one give what steps by themselves do."""

from __future__ import annotations

import numpy as np
import pytest

import refode
from refode import bases, fields
from refode.machine.threads import num_threads
from refode.ode import driver

SPAN = (0.0, 1.5)
CASES = {
    "constant": (fields.Shallow(2, 3), "dopri5", bases.Constant(), SPAN),
    "moving": (fields.Shallow(2, 3, time=True), "dopri5", bases.Legendre(3), SPAN),
    "tsit5": (fields.MLP(3, [4, 4]), "tsit5", bases.Legendre(4), SPAN),
    "backwards": (
        fields.Shallow(2, 3, time=True),
        "bogacki_shampine",
        bases.Legendre(2),
        SPAN[::-1],
    ),
}


def given(name, n=5):
    field, scheme, basis, span = CASES[name]
    ode = refode.NeuralODE(field, scheme, 6, span, basis)
    rng = np.random.default_rng(0)
    theta = 0.7 * rng.standard_normal(ode.n_parameters)
    times = np.sort(
        rng.uniform(0.3, 1.1, (n, 7)), axis=1
    )  # nothing in the first steps and the last
    times[0, 3] = 0.5  # a point of the grid
    times = np.sort(times, axis=1)[:, :: 1 if span == SPAN else -1]
    shape = (n, 7, ode.dim)
    y = refode.Observations(times, rng.standard_normal(shape), rng.uniform(size=shape) < 0.8)
    return ode, theta, rng.standard_normal((n, ode.dim)), y


def apart(monkeypatch):
    monkeypatch.setattr(driver, "_joins", lambda sweep, cost: False)


def close(one, two):
    for a, b in zip(one, two, strict=True):
        assert np.abs(np.asarray(a) - b).max() <= 1e-13 * (1.0 + np.abs(b).max())


@pytest.mark.parametrize("name", CASES)
def test_all_derivatives_are_those_of_steps_by_themselves(monkeypatch, name):
    ode, theta, x, y = given(name)
    problem = refode.TrajectoryFitting(ode)
    asked = []
    joins = driver._joins
    monkeypatch.setattr(
        driver, "_joins", lambda sweep, cost: asked.append(joins(sweep, cost)) or asked[-1]
    )
    v = np.random.default_rng(1).standard_normal(len(theta))

    def everything():
        yield from problem.value_and_gradient(theta, x, y)
        yield from problem.gradients(theta, x, y)
        yield problem.hessian_vector(theta, v, x, y)
        yield from ode.interpolate_adjoint(theta, x, y.times, y.values, ends=True)

    ours = list(everything())
    assert asked
    assert all(asked)
    apart(monkeypatch)
    close(ours, list(everything()))


def test_cells_of_weights_do_not_share_slopes(monkeypatch):
    field = fields.Shallow(2, 3)
    ode = refode.NeuralODE(field, "dopri5", 6, SPAN, bases.PiecewiseConstant(3))
    slots = ode.dense_plan(ode.steps, ode.t_span)[0].grid.slots
    assert not (slots[:-1, -1] == slots[1:, 0]).all()
    _, _, x, y = given("constant")
    problem = refode.TrajectoryFitting(ode)
    theta = np.random.default_rng(2).standard_normal(ode.n_parameters)
    ours = problem.value_and_gradient(theta, x, y)
    apart(monkeypatch)
    theirs = problem.value_and_gradient(theta, x, y)
    assert ours[0] == theirs[0]
    assert np.array_equal(ours[1], theirs[1])


@pytest.mark.parametrize("name", CASES)
def test_a_long_path_goes_through_its_steps_again_to_the_same_bits(monkeypatch, name):
    ode, theta, x, y = given(name)
    problem = refode.TrajectoryFitting(ode)
    ours = problem.value_and_gradient(theta, x, y)
    monkeypatch.setattr(driver, "STORED_AT_MOST", 100)
    theirs = problem.value_and_gradient(theta, x, y)
    assert ours[0] == theirs[0]
    assert np.array_equal(ours[1], theirs[1])


def test_threads_give_the_same_bits():
    ode, theta, x, y = given("constant", n=200)
    problem = refode.TrajectoryFitting(ode)
    found = []
    for n in (1, 2, 5):
        with num_threads(n):
            found.append(problem.value_and_gradient(theta, x, y))
    assert len({value for value, _ in found}) == 1
    assert len({gradient.tobytes() for _, gradient in found}) == 1


def test_a_step_takes_a_slope_less():
    """Slopes and their adjoints are counted by a field that rings."""
    counts = {"f": 0, "vjp": 0}

    def f(theta, t, z):
        counts["f"] += 1
        return -theta[0] * z

    def vjp(theta, t, z, f_bar):
        counts["vjp"] += 1
        return [-np.sum(f_bar * z)], -theta[0] * f_bar

    field = fields.User(f, dim=1, n_parameters=1, vjp=vjp, check=False)
    problem = refode.TrajectoryFitting(refode.NeuralODE(field, "dopri5", 5))
    times = np.array([[0.05, 0.25, 0.45, 0.65, 0.85]])
    y = refode.Observations(times, np.ones((1, 5, 1)))
    problem.value_and_gradient(np.ones(1), np.ones((1, 1)), y)
    counts.update(f=0, vjp=0)
    problem.value_and_gradient(np.ones(1), np.ones((1, 1)), y)
    assert counts == {"f": 5 * 6 + 1, "vjp": 5 * 6 + 1}
