"""Trying a step for one block of samples: its stages, and how an embedded pair differs, (D128).

What is tried, from where and with which length stands in numbers that all threads share;
planning.py says who writes them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refode.machine.blocks import axpy, copy
from refode.machine.compile import kernel
from refode.machine.views import band, matrix, row, stack
from refode.sweeps.contract import slope
from refode.sweeps.runge_kutta import _stage
from refode.sweeps.sweep import load

Array = np.ndarray

#: What is to be done: load the samples, with their slopes; those after a short Euler step; a step.
SLOPES, PROBE, TRY = range(3)
#: Counters that threads share: who leads; the next chunk, with the number of the task; chunks that
#: are done; whether somebody has failed. Then the task at hand: what, and which places hold the
#: state, the state to be, its slope, the slope to be, and whether that slope is known.
LEADER, NEXT, DONE, BROKEN, WHAT, HERE, THERE, SLOPE, SLOPE_THERE, KNOWN = range(10)
#: Numbers of a plan that is under way: where it is, where this stretch ends, the next step's
#: length, the last step's error, whether a step has just been rejected, and the task's step.
T, STOP, LENGTH, BEFORE, REJECTED, STEP = range(6)
#: Numbers of the control: tolerances, exponents of this error and of the one before, that after a
#: rejection, the shortest step; and counts: rows in the norm, whether it is the mean over samples.
ATOL, RTOL, NOW, THEN, AGAIN, SHORTEST, ROWS, MEAN = range(8)


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


class Moving(NamedTuple):
    """Effective weights that move in time, as polynomials on equal cells; none where E has all."""

    values: Array  # (cells*nodes, q), at the nodes of each cell
    nodes: Array  # within a cell, in (0, 1)
    barycentric: Array  # the nodes' weights
    home: Array  # (2,), where cells begin, and how long all of them are


class Planning(NamedTuple):
    """All that threads share."""

    dynamics: Any
    pair: Pair
    paths: Paths
    moving: Moving
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
def weigh(plan):
    """E <- the weights of the step at hand, a row a stage, where they move; (D128)."""
    moving, E, c = plan.moving, plan.E, plan.pair.c
    n = moving.nodes.shape[0]
    if moving.values.shape[0] == 0:
        return
    cells = moving.values.shape[0] // n
    for i in range(c.shape[0]):
        e = E[i]
        if i > 0 and c[i] == c[i - 1]:
            _put(e, 1.0, E[i - 1])
            continue
        t = plan.under_way[T] + c[i] * plan.under_way[STEP]
        along = min(1.0, max(0.0, (t - moving.home[0]) / moving.home[1])) * cells
        cell = min(int(along), cells - 1)
        total, hit = 0.0, -1
        for m in range(n):
            apart = along - cell - moving.nodes[m]
            if apart == 0.0:
                hit = m
            else:
                total += moving.barycentric[m] / apart
        if hit >= 0:
            _put(e, 1.0, moving.values[cell * n + hit])
            continue
        for m in range(n):
            factor = moving.barycentric[m] / (along - cell - moving.nodes[m]) / total
            if m == 0:
                _put(e, factor, moving.values[cell * n])
            else:
                _add(e, factor, moving.values[cell * n + m])


@kernel
def _put(e, factor, v):
    for q in range(e.shape[0]):
        e[q] = factor * v[q]


@kernel
def _add(e, factor, v):
    for q in range(e.shape[0]):
        e[q] += factor * v[q]
