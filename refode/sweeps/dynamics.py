"""Right-hand sides of the augmented state: a field with the quadratures that ride along.

===============  =====================  ====================================================
dynamics         state                  beside z' = f
===============  =====================  ====================================================
``Plain``        z                      nothing
``LogDet``       (z, l)                 l' = tr df/dz
``Flow``         (z, l, v)              v' = |f|^2 / 2 besides, eq. (15)
``Hutchinson``   (z, eps, l, v)         l' = eps^T df/dz eps in place of the trace, eps' = 0
===============  =====================  ====================================================

Schemes and sweeps neither know nor care which of them they integrate. A quadrature feeds
nothing, so that its row of the cotangent stays what the cost made it.

Twin on the device: refode/cuda/dynamics.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refode.fields.contract import FIELD, half, half_adjoint, jacobian, rhs, rhs_adjoint
from refode.machine.compile import kernel
from refode.machine.parts import Member, members
from refode.sweeps.contract import (
    half_slope,
    half_slope_adjoint,
    slope,
    slope_adjoint,
    slope_jacobian,
)

Array = np.ndarray
# the complex step of Hutchinson's estimator: its square, and its inverse's, are still numbers
DELTA = 1e-100


class Plain(NamedTuple):
    """The field alone."""

    field: tuple


class LogDet(NamedTuple):
    """The field with l' = tr df/dz in the last row of the state."""

    field: tuple


class Flow(NamedTuple):
    """The field with l' = tr df/dz and v' = |f|^2/2 in the last two rows."""

    field: tuple


class Hutchinson(NamedTuple):
    """As ``Flow``, the trace estimated with the noise that stands in rows d, ..., 2d-1."""

    field: tuple


def extra_rows(dynamics: Any, d: int) -> int:
    """Rows of the state beyond z."""
    return {Plain: 0, LogDet: 1, Flow: 2, Hutchinson: d + 2}[dynamics]


def has_trace(dynamics: Any) -> bool:
    """Whether the field has to supply its exact trace."""
    return dynamics in (LogDet, Flow)


members(Plain, field=Member(room=FIELD))
members(LogDet, field=Member(room=FIELD, variant=1))
members(Flow, field=Member(room=FIELD, variant=1))
members(Hutchinson, field=Member(room=FIELD, complex_=True))


@slope.register(Plain)
def plain_slope(dynamics, e, t, Y, F, tape):
    """F = f(Y)."""
    rhs(dynamics.field, e, t, Y, F, None, tape)


@slope_adjoint.register(Plain)
def plain_slope_adjoint(dynamics, e, t, Y, F, tape, F_bar, Y_bar, e_bar, scratch):
    """Y_bar += J^T F_bar."""
    return rhs_adjoint(dynamics.field, e, t, Y, tape, F_bar, None, Y_bar, e_bar, scratch)


@slope_jacobian.register(Plain)
def plain_jacobian(dynamics, e, t, Y, tape, J, scratch):
    """df/dz."""
    jacobian(dynamics.field, e, t, Y, tape, J, scratch)


@half_slope.register(Plain)
def plain_half_slope(dynamics, e, t, which, Y, F, tape):
    """One half of f."""
    half(dynamics.field, e, t, which, Y, F, tape)


@half_slope_adjoint.register(Plain)
def plain_half_slope_adjoint(dynamics, e, t, which, Y, tape, F_bar, Y_bar, e_bar, scratch):
    """Its adjoint."""
    return half_adjoint(dynamics.field, e, t, which, Y, tape, F_bar, Y_bar, e_bar, scratch)


@slope.register(LogDet)
def log_det_slope(dynamics, e, t, Y, F, tape):
    """F = (f, tr df/dz)."""
    d = Y.shape[0] - 1
    rhs(dynamics.field, e, t, Y[:d], F[:d], F[d], tape)


@slope_adjoint.register(LogDet)
def log_det_slope_adjoint(dynamics, e, t, Y, F, tape, F_bar, Y_bar, e_bar, scratch):
    """Y_bar += J^T F_bar + (d tr/dz)^T tr_bar; l itself feeds nothing."""
    d = Y.shape[0] - 1
    return rhs_adjoint(
        dynamics.field, e, t, Y[:d], tape, F_bar[:d], F_bar[d], Y_bar[:d], e_bar, scratch
    )


@slope_jacobian.register(LogDet)
def log_det_jacobian(dynamics, e, t, Y, tape, J, scratch):
    """df/dz; l feeds nothing."""
    jacobian(dynamics.field, e, t, Y[: Y.shape[0] - 1], tape, J, scratch)


@slope.register(Flow)
def flow_slope(dynamics, e, t, Y, F, tape):
    """F = (f, tr df/dz, |f|^2/2)."""
    d = Y.shape[0] - 2
    rhs(dynamics.field, e, t, Y[:d], F[:d], F[d], tape)  # [1] f, l'
    half_square(F, d, F[d + 1])  # [2] v' = |f|^2/2


