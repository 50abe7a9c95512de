"""Where the potential keeps what, on the device: twin of refode/fields/potential_layout.py.

Kernels cannot call the CPU's functions, so the sums are written here once more, over the same
NamedTuples; and with them what the potential's three files need beside linalg.py.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from refode.cuda.ops import Ops
from refode.fields.potential_layout import Rows, Weights


class Layout(NamedTuple):
    """Starts of the effective weights and of the tape's parts; pairs of units; h."""

    places: Any
    tape_rows: Any
    n_pairs: Any
    step_length: Any


class RowSums(NamedTuple):
    """Columns of weights times numbers of the samples, and sums over rows."""

    add_shift: Any
    add_multiples: Any
    add_products: Any
    scaled_product: Any


@functools.cache
def layout(ops: Ops) -> Layout:
    """The functions of one way to run; on the host, those of ``staged``."""

    @ops.body
    def n_pairs(f):
        """Pairs (k, l) of units with k <= l."""
        return f.m * (f.m + 1) // 2

    @ops.body
    def places(f):
        """Starts of the effective weights."""
        d, m, M, n = f.d, f.m, f.M, f.r + f.m
        K = n * d + n
        w = K + M * m * m + (M + 1) * m
        S = w + m + d + 2
        C = S + ((d + 1) * d + 1 if f.symmetric else 0)
        columns = n_pairs(f) if f.pairs else f.D
        return Weights(
            0, n * d, K, K + M * m * m, w, w + m, w + m + d, w + m + d + 1,
            S, C, C + m * columns, C + m * columns + m,
        )  # fmt: skip

    @ops.body
    def tape_rows(f):
        """Starts of the parts of a tape."""
        m, M, n = f.m, f.M, f.r + f.m
        P = 2 + n + M * m
        U = P + n
        Y = U + (M + 1) * m
        R = Y + (M + 1) * m
        J = R + M * m
        if f.pairs:
            return Rows(2, P, U, Y, R, J, J, J + n_pairs(f))
        T = J + M * m * f.D
        return Rows(2, P, U, Y, R, J, T, T + M * m * f.D)

    @ops.body
    def step_length(f):
        """h = 1/M; with a single layer there is none to weigh."""
        return 1.0 / f.M if f.M > 0 else 0.0

    return Layout(places, tape_rows, n_pairs, step_length)


@functools.cache
def row_sums_of(ops: Ops) -> RowSums:
    """The operations of one way to run."""
    first, stride, barrier = ops.first, ops.stride, ops.barrier

    @ops.loop
    def add_shift(Y, t, e, at):
        """Y += t times the column e[at:], for every sample."""
        S = Y.shape[1]
        for q in range(first(), Y.shape[0] * S, stride()):
            Y[q // S, q % S] += t * e[at + q // S]
        barrier()

    @ops.loop
    def add_multiples(Y, e, at, v):
        """Y += the column e[at:] times the row v."""
        S = Y.shape[1]
        for q in range(first(), Y.shape[0] * S, stride()):
            Y[q // S, q % S] += e[at + q // S] * v[q % S]
        barrier()

    @ops.loop
    def add_products(v, factor, X, Y):
        """v += factor times the sum over the rows of X Y."""
        for s in range(first(), v.shape[0], stride()):
            total = 0.0
            for i in range(X.shape[0]):
                total += X[i, s] * Y[i, s]
            v[s] += factor * total
        barrier()

    @ops.loop
    def scaled_product(h, x, y, out):
        """out <- h x y, entry by entry."""
        S = out.shape[1]
        for q in range(first(), out.shape[0] * S, stride()):
            j, s = q // S, q % S
            out[j, s] = h * x[j, s] * y[j, s]
        barrier()

    return RowSums(add_shift, add_multiples, add_products, scaled_product)
