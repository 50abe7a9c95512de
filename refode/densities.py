"""Probability densities: where flows and games start and what they aim at.

`Gaussian` and `GaussianMixture` have samples, log-densities and their gradients, all by hand;
`Empirical` is known through samples alone. Densities are immutable, their arrays read-only
copies of what they were made from. All quantities are dimensionless, log-densities natural
logarithms with their constants.

(D60)-(D62) are derived in docs/equations_densities.md.
"""

from __future__ import annotations

import inspect
import math
from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

from refode import _validate
from refode._blas import one_thread
from refode._covariances import factored
from refode._fixed import Fixed, read_only
from refode._quiet import quietly
from refode._shown import as_called

__all__ = ["Density", "Empirical", "Gaussian", "GaussianMixture"]

Float64 = NDArray[np.float64]

#: How far the weights of a mixture may sum from 1.
WEIGHT_SUM = 1e-12


class Density(Fixed):
    """A probability density on R^d, or samples of one.

    Attributes
    ----------
    dim : int
        d.
    """

    dim: int

    def __repr__(self) -> str:
        """As it is made, where the constructor's arguments are attributes; else by its dim."""
        given = {}
        for name in inspect.signature(type(self)).parameters:
            if not hasattr(self, name):
                return f"{type(self).__name__}(dim={self.dim})"
            given[name] = getattr(self, name)
        return as_called(self, **given)

    @abstractmethod
    def sample(self, n: int, seed: int = 0) -> Float64:
        """Draw samples.

        Parameters
        ----------
        n : int
            Number of samples.
        seed : int
            Seed of ``numpy.random.default_rng``.

        Returns
        -------
        ndarray, shape (n, d)

        Raises
        ------
        TypeError, ValueError
            `n` is no int >= 1 or `seed` no int >= 0.
        """

    @abstractmethod
    def log_density(self, x: ArrayLike) -> Float64:
        """Evaluate log rho.

        Parameters
        ----------
        x : array_like, shape (N, d)
            Points.

        Returns
        -------
        ndarray, shape (N,)
            -inf where it is below all float64 numbers, from about 1e154 standard deviations
            on.

        Raises
        ------
        TypeError, ValueError
            `x` is no finite real array of shape (N, d) with N >= 1; or only samples of the
            density are known.
        """

    @abstractmethod
    def log_density_gradient(self, x: ArrayLike) -> Float64:
        """Evaluate grad log rho, shape (N, d); arguments and errors as of `log_density`."""


class Gaussian(Density):
    """The normal density N(m, S) on R^d.

    Parameters
    ----------
    mean : array_like, shape (d,)
        m.
    covariance : float or array_like, shape (d, d)
        S, symmetric and positive definite; a number s stands for s I. It is a variance, not
        a standard deviation.

    Attributes
    ----------
    dim : int
        d.
    mean : ndarray, shape (d,)
    covariance : ndarray, shape (d, d)
    cholesky : ndarray, shape (d, d)
        L, lower triangular with L L^T = S.

    Raises
    ------
    TypeError
        Entries that are no real numbers.
    ValueError
        Wrong shapes, NaN or infinity; a covariance that is not symmetric, or not positive
        definite beyond rounding (the message names the smallest eigenvalue).

    Examples
    --------
    >>> import numpy as np
    >>> density = Gaussian([0.0, 1.0], 0.25)
    >>> density.log_density(np.array([[0.0, 1.0]])).round(4)
    array([-0.4516])
    >>> density.sample(3, seed=0).shape
    (3, 2)
    """

    @quietly()
    def __init__(self, mean: ArrayLike, covariance: float | ArrayLike) -> None:
        self.mean = _frozen(_validate.real_array("mean", mean, ("d",)))
        self.dim = len(self.mean)
        self.covariance, self.cholesky = factored("covariance", covariance, self.dim)
        log_root_det = float(np.sum(np.log(np.diagonal(self.cholesky))))
        #: log rho(m) = -sum_i log L_ii - d/2 log 2 pi
        self._log_peak = -log_root_det - 0.5 * self.dim * math.log(2.0 * math.pi)

    @quietly()
    @one_thread
    def sample(self, n: int, seed: int = 0) -> Float64:
        """Draw samples m + L e with e standard normal; see `Density.sample`."""
        n, rng = _start(n, seed, self.dim)
        return self.mean + rng.standard_normal((n, self.dim)) @ self.cholesky.T

    @quietly()
    def log_density(self, x: ArrayLike) -> Float64:
        """Evaluate the log-density, (D60).

        With y = L^{-1}(x - m)::

            log rho(x) = -|y|^2/2 - sum_i log L_ii - d/2 log 2 pi
        """
        r = _norms(self._whitened(_validate.samples("x", x, self.dim)))
        return self._log_peak - 0.5 * r * r

    @quietly()
    def log_density_gradient(self, x: ArrayLike) -> Float64:
        """Evaluate the gradient of the log-density, (D60).

        By two triangular solves::

            grad log rho(x) = -S^{-1}(x - m) = -L^{-T} L^{-1}(x - m)
        """
        return self._gradient(self._whitened(_validate.samples("x", x, self.dim)))

    @one_thread
    def _whitened(self, x: Float64) -> Float64:
        """Return y = L^{-1}(x - m), one column a sample, (d, N)."""
        return solve_triangular(self.cholesky, (x - self.mean).T, lower=True, check_finite=False)

    @one_thread
    def _gradient(self, y: Float64) -> Float64:
        """Return -L^{-T} y, one row a sample, (N, d)."""
        g = solve_triangular(self.cholesky, y, lower=True, trans=1, check_finite=False)
        return np.ascontiguousarray(-g.T)


