"""Matrix products and sums of one tile, shared by the threads of a block.

Matrices of weights lie in flat vectors, row after row, from a given entry on; what belongs
to samples is feature-major, ``(rows, S)``. The entries of a result are dealt to the threads
by a stride, and each is summed by one thread in fixed order: no atomics, the same bits from
run to run and for every number of threads. Every function ends with a barrier, so that its
result may be read, and its arguments overwritten, by what follows.
"""

from __future__ import annotations

from numba import cuda


@cuda.jit(device=True)
def fill(Y, number):
    """Y <- number."""
    S = Y.shape[1]
    for q in range(cuda.threadIdx.x, Y.shape[0] * S, cuda.blockDim.x):
        Y[q // S, q % S] = number
    cuda.syncthreads()


@cuda.jit(device=True)
def copy(Y, X):
    """Y <- X."""
    S = Y.shape[1]
    for q in range(cuda.threadIdx.x, Y.shape[0] * S, cuda.blockDim.x):
        Y[q // S, q % S] = X[q // S, q % S]
    cuda.syncthreads()


@cuda.jit(device=True)
def product(a, first, X, Y):
    """Y <- A X, A (rows of Y, rows of X)."""
    S, columns = Y.shape[1], X.shape[0]
    for q in range(cuda.threadIdx.x, Y.shape[0] * S, cuda.blockDim.x):
        i, s = q // S, q % S
        total = 0.0
        for j in range(columns):
            total += a[first + i * columns + j] * X[j, s]
        Y[i, s] = total
    cuda.syncthreads()


@cuda.jit(device=True)
def product_transposed(a, first, X, Y):
    """Y <- A^T X, A (rows of X, rows of Y)."""
    S, columns = Y.shape[1], Y.shape[0]
    for q in range(cuda.threadIdx.x, columns * S, cuda.blockDim.x):
        j, s = q // S, q % S
        total = 0.0
        for i in range(X.shape[0]):
            total += a[first + i * columns + j] * X[i, s]
        Y[j, s] = total
    cuda.syncthreads()


@cuda.jit(device=True)
def add_column(Y, a, first):
    """Y += the column a[first:], for every sample."""
    S = Y.shape[1]
    for q in range(cuda.threadIdx.x, Y.shape[0] * S, cuda.blockDim.x):
        Y[q // S, q % S] += a[first + q // S]
    cuda.syncthreads()


@cuda.jit(device=True)
def outer_add(U, X, bar, first):
    """A_bar += U X^T, A_bar (rows of U, rows of X) in bar[first:]."""
    columns = X.shape[0]
    for q in range(cuda.threadIdx.x, U.shape[0] * columns, cuda.blockDim.x):
        i, j = q // columns, q % columns
        total = 0.0
        for s in range(U.shape[1]):
            total += U[i, s] * X[j, s]
        bar[first + q] += total
    cuda.syncthreads()


@cuda.jit(device=True)
def row_sums(bar, first, U, factor):
    """bar[first:] += factor times the sums of U's rows."""
    for i in range(cuda.threadIdx.x, U.shape[0], cuda.blockDim.x):
        total = 0.0
        for s in range(U.shape[1]):
            total += U[i, s]
        bar[first + i] += factor * total
    cuda.syncthreads()
