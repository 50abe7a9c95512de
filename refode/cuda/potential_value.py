"""The potential's value, step [7], on the device: twin of refode/fields/potential/kernels.py."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from refode.cuda.linalg import linalg
from refode.cuda.ops import Ops
from refode.cuda.potential_layout import layout, row_sums_of
from refode.cuda.potential_quadratic import quadratic


class Value(NamedTuple):
    """[7] and [7]^T."""

    value: Any
    value_adjoint: Any


@functools.cache
def value_bodies(ops: Ops) -> Value:
    """Phi, of either quadratic."""
    la, of_rows = linalg(ops), row_sums_of(ops)
    total, row_products = la.total, la.row_products
    add_multiples = of_rows.add_multiples
    places, tape_rows = layout(ops)[:2]
    quadratic_value, quadratic_value_adjoint = quadratic(ops)[2:]

    @ops.body
    def value(f, e, t, Z, phi, tape):
        """[7]; the rows of P, which the gradient fills later, are free."""
        o, k, m = places(f), tape_rows(f), f.m
        top = k.U + f.M * m
        sums(phi, e, o.c, o.bt, o.w, o.bx, t, tape[top : top + m], Z)
        if f.r > 0:
            add_half_squares(phi, tape[k.V : k.V + f.r])
        if f.symmetric:
            quadratic_value(f.d, e, o.S, t, Z, phi, tape[k.P : k.P + m])

    @ops.each
    def sums(s, phi, e, o_c, o_bt, o_w, o_bx, t, U, Z):
        """phi <- w . u_M + b . s + c."""
        total = e[o_c] + t * e[o_bt]
        for j in range(U.shape[0]):
            total += e[o_w + j] * U[j, s]
        for i in range(Z.shape[0]):
            total += e[o_bx + i] * Z[i, s]
        phi[s] = total

    @ops.each
    def add_half_squares(s, phi, l):  # noqa: E741
        """phi += |l|^2/2."""
        total = 0.0
        for j in range(l.shape[0]):
            total += l[j, s] * l[j, s]
        phi[s] += 0.5 * total

    @ops.body
    def value_adjoint(f, e, t, Z, tape, phi_bar, Z_bar, e_bar, scratch):
        """[7]^T: add to the cotangents of l and u_M; what is beyond these is free."""
        o, k, r, m, at = places(f), tape_rows(f), f.r, f.m, f.r + (f.M + 1) * f.m
        top = k.U + f.M * m
        total(e_bar, o.c, phi_bar, 1.0)
        total(e_bar, o.bt, phi_bar, t)
        row_products(e_bar, o.w, tape[top : top + m], phi_bar, 1.0)
        add_multiples(scratch[at : at + m], e, o.w, phi_bar)
        if r > 0:
            add_scaled_rows(scratch[0:r], phi_bar, tape[k.V : k.V + r])
        row_products(e_bar, o.bx, Z, phi_bar, 1.0)
        add_multiples(Z_bar, e, o.bx, phi_bar)
        if f.symmetric:
            room = scratch[at + m : at + 3 * m]
            quadratic_value_adjoint(f.d, e, o.S, t, Z, phi_bar, Z_bar, e_bar, room)

    @ops.entries
    def add_scaled_rows(j, s, Y, v, X):
        """Y += v X, every row by v."""
        Y[j, s] += v[s] * X[j, s]

    return Value(value, value_adjoint)
