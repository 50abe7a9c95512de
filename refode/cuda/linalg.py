"""Products and sums over samples, for tiles and for launches: twin of refode/_linalg.py.

Matrices of weights lie in flat vectors, row after row, from entry ``at`` on. ``D`` says that a
row of A meets D rows of X at a time, X (columns D, S) standing for (columns, D S): 1 for plain
products, more for the Jacobians of the potential's Laplacian.

==================================  ======================================================
``product(a, at, D, X, Y, more)``   Y <- A X, or Y += A X where ``more``
``product_transposed(...)``         Y <- A^T X, or Y += A^T X
``outer_add(U, X, D, bar, at)``     A_bar += U X^T
``row_sums(bar, at, U, factor)``    bar[at:] += factor times the sums of U's rows
``row_products(bar, at, U, v, c)``  bar[at:] += c times the rows' inner products with row v
``total(bar, at, v, factor)``       bar[at] += factor times the sum of row v
==================================  ======================================================
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from numba import cuda

from refode.cuda import gemm
from refode.cuda.ops import Ops, tile


class Linalg(NamedTuple):
    """Operations on the arrays of samples."""

    product: Any
    product_transposed: Any
    outer_add: Any
    row_sums: Any
    row_products: Any
    total: Any
    add_column: Any
    fill: Any
    copy: Any
    multiply: Any
    scaled_product: Any


@functools.cache
def linalg(ops: Ops) -> Linalg:
    """The operations of one way to run."""
    sums = _tile_sums() if ops is tile else gemm.sums()
    return Linalg(*sums, *_entrywise(ops))


def _entrywise(ops: Ops) -> tuple[Any, ...]:
    first, stride, barrier = ops.first, ops.stride, ops.barrier

    @ops.loop
    def add_column(Y, a, at):
        """Y += the column a[at:], for every sample."""
        S = Y.shape[1]
        for q in range(first(), Y.shape[0] * S, stride()):
            Y[q // S, q % S] += a[at + q // S]
        barrier()

    @ops.loop
    def fill(Y, number):
        """Y <- number."""
        S = Y.shape[1]
        for q in range(first(), Y.shape[0] * S, stride()):
            Y[q // S, q % S] = number
        barrier()

    @ops.loop
    def copy(Y, X):
        """Y <- X."""
        S = Y.shape[1]
        for q in range(first(), Y.shape[0] * S, stride()):
            Y[q // S, q % S] = X[q // S, q % S]
        barrier()

    @ops.loop
    def multiply(Y, X):
        """Y <- X Y, entry by entry."""
        S = Y.shape[1]
        for q in range(first(), Y.shape[0] * S, stride()):
            Y[q // S, q % S] *= X[q // S, q % S]
        barrier()

    @ops.loop
    def scaled_product(h, X, Y, out):
        """out <- h X Y, entry by entry."""
        S = out.shape[1]
        for q in range(first(), out.shape[0] * S, stride()):
            j, s = q // S, q % S
            out[j, s] = h * X[j, s] * Y[j, s]
        barrier()

    return add_column, fill, copy, multiply, scaled_product


def _tile_sums() -> tuple[Any, ...]:
    return (
        _product, _product_transposed, _outer_add, _row_sums, _row_products, _total,
    )  # fmt: skip


@cuda.jit(device=True)
def _product(a, at, D, X, Y, more):
    columns = X.shape[0] // D
    _strided_product(a, at, columns, 1, D, X, Y, more)


@cuda.jit(device=True)
def _product_transposed(a, at, D, X, Y, more):
    columns = Y.shape[0] // D
    _strided_product(a, at, 1, columns, D, X, Y, more)


@cuda.jit(device=True)
def _strided_product(a, at, by_row, by_column, D, X, Y, more):
    """Entry (i, k) at at + i by_row + k by_column; four rows share every number read of X."""
    S, rows, inner = Y.shape[1], Y.shape[0] // D, X.shape[0] // D
    groups = (rows + 3) // 4
    for q in range(cuda.threadIdx.x, groups * D * S, cuda.blockDim.x):
        s, p, i = q % S, (q // S) % D, 4 * (q // (S * D))
        a0 = at + i * by_row
        a1 = at + min(i + 1, rows - 1) * by_row
        a2 = at + min(i + 2, rows - 1) * by_row
        a3 = at + min(i + 3, rows - 1) * by_row
        y0 = y1 = y2 = y3 = 0.0
        for k in range(inner):
            x, along = X[k * D + p, s], k * by_column
            y0 += a[a0 + along] * x
            y1 += a[a1 + along] * x
            y2 += a[a2 + along] * x
            y3 += a[a3 + along] * x
        _put(Y, D, i, p, s, y0, more)
        if i + 1 < rows:
            _put(Y, D, i + 1, p, s, y1, more)
        if i + 2 < rows:
            _put(Y, D, i + 2, p, s, y2, more)
        if i + 3 < rows:
            _put(Y, D, i + 3, p, s, y3, more)
    cuda.syncthreads()


@cuda.jit(device=True)
def _put(Y, D, i, p, s, y, more):
    """One entry of a product."""
    if more:
        y += Y[i * D + p, s]
    Y[i * D + p, s] = y


@cuda.jit(device=True)
def _outer_add(U, X, D, bar, at):
    """Each thread starts its sum over the samples at another one.

    Neighbours read neighbouring rows of X, which lie S numbers apart: started at one sample,
    they would all ask the same bank of shared memory.
    """
    S, rows, columns = U.shape[1], U.shape[0] // D, X.shape[0] // D
    for q in range(cuda.threadIdx.x, rows * columns, cuda.blockDim.x):
        i, j = q // columns, q % columns
        total, s = 0.0, j % S
        for p in range(D):
            for _ in range(S):
                total += U[i * D + p, s] * X[j * D + p, s]
                s = s + 1 if s + 1 < S else 0
        bar[at + q] += total
    cuda.syncthreads()


@cuda.jit(device=True)
def _row_sums(bar, at, U, factor):
    S = U.shape[1]
    for i in range(cuda.threadIdx.x, U.shape[0], cuda.blockDim.x):
        total, s = 0.0, i % S
        for _ in range(S):
            total += U[i, s]
            s = s + 1 if s + 1 < S else 0
        bar[at + i] += factor * total
    cuda.syncthreads()


@cuda.jit(device=True)
def _row_products(bar, at, U, v, factor):
    S = U.shape[1]
    for i in range(cuda.threadIdx.x, U.shape[0], cuda.blockDim.x):
        total, s = 0.0, i % S
        for _ in range(S):
            total += U[i, s] * v[s]
            s = s + 1 if s + 1 < S else 0
        bar[at + i] += factor * total
    cuda.syncthreads()


@cuda.jit(device=True)
def _total(bar, at, v, factor):
    if cuda.threadIdx.x == 0:
        total = 0.0
        for s in range(v.shape[0]):
            total += v[s]
        bar[at] += factor * total
    cuda.syncthreads()
