"""Planning for the gradient: steps are halved until their shares are exact, (D130), (D131)."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from refode._products import product
from refode.adaptation.course import Course, Reached
from refode.adaptation.pairs import EmbeddedPair
from refode.adaptation.planner import SHORTEST, Planned
from refode.adaptation.settings import Settings
from refode.bases import Constant, PiecewiseConstant
from refode.costs.contract import COST, everywhere, within
from refode.machine.callbacks import heard
from refode.machine.parts import link
from refode.machine.threads import Team
from refode.ode.driver import _OBSERVE, _parts
from refode.ode.interpolation import wanted_steps
from refode.ode.shares import Borders, added
from refode.sweeps.shares import (
    APART,
    EXTENT,
    FOUND,
    LARGEST,
    MOVED,
    SIZE,
    TOTAL,
    WORST,
    share_chunks,
)
from refode.sweeps.sweep import STORE

Array = np.ndarray

#: Bytes of what intervals looked at together may keep.
AT_ONCE = 2**28


class Watched(NamedTuple):
    """A grid for the gradient too."""

    nodes: Array
    halved: int
    error: float  # estimated, of the largest entry of theta_bar
    evaluations: int  # of slopes
    adjoints: int  # of slopes' adjoints


class Intervals(NamedTuple):
    """Steps that are looked at together, with what is known of each."""

    start: Array  # (n,), times
    end: Array
    places: Array  # in the path, where they begin
    path: Array
    end_bars: Array  # (n, n_blocks*rows, S): the cotangent at each one's end
    start_bars: Array  # (n, n_blocks*rows, S): that at its start by one step
    shares: Array  # (n, p): of theta_bar, by one step
    states: Array  # where one step leads, by places
    state_places: Array

    @property
    def middle(self) -> Array:
        return self.start + 0.5 * (self.end - self.start)


class Shares(NamedTuple):
    """What the kernel gives for intervals of m steps, by interval and step."""

    Y: Array  # (n, m, n_blocks*rows, S), or empty
    L: Array  # (n, m, n_blocks*rows, S)
    of_theta: Array  # (n, m, p)
    found: Array  # (n, n_blocks, FOUND)


class Halving:
    """One way back along a grid that has been planned for the state.

    Parameters
    ----------
    course : Course
        With a cost.
    pair : EmbeddedPair
    settings : Settings
    planned : Planned
        With its path.
    """

    def __init__(
        self, course: Course, pair: EmbeddedPair, settings: Settings, planned: Planned
    ) -> None:
        self.course, self.pair, self.settings, self.planned = course, pair, settings, planned
        self.sweep = course.sweep
        self.borders = Borders.of(len(course.start), self.sweep.block)
        self.coefficients = course.coefficients()
        self.still = isinstance(course.ode.basis, PiecewiseConstant)
        self.length = abs(course.span[1] - course.span[0])
        self.n_rows = sum(part == "z" for part, _ in course.rows)
        self.n_stages = len(self.sweep.scheme.c)
        self.evaluations = self.adjoints = 0
        self.sizes = np.zeros(len(course.start))  # of the samples' cotangents
        self.nodes: list[float] = []
        self.total = np.zeros(self.coefficients.size)  # theta_bar of the steps so far
        self.largest = 0.0  # of its entries, so far
        self.estimate = Estimate(self.coefficients.size, 2.0**self.pair.order - 1.0)

    def run(self) -> Watched:
        """The grid, finer where the gradient wants it."""
        nodes, path = self.planned.nodes, self.planned.path
        assert path is not None
        n = len(nodes) - 1
        window = self._window()
        end_bar: Array | None = None
        for end in range(n, 0, -window):
            end_bar = self._window_done(nodes, path, max(0, end - window), end, end_bar)
        kept = np.array([*self.nodes, nodes[-1]])
        kept = kept[np.argsort(kept if nodes[-1] > nodes[0] else -kept)]
        halved = len(kept) - 1 - n
        return Watched(kept, halved, self.estimate.error(), self.evaluations, self.adjoints)

    def _window(self) -> int:
        """How many intervals are looked at together."""
        each = self.planned.path[0].nbytes * 8  # type: ignore[index]
        q = 3 * self.coefficients.shape[1] * (1 if self.still else 2 * self.n_stages)
        each += 8 * q * (len(self.borders.runs) + 2) + 24 * self.coefficients.size
        return max(1, int(AT_ONCE // each))

    def _window_done(
        self, nodes: Array, path: Array, begin: int, end: int, end_bar: Array | None
    ) -> Array:
        """Steps begin, ..., end-1 of the plan; the cotangent where they begin."""
        start, stop, places = nodes[begin:end], nodes[begin + 1 : end + 1], np.arange(begin, end)
        end_bars = np.empty((end - begin + 1, *path.shape[1:]))
        if end_bar is not None:
            end_bars[-1] = end_bar
        times = np.stack([start, stop], axis=1)
        whole = self._shares(times, places, path, end_bars, charged=end_bar is None)
        if end_bar is None or self.course.charged_along:
            self._measure(end_bars if self.course.charged_along else end_bars[-1:])
        partial_sums = self.total + np.cumsum(whole.of_theta[::-1, 0], axis=0)
        self.total = partial_sums[-1]
        self.largest = max(self.largest, float(np.abs(partial_sums).max()))
        self._halve(
            Intervals(
                start,
                stop,
                places,
                path,
                end_bars[1:],
                whole.L[:, 0],
                whole.of_theta[:, 0],
                path,
                places + 1,
            )
        )
        return end_bars[0]

    # --- scales -------------------------------------------------------------------------------
    def _measure(self, bars: Array) -> None:
        """Sizes of cotangents, which tolerances refer to: the largest so far."""
        blocks = np.abs(bars.reshape(len(bars), -1, self.sweep.rows, self.borders.S))
        sizes = blocks.max(axis=(0, 2)).ravel()[: len(self.course.start)]
        self.sizes = np.maximum(self.sizes, sizes)

    def _ends(self) -> Array:
        """The states at the ends of the paths, (N, d)."""
        end = self.planned.path[-1]  # type: ignore[index]
        blocks = end.reshape(-1, self.sweep.rows, self.borders.S)[:, : self.n_rows]
        states = blocks.transpose(0, 2, 1).reshape(-1, self.n_rows)
        return np.ascontiguousarray(states[: len(self.course.start)])

    # --- the test -----------------------------------------------------------------------------
    def _halve(self, given: Intervals) -> None:
        """Take in those steps that are as good as their halves, and look at the others' halves."""
        while len(given.start):
            middle = given.middle
            times = np.stack([given.start, middle, given.end], axis=1)
            halves = self._shares(times, given.places, given.path, given.end_bars, known=given)
            fails, worst = self._compared(given, halves)
            good = ~fails
            self.nodes += given.start[good].tolist()
            if not fails.any():
                return
            self._check(given, fails, worst)
            given = self._children(given, halves, fails)

    def _compared(self, given: Intervals, halves: Shares) -> tuple[Array, Array]:
        """Which steps have too large an error, and by which sample each."""
        rtol, atol = self.settings.rtol, self.settings.atol
        lengths = np.abs(given.end - given.start)
        difference = given.shares - halves.of_theta.sum(axis=1)
        of_theta = np.abs(difference).max(axis=1)
        allowed = atol * float(self.sizes.sum()) + rtol * self.largest
        found = halves.found
        block = found[:, :, LARGEST].argmax(axis=1)
        each = np.arange(len(found))
        by_cotangent = found[each, block, LARGEST]
        if self.settings.norm == "rms":
            by_cotangent = found[:, :, TOTAL].sum(axis=1) / len(self.course.start)
        fails = ~((of_theta <= allowed * lengths / self.length) & (by_cotangent <= 1.0))
        self.estimate.take(given, difference, of_theta, found, ~fails)
        return fails, found[each, block, WORST].astype(int)

    def _check(self, given: Intervals, fails: Array, worst: Array) -> None:
        lengths = np.abs(given.end - given.start)
        finest = max(2.0 * SHORTEST * self.length, 16.0 * np.spacing(np.abs(given.end).max()))
        i = int(np.argmax(fails))
        too_short = fails & (lengths < finest)
        n = len(self.nodes) + 2 * int(fails.sum())
        if not too_short.any() and n <= self.settings.max_steps:
            return
        what = f"are more than max_steps={self.settings.max_steps}"
        if too_short.any():
            i, what = int(np.argmax(too_short)), f"become shorter than {finest:.3g}"
        raise ValueError(
            f"rtol, atol: got {self.settings.rtol} and {self.settings.atol}, for which steps "
            f"{what} at t = {given.start[i]:.6g}, where the gradient wants it, forced by sample "
            f"{worst[i]} of {self.course.name}; wanted larger tolerances, a larger max_steps, "
            "smaller weights, or a scheme for stiff fields"
        )

    def _children(self, given: Intervals, halves: Shares, fails: Array) -> Intervals:
        """The halves of those steps that fail, each with what is known of it already."""
        which, middle = np.flatnonzero(fails), given.middle[fails]
        n = len(which)

        def pairs(first: Array, second: Array) -> Array:
            return np.stack([first, second], axis=1).reshape(2 * n, *first.shape[1:])

        path = pairs(given.path[given.places[which]], halves.Y[which, 0])
        return Intervals(
            pairs(given.start[fails], middle),
            pairs(middle, given.end[fails]),
            np.arange(2 * n),
            path,
            pairs(halves.L[which, 1], given.end_bars[fails]),
            pairs(halves.L[which, 0], halves.L[which, 1]),
            pairs(halves.of_theta[which, 0], halves.of_theta[which, 1]),
            pairs(halves.Y[which, 0], halves.Y[which, 1]),
            np.arange(2 * n),
        )

    # --- what the kernel gives -------------------------------------------------------------------
    def _shares(
        self,
        times: Array,
        places: Array,
        path: Array,
        end_bars: Array,
        charged: bool = False,
        known: Intervals | None = None,
    ) -> Shares:
        """Of intervals of m steps between times (n, m+1).

        Without anything known they follow one another, and ``end_bars`` is written to.
        """
        n, m = times.shape[0], times.shape[1] - 1
        weights, which, slots, spread = self._weights(times)
        E = self.course.effective(weights)
        k, n_blocks = len(self.borders.runs), self.borders.runs[-1][1]
        shape, chain = (n * m, *path.shape[1:]), known is None
        Y, L = np.empty((0 if chain else n * m, *path.shape[1:])), np.empty(shape)
        E_bars = np.zeros((k, n * (slots.max() + 1), E.shape[1]))
        found = np.empty((n, n_blocks, FOUND))
        cost, cost_rows, n_cost = self.course.cost(  # type: ignore[misc]
            E, Reached(self.planned.nodes, self._ends, times)
        )
        sweep, reads = self.sweep._replace(memory=STORE), within(cost)
        if reads:
            sweep = sweep._replace(scheme=sweep.scheme._replace(wanted=wanted_steps(cost.reading)))
        dynamics, scheme = _parts(sweep, np.dtype(float), back=True)
        nothing = np.empty((0, *path.shape[1:]))
        compared = (nothing, nothing, np.arange(0))
        if known is not None:
            compared = (np.ascontiguousarray(known.start_bars), known.states, known.state_places)
        solve = partial(
            share_chunks.of(float),
            dynamics,
            scheme,
            link(COST, cost, np.dtype(float), _OBSERVE[reads]),
            np.ascontiguousarray(times[:, :-1]),
            np.diff(times, axis=1),
            slots,
            E,
            which,
            places,
            path,
            np.ascontiguousarray(end_bars),
            chain,
            charged,
            chain and everywhere(cost),
            reads,
            int(places[0]) if chain else 0,
            np.array(self.borders.runs),
            np.zeros(1, dtype=np.int64),
            len(self.course.start),
            self.sweep.rows,
            max(self.sweep.tape, 1),
            max(self.sweep.scratch, cost_rows, 1),
            Y,
            L,
            E_bars,
            np.zeros((k, n_cost)),
            np.zeros(k),
            *compared,
            self.n_rows,
            np.array([self.settings.atol * self.sizes.max(), self.settings.rtol]),
            found,
        )
        work = heard(self.sweep.dynamics.field, solve)
        Team(work, k).around(work)
        self.evaluations += n * m * self.n_stages
        self.adjoints += n * m * self.n_stages
        (E_bar,) = added((E_bars,))
        by_step = (n, m, *path.shape[1:])
        Y = Y if chain else Y.reshape(by_step)
        return Shares(Y, L.reshape(by_step), spread(E_bar), found)

    def _weights(self, times: Array) -> tuple[Array, Array, Array, Any]:
        """Weight sets; for each interval which are its own; slots; and how shares go to theta."""
        n, m = times.shape[0], times.shape[1] - 1
        basis, s = self.course.ode.basis, self.course.along(times)
        if self.still:  # a row a step, all stages of an interval in one cell
            P, which = np.ones((1, 1)), np.zeros(n, dtype=np.int64)
            if not isinstance(basis, Constant):
                table = basis._stages(s[:, 0], s[:, -1], np.zeros(1), "t_span")
                P, which = table.P.toarray(), np.ascontiguousarray(table.slots[:, 0])
            weights = np.repeat(product(P, self.coefficients), m, axis=0)
            slots = np.tile(np.arange(m)[:, None], (n, self.n_stages))
            rows = (which[:, None] * m + np.arange(m)).ravel()
            return weights, which, slots, partial(self._spread, weights, rows, P[which], m, 1)
        c = self.sweep.scheme.c
        at = s[:, :-1, None] + c * np.diff(s, axis=1)[:, :, None]
        P = basis._dense(basis._inside(at.ravel(), "t_span"))
        weights = product(P, self.coefficients)
        slots = np.tile(np.arange(m * self.n_stages).reshape(m, -1), (n, 1))
        rows = np.arange(len(weights))
        spread = partial(self._spread, weights, rows, P, m, self.n_stages)
        return weights, np.arange(n), slots, spread

    def _spread(
        self, weights: Array, rows: Array, P: Array, m: int, each: int, E_bar: Array
    ) -> Array:
        """Shares of theta_bar, (n, m, p), from those of the effective weights."""
        field, trace = self.course.ode.field, self.course.trace
        bar = field.prepare_adjoint(weights[rows], trace, E_bar)
        J = P.shape[1]
        n = len(bar) // (m * each)
        if each == 1:
            of_step = P[:, None, :, None] * bar.reshape(n, m, 1, -1)
        else:
            of_stage = bar.reshape(n, m, each, -1)
            of_step = np.einsum("nmej,nmew->nmjw", P.reshape(n, m, each, J), of_stage)
        return of_step.reshape(n, m, -1)


class Estimate:
    """The gradient's error, from what steps and their halves differ by, (D132)."""

    def __init__(self, p: int, gain: float) -> None:
        self.gain = gain  # by which a step's error is larger than its halves'
        self.signed = np.zeros(p)
        self.sizes = 0.0
        self.shares = self.relative = 0.0  # sums over steps

    def take(
        self, given: Intervals, difference: Array, of_theta: Array, found: Array, good: Array
    ) -> None:
        """Take in the steps that are good."""
        self.signed += difference[good].sum(axis=0)
        self.sizes += float(of_theta[good].sum())
        sums = found[good].sum(axis=1)
        share = np.abs(given.shares[good]).max(axis=1)
        of_bars = _ratio(sums[:, APART], sums[:, SIZE])
        of_states = np.sqrt(_ratio(sums[:, MOVED], sums[:, EXTENT]))
        self.shares += float(share.sum())
        self.relative += float((of_bars + of_states).sum())

    def error(self) -> float:
        """Of theta_bar's largest entry."""
        of_shares = float(np.abs(self.signed).max()) + self.sizes / self.gain
        return of_shares + self.shares * self.relative


def _ratio(a: Array, b: Array) -> Array:
    """a/b, 0 where b is."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0.0)
