"""One step of an implicit Runge-Kutta scheme and its adjoint, over a block of samples.

The tape's first entry is the state at the step's start, of which no slope is taken; stage i of the
scheme, counted from 0, is its entry i + 1. No twin on the device.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refode.machine.blocks import axpy, copy, fill, inner
from refode.machine.compile import kernel
from refode.sweeps.contract import slope_adjoint, slope_jacobian, step, step_adjoint, undo
from refode.sweeps.linear import factor, solve
from refode.sweeps.newton import FAILED, solve_stages, workspace

Array = np.ndarray


class Implicit(NamedTuple):
    """An implicit tableau, the field's sizes, and where failures are noted."""

    A: Array  # (s, s)
    b: Array  # (s,)
    c: Array  # (s+1,): the tape's first entry shares the first stage's node, and slot
    one_by_one: bool  # whether A is lower triangular
    ends: bool  # whether the last stage is the step's end
    d: int  # rows of the field
    scratch: int  # rows of its work space
    failed: Array  # (N,): the step, counted from 1, in which a sample's stages were not found


@step.register(Implicit)
def implicit_step(scheme, dynamics, at, E, Y, tape):
    """Eq. (D150): stages by Newton's iteration, one after another or all at once."""
    b, h, d, n = scheme.b, at.h, scheme.d, scheme.b.shape[0]
    m = 1 if scheme.one_by_one else n
    work = workspace(E, m, d, Y.shape[1], scheme.scratch)
    copy(tape.Y[0], Y)
    for first in range(0, n, m):
        for i in range(first, first + m):  # from where the stage before has come
            copy(tape.Y[i + 1], tape.Y[first])
            known = work.known[(i - first) * d : (i - first + 1) * d]
            _partial(known, Y, h, scheme.A[i, :first], tape.F)
        solve_stages(scheme, dynamics, at, E, tape, first, first + m, work)
        _note_failures(scheme, at, work.status, tape, first, first + m)
    for r in range(Y.shape[0]):  # y+ = y + h sum_i b_i k_i
        for i in range(n):
            weight = h * b[i]
            for s in range(Y.shape[1]):
                Y[r, s] += weight * tape.F[i + 1, r, s]
    if scheme.ends:  # the same but for rounding, which h J does not enlarge here
        copy(Y[:d], tape.Y[n][:d])


@kernel(cache=False)
def _partial(known, start, h, weights, Fs):
    """known <- start + h sum_j weights[j] Fs[j+1], over the field's rows."""
    for r in range(known.shape[0]):
        for s in range(known.shape[1]):
            known[r, s] = start[r, s]
        for j in range(weights.shape[0]):
            weight = h * weights[j]
            for s in range(known.shape[1]):
                known[r, s] += weight * Fs[j + 1, r, s]


@kernel(cache=False)
def _note_failures(scheme, at, status, tape, first, end):
    """Note who failed, and let their states be NaN from here on."""
    for s in range(status.shape[0]):
        if status[s] == FAILED:
            if s < at.m and scheme.failed[at.first + s] == 0:
                scheme.failed[at.first + s] = at.n + 1
            for i in range(first, end):
                for r in range(tape.F.shape[1]):
                    tape.F[i + 1, r, s] = np.nan
                for r in range(scheme.d):
                    tape.Y[i + 1, r, s] = np.nan


@step_adjoint.register(Implicit)
def implicit_step_adjoint(scheme, dynamics, at, E, Y, tape, bar):
    """Eq. (D152): by the implicit function theorem, groups of stages in reverse order."""
    d, n, h = scheme.d, scheme.b.shape[0], at.h
    m = 1 if scheme.one_by_one else n
    S = Y.shape[1]
    J, w = np.empty((m * d * d, S), E.dtype), np.empty((m * d, S), E.dtype)
    M, x = np.empty((m * d, m * d), E.dtype), np.empty(m * d, E.dtype)
    pivots = np.empty(m * d, np.int64)
    for first in range(n - m, -1, -m):
        for i in range(first, first + m):
            fill(bar.Z[i + 1], 0.0)
            if Y.shape[0] > d:  # quadratures: zbar_i = (dq'/dz)^T h b_i q_bar
                fill(bar.W, 0.0)
                axpy(bar.W[d:], h * scheme.b[i], bar.L[d:])
                _pull_back(scheme, dynamics, at, E, tape, bar, i)
            k = i - first
            t = at.t + scheme.c[i + 1] * h
            slope_jacobian(
                dynamics,
                E[at.slots[i + 1]],
                t,
                tape.Y[i + 1],
                tape.field[i + 1],
                J[k * d * d : (k + 1) * d * d],
                bar.scratch,
            )
        for i in range(
            first, first + m
        ):  # w_i = h b_i lambda + h sum_j a_ji zbar_j, as far as known
            part = w[(i - first) * d : (i - first + 1) * d]
            fill(part, 0.0)
            axpy(part, h * scheme.b[i], bar.L[:d])
            for j in range(first, n):
                axpy(part, h * scheme.A[j, i], bar.Z[j + 1][:d])
        _solve_adjoint(scheme, h, first, m, J, M, pivots, x, w)
        for i in range(first, first + m):
            fill(bar.W, 0.0)
            copy(bar.W[:d], w[(i - first) * d : (i - first + 1) * d])
            _pull_back(scheme, dynamics, at, E, tape, bar, i)
    for i in range(n):
        axpy(bar.L, 1.0, bar.Z[i + 1])  # lambda <- lambda + sum_i zbar_i


@kernel(cache=False)
def _solve_adjoint(scheme, h, first, m, J, M, pivots, x, w):
    """w <- the solution of [I - h (A^T x I) diag(J_j^T)] w = w, sample by sample."""
    d = scheme.d
    for s in range(w.shape[1]):
        for i in range(m):
            for j in range(m):
                a = h * scheme.A[first + j, first + i]
                for p in range(d):
                    for q in range(d):
                        M[i * d + p, j * d + q] = -a * J[(j * d + q) * d + p, s]
        for q in range(m * d):
            M[q, q] += 1.0
            x[q] = w[q, s]
        if factor(M, pivots):
            solve(M, pivots, x)
            for q in range(m * d):
                w[q, s] = x[q]
        else:
            for q in range(m * d):
                w[q, s] = np.nan


@kernel(cache=False)
def _pull_back(scheme, dynamics, at, E, tape, bar, i):
    """zbar_i += J_i^T W, with the cotangents of weights, t and h, (D23); W is overwritten."""
    n, c = i + 1, scheme.c[i + 1]
    bar.time[1] += inner(bar.W, tape.F[n]) / at.h
    t_bar = slope_adjoint(
        dynamics,
        E[at.slots[n]],
        at.t + c * at.h,
        tape.Y[n],
        tape.F[n],
        tape.field[n],
        bar.W,
        bar.Z[n],
        bar.E[at.slots[n]],
        bar.scratch,
    )
    bar.time[0] += t_bar
    bar.time[1] += c * t_bar


@undo.register(Implicit)
def implicit_undo(scheme, dynamics, at, E, Y, tape):
    """Not reversible: ``NeuralODE`` refuses it beforehand."""
