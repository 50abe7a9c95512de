"""When trajectories are observed, laid out for sweeps: at points of a grid, or within its steps.

Three ways, (D135)-(D137): common times are stops of the grid; each sample's own times are read by
the scheme's interpolant; or each sample takes so many steps of its own between its times.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refode._products import product
from refode.costs.reading import Reading
from refode.costs.trajectory import NOWHERE
from refode.ode import driver, interpolation
from refode.ode.interpolating import with_reading
from refode.ode.neural_ode import NeuralODE
from refode.ode.plan import Plan, planned
from refode.ode.steps import Equal, Given, Steps
from refode.problems.driven import start_of
from refode.sweeps.dynamics import Plain
from refode.sweeps.own_steps import OwnSteps

Array = np.ndarray
#: Points of the ode's grid this close to a stop, relative to t_span's length, give way to it.
SAME = 1e-12


class Schedule(NamedTuple):
    """A plan with what is observed where."""

    ode: NeuralODE  # what is swept: of a row more where there are inputs
    plan: Plan
    points: Array  # (n_steps+1,): which time a point of the grid is, -1 for none; or empty
    reading: Reading
    n_times: int
    own: bool  # whether each sample has times of its own

    def states(self, E: Array, x: Array) -> Array:
        """States at the times, (N, K, d), real or complex."""
        seen = self._swept(E, start_of(self.ode, x))
        return seen if seen.shape[2] == x.shape[1] else np.ascontiguousarray(seen[:, :, :-1])

    def _swept(self, E: Array, x: Array) -> Array:
        sweep = self.ode.sweep(self.plan, Plain, E.dtype)
        if not len(self.points):
            return interpolation.read(sweep, E, x, self.reading, self.n_times)
        states = driver.forward(sweep, E, x, whole=True)
        there = self.points >= 0
        out = np.full((len(x), self.n_times, states.shape[2]), np.nan, states.dtype)
        out[:, self.points[there]] = states[there].transpose(1, 0, 2)
        return out


def schedule_of(ode: NeuralODE, times: Array, steps_between: int | None) -> Schedule:
    """The schedule of times (K,) or (N, K) in order, of which samples' own may be NaN."""
    if steps_between is not None:
        return _own_steps(ode, times, steps_between)
    return _stops(ode, times) if times.ndim == 1 else _within(ode, times)


def _stops(ode: NeuralODE, times: Array) -> Schedule:
    """The ode's grid with the times as points, up to the last of them."""
    nodes = stops_of(ode, times)
    plan = planned(_steps(ode, nodes), ode.basis, ode._scheme, ode.t_span, _ends(nodes))
    points = np.full(len(nodes), -1)
    points[np.searchsorted(_way(ode) * nodes, _way(ode) * times)] = np.arange(len(times))
    return Schedule(ode, plan, points, NOWHERE, len(times), False)


def stops_of(ode: NeuralODE, times: Array) -> Array:
    """Points of the ode's grid and the times, in order, up to the last time."""
    nodes, way = ode.steps.nodes(ode.t_span), _way(ode)
    length = abs(ode.t_span[1] - ode.t_span[0])
    near = np.abs(nodes[1:, None] - times).min(axis=1) <= SAME * length
    kept = np.concatenate([nodes[:1], nodes[1:][~near]])
    every = way * np.unique(way * np.concatenate([kept, times]))
    last = max(1, int(np.searchsorted(way * every, way * times[-1])))
    return every[: last + 1]


def _within(ode: NeuralODE, times: Array) -> Schedule:
    """The ode's grid, up to the last time of any sample."""
    times, way = padded(times, ode.t_span[0]), _way(ode)
    nodes = ode.steps.nodes(ode.t_span)
    last = max(1, int(np.searchsorted(way * nodes, (way * times).max())))
    nodes = nodes[: last + 1]
    plan, shares = ode.dense_plan(_steps(ode, nodes), _ends(nodes))
    reading = interpolation.reading_of(nodes, times, shares)
    nowhere = np.zeros(0, np.int64)
    return Schedule(ode, with_reading(plan, reading), nowhere, reading, times.shape[1], True)


def stretches_of(ode: NeuralODE, times: Array, nodes: Array) -> tuple[Schedule, ...]:
    """A schedule for each stretch between t0, the nodes and the last time, (D141).

    A time at a node is observed where a stretch ends.
    """
    way = _way(ode)
    last = way * np.nanmax(way * times)
    if times.ndim == 2:  # read within the ode's own steps
        every = ode.steps.nodes(ode.t_span)
        last = every[np.searchsorted(way * every, way * last)]
    ends = [ode.t_span[0], *nodes, last]
    return tuple(
        _stretch(ode, times, a, b, k == 0)
        for k, (a, b) in enumerate(zip(ends, ends[1:], strict=False))
        if way * (b - a) > 0.0
    )


