"""Planning a grid: all samples take one step after another, as long as its error allows, (D128).

A step's error is the difference of an embedded pair, the largest of all samples or the mean over
them, so that nobody goes on before everybody has tried the step. Whoever comes first *leads*: he
says what is to be done next, does his part, waits for the others' and decides. The others take
chunks of the task at hand until there is none left, and wait for the next task. They may come late,
or never: nothing waits for those that have taken nothing.

It has no twin on the device: grids are planned on the CPU.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refode.machine.blocks import axpy, copy
from refode.machine.compile import kernel
from refode.machine.counting import added, given_way, hold, put, uncounted
from refode.machine.parts import entry
from refode.machine.views import band, matrix, row, stack
from refode.sweeps.contract import DYNAMICS, slope
from refode.sweeps.runge_kutta import _stage
from refode.sweeps.sweep import load

Array = np.ndarray

#: What is to be done: load the samples, with their slopes; those after a short Euler step; a step.
SLOPES, PROBE, TRY = range(3)
#: Counters that threads share: who leads; the next chunk, with the number of the task; chunks that
#: are done; whether somebody has failed. Then the task at hand: what, and which places hold the
#: state, the state to be, its slope, the slope to be, and whether that slope is known.
LEADER, NEXT, DONE, BROKEN, WHAT, HERE, THERE, SLOPE, SLOPE_THERE, KNOWN = range(10)
#: A task's number stands above the bits of the chunk's.
TASK = 2**20
#: No more tasks.
OVER = -(2**60)
#: Numbers of a plan that is under way: where it is, where this stretch ends, the next step's
#: length, the last step's error, whether a step has just been rejected, and the task's step.
T, STOP, LENGTH, BEFORE, REJECTED, STEP = range(6)
#: Numbers of the control: tolerances, exponents of this error and of the one before, that after a
#: rejection, the shortest step; and counts: rows in the norm, whether it is the mean over samples.
ATOL, RTOL, NOW, THEN, AGAIN, SHORTEST, ROWS, MEAN = range(8)
#: A row of the log: where a step began, its length, its error, whether it was taken, by which
#: sample, and the largest errors of the quadratures.
STARTED, TRIED, ERROR, TAKEN, WORST, QUADRATURES = range(6)
#: How a stretch came to an end.
ARRIVED, FULL, TOO_SHORT, STRUCK = range(4)
SAFETY, LEAST, MOST, FLOOR = 0.9, 0.2, 10.0, 1e-10
#: A step that ends so close to a stop, relative to its length, ends there.
CLOSE = 1e-10
#: Asked so often whether there is something to do, a thread lets others have the processor.
PATIENCE = 1000


class Pair(NamedTuple):
    """A scheme with its embedded weights, or several."""

    A: Array
    b: Array
    c: Array
    differences: Array  # b less what it is compared with, a row a comparison
    same: bool  # whether the last stage is the slope at the step's end


class Paths(NamedTuple):
    """All samples, block by block."""

    X: Array
    states: Array  # (places, n_blocks*rows, S)
    slopes: Array  # (2, n_blocks*rows, S)
    counted: Array  # (rows,): 1 where in the norm, and 2 more for a quadrature
    found: Array  # what was measured, a row a block


class Planning(NamedTuple):
    """All that threads share."""

    dynamics: Any
    pair: Pair
    paths: Paths
    E: Array
    slots: Array
    runs: Array
    shared: Array
    under_way: Array
    control: Array
    way: int


class Own(NamedTuple):
    """A thread's own arrays."""

    K: Array
    Z: Array
    tape: Array
    error: Array  # of each sample, squared and summed over rows
    sums: Array  # of a row


@kernel
def own_length(S, rows, tape_rows, n_stages):
    """Numbers in a thread's own memory."""
    return S * (rows * (n_stages + 1) + tape_rows + 2)


