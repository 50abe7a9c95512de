"""A second opinion on state, log-determinant and slope: SciPy and plain NumPy.

Nothing of refode's fields, bases or solvers is used: the shallow net (2) and its trace as
on paper, Legendre polynomials from NumPy, SciPy's adaptive Dormand-Prince method of order 8,
and derivatives by the complex step through all of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.polynomial import legendre
from scipy.integrate import solve_ivp

Array = np.ndarray
RTOL, ATOL, STEP = 1e-13, 1e-15, 1e-200


def shallow_legendre(
    coefficients: dict[str, Array], x: Array, span: tuple[float, float]
) -> tuple[Array, Array]:
    """z(T) (N, d) and l(T) (N,) of f = W1 tanh(W0 z + b0) + b1, real or complex.

    Parameters
    ----------
    coefficients : dict
        W0 (J, k, d), b0 (J, k), W1 (J, d, k), b1 (J, d) of theta(t) = sum_j P_j(2t-1) theta_j.
    x : (N, d)
    span : (float, float)
        Interval of integration within [0, 1], in either direction.
    """
    n, d = x.shape

    def rhs(t: float, y: Array) -> Array:
        w = {name: legendre.legval(2.0 * t - 1.0, c) for name, c in coefficients.items()}
        z = y[: n * d].reshape(n, d)
        a = np.tanh(z @ w["W0"].T + w["b0"])
        f = a @ w["W1"].T + w["b1"]
        trace = (1.0 - a**2) @ np.sum(w["W1"].T * w["W0"], axis=1)
        return np.concatenate([f.ravel(), trace])

    y = np.concatenate([x.ravel(), np.zeros(n, dtype=x.dtype)])
    solution = solve_ivp(rhs, span, y, method="DOP853", rtol=RTOL, atol=ATOL, t_eval=[span[1]])
    if not solution.success:
        raise RuntimeError(f"SciPy could not solve the reference problem: {solution.message}")
    end = solution.y[:, -1]
    return end[: n * d].reshape(n, d), end[n * d :]


def slope(
    coefficients: dict[str, Array],
    x: Array,
    span: tuple[float, float],
    direction: dict[str, Array],
    x_dot: Array,
    z_bar: Array,
    l_bar: Array,
) -> float:
    """Derivative of <z_bar, z(T)> + <l_bar, l(T)> along (direction, x_dot), complex step."""
    moved: dict[str, Any] = {
        name: c + 1j * STEP * direction[name] for name, c in coefficients.items()
    }
    z, log_det = shallow_legendre(moved, x + 1j * STEP * x_dot, span)
    return float((np.sum(z_bar * z.imag) + np.sum(l_bar * log_det.imag)) / STEP)
