"""Small dense linear systems, one a sample: LU with partial pivoting, real or complex.

Pivots are chosen by real parts, so that the complex step takes the same ones as real numbers.
"""

from __future__ import annotations

from refode.machine.compile import kernel


@kernel(cache=False)
def factor(M, pivots):
    """M (n, n) <- L and U with P M = L U; whether it could be done: no pivot 0, infinite or NaN.

    ``pivots`` (n,) are the rows that changed places with rows 0, 1, ...
    """
    n = M.shape[0]
    for k in range(n):
        best, largest = k, abs(M[k, k].real)
        for i in range(k + 1, n):
            if abs(M[i, k].real) > largest:
                best, largest = i, abs(M[i, k].real)
        pivots[k] = best
        if not 0.0 < largest < 1e300:
            return False
        if best != k:
            for j in range(n):
                swapped = M[k, j]
                M[k, j] = M[best, j]
                M[best, j] = swapped
        for i in range(k + 1, n):
            M[i, k] /= M[k, k]
            for j in range(k + 1, n):
                M[i, j] -= M[i, k] * M[k, j]
    return True


@kernel(cache=False)
def solve(M, pivots, x):
    """x (n,) <- the solution of the system with right-hand side x, M and pivots by ``factor``."""
    n = x.shape[0]
    for k in range(n):
        swapped = x[k]
        x[k] = x[pivots[k]]
        x[pivots[k]] = swapped
    for i in range(n):
        for j in range(i):
            x[i] -= M[i, j] * x[j]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            x[i] -= M[i, j] * x[j]
        x[i] /= M[i, i]


@kernel(cache=False)
def solve_transposed(M, pivots, x):
    """The same for the transposed matrix: U^T, L^T, then the rows' places backwards."""
    n = x.shape[0]
    for i in range(n):
        for j in range(i):
            x[i] -= M[j, i] * x[j]
        x[i] /= M[i, i]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            x[i] -= M[j, i] * x[j]
    for k in range(n - 1, -1, -1):
        swapped = x[k]
        x[k] = x[pivots[k]]
        x[pivots[k]] = swapped
