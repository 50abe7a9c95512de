"""Planning for the state: steps as long as an embedded pair allows, (D128), (D129)."""

from __future__ import annotations

import itertools
from functools import partial
from typing import NamedTuple

import numpy as np

from refode import _validate
from refode._products import product
from refode.adaptation.course import Course
from refode.adaptation.moving import Moving, moving_of, nothing
from refode.adaptation.pairs import EmbeddedPair
from refode.adaptation.settings import Settings
from refode.bases import SAME_TIME, Constant, PiecewiseConstant
from refode.machine.callbacks import heard
from refode.machine.counting import WAY
from refode.machine.parts import link
from refode.machine.threads import Team
from refode.ode.driver import _EXPLICIT
from refode.ode.finite import all_finite
from refode.ode.shares import Borders
from refode.sweeps import planning as kernel
from refode.sweeps import trying
from refode.sweeps.contract import DYNAMICS

Array = np.ndarray

#: Tried steps before the kernel comes back, and states of a path that is kept.
AT_ONCE, KEPT = 256, 64
#: Of so many samples a slope is there sooner than other threads are.
FEW = 256
#: A share of this of the span is the shortest step: below it stages share their weights.
SHORTEST = 4 * SAME_TIME


class Planned(NamedTuple):
    """A grid for the state."""

    nodes: Array  # (n+1,), along the span
    tried: Array  # the kernel's log, a row a tried step
    path: Array | None  # (n+1, n_blocks*rows, S), if it was asked for
    evaluations: int

    @property
    def taken(self) -> Array:
        """Rows of the log that became steps."""
        return self.tried[self.tried[:, kernel.TAKEN] == 1.0]


