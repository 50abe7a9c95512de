"""Dense second derivatives of an objective, and what a positive definite one gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refode import _validate
from refode._blas import one_thread
from refode._fixed import Fixed, read_only
from refode._quiet import quietly
from refode._scaling import TINY

Array = np.ndarray
KINDS = ("hessian", "gauss_newton")


def dense(problem: Any, kind: str, theta: Array, data: tuple[Any, ...], named: Any) -> Array:
    """The curvature of a kind at theta (p, p), by p products with unit vectors.

    Raises
    ------
    TypeError, ValueError
        Where the problem has none of this kind; theta where an entry is not finite.
    """
    p = problem.n_parameters
    if kind == "hessian":
        product = problem.hessian_vector
    elif problem.has_gauss_newton:
        product = problem.gauss_newton_vector
    else:
        why = f" ({problem.no_gauss_newton})" if problem.no_gauss_newton else ""
        raise ValueError(f"curvature: got 'gauss_newton' for {problem.kind}, wanted 'hessian'{why}")
    _validate.affordable("theta", theta, 6 * 8 * p * p)
    H = np.empty((p, p))
    for i, unit in enumerate(np.eye(p)):
        H[i] = product(theta, unit, *data, **named)
    if not np.isfinite(H).all():
        raise ValueError(
            f"theta: got one where the {problem.kind}'s second derivatives are not finite, wanted "
            "paths that stay finite"
        )
    return 0.5 * (H + H.T)


def jacobian(outputs: Callable[[Array], Array], theta: Array) -> Array:
    """Derivatives (..., p) of outputs (...) at theta: the complex step, once a parameter."""
    columns = [outputs(theta + 1j * TINY * unit).imag / TINY for unit in np.eye(len(theta))]
    return np.stack(columns, axis=-1)


class Definite(Fixed):
    """A positive definite matrix H (p, p), factored.

    Raises
    ------
    ValueError
        Where it is not, naming theta and the least eigenvalue.
    """

    @quietly()
    @one_thread
    def __init__(self, H: Array, kind: str) -> None:
        self.matrix = read_only(H)
        eigenvalues = np.linalg.eigvalsh(H)
        self.least = float(eigenvalues[0])
        rounding = len(H) * (len(H) + 1) * np.finfo(np.float64).eps * abs(float(eigenvalues[-1]))
        if not self.least > rounding:
            what, remedy = (
                ("Hessian", "train on, curvature='gauss_newton' or a larger tikhonov")
                if kind == "hessian"
                else ("Gauss-Newton matrix", "a larger tikhonov")
            )
            raise ValueError(
                f"theta: got one where the {what}'s least eigenvalue is {self.least:.3g} (the "
                f"largest is {eigenvalues[-1]:.3g}), wanted a positive definite one: {remedy} may "
                "help"
            )
        L = np.linalg.cholesky(H)
        self.inverse_factor = read_only(_lower_inverse(L))
        self.log_determinant = 2.0 * float(np.log(np.diagonal(L)).sum())

    @one_thread
    def solve(self, b: Array) -> Array:
        """H^{-1} b of b (p,) or (p, k)."""
        return self.inverse_factor.T @ (self.inverse_factor @ b)

    @one_thread
    def inverse(self) -> Array:
        """H^{-1} (p, p)."""
        return self.inverse_factor.T @ self.inverse_factor


def _lower_inverse(L: Array) -> Array:
    from scipy.linalg import solve_triangular

    return np.tril(solve_triangular(L, np.eye(len(L)), lower=True))
