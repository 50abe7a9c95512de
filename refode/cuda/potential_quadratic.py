"""The symmetric quadratic s . S s/2 on the device: twin of refode/fields/potential/quadratic.py.

S lies among the effective weights in three parts: S_xx (d, d), S_xt (d,) and S_tt. It is
symmetric; cotangents are those of S_xx as a full matrix and of 2 S_xt, S_tt as they enter.

What needs S_xx x or phi_bar x takes the rows in runs, as many as ``room`` has.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from refode.cuda.linalg import linalg
from refode.cuda.ops import Ops
from refode.cuda.potential_layout import row_sums_of


class Quadratic(NamedTuple):
    """Value and gradient, with their adjoints."""

    gradient: Any
    gradient_adjoint: Any
    value: Any
    value_adjoint: Any


@functools.cache
def quadratic(ops: Ops) -> Quadratic:
    """The symmetric quadratic; Gt and Gt_bar may be None."""
    la, of_rows = linalg(ops), row_sums_of(ops)
    product, product_transposed, outer_add = la.product, la.product_transposed, la.outer_add
    row_sums, row_products, total = la.row_sums, la.row_products, la.total
    add_shift, add_multiples = of_rows.add_shift, of_rows.add_multiples
    add_products = of_rows.add_products

    @ops.body
    def gradient(d, e, at, t, Z, G, Gt):
        """G += S_xx x + t S_xt, Gt += S_xt . x + t S_tt."""
        product(e, at, 1, Z, G, True)
        add_shift(G, t, e, at + d * d)
        if Gt is not None:
            add_affine(Gt, 1.0, t, e, at + d * d, Z)

    @ops.body
    def gradient_adjoint(d, e, at, t, Z, G_bar, Gt_bar, Z_bar, e_bar):
        """Add to the cotangents of x and S."""
        xt, tt = at + d * d, at + d * d + d
        product(e, at, 1, G_bar, Z_bar, True)  # S_xx is symmetric
        outer_add(G_bar, Z, 1, e_bar, at)
        row_sums(e_bar, xt, G_bar, t)
        if Gt_bar is not None:
            total(e_bar, tt, Gt_bar, t)
            row_products(e_bar, xt, Z, Gt_bar, 1.0)
            add_multiples(Z_bar, e, xt, Gt_bar)

    @ops.body
    def value(d, e, at, t, Z, phi, room):
        """phi += x . S_xx x/2 + t S_xt . x + t^2 S_tt/2."""
        add_affine(phi, t, 0.5 * t, e, at + d * d, Z)
        for i in range(0, d, room.shape[0]):
            n = min(room.shape[0], d - i)
            product(e, at + i * d, 1, Z, room[0:n], False)
            add_products(phi, 0.5, Z[i : i + n], room[0:n])

    @ops.body
    def value_adjoint(d, e, at, t, Z, phi_bar, Z_bar, e_bar, room):
        """Add to the cotangents of x and S."""
        xt, tt = at + d * d, at + d * d + d
        total(e_bar, tt, phi_bar, 0.5 * t * t)
        row_products(e_bar, xt, Z, phi_bar, t)
        add_scaled_multiples(Z_bar, t, e, xt, phi_bar)
        for i in range(0, d, room.shape[0]):
            n = min(room.shape[0], d - i)
            scaled_rows(room[0:n], 0.5, Z[i : i + n], phi_bar)
            outer_add(room[0:n], Z, 1, e_bar, at + i * d)
            scaled_rows(room[0:n], 1.0, Z[i : i + n], phi_bar)
            product_transposed(e, at + i * d, 1, room[0:n], Z_bar, True)

    @ops.each
    def add_affine(s, v, factor, t, e, xt, Z):
        """v += factor (S_xt . x + t S_tt)."""
        total = t * e[xt + Z.shape[0]]
        for i in range(Z.shape[0]):
            total += e[xt + i] * Z[i, s]
        v[s] += factor * total

    @ops.entries
    def add_scaled_multiples(j, s, Y, factor, e, at, v):
        """Y += factor times the column e[at:] times the row v."""
        Y[j, s] += factor * e[at + j] * v[s]

    @ops.entries
    def scaled_rows(j, s, out, factor, X, v):
        """out <- factor v X, every row by v."""
        out[j, s] = factor * v[s] * X[j, s]

    return Quadratic(gradient, gradient_adjoint, value, value_adjoint)
