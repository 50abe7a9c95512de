"""Sparse matrices of bases; SciPy's module is imported for the first, as not everybody needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


def csr(entries: Any, shape: tuple[int, int] | None = None) -> csr_array:
    """A csr_array of entries as SciPy takes them."""
    from scipy.sparse import csr_array

    return csr_array(entries, shape=shape)


def from_columns(columns: Int64, values: Float64, J: int) -> csr_array:
    """The matrix (n, J) whose row r adds values[r, i] at columns[r, i]."""
    n, k = columns.shape
    matrix = csr((values.ravel(), columns.ravel(), k * np.arange(n + 1)), (n, J))
    matrix.sum_duplicates()  # in place, like the next
    matrix.eliminate_zeros()
    return matrix


def differences(J: int, weight: float) -> csr_array:
    """weight * D^T D for the differences (D theta)_j = theta_{j+1} - theta_j."""
    from scipy.sparse import diags_array

    if J == 1:
        return csr((1, 1))
    middle, beside = np.full(J, 2.0), np.full(J - 1, -1.0)
    middle[[0, -1]] = 1.0
    squares = diags_array((beside, middle, beside), offsets=(-1, 0, 1), shape=(J, J))
    return csr(weight * squares)


def ones(n: int, J: int) -> csr_array:
    """The matrix (n, J) with ones on its diagonal."""
    from scipy.sparse import eye_array

    return csr(eye_array(n, J))


def solved(A: csr_array, B: csr_array) -> csr_array:
    """A^{-1} B for a narrow band A, without the dense matrix."""
    from scipy.sparse import hstack
    from scipy.sparse.linalg import splu

    solve, columns = splu(A.tocsc()).solve, B.tocsc()
    parts = []
    for j in range(0, columns.shape[1], 64):  # not all at once, as they come out dense
        X = solve(columns[:, j : j + 64].toarray())
        X[np.abs(X) < 1e-15] = 0.0
        parts.append(csr(X))
    return csr(hstack(parts))
