"""The Laplacian, steps [5] and [6], on the device: twin of refode/fields/potential/laplacian.py.

A tile's J_i and T_i are (m D, S): row k D + i holds the i-th derivative of unit k, so that a
layer is one product for all samples and directions.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from refode.cuda.linalg import linalg
from refode.cuda.ops import Ops, signed
from refode.cuda.potential_layout import layout


class Laplacian(NamedTuple):
    """[5], [6] and their adjoints."""

    laplacian: Any
    laplacian_adjoint: Any
    first_term_adjoint: Any
    term_adjoint: Any


class Terms(NamedTuple):
    """[6] and [6]^T."""

    first_term: Any
    add_term: Any
    first_term_adjoint: Any
    term_adjoint: Any


class Pairs(NamedTuple):
    """R_1 = B P with the products P of pairs of units, (D93b)."""

    form: Any
    form_adjoint: Any


class Jacobians(NamedTuple):
    """J_i, T_i and R_i of [5]."""

    first_jacobian: Any
    square_sums: Any
    next_jacobian: Any
    square_sums_adjoint: Any
    next_jacobian_adjoint: Any
    first_jacobian_adjoint: Any


@functools.cache
def laplacian_bodies(ops: Ops) -> Laplacian:
    """The Laplacian by pairs or by Jacobians."""
    la, terms = linalg(ops), _terms(ops)
    product, product_transposed = la.product, la.product_transposed
    outer_add, row_sums = la.outer_add, la.row_sums
    first_term, add_term = terms.first_term, terms.add_term
    places, tape_rows, _, step_length = layout(ops)
    form, form_adjoint = _pairs(ops)
    first_jacobian, square_sums, next_jacobian = _jacobians(ops)[:3]
    square_sums_adjoint, next_jacobian_adjoint, first_jacobian_adjoint = _jacobians(ops)[3:]

    @ops.body
    def laplacian(f, e, lap, tape):
        """[5], [6]."""
        o, k, r, m, D, h = places(f), tape_rows(f), f.r, f.m, f.D, step_length(f)
        a_0 = tape[k.V + r : k.V + r + m]
        first_term(lap, e, o.trace, o.n, a_0, tape[k.Y : k.Y + m])
        if f.pairs:
            R = tape[k.R : k.R + m]
            form(e, o.C, a_0, tape[k.J : k.end], R)
            a, y = tape[k.V + r + m : k.V + r + 2 * m], tape[k.Y + m : k.Y + 2 * m]
            add_term(lap, h, a, y, R)
            return
        if f.M > 0:
            first_jacobian(tape[k.J : k.J + m * D], a_0, e, o.C, D)
        for i in range(1, f.M + 1):
            J = tape[k.J + (i - 1) * m * D : k.J + i * m * D]
            T = tape[k.T + (i - 1) * m * D : k.T + i * m * D]
            a = tape[k.V + r + i * m : k.V + r + (i + 1) * m]
            y, R = tape[k.Y + i * m : k.Y + (i + 1) * m], tape[k.R + (i - 1) * m : k.R + i * m]
            product(e, o.K + (i - 1) * m * m, D, J, T, False)
            square_sums(R, T, D)
            add_term(lap, h, a, y, R)
            if i < f.M:
                next_jacobian(J, h, a, T, D, tape[k.J + i * m * D : k.J + (i + 1) * m * D])

    @ops.body
    def laplacian_adjoint(f, e, tape, lap_bar, e_bar, scratch):
        """[5]^T, once [6]^T has given what a_i and y_i get; adds to those of a_i, K_i and C."""
        o, k, r, m, D, h = places(f), tape_rows(f), f.r, f.m, f.D, step_length(f)
        at = r + (f.M + 1) * m + 3 * m
        if f.M == 0:
            return
        a_0, a_0_bar = tape[k.V + r : k.V + r + m], scratch[r : r + m]
        if f.pairs:
            a, y = tape[k.V + r + m : k.V + r + 2 * m], tape[k.Y + m : k.Y + 2 * m]
            P, n = tape[k.J : k.end], k.end - k.J
            form_adjoint(
                e,
                o.C,
                a,
                y,
                a_0,
                P,
                lap_bar,
                scratch[at : at + m],
                scratch[at + m : at + m + n],
                a_0_bar,
                e_bar,
            )
            return
        J_bar, T_bar = scratch[at : at + m * D], scratch[at + m * D : at + 2 * m * D]
        for i in range(f.M, 0, -1):
            J = tape[k.J + (i - 1) * m * D : k.J + i * m * D]
            T = tape[k.T + (i - 1) * m * D : k.T + i * m * D]
            a = tape[k.V + r + i * m : k.V + r + (i + 1) * m]
            y = tape[k.Y + i * m : k.Y + (i + 1) * m]
            square_sums_adjoint(T, h, a, y, D, lap_bar, T_bar)
            if i < f.M:
                a_bar = scratch[r + i * m : r + (i + 1) * m]
                next_jacobian_adjoint(a, h, T, J_bar, D, T_bar, a_bar)
            K = o.K + (i - 1) * m * m
            outer_add(T_bar, J, D, e_bar, K)
            product_transposed(e, K, D, T_bar, J_bar, i < f.M)
        first_jacobian_adjoint(a_0, e, o.C, D, J_bar, a_0_bar)  # J_bar <- a_0 J_bar
        row_sums(e_bar, o.C, J_bar, 1.0)

    return Laplacian(laplacian, laplacian_adjoint, terms.first_term_adjoint, terms.term_adjoint)


@functools.cache
def _terms(ops: Ops) -> Terms:
    row_sums = linalg(ops).row_sums

    @ops.each
    def first_term(s, lap, e, o_trace, o_n, a, y):
        """lap <- the trace of the quadratic + n . (1 - a^2) y."""
        total = e[o_trace]
        for j in range(a.shape[0]):
            total += e[o_n + j] * (1.0 - a[j, s] * a[j, s]) * y[j, s]
        lap[s] = total

    @ops.each
    def add_term(s, lap, h, a, y, R):
        """lap += h R . (1 - a^2) y."""
        total = 0.0
        for j in range(a.shape[0]):
            total += R[j, s] * (1.0 - a[j, s] * a[j, s]) * y[j, s]
        lap[s] += h * total

    @ops.body
    def first_term_adjoint(e, o_n, a, y, lap_bar, a_bar, y_bar, e_bar, room):
        """[6]^T, n . (1 - a^2) y: add to the cotangents of a_0, y_1 and n."""
        first_term_entries(a, e, o_n, y, lap_bar, a_bar, y_bar, room)
        row_sums(e_bar, o_n, room, 1.0)

    @ops.entries
    def first_term_entries(j, s, a, e, o_n, y, lap_bar, a_bar, y_bar, n_bar):
        """n_bar <- what each sample gives to it."""
        slope = (1.0 - a[j, s] * a[j, s]) * lap_bar[s]
        y_bar[j, s] += e[o_n + j] * slope
        a_bar[j, s] -= 2.0 * e[o_n + j] * a[j, s] * y[j, s] * lap_bar[s]
        n_bar[j, s] = slope * y[j, s]

    @ops.entries
    def term_adjoint(j, s, a, h, y, R, lap_bar, a_bar, y_bar):
        """[6]^T, h R . (1 - a^2) y: add to the cotangents of a_i and y_{i+1}."""
        weight = h * R[j, s] * lap_bar[s]
        y_bar[j, s] += (1.0 - a[j, s] * a[j, s]) * weight
        a_bar[j, s] -= 2.0 * a[j, s] * y[j, s] * weight

    return Terms(first_term, add_term, first_term_adjoint, term_adjoint)


@functools.cache
def _pairs(ops: Ops) -> Pairs:
    la = linalg(ops)
    product, product_transposed, outer_add = la.product, la.product_transposed, la.outer_add

    @ops.body
    def form(e, o_B, a, P, R):
        """R <- B P."""
        products_of_pairs(a, P)
        product(e, o_B, 1, P, R, False)

    @ops.body
    def form_adjoint(e, o_B, a, y, a_0, P, lap_bar, R_bar, P_bar, a_0_bar, e_bar):
        """Add to the cotangents of a_0 and B."""
        slopes(a, y, lap_bar, R_bar)  # h = 1
        product_transposed(e, o_B, 1, R_bar, P_bar, False)
        outer_add(R_bar, P, 1, e_bar, o_B)
        products_of_pairs_adjoint(a_0, P_bar, a_0_bar)

    @ops.entries
    def products_of_pairs(j, s, a, P):
        """The products a_k a_l, k <= l, row by row: k m - k (k - 1)/2 + l - k is that of (k, l)."""
        m, k = a.shape[0], signed(j)
        at = k * m - k * (k - 1) // 2
        for l in range(k, m):  # noqa: E741
            P[at + l - k, s] = a[k, s] * a[l, s]

    @ops.entries
    def products_of_pairs_adjoint(j, s, a, P_bar, a_bar):
        """Add to the cotangent of a; the square of a unit has two shares in it."""
        m, k = a.shape[0], signed(j)
        total = P_bar[k * m - k * (k - 1) // 2, s] * a[k, s]
        for l in range(m):  # noqa: E741
            low, high = min(k, l), max(k, l)
            total += P_bar[low * m - low * (low - 1) // 2 + high - low, s] * a[l, s]
        a_bar[k, s] += total

    @ops.entries
    def slopes(j, s, a, y, lap_bar, R_bar):
        """R_bar <- (1 - a^2) y lap_bar."""
        R_bar[j, s] = (1.0 - a[j, s] * a[j, s]) * y[j, s] * lap_bar[s]

    return Pairs(form, form_adjoint)


@functools.cache
def _jacobians(ops: Ops) -> Jacobians:
    @ops.entries
    def first_jacobian(row, s, J, a, e, o_C, D):
        """J_0 <- a_0 C."""
        J[row, s] = a[row // D, s] * e[o_C + row]

    @ops.entries
    def square_sums(k, s, R, T, D):
        """R[k] <- sum_i T[k, i]^2."""
        total = 0.0
        for row in range(k * D, (k + 1) * D):
            total += T[row, s] * T[row, s]
        R[k, s] = total

    @ops.entries
    def next_jacobian(row, s, J, h, a, T, D, J_next):
        """J_i <- J_{i-1} + h a_i T_i."""
        J_next[row, s] = J[row, s] + h * a[row // D, s] * T[row, s]

    @ops.entries
    def square_sums_adjoint(row, s, T, h, a, y, D, lap_bar, T_bar):
        """T_bar <- 2 R_bar T with R_bar = h (1 - a^2) y lap_bar."""
        k = row // D
        slope = 1.0 - a[k, s] * a[k, s]
        T_bar[row, s] = (2.0 * h) * slope * y[k, s] * lap_bar[s] * T[row, s]

    @ops.entries
    def next_jacobian_adjoint(k, s, a, h, T, J_bar, D, T_bar, a_bar):
        """J_i = J_{i-1} + h a_i T_i: add to the cotangents of T_i and a_i."""
        total = 0.0
        for row in range(k * D, (k + 1) * D):
            T_bar[row, s] += h * a[k, s] * J_bar[row, s]
            total += T[row, s] * J_bar[row, s]
        a_bar[k, s] += h * total

    @ops.entries
    def first_jacobian_adjoint(k, s, a, e, o_C, D, J_bar, a_bar):
        """J_0 = a_0 C: add to the cotangent of a_0; J_bar <- what the samples give to C's."""
        total = 0.0
        for row in range(k * D, (k + 1) * D):
            total += e[o_C + row] * J_bar[row, s]
            J_bar[row, s] *= a[k, s]
        a_bar[k, s] += total

    return Jacobians(
        first_jacobian,
        square_sums,
        next_jacobian,
        square_sums_adjoint,
        next_jacobian_adjoint,
        first_jacobian_adjoint,
    )
