"""What fitted trajectories cost, and its cotangents: one sweep forward and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refode._products import product
from refode.costs.trajectory import TrajectoryCost, work_rows
from refode.ode import driver
from refode.problems.contract import WithODE
from refode.problems.driven import start_of
from refode.problems.observations import Observations
from refode.problems.regularisers import Regularised
from refode.problems.schedules import Schedule, node_bars, own_bars
from refode.sweeps.dynamics import Plain
from refode.sweeps.own_steps import OwnSteps

Array = np.ndarray


class Bars(NamedTuple):
    """Value and cotangents of a cost of what is observed."""

    value: Any
    theta: Array  # (p,)
    x: Array  # (N, d)
    times: Array  # (K,) or (N, K), or empty if not wanted


class Observing(Regularised, WithODE):
    """A problem whose paths are observed along the way. A subclass sets the attributes below."""

    observed: Array | None
    n_channels: int
    readout: bool
    n_samples: int | None
    fitted: bool  # whether states at t0 are in theta
    steps_between: int | None

    def _value_and_gradient(
        self, theta: Array, x: Array, y: Observations, schedule: Schedule
    ) -> tuple[Any, Array]:
        value, gradient = self._whole(theta, x, self._cost(theta, y, schedule), schedule)
        penalty, penalty_bar = self._regulariser(theta)
        return value + penalty, gradient + penalty_bar

    def _whole(
        self, theta: Array, x: Array, cost: TrajectoryCost, schedule: Schedule
    ) -> tuple[Any, Array]:
        """A cost and its cotangent of all of theta."""
        bars = self._swept(theta, self._start(theta, x), cost, schedule, want_x=self.fitted)
        parts = [bars.theta, bars.x.ravel()] if self.fitted else [bars.theta]
        return bars.value, np.concatenate(parts)

    def _swept(
        self,
        theta: Array,
        x: Array,
        cost: Any,
        schedule: Schedule,
        times: Array | None = None,
        want_x: bool = False,
    ) -> Bars:
        """A cost and its cotangents, by one sweep forward and back; those of times if given.

        theta's are of the ode and of the readout.
        """
        ode, plan = schedule.ode, schedule.plan
        weights = ode.stage_weights(theta[: ode.n_parameters], plan)
        E = ode.field.prepare(weights, False)
        if times is not None:
            cost, plan = _with_times(cost, plan, schedule, len(x))
        n_cost = self.n_channels * (self.ode.dim + 1) if self.readout else 0
        rows = work_rows(ode.dim)
        sweep = ode.sweep(schedule.plan, Plain, E.dtype)._replace(scheme=plan.scheme)
        want_x = want_x or times is not None
        result = driver.gradient(sweep, E, start_of(ode, x), cost, n_cost, rows, want_x)
        weights_bar = ode.field.prepare_adjoint(weights, False, result.E_bar)
        theta_bar = [ode.stage_weights_adjoint(weights_bar, plan), result.cost_bar]
        times_bar = np.zeros(0)
        if times is not None:
            times_bar = self._times_bar(theta, cost, plan, schedule, result, weights_bar, times)
        x_bar = result.x_bar  # of inputs' samples the numbers move by nothing
        if ode is not self.ode:
            x_bar = np.ascontiguousarray(x_bar[:, :-1])
        return Bars(result.value, np.concatenate(theta_bar), x_bar, times_bar)

    def _times_bar(
        self,
        theta: Array,
        cost: TrajectoryCost,
        plan: Any,
        schedule: Schedule,
        result: driver.Gradient,
        weights_bar: Array,
        times: Array,
    ) -> Array:
        if not len(schedule.points):
            return cost.times_bar
        if self.steps_between is None:
            Theta = self.ode._coefficients(theta[: self.ode.n_parameters])
            bars = node_bars(self.ode, plan, result.time_bar, weights_bar, Theta)
            return bars[schedule.points >= 0]
        return own_bars(plan.scheme.h_bar.T / self.steps_between, times)

    def _pulled(
        self, theta: Array, x: Array, y: Observations, schedule: Schedule, bars: Array
    ) -> Array:
        """Pull-back of cotangents (N, K, m) of what is observed; 0 where nothing is."""
        cost = self._cost(theta, y, schedule)._replace(targets=bars, linear=True)
        return self._whole(theta, x, cost, schedule)[1]

    def _cost(self, theta: Array, y: Observations, schedule: Schedule) -> TrajectoryCost:
        W, b = self._readout(theta)
        return TrajectoryCost(
            W,
            b,
            y.values,
            y.weights,
            1.0 / y.total,
            False,
            schedule.points,
            schedule.reading,
            np.zeros((0, 0)),
        )

    def _readout(self, theta: Array) -> tuple[Array, Array]:
        """C and c; C without rows where the state itself is observed."""
        d, m = self.ode.dim, self.n_channels
        if not self.readout:
            C = np.zeros((0, d)) if self.observed is None else self.observed
            return C, np.zeros(len(C))
        tail = theta[self.ode.n_parameters :]
        return tail[: m * d].reshape(m, d), tail[m * d : m * d + m]

    def _outputs(self, theta: Array, x: Array, schedule: Schedule) -> Array:
        """C z + c at the schedule's times, (N, K, m), theta and x real or complex."""
        return self._read(theta, self._states_seen(theta, x, schedule))

    def _read(self, theta: Array, z: Array) -> Array:
        """C z + c of states (N, K, d)."""
        W, b = self._readout(theta)
        if not len(W):
            return z
        N, K, d = z.shape
        with np.errstate(over="ignore", invalid="ignore"):
            return (product(z.reshape(N * K, d), W.T) + b).reshape(N, K, len(W))

    def _start(self, theta: Array, x: Array) -> Array:
        """States at t0, theta's own with initial='fitted'."""
        if not self.fitted:
            return x
        return theta[self.layout.slices["x0"]].reshape(self.layout.shapes["x0"])

    def _states_seen(self, theta: Array, x: Array, schedule: Schedule) -> Array:
        """States at the schedule's times, (N, K, d)."""
        ode, plan = schedule.ode, schedule.plan
        E = ode.field.prepare(ode.stage_weights(theta[: ode.n_parameters], plan), False)
        return schedule.states(E, x)


def _with_times(
    cost: TrajectoryCost, plan: Any, schedule: Schedule, n: int
) -> tuple[TrajectoryCost, Any]:
    """Where the sweep puts cotangents of times that it knows: the cost's, or the scheme's."""
    if not len(schedule.points):
        return cost._replace(times_bar=np.zeros((n, schedule.n_times))), plan
    scheme = plan.scheme
    if isinstance(scheme, OwnSteps):
        plan = plan._replace(scheme=scheme._replace(h_bar=np.zeros((len(scheme.h), n))))
    return cost, plan
