"""One step of an explicit Runge-Kutta scheme and its adjoint, over a block of samples.

Twin on the device: refode/cuda/schemes.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refode.machine.blocks import axpy, copy, fill, inner
from refode.machine.compile import kernel
from refode.sweeps.contract import slope, slope_adjoint, step, step_adjoint, undo

Array = np.ndarray


class RungeKutta(NamedTuple):
    """Explicit tableau."""

    A: Array
    b: Array
    c: Array


class Evaluate(NamedTuple):
    """No step at all, y <- f(y) at time t, which gives fields the sweeps' machinery."""

    b: Array


@step.register(RungeKutta)
def runge_kutta_step(scheme, dynamics, at, E, Y, tape):
    """Eq. (D20)."""
    A, b, c, h = scheme.A, scheme.b, scheme.c, at.h
    for i in range(b.shape[0]):
        _stage(tape.Y[i], Y, h, A[i, :i], tape.F)  # [1] Y_i = y + h sum_{j<i} a_ij k_j
        e, t = E[at.slots[i]], at.t + c[i] * h
        slope(dynamics, e, t, tape.Y[i], tape.F[i], tape.field[i])  # [2] k_i
    _stage(Y, Y, h, b, tape.F)  # [3] y+ = y + h sum_i b_i k_i


@kernel(cache=False)
def _stage(Y, start, h, weights, Fs):
    """Y <- start + h sum_j weights[j] Fs[j], row by row."""
    for r in range(Y.shape[0]):
        for s in range(Y.shape[1]):
            Y[r, s] = start[r, s]
        for j in range(weights.shape[0]):
            if weights[j] != 0.0:
                factor = h * weights[j]
                for s in range(Y.shape[1]):
                    Y[r, s] += factor * Fs[j, r, s]


@kernel(cache=False)
def _stage_adjoint(W, L, b, weights, Z_bars, h):
    """W <- h (b L + sum_j weights[j] Z_bars[j]), row by row."""
    for r in range(W.shape[0]):
        factor = h * b
        for s in range(W.shape[1]):
            W[r, s] = factor * L[r, s]
        for j in range(weights.shape[0]):
            if weights[j] != 0.0:
                factor = h * weights[j]
                for s in range(W.shape[1]):
                    W[r, s] += factor * Z_bars[j, r, s]


@step_adjoint.register(RungeKutta)
def runge_kutta_step_adjoint(scheme, dynamics, at, E, Y, tape, bar):
    """Eq. (D21)."""
    A, b, c, h = scheme.A, scheme.b, scheme.c, at.h
    n, W = b.shape[0], bar.W
    for i in range(n - 1, -1, -1):
        # [3]^T, [1]^T  w_i = h (b_i lambda + sum_{j>i} a_ji zbar_j)
        _stage_adjoint(W, bar.L, b[i], A[i + 1 :, i], bar.Z[i + 1 :], h)
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


@undo.register(RungeKutta)
def runge_kutta_undo(scheme, dynamics, at, E, Y, tape):
    """Not reversible: ``NeuralODE`` refuses it beforehand."""


@step.register(Evaluate)
def evaluate_step(scheme, dynamics, at, E, Y, tape):
    """Y <- f(Y)."""
    copy(tape.Y[0], Y)
    slope(dynamics, E[at.slots[0]], at.t, tape.Y[0], tape.F[0], tape.field[0])
    copy(Y, tape.F[0])


@step_adjoint.register(Evaluate)
def evaluate_step_adjoint(scheme, dynamics, at, E, Y, tape, bar):
    """L <- J^T L."""
    copy(bar.W, bar.L)
    fill(bar.L, 0.0)
    e, e_bar = E[at.slots[0]], bar.E[at.slots[0]]
    bar.time[0] += slope_adjoint(
        dynamics, e, at.t, tape.Y[0], tape.F[0], tape.field[0], bar.W, bar.L, e_bar, bar.scratch
    )


@undo.register(Evaluate)
def evaluate_undo(scheme, dynamics, at, E, Y, tape):
    """Not reversible."""
