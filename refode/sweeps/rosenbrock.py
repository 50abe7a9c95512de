"""One step of the Rosenbrock method ros2 and its adjoint, over a block of samples.

With M = I - gamma h J(y): M k1 = f(y), M k2 = f(y + h k1) - 2 k1, y+ = y + 3h/2 k1 + h/2 k2.
Quadratures, which feed nothing, are those of both slopes, half each. The Jacobian is within the
map, so that the adjoint has second derivatives of f, (D155): the complex step through the field's
own adjoint, and no complex numbers besides. No twin on the device.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refode.fields.contract import FIELD, rhs, rhs_adjoint
from refode.machine.blocks import axpy, copy, fill, inner
from refode.machine.compile import kernel
from refode.machine.parts import Member, members
from refode.sweeps.contract import slope, slope_adjoint, slope_jacobian, step, step_adjoint, undo
from refode.sweeps.dynamics import DELTA
from refode.sweeps.linear import factor, solve, solve_transposed

Array = np.ndarray


class Rosenbrock(NamedTuple):
    """ros2 with its gamma, and the field with its sizes."""

    gamma: float
    c: Array
    field: tuple
    d: int
    tape: int
    scratch: int  # rows of its work space


members(Rosenbrock, field=Member(room=FIELD, complex_=True))


class _Systems(NamedTuple):
    """J (d d, S), and work space for one sample's system."""

    J: Array
    M: Array
    x: Array
    pivots: Array
    one: Array  # (d, S): k1, then k2, or u1 and u2
    two: Array


@kernel(cache=False)
def _systems(scheme, dynamics, at, E, tape, scratch):
    """The Jacobian at the step's start, and room."""
    d, S = scheme.d, tape.Y.shape[2]
    J = np.empty((d * d, S), E.dtype)
    slope_jacobian(dynamics, E[at.slots[0]], at.t, tape.Y[0], tape.field[0], J, scratch)
    return _Systems(
        J,
        np.empty((d, d), E.dtype),
        np.empty(d, E.dtype),
        np.empty(d, np.int64),
        np.empty((d, S), E.dtype),
        np.empty((d, S), E.dtype),
    )


@kernel(cache=False)
def _factored(systems, gamma_h, s):
    """One sample's M, factored; whether it could be."""
    M, d = systems.M, systems.M.shape[0]
    for p in range(d):
        for q in range(d):
            M[p, q] = -gamma_h * systems.J[p * d + q, s]
        M[p, p] += 1.0
    return factor(M, systems.pivots)


@kernel(cache=False)
def _solved(systems, gamma_h, B, X, transposed):
    """X <- M^{-1} B, or M^{-T} B, sample by sample; NaN where M is singular."""
    x, d = systems.x, systems.M.shape[0]
    for s in range(B.shape[1]):
        done = _factored(systems, gamma_h, s)
        for p in range(d):
            x[p] = B[p, s]
        if transposed:
            solve_transposed(systems.M, systems.pivots, x)
        else:
            solve(systems.M, systems.pivots, x)
        for p in range(d):
            X[p, s] = x[p] if done else np.nan


@kernel(cache=False)
def _second(systems, gamma_h, F):
    """k2, from k1 and the slope at y + h k1."""
    one, two = systems.one, systems.two
    for p in range(two.shape[0]):
        for s in range(two.shape[1]):
            two[p, s] = F[p, s] - 2.0 * one[p, s]
    _solved(systems, gamma_h, two, two, False)


@step.register(Rosenbrock)
def rosenbrock_step(scheme, dynamics, at, E, Y, tape):
    """Eq. (D155)."""
    d, h = scheme.d, at.h
    gamma_h = scheme.gamma * h
    copy(tape.Y[0], Y)
    copy(tape.Y[1], Y)
    slope(dynamics, E[at.slots[0]], at.t, tape.Y[0], tape.F[0], tape.field[0])
    scratch = np.empty((scheme.scratch, Y.shape[1]), E.dtype)
    systems = _systems(scheme, dynamics, at, E, tape, scratch)
    _solved(systems, gamma_h, tape.F[0], systems.one, False)
    axpy(tape.Y[1][:d], h, systems.one)
    slope(dynamics, E[at.slots[1]], at.t + h, tape.Y[1], tape.F[1], tape.field[1])
    _second(systems, gamma_h, tape.F[1])
    axpy(Y[:d], 1.5 * h, systems.one)
    axpy(Y[:d], 0.5 * h, systems.two)
    for i in range(2):
        axpy(Y[d:], 0.5 * h, tape.F[i][d:])


