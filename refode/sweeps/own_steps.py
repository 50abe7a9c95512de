"""Steps whose length is each sample's own, for fields without t and one set of weights, (D138).

All samples of a block take the same number of steps, of lengths of their own: a step of length 0
leaves a sample where it is. In time samples are not together, so that t means nothing here.

No twin on the device.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refode.machine.blocks import axpy, fill
from refode.machine.compile import kernel
from refode.sweeps.contract import slope, slope_adjoint, step, step_adjoint, undo

Array = np.ndarray


class OwnSteps(NamedTuple):
    """Explicit tableau; ``h`` (n_steps/each, N or 1), each entry's length that of ``each`` steps.

    ``h_bar`` (n_steps/each, N) is added to, or empty if not wanted.
    """

    A: Array
    b: Array
    c: Array
    each: int
    h: Array
    h_bar: Array


@kernel(cache=False)
def _length(scheme, at, s):
    """The length of the step of a block's column; those beyond the samples are the first one's."""
    i = at.first + s if s < at.m else at.first
    return scheme.h[at.n // scheme.each, i if scheme.h.shape[1] > 1 else 0]


@kernel(cache=False)
def _moved(Y, start, scheme, at, weights, Fs):
    """Y <- start + h sum_j weights[j] Fs[j], each column by its own h."""
    for r in range(Y.shape[0]):
        for s in range(Y.shape[1]):
            total = start[r, s] * 0
            for j in range(weights.shape[0]):
                total += weights[j] * Fs[j, r, s]
            Y[r, s] = start[r, s] + _length(scheme, at, s) * total


@step.register(OwnSteps)
def own_step(scheme, dynamics, at, E, Y, tape):
    """Eq. (D20), each column by its own h."""
    A, b = scheme.A, scheme.b
    for i in range(b.shape[0]):
        _moved(tape.Y[i], Y, scheme, at, A[i, :i], tape.F)
        slope(dynamics, E[at.slots[i]], at.t, tape.Y[i], tape.F[i], tape.field[i])
    _moved(Y, Y, scheme, at, b, tape.F)


@step_adjoint.register(OwnSteps)
def own_step_adjoint(scheme, dynamics, at, E, Y, tape, bar):
    """Eq. (D21), each column by its own h; h_bar = sum_i (b_i lambda + sum a_ji zbar_j) . k_i."""
    A, b = scheme.A, scheme.b
    n, W, wanted = b.shape[0], bar.W, scheme.h_bar.shape[0] > 0
    for i in range(n - 1, -1, -1):
        for r in range(W.shape[0]):
            for s in range(W.shape[1]):
                total = b[i] * bar.L[r, s]
                for j in range(i + 1, n):
                    total += A[j, i] * bar.Z[j, r, s]
                if wanted and s < at.m:
                    share = total * tape.F[i, r, s]
                    scheme.h_bar[at.n // scheme.each, at.first + s] += share.real
                W[r, s] = _length(scheme, at, s) * total
        fill(bar.Z[i], 0.0)
        slope_adjoint(
            dynamics,
            E[at.slots[i]],
            at.t,
            tape.Y[i],
            tape.F[i],
            tape.field[i],
            W,
            bar.Z[i],
            bar.E[at.slots[i]],
            bar.scratch,
        )
    for i in range(n):
        axpy(bar.L, 1.0, bar.Z[i])


@undo.register(OwnSteps)
def own_undo(scheme, dynamics, at, E, Y, tape):
    """Not reversible."""
