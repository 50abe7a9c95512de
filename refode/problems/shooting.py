"""Multiple shooting: trajectories in stretches that an augmented Lagrangian joins, eq. (D141)."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode._quiet import quietly
from refode.costs.shooting import StretchCost
from refode.problems.driven import start_of
from refode.problems.observations import Observations
from refode.problems.schedules import Schedule
from refode.problems.trajectory_objective import Observing

Array = np.ndarray
NONE = np.zeros((0, 0))


class Shooting(Observing):
    """A problem whose paths may begin anew at nodes. A subclass sets the attributes below."""

    shooting: Array | None
    penalty: float
    multipliers: Array | None

    def _value_and_gradient(
        self, theta: Array, x: Array, y: Observations, schedule: Any
    ) -> tuple[Any, Array]:
        if self.shooting is None:
            return super()._value_and_gradient(theta, x, y, schedule)
        value, gradient, _ = self._stretches(theta, self._start(theta, x), y, schedule)
        penalty, penalty_bar = self._regulariser(theta)
        return value + penalty, gradient + penalty_bar

    @quietly()
    def gaps(self, theta: Array, x: Array | None, y: Observations) -> Array:
        """c, (N, n_nodes, d): where stretches end less the nodes where the next ones begin.

        Not finite where a path is not.
        """
        theta, x, y, stretches = self._arguments(theta, x, y)
        self._check_shooting()
        return self._stretches(theta, self._start(theta, x), y, stretches)[2]

    def _joining(self, gaps: Array) -> float:
        """The augmented Lagrangian's own terms."""
        value = 0.5 * self.penalty * float(np.sum(gaps**2))
        return value if self.multipliers is None else value + float(np.sum(self.multipliers * gaps))

    def _check_shooting(self) -> None:
        if self.shooting is None:
            raise ValueError("shooting: got None, wanted times of nodes")

    def _stretches(
        self, theta: Array, x: Array, y: Observations, stretches: tuple[Schedule, ...]
    ) -> tuple[Any, Array, Array]:
        """Value, gradient in theta, and the gaps: a sweep there and back for each stretch."""
        nodes, value = self._nodes(theta), theta[0] * 0
        gradient, gaps = np.zeros_like(theta), np.zeros_like(nodes)
        nodes_bar = self._nodes(gradient)
        for k, schedule in enumerate(stretches):
            more = k < nodes.shape[1]
            cost = self._stretch_cost(theta, self._cost(theta, y, schedule), k, schedule, len(x))
            start = x if k == 0 else nodes[:, k - 1]
            stretch = self._swept(theta, start, cost, schedule, want_x=True)
            value += stretch.value
            gradient[: len(stretch.theta)] += stretch.theta
            if k > 0:
                nodes_bar[:, k - 1] += stretch.x
            elif self.fitted:
                self._start(gradient, x)[...] += stretch.x
            if more:
                gaps[:, k] = gap = cost.gap[:, : x.shape[1]]
                nodes_bar[:, k] -= self._multipliers(k, x.shape[1]) + self.penalty * gap
        return value, gradient, gaps

    def _stretch_cost(
        self, theta: Array, seen: Any, k: int, schedule: Schedule, n: int
    ) -> StretchCost:
        """What is seen of n samples on the k-th stretch, and what its end is joined to."""
        nodes, d = self._nodes(theta), schedule.ode.dim
        node, multipliers = NONE.astype(theta.dtype), NONE
        if k < nodes.shape[1]:
            node = np.ascontiguousarray(start_of(schedule.ode, nodes[:, k]))
            multipliers = self._multipliers(k, d)
        gap = np.zeros((n, d), theta.dtype)
        return StretchCost(seen, node, multipliers, self.penalty, gap)

    def _multipliers(self, k: int, rows: int) -> Array:
        """Of the k-th node, (N, rows): 0 for what is no state."""
        out = np.zeros((self.n_samples or 0, rows))
        if self.multipliers is not None:
            out[:, : self.ode.dim] = self.multipliers[:, k]
        return out

    def _nodes(self, theta: Array) -> Array:
        """A view of the nodes, (N, n_nodes, d)."""
        place = self.layout.slices["nodes"]
        return theta[place].reshape(self.layout.shapes["nodes"])

    def _states_along(self, theta: Array, x: Array, schedule: Schedule) -> Array:
        """States on the path that begins at t0, whatever nodes there are."""
        return super()._states_seen(theta, x, schedule)

    def _states_seen(self, theta: Array, x: Array, schedule: Any) -> Array:
        if self.shooting is None:
            return super()._states_seen(theta, x, schedule)
        nodes, out = self._nodes(theta), None
        for k, stretch in enumerate(schedule):
            z = super()._states_seen(theta, x if k == 0 else nodes[:, k - 1], stretch)
            out = z if out is None else np.where(np.isnan(out), z, out)
        assert out is not None
        return out