def _stretch(ode: NeuralODE, times: Array, a: float, b: float, first: bool) -> Schedule:
    way, length = _way(ode), abs(ode.t_span[1] - ode.t_span[0])
    nodes = ode.steps.nodes(ode.t_span)
    common = times.ndim == 1
    inside = times[(way * times > way * a) & (way * times <= way * b)] if common else np.zeros(0)
    stops = np.unique(way * np.concatenate([[a, b], inside])) * way
    inner = nodes[(way * nodes > way * a) & (way * nodes < way * b)]
    inner = inner[np.abs(inner[:, None] - stops).min(axis=1) > SAME * length]
    grid = way * np.sort(way * np.concatenate([stops, inner]))
    if common:
        plan = planned(_steps(ode, grid), ode.basis, ode._scheme, ode.t_span, _ends(grid))
        points = np.full(len(grid), -1)
        j = np.flatnonzero((way * times > way * a) & (way * times <= way * b))
        points[np.searchsorted(way * grid, way * times[j])] = j
        if first and times[0] == a:
            points[0] = 0
        return Schedule(ode, plan, points, NOWHERE, len(times), False)
    filled = padded(times, ode.t_span[0])
    plan, shares = ode.dense_plan(_steps(ode, grid), _ends(grid))
    reading = interpolation.reading_of(grid, filled, shares, first)
    nowhere = np.zeros(0, np.int64)
    return Schedule(ode, with_reading(plan, reading), nowhere, reading, times.shape[1], True)


def _own_steps(ode: NeuralODE, times: Array, each: int) -> Schedule:
    """So many steps of each sample's own before each of its times."""
    own = times.ndim == 2
    times = padded(np.atleast_2d(times), ode.t_span[0])
    K = times.shape[1]
    durations = np.diff(times, axis=1, prepend=ode.t_span[0])
    plan = planned(Equal(K * each), ode.basis, ode._scheme, ode.t_span, ode.t_span)
    scheme = ode._scheme
    h = np.ascontiguousarray(durations.T) / each
    plan = plan._replace(scheme=OwnSteps(scheme.A, scheme.b, scheme.c, each, h, np.zeros((0, 0))))
    points = np.full(K * each + 1, -1)
    points[each::each] = np.arange(K)
    return Schedule(ode, plan, points, NOWHERE, K, own)


def padded(times: Array, start: float) -> Array:
    """Times (N, K) with NaN replaced by the time before, or by the start."""
    there = ~np.isnan(times)
    if there.all():
        return times
    places = np.maximum.accumulate(np.where(there, np.arange(times.shape[1]), -1), axis=1)
    filled = np.take_along_axis(times, np.maximum(places, 0), axis=1)
    return np.where(places < 0, start, filled)


def node_bars(
    ode: NeuralODE, plan: Plan, time_bar: Array, weights_bar: Array, Theta: Array
) -> Array:
    """Cotangents of all points of a grid, (n_steps+1,), eq. (D139).

    Of t_n and h_n = t_{n+1} - t_n as steps; and of the times at which stages read theta(t).
    """
    n_steps = len(plan.grid.t)
    bars = np.zeros(n_steps + 1)
    bars[:-1] += time_bar[:, 0] - time_bar[:, 1]
    bars[1:] += time_bar[:, 1]
    slot_bar = (product(plan.dP, Theta) * weights_bar).sum(axis=1)
    slot_bar /= ode.t_span[1] - ode.t_span[0]
    slots, first = np.unique(plan.grid.slots, return_index=True)  # one stage tells a slot's time
    step, stage = np.divmod(first, plan.grid.slots.shape[1])
    c = plan.scheme.c[stage]
    np.add.at(bars, step, (1.0 - c) * slot_bar[slots])
    np.add.at(bars, step + 1, c * slot_bar[slots])
    return bars


def own_bars(duration_bar: Array, times: Array) -> Array:
    """Cotangents of times (K,) or (N, K) from those of the durations before them (N, K).

    A missing time is the one before it: what it would get goes there.
    """
    bars = duration_bar.copy()
    bars[:, :-1] -= duration_bar[:, 1:]
    if times.ndim == 1:
        return bars.sum(axis=0)
    missing = np.isnan(times)
    for j in range(times.shape[1] - 1, -1, -1):
        if j > 0:
            bars[:, j - 1] += np.where(missing[:, j], bars[:, j], 0.0)
        bars[missing[:, j], j] = 0.0
    return bars


def _steps(ode: NeuralODE, nodes: Array) -> Steps:
    """Steps between nodes: the ode's own, with their bits, where the nodes are all of its."""
    own = ode.steps.nodes(ode.t_span)
    return ode.steps if np.array_equal(nodes, own) else Given(nodes)


def _ends(nodes: Array) -> tuple[float, float]:
    return float(nodes[0]), float(nodes[-1])


def _way(ode: Any) -> float:
    return 1.0 if ode.t_span[1] > ode.t_span[0] else -1.0
