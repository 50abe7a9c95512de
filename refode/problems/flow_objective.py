"""The objective of a normalizing flow, eqs. (13)-(15), and its gradient: sweeps from T to t0."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from refode import _seeds
from refode._weights import Weighing, equal
from refode.adaptation.course import Course
from refode.costs.contract import Cotangent
from refode.costs.flow import FlowCost
from refode.ode import driver
from refode.ode.neural_ode import NeuralODE
from refode.ode.placement import hosted
from refode.ode.plan import Plan
from refode.problems.contract import WithODE
from refode.problems.regularisers import Regularised
from refode.sweeps.dynamics import Flow, Hutchinson

Array = np.ndarray


class Likelihood(Regularised, WithODE):
    """Samples of a density, whose paths go back to a standard normal: checked arguments.

    A subclass sets the attributes below, once.
    """

    transport: float
    trace: str
    noise_seed: int

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.ode.dim

    @property
    def _constant(self) -> float:
        return self._normal_constant + self._log_scale

    @property
    def _normal_constant(self) -> float:
        return 0.5 * self.dim * math.log(2.0 * math.pi)

    @property
    def _log_scale(self) -> float:
        """log|det| of what takes the sweeps' states to data."""
        return 0.0 if self.y_scaling is None else self.y_scaling.log_scale

    def _terms(self, theta: Array, y: Array, by: Weighing) -> dict[str, float]:
        """The terms that read the data, by a forward sweep."""
        w, l, v = self._backward(theta, y, self.ode, None)  # noqa: E741
        mean = functools.partial(self._rows(y).mean, hosted(by))
        likelihood = mean(0.5 * np.sum(w**2, axis=1) - l) + self._constant
        return {"likelihood": float(likelihood), "transport": self.transport * float(mean(v))}

    def _value_and_gradient(
        self, theta: Array, y: Array, by: Weighing | None = None
    ) -> tuple[Any, Array]:
        """Objective and gradient, theta real or complex."""
        plan = self.ode.plan(self.ode.t_span[::-1])
        cost = self._cost(plan, equal(len(y)) if by is None else by)
        result, theta_bar = self._pull_back(theta, y, cost, plan)
        penalty, penalty_bar = self._regulariser(theta)
        return result.value + penalty, theta_bar + penalty_bar

    def _cost(self, plan: Plan, by: Weighing) -> FlowCost:
        """What is charged where the way back ends."""
        weight = self.transport * self._direction(plan)
        return FlowCost(self.dim, self._constant, weight, by.scale, by.weights)

    def _courses(self, theta: Array, y: Any, by: Weighing) -> list[Course]:
        """The way of the objective, from T to t0."""
        ode, exact = self.ode, self.trace == "exact"
        plan = ode.plan(ode.t_span[::-1])
        cost = self._cost(plan, hosted(by))
        noise = [] if exact else [("", "")] * self.dim
        quadratures = [("log_det", "log_det"), ("cost", "transport")]
        return [
            Course(
                ode,
                theta,
                ode.t_span[::-1],
                ode.sweep(plan, Flow if exact else Hutchinson, np.dtype(float)),
                exact,
                np.ascontiguousarray(self._start(hosted(y))),
                tuple([("z", "")] * self.dim + noise + quadratures),
                lambda E, reached: (cost, 0, 0),
                "y",
            )
        ]

    def _pull_back(self, theta: Array, y: Array, cost: Any, plan: Plan) -> tuple[Any, Array]:
        """Value and cotangents of a cost of (w, l, v), by the sweep of the objective."""
        ode, exact = self.ode, self.trace == "exact"
        plan = ode.stepped(plan, theta)
        weights = ode.stage_weights(theta, plan)
        E = ode.field.prepare(weights, exact)
        sweep = ode.sweep(plan, Flow if exact else Hutchinson, E.dtype)
        want_x = isinstance(cost, Cotangent)
        result = driver.gradient(sweep, E, self._start(y), cost, want_x=want_x)
        weights_bar = ode.field.prepare_adjoint(weights, exact, result.E_bar)
        return result, ode.stage_weights_adjoint(weights_bar, plan, result.time_bar)

    def _backward(
        self, theta: Array, y: Array, ode: NeuralODE, t: float | None, exact: bool = False
    ) -> tuple[Array, Array, Array]:
        """w (N, d), l and v (N,) at t0 from y at t, or at T where t is None."""
        t0, T = ode.t_span
        plan = ode.plan((T if t is None else t, t0))
        exact = exact or self.trace == "exact"
        stepped = ode.stepped(plan, theta)
        E = ode.field.prepare(ode.stage_weights(theta, plan), exact)
        sweep = ode.sweep(stepped, Flow if exact else Hutchinson, E.dtype)
        end = driver.forward(sweep, E, y if exact else self._start(y))[0]
        w, l = end[:, : self.dim], end[:, -2]  # noqa: E741
        v = self._direction(plan) * end[:, -1]
        return np.ascontiguousarray(w), np.ascontiguousarray(l), v

    def _direction(self, plan: Plan) -> float:
        """Sign of the steps: v comes out of the sweep with it."""
        return math.copysign(1.0, plan.grid.h[0])

    def _start(self, y: Array) -> Array:
        """Data, or data and noise side by side."""
        if self.trace == "exact":
            return y
        y = hosted(y)
        rng = _seeds.generator("noise of the trace", self.noise_seed)

        def draw(shape: tuple[int, int]) -> Array:
            if self.trace == "gaussian":
                return rng.standard_normal(shape)
            return rng.choice([-1.0, 1.0], size=shape)

        return np.concatenate([y, self._rows(y).drawn(draw, self.dim)], axis=1)
