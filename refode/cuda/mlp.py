"""The multilayer perceptron of eq. (1) on the device: twin of refode/fields/mlp.py.

Effective weights e: W_0, b_0, ..., W_n, b_n for n hidden layers, then W_0's time column. The
tape of a stage is (a_l, sigma'_l), hidden layer after hidden layer.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from refode.cuda.activations import curvature, sigma, slope
from refode.cuda.contract import FieldBodies
from refode.cuda.linalg import linalg
from refode.cuda.ops import Ops
from refode.cuda.tangents import mlp_tangents


class Passes(NamedTuple):
    """Passes through the layers: values and tangents upwards, their cotangents downwards."""

    values: Any
    values_adjoint: Any
    tangents: Any
    tangents_adjoint: Any


@functools.cache
def mlp(ops: Ops) -> FieldBodies:
    """Value, trace and their adjoint; tangent and its adjoint."""
    la, passes = linalg(ops), _passes(ops)
    values, values_adjoint = passes.values, passes.values_adjoint
    trace, trace_adjoint = _trace(ops, passes)
    fill = la.fill

    @ops.body
    def rhs(f, e, t, Z, F, tr, tape):
        """Eq. (1), trace by columns of the Jacobian, (D16)."""
        values(f, e, t, Z, F, tape)  # [1], [2]
        if tr is not None:  # [3]
            free = 2 * f.places[f.widths.shape[0] - 2]
            middle = free + f.widest
            trace(f, e, tape, tr, tape[free:middle], tape[middle : middle + f.widest])

    @ops.body
    def rhs_adjoint(f, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch):
        """Eqs. (D15), (D17)."""
        widest, total = f.widest, f.places[f.widths.shape[0] - 2]
        one, other = scratch[0:widest], scratch[widest : 2 * widest]
        if tr_bar is not None:
            begin = 2 * widest
            D_bars = scratch[begin : begin + total]
            u_dots = scratch[begin + total : begin + 2 * total]
            fill(D_bars, 0.0)
            trace_adjoint(f, e, tape, tr_bar, e_bar, D_bars, u_dots, one, other)  # [3]^T
            values_adjoint(f, e, t, Z, tape, F_bar, D_bars, Z_bar, e_bar, one, other)
        else:
            values_adjoint(f, e, t, Z, tape, F_bar, None, Z_bar, e_bar, one, other)

    def rows(f, trace):
        """Rows of a stage's tape and of the adjoint's work space."""
        total, widest = int(f.places[-1]), f.widest
        if not trace:
            return 2 * total, 2 * widest
        return 2 * total + 2 * widest, 2 * total + 2 * widest

    return FieldBodies(rhs, rhs_adjoint, rows, *mlp_tangents(ops, passes))


@functools.cache
def _passes(ops: Ops) -> Passes:
    la = linalg(ops)
    product, product_transposed = la.product, la.product_transposed
    outer_add, row_sums, multiply = la.outer_add, la.row_sums, la.multiply
    scaled_product = la.scaled_product
    activate, shift, units_adjoint, slopes_adjoint = _loops(ops)

    @ops.body
    def values(f, e, t, Z, F, tape):
        """Eq. (1); the tape gets (a, sigma') of the hidden layers."""
        n = f.widths.shape[0] - 2
        o_w = f.starts[n + 1]
        source = Z
        for i in range(n):
            w, begin, end = f.widths[i + 1], 2 * f.places[i], f.starts[i + 1]
            a, D = tape[begin : begin + w], tape[begin + w : begin + 2 * w]
            product(e, f.starts[i], 1, source, a, False)  # [1] u = W a + b (+ w t)
            activate(a, f.codes[i], e, end - w, o_w, f.n_time > 0 and i == 0, t, D)
            source = a  #                                       a = sigma(u)
        product(e, f.starts[n], 1, source, F, False)  # [2] f = W a + b (+ w t)
        shift(F, e, o_w - f.widths[n + 1], o_w, f.n_time > 0 and n == 0, t)

    @ops.body
    def values_adjoint(f, e, t, Z, tape, F_bar, D_bars, Z_bar, e_bar, one, other):
        """(D15), with the cotangents of sigma' unless they are None."""
        n = f.widths.shape[0] - 2
        o_w = f.starts[n + 1]
        U_bar = F_bar
        for i in range(n, -1, -1):
            w, below, at = f.widths[i + 1], f.widths[i], f.starts[i]
            if i < n:  # [1]^T u_bar = sigma' a_bar (+ sigma'' sigma'_bar)
                begin = 2 * f.places[i]
                a, D = tape[begin : begin + w], tape[begin + w : begin + 2 * w]
                if D_bars is not None:
                    D_bar = D_bars[f.places[i] : f.places[i + 1]]
                    units_adjoint(a, f.codes[i], D, D_bar, U_bar)
                else:
                    multiply(U_bar, D)
            row_sums(e_bar, at + w * below, U_bar, 1.0)  # b_bar += u_bar
            if i > 0:
                begin = 2 * f.places[i - 1]
                outer_add(U_bar, tape[begin : begin + below], 1, e_bar, at)  # W_bar += u_bar a^T
                product_transposed(e, at, 1, U_bar, one[:below], False)  # a_bar = W^T u_bar
                U_bar = one[:below]
                one, other = other, one
            else:
                if f.n_time > 0:
                    row_sums(e_bar, o_w, U_bar, t)  # w_bar += t u_bar
                outer_add(U_bar, Z, 1, e_bar, at)
                product_transposed(e, at, 1, U_bar, Z_bar, True)  # z_bar += W^T u_bar

    @ops.body
    def tangents(f, e, tape, u_dots, work):
        """From u_dot of the first hidden layer to all others'; a_dot of the last in ``work``."""
        n = f.widths.shape[0] - 2
        for i in range(n):
            w, begin = f.widths[i + 1], 2 * f.places[i]
            u_dot = u_dots[f.places[i] : f.places[i + 1]]
            if i > 0:  # u_dot = W a_dot
                product(e, f.starts[i], 1, work[: f.widths[i]], u_dot, False)
            # a_dot = sigma' u_dot
            scaled_product(work[:w], 1.0, tape[begin + w : begin + 2 * w], u_dot)

    @ops.body
    def tangents_adjoint(f, e, tape, u_dots, e_bar, D_bars, one, other):
        """From the cotangent of the last a_dot, in ``one``, to that of the first u_dot, in its
        place. Adds to the cotangents of sigma' and of all matrices in between."""
        n = f.widths.shape[0] - 2
        for i in range(n - 1, -1, -1):
            w, begin = f.widths[i + 1], 2 * f.places[i]
            D, D_bar = tape[begin + w : begin + 2 * w], D_bars[f.places[i] : f.places[i + 1]]
            u_dot = u_dots[f.places[i] : f.places[i + 1]]
            u_dot_bar = one[:w] if i > 0 else u_dot
            # a_dot = sigma' u_dot: sigma'_bar += a_dot_bar u_dot, u_dot_bar = sigma' a_dot_bar
            slopes_adjoint(one[:w], D, u_dot, D_bar, u_dot_bar)
            if i > 0:  # u_dot = W a_dot of the layer below
                below, under = f.widths[i], 2 * f.places[i - 1]
                D = tape[under + below : under + 2 * below]
                u_dot_below = u_dots[f.places[i - 1] : f.places[i]]
                scaled_product(other[:below], 1.0, D, u_dot_below)
                outer_add(u_dot_bar, other[:below], 1, e_bar, f.starts[i])
                product_transposed(e, f.starts[i], 1, u_dot_bar, other[:below], False)
                one, other = other, one

    return Passes(values, values_adjoint, tangents, tangents_adjoint)


@functools.cache
def _trace(ops: Ops, passes: Passes) -> tuple[Any, Any]:
    la = linalg(ops)
    product, multiply = la.product, la.multiply
    row_products, total, column_sums = la.row_products, la.total, la.column_sums
    tangents, tangents_adjoint = passes.tangents, passes.tangents_adjoint
    diagonal, column, add_row, seed = _trace_loops(ops)

    @ops.body
    def trace(f, e, tape, tr, one, other):
        """tr = sum_i e_i^T J e_i, one direction e_i at a time, (D16)."""
        n, d = f.widths.shape[0] - 2, f.widths[0]
        if n == 0:
            diagonal(tr, e, d)
        else:
            for i in range(d):
                here, following = one, other
                w = f.widths[1]
                column(here[:w], e, i, d)
                multiply(here[:w], tape[w : 2 * w])
                for j in range(1, n):
                    w, begin = f.widths[j + 1], 2 * f.places[j]
                    product(e, f.starts[j], 1, here[: f.widths[j]], following[:w], False)
                    multiply(following[:w], tape[begin + w : begin + 2 * w])
                    here, following = following, here
                w = f.widths[n]
                add_row(tr, e, f.starts[n] + i * w, here[:w], i > 0)

    @ops.body
    def trace_adjoint(f, e, tape, tr_bar, e_bar, D_bars, u_dots, one, other):
        """Pull tr_bar back through every column of the Jacobian, (D17)."""
        n, d = f.widths.shape[0] - 2, f.widths[0]
        for i in range(d):
            if n == 0:
                total(e_bar, i * d + i, tr_bar, 1.0)
            else:
                u_dot, w = u_dots[: f.widths[1]], f.widths[n]
                at = f.starts[n] + i * w
                column(u_dot, e, i, d)
                tangents(f, e, tape, u_dots, other)
                row_products(e_bar, at, other[:w], tr_bar, 1.0)  # tr += W_n[i] . a_dot
                seed(one[:w], e, at, tr_bar)
                tangents_adjoint(f, e, tape, u_dots, e_bar, D_bars, one, other)
                column_sums(e_bar, i, d, u_dot, 1.0)  # W_0_bar[:, i] += u_dot_bar

    return trace, trace_adjoint


@functools.cache
def _loops(ops: Ops) -> tuple[Any, ...]:
    @ops.entries
    def activate(j, s, A, code, e, o_b, o_w, time, t, D):
        """A <- sigma(A + b (+ w t)), D <- sigma' there."""
        u = A[j, s] + e[o_b + j]
        if time:
            u += e[o_w + j] * t
        a = sigma(code, u)
        A[j, s] = a
        D[j, s] = slope(code, u, a)

    @ops.entries
    def shift(j, s, U, e, o_b, o_w, time, t):
        """U += b (+ w t)."""
        number = e[o_b + j]
        if time:
            number += e[o_w + j] * t
        U[j, s] += number

    @ops.entries
    def units_adjoint(j, s, a, code, D, D_bar, u_bar):
        """u_bar <- sigma' u_bar + sigma'' sigma'_bar."""
        bend = curvature(code, a[j, s], D[j, s])
        u_bar[j, s] = D[j, s] * u_bar[j, s] + bend * D_bar[j, s]

    @ops.entries
    def slopes_adjoint(j, s, g, D, u_dot, D_bar, out):
        """D_bar += g u_dot; out <- D g."""
        D_bar[j, s] += g[j, s] * u_dot[j, s]
        out[j, s] = D[j, s] * g[j, s]

    return activate, shift, units_adjoint, slopes_adjoint


@functools.cache
def _trace_loops(ops: Ops) -> tuple[Any, ...]:
    @ops.each
    def diagonal(s, tr, e, d):
        """tr <- tr W_0, the field being affine."""
        total = 0.0
        for i in range(d):
            total += e[i * d + i]
        tr[s] = total

    @ops.entries
    def column(j, s, U, e, i, d):
        """U <- W_0 e_i for every sample."""
        U[j, s] = e[j * d + i]

    @ops.each
    def add_row(s, tr, e, at, X, more):
        """tr <- e[at:] . x, added to tr where ``more``."""
        total = 0.0
        for j in range(X.shape[0]):
            total += e[at + j] * X[j, s]
        if more:
            total += tr[s]
        tr[s] = total

    @ops.entries
    def seed(j, s, G, e, at, tr_bar):
        """G <- the row e[at:], times tr_bar."""
        G[j, s] = e[at + j] * tr_bar[s]

    return diagonal, column, add_row, seed
