"""Products and sums over samples, for tiles and for launches.

Twin of refode/machine/blas.py and refode/machine/blocks.py.

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
``column_sums(bar, at, n, U, c)``   bar[at::n] += c times the sums of U's rows
==================================  ======================================================
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from refode.cuda import gemm, tiles
from refode.cuda.ops import Ops


class Linalg(NamedTuple):
    """Operations on the arrays of samples."""

    product: Any
    product_transposed: Any
    outer_add: Any
    row_sums: Any
    row_products: Any
    total: Any
    column_sums: Any
    add_column: Any
    fill: Any
    copy: Any
    multiply: Any
    scaled_product: Any


@functools.cache
def linalg(ops: Ops) -> Linalg:
    """The operations of one way to run."""
    sums = tiles.sums(ops) if ops.name == "tile" else gemm.sums()
    return Linalg(*sums, *_entrywise(ops))


def _entrywise(ops: Ops) -> tuple[Any, ...]:
    @ops.entries
    def add_column(j, s, Y, a, at):
        """Y += the column a[at:], for every sample."""
        Y[j, s] += a[at + j]

    @ops.entries
    def fill(j, s, Y, number):
        """Y <- number."""
        Y[j, s] = number

    @ops.entries
    def copy(j, s, Y, X):
        """Y <- X."""
        Y[j, s] = X[j, s]

    @ops.entries
    def multiply(j, s, Y, X):
        """Y <- X Y, entry by entry."""
        Y[j, s] *= X[j, s]

    @ops.entries
    def scaled_product(j, s, out, h, X, Y):
        """out <- h X Y, entry by entry."""
        out[j, s] = h * X[j, s] * Y[j, s]

    return add_column, fill, copy, multiply, scaled_product
