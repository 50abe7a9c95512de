"""Planning a grid: all samples take one step after another, as long as its error allows, (D128).

A step's error is the difference of an embedded pair, the largest of all samples or the mean over
them, so that nobody goes on before everybody has tried the step. Whoever comes first *leads*: he
says what is to be done next, does his part, waits for the others' and decides. The others take
chunks of the task at hand until there is none left, and wait for the next task. They may come late,
or never: nothing waits for those that have taken nothing.

It has no twin on the device: grids are planned on the CPU.
"""

from __future__ import annotations

import numpy as np

from refode.machine.compile import kernel
from refode.machine.counting import added, given_way, hold, put, uncounted
from refode.machine.parts import entry
from refode.sweeps.contract import DYNAMICS
from refode.sweeps.trying import (
    AGAIN,
    BEFORE,
    BROKEN,
    DONE,
    HERE,
    KNOWN,
    LEADER,
    LENGTH,
    MEAN,
    NEXT,
    NOW,
    REJECTED,
    ROWS,
    SHORTEST,
    SLOPE,
    SLOPE_THERE,
    STEP,
    STOP,
    THEN,
    THERE,
    TRY,
    WHAT,
    Moving,
    Pair,
    Paths,
    Planning,
    T,
    one_block,
    own,
    own_length,
    weigh,
)

Array = np.ndarray

#: A task's number stands above the bits of the chunk's.
TASK = 2**20
#: No more tasks.
OVER = -(2**60)
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
        "M",
        "v",
        "v",
        "v",
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
    values,
    nodes,
    barycentric,
    home,
):
    """Do the task in ``shared``, or try steps until the stretch or the log ends.

    Chunk i is the blocks runs[i, 0], ..., runs[i, 1]-1; all threads that work at it call this.
    ``outcome`` (2,) gets how the stretch ended and how many rows of ``log`` are written.
    """
    memory = np.empty(own_length(S, rows, tape_rows, b.shape[0]), E.dtype)
    given = (A, b, c, differences, E, slots, X, runs, shared, under_way, control, counted)
    more = (states, slopes, found, log, outcome, values, nodes, barycentric, home)
    A, b, c, differences, E, slots, X, runs, shared, under_way, control, counted = uncounted(given)
    states, slopes, found, log, outcome, values, nodes, barycentric, home = uncounted(more)
    mine = own(uncounted(memory), S, rows, tape_rows, b.shape[0])
    pair = Pair(A, b, c, differences, same)
    paths = Paths(X, states, slopes, counted, found)
    moving = Moving(values, nodes, barycentric, home)
    plan = Planning(dynamics, pair, paths, moving, E, slots, runs, shared, under_way, control, way)
    if added(shared, LEADER, 1) == 0:
        if shared[WHAT] == TRY:
            steer(plan, mine, log, outcome)
        else:
            weigh(plan)
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
        weigh(plan)
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
