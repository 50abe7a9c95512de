"""J cubic B-splines on J - 3 equal cells of [0, 1], with fourfold knots at both ends."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


def knots(J: int) -> Float64:
    """The knots, J + 4 of them, of which the ends come four times."""
    inner = np.linspace(0.0, 1.0, J - 2)
    return np.concatenate((np.zeros(3), inner, np.ones(3)))


def values(s: Float64, J: int) -> Any:
    """p_j(s), sparse, (len(s), J)."""
    from scipy.interpolate import BSpline

    return BSpline.design_matrix(s, knots(J), 3)


def derivatives(s: Float64, J: int) -> Any:
    """dp_j/ds, sparse, (len(s), J)."""
    # the derivative is the quadratic spline with coefficients
    # 3 (theta_{j+1} - theta_j) / (knot_{j+4} - knot_{j+1}) on the same cells
    from scipy.interpolate import BSpline
    from scipy.sparse import diags_array

    at = knots(J)
    scale = 3.0 / (at[4:-1] - at[1:-4])
    D = diags_array((-scale, scale), offsets=(0, 1), shape=(J - 1, J))
    return BSpline.design_matrix(s, at[1:-1], 2) @ D


def greville(J: int) -> Float64:
    """The Greville points (J,), means of three knots each: values there determine a spline."""
    at = knots(J)
    return np.clip((at[1:-3] + at[2:-2] + at[3:-1]) / 3.0, 0.0, 1.0)


def stiffness(J: int) -> Any:
    """int_0^1 p_i' p_j' ds, sparse, by three Gauss-Legendre points a cell: exact to degree five."""
    x, w = np.polynomial.legendre.leggauss(3)
    n_cells = J - 3
    s = (np.arange(n_cells)[:, None] + 0.5 + 0.5 * x).ravel() / n_cells
    dP = derivatives(s, J)
    weights = np.tile(0.5 * w / n_cells, n_cells)
    return dP.T @ dP.multiply(weights[:, None])
