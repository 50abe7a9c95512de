"""`NeuralODE.cost_and_gradient`: costs of one's own, read at every grid point or at the end."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import oracle
import pytest
import tolerances as tol
from contract import close, same
from sweep_oracle import Twin

import refode
from refode import bases, fields, verify
from refode.costs.contract import Cotangent, observe
from refode.costs.flow import FlowCost
from refode.costs.losses import RegressionSpec
from refode.costs.supervised import SupervisedCost

T_SPAN, STEPS, TINY = (-0.3, 1.7), 3, 1e-200


class TrackSpec(NamedTuple):
    """Sum of c_n/2 |z(t_n) - y_n|^2 (1 + t_n), c_n of the point, y_n of point and sample."""

    weights: np.ndarray
    targets: np.ndarray
    everywhere: bool
    work_rows: int = 40  # more than any field here asks for


@observe.register(TrackSpec)
def track_observe(cost, at, Y, L, cost_bar, scratch):
    value = Y[0, 0] * 0
    if scratch.shape[0] < cost.work_rows:
        return value + np.nan
    square = scratch[cost.work_rows - 1]
    for s in range(at.m):
        square[s] = Y[0, 0] * 0
        for i in range(Y.shape[0]):
            r = Y[i, s] - cost.targets[at.n, at.first + s, i]
            square[s] += r * r
            L[i, s] += cost.weights[at.n] * r * (1.0 + at.t.real)
        value += 0.5 * cost.weights[at.n] * square[s] * (1.0 + at.t.real)
    return value


# field, its twin, scheme, memory
CASES = {
    "store": (fields.Shallow(2, 3, time=True), oracle.shallow(True), "heun", "store"),
    "steps": (fields.Shallow(2, 3, time=True), oracle.shallow(True), "rk4", "steps"),
    "wide-steps": (fields.Shallow(5, 2), oracle.shallow(), "heun", "steps"),
    "halves-store": (fields.Hamiltonian(4), oracle.hamiltonian(), "verlet", "store"),
    "halves-steps": (fields.Hamiltonian(4), oracle.hamiltonian(), "verlet", "steps"),
    "reverse": (fields.Hamiltonian(4), oracle.hamiltonian(), "stormer_verlet", "reverse"),
}
over_all = pytest.mark.parametrize("name", CASES)
both = pytest.mark.parametrize("everywhere", [True, False], ids=["everywhere", "end"])


class Drawn:
    """An ode, theta, x, a cost, and the cost of the oracle's path."""

    def __init__(self, name, everywhere, n=3):
        field, twin, scheme, memory = CASES[name]
        self.ode = refode.NeuralODE(field, scheme, STEPS, T_SPAN, bases.PiecewiseLinear(3), memory)
        self.twin, rng = Twin(self.ode, twin), np.random.default_rng(n)
        self.theta = 0.7 * rng.standard_normal(self.ode.n_parameters)
        self.x = rng.standard_normal((n, field.dim))
        targets = rng.standard_normal((STEPS + 1, n, field.dim))
        self.cost = TrackSpec(rng.uniform(0.5, 1.5, STEPS + 1), targets, everywhere)
        self.rng = rng

    def charge(self, states):
        """The cost of states at all grid points, by plain sums."""
        points = range(STEPS + 1) if self.cost.everywhere else [STEPS]
        times = np.linspace(*T_SPAN, STEPS + 1)
        return sum(
            0.5
            * self.cost.weights[n]
            * (1.0 + times[n])
            * np.sum((states[n] - self.cost.targets[n]) ** 2)
            for n in points
        )

    def value(self, theta, x):
        return self.charge(self.twin.states(theta, x, *T_SPAN))


@both
@over_all
def test_value_and_gradient_against_the_oracle(name, everywhere):
    case = Drawn(name, everywhere)
    value, theta_bar, x_bar = case.ode.cost_and_gradient(case.theta, case.x, case.cost)
    assert type(value) is float
    close(value, case.value(case.theta, case.x).real, tol.SWEEP_STATE)
    want = oracle.complex_gradient(lambda th: case.value(th, case.x), case.theta)
    for place in case.ode.layout.slices.values():
        close(theta_bar[place], want[place], tol.SWEEP_COMPLEX_STEP)
    close(
        x_bar,
        oracle.complex_gradient(lambda x: case.value(case.theta, x), case.x),
        tol.SWEEP_COMPLEX_STEP,
    )


