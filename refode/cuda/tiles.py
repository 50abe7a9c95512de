"""Products and sums for a tile of samples, by the threads of its block.

In a product a thread computes some rows for one sample, so that the multiplications share each
number read; in a sum over samples it computes one place of the result, or some of them for wide
nets. Whatever belongs to weights is read by a whole warp at once, or written by one thread.
"""

from __future__ import annotations

import functools
from typing import Any

from numba import cuda

from refode.cuda.ops import Ops, counted, place, split

#: Rows from which a product shares what it reads among several, in narrow nets.
SHARING = 16


@functools.cache
def sums(ops: Ops) -> tuple[Any, ...]:
    """What linalg.py's table lists, in its order."""
    strided = _eight_rows(ops) if ops.wide else _few_rows(ops)
    outer_add = _outer_blocked(ops) if ops.wide else _outer(ops)

    @cuda.jit(device=True)
    def product(a, at, D, X, Y, more):
        strided(a, at, X.shape[0] // D, 1, D, X, Y, more)

    @cuda.jit(device=True)
    def product_transposed(a, at, D, X, Y, more):
        strided(a, at, 1, Y.shape[0] // D, D, X, Y, more)

    return product, product_transposed, outer_add, *_sums_of_rows(ops)


@cuda.jit(device=True)
def _put(Y, row, s, y, more):
    """One entry of a product."""
    if more:
        y += Y[row, s]
    Y[row, s] = y


def _few_rows(ops: Ops) -> Any:
    """Entry (i, k) of A at at + i by_row + k by_column; Y as (rows, D S)."""
    lanes, abreast = (counted(n) for n in split(ops.S, ops.threads))
    samples, used = counted(ops.S), counted(int(lanes) * int(abreast))
    zero, one, two, three, four = (counted(n) for n in (0, 1, 2, 3, 4))
    sharing = counted(SHARING)

    @cuda.jit(device=True)
    def single(a, at, by_row, by_column, D, inner, X, Y, row, s, more):
        """A row of A with a column of X, in four sums that need not wait for one another."""
        i, p = row // D, row % D
        place_a, place_x = at + i * by_row, p
        y0 = y1 = y2 = y3 = 0.0
        k = zero
        while k + three < inner:
            y0 += a[place_a] * X[place_x, s]
            y1 += a[place_a + by_column] * X[place_x + D, s]
            y2 += a[place_a + two * by_column] * X[place_x + two * D, s]
            y3 += a[place_a + three * by_column] * X[place_x + three * D, s]
            place_a += four * by_column
            place_x += four * D
            k += four
        while k < inner:
            y0 += a[place_a] * X[place_x, s]
            place_a += by_column
            place_x += D
            k += one
        _put(Y, row, s, (y0 + y1) + (y2 + y3), more)

    @cuda.jit(device=True)
    def shared(a, at, by_row, by_column, D, inner, rows, X, Y, i, p, s, more):
        """Rows i, ..., i + 3 of A with a column of X."""
        last = rows - one
        a0, a1 = at + i * by_row, at + min(i + one, last) * by_row
        a2, a3 = at + min(i + two, last) * by_row, at + min(i + three, last) * by_row
        y0 = y1 = y2 = y3 = 0.0
        k, along, row = zero, zero, p
        while k < inner:
            x = X[row, s]
            y0 += a[a0 + along] * x
            y1 += a[a1 + along] * x
            y2 += a[a2 + along] * x
            y3 += a[a3 + along] * x
            along += by_column
            row += D
            k += one
        _put(Y, i * D + p, s, y0, more)
        if i + one < rows:
            _put(Y, (i + one) * D + p, s, y1, more)
        if i + two < rows:
            _put(Y, (i + two) * D + p, s, y2, more)
        if i + three < rows:
            _put(Y, (i + three) * D + p, s, y3, more)

    @cuda.jit(device=True)
    def strided(a, at_, by_row_, by_column_, D_, X, Y, more):
        at, by_row, by_column, D = place(at_), place(by_row_), place(by_column_), place(D_)
        rows, inner = place(Y.shape[0]) // D, place(X.shape[0]) // D
        thread = place(cuda.threadIdx.x)
        if thread < used:
            q = thread // lanes
            if rows < sharing:
                while q < rows * D:
                    s = thread % lanes
                    while s < samples:
                        single(a, at, by_row, by_column, D, inner, X, Y, q, s, more)
                        s += lanes
                    q += abreast
            else:
                groups = (rows + three) // four
                while q < groups * D:
                    i, p = (q // D) * four, q % D
                    s = thread % lanes
                    while s < samples:
                        shared(a, at, by_row, by_column, D, inner, rows, X, Y, i, p, s, more)
                        s += lanes
                    q += abreast
        cuda.syncthreads()

    return strided


def _eight_rows(ops: Ops) -> Any:
    """The same for wide nets: eight rows of A a thread."""
    lanes, abreast = (counted(n) for n in split(ops.S, ops.threads))
    samples, used = counted(ops.S), counted(int(lanes) * int(abreast))
    zero, one, seven, eight = (counted(n) for n in (0, 1, 7, 8))
    n2, n3, n4, n5, n6 = (counted(n) for n in (2, 3, 4, 5, 6))

    @cuda.jit(device=True)
    def rows_of_eight(a, at, by_row, by_column, D, inner, rows, X, Y, i, p, s, more):
        """Rows i, ..., i + 7 of A with a column of X; those beyond the last repeat it."""
        last = rows - one
        a0, a1 = at + i * by_row, at + min(i + one, last) * by_row
        a2, a3 = at + min(i + n2, last) * by_row, at + min(i + n3, last) * by_row
        a4, a5 = at + min(i + n4, last) * by_row, at + min(i + n5, last) * by_row
        a6, a7 = at + min(i + n6, last) * by_row, at + min(i + seven, last) * by_row
        y0 = y1 = y2 = y3 = y4 = y5 = y6 = y7 = 0.0
        k, along, row = zero, zero, p
        while k < inner:
            x = X[row, s]
            y0 += a[a0 + along] * x
            y1 += a[a1 + along] * x
            y2 += a[a2 + along] * x
            y3 += a[a3 + along] * x
            y4 += a[a4 + along] * x
            y5 += a[a5 + along] * x
            y6 += a[a6 + along] * x
            y7 += a[a7 + along] * x
            along += by_column
            row += D
            k += one
        row, left = i * D + p, rows - i
        _put(Y, row, s, y0, more)
        if left > one:
            _put(Y, row + D, s, y1, more)
        if left > n2:
            _put(Y, row + n2 * D, s, y2, more)
        if left > n3:
            _put(Y, row + n3 * D, s, y3, more)
        if left > n4:
            _put(Y, row + n4 * D, s, y4, more)
        if left > n5:
            _put(Y, row + n5 * D, s, y5, more)
        if left > n6:
            _put(Y, row + n6 * D, s, y6, more)
        if left > seven:
            _put(Y, row + seven * D, s, y7, more)

    @cuda.jit(device=True)
    def strided(a, at_, by_row_, by_column_, D_, X, Y, more):
        at, by_row, by_column, D = place(at_), place(by_row_), place(by_column_), place(D_)
        rows, inner = place(Y.shape[0]) // D, place(X.shape[0]) // D
        thread = place(cuda.threadIdx.x)
        groups = (rows + seven) // eight
        if thread < used:
            q = thread // lanes
            while q < groups * D:
                i, p = (q // D) * eight, q % D
                s = thread % lanes
                while s < samples:
                    rows_of_eight(a, at, by_row, by_column, D, inner, rows, X, Y, i, p, s, more)
                    s += lanes
                q += abreast
        cuda.syncthreads()

    return strided


def _outer(ops: Ops) -> Any:
    """A_bar += U X^T, an entry a thread."""
    samples, stride = counted(ops.S), counted(ops.threads)
    zero, one, two, three, four = (counted(n) for n in (0, 1, 2, 3, 4))

    @cuda.jit(device=True)
    def outer_add(U, X, D_, bar, at_):
        D, at = place(D_), place(at_)
        columns = place(X.shape[0]) // D
        entries = place(U.shape[0]) // D * columns
        q = place(cuda.threadIdx.x)
        while q < entries:
            row_u, row_x = (q // columns) * D, (q % columns) * D
            t0 = t1 = t2 = t3 = 0.0
            p = zero
            while p < D:
                s = zero
                while s + three < samples:
                    t0 += U[row_u, s] * X[row_x, s]
                    t1 += U[row_u, s + one] * X[row_x, s + one]
                    t2 += U[row_u, s + two] * X[row_x, s + two]
                    t3 += U[row_u, s + three] * X[row_x, s + three]
                    s += four
                while s < samples:
                    t0 += U[row_u, s] * X[row_x, s]
                    s += one
                row_u += one
                row_x += one
                p += one
            bar[at + q] += (t0 + t1) + (t2 + t3)
            q += stride
        cuda.syncthreads()

    return outer_add


def _outer_blocked(ops: Ops) -> Any:
    """The same for wide nets: four rows and four columns a thread.

    They lie a quarter of all rows and columns apart, so that neighbouring threads read and write
    neighbouring columns.
    """
    samples, stride = counted(ops.S), counted(ops.threads)
    zero, one, two, three, four = (counted(n) for n in (0, 1, 2, 3, 4))

    @cuda.jit(device=True)
    def row_of_four(bar, at, columns, i, j, apart, t0, t1, t2, t3):
        first = at + i * columns
        bar[first + j] += t0
        if j + apart < columns:
            bar[first + j + apart] += t1
        if j + two * apart < columns:
            bar[first + j + two * apart] += t2
        if j + three * apart < columns:
            bar[first + j + three * apart] += t3

    @cuda.jit(device=True)
    def outer_add(U, X, D_, bar, at_):
        D, at = place(D_), place(at_)
        rows, columns = place(U.shape[0]) // D, place(X.shape[0]) // D
        down, across = (rows + three) // four, (columns + three) // four
        last_row, last_column = rows - one, columns - one
        q = place(cuda.threadIdx.x)
        while q < down * across:
            i, j = q // across, q % across
            u0, u1 = i * D, min(i + down, last_row) * D
            u2, u3 = min(i + two * down, last_row) * D, min(i + three * down, last_row) * D
            x0, x1 = j * D, min(j + across, last_column) * D
            x2 = min(j + two * across, last_column) * D
            x3 = min(j + three * across, last_column) * D
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = 0.0
            c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = 0.0
            p = zero
            while p < D:
                s = zero
                while s < samples:
                    u, v, w, y = U[u0 + p, s], U[u1 + p, s], U[u2 + p, s], U[u3 + p, s]
                    x = X[x0 + p, s]
                    a0 += u * x
                    b0 += v * x
                    c0 += w * x
                    d0 += y * x
                    x = X[x1 + p, s]
                    a1 += u * x
                    b1 += v * x
                    c1 += w * x
                    d1 += y * x
                    x = X[x2 + p, s]
                    a2 += u * x
                    b2 += v * x
                    c2 += w * x
                    d2 += y * x
                    x = X[x3 + p, s]
                    a3 += u * x
                    b3 += v * x
                    c3 += w * x
                    d3 += y * x
                    s += one
                p += one
            row_of_four(bar, at, columns, i, j, across, a0, a1, a2, a3)
            if i + down < rows:
                row_of_four(bar, at, columns, i + down, j, across, b0, b1, b2, b3)
            if i + two * down < rows:
                row_of_four(bar, at, columns, i + two * down, j, across, c0, c1, c2, c3)
            if i + three * down < rows:
                row_of_four(bar, at, columns, i + three * down, j, across, d0, d1, d2, d3)
            q += stride
        cuda.syncthreads()

    return outer_add


def _sums_of_rows(ops: Ops) -> tuple[Any, ...]:
    """Sums over samples of rows, of their products with a row, and of a row alone."""
    samples, stride = counted(ops.S), counted(ops.threads)
    zero, one, two, three, four = (counted(n) for n in (0, 1, 2, 3, 4))

    @cuda.jit(device=True)
    def sum_of_row(U, i):
        t0 = t1 = t2 = t3 = 0.0
        s = zero
        while s + three < samples:
            t0 += U[i, s]
            t1 += U[i, s + one]
            t2 += U[i, s + two]
            t3 += U[i, s + three]
            s += four
        while s < samples:
            t0 += U[i, s]
            s += one
        return (t0 + t1) + (t2 + t3)

    @cuda.jit(device=True)
    def column_sums(bar, at_, step_, U, factor):
        at, step, rows = place(at_), place(step_), place(U.shape[0])
        i = place(cuda.threadIdx.x)
        while i < rows:
            bar[at + i * step] += factor * sum_of_row(U, i)
            i += stride
        cuda.syncthreads()

    @cuda.jit(device=True)
    def row_sums(bar, at, U, factor):
        column_sums(bar, at, 1, U, factor)

    @cuda.jit(device=True)
    def row_products(bar, at_, U, v, factor):
        at, rows = place(at_), place(U.shape[0])
        i = place(cuda.threadIdx.x)
        while i < rows:
            total, s = 0.0, zero
            while s < samples:
                total += U[i, s] * v[s]
                s += one
            bar[at + i] += factor * total
            i += stride
        cuda.syncthreads()

    @cuda.jit(device=True)
    def total(bar, at, v, factor):
        if cuda.threadIdx.x == 0:
            found, s = 0.0, zero
            while s < samples:
                found += v[s]
                s += one
            bar[at] += factor * found
        cuda.syncthreads()

    return row_sums, row_products, total, column_sums
