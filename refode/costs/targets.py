"""Log-densities inside kernels, for costs at the end of a path.

``log_density(target, Z, first, m, value, score, work)``
    value[s] <- log rho(z_s) and score[:, s] <- its gradient for the block's samples, those
    from ``first`` on; columns from m on, which stand for no sample, stay finite.

Mixtures of Gaussians are evaluated here, (D60)-(D62); a density that is known by its methods
alone is evaluated beforehand, where the paths end (``GivenTarget``).

Twin on the device: refode/cuda/targets.py.
"""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import numpy as np

from refode._blas import one_thread
from refode.costs.energies import energy, energy_gradient
from refode.densities import Density, Gaussian, GaussianMixture
from refode.machine.blas import multiply, multiply_transposed
from refode.machine.blocks import fill
from refode.machine.compile import kernel
from refode.machine.parts import Room
from refode.machine.views import band

Array = np.ndarray
_known: weakref.WeakKeyDictionary[Density, Any] = weakref.WeakKeyDictionary()


TARGET = Room("target")


@TARGET.function("MiivMM")
def log_density(target, Z, first, m, value, score, work):
    """Log-density and its gradient."""


class DiagonalTarget(NamedTuple):
    """Logs of the components' peaks (K,), means and inverse deviations (K, d)."""

    peaks: Array
    means: Array
    inverse: Array


class DenseTarget(NamedTuple):
    """Logs of the components' peaks (K,), means (K, d), inverse Cholesky factors (K d, d)."""

    peaks: Array
    means: Array
    inverse: Array


class GivenTarget(NamedTuple):
    """Log-density (N,) and its gradient (N, d) where each path ends."""

    log_density: Array
    score: Array


class EnergyTarget(NamedTuple):
    """-g in place of a log-density, g an energy: what a terminal cost E g(z(T)) reads."""

    energy: tuple


def target_of(density: Density, dtype: Any = np.float64) -> Any:
    """A Gaussian's or a mixture's form for kernels of a number type; None for other densities."""
    if type(density) not in (Gaussian, GaussianMixture):
        return None
    if density not in _known:
        _known[density] = _form(density)
    found = _known[density]
    if dtype == np.float64:
        return found
    return type(found)(*(part.astype(dtype) for part in found))


def _form(density: Any) -> Any:
    one = isinstance(density, Gaussian)
    parts = (density,) if one else density.components
    weights = np.ones(1) if one else density.weights
    d = density.dim
    peaks = np.array(
        [
            np.log(w) - np.log(np.diagonal(p.cholesky)).sum() - 0.5 * d * np.log(2.0 * np.pi)
            for w, p in zip(weights, parts, strict=True)
        ]
    )
    means = np.array([p.mean for p in parts])
    if all(np.array_equal(p.cholesky, np.diag(np.diagonal(p.cholesky))) for p in parts):
        deviations = np.array([np.diagonal(p.cholesky) for p in parts])
        return DiagonalTarget(peaks, means, 1.0 / deviations)
    inverse = np.concatenate([one_thread(np.linalg.inv)(p.cholesky) for p in parts])
    return DenseTarget(peaks, means, np.ascontiguousarray(inverse))


def rows(target: Any, d: int) -> int:
    """Rows of work space that a target needs."""
    if isinstance(target, GivenTarget | EnergyTarget):
        return 1
    return len(target.peaks) * (d + 1) + d


@kernel(cache=False)
def _responsibilities(peaks, Y, logs, value):
    """value <- log sum_k exp(l_k), logs <- exp(l_k - value), l_k = peak_k - |y_k|^2/2.

    The latter as shares of their sum: far away the value has no digits left for their difference.
    """
    K = peaks.shape[0]
    d = Y.shape[0] // K
    for k in range(K):
        for s in range(value.shape[0]):
            logs[k, s] = peaks[k]
        for i in range(k * d, (k + 1) * d):
            for s in range(value.shape[0]):
                logs[k, s] -= 0.5 * Y[i, s] * Y[i, s]
    if K == 1:
        for s in range(value.shape[0]):
            value[s] = logs[0, s]
            logs[0, s] = 1.0
        return
    for s in range(value.shape[0]):
        top = logs[0, s].real
        for k in range(1, K):
            top = max(top, logs[k, s].real)
        total = logs[0, s] * 0
        for k in range(K):
            logs[k, s] = np.exp(logs[k, s] - top)
            total += logs[k, s]
        value[s] = top + np.log(total)
        for k in range(K):
            logs[k, s] = logs[k, s] / total


@log_density.register(DiagonalTarget)
def diagonal_log_density(target, Z, first, m, value, score, work):
    """y_k = (z - m_k)/s_k; score = -sum_k r_k y_k/s_k."""
    (K, d), S = target.means.shape, Z.shape[1]
    Y, logs = band(work, 0, K * d), band(work, K * d, K)
    for k in range(K):
        for i in range(d):
            mean, inverse = target.means[k, i], target.inverse[k, i]
            for s in range(S):
                Y[k * d + i, s] = (Z[i, s] - mean) * inverse
    _responsibilities(target.peaks, Y, logs, value)
    fill(score, 0.0)
    for k in range(K):
        for i in range(d):
            inverse = target.inverse[k, i]
            for s in range(S):
                score[i, s] -= inverse * logs[k, s] * Y[k * d + i, s]


@log_density.register(DenseTarget)
def dense_log_density(target, Z, first, m, value, score, work):
    """y_k = L_k^{-1}(z - m_k); score = -sum_k r_k L_k^{-T} y_k."""
    (K, d), S = target.means.shape, Z.shape[1]
    Y, logs, moved = band(work, 0, K * d), band(work, K * d, K), band(work, K * d + K, d)
    for k in range(K):
        for i in range(d):
            mean = target.means[k, i]
            for s in range(S):
                moved[i, s] = Z[i, s] - mean
        multiply(band(target.inverse, k * d, d), moved, band(Y, k * d, d))
    _responsibilities(target.peaks, Y, logs, value)
    fill(score, 0.0)
    for k in range(K):
        multiply_transposed(band(target.inverse, k * d, d), band(Y, k * d, d), moved)
        for i in range(d):
            for s in range(S):
                score[i, s] -= logs[k, s] * moved[i, s]


@log_density.register(GivenTarget)
def given_log_density(target, Z, first, m, value, score, work):
    """Looked up."""
    fill(score, 0.0)
    for s in range(value.shape[0]):
        value[s] = 0.0
    for s in range(m):
        value[s] = target.log_density[first + s]
        for i in range(Z.shape[0]):
            score[i, s] = target.score[first + s, i]


@log_density.register(EnergyTarget)
def energy_log_density(target, Z, first, m, value, score, work):
    """-g and -grad g, (D87)."""
    fill(score, 0.0)
    for s in range(value.shape[0]):
        value[s] = 0.0
        work[0, s] = -1.0
    energy(target.energy, Z, value)
    energy_gradient(target.energy, Z, work[0], score)
    for s in range(value.shape[0]):
        value[s] = -value[s]
