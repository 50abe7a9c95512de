"""One step of a scheme and its adjoint, over a block of samples, for any dynamics.

A *scheme* says how a step is made of evaluations:

``RungeKutta``   any explicit tableau, eqs. (D20), (D21)
``Partitioned``  symplectic substeps, each moving one half of the state, eq. (D25)
``Evaluate``     no step at all: y <- f(y), which gives fields the sweeps' machinery

The tape of a step: states Y_i, slopes F_i and the field's own tape for every stage.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refode._jit import generic, kernel
from refode._linalg import axpy, copy, fill, inner
from refode.fields.contract import half, half_adjoint
from refode.solvers.dynamics import slope, slope_adjoint

Array = np.ndarray


class RungeKutta(NamedTuple):
    """Explicit tableau."""

    A: Array
    b: Array
    c: Array


class Partitioned(NamedTuple):
    """Substeps: which half moves, by which fraction of h, at which fraction of the step."""

    which: Array
    b: Array
    c: Array


class Evaluate(NamedTuple):
    """y <- f(y) at time t."""

    b: Array


@generic
def step(scheme, dynamics, t, h, slots, E, Y, Ys, Fs, tapes):
    """Advance Y by one step, keeping the stages in Ys, Fs and tapes."""


@generic
def step_adjoint(
    scheme, dynamics, t, h, slots, E, Y, Ys, Fs, tapes, L, W, Z_bars, E_bar, scratch, time_bar
):
    """Pull the cotangent L back by one step; time_bar += cotangents of (t, h)."""


@generic
def undo(scheme, dynamics, t, h, slots, E, Y, Ys, Fs, tapes):
    """Take Y back to the start of the step, refilling the stages (reversible schemes only)."""


@undo.register(RungeKutta)
def runge_kutta_undo(scheme, dynamics, t, h, slots, E, Y, Ys, Fs, tapes):
    """Not reversible: ``NeuralODE`` refuses it beforehand."""


@step.register(RungeKutta)
def runge_kutta_step(scheme, dynamics, t, h, slots, E, Y, Ys, Fs, tapes):
    """Eq. (D20)."""
    A, b, c = scheme.A, scheme.b, scheme.c
    for i in range(b.shape[0]):
        _stage(Ys[i], Y, h, A[i, :i], Fs)  # [1] Y_i = y + h sum_{j<i} a_ij k_j
        slope(dynamics, E[slots[i]], t + c[i] * h, Ys[i], Fs[i], tapes[i])  # [2] k_i
    _stage(Y, Y, h, b, Fs)  # [3] y+ = y + h sum_i b_i k_i


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
def runge_kutta_step_adjoint(
    scheme, dynamics, t, h, slots, E, Y, Ys, Fs, tapes, L, W, Z_bars, E_bar, scratch, time_bar
):
    """Eq. (D21)."""
    A, b, c = scheme.A, scheme.b, scheme.c
    n = b.shape[0]
    for i in range(n - 1, -1, -1):
        # [3]^T, [1]^T  w_i = h (b_i lambda + sum_{j>i} a_ji zbar_j)
        _stage_adjoint(W, L, b[i], A[i + 1 :, i], Z_bars[i + 1 :], h)
        time_bar[1] += inner(W, Fs[i]) / h
        fill(Z_bars[i], 0.0)  # [2]^T  zbar_i = J_i^T w_i
        t_bar = slope_adjoint(
            dynamics, E[slots[i]], t + c[i] * h, Ys[i], Fs[i], tapes[i],
            W, Z_bars[i], E_bar[slots[i]], scratch,
        )  # fmt: skip
        time_bar[0] += t_bar
        time_bar[1] += c[i] * t_bar
    for i in range(n):
        axpy(L, 1.0, Z_bars[i])  # lambda <- lambda + sum_i zbar_i


@step.register(Partitioned)
def partitioned_step(scheme, dynamics, t, h, slots, E, Y, Ys, Fs, tapes):
    """Substep i moves one half: y <- y + h b_i f_half(y), eq. (D25)."""
    for i in range(scheme.b.shape[0]):
        copy(Ys[i], Y)
        fill(Fs[i], 0.0)
        which = scheme.which[i]
        half(dynamics.field, E[slots[i]], t + scheme.c[i] * h, which, Y, Fs[i], tapes[i])
        axpy(Y, h * scheme.b[i], Fs[i])


@step_adjoint.register(Partitioned)
def partitioned_step_adjoint(
    scheme, dynamics, t, h, slots, E, Y, Ys, Fs, tapes, L, W, Z_bars, E_bar, scratch, time_bar
):
    """L <- L + J_half^T (h b_i L), in reverse order, eq. (D26)."""
    b, c = scheme.b, scheme.c
    for i in range(b.shape[0] - 1, -1, -1):
        fill(W, 0.0)
        axpy(W, b[i], L)
        time_bar[1] += inner(W, Fs[i])
        for r in range(W.shape[0]):
            for s in range(W.shape[1]):
                W[r, s] *= h
        t_bar = half_adjoint(
            dynamics.field, E[slots[i]], t + c[i] * h, scheme.which[i], Ys[i], tapes[i],
            W, L, E_bar[slots[i]], scratch,
        )  # fmt: skip
        time_bar[0] += t_bar
        time_bar[1] += c[i] * t_bar


@undo.register(Partitioned)
def partitioned_undo(scheme, dynamics, t, h, slots, E, Y, Ys, Fs, tapes):
    """y <- y - h b_i f_half(y) in reverse order: f_half reads the half that stayed, eq. (D27)."""
    for i in range(scheme.b.shape[0] - 1, -1, -1):
        fill(Fs[i], 0.0)
        which = scheme.which[i]
        half(dynamics.field, E[slots[i]], t + scheme.c[i] * h, which, Y, Fs[i], tapes[i])
        axpy(Y, -h * scheme.b[i], Fs[i])
        copy(Ys[i], Y)


@undo.register(Evaluate)
def evaluate_undo(scheme, dynamics, t, h, slots, E, Y, Ys, Fs, tapes):
    """Not reversible."""


@step.register(Evaluate)
def evaluate_step(scheme, dynamics, t, h, slots, E, Y, Ys, Fs, tapes):
    """Y <- f(Y)."""
    copy(Ys[0], Y)
    slope(dynamics, E[slots[0]], t, Ys[0], Fs[0], tapes[0])
    copy(Y, Fs[0])


@step_adjoint.register(Evaluate)
def evaluate_step_adjoint(
    scheme, dynamics, t, h, slots, E, Y, Ys, Fs, tapes, L, W, Z_bars, E_bar, scratch, time_bar
):
    """L <- J^T L."""
    copy(W, L)
    fill(L, 0.0)
    time_bar[0] += slope_adjoint(
        dynamics, E[slots[0]], t, Ys[0], Fs[0], tapes[0], W, L, E_bar[slots[0]], scratch
    )
