"""Newton's iteration for the stages of an implicit step, to rounding, each sample by itself.

Stages Z_i solve r_i = Z_i - known_i - h sum_j a_ij f(Z_j) = 0, (D150), in the field's own rows:
quadratures feed nothing. A block's slopes and Jacobians are evaluated together, its linear
systems one a sample; samples that are done stay where they are. Corrections that do not make
the residual smaller are halved, (D151). In complex numbers all that decides anything reads real
parts, and one correction follows after these have converged, (D154).

Where that fails, the stages are followed from what they would be without this step's own slopes,
as these are let in piece by piece: an unstable field may have stages to which no residual falls,
and one of saturated units leads corrections about.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refode.machine.compile import kernel
from refode.sweeps.contract import slope, slope_jacobian
from refode.sweeps.linear import factor, solve

Array = np.ndarray
#: Corrections of a sample before it has failed, and how little of one may be taken.
MOST, LEAST = 50, 1e-9
#: A correction of that size, against the states', is the last one.
CONVERGED = 1e-14
#: From that size on corrections are not halved; where they stop getting smaller, below this,
#: they are rounding.
NEAR, ROUNDING = 1e-6, 1e-9
#: In how many pieces slopes are let in, three ways after one another; corrections in each, those
#: that may be halved and those that are not.
EVEN, OCTAVES, EVEN_MOST, FEW, WHOLE = 8, 80, 64, 12, 3
BUSY, ONE_MORE, DONE, FAILED = range(4)  # a sample's status


class Newton(NamedTuple):
    """Work space for a block: of m stages with d rows each, over S samples."""

    known: Array  # (m d, S): what earlier stages say of each stage
    before: Array  # (m d, S): states before the correction
    change: Array  # (m d, S): the correction
    J: Array  # (m d d, S)
    M: Array  # (m d, m d): one sample's matrix
    x: Array  # (m d,): and right-hand side
    pivots: Array  # (m d,)
    size: Array  # (S,): |r|, by its largest entry
    last: Array  # (S,): of the correction before
    by: Array  # (S,): which part of the correction is taken
    status: Array  # (S,)
    followed: Array  # (S,): whether its stages are followed from their beginning
    scratch: Array  # of the field


@kernel(cache=False)
def workspace(E, m, d, S, scratch):
    """Arrays for a block."""
    n = m * d
    return Newton(
        np.empty((n, S), E.dtype),
        np.empty((n, S), E.dtype),
        np.empty((n, S), E.dtype),
        np.empty((n * d, S), E.dtype),
        np.empty((n, n), E.dtype),
        np.empty(n, E.dtype),
        np.empty(n, np.int64),
        np.empty(S, np.float64),
        np.empty(S, np.float64),
        np.empty(S, np.float64),
        np.empty(S, np.int64),
        np.empty(S, np.int64),
        np.empty((scratch, S), E.dtype),
    )


@kernel
def solve_stages(scheme, dynamics, at, E, tape, first, end, work):
    """The stages first, ..., end-1 from where the tape has them; slopes there, by the way.

    Samples that failed have status FAILED and are left anywhere.
    """
    status = work.status
    _slopes(scheme, dynamics, at, E, tape, first, end)
    _residuals(scheme, at.h, tape, first, end, work)
    for s in range(status.shape[0]):
        # a state that is not finite stays so, and is no failure of Newton's
        status[s] = BUSY if work.size[s] < np.inf else DONE
    _iterate(scheme, dynamics, at, E, tape, first, end, work, at.h, MOST, False)
    for way in range(3):
        if _begin_anew(scheme, tape, first, end, work) == 0:
            return
        _approach(scheme, dynamics, at, E, tape, first, end, work, way)


@kernel(cache=False)
def _iterate(scheme, dynamics, at, E, tape, first, end, work, h, most, whole):
    """Corrections until nobody is left who is not done and has not failed.

    ``whole``: no correction is halved, and at most a few are made.
    """
    status, left = work.status, 0
    for s in range(status.shape[0]):
        work.last[s] = np.inf
        left += status[s] == BUSY
    count = 0
    while left > 0 and count < most:
        _jacobians(scheme, dynamics, at, E, tape, first, end, work)
        _corrections(scheme, h, tape, first, end, work)
        _take(scheme, dynamics, at, E, tape, first, end, work, h, whole)
        left = _judged(tape, scheme.d, first, end, work, E.itemsize == 16)
        count += 1
    for s in range(status.shape[0]):
        if status[s] != DONE:
            status[s] = FAILED


@kernel(cache=False)
def _begin_anew(scheme, tape, first, end, work):
    """Who failed goes where stages would be without this step's own slopes; how many are they."""
    d, count = scheme.d, 0
    for s in range(work.status.shape[0]):
        work.followed[s] = work.status[s] == FAILED
        if work.followed[s]:
            count += 1
            for i in range(first, end):
                for r in range(d):
                    tape.Y[i + 1, r, s] = work.known[(i - first) * d + r, s]
    return count


@kernel(cache=False)
def _approach(scheme, dynamics, at, E, tape, first, end, work, way):
    """Follow the stages as these slopes are let in piece by piece: evenly, or by half octaves.

    The first serves unstable fields, whose stages turn near the end; the second stiff ones, whose
    stages turn at the beginning.
    """
    pieces = OCTAVES if way == 1 else EVEN if way == 0 else EVEN_MOST
    for piece in range(1, pieces + 1):
        part = 2.0 ** (0.5 * (piece - pieces)) if way == 1 else piece / pieces
        h = part * at.h
        _slopes(scheme, dynamics, at, E, tape, first, end)
        _residuals(scheme, h, tape, first, end, work)
        for s in range(work.status.shape[0]):
            if work.followed[s]:
                work.status[s] = BUSY if work.size[s] < np.inf else FAILED
        if piece == pieces:
            _iterate(scheme, dynamics, at, E, tape, first, end, work, h, MOST, False)
        elif way == 1:
            _iterate(scheme, dynamics, at, E, tape, first, end, work, h, FEW, False)
        else:
            _iterate(scheme, dynamics, at, E, tape, first, end, work, h, WHOLE, True)