@kernel
def own(memory, S, rows, tape_rows, n_stages):
    """A thread's arrays from one stretch of memory."""
    a = n_stages * rows * S
    b = a + rows * S
    c = b + tape_rows * S
    two = matrix(memory, c, 2, S)
    return Own(
        stack(memory, 0, n_stages, rows, S),
        matrix(memory, a, rows, S),
        matrix(memory, b, tape_rows, S),
        row(two, 0),
        row(two, 1),
    )


@entry(
    [
        DYNAMICS,
        "M",
        "v",
        "v",
        "M",
        "b",
        "M",
        "I",
        "M",
        "J",
        "I",
        "v",
        "v",
        "I",
        "i",
        "i",
        "i",
        "T",
        "T",
        "M",
        "M",
        "I",
        "i",
    ]
)
def plan_chunks(
    dynamics,
    A,
    b,
    c,
    differences,
    same,
    E,
    slots,
    X,
    runs,
    shared,
    under_way,
    control,
    counted,
    S,
    rows,
    tape_rows,
    states,
    slopes,
    found,
    log,
    outcome,
    way,
):
    """Do the task in ``shared``, or try steps until the stretch or the log ends.

    Chunk i is the blocks runs[i, 0], ..., runs[i, 1]-1; all threads that work at it call this.
    ``outcome`` (2,) gets how the stretch ended and how many rows of ``log`` are written.
    """
    memory = np.empty(own_length(S, rows, tape_rows, b.shape[0]), E.dtype)
    given = (A, b, c, differences, E, slots, X, runs, shared, under_way, control, counted)
    more = (states, slopes, found, log, outcome)
    A, b, c, differences, E, slots, X, runs, shared, under_way, control, counted = uncounted(given)
    states, slopes, found, log, outcome = uncounted(more)
    mine = own(uncounted(memory), S, rows, tape_rows, b.shape[0])
    pair = Pair(A, b, c, differences, same)
    paths = Paths(X, states, slopes, counted, found)
    plan = Planning(dynamics, pair, paths, E, slots, runs, shared, under_way, control, way)
    if added(shared, LEADER, 1) == 0:
        if shared[WHAT] == TRY:
            steer(plan, mine, log, outcome)
        else:
            together(plan, mine, 1)
        put(shared, NEXT, OVER)
    else:
        serve(plan, mine)
    hold(memory)
    hold(given)
    hold(more)


@kernel
def serve(plan, mine):
    """Take chunks of whatever task is at hand, until there are no more tasks."""
    n, asked = plan.runs.shape[0], 0
    while True:
        number = added(plan.shared, NEXT, 0)
        if number < 0 or added(plan.shared, BROKEN, 0) != 0:
            return
        if number % TASK < n:
            asked = 0
            work(plan, mine)
        else:
            asked += 1
            if asked > PATIENCE:
                given_way(plan.way)


@kernel
def work(plan, mine):
    """Take chunks as long as there are some."""
    runs = plan.runs
    while True:
        number = added(plan.shared, NEXT, 1)
        i = number % TASK
        if number < 0 or i >= runs.shape[0]:
            return
        for block in range(runs[i, 0], runs[i, 1]):
            one_block(plan, mine, block)
        added(plan.shared, DONE, 1)


@kernel
def together(plan, mine, number):
    """Have the task at hand done; False where somebody has failed."""
    plan.shared[DONE] = 0
    put(plan.shared, NEXT, TASK * number)
    work(plan, mine)
    asked = 0
    while added(plan.shared, DONE, 0) < plan.runs.shape[0]:
        if added(plan.shared, BROKEN, 0) != 0:
            return False
        asked += 1
        if asked > PATIENCE:
            given_way(plan.way)
    return True


