"""What single steps, whole or in parts, have in a gradient, (D130).

An interval begins at a state of a path that is known. It is gone through in m steps forward and
back, and what is added to the cotangent of the weights is its *share*. Intervals follow one
another backwards from the end of the path, or each has the cotangent at its end given.

It has no twin on the device: grids are planned on the CPU.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refode.costs.contract import COST, Moment, observe
from refode.machine.blocks import copy, fill
from refode.machine.compile import kernel
from refode.machine.counting import hold, take, uncounted
from refode.machine.parts import entry
from refode.machine.views import band
from refode.sweeps.contract import DYNAMICS, SCHEME, Cotangents, Step, step
from refode.sweeps.sweep import back, cut, kept_of, length

Array = np.ndarray


class Intervals(NamedTuple):
    """n intervals of m steps each; rows of states and cotangents are those of all blocks."""

    t: Array  # (n, m)
    h: Array  # (n, m)
    slots: Array  # (n*m, n_stages), among an interval's own weights
    E: Array  # effective weights, so many rows an interval's
    which: Array  # (n,), of these
    places: Array  # (n,), where in the path they begin
    path: Array  # (points, n_blocks*rows, S)
    #: (n, n_blocks*rows, S), the cotangents at their ends; of a chain (n+1, ...), at the first
    #: one's beginning too, of which the last is given and the others are written.
    end_bars: Array
    chain: bool  # whether they follow one another
    charged: bool  # whether the last one's end is that of the path, where the cost is asked
    everywhere: bool  # whether it is at the beginnings too
    within: bool  # whether it is within all steps, whose numbers are 0, ..., n*m-1
    point: int  # number of the grid's point where the first one begins


class Compared(NamedTuple):
    """What other steps through the same intervals have given, to compare with."""

    bars: Array  # (n, n_blocks*rows, S), cotangents at the starts; of length 0 for no comparison
    states: Array  # where the ends are, by places
    places: Array  # (n,)
    n_rows: int  # rows that are compared, the leading ones
    atol: float  # in the cotangents' units
    rtol: float
    found: Array  # (n, n_blocks, FOUND)


class Results(NamedTuple):
    """What comes out: for each step the state at its end, the cotangent at its start; shares."""

    Y: Array  # (n*m, n_blocks*rows, S), or of length 0 where nobody wants them
    L: Array  # (n*m, n_blocks*rows, S)
    E_bar: Array  # so many rows an interval's
    cost_bar: Array


#: Of a block's samples: the largest squared error of a cotangent, in tolerances, whose it is, and
#: the sum; sums of the differences' and the cotangents' sizes; of the states' squared ones.
LARGEST, WORST, TOTAL, APART, SIZE, MOVED, EXTENT, FOUND = range(8)


@entry(
    [
        DYNAMICS,
        SCHEME,
        COST,
        "M",
        "M",
        "J",
        "M",
        "I",
        "I",
        "T",
        "T",
        "b",
        "b",
        "b",
        "b",
        "i",
        "J",
        "I",
        "i",
        "i",
        "i",
        "i",
        "T",
        "T",
        "T",
        "M",
        "v",
        "T",
        "T",
        "I",
        "i",
        "v",
        "T",
    ]
)
def share_chunks(
    dynamics,
    scheme,
    cost,
    t,
    h,
    slots,
    E,
    which,
    places,
    path,
    end_bars,
    chain,
    charged,
    everywhere,
    within,
    point,
    runs,
    counter,
    n_samples,
    rows,
    tape_rows,
    scratch,
    Y_out,
    L_out,
    E_bars,
    cost_bars,
    values,
    known_bars,
    known_states,
    known_places,
    n_rows,
    tolerances,
    found,
):
    """Shares over the chunks that are left, one after another.

    Chunks and ``counter`` as in ``forward_chunks``; chunk i adds into E_bars[i], cost_bars[i] and
    values[i].
    """
    m, n_stages, S = t.shape[1], slots.shape[1], path.shape[2]
    kept = m * n_stages
    own = np.empty(length(S, rows, tape_rows, scratch, n_stages, kept, 0), E.dtype)
    given = (t, h, slots, E, which, places, path, end_bars, runs, counter)
    more = (Y_out, L_out, E_bars, cost_bars, values, known_bars, known_states, known_places, found)
    t, h, slots, E, which, places, path, end_bars, runs, counter = uncounted(given)
    Y_out, L_out, E_bars, cost_bars, values, known_bars, known_states, known_places, found = (
        uncounted(more)
    )
    mine = cut(uncounted(own), S, rows, tape_rows, scratch, n_stages, kept, 0)
    intervals = Intervals(
        t, h, slots, E, which, places, path, end_bars, chain, charged, everywhere, within, point
    )
    known = Compared(
        known_bars, known_states, known_places, n_rows, tolerances[0], tolerances[1], found
    )
    i = take(counter)
    while i < runs.shape[0]:
        results = Results(Y_out, L_out, E_bars[i], cost_bars[i])
        for block in range(runs[i, 0], runs[i, 1]):
            first = block * S
            samples = min(S, n_samples - first)
            values[i] += share_block(
                dynamics, scheme, cost, intervals, known, results, block, first, samples, mine
            )
        i = take(counter)
    hold(own)
    hold(given)
    hold(more)


@kernel
def share_block(dynamics, scheme, cost, intervals, known, results, block, first, samples, mine):
    """All intervals of one block, from the last to the first; the cost's value, if it is asked."""
    n, m = intervals.t.shape
    value, L, rows = 0.0, mine.L, mine.L.shape[0]
    at = block * rows
    if intervals.charged:
        end = intervals.t[n - 1, m - 1] + intervals.h[n - 1, m - 1]
        Y = band(intervals.path[intervals.places[n - 1] + 1], at, rows)
        fill(L, 0.0)
        last = Moment(intervals.point + n, True, end, first, samples)
        value += observe(cost, last, Y, L, results.cost_bar, mine.scratch)
        copy(band(intervals.end_bars[n], at, rows), L)
    for i in range(n - 1, -1, -1):
        if not intervals.chain:
            copy(L, band(intervals.end_bars[i], at, rows))
        elif i == n - 1:
            copy(L, band(intervals.end_bars[n], at, rows))
        else:
            copy(band(intervals.end_bars[i + 1], at, rows), L)
        Y = band(intervals.path[intervals.places[i]], at, rows)
        _there_and_back(
            dynamics, scheme, cost, intervals, known, results, i, Y, block, first, samples, mine
        )
        if intervals.everywhere:
            now = Moment(intervals.point + i, False, intervals.t[i, 0], first, samples)
            value += observe(cost, now, Y, L, results.cost_bar, mine.scratch)
    if intervals.chain:
        copy(band(intervals.end_bars[0], at, rows), L)
    return value