@both
@over_all
def test_complex_step_and_dot_test(name, everywhere):
    """Over several blocks: the sweep's own value in complex numbers, and a cotangent of one."""
    case = Drawn(name, everywhere, n=300)
    ode, plan, size = case.ode, case.ode.plan(), case.theta.size

    def tangent(theta_dot, x_dot):
        result, _ = ode._charged(
            case.theta + 1j * TINY * theta_dot,
            case.x + 1j * TINY * x_dot,
            case.cost,
            plan,
            trace=False,
        )
        return np.array([result.value.imag / TINY])

    value, theta_bar, x_bar = ode.cost_and_gradient(case.theta, case.x, case.cost)
    report = verify.dot_test(
        tangent, lambda w: (w[0] * theta_bar, w[0] * x_bar), [(size,), case.x.shape], (1,)
    )
    assert report, report
    close(value, case.charge(ode.trajectory(case.theta, case.x)), tol.SWEEP_STATE)


def test_a_linear_cost_is_the_adjoint():
    case = Drawn("store", True)
    z_bar = case.rng.standard_normal((STEPS + 1, *case.x.shape))
    value, *bars = case.ode.cost_and_gradient(case.theta, case.x, Cotangent(z_bar), (1.4, 0.1))
    path = case.ode.trajectory(case.theta, case.x, (1.4, 0.1))
    close(value, np.sum(z_bar * path), tol.SWEEP_STATE)
    for got, want in zip(
        bars, case.ode.adjoint(case.theta, case.x, z_bar, (1.4, 0.1)), strict=True
    ):
        same(got, want)


class Unknown(NamedTuple):
    """A description that nobody registered a body for."""

    number: float


def test_bad_input_is_refused_by_name():
    case = Drawn("store", True)
    run, theta, x = case.ode.cost_and_gradient, case.theta, case.x
    for cost in (Unknown(1.0), TrackSpec, None, lambda z: z):
        with pytest.raises(TypeError, match="^cost: got a .*, wanted a NamedTuple of a class"):
            run(theta, x, cost)
    with pytest.raises(ValueError, match="^theta: got"):
        run(theta[1:], x, case.cost)
    with pytest.raises(ValueError, match="^x: got"):
        run(theta, x[:, 1:], case.cost)
    with pytest.raises(ValueError, match="^t_span"):
        run(theta, x, case.cost, (1.0, 1.0))


def supervised(case, k, d=None):
    """A regression on k outputs, of states of d numbers."""
    d = case.ode.dim if d is None else d
    loss = RegressionSpec(case.rng.standard_normal((len(case.x), k or d)))
    W = case.rng.standard_normal((k, d))
    return SupervisedCost(loss, W, case.rng.standard_normal(k), 1 / len(case.x))


@pytest.mark.parametrize("k", [0, 1, 7])
def test_a_loss_with_a_readout(k):
    """Its own parameters' cotangents have a place, as its outputs have, however many."""
    case = Drawn("store", False)
    cost = supervised(case, k)
    value, theta_bar, _ = case.ode.cost_and_gradient(case.theta, case.x, cost)
    z = case.ode.solve(case.theta, case.x)
    error = (z @ cost.W.T + cost.b if k else z) - cost.loss.targets
    close(value, 0.5 * np.mean(np.sum(error**2, axis=1)), tol.SWEEP_STATE)
    z_bar = (error @ cost.W if k else error) / len(z)
    close(theta_bar, case.ode.adjoint(case.theta, case.x, z_bar)[0], tol.SWEEP_STATE)


def test_costs_of_other_states_and_paths_are_refused():
    case = Drawn("store", False)
    run, (n, d) = partial(case.ode.cost_and_gradient, case.theta, case.x), case.x.shape
    with pytest.raises(ValueError, match=f"^cost: got one of states of {d + 1} numbers, wanted"):
        run(supervised(case, 2, d + 1))
    with pytest.raises(ValueError, match=f"^cost: got one of states of {d + 1} numbers, wanted"):
        run(Cotangent(np.ones((1, n, d + 1))))
    with pytest.raises(ValueError, match=f"^cost: got z_bar at 2 points, wanted 1 or {STEPS + 1}"):
        run(Cotangent(np.ones((2, n, d))))
    with pytest.raises(TypeError, match="^cost: got a FlowCost, which reads more than the path"):
        run(FlowCost(d, 1.0, 0.1, 0.1))