@kernel
def one_block(plan, mine, block):
    """The task at hand for one block."""
    paths, shared, what = plan.paths, plan.shared, plan.shared[WHAT]
    rows, S = mine.Z.shape[0], mine.sums.shape[0]
    Y = band(paths.states[shared[HERE]], block * rows, rows)
    k = band(paths.slopes[shared[SLOPE]], block * rows, rows)
    first = block * S
    m = min(S, paths.X.shape[0] - first)
    if what == SLOPES:
        load(paths.X, first, Y)
        _first_slopes(plan, Y, k, mine)
        _measure(plan, Y, Y, Y, mine, m, first, block)
        found = paths.found[block]
        found[4], found[5] = found[0], found[2]
        _measure(plan, k, Y, Y, mine, m, first, block)
    elif what == PROBE:
        h = plan.under_way[STEP]
        e, t = plan.E[plan.slots[0]], plan.under_way[T] + h
        copy(mine.Z, Y)
        axpy(mine.Z, h, k)
        slope(plan.dynamics, e, t, mine.Z, mine.K[0], mine.tape)
        copy(mine.Z, mine.K[0])
        axpy(mine.Z, -1.0, k)
        _measure(plan, mine.Z, Y, Y, mine, m, first, block)
    else:
        if shared[KNOWN] == 0:
            _first_slopes(plan, Y, k, mine)
        else:
            copy(mine.K[0], k)
        there = band(paths.states[shared[THERE]], block * rows, rows)
        _step(plan, Y, there, mine)
        if plan.pair.same:
            last = band(paths.slopes[shared[SLOPE_THERE]], block * rows, rows)
            copy(last, mine.K[plan.pair.b.shape[0] - 1])
        _errors(plan, mine)
        _measure(plan, mine.Z, Y, there, mine, m, first, block)
        _quadratures(plan, mine, m, block)


@kernel
def _first_slopes(plan, Y, k, mine):
    """The slopes where the plan is, into k and the first stage."""
    slope(plan.dynamics, plan.E[plan.slots[0]], plan.under_way[T], Y, mine.K[0], mine.tape)
    copy(k, mine.K[0])


@kernel
def _step(plan, Y, there, mine):
    """(D20) with all stages, the first slope being there."""
    A, b, c, same = plan.pair.A, plan.pair.b, plan.pair.c, plan.pair.same
    t, h, n, K = plan.under_way[T], plan.under_way[STEP], b.shape[0], mine.K
    for i in range(1, n):
        state = there if same and i == n - 1 else mine.Z
        _stage(state, Y, h, A[i, :i], K)
        slope(plan.dynamics, plan.E[plan.slots[i]], t + c[i] * h, state, K[i], mine.tape)
    if not same:
        _stage(there, Y, h, b, K)


@kernel
def _errors(plan, mine):
    """Z <- the pair's differences in size; of several the largest."""
    Z, sums, S, differences = mine.Z, mine.sums, mine.sums.shape[0], plan.pair.differences
    for r in range(Z.shape[0]):
        if plan.paths.counted[r] == 0:
            continue
        for which in range(differences.shape[0]):
            for s in range(S):
                sums[s] = 0.0
            for j in range(differences.shape[1]):
                factor = plan.under_way[STEP] * differences[which, j]
                if factor != 0.0:
                    for s in range(S):
                        sums[s] += factor * mine.K[j, r, s]
            for s in range(S):
                size = abs(sums[s])
                if which == 0 or not size <= Z[r, s]:
                    Z[r, s] = size


@kernel
def _measure(plan, Z, Y, there, mine, m, first, block):
    """The largest of the samples' squared sums over rows, whose it is, and the sum over samples."""
    error, counted, found = mine.error, plan.paths.counted, plan.paths.found[block]
    atol, rtol = plan.control[ATOL], plan.control[RTOL]
    for s in range(error.shape[0]):
        error[s] = 0.0
    for r in range(Z.shape[0]):
        if counted[r] % 2 == 1:
            for s in range(error.shape[0]):
                size = max(abs(Y[r, s]), abs(there[r, s]))
                scaled = Z[r, s] / (atol + rtol * size)
                error[s] += scaled * scaled
    worst, largest, total = 0, -1.0, 0.0
    for s in range(m):
        size = error[s] if error[s] < np.inf else np.inf  # NaN too
        total += size
        if size > largest:
            worst, largest = s, size
    found[0], found[1], found[2] = largest, first + worst, total