class GaussianMixture(Density):
    """The density sum_j w_j N(m_j, S_j) on R^d.

    Parameters
    ----------
    weights : array_like, shape (k,)
        w, positive, with sum 1.
    means : array_like, shape (k, d)
        m_j in rows.
    covariances : float or array_like, shape (k,) or (k, d, d)
        S_j, symmetric and positive definite; numbers s_j stand for s_j I, and one number for
        all of them.

    Attributes
    ----------
    dim : int
        d.
    weights : ndarray, shape (k,)
    means : ndarray, shape (k, d)
    covariances : ndarray, shape (k, d, d)
    components : tuple of Gaussian
        The k densities N(m_j, S_j).

    Raises
    ------
    TypeError
        Entries that are no real numbers.
    ValueError
        Wrong shapes, NaN or infinity; weights that are not positive or whose sum differs from
        1 by more than 1e-12; covariances that `Gaussian` refuses.

    Examples
    --------
    >>> import numpy as np
    >>> two = GaussianMixture([0.5, 0.5], [[-2.0], [2.0]], [[[1.0]], [[1.0]]])
    >>> np.exp(two.log_density(np.array([[-2.0], [0.0]]))).round(4)
    array([0.1995, 0.054 ])
    """

    @quietly()
    def __init__(
        self, weights: ArrayLike, means: ArrayLike, covariances: float | ArrayLike
    ) -> None:
        self.weights = _frozen(_mixture_weights(weights))
        k = len(self.weights)
        self.means = _frozen(_validate.real_array("means", means, (k, "d")))
        self.dim = self.means.shape[1]
        each: Any
        if _validate.n_axes(covariances) == 0:
            each = [factored("covariances", covariances, self.dim)] * k
        else:
            scalars = _validate.n_axes(covariances) == 1
            shape = (k,) if scalars else (k, self.dim, self.dim)
            stacked = _validate.real_array("covariances", covariances, shape)
            each = [factored(f"covariances[{j}]", s, self.dim) for j, s in enumerate(stacked)]
        self.covariances = _frozen(np.array([covariance for covariance, _ in each]))
        self.components = tuple(map(Gaussian, self.means, self.covariances))

    @quietly()
    @one_thread
    def sample(self, n: int, seed: int = 0) -> Float64:
        """Draw samples, each from a component drawn by its weight; see `Density.sample`."""
        n, rng = _start(n, seed, self.dim)
        drawn = rng.choice(len(self.weights), n, p=self.weights / self.weights.sum())
        x = rng.standard_normal((n, self.dim))
        for j, component in enumerate(self.components):
            x[drawn == j] = component.mean + x[drawn == j] @ component.cholesky.T
        return x

    @quietly()
    def log_density(self, x: ArrayLike) -> Float64:
        """Evaluate the log-density, (D61), as (D62) does.

        With l_j(x) = log w_j + log N(x; m_j, S_j)::

            log rho(x) = log sum_j exp l_j(x)
        """
        _, nearest, relative = self._compared(_validate.samples("x", x, self.dim))
        return logsumexp(relative, axis=0) - 0.5 * nearest * nearest

    @quietly()
    def log_density_gradient(self, x: ArrayLike) -> Float64:
        """Evaluate the gradient of the log-density, (D61), as (D62) does.

        With the responsibilities p_j(x) = exp(l_j(x) - log rho(x)), which sum to 1::

            grad log rho(x) = -sum_j p_j(x) S_j^{-1}(x - m_j)
        """
        x = _validate.samples("x", x, self.dim)
        whitened, _, relative = self._compared(x)
        p = np.exp(relative - logsumexp(relative, axis=0))
        gradient = np.zeros_like(x)
        for p_j, component, y in zip(p, self.components, whitened, strict=True):
            gradient += p_j[:, None] * component._gradient(y)
        return gradient

    def _compared(self, x: Float64) -> tuple[list[Float64], Float64, Float64]:
        """Compare the components at `x` without the squares that overflow, (D62).

        Returns
        -------
        whitened : list of ndarray, shape (d, N)
            y_j = L_j^{-1}(x - m_j).
        nearest : ndarray, shape (N,)
            r = min_j |y_j|.
        relative : ndarray, shape (k, N)
            l_j + r^2/2, which is finite for the nearest component.
        """
        whitened = [component._whitened(x) for component in self.components]
        r = np.array([_norms(y) for y in whitened])
        nearest = r.min(axis=0)
        peaks = np.log(self.weights) + [c._log_peak for c in self.components]
        with np.errstate(over="ignore"):
            return whitened, nearest, peaks[:, None] - 0.5 * (r - nearest) * (r + nearest)


