"""Steps that keep all stages of their tableau, so that the state can be read within a step.

The stages that the solution needs are ``RungeKutta``'s, to the same bits. One more, the slope
at the step's end, serves what is read within the step alone: it is evaluated, and
differentiated, in steps where something is read. Eqs. (D133), (D134).

No twin on the device.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types

from refode.costs.reading import slope_shares, state_within
from refode.machine.blocks import axpy, fill, inner
from refode.machine.compile import kernel
from refode.machine.counting import hold, take, uncounted
from refode.machine.parts import entry
from refode.machine.views import joined, row
from refode.sweeps.contract import (
    DYNAMICS,
    SCHEME,
    Step,
    slope,
    slope_adjoint,
    step,
    step_adjoint,
    undo,
)
from refode.sweeps.runge_kutta import _stage, _stage_adjoint
from refode.sweeps.sweep import cut, length, load

Array = np.ndarray


def _reals(dtype):
    """Matrices of real numbers, whatever the number type of the weights."""
    return types.Array(types.float64, 2, "C")


class Dense(NamedTuple):
    """Explicit tableau with its last stage, and for each step, 0 or 1, whether that is taken."""

    A: Array
    b: Array
    c: Array
    wanted: Array
    seeded: Array  # whether reading leaves something for the slopes

    def read_in(self, steps: Array) -> Dense:
        """Where something is read in such steps, by their last stages."""
        return self._replace(wanted=steps, seeded=steps)

    def joined(self) -> Dense:
        """The same where the next step takes its last stage."""
        last = np.zeros_like(self.wanted)
        last[-1] = self.wanted[-1]
        return self._replace(wanted=last, seeded=np.ones_like(last))


@kernel(cache=False)
def _stages(scheme, at):
    """How many stages a step takes."""
    return scheme.b.shape[0] - (1 - scheme.wanted[at.n])


@step.register(Dense)
def dense_step(scheme, dynamics, at, E, Y, tape):
    """Eq. (D20)."""
    A, b, c, h = scheme.A, scheme.b, scheme.c, at.h
    for i in range(_stages(scheme, at)):
        _stage(tape.Y[i], Y, h, A[i, :i], tape.F)  # [1] Y_i = y + h sum_{j<i} a_ij k_j
        e, t = E[at.slots[i]], at.t + c[i] * h
        slope(dynamics, e, t, tape.Y[i], tape.F[i], tape.field[i])  # [2] k_i
    _stage(Y, Y, h, b, tape.F)  # [3] y+ = y + h sum_i b_i k_i


@step_adjoint.register(Dense)
def dense_step_adjoint(scheme, dynamics, at, E, Y, tape, bar):
    """Eq. (D134): as (D21), with what reading left in ``bar.Z`` for the slopes."""
    A, b, c, h = scheme.A, scheme.b, scheme.c, at.h
    n, W, seeded = _stages(scheme, at), bar.W, scheme.seeded[at.n] == 1
    for i in range(n - 1, -1, -1):
        # w_i = h (b_i lambda + sum_{j>i} a_ji zbar_j) + h sum beta_i ybar
        _stage_adjoint(W, bar.L, b[i], A[i + 1 : n, i], bar.Z[i + 1 : n], h)
        if seeded:
            axpy(W, 1.0, bar.Z[i])
        bar.time[1] += inner(W, tape.F[i]) / h
        fill(bar.Z[i], 0.0)  # [2]^T  zbar_i = J_i^T w_i
        t_bar = slope_adjoint(
            dynamics,
            E[at.slots[i]],
            at.t + c[i] * h,
            tape.Y[i],
            tape.F[i],
            tape.field[i],
            W,
            bar.Z[i],
            bar.E[at.slots[i]],
            bar.scratch,
        )
        bar.time[0] += t_bar
        bar.time[1] += c[i] * t_bar
    for i in range(n):
        axpy(bar.L, 1.0, bar.Z[i])  # lambda <- lambda + sum_i zbar_i


@undo.register(Dense)
def dense_undo(scheme, dynamics, at, E, Y, tape):
    """Not reversible."""


@entry(
    [DYNAMICS, SCHEME, "v", "v", "J", "M", "M", "J", "I", "i", "i", "i", "J", _reals, _reals, "T"]
)
def reading_chunks(
    dynamics,
    scheme,
    t,
    h,
    slots,
    E,
    X,
    runs,
    counter,
    S,
    rows,
    tape_rows,
    begin,
    fraction,
    shares,
    out,
):
    """Solve the chunks that are left, and read the states within the steps.

    Chunks and ``counter`` as in ``forward_chunks``; ``begin``, ``fraction`` and ``shares`` as
    ``Reading`` has them. ``out`` is (N, K, .); what is never read stays as it is.
    """
    n_stages = slots.shape[1]
    spare = n_stages  # one number would do a slope, and a row has at least that
    memory = np.empty(length(S, rows, tape_rows, spare, n_stages, n_stages, 0), E.dtype)
    given = (t, h, slots, E, X, runs, begin, fraction, shares, out)
    t, h, slots, E, X, runs, begin, fraction, shares, out = uncounted(given)
    work = cut(uncounted(memory), S, rows, tape_rows, spare, n_stages, n_stages, 0)
    Y, tape, beta = work.Y, work.tape, row(joined(work.scratch, 0, 1, n_stages), 0)
    i = take(counter)
    while i < runs.shape[0]:
        for block in range(runs[i, 0], runs[i, 1]):
            first = block * S
            m = load(X, first, Y)
            for n in range(t.shape[0]):
                step(scheme, dynamics, Step(n, t[n], h[n], slots[n], first, m), E, Y, tape)
                for s in range(m):
                    own = first + s if begin.shape[0] > 1 else 0
                    for j in range(begin[own, n], begin[own, n + 1]):
                        slope_shares(shares, fraction[own, j], beta)
                        state_within(tape.Y[0], tape.F, h[n], beta, s, out[first + s, j])
        i = take(counter)
    hold(memory)
    hold(given)
