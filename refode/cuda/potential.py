"""The potential network on the device: twin of refode/fields/potential/kernels.py.

The steps [1], ..., [7] and their names are explained there.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from refode.cuda.contract import FieldBodies
from refode.cuda.linalg import linalg
from refode.cuda.ops import Ops, log_cosh, staged
from refode.cuda.potential_laplacian import laplacian_bodies
from refode.cuda.potential_layout import layout, row_sums_of
from refode.cuda.potential_quadratic import quadratic
from refode.cuda.potential_value import value_bodies


class PotentialBodies(NamedTuple):
    """Phi and its derivatives; phi, Gt, lap are rows (S,), G is (d, S).

    ``derivatives(f, e, t, Z, phi, G, Gt, lap, tape)``
        Phi, grad Phi, dPhi/dt, Lap Phi into those that are not None; Gt and lap need G.
    ``derivatives_adjoint(f, e, t, Z, tape, phi_bar, G_bar, Gt_bar, lap_bar, Z_bar, e_bar,
    scratch)``
        Add the pull-backs of the cotangents that are not None, (D94)-(D97).
    ``rows(f, trace)``
        Rows of a stage's tape and of work space; the first two rows of the tape are the caller's.
    """

    derivatives: Any
    derivatives_adjoint: Any
    rows: Callable[[Any, bool], tuple[int, int]]


class Features(NamedTuple):
    """[1], [2] and their adjoints."""

    features: Any
    features_adjoint: Any


class Gradient(NamedTuple):
    """[3], [4] and their adjoints, with what [6]^T gives to y_i and a_i."""

    gradient: Any
    gradient_adjoint: Any


@functools.cache
def potential(ops: Ops) -> FieldBodies:
    """f = -grad_x Phi, its trace -Lap Phi and the adjoint of both."""
    bodies = potential_bodies(ops)
    derivatives, derivatives_adjoint = bodies.derivatives, bodies.derivatives_adjoint

    @ops.body
    def rhs(f, e, t, Z, F, tr, tape):
        """f = -grad_x Phi and its trace, -Lap Phi."""
        derivatives(f, e, t, Z, None, F, None, tr, tape)
        negate(F)
        if tr is not None:
            negate_row(tr)

    @ops.body
    def rhs_adjoint(f, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch):
        """The adjoint of gradient and Laplacian with both cotangents negated, in place."""
        negate(F_bar)
        if tr_bar is not None:
            negate_row(tr_bar)
        derivatives_adjoint(f, e, t, Z, tape, None, F_bar, None, tr_bar, Z_bar, e_bar, scratch)

    @ops.entries
    def negate(j, s, F):
        """F <- -F."""
        F[j, s] = -F[j, s]

    @ops.each
    def negate_row(s, v):
        """v <- -v."""
        v[s] = -v[s]

    return FieldBodies(rhs, rhs_adjoint, bodies.rows)


@functools.cache
def potential_bodies(ops: Ops) -> PotentialBodies:
    """Value, derivatives and their adjoint."""
    la = linalg(ops)
    fill, row_sums, outer_add = la.fill, la.row_sums, la.outer_add
    product_transposed = la.product_transposed
    places = layout(ops).places
    features, features_adjoint = _features(ops)
    value, value_adjoint = value_bodies(ops)
    gradient, gradient_adjoint = _gradient(ops)
    laplacian, laplacian_adjoint = laplacian_bodies(ops)[:2]

    @ops.body
    def derivatives(f, e, t, Z, phi, G, Gt, lap, tape):
        """Phi, grad Phi, dPhi/dt, Lap Phi into those that are not None."""
        features(f, e, t, Z, phi is not None, tape)
        if phi is not None:
            value(f, e, t, Z, phi, tape)
        if G is not None:
            gradient(f, e, t, Z, G, Gt, tape)
        if lap is not None:
            laplacian(f, e, lap, tape)

    @ops.body
    def derivatives_adjoint(
        f, e, t, Z, tape, phi_bar, G_bar, Gt_bar, lap_bar, Z_bar, e_bar, scratch
    ):
        """Add the pull-backs of the cotangents that are not None, (D94)-(D97)."""
        o, n, at = places(f), f.r + f.m, f.r + (f.M + 1) * f.m
        V_bar = scratch[0:n]  # of l and a_0, later of l and v_0
        if G_bar is not None:
            gradient_adjoint(f, e, t, Z, tape, G_bar, Gt_bar, lap_bar, Z_bar, e_bar, scratch)
            if lap_bar is not None:
                laplacian_adjoint(f, e, tape, lap_bar, e_bar, scratch)
        else:
            fill(scratch[0:at], 0.0)
        fill(scratch[at : at + f.m], 0.0)
        if phi_bar is not None:
            value_adjoint(f, e, t, Z, tape, phi_bar, Z_bar, e_bar, scratch)
        features_adjoint(f, e, tape, e_bar, scratch)
        row_sums(e_bar, o.wt, V_bar, t)  # [1]^T
        outer_add(V_bar, Z, 1, e_bar, o.W)
        product_transposed(e, o.W, 1, V_bar, Z_bar, True)

    _, tape_rows, n_pairs, _ = layout(staged)  # the host's

    def rows(f, trace):
        """As ``refode.fields.Potential.rows``."""
        laplacian = f.m + n_pairs(f) if f.pairs else 2 * f.m * f.D
        scratch = f.r + (f.M + 4) * f.m + (laplacian if trace else 0) + 1
        return (tape_rows(f).end if trace else tape_rows(f).R), scratch

    return PotentialBodies(derivatives, derivatives_adjoint, rows)


@functools.cache
def _features(ops: Ops) -> Features:
    la = linalg(ops)
    product, product_transposed = la.product, la.product_transposed
    outer_add, row_sums = la.outer_add, la.row_sums
    places, tape_rows, _, step_length = layout(ops)

    @ops.body
    def features(f, e, t, Z, last, tape):
        """[1], [2]: a_i for all layers, u_i for all but the last, which ``last`` asks for."""
        o, k, r, m, h = places(f), tape_rows(f), f.r, f.m, step_length(f)
        V = tape[k.V : k.V + r + m]
        product(e, o.W, 1, Z, V, False)
        first_layer(V, r, t, e, o.wt, o.b, tape[k.U : k.U + m])
        for i in range(1, f.M + 1):
            a = tape[k.V + r + i * m : k.V + r + (i + 1) * m]
            before = tape[k.U + (i - 1) * m : k.U + i * m]
            product(e, o.K + (i - 1) * m * m, 1, before, a, False)
            if last or i < f.M:
                next_layer(tape[k.U + i * m : k.U + (i + 1) * m], h, a, e, o.b + i * m, before)
            else:
                tanh(a, e, o.b + i * m)

    @ops.entries
    def first_layer(j, s, V, r, t, e, o_wt, o_b, U):
        """l += t A_t in the first r rows of V; v += t K_t + b_0, a = tanh v, u = sigma(v)."""
        v = V[j, s] + t * e[o_wt + j]
        if j >= r:
            v += e[o_b + j - r]
            U[j - r, s] = log_cosh(v)
            v = math.tanh(v)
        V[j, s] = v

    @ops.entries
    def next_layer(j, s, U, h, a, e, o_b, before):
        """v = a + b_i, a <- tanh v, u_i = u_{i-1} + h sigma(v)."""
        v = a[j, s] + e[o_b + j]
        U[j, s] = before[j, s] + h * log_cosh(v)
        a[j, s] = math.tanh(v)

    @ops.entries
    def tanh(j, s, a, e, o_b):
        """a <- tanh(a + b_i)."""
        a[j, s] = math.tanh(a[j, s] + e[o_b + j])

    @ops.body
    def features_adjoint(f, e, tape, e_bar, scratch):
        """[2]^T and the activation of [1]^T: cotangents of a_i become those of v_i."""
        o, k, r, m, h = places(f), tape_rows(f), f.r, f.m, step_length(f)
        top = r + (f.M + 1) * m
        u_bar = scratch[top : top + m]
        for i in range(f.M, -1, -1):
            a = tape[k.V + r + i * m : k.V + r + (i + 1) * m]
            v_bar = scratch[r + i * m : r + (i + 1) * m]
            units_adjoint(a, u_bar, h if i > 0 else 1.0, v_bar)
            row_sums(e_bar, o.b + i * m, v_bar, 1.0)
            if i > 0:
                K = o.K + (i - 1) * m * m
                outer_add(v_bar, tape[k.U + (i - 1) * m : k.U + i * m], 1, e_bar, K)
                product_transposed(e, K, 1, v_bar, u_bar, True)

    @ops.entries
    def units_adjoint(j, s, a, u_bar, h, v_bar):
        """v_bar <- (1 - a^2) a_bar + h a u_bar, with a_bar in v_bar."""
        v_bar[j, s] = (1.0 - a[j, s] * a[j, s]) * v_bar[j, s] + h * a[j, s] * u_bar[j, s]

    return Features(features, features_adjoint)


@functools.cache
def _gradient(ops: Ops) -> Gradient:
    la, of_rows = linalg(ops), row_sums_of(ops)
    product, product_transposed, outer_add = la.product, la.product_transposed, la.outer_add
    row_sums, row_products, total = la.row_sums, la.row_products, la.total
    add_column, copy, scaled_product = la.add_column, la.copy, la.scaled_product
    add_multiples = of_rows.add_multiples
    places, tape_rows, _, step_length = layout(ops)
    quadratic_gradient, quadratic_gradient_adjoint = quadratic(ops)[:2]
    first_term_adjoint, term_adjoint = laplacian_bodies(ops)[2:]

    @ops.body
    def gradient(f, e, t, Z, G, Gt, tape):
        """[3], [4]."""
        o, k, r, m, h = places(f), tape_rows(f), f.r, f.m, step_length(f)
        P, q = tape[k.P : k.P + r + m], tape[k.P + r : k.P + r + m]
        set_rows(tape[k.Y + f.M * m : k.Y + (f.M + 1) * m], e, o.w)
        for i in range(f.M, 0, -1):
            y_next = tape[k.Y + i * m : k.Y + (i + 1) * m]
            y = tape[k.Y + (i - 1) * m : k.Y + i * m]
            scaled_product(q, h, tape[k.V + r + i * m : k.V + r + (i + 1) * m], y_next)
            copy(y, y_next)
            product_transposed(e, o.K + (i - 1) * m * m, 1, q, y, True)
        if r > 0:
            copy(tape[k.P : k.P + r], tape[k.V : k.V + r])
        scaled_product(q, 1.0, tape[k.V + r : k.V + r + m], tape[k.Y : k.Y + m])
        product_transposed(e, o.W, 1, P, G, False)
        add_column(G, e, o.bx)
        if Gt is not None:
            by_time(Gt, e, o.bt, o.wt, P)
        if f.symmetric:
            quadratic_gradient(f.d, e, o.S, t, Z, G, Gt)

    @ops.entries
    def set_rows(j, s, y, e, o_w):
        """y_{M+1} <- w."""
        y[j, s] = e[o_w + j]

    @ops.each
    def by_time(s, Gt, e, o_bt, o_wt, P):
        """Gt <- W_t . P + b_t."""
        total = e[o_bt]
        for j in range(P.shape[0]):
            total += e[o_wt + j] * P[j, s]
        Gt[s] = total

    @ops.body
    def gradient_adjoint(f, e, t, Z, tape, G_bar, Gt_bar, lap_bar, Z_bar, e_bar, scratch):
        """[4]^T, [3]^T, and of [6] the cotangents of y_i and a_i.

        Leaves the cotangents of l, a_0, ..., a_M in the first rows of ``scratch``.
        """
        o, k, r, m, h = places(f), tape_rows(f), f.r, f.m, step_length(f)
        n, at = r + m, r + (f.M + 1) * m
        V_bar, a_bar = scratch[0:n], scratch[r : r + m]
        y_bar, q = scratch[at : at + m], scratch[at + 2 * m : at + 3 * m]
        P, a, y = tape[k.P : k.P + n], tape[k.V + r : k.V + n], tape[k.Y : k.Y + m]
        product(e, o.W, 1, G_bar, V_bar, False)  # cotangent of P, so far
        outer_add(P, G_bar, 1, e_bar, o.W)
        row_sums(e_bar, o.bx, G_bar, 1.0)
        if Gt_bar is not None:
            total(e_bar, o.bt, Gt_bar, 1.0)
            row_products(e_bar, o.wt, P, Gt_bar, 1.0)
            add_multiples(V_bar, e, o.wt, Gt_bar)
        if f.symmetric:
            quadratic_gradient_adjoint(f.d, e, o.S, t, Z, G_bar, Gt_bar, Z_bar, e_bar)
        pair_adjoint(a, 1.0, y, a_bar, y_bar, False)
        if lap_bar is not None:
            total(e_bar, o.trace, lap_bar, 1.0)
            first_term_adjoint(
                e, o.n, a, y, lap_bar, a_bar, y_bar, e_bar, scratch[at + 3 * m : at + 4 * m]
            )
        for i in range(1, f.M + 1):
            a = tape[k.V + r + i * m : k.V + r + (i + 1) * m]
            y = tape[k.Y + i * m : k.Y + (i + 1) * m]
            a_bar, K = scratch[r + i * m : r + (i + 1) * m], o.K + (i - 1) * m * m
            product(e, K, 1, y_bar, a_bar, False)  # of q = h a y, so far
            scaled_product(q, h, a, y)
            outer_add(q, y_bar, 1, e_bar, K)
            pair_adjoint(a, h, y, a_bar, y_bar, True)
            if lap_bar is not None:
                R = tape[k.R + (i - 1) * m : k.R + i * m]
                term_adjoint(a, h, y, R, lap_bar, a_bar, y_bar)
        row_sums(e_bar, o.w, y_bar, 1.0)

    @ops.entries
    def pair_adjoint(j, s, a, h, y, a_bar, y_bar, more):
        """q = h a y: with q_bar in a_bar, y_bar (+)= h a q_bar, then a_bar <- h y q_bar."""
        q_bar = h * a_bar[j, s]
        y_bar[j, s] = (y_bar[j, s] if more else 0.0) + a[j, s] * q_bar
        a_bar[j, s] = y[j, s] * q_bar

    return Gradient(gradient, gradient_adjoint)