class Empirical(Density):
    """A density that is known through samples of it, and nothing else.

    Parameters
    ----------
    samples : array_like, shape (M, d)
        The samples.

    Attributes
    ----------
    dim : int
        d.
    samples : ndarray, shape (M, d)

    Raises
    ------
    TypeError, ValueError
        `samples` is no finite real array of shape (M, d) with entries.
    """

    def __init__(self, samples: ArrayLike) -> None:
        self.samples = _frozen(_validate.real_array("samples", samples, ("M", "d")))
        self.dim = self.samples.shape[1]

    def sample(self, n: int, seed: int = 0) -> Float64:
        """Draw from the samples, as evenly as `n` allows.

        Each sample comes floor(n/M) times, and n mod M of them, drawn without replacement,
        once more; the order is random. So up to n = M no sample comes twice, and n = M gives
        all of them in another order.
        """
        n, rng = _start(n, seed, self.dim)
        size = len(self.samples)
        once_more = rng.permutation(size)[: n % size]
        index = np.concatenate((np.repeat(np.arange(size), n // size), once_more))
        return self.samples[rng.permutation(index)]

    def log_density(self, x: ArrayLike) -> Float64:
        """Raise ValueError: samples alone have no density."""
        raise self._unknown("log_density")

    def log_density_gradient(self, x: ArrayLike) -> Float64:
        """Raise ValueError: samples alone have no density."""
        raise self._unknown("log_density_gradient")

    def _unknown(self, what: str) -> ValueError:
        return ValueError(
            f"{what}: got an Empirical density, of which only samples are known, wanted one with "
            "a formula, such as Gaussian or GaussianMixture"
        )


def _start(n: int, seed: int, dim: int) -> tuple[int, np.random.Generator]:
    n = _validate.positive_int("n", n)
    _validate.affordable("n", n, 16 * n * dim)
    return n, np.random.default_rng(_validate.nonnegative_int("seed", seed))


def _frozen(array: Float64) -> Float64:
    """Return a read-only copy."""
    return read_only(array.copy())


def _norms(y: Float64) -> Float64:
    """Return the Euclidean norms of the columns of `y`, without overflow or underflow."""
    peak = np.abs(y).max(axis=0)
    scale = np.where(peak > 0.0, peak, 1.0)
    return scale * np.sqrt(((y / scale) ** 2).sum(axis=0))


def _mixture_weights(weights: ArrayLike) -> Float64:
    w = _validate.real_array("weights", weights, ("k",))
    if w.min() <= 0.0:
        j = int(w.argmin())
        raise ValueError(f"weights: got {w[j]} at index {j}, wanted positive numbers")
    total = math.fsum(w)
    if abs(total - 1.0) > WEIGHT_SUM:
        raise ValueError(f"weights: got numbers with sum {total}, wanted sum 1 within {WEIGHT_SUM}")
    return w
