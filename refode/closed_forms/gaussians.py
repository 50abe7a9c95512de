"""Transport between Gaussians, (D63)-(D67), and the control problem (D74)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular

from refode import _validate
from refode._blas import one_thread
from refode._quiet import quietly
from refode.densities import Gaussian

Float64 = NDArray[np.float64]


@quietly()
@one_thread
def bures_map(source: Gaussian, target: Gaussian) -> Float64:
    """Return the matrix of the optimal transport map between two Gaussians, (D63).

    The map is T(x) = m1 + A (x - m0), with A the only symmetric positive definite matrix
    that satisfies A S0 A = S1. A sample moves along the straight line (1 - t) x + t T(x).

    Parameters
    ----------
    source, target : Gaussian
        N(m0, S0) and N(m1, S1), of one dimension d.

    Returns
    -------
    ndarray, shape (d, d)
        A.

    Raises
    ------
    TypeError
        No `Gaussian`.
    ValueError
        Different dimensions.

    Examples
    --------
    >>> from refode.densities import Gaussian
    >>> bures_map(Gaussian([0.0], 1.0), Gaussian([3.0], 4.0)).round(12)
    array([[2.]])
    """
    _same_dim(source, target)
    _, s, vt = np.linalg.svd(target.cholesky.T @ source.cholesky)
    # A = (L0^{-T} V) s (L0^{-T} V)^T, a Gram matrix and so symmetric
    root = np.sqrt(s) * solve_triangular(source.cholesky, vt.T, lower=True, trans=1)
    return root @ root.T


@quietly()
@one_thread
def bures_distance2(source: Gaussian, target: Gaussian) -> float:
    """Return W2^2 between two Gaussians, (D64).

    It is |m1 - m0|^2 + tr(S0 + S1 - 2 (S0^(1/2) S1 S0^(1/2))^(1/2)), evaluated as a sum of
    squares: nothing cancels where the two are close, and it is never negative.

    Parameters
    ----------
    source, target : Gaussian
        N(m0, S0) and N(m1, S1), of one dimension d.

    Returns
    -------
    float
        W2^2, without a factor 1/2.

    Raises
    ------
    TypeError
        No `Gaussian`.
    ValueError
        Different dimensions.

    Examples
    --------
    >>> from refode.densities import Gaussian
    >>> round(bures_distance2(Gaussian([0.0], 1.0), Gaussian([3.0], 4.0)), 12)  # 3^2 + (2 - 1)^2
    10.0
    """
    _same_dim(source, target)
    u, _, vt = np.linalg.svd(target.cholesky.T @ source.cholesky)
    moved = target.cholesky @ (u @ vt) - source.cholesky
    return float(np.sum((target.mean - source.mean) ** 2) + np.sum(moved**2))


@quietly()
@one_thread
def relaxed_transport(source: Gaussian, target: Gaussian, alpha: float, beta: float) -> Gaussian:
    """Return the Gaussian where transport stops if arriving is only rewarded, (D65)-(D67).

    It is the minimiser, over all densities rho, of::

        alpha/2 W2^2(source, rho) + beta KL(rho || target)

    With alpha = 0 it is the target, with beta = 0 the source.

    Parameters
    ----------
    source, target : Gaussian
        N(m0, S0) and N(m*, S*), of one dimension d.
    alpha, beta : float
        Weights of the transport and of the divergence, >= 0 and not both 0.

    Returns
    -------
    Gaussian

    Raises
    ------
    TypeError
        No `Gaussian`, no real numbers.
    ValueError
        Different dimensions; a weight that is negative, NaN or infinite; both 0.
    """
    _same_dim(source, target)
    alpha = _validate.nonnegative("alpha", alpha)
    beta = _validate.nonnegative("beta", beta)
    if alpha == beta == 0.0:
        raise ValueError("alpha, beta: got 0.0, 0.0, wanted at least one of them positive")
    larger = max(alpha, beta)  # only the ratio matters
    alpha, beta = alpha / larger, beta / larger
    axes, s, _ = np.linalg.svd(target.cholesky)  # S* = axes s^2 axes^T
    # [1] G with G G^T = (alpha I + beta S*^{-1})^{-1}
    root = axes * (s / np.sqrt(alpha * s * s + beta))
    # [2] R = G^T S0 G = Q r Q^T, through its root L0^T G
    _, s, qt = np.linalg.svd(source.cholesky.T @ root)
    # [3] x(r), the larger of the two solutions
    half = 0.5 * alpha * s * s
    x = beta + alpha * (half + np.sqrt(half * half + beta * s * s))
    # [4] S = G Q x Q^T G^T, and the mean
    spread = (root @ qt.T) * np.sqrt(x)
    shift = root @ (root.T @ (source.mean - target.mean))
    return Gaussian(target.mean + alpha * shift, spread @ spread.T)


def _same_dim(source: Gaussian, target: Gaussian) -> None:
    _validate.instance("source", source, Gaussian)
    _validate.instance("target", target, Gaussian)
    if source.dim != target.dim:
        raise ValueError(f"target: got dimension {target.dim}, wanted {source.dim} as of source")


@quietly()
@one_thread
def lq_value_function(
    alpha: float, kappa: float, S: float, t: float, x: ArrayLike, T: float = 1.0
) -> tuple[Float64, Float64, Float64]:
    """Return the value function of the linear-quadratic control problem, (D74).

    From x at time t it is the least cost, over paths z with velocity v, of::

        int_t^T alpha/2 |v|^2 + kappa/2 |z|^2 ds + S/2 |z(T)|^2

    Parameters
    ----------
    alpha : float
        > 0.
    kappa, S : float
        >= 0.
    t : float
        At most T.
    x : array_like, shape (N, d)
    T : float, optional

    Returns
    -------
    phi : ndarray, shape (N,)
        The value Phi.
    gradient : ndarray, shape (N, d)
        grad Phi; the optimal velocity is -grad Phi/alpha.
    time : ndarray, shape (N,)
        dPhi/dt.

    Raises
    ------
    TypeError, ValueError
        No finite real numbers, alpha <= 0, kappa or S < 0, t > T, or no samples in rows.
    """
    alpha = _validate.positive("alpha", alpha)
    kappa, S = _validate.nonnegative("kappa", kappa), _validate.nonnegative("S", S)
    t, T = _validate.real_number("t", t), _validate.real_number("T", T)
    if t > T:
        raise ValueError(f"t: got {t}, wanted at most T = {T}")
    x = _validate.real_array("x", x, ("N", "d"))
    omega = np.sqrt(np.float64(kappa) / alpha)
    if not np.isfinite(omega) or not np.isfinite(S / np.float64(alpha)):
        raise ValueError(
            f"alpha: got {alpha}, wanted a number of which kappa and S are no 1e308fold"
        )
    left = np.tanh(omega * (T - t)) / omega if omega > 0.0 else T - t
    P = (S + kappa * left) / (1.0 + S / alpha * left)
    square = np.sum(x**2, axis=1)
    return 0.5 * P * square, P * x, 0.5 * (P * P / alpha - kappa) * square
