"""Right-hand sides of the augmented state on the device: twin of refode/sweeps/dynamics.py."""

from __future__ import annotations

import functools
from typing import Any

from refode.cuda.contract import DynamicsBodies, FieldBodies
from refode.cuda.ops import Ops


@functools.cache
def plain(ops: Ops, field: FieldBodies) -> DynamicsBodies:
    """F = f(Y)."""
    rhs, rhs_adjoint = field.rhs, field.rhs_adjoint

    @ops.body
    def slope(dyn, e, t, Y, F, tape):
        rhs(dyn.field, e, t, Y, F, None, tape)

    @ops.body
    def slope_adjoint(dyn, e, t, Y, F, tape, F_bar, Y_bar, e_bar, scratch):
        """Y_bar += J^T F_bar."""
        rhs_adjoint(dyn.field, e, t, Y, tape, F_bar, None, Y_bar, e_bar, scratch)

    return DynamicsBodies(slope, slope_adjoint, lambda dyn: field.rows(dyn.field, False))


@functools.cache
def log_det(ops: Ops, field: FieldBodies) -> DynamicsBodies:
    """F = (f, tr df/dz)."""
    rhs, rhs_adjoint = field.rhs, field.rhs_adjoint

    @ops.body
    def slope(dyn, e, t, Y, F, tape):
        d = Y.shape[0] - 1
        rhs(dyn.field, e, t, Y[:d], F[:d], F[d], tape)

    @ops.body
    def slope_adjoint(dyn, e, t, Y, F, tape, F_bar, Y_bar, e_bar, scratch):
        """Y_bar += J^T F_bar + (d tr/dz)^T tr_bar; l itself feeds nothing."""
        d = Y.shape[0] - 1
        rhs_adjoint(dyn.field, e, t, Y[:d], tape, F_bar[:d], F_bar[d], Y_bar[:d], e_bar, scratch)

    return DynamicsBodies(slope, slope_adjoint, lambda dyn: field.rows(dyn.field, True))


@functools.cache
def flow(ops: Ops, field: FieldBodies) -> DynamicsBodies:
    """F = (f, tr df/dz, |f|^2/2)."""
    rhs, rhs_adjoint = field.rhs, field.rhs_adjoint
    half_square, half_square_adjoint = _half_squares(ops)

    @ops.body
    def slope(dyn, e, t, Y, F, tape):
        d = Y.shape[0] - 2
        rhs(dyn.field, e, t, Y[:d], F[:d], F[d], tape)  # [1] f, l'
        half_square(F[d + 1], F, d)  # [2] v' = |f|^2/2

    @ops.body
    def slope_adjoint(dyn, e, t, Y, F, tape, F_bar, Y_bar, e_bar, scratch):
        """As for ``log_det``, after f_bar += v_bar f, eq. (D44)."""
        d = Y.shape[0] - 2
        half_square_adjoint(F_bar[:d], F, F_bar[d + 1])  # [2]^T
        rhs_adjoint(  # [1]^T
            dyn.field, e, t, Y[:d], tape, F_bar[:d], F_bar[d], Y_bar[:d], e_bar, scratch
        )

    return DynamicsBodies(slope, slope_adjoint, lambda dyn: field.rows(dyn.field, True))


@functools.cache
def hutchinson(ops: Ops, field: FieldBodies) -> DynamicsBodies:
    """F = (f, 0, eps^T J eps, |f|^2/2): J eps by the field's tangent, (D122)."""
    tangent, tangent_adjoint = field.tangent, field.tangent_adjoint
    half_square, half_square_adjoint = _half_squares(ops)
    estimate, estimate_adjoint = _estimates(ops)

    @ops.body
    def slope(dyn, e, t, Y, F, tape):
        d = (Y.shape[0] - 2) // 2
        eps, J_eps = Y[d : 2 * d], F[d : 2 * d]
        tangent(dyn.field, e, t, Y[:d], eps, F[:d], J_eps, tape)  # [1] f, J eps
        estimate(F[2 * d], eps, J_eps)  # [2] l' = eps . J eps, eps' = 0 in its place
        half_square(F[2 * d + 1], F, d)  # [3] v' = |f|^2/2

    @ops.body
    def slope_adjoint(dyn, e, t, Y, F, tape, F_bar, Y_bar, e_bar, scratch):
        """Eq. (D123); the noise is a constant, and its rows of Y_bar stay as they are."""
        d = (Y.shape[0] - 2) // 2
        eps, J_eps_bar = Y[d : 2 * d], F_bar[d : 2 * d]
        half_square_adjoint(F_bar[:d], F, F_bar[2 * d + 1])  # [3]^T
        estimate_adjoint(eps, F_bar[2 * d], J_eps_bar)  # [2]^T (J eps)_bar = l_bar eps
        tangent_adjoint(  # [1]^T
            dyn.field, e, t, Y[:d], eps, tape, F_bar[:d], J_eps_bar, Y_bar[:d], e_bar, scratch
        )

    return DynamicsBodies(slope, slope_adjoint, lambda dyn: field.tangent_rows(dyn.field))


@functools.cache
def _estimates(ops: Ops) -> tuple[Any, Any]:
    @ops.each
    def estimate(s, l, eps, J_eps):  # noqa: E741
        """l <- eps . J eps; J eps <- 0."""
        total = 0.0
        for i in range(eps.shape[0]):
            total += eps[i, s] * J_eps[i, s]
            J_eps[i, s] = 0.0
        l[s] = total

    @ops.entries
    def estimate_adjoint(i, s, eps, l_bar, J_eps_bar):
        """(J eps)_bar <- l_bar eps."""
        J_eps_bar[i, s] = l_bar[s] * eps[i, s]

    return estimate, estimate_adjoint


@functools.cache
def _half_squares(ops: Ops) -> tuple[Any, Any]:
    @ops.each
    def half_square(s, v, F, d):
        """v <- |f|^2/2, f in the first d rows of F."""
        total = 0.0
        for i in range(d):
            total += 0.5 * F[i, s] * F[i, s]
        v[s] = total

    @ops.entries
    def half_square_adjoint(i, s, F_bar, F, v_bar):
        """f_bar += v_bar f."""
        F_bar[i, s] += v_bar[s] * F[i, s]

    return half_square, half_square_adjoint