class Planner:
    """One way through a course's span.

    Parameters
    ----------
    course : Course
    pair : EmbeddedPair
    settings : Settings
    keep : bool
        Whether the states at the grid's points are wanted.
    """

    def __init__(
        self, course: Course, pair: EmbeddedPair, settings: Settings, keep: bool = False
    ) -> None:
        self.course, self.pair, self.settings = course, pair, settings
        self.sweep = sweep = course.sweep
        self.entry = kernel.plan_chunks.of(float)
        self.dynamics = link(DYNAMICS, sweep.dynamics, "d", _EXPLICIT[False], hold=True)
        self.borders = Borders.of(len(course.start), self.sweep.block)
        self.labels = [label for _, label in course.rows if label]
        self.keep, self.path = keep, list[Array]()
        self.tried, self.n_tried, self.evaluations = list[Array](), 0, 0
        self._allocate()
        self._weigh()

    # --- what the kernel gets ---------------------------------------------------------------
    def _allocate(self) -> None:
        S, n_blocks, rows = self.borders.S, self.borders.runs[-1][1], self.sweep.rows
        places = KEPT + 1 if self.keep else 2
        _validate.affordable(self.course.name, self.course.start, 8 * places * n_blocks * rows * S)
        self.states = np.zeros((places, n_blocks * rows, S))
        self.slopes = np.zeros((2, n_blocks * rows, S))
        self.found = np.zeros((n_blocks, max(6, 4 + len(self.labels))))
        self.shared = np.zeros(10, dtype=np.int64)
        self.outcome = np.zeros(2, dtype=np.int64)
        counted = [
            (part in self.settings.error_in) + 2 * bool(label) for part, label in self.course.rows
        ]
        self.counted = np.array(counted, dtype=np.int64)
        k, pi = self.pair.exponent, self.settings.controller == "pi"
        span = self.course.span
        length, far = abs(span[1] - span[0]), max(map(abs, span))
        self.shortest = max(SHORTEST * length, 8.0 * float(np.spacing(far)))
        control = np.zeros(8)
        control[[trying.ATOL, trying.RTOL]] = self.settings.atol, self.settings.rtol
        control[[trying.NOW, trying.THEN]] = (-0.7 * k, 0.4 * k) if pi else (-k, 0.0)
        control[[trying.AGAIN, trying.SHORTEST]] = -k, self.shortest
        control[trying.ROWS] = (self.counted % 2).sum()
        control[trying.MEAN] = float(self.settings.norm == "rms")
        self.control = control
        self.under_way = np.zeros(6)
        self.runs = np.array(self.borders.runs)
        self.own_slots = np.arange(self.pair.n_stages)

    def _weigh(self) -> None:
        """Stretches between stops, and the weights on them, if they stand still there."""
        course = self.course
        stops = sorted({*course.borders(), *self._stops()}, reverse=course.span[0] > course.span[1])
        points = [course.span[0], *stops, course.span[1]]
        self.stretches = list(itertools.pairwise(points))
        self.coefficients = course.coefficients()
        self.still = isinstance(course.ode.basis, PiecewiseConstant)
        if isinstance(course.ode.basis, Constant):
            self.E = course.effective(self.coefficients)
            self.slots = np.zeros((len(self.stretches), self.pair.n_stages), dtype=np.int64)
        elif self.still:
            s = course.along(np.array(points))
            table = course.ode.basis._stages(s[:-1], s[1:], self.pair.c, "t_span")
            self.E = course.effective(product(table.P, self.coefficients))
            self.slots = table.slots

        self.moving = nothing()
        if not self.still:
            found = moving_of(course, self.coefficients)
            if found is not None:
                self.moving = found
                self.E = np.empty((self.pair.n_stages, found.values.shape[1]))

    def _stops(self) -> list[float]:
        low, high = sorted(self.course.span)
        for stop in self.settings.stops:
            if not low <= stop <= high:
                raise ValueError(f"stops: got {stop}, wanted times within [{low}, {high}]")
        return [stop for stop in self.settings.stops if low < stop < high]

    def _weights_at(self, t: Array) -> Array:
        """Effective weights at so many times: a row each, in a basis that moves."""
        basis = self.course.ode.basis
        s = basis._inside(self.course.along(t), "t_span")
        return self.course.effective(product(basis._dense(s), self.coefficients))

    # --- the plan -----------------------------------------------------------------------------
    def run(self) -> Planned:
        """The grid.

        Raises
        ------
        ValueError
            A start without finite slopes; steps that become too short, or too many.
        """
        self._begin()
        for number, (start, end) in enumerate(self.stretches):
            self.under_way[[trying.T, trying.STOP]] = start, end
            if self.still and number and self.slots[number, 0] != self.slots[number - 1, 0]:
                self.shared[trying.KNOWN] = 0  # the slope is another one beyond the border
            self._cover(number)
        tried = np.concatenate(self.tried)
        taken = tried[tried[:, kernel.TAKEN] == 1.0]
        nodes = np.append(taken[:, kernel.STARTED], self.course.span[1])
        return Planned(nodes, tried, self._whole_path(), self.evaluations)

    def _begin(self) -> None:
        """States, slopes and the first step's length by Hairer, Norsett and Wanner, (D129)."""
        t0, T = self.course.span
        self.under_way[[trying.T, trying.BEFORE]] = t0, 1.0
        self._do(trying.SLOPES, t0)
        self.evaluations += 1
        d1, d0 = self._norm(0), self._norm(4)
        if not np.isfinite(d1):
            self._blame_slopes()
        self.shared[trying.KNOWN] = 1
        length = abs(T - t0)
        if self.settings.first_step is not None:
            self.under_way[trying.LENGTH] = min(self.settings.first_step, length)
            return
        h0 = min(1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1, length)
        self.under_way[trying.STEP] = float(np.copysign(h0, T - t0))
        self._do(trying.PROBE, t0 + self.under_way[trying.STEP])
        self.evaluations += 1
        largest = max(d1, self._norm(0) / h0)
        flat = largest <= 1e-15
        h1 = max(1e-6, 1e-3 * h0) if flat else (0.01 / largest) ** self.pair.exponent
        self.under_way[trying.LENGTH] = min(100.0 * h0, h1, length)

    def _norm(self, column: int) -> float:
        largest = self.found[:, column].max()
        if self.control[trying.MEAN]:
            largest = self.found[:, 5 if column == 4 else 2].sum() / len(self.course.start)
        return float(np.sqrt(largest / self.control[trying.ROWS]))

    def _blame_slopes(self) -> None:
        columns = np.nonzero(self.counted % 2)[0]
        n, S, rows = len(self.course.start), self.borders.S, self.sweep.rows
        slopes = self.slopes[0].reshape(-1, rows, S)[:, columns].transpose(0, 2, 1)
        all_finite(self.course.name, slopes.reshape(-1, len(columns))[:n], "slope")
        raise ValueError(
            f"atol: got {self.settings.atol}, against which slopes are too large to be squared, "
            "wanted a larger one"
        )

    def _cover(self, number: int) -> None:
        """One stretch, from stop to stop."""
        while True:
            log = self._logged(self._do_try(number))
            if self.outcome[0] == kernel.ARRIVED:
                if self.under_way[trying.T] == self.under_way[trying.STOP]:
                    return
            elif self.outcome[0] == kernel.TOO_SHORT:
                self._give_up("become shorter than", f"{self.shortest:.3g}", log[-1])
            if self.n_tried >= self.settings.max_steps:
                self._give_up("are more than", f"max_steps={self.settings.max_steps}", log[-1])
            if self.keep and self.shared[trying.HERE] + 1 == len(self.states):
                self._put_away()

    def _do_try(self, number: int) -> Array:
        left = self.settings.max_steps - self.n_tried
        moves = len(self.moving.values) > 0
        at_once = min(AT_ONCE, left) if self.still or moves else 1
        log = np.zeros((at_once, kernel.QUADRATURES + len(self.labels)))
        if self.still:
            self._call(trying.TRY, self.E, self.slots[number], log)
        elif moves:
            self._call(trying.TRY, self.E, self.own_slots, log, self.moving)
        else:
            t, h = self.under_way[trying.T], self._next_step()
            E = self._weights_at(t + self.pair.c * h)
            self._call(trying.TRY, E, self.own_slots, log)
        return log

    def _next_step(self) -> float:
        """The step that the kernel is about to try."""
        t, stop = self.under_way[trying.T], self.under_way[trying.STOP]
        wanted = self.under_way[trying.LENGTH]
        if wanted >= abs(stop - t) * (1.0 - kernel.CLOSE):
            return float(stop - t)
        return float(t + np.copysign(wanted, stop - t) - t)

    def _logged(self, log: Array) -> Array:
        log = log[: self.outcome[1]]
        self.tried.append(log)
        self.n_tried += len(log)
        self.evaluations += len(log) * (self.pair.n_stages - 1)
        if not self.pair.same:
            self.evaluations += int(log[:, kernel.TAKEN].sum())
        return log

    def _give_up(self, what: str, limit: str, last: Array) -> None:
        t, h, worst = last[kernel.STARTED], last[kernel.TRIED], int(last[kernel.WORST])
        raise ValueError(
            f"rtol, atol: got {self.settings.rtol} and {self.settings.atol}, for which steps "
            f"{what} {limit} at t = {t:.6g} (the last one tried is {h:.3g}), forced by sample "
            f"{worst} of {self.course.name}; wanted larger tolerances, a larger max_steps, "
            "smaller weights, or a scheme for stiff fields"
        )

    # --- calls --------------------------------------------------------------------------------
    def _do(self, what: int, t: float) -> None:
        """A task that is no step, with the weights at a time, where the step ends."""
        log, ends = np.zeros((1, kernel.QUADRATURES)), np.flatnonzero(self.pair.c == 1.0)
        if self.still:
            self._call(what, self.E, self.slots[0], log)
        elif len(self.moving.values) and len(ends):
            self._call(what, self.E, np.full(self.pair.n_stages, ends[0]), log, self.moving)
        else:
            slots = np.zeros(self.pair.n_stages, np.int64)
            self._call(what, self._weights_at(np.array([t])), slots, log)

    def _call(
        self, what: int, E: Array, slots: Array, log: Array, moving: Moving | None = None
    ) -> None:
        self.shared[: trying.WHAT] = 0
        self.shared[trying.WHAT] = what
        pair, sweep = self.pair, self.sweep
        solve = partial(
            self.entry,
            self.dynamics,
            pair.A,
            pair.b,
            pair.c,
            pair.differences,
            pair.same,
            E,
            np.ascontiguousarray(slots),
            self.course.start,
            self.runs,
            self.shared,
            self.under_way,
            self.control,
            self.counted,
            self.borders.S,
            sweep.rows,
            max(sweep.tape, 1),
            self.states,
            self.slopes,
            self.found,
            log,
            self.outcome,
            WAY,
            *(nothing() if moving is None else moving),
        )

        def work() -> None:
            try:
                solve()
            except BaseException:
                self.shared[trying.BROKEN] = 1  # nobody is to wait for what this thread had taken
                raise

        listening = heard(sweep.dynamics.field, work)
        alone = what != trying.TRY and self.borders.n <= FEW
        Team(listening, 1 if alone else len(self.runs)).around(listening)

    # --- the path -----------------------------------------------------------------------------
    def _put_away(self) -> None:
        """Keep what the array has, and go on from its beginning."""
        here = int(self.shared[trying.HERE])
        _validate.affordable(
            self.course.name, self.course.start, (len(self.path) + 2) * self.states.nbytes
        )
        self.path.append(self.states[:here].copy())
        self.states[0] = self.states[here]
        self.shared[trying.HERE] = 0

    def _whole_path(self) -> Array | None:
        if not self.keep:
            return None
        rest = self.states[: int(self.shared[trying.HERE]) + 1]
        return np.concatenate([*self.path, rest]) if self.path else rest
