"""Optimal transport on the line, for normal densities and mixtures of them.

The map is monotone and elementary up to the inversion of a distribution function,
(D75)-(D77); values of free motion come from the formula of Hopf and Lax, (D78). Both are derived
in docs/equations_closed_forms.md.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr, logsumexp, ndtri_exp

from refode import _validate
from refode._blas import one_thread
from refode._quiet import quietly
from refode.densities import Gaussian, GaussianMixture

__all__ = ["hopf_lax", "monotone_distance2", "monotone_map"]

Float64 = NDArray[np.float64]
Line = tuple[Float64, Float64, Float64]  # weights, means, deviations

LOG_HALF = float(np.log(0.5))
GAUSS_POINTS = 16  # a panel
INTEGRAL = 1e-13  # of a panel against its halves, relative to the whole
MAX_HALVINGS = 40
GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)
REACH = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0)  # standard deviations: ends of the first panels


@quietly()
def hopf_lax(
    terminal: Callable[[Float64], Float64],
    alpha: float,
    t: float,
    x: ArrayLike,
    candidates: ArrayLike,
    T: float = 1.0,
) -> tuple[Float64, Float64]:
    """Return the value function of free motion on the line by the formula of Hopf and Lax, (D78).

    From x at time t < T it is the minimum over y of::

        terminal(y) + alpha/2 (y - x)^2/(T - t)

    Parameters
    ----------
    terminal : callable
        (M, 1) -> (M,), the cost at time T.
    alpha : float
        > 0.
    t : float
        < T.
    x : array_like, shape (N, 1)
    candidates : array_like, shape (M,)
        Increasing. The best of them is refined between its neighbours, so they should be dense
        enough to tell one local minimum from another, and their ends beyond every minimiser.
    T : float, optional

    Returns
    -------
    phi : ndarray, shape (N,)
    end : ndarray, shape (N, 1)
        The minimiser y, where the straight path from x ends, to about 1e-8.

    Raises
    ------
    TypeError, ValueError
        No finite real numbers, alpha <= 0, t >= T, candidates that do not increase, or a minimum
        at the first or the last of them.
    """
    if not callable(terminal):
        raise TypeError(f"terminal: got {_validate.shown(terminal)}, wanted a callable")

    def asked(y: Float64) -> Float64:
        answer = terminal(y[:, None])
        return _validate.real_array("terminal", answer, y.shape)

    alpha = _validate.positive("alpha", alpha)
    t, T = _validate.real_number("t", t), _validate.real_number("T", T)
    if t >= T:
        raise ValueError(f"t: got {t}, wanted less than T = {T}")
    x = _validate.samples("x", x, 1)[:, 0]
    grid = _validate.real_array("candidates", candidates, ("M",))
    if len(grid) < 3 or np.diff(grid).min() <= 0.0:
        raise ValueError("candidates: got numbers that do not increase, wanted 3 or more that do")

    def cost(y: Float64) -> Float64:
        return asked(y) + 0.5 * alpha / (T - t) * (y - x) ** 2

    best = np.argmin(asked(grid) + 0.5 * alpha / (T - t) * (grid - x[:, None]) ** 2, 1)
    if best.min() == 0 or best.max() == len(grid) - 1:
        raise ValueError(
            f"candidates: got a minimum at an end of [{grid[0]}, {grid[-1]}], wanted ends beyond it"
        )
    low, high = grid[best - 1], grid[best + 1]
    for _ in range(80):  # golden section
        a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        left = cost(a) < cost(b)
        low, high = np.where(left, low, a), np.where(left, b, high)
    y = 0.5 * (low + high)
    return cost(y), y[:, None]


@quietly()
def monotone_map(
    source: Gaussian | GaussianMixture, target: Gaussian | GaussianMixture, x: ArrayLike
) -> Float64:
    """Return the optimal transport map on the line, y = F_target^{-1}(F_source(x)), (D75).

    Evaluated through logarithms of the lighter tail, (D76), so that it is right where
    distribution functions are 0 or 1 in float64.

    Parameters
    ----------
    source, target : Gaussian or GaussianMixture
        Of dimension 1.
    x : array_like, shape (N, 1)

    Returns
    -------
    ndarray, shape (N, 1)

    Raises
    ------
    TypeError
        Other densities.
    ValueError
        Other dimensions; `x` no finite array of shape (N, 1).
    """
    p, q = _on_the_line("source", source), _on_the_line("target", target)
    return _mapped(p, q, _validate.samples("x", x, 1)[:, 0])[:, None]


@quietly()
@one_thread
def monotone_distance2(
    source: Gaussian | GaussianMixture, target: Gaussian | GaussianMixture
) -> float:
    """Return W2^2 on the line, the integral of (T(x) - x)^2 over the source, (D77).

    Parameters
    ----------
    source, target : Gaussian or GaussianMixture
        Of dimension 1.

    Returns
    -------
    float
        W2^2, without a factor 1/2, to about 1e-12 of E X^2 + E Y^2.

    Raises
    ------
    TypeError, ValueError
        As `monotone_map`.
    """
    p, q = _on_the_line("source", source), _on_the_line("target", target)
    ends = (p[1][:, None] + p[2][:, None] * np.array([REACH, np.negative(REACH)]).ravel()).ravel()
    far = (q[1][:, None] + q[2][:, None] * np.array([REACH, np.negative(REACH)]).ravel()).ravel()
    far = _mapped(q, p, far)
    ends = np.unique(np.concatenate([ends, far[(far > ends.min()) & (far < ends.max())]]))
    nodes, weights = np.polynomial.legendre.leggauss(GAUSS_POINTS)

    def panels(a: Float64, b: Float64) -> Float64:
        half = 0.5 * (b - a)
        x = (a + half)[:, None] + half[:, None] * nodes
        moved = _mapped(p, q, x.ravel()).reshape(x.shape) - x
        return half * ((moved**2 * np.exp(_log_line(p, x))) @ weights)

    scale = sum(float(np.sum(w * (m * m + s * s))) for w, m, s in (p, q))
    a, b = ends[:-1], ends[1:]
    whole, done = panels(a, b), 0.0
    for _ in range(MAX_HALVINGS):
        middle = 0.5 * (a + b)
        left, right = panels(a, middle), panels(middle, b)
        good = np.abs(left + right - whole) <= INTEGRAL * scale
        done += float(np.sum((left + right)[good]))
        a, b = (np.concatenate(e) for e in ((a[~good], middle[~good]), (middle[~good], b[~good])))
        whole = np.concatenate((left[~good], right[~good]))
        if not len(a):
            break
    return done + float(np.sum(whole))


# --- densities on the line -----------------------------------------------------------------


def _on_the_line(name: str, density: Gaussian | GaussianMixture) -> Line:
    _validate.instance(name, density, (Gaussian, GaussianMixture))
    if density.dim != 1:
        raise ValueError(f"{name}: got dimension {density.dim}, wanted 1")
    if isinstance(density, Gaussian):
        return np.ones(1), density.mean, np.sqrt(density.covariance[0])
    return density.weights, density.means[:, 0], np.sqrt(density.covariances[:, 0, 0])


def _log_line(p: Line, x: Float64) -> Float64:
    """log rho(x)."""
    w, m, s = p
    y = (x[..., None] - m) / s
    return logsumexp(np.log(w / s) - 0.5 * np.log(2.0 * np.pi) - 0.5 * y * y, axis=-1)


def _log_tail(p: Line, x: Float64, sign: Float64) -> Float64:
    """Logarithm of the mass below x where sign is 1, above it where sign is -1."""
    w, m, s = p
    return logsumexp(np.log(w) + log_ndtr(sign[..., None] * (x[..., None] - m) / s), axis=-1)


def _mapped(p: Line, q: Line, x: Float64) -> Float64:
    """F_q^{-1}(F_p(x)), (N,), by Newton within a bracket that halves where Newton leaves it."""
    below = _log_tail(p, x, np.ones_like(x))
    sign = np.where(below <= LOG_HALF, 1.0, -1.0)
    tail = np.minimum(_log_tail(p, x, sign), 0.0)
    _, m, s = q
    # every component alone would have its quantile here
    each = m + s * (sign * ndtri_exp(tail))[:, None]
    low, high = each.min(axis=1), each.max(axis=1)
    y = 0.5 * (low + high)
    for _ in range(200):
        log_tail = _log_tail(q, y, sign)
        excess = sign * (log_tail - tail)  # > 0: y is too large
        low, high = np.where(excess < 0.0, y, low), np.where(excess > 0.0, y, high)
        slope = np.exp(np.minimum(_log_line(q, y) - log_tail, 700.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            newton = y - excess / slope
        inside = (newton >= low) & (newton <= high)
        ahead = np.where(inside, newton, 0.5 * (low + high))
        still = np.abs(ahead - y) > 1e-15 * (np.abs(y) + s.min())
        y = ahead
        if not still.any():
            break
    return y
