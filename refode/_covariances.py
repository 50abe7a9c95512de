"""Covariances as they are given: checked, made symmetric to the bit, and factored."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _validate
from ._blas import one_thread
from ._fixed import read_only

Float64 = NDArray[np.float64]

#: How far a covariance may be from symmetric, entries relative to the deviations' product.
SYMMETRY = 1e-12
#: The smallest variance: below it the inverse is beyond float64.
SMALLEST = float(np.finfo(np.float64).tiny)


@one_thread
def factored(name: str, value: Any, dim: int) -> tuple[Float64, Float64]:
    """Return a covariance (d, d) and its lower Cholesky factor, both read-only."""
    if _validate.n_axes(value) == 0:
        scale = _validate.real_number(name, value)
        got, covariance = f"{scale} times the identity", scale * np.eye(dim)
    else:
        covariance = _validate.real_array(name, value, (dim, dim))
        got, covariance = "a matrix", _symmetric(name, covariance)
    variance = np.diagonal(covariance)
    # judged on the correlations: positive definite or not does not depend on the units
    definite = bool(variance.min() > 0.0)
    if definite:
        s = np.sqrt(variance)
        correlation = covariance / s / s[:, None]
        # from here on the factorisation cannot fail (Higham 2002, theorem 10.7)
        definite = np.linalg.eigvalsh(correlation)[0] > dim * (dim + 1) * np.finfo(np.float64).eps
        # the density at the mean, and its quadratic form, are then finite
        definite = definite and float(variance.min()) >= SMALLEST
    if not definite:
        smallest = np.linalg.eigvalsh(covariance)[0]
        raise ValueError(
            f"{name}: got {got}, smallest eigenvalue {smallest}, wanted a symmetric matrix that "
            f"is positive definite beyond rounding, with variances from {SMALLEST:.1e} on"
        )
    return read_only(covariance.copy()), read_only(s[:, None] * np.linalg.cholesky(correlation))


def _symmetric(name: str, matrix: Float64) -> Float64:
    """Return the symmetric part of `matrix`, which may differ from it by rounding alone."""
    with np.errstate(over="ignore"):
        difference = np.abs(matrix - matrix.T)
    s = np.sqrt(np.abs(np.diagonal(matrix)))
    beyond = difference - SYMMETRY * s * s[:, None]
    if beyond.max() > 0.0:
        i, j = np.unravel_index(int(beyond.argmax()), beyond.shape)
        raise ValueError(
            f"{name}: got {matrix[i, j]} at index ({i}, {j}) and {matrix[j, i]} at ({j}, {i}), "
            "wanted a symmetric matrix"
        )
    return 0.5 * matrix + 0.5 * matrix.T