@step_adjoint.register(Rosenbrock)
def rosenbrock_step_adjoint(scheme, dynamics, at, E, Y, tape, bar):
    """Eq. (D156)."""
    d, h, L, W = scheme.d, at.h, bar.L, bar.W
    gamma_h = scheme.gamma * h
    k = _systems(scheme, dynamics, at, E, tape, bar.scratch)
    u = _systems(scheme, dynamics, at, E, tape, bar.scratch)
    _solved(k, gamma_h, tape.F[0], k.one, False)
    _second(k, gamma_h, tape.F[1])
    bar.time[1] += 1.5 * inner(L[:d], k.one) + 0.5 * inner(L[:d], k.two)
    if L.shape[0] > d:  # quadratures
        for i in range(2):
            bar.time[1] += 0.5 * inner(L[d:], tape.F[i][d:])
    copy(u.two, L[:d])
    _times(u.two, 0.5 * h)
    _solved(u, gamma_h, u.two, u.two, True)  # u2 = M^{-T} h/2 lambda
    fill(bar.Z[1], 0.0)
    _seed(W, u.two, L, 0.5 * h, d)
    t_bar = _pull_back(dynamics, at, E, tape, bar, 1, bar.Z[1])
    bar.time[1] += t_bar + inner(bar.Z[1][:d], k.one)
    for p in range(d):  # k1_bar = 3h/2 lambda + h ybar_1 - 2 u2
        for s in range(L.shape[1]):
            u.one[p, s] = 1.5 * h * L[p, s] + h * bar.Z[1, p, s] - 2.0 * u.two[p, s]
    _solved(u, gamma_h, u.one, u.one, True)  # u1 = M^{-T} k1_bar
    fill(bar.Z[0], 0.0)
    _seed(W, u.one, L, 0.5 * h, d)
    _pull_back(dynamics, at, E, tape, bar, 0, bar.Z[0])
    _curvature(scheme, at, E, tape, bar, k.one, u.one, k.J)
    _curvature(scheme, at, E, tape, bar, k.two, u.two, k.J)
    axpy(L, 1.0, bar.Z[0])
    axpy(L, 1.0, bar.Z[1])


@kernel(cache=False)
def _times(X, a):
    """X <- a X."""
    for r in range(X.shape[0]):
        for s in range(X.shape[1]):
            X[r, s] *= a


@kernel(cache=False)
def _seed(W, u, L, weight, d):
    """W <- u in the field's rows, weight times the cotangent in the quadratures'."""
    fill(W, 0.0)
    copy(W[:d], u)
    axpy(W[d:], weight, L[d:])


@kernel(cache=False)
def _pull_back(dynamics, at, E, tape, bar, i, Z_bar):
    """Z_bar += J_i^T W, with the cotangents of weights and t; t's is returned."""
    n = at.slots[i]
    t_bar = slope_adjoint(
        dynamics,
        E[n],
        at.t + (at.h if i == 1 else 0.0),
        tape.Y[i],
        tape.F[i],
        tape.field[i],
        bar.W,
        Z_bar,
        bar.E[n],
        bar.scratch,
    )
    bar.time[0] += t_bar
    return t_bar


@kernel(cache=False)
def _curvature(scheme, at, E, tape, bar, k, u, J):
    """The cotangents of gamma h u^T J(y, t; theta) k: M's share in those of the step.

    J(y + i eps k)^T u, divided by eps, has d/dy of u^T J k as its imaginary part, (D47).
    """
    d, S = scheme.d, k.shape[1]
    e, n = E[at.slots[0]], at.slots[0]
    gamma_h = scheme.gamma * at.h
    e_c = np.empty(e.shape[0], np.complex128)
    for q in range(e.shape[0]):
        e_c[q] = e[q]
    Z_c, F_c = np.empty((d, S), np.complex128), np.empty((d, S), np.complex128)
    for p in range(d):
        for s in range(S):
            Z_c[p, s] = complex(tape.Y[0, p, s], DELTA * k[p, s])
    tape_c = np.empty((scheme.tape, S), np.complex128)
    rhs(scheme.field, e_c, complex(at.t), Z_c, F_c, None, tape_c)
    for p in range(d):
        for s in range(S):
            F_c[p, s] = complex(u[p, s], 0.0)
    Z_bar, e_bar = np.zeros((d, S), np.complex128), np.zeros(e.shape[0], np.complex128)
    work = np.empty((scheme.scratch, S), np.complex128)
    t_bar = rhs_adjoint(
        scheme.field, e_c, complex(at.t), Z_c, tape_c, F_c, None, Z_bar, e_bar, work
    )
    scale = gamma_h / DELTA
    for p in range(d):
        for s in range(S):
            bar.Z[0, p, s] += scale * Z_bar[p, s].imag
    for q in range(e.shape[0]):
        bar.E[n, q] += scale * e_bar[q].imag
    bar.time[0] += scale * t_bar.imag
    total = 0.0  # d/dh of gamma h u^T J k
    for p in range(d):
        for q in range(d):
            for s in range(S):
                total += u[p, s] * J[p * d + q, s] * k[q, s]
    bar.time[1] += scheme.gamma * total


@undo.register(Rosenbrock)
def rosenbrock_undo(scheme, dynamics, at, E, Y, tape):
    """Not reversible: ``NeuralODE`` refuses it beforehand."""
