"""Products outside kernels, whose bits do not depend on how many threads BLAS uses.

They go through BLAS in blocks so small that it takes one thread for each, whatever is set, and
the blocks' results are added in order. OpenBLAS takes several from 2**15 multiplications in a
product of matrices, 2**12 in one with a vector, and 10**4 entries in a dot product (the numbers
of complex products, which are the smaller ones).
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray

#: The most multiplications of a block of a product of matrices, and of one with a vector.
MATRICES, VECTOR = 2**15, 2**12
#: The most entries of a block of a dot product.
ENTRIES = 2**12


def dot(a: Array, b: Array) -> Any:
    """Sum of a_i b_i over vectors, without conjugation."""
    if len(a) <= ENTRIES:
        return np.dot(a, b)
    starts = range(0, len(a), ENTRIES)
    return sum(np.dot(a[i : i + ENTRIES], b[i : i + ENTRIES]) for i in starts)


def norm(x: Array) -> float:
    """Euclidean norm of a real vector."""
    return float(np.sqrt(dot(x, x)))


def product(a: Any, b: Array) -> Array:
    """The matrix product a b, where a may be sparse: SciPy's own loops, on one thread."""
    if not isinstance(a, np.ndarray):
        return a @ b
    sizes = (a.shape[0], a.shape[1], b.shape[1])
    most = VECTOR if min(sizes) == 1 else MATRICES
    if sizes[0] * sizes[1] * sizes[2] <= most:
        return a @ b
    return _in_blocks(a, b, _block(sizes))


def _block(sizes: tuple[int, int, int]) -> tuple[int, int, int]:
    """Rows, inner length and columns of a block: the longest is halved until it is small."""
    block = list(sizes)
    while np.prod(block, dtype=float) > (VECTOR if min(block) == 1 else MATRICES):
        longest = block.index(max(block))
        block[longest] = -(-block[longest] // 2)
    return block[0], block[1], block[2]


def _in_blocks(a: Array, b: Array, block: tuple[int, int, int]) -> Array:
    rows, inner, columns = block
    out = np.empty((a.shape[0], b.shape[1]), np.result_type(a, b))
    for i in range(0, a.shape[0], rows):
        for j in range(0, b.shape[1], columns):
            place = out[i : i + rows, j : j + columns]
            place[...] = a[i : i + rows, :inner] @ b[:inner, j : j + columns]
            for k in range(inner, a.shape[1], inner):
                place += a[i : i + rows, k : k + inner] @ b[k : k + inner, j : j + columns]
    return out