@kernel
def _there_and_back(
    dynamics, scheme, cost, intervals, known, results, i, start, block, first, samples, mine
):
    """One interval: forward from its start, then L back from its end to there."""
    m, n_stages, Y = intervals.t.shape[1], intervals.slots.shape[1], mine.Y
    rows, compared = Y.shape[0], known.bars.shape[0] > 0
    at = block * rows
    local = results.E_bar.shape[0] // intervals.t.shape[0]
    E = band(intervals.E, intervals.which[i] * local, local)
    E_bar = band(results.E_bar, i * local, local)
    copy(Y, start)
    t, h, slots = intervals.t[i], intervals.h[i], intervals.slots
    for j in range(m):
        now = Step(i * m + j, t[j], h[j], slots[i * m + j], first, samples)
        step(scheme, dynamics, now, E, Y, kept_of(mine.tape, j, n_stages))
        if results.Y.shape[0] > 0:
            copy(band(results.Y[i * m + j], at, rows), Y)
    if compared:
        there = band(known.states[known.places[i]], at, rows)
        _compare_states(there, Y, known.n_rows, samples, known.found[i, block])
    time_bar = np.zeros(2, E.dtype)
    for j in range(m - 1, -1, -1):
        now = Step(i * m + j, t[j], h[j], slots[i * m + j], first, samples)
        tape = kept_of(mine.tape, j, n_stages)
        bar = Cotangents(mine.L, mine.W, mine.Z_bars, E_bar, mine.scratch, time_bar)
        moment = Moment(now.n, False, now.t, first, samples)
        back(
            dynamics,
            scheme,
            cost,
            intervals.within,
            moment,
            now,
            E,
            Y,
            tape,
            bar,
            mine.Y_bar,
            results.cost_bar,
        )
        copy(band(results.L[i * m + j], at, rows), mine.L)
    if compared:
        L_end = band(intervals.end_bars[i], at, rows)
        _compare_bars(known, band(known.bars[i], at, rows), mine.L, L_end, samples, first, i, block)


@kernel
def _compare_states(one, two, n_rows, samples, found):
    """How far apart they are, and how large."""
    apart, size = 0.0, 0.0
    for r in range(n_rows):
        for s in range(samples):
            difference = one[r, s] - two[r, s]
            apart += difference * difference
            size += two[r, s] * two[r, s]
    found[MOVED], found[EXTENT] = apart, size


@kernel
def _compare_bars(known, one, two, end, samples, first, i, block):
    """Each sample's difference in tolerances, and sums of sizes."""
    found, n_rows = known.found[i, block], known.n_rows
    found[LARGEST], found[WORST], found[TOTAL] = -1.0, first, 0.0
    found[APART], found[SIZE] = 0.0, 0.0
    for s in range(samples):
        error = 0.0
        for r in range(n_rows):
            size = max(abs(one[r, s]), abs(end[r, s]))
            difference = one[r, s] - two[r, s]
            if difference != 0.0:  # no tolerance but 0 where all cotangents are
                scaled = difference / (known.atol + known.rtol * size)
                error += scaled * scaled
            found[APART] += abs(difference)
            found[SIZE] += abs(one[r, s])
        error = error / n_rows if error < np.inf else np.inf  # NaN too
        found[TOTAL] += error
        if error > found[LARGEST]:
            found[LARGEST], found[WORST] = error, first + s
