"""One step of the reversible coupling of an explicit scheme and its adjoint, (D170), (D171).

The state is two, y in the first half of a block's rows and v in the second; at the path's start
both are the samples. The tape's first half of stages are those of the step from v on, its second
half those of the step back from y+; a stage's state is in the lower rows, and the upper rows of the
first entry are the state y at the step's start, as costs want it. No twin on the device.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refode.machine.blocks import axpy, copy, fill, inner
from refode.machine.compile import kernel
from refode.machine.views import band
from refode.sweeps.contract import slope, slope_adjoint, step, step_adjoint, undo
from refode.sweeps.runge_kutta import _stage, _stage_adjoint

Array = np.ndarray


class Reversible(NamedTuple):
    """An explicit tableau, and what holds y and v together."""

    A: Array
    b: Array
    c: Array  # (2 s,): the nodes of the step from v on, then those of the step back from y+
    coupling: float


@kernel
def _stages(scheme, dynamics, at, E, start, back, tape):
    """The stages of a step from a state on, or of a step back from it, which has the end's time."""
    n, d = scheme.b.shape[0], start.shape[0]
    first, h = (n, -at.h) if back else (0, at.h)
    for i in range(n):
        k, Z = first + i, band(tape.Y[first + i], d, d)
        _stage(Z, start, h, scheme.A[i, :i], tape.F[first:])
        t = at.t + scheme.c[k] * at.h
        slope(dynamics, E[at.slots[k]], t, Z, band(tape.F[k], 0, d), tape.field[k])


@kernel
def _stages_adjoint(scheme, dynamics, at, E, seed, back, tape, bar):
    """Pull the cotangent of the increment h sum_i b_i k_i back; bar.Z has those of the stages.

    Those of the step back carry its sign: its increment is -h sum_i b_i k_i.
    """
    A, b, n, d = scheme.A, scheme.b, scheme.b.shape[0], seed.shape[0]
    first, h = (n, -at.h) if back else (0, at.h)
    W = band(bar.W, 0, d)
    for i in range(n - 1, -1, -1):
        k = first + i
        _stage_adjoint(W, seed, b[i], A[i + 1 :, i], bar.Z[first + i + 1 :], 1.0)
        F, Z_bar = band(tape.F[k], 0, d), band(bar.Z[k], 0, d)
        moved = inner(W, F)
        bar.time[1] += -moved if back else moved
        for r in range(d):
            for s in range(W.shape[1]):
                W[r, s] *= h
        fill(Z_bar, 0.0)
        t_bar = slope_adjoint(
            dynamics,
            E[at.slots[k]],
            at.t + scheme.c[k] * at.h,
            band(tape.Y[k], d, d),
            F,
            tape.field[k],
            W,
            Z_bar,
            bar.E[at.slots[k]],
            bar.scratch,
        )
        bar.time[0] += t_bar
        bar.time[1] += scheme.c[k] * t_bar


@step.register(Reversible)
def reversible_step(scheme, dynamics, at, E, Y, tape):
    """Eq. (D170): y+ = l y + (1-l) v + Psi_h(v), v+ = v - Psi_{-h}(y+)."""
    n, d, ell = scheme.b.shape[0], Y.shape[0] // 2, scheme.coupling
    y, v = band(Y, 0, d), band(Y, d, d)
    if at.n == 0:
        copy(v, y)
    copy(band(tape.Y[0], 0, d), y)
    _stages(scheme, dynamics, at, E, v, False, tape)
    for r in range(d):
        for s in range(y.shape[1]):
            y[r, s] = ell * y[r, s] + (1.0 - ell) * v[r, s]
    _stage(y, y, at.h, scheme.b, tape.F)
    _stages(scheme, dynamics, at, E, y, True, tape)
    _stage(v, v, at.h, scheme.b, tape.F[n:])


@step_adjoint.register(Reversible)
def reversible_step_adjoint(scheme, dynamics, at, E, Y, tape, bar):
    """Eq. (D171)."""
    n, d, ell = scheme.b.shape[0], Y.shape[0] // 2, scheme.coupling
    y_bar, v_bar = band(bar.L, 0, d), band(bar.L, d, d)
    # v+ = v + h sum b_i m_i, whose stages step back: with the seed -v_bar, the increment is -h
    for r in range(d):
        for s in range(v_bar.shape[1]):
            v_bar[r, s] = -v_bar[r, s]
    _stages_adjoint(scheme, dynamics, at, E, v_bar, True, tape, bar)
    for r in range(d):
        for s in range(v_bar.shape[1]):
            v_bar[r, s] = -v_bar[r, s]
    for i in range(n, 2 * n):
        axpy(y_bar, 1.0, band(bar.Z[i], 0, d))
    _stages_adjoint(scheme, dynamics, at, E, y_bar, False, tape, bar)
    axpy(v_bar, 1.0 - ell, y_bar)
    for i in range(n):
        axpy(v_bar, 1.0, band(bar.Z[i], 0, d))
    for r in range(d):
        for s in range(y_bar.shape[1]):
            y_bar[r, s] *= ell
    if at.n == 0:  # both are the samples
        axpy(y_bar, 1.0, v_bar)


@undo.register(Reversible)
def reversible_undo(scheme, dynamics, at, E, Y, tape):
    """v = v+ + Psi_{-h}(y+), y = (y+ - (1-l) v - Psi_h(v)) / l, eq. (D170)."""
    n, d, ell = scheme.b.shape[0], Y.shape[0] // 2, scheme.coupling
    y, v = band(Y, 0, d), band(Y, d, d)
    _stages(scheme, dynamics, at, E, y, True, tape)
    _stage(v, v, -at.h, scheme.b, tape.F[n:])
    _stages(scheme, dynamics, at, E, v, False, tape)
    _stage(y, y, -at.h, scheme.b, tape.F)
    for r in range(d):
        for s in range(y.shape[1]):
            y[r, s] = (y[r, s] - (1.0 - ell) * v[r, s]) / ell
    copy(band(tape.Y[0], 0, d), y)