@kernel(cache=False)
def _jacobians(scheme, dynamics, at, E, tape, first, end, work):
    """Jacobians at the stages' states, where the tape is that of the slopes there."""
    d = scheme.d
    for i in range(first, end):
        t = at.t + scheme.c[i + 1] * at.h
        J = work.J[(i - first) * d * d : (i - first + 1) * d * d]
        n = i + 1
        slope_jacobian(dynamics, E[at.slots[n]], t, tape.Y[n], tape.field[n], J, work.scratch)


@kernel(cache=False)
def _slopes(scheme, dynamics, at, E, tape, first, end):
    """Slopes at the stages' states."""
    for i in range(first, end):
        t = at.t + scheme.c[i + 1] * at.h
        n = i + 1
        slope(dynamics, E[at.slots[n]], t, tape.Y[n], tape.F[n], tape.field[n])


@kernel(cache=False)
def _residual(scheme, h, tape, first, end, work, s, x):
    """x <- the residual of a sample; its largest entry, of real parts, or NaN."""
    d, largest = scheme.d, 0.0
    for i in range(first, end):
        for r in range(d):
            q = (i - first) * d + r
            x[q] = tape.Y[i + 1, r, s] - work.known[q, s]
            for j in range(first, end):
                x[q] -= h * scheme.A[i, j] * tape.F[j + 1, r, s]
            size = abs(x[q].real)
            if not size <= largest:  # NaN stays
                largest = size
            if largest != largest:
                return largest
    return largest


@kernel(cache=False)
def _residuals(scheme, h, tape, first, end, work):
    for s in range(work.size.shape[0]):
        work.size[s] = _residual(scheme, h, tape, first, end, work, s, work.x)


@kernel(cache=False)
def _corrections(scheme, h, tape, first, end, work):
    """Solve (I - h A x J) change = -residual for the samples that are not done."""
    d, m, M, x = scheme.d, end - first, work.M, work.x
    for s in range(work.status.shape[0]):
        if work.status[s] >= DONE:
            continue
        _residual(scheme, h, tape, first, end, work, s, x)
        for i in range(m):
            for j in range(m):
                a = h * scheme.A[first + i, first + j]
                for p in range(d):
                    for q in range(d):
                        M[i * d + p, j * d + q] = -a * work.J[(j * d + p) * d + q, s]
        for q in range(m * d):
            M[q, q] += 1.0
            x[q] = -x[q]
        if factor(M, work.pivots):
            solve(M, work.pivots, x)
            for q in range(m * d):
                work.change[q, s] = x[q]
        else:
            work.status[s] = FAILED


@kernel(cache=False)
def _take(scheme, dynamics, at, E, tape, first, end, work, h, whole):
    """Apply the corrections, halved where the residual would not get smaller."""
    d, status, by = scheme.d, work.status, work.by
    for s in range(status.shape[0]):
        by[s] = 1.0
        for i in range(first, end):
            for r in range(d):
                work.before[(i - first) * d + r, s] = tape.Y[i + 1, r, s]
    again = 1
    while again > 0:
        for s in range(status.shape[0]):
            if status[s] < DONE:
                for i in range(first, end):
                    for r in range(d):
                        q = (i - first) * d + r
                        tape.Y[i + 1, r, s] = work.before[q, s] + by[s] * work.change[q, s]
        _slopes(scheme, dynamics, at, E, tape, first, end)
        again = 0
        for s in range(status.shape[0]):
            if status[s] == BUSY and not whole:
                size = _residual(scheme, h, tape, first, end, work, s, work.x)
                far = _relative(tape, d, first, end, work, s) > NEAR and by[s] >= LEAST
                if far and not size <= (1.0 - 0.25 * by[s]) * work.size[s]:
                    by[s] *= 0.5
                    again += 1
    _residuals(scheme, h, tape, first, end, work)


@kernel(cache=False)
def _relative(tape, d, first, end, work, s):
    """The whole correction of a sample against its states, by their largest entries."""
    change, state = 0.0, 0.0
    for i in range(first, end):
        for r in range(d):
            q = (i - first) * d + r
            change = max(change, abs(work.change[q, s].real))
            state = max(state, abs(tape.Y[i + 1, r, s].real), abs(work.known[q, s].real))
    if change == 0.0:
        return 0.0
    return change / state if state > 0.0 else np.inf


@kernel(cache=False)
def _judged(tape, d, first, end, work, complex_):
    """Say who is done; how many are not, and have not failed."""
    left = 0
    for s in range(work.status.shape[0]):
        if work.status[s] == ONE_MORE:
            work.status[s] = DONE
        elif work.status[s] == BUSY:
            found = _relative(tape, d, first, end, work, s)
            stopped = found <= ROUNDING and found > 0.5 * work.last[s]
            lost = not (np.isfinite(found) and np.isfinite(work.size[s]))
            if lost or work.by[s] < LEAST:
                work.status[s] = FAILED
            elif work.by[s] == 1.0 and (found <= CONVERGED or stopped):
                work.status[s] = ONE_MORE if complex_ else DONE
            work.last[s] = found
        left += work.status[s] < DONE
    return left
