"""What grids of fitted trajectories are planned for: paths that are observed along the way.

Times that all samples share are stops of the plan, and the cost is asked there. Each sample's own
times are read within steps, so that the interpolant's error counts too, (D173); of every step that
is looked at, whole or in halves, the interpolant is its own. With shooting each stretch is planned
by itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refode.adaptation.course import Course, Reached, rows_of_ode, watched
from refode.adaptation.plan import planned
from refode.adaptation.report import Adaptation
from refode.adaptation.settings import Settings
from refode.costs.reading import Reading
from refode.costs.trajectory import NOWHERE, TrajectoryCost, work_rows
from refode.ode.steps import Given
from refode.problems.driven import start_of
from refode.problems.observations import Observations
from refode.problems.schedules import Schedule, padded
from refode.problems.trajectory_arguments import Asked
from refode.sweeps.dynamics import Plain

Array = np.ndarray
Span = tuple[float, float]


class Planning(Asked):
    """Fitted trajectories whose steps can be planned."""

    def _planned(
        self, settings: Settings, gradient: bool, theta: Array, *data: Any
    ) -> tuple[Given, Adaptation]:
        x, y, schedules = data
        if self.steps_between is not None:
            raise ValueError(
                f"steps_between: got {self.steps_between}, by which each sample has steps of its "
                "own, wanted None where a grid is planned"
            )
        self._check_stops(settings)
        own = y.times.ndim == 2
        if not own:
            settings = settings._replace(stops=(*settings.stops, *y.times.tolist()))
        settings = settings._replace(interpolated=own)
        courses = watched(self._courses(theta, x, y, schedules), gradient)
        return planned(courses, settings, in_turn=self.shooting is not None)

    def _check_stops(self, settings: Settings) -> None:
        low, high = sorted(self.ode.t_span)
        for stop in settings.stops:
            if not low <= stop <= high:
                raise ValueError(f"stops: got {stop}, wanted times within [{low}, {high}]")

    def _courses(self, theta: Array, *data: Any) -> list[Course]:
        x, y, schedules = data
        t0, T = self.ode.t_span
        start = self._start(theta, x)
        if self.shooting is None:
            return [self._course(theta, start, y, schedules, (t0, T))]
        nodes, ends = self._nodes(theta), [t0, *self.shooting.tolist(), T]
        return [
            self._course(
                theta,
                start if k == 0 else np.ascontiguousarray(nodes[:, k - 1]),
                y,
                schedule,
                (ends[k], ends[k + 1]),
                k,
            )
            for k, schedule in enumerate(schedules)
        ]

    def _course(
        self,
        theta: Array,
        start: Array,
        y: Observations,
        schedule: Schedule,
        span: Span,
        k: int = 0,
    ) -> Course:
        """One way from t0 or from a node to the next one, or to the end."""
        ode = schedule.ode  # with a row more for inputs, which stands still
        sweep = ode.sweep(schedule.plan, Plain, np.dtype(float))
        rows = work_rows(ode.dim)
        n_cost = self.n_channels * (self.ode.dim + 1) if self.readout else 0
        cost = self._cost(theta, y, schedule)
        times = y.times if y.times.ndim == 1 else padded(y.times, ode.t_span[0])

        def paid(E: Array, reached: Reached) -> tuple[Any, int, int]:
            if times.ndim == 1:
                points = points_of(reached.nodes, times, first=k == 0)
                seen = cost._replace(points=points, reading=NOWHERE)
            else:
                seen = _read_in(cost, reached.times, times, reached.nodes[0] if k == 0 else None)
            if self.shooting is None:
                return seen, rows, n_cost
            return self._stretch_cost(theta, seen, k, schedule, len(start)), rows, n_cost

        return Course(
            ode,
            theta[: ode.n_parameters],
            span,
            sweep,
            False,
            start_of(ode, start),
            rows_of_ode(self.ode.dim, ("z",)) + (("", ""),) * (ode.dim - self.ode.dim),
            paid,
            "nodes" if k else "x",
            charged_along=True,
        )


def points_of(nodes: Array, times: Array, first: bool) -> Array:
    """Which time each point of a path is, -1 for none; where it begins only if it is the first."""
    points = np.full(len(nodes), -1)
    way = 1.0 if nodes[-1] > nodes[0] else -1.0
    places = np.searchsorted(way * nodes, way * times)
    there = nodes[np.minimum(places, len(nodes) - 1)] == times
    if not first:
        there &= places > 0
    points[places[there]] = np.flatnonzero(there)
    return points


def _read_in(
    cost: TrajectoryCost, steps: Array, times: Array, start: float | None
) -> TrajectoryCost:
    """The cost of what is observed within steps that need not follow one another.

    ``steps`` (n, m+1), each row m steps, in the order of the path, as are the times (N, K). What
    is not within any is left out: a sample's observations are those that are, in order.
    """
    begin, fraction, which = reading_in(steps, times, start)
    take = which[:, :, None]
    return cost._replace(
        points=np.zeros(0, np.int64),
        reading=Reading(begin, fraction, cost.reading.shares),
        targets=np.take_along_axis(cost.targets, take, axis=1),
        weights=np.take_along_axis(cost.weights, take, axis=1),
    )


def reading_in(steps: Array, times: Array, start: float | None) -> tuple[Array, Array, Array]:
    """``Reading``'s begin and fraction of times in steps, and which time each is.

    A time where a step begins is not within it, unless all paths begin there, at ``start``.
    """
    starts, ends = steps[:, :-1].ravel(), steps[:, 1:].ravel()
    way = 1.0 if ends[0] > starts[0] else -1.0
    places = np.searchsorted(way * starts, way * times, side="left") - 1
    if starts[0] == start:
        places[times == start] = 0
    there = places >= 0
    places = np.maximum(places, 0)
    there &= way * times <= way * ends[places]
    n, most = len(starts), max(1, int(there.sum(axis=1).max()))
    which = np.argsort(~there, axis=1, kind="stable")[:, :most]
    begin = np.zeros((len(times), n + 1), np.int64)
    rows = np.repeat(np.arange(len(times)), times.shape[1])[there.ravel()]
    np.add.at(begin, (rows, places[there] + 1), 1)
    places, times = (np.take_along_axis(a, which, axis=1) for a in (places, times))
    fraction = np.clip((times - starts[places]) / (ends[places] - starts[places]), 0.0, 1.0)
    return np.cumsum(begin, axis=1), np.ascontiguousarray(fraction), which