@kernel
def _quadratures(plan, mine, m, block):
    """The largest errors of the quadratures, beside those of the norm."""
    Z, place = mine.Z, 4
    for r in range(Z.shape[0]):
        if plan.paths.counted[r] >= 2:
            largest = 0.0
            for s in range(m):
                if not Z[r, s] <= largest:
                    largest = Z[r, s]
            plan.paths.found[block, place] = largest
            place += 1


@kernel
def norm(plan, column):
    """Of what the blocks have found in a column; and whose is the largest."""
    found, n = plan.paths.found, plan.paths.X.shape[0]
    largest, worst, total = -1.0, 0, 0.0
    for block in range(found.shape[0]):
        if found[block, column] > largest:
            largest, worst = found[block, column], block
        total += found[block, 5 if column == 4 else 2]
    if plan.control[MEAN] != 0.0:
        largest = total / n
    return np.sqrt(largest / plan.control[ROWS]), int(found[worst, 1])


@kernel
def steer(plan, mine, log, outcome):
    """Try steps from where the plan is to the end of the stretch, (D129)."""
    under_way, shared, places = plan.under_way, plan.shared, plan.paths.states.shape[0]
    n, sign = 0, 1.0 if under_way[STOP] > under_way[T] else -1.0
    outcome[0] = ARRIVED
    while under_way[T] != under_way[STOP]:
        if n == log.shape[0] or (places > 2 and shared[HERE] + 1 == places):
            outcome[0] = FULL
            break
        t, wanted = under_way[T], under_way[LENGTH]
        left = abs(under_way[STOP] - t)
        clipped = wanted >= left * (1.0 - CLOSE)
        end = under_way[STOP] if clipped else t + sign * wanted
        under_way[STEP] = end - t
        shared[THERE] = (shared[HERE] + 1) % places
        shared[SLOPE_THERE] = 1 - shared[SLOPE]
        if not together(plan, mine, n + 1):
            outcome[0] = STRUCK
            break
        shared[KNOWN] = 1
        error, worst = norm(plan, 0)
        _note(plan, log[n], error, worst)
        n += 1
        _decide(plan, end, error, clipped)
        if error > 1.0 and under_way[LENGTH] < plan.control[SHORTEST]:
            outcome[0] = TOO_SHORT
            break
    outcome[1] = n


@kernel
def _note(plan, line, error, worst):
    """A row of the log."""
    line[STARTED], line[TRIED] = plan.under_way[T], plan.under_way[STEP]
    line[ERROR], line[TAKEN], line[WORST] = error, 1.0 if error <= 1.0 else 0.0, worst
    for q in range(QUADRATURES, line.shape[0]):
        largest = 0.0
        for block in range(plan.paths.found.shape[0]):
            size = plan.paths.found[block, 4 + q - QUADRATURES]
            if not size <= largest:
                largest = size
        line[q] = largest


@kernel
def _decide(plan, end, error, clipped):
    """Take the step, or not; and the length of the next one."""
    under_way, shared, control = plan.under_way, plan.shared, plan.control
    h = abs(under_way[STEP])
    if error > 1.0:
        shorter = max(LEAST, SAFETY * error ** control[AGAIN]) if error < np.inf else LEAST
        under_way[LENGTH], under_way[REJECTED] = h * shorter, 1.0
        return
    size = max(error, FLOOR)
    factor = SAFETY * size ** control[NOW] * under_way[BEFORE] ** control[THEN]
    factor = min(MOST, max(LEAST, factor))
    if under_way[REJECTED] != 0.0:
        factor = min(1.0, factor)
    if clipped:  # by a stop, and not by its error: the length before it still stands
        under_way[LENGTH] = max(under_way[LENGTH], h * factor)
    else:
        under_way[LENGTH], under_way[BEFORE] = h * factor, size
    under_way[T], under_way[REJECTED] = end, 0.0
    shared[HERE] = shared[THERE]
    if plan.pair.same:
        shared[SLOPE] = shared[SLOPE_THERE]
    else:
        shared[KNOWN] = 0
