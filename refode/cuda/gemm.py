"""Products and sums as launches over all samples of a slice, for wide nets.

A block of threads computes a square of the result from squares of its factors in shared
memory, each thread a small square of its own in registers. Sums over the samples go in
parts of fixed size, each with a place of its own, and a second launch adds the parts in
order: no atomics, the same bits from run to run.
"""

from __future__ import annotations

import functools
from typing import Any

from numba import cuda

from refode.cuda import buffers, device
from refode.cuda.ops import launch_shape

#: Threads a side of a block, and entries a side that a thread computes.
SIDE, EACH = 16, 4
#: Samples in a part of a sum over samples.
PART = 2048
#: Threads that add a part, a power of two.
SUMMING = 128


@functools.cache
def _shape() -> tuple[int, int, int, int]:
    """Threads a side of a product, entries a thread and side; samples a part, threads for it.

    Few where threads are Python's. A power of two for a part's threads.
    """
    return (1, 4, 6, 1) if device.simulated() else (SIDE, EACH, PART, SUMMING)


@functools.cache
def sums() -> tuple[Any, ...]:
    """What linalg.py's table lists, in its order."""
    multiply, outer, collect = _kernels(*_shape()[:2])
    part, threads = _shape()[2:]
    row_parts, product_parts, total_parts = _part_kernels(threads)

    def launch_product(
        a: Any, at: int, columns: tuple[int, int, int], D: int, X: Any, Y: Any, more: bool
    ) -> None:
        by_row, by_column, inner = columns
        S, rows = Y.shape[1], Y.shape[0] // D
        side, each = _shape()[:2]
        grid = (-(-D * S // (side * each)), -(-rows // (side * each)))
        multiply[grid, (side, side)](a, at, by_row, by_column, inner, D, X, Y, more)

    def product(a: Any, at: int, D: int, X: Any, Y: Any, more: bool) -> None:
        columns = X.shape[0] // D
        launch_product(a, at, (columns, 1, columns), D, X, Y, more)

    def product_transposed(a: Any, at: int, D: int, X: Any, Y: Any, more: bool) -> None:
        columns = Y.shape[0] // D
        launch_product(a, at, (1, columns, X.shape[0] // D), D, X, Y, more)

    def outer_add(U: Any, X: Any, D: int, bar: Any, at: int) -> None:
        rows, columns, S = U.shape[0] // D, X.shape[0] // D, U.shape[1]
        side, each = _shape()[:2]
        parts = -(-D * S // part)
        buffer = _buffer(parts * rows * columns, bar.dtype)
        grid = (-(-columns // (side * each)), -(-rows // (side * each)), parts)
        outer[grid, (side, side)](U, X, D, part, buffer)
        collect[launch_shape()](buffer, parts, rows * columns, bar, at, 1, 1.0)

    def row_sums(bar: Any, at: int, U: Any, factor: float) -> None:
        column_sums(bar, at, 1, U, factor)

    def column_sums(bar: Any, at: int, step: int, U: Any, factor: float) -> None:
        parts = -(-U.shape[1] // part)
        buffer = _buffer(parts * U.shape[0], bar.dtype)
        row_parts[(U.shape[0], parts), threads](U, part, buffer)
        collect[launch_shape()](buffer, parts, U.shape[0], bar, at, step, factor)

    def row_products(bar: Any, at: int, U: Any, v: Any, factor: float) -> None:
        parts = -(-U.shape[1] // part)
        buffer = _buffer(parts * U.shape[0], bar.dtype)
        product_parts[(U.shape[0], parts), threads](U, v, part, buffer)
        collect[launch_shape()](buffer, parts, U.shape[0], bar, at, 1, factor)

    def total(bar: Any, at: int, v: Any, factor: float) -> None:
        parts = -(-v.shape[0] // part)
        buffer = _buffer(parts, bar.dtype)
        total_parts[(1, parts), threads](v, part, buffer)
        collect[launch_shape()](buffer, parts, 1, bar, at, 1, factor)

    return product, product_transposed, outer_add, row_sums, row_products, total, column_sums


def _buffer(size: int, dtype: Any) -> Any:
    """Room for parts of sums: launches follow one another."""
    return buffers.buffer("parts", size, dtype)


@functools.cache
def _kernels(side: int, each: int) -> tuple[Any, ...]:
    width = side * each
    padded = width, side + 1  # threads that read down a column ask different banks

    @cuda.jit
    def multiply(a, at, by_row, by_column, inner, D, X, Y, more):
        """Y (+)= A X, entry (i, k) of A at at + i by_row + k by_column; Y as (rows, D S)."""
        A_part = cuda.shared.array(padded, Y.dtype)
        X_part = cuda.shared.array((side, width), Y.dtype)
        sums = cuda.local.array((each, each), Y.dtype)
        tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
        S, rows = Y.shape[1], Y.shape[0] // D
        left, top = cuda.blockIdx.x * width, cuda.blockIdx.y * width
        for u in range(each):
            for v in range(each):
                sums[u, v] = 0.0
        for start in range(0, inner, side):
            for u in range(each):
                i, k = top + ty + u * side, start + tx
                there = i < rows and k < inner
                A_part[ty + u * side, tx] = a[at + i * by_row + k * by_column] if there else 0.0
                k, column = start + ty, left + tx + u * side
                there = k < inner and column < D * S
                X_part[ty, tx + u * side] = X[k * D + column // S, column % S] if there else 0.0
            cuda.syncthreads()
            for k in range(side):
                for u in range(each):
                    for v in range(each):
                        sums[u, v] += A_part[ty + u * side, k] * X_part[k, tx + v * side]
            cuda.syncthreads()
        for u in range(each):
            for v in range(each):
                i, column = top + ty + u * side, left + tx + v * side
                if i < rows and column < D * S:
                    row, s = i * D + column // S, column % S
                    Y[row, s] = sums[u, v] + (Y[row, s] if more else 0.0)

    @cuda.jit
    def outer(U, X, D, part, room):
        """room[z] <- U X^T over the z-th part of the samples (and D)."""
        U_part = cuda.shared.array(padded, room.dtype)
        X_part = cuda.shared.array(padded, room.dtype)
        sums = cuda.local.array((each, each), room.dtype)
        tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
        S, rows, columns = U.shape[1], U.shape[0] // D, X.shape[0] // D
        left, top = cuda.blockIdx.x * width, cuda.blockIdx.y * width
        begin = cuda.blockIdx.z * part
        end = min(begin + part, D * S)
        for u in range(each):
            for v in range(each):
                sums[u, v] = 0.0
        for start in range(begin, end, side):
            k = start + tx
            p, s = k // S, k % S
            for u in range(each):
                i, j = top + ty + u * side, left + ty + u * side
                U_part[ty + u * side, tx] = U[i * D + p, s] if i < rows and k < end else 0.0
                X_part[ty + u * side, tx] = X[j * D + p, s] if j < columns and k < end else 0.0
            cuda.syncthreads()
            for k in range(side):
                for u in range(each):
                    for v in range(each):
                        sums[u, v] += U_part[ty + u * side, k] * X_part[tx + v * side, k]
            cuda.syncthreads()
        for u in range(each):
            for v in range(each):
                i, j = top + ty + u * side, left + tx + v * side
                if i < rows and j < columns:
                    room[(cuda.blockIdx.z * rows + i) * columns + j] = sums[u, v]

    return multiply, outer, _collect


@cuda.jit
def _collect(room, parts, n, bar, at, step, factor):
    """bar[at::step] += factor times the parts' sums, in order."""
    start, stride = cuda.grid(1), cuda.gridsize(1)
    for q in range(start, n, stride):
        total = 0.0
        for part in range(parts):
            total += room[part * n + q]
        bar[at + q * step] += factor * total


@functools.cache
def _part_kernels(threads: int) -> tuple[Any, ...]:
    """A block of threads sums a part of a row: each its share, and a tree of fixed shape them."""

    @cuda.jit(device=True)
    def together(shares, here):
        """The sum of all threads' shares, for thread 0."""
        k = cuda.threadIdx.x
        shares[k] = here
        cuda.syncthreads()
        apart = 1
        while apart < threads:
            if k % (2 * apart) == 0:
                shares[k] += shares[k + apart]
            cuda.syncthreads()
            apart *= 2
        return shares[0]

    @cuda.jit
    def row_parts(U, part, room):
        shares = cuda.shared.array(threads, room.dtype)
        i, z = cuda.blockIdx.x, cuda.blockIdx.y
        here = 0.0
        for s in range(z * part + cuda.threadIdx.x, min(z * part + part, U.shape[1]), threads):
            here += U[i, s]
        total = together(shares, here)
        if cuda.threadIdx.x == 0:
            room[z * U.shape[0] + i] = total

    @cuda.jit
    def product_parts(U, v, part, room):
        shares = cuda.shared.array(threads, room.dtype)
        i, z = cuda.blockIdx.x, cuda.blockIdx.y
        here = 0.0
        for s in range(z * part + cuda.threadIdx.x, min(z * part + part, U.shape[1]), threads):
            here += U[i, s] * v[s]
        total = together(shares, here)
        if cuda.threadIdx.x == 0:
            room[z * U.shape[0] + i] = total

    @cuda.jit
    def total_parts(v, part, room):
        shares = cuda.shared.array(threads, room.dtype)
        z = cuda.blockIdx.y
        here = 0.0
        for s in range(z * part + cuda.threadIdx.x, min(z * part + part, v.shape[0]), threads):
            here += v[s]
        total = together(shares, here)
        if cuda.threadIdx.x == 0:
            room[z] = total

    return row_parts, product_parts, total_parts
