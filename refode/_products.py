"""Products outside kernels, whose bits do not depend on how many threads BLAS uses.

They go through BLAS in blocks so small that it takes one thread for each, whatever is set, and
the blocks' results are added in order. OpenBLAS takes several from 2**16 multiplications in a
product of matrices (2**15 of complex ones), 2**12 in one with a vector, and 10**4 entries in a dot
product: the least of its versions' limits.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

Array = np.ndarray

#: The most multiplications of a block of a product of matrices, real and complex, and of one with
#: a vector.
REAL, COMPLEX, VECTOR = 2**16, 2**15, 2**12
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
    m, k = a.shape
    n = b.shape[1]
    most = REAL if a.dtype.kind != "c" and b.dtype.kind != "c" else COMPLEX
    if m * k * n <= (most if 1 not in (m, k, n) else VECTOR):
        return a @ b
    rows, inner, columns = _block(m, k, n, most)
    out = np.empty((m, n), np.result_type(a, b))
    a, b = a.astype(out.dtype, copy=False), b.astype(out.dtype, copy=False)
    for i in range(0, m, rows):
        for j in range(0, n, columns):
            place, c = out[i : i + rows, j : j + columns], b[:, j : j + columns]
            np.matmul(a[i : i + rows, :inner], c[:inner], out=place)
            for start in range(inner, k, inner):
                end = start + inner
                place += a[i : i + rows, start:end] @ c[start:end]
    return out


@functools.lru_cache(256)
def _block(m: int, k: int, n: int, most: int) -> tuple[int, int, int]:
    """Rows, inner length and columns of a block: the longest is halved until it is small."""
    block = [m, k, n]
    while block[0] * block[1] * block[2] > (VECTOR if 1 in block else most):
        longest = block.index(max(block))
        block[longest] = -(-block[longest] // 2)
    return block[0], block[1], block[2]
