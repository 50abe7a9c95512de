"""One step of an explicit tableau and its adjoint: twin of refode/sweeps/runge_kutta.py.

A stage's tape is (Y_i, F_i, the dynamics' own rows), one after another in ``tape`` from row
``at`` on, ``length`` rows a stage. Z_bars are the last rows of ``near``.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from refode.cuda.contract import DynamicsBodies
from refode.cuda.linalg import linalg
from refode.cuda.ops import Ops


class Steps(NamedTuple):
    """A step and its adjoint."""

    step: Any
    step_adjoint: Any


@functools.cache
def runge_kutta(ops: Ops, dynamics: DynamicsBodies) -> Steps:
    """Eqs. (D20), (D21) for one right-hand side."""
    slope, slope_adjoint = dynamics.slope, dynamics.slope_adjoint
    fill = linalg(ops).fill

    @ops.body
    def step(A, b, c, dyn, t, h, slots, E, Y, tape, length):
        """Eq. (D20)."""
        rows = Y.shape[0]
        for i in range(b.shape[0]):
            Y_i = tape[i * length : i * length + rows]
            F_i = tape[i * length + rows : i * length + 2 * rows]
            stage(Y_i, Y, h, A[i], i, tape, length)  # [1] Y_i = y + h sum_{j<i} a_ij k_j
            kept = tape[i * length + 2 * rows : (i + 1) * length]
            slope(dyn, E[slots[i]], t + c[i] * h, Y_i, F_i, kept)  # [2] k_i
        stage(Y, Y, h, b, b.shape[0], tape, length)  # [3] y+ = y + h sum_i b_i k_i

    @ops.body
    def step_adjoint(A, b, c, dyn, t, h, slots, E, tape, length, L, W, Z_bars, E_bar, scratch):
        """Eq. (D21): L <- S^T L, the slots' rows of E_bar += their shares."""
        rows, n = L.shape[0], b.shape[0]
        for i in range(n - 1, -1, -1):
            Y_i = tape[i * length : i * length + rows]
            F_i = tape[i * length + rows : i * length + 2 * rows]
            kept = tape[i * length + 2 * rows : (i + 1) * length]
            # [3]^T, [1]^T  w_i = h (b_i lambda + sum_{j>i} a_ji zbar_j)
            stage_adjoint(W, L, h, A, b, i, Z_bars)
            Z_bar = Z_bars[i * rows : (i + 1) * rows]
            fill(Z_bar, 0.0)  # [2]^T  zbar_i = J_i^T w_i
            slope_adjoint(
                dyn, E[slots[i]], t + c[i] * h, Y_i, F_i, kept, W, Z_bar, E_bar[slots[i]], scratch
            )
        add_all(L, Z_bars, n)  # lambda <- lambda + sum_i zbar_i

    @ops.entries
    def stage(r, s, Y, start, h, weights, n, tape, length):
        """Y <- start + h sum_{j<n} weights[j] F_j."""
        total = start[r, s]
        for j in range(n):
            if weights[j] != 0.0:
                total += h * weights[j] * tape[j * length + Y.shape[0] + r, s]
        Y[r, s] = total

    @ops.entries
    def stage_adjoint(r, s, W, L, h, A, b, i, Z_bars):
        """W <- h (b_i L + sum_{j>i} A[j, i] Z_bars[j])."""
        total = h * b[i] * L[r, s]
        for j in range(i + 1, A.shape[0]):
            if A[j, i] != 0.0:
                total += h * A[j, i] * Z_bars[j * W.shape[0] + r, s]
        W[r, s] = total

    @ops.entries
    def add_all(r, s, L, Z_bars, n):
        """L += sum_i Z_bars[i]."""
        total = L[r, s]
        for i in range(n):
            total += Z_bars[i * L.shape[0] + r, s]
        L[r, s] = total

    return Steps(step, step_adjoint)