@slope_adjoint.register(Flow)
def flow_slope_adjoint(dynamics, e, t, Y, F, tape, F_bar, Y_bar, e_bar, scratch):
    """As for ``LogDet``, after f_bar += v_bar f, eq. (D44)."""
    d = Y.shape[0] - 2
    half_square_adjoint(F, d, F_bar[d + 1], F_bar)  # [2]^T
    return rhs_adjoint(  # [1]^T
        dynamics.field, e, t, Y[:d], tape, F_bar[:d], F_bar[d], Y_bar[:d], e_bar, scratch
    )


@slope_jacobian.register(Flow)
def flow_jacobian(dynamics, e, t, Y, tape, J, scratch):
    """df/dz; l and v feed nothing."""
    jacobian(dynamics.field, e, t, Y[: Y.shape[0] - 2], tape, J, scratch)


@kernel(cache=False)
def half_square(F, d, v):
    """v <- |f|^2/2, f in the first d rows of F."""
    for s in range(v.shape[0]):
        v[s] = 0.5 * F[0, s] * F[0, s]
    for i in range(1, d):
        for s in range(v.shape[0]):
            v[s] += 0.5 * F[i, s] * F[i, s]


@kernel(cache=False)
def half_square_adjoint(F, d, v_bar, F_bar):
    """f_bar += v_bar f."""
    for i in range(d):
        for s in range(v_bar.shape[0]):
            F_bar[i, s] += v_bar[s] * F[i, s]


@kernel(cache=False)
def _shifted(e, Y, d):
    """Complex copies: e, and z + i delta eps, eq. (D46)."""
    e_c = np.empty(e.shape[0], np.complex128)
    for q in range(e.shape[0]):
        e_c[q] = e[q]
    Z_c = np.empty((d, Y.shape[1]), np.complex128)
    for i in range(d):
        for s in range(Y.shape[1]):
            Z_c[i, s] = complex(Y[i, s], DELTA * Y[d + i, s])
    return e_c, Z_c


@slope.register(Hutchinson)
def hutchinson_slope(dynamics, e, t, Y, F, tape):
    """F = (f, 0, eps^T J eps, |f|^2/2): J eps is the imaginary part of f(z + i delta eps)."""
    d, S = (Y.shape[0] - 2) // 2, Y.shape[1]
    e_c, Z_c = _shifted(e, Y, d)
    F_c = np.empty((d, S), np.complex128)
    tape_c = np.empty((tape.shape[0], S), np.complex128)
    rhs(dynamics.field, e_c, complex(t), Z_c, F_c, None, tape_c)
    for s in range(S):
        F[2 * d, s] = 0.0
    for i in range(d):
        for s in range(S):
            F[i, s] = F_c[i, s].real
            F[d + i, s] = 0.0
            F[2 * d, s] += Y[d + i, s] * (F_c[i, s].imag / DELTA)
    half_square(F, d, F[2 * d + 1])


@slope_adjoint.register(Hutchinson)
def hutchinson_slope_adjoint(dynamics, e, t, Y, F, tape, F_bar, Y_bar, e_bar, scratch):
    """The field's own adjoint at z + i delta eps, eq. (D47); the noise is a constant."""
    d, S = (Y.shape[0] - 2) // 2, Y.shape[1]
    half_square_adjoint(F, d, F_bar[2 * d + 1], F_bar)
    e_c, Z_c = _shifted(e, Y, d)
    F_c = np.empty((d, S), np.complex128)
    tape_c = np.empty((tape.shape[0], S), np.complex128)
    rhs(dynamics.field, e_c, complex(t), Z_c, F_c, None, tape_c)
    for i in range(d):  # f_bar + l_bar eps / (i delta)
        for s in range(S):
            F_c[i, s] = complex(F_bar[i, s], -F_bar[2 * d, s] * Y[d + i, s] / DELTA)
    Z_bar = np.zeros((d, S), np.complex128)
    e_bar_c = np.zeros(e.shape[0], np.complex128)
    work = np.empty((scratch.shape[0], S), np.complex128)
    t_bar = rhs_adjoint(
        dynamics.field, e_c, complex(t), Z_c, tape_c, F_c, None, Z_bar, e_bar_c, work
    )
    for i in range(d):
        for s in range(S):
            Y_bar[i, s] += Z_bar[i, s].real
    for q in range(e.shape[0]):
        e_bar[q] += e_bar_c[q].real
    return t_bar.real


@slope_jacobian.register(Hutchinson)
def hutchinson_jacobian(dynamics, e, t, Y, tape, J, scratch):
    """df/dz, by the field's complex kernels at real points: no others are there."""
    d, S = (Y.shape[0] - 2) // 2, Y.shape[1]
    e_c, Z_c = _shifted(e, Y, d)
    for i in range(d):
        for s in range(S):
            Z_c[i, s] = Y[i, s]
    F_c = np.empty((d, S), np.complex128)
    tape_c = np.empty((tape.shape[0], S), np.complex128)
    J_c = np.empty((d * d, S), np.complex128)
    work = np.empty((scratch.shape[0], S), np.complex128)
    rhs(dynamics.field, e_c, complex(t), Z_c, F_c, None, tape_c)
    jacobian(dynamics.field, e_c, complex(t), Z_c, tape_c, J_c, work)
    for i in range(d * d):
        for s in range(S):
            J[i, s] = J_c[i, s].real
