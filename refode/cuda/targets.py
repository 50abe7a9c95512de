"""Log-densities inside kernels on the device: twin of refode/costs/targets.py.

``log_density(target, Z, first, m, value, score, work)``
    value[s] <- log rho(z_s) and score[:, s] <- its gradient for the samples from ``first`` on;
    columns from m on, which stand for no sample, stay finite.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

from refode.costs.targets import DenseTarget, DiagonalTarget, EnergyTarget, GivenTarget
from refode.cuda.energies import EnergyBodies, energy_bodies
from refode.cuda.linalg import linalg
from refode.cuda.ops import Ops
from refode.cuda.registry import found, register


class DenseOnDevice(NamedTuple):
    """``DenseTarget`` with the inverse Cholesky factors one after the other, (K d d,)."""

    peaks: Any
    means: Any
    inverse: Any


def target_bodies(ops: Ops, target: Any) -> Any:
    """``log_density`` for a target's class."""
    if isinstance(target, EnergyTarget):
        return of_energy(ops, energy_bodies(ops, target.energy))
    return found("target", target)(ops)


def _responsibilities(ops: Ops) -> Any:
    """(D60)."""

    @ops.each
    def responsibilities(s, value, peaks, Y, logs):
        """value <- log sum_k exp(l_k), logs <- exp(l_k - value), l_k = peak_k - |y_k|^2/2."""
        K = peaks.shape[0]
        d = Y.shape[0] // K
        for k in range(K):
            log = peaks[k]
            for i in range(k * d, (k + 1) * d):
                log -= 0.5 * Y[i, s] * Y[i, s]
            logs[k, s] = log
        if K == 1:
            value[s] = logs[0, s]
            logs[0, s] = 1.0
        else:
            top = logs[0, s]
            for k in range(1, K):
                top = max(top, logs[k, s])
            total = 0.0
            for k in range(K):
                logs[k, s] = math.exp(logs[k, s] - top)
                total += logs[k, s]
            value[s] = top + math.log(total)
            for k in range(K):
                logs[k, s] = logs[k, s] / total

    return responsibilities


@functools.cache
def diagonal(ops: Ops) -> Any:
    """Gaussians with diagonal covariances, and their mixtures."""
    responsibilities = _responsibilities(ops)

    @ops.body
    def log_density(target, Z, first, m, value, score, work):
        """y_k = (z - m_k)/s_k; score = -sum_k r_k y_k/s_k."""
        K, rows = target.means.shape[0], target.means.shape[0] * target.means.shape[1]
        Y, logs = work[:rows], work[rows : rows + K]
        whiten(Y, target.means, target.inverse, Z)
        responsibilities(value, target.peaks, Y, logs)
        write_score(score, target.inverse, logs, Y)

    @ops.entries
    def whiten(r, s, Y, means, inverse, Z):
        """y_k = (z - m_k)/s_k."""
        d = Z.shape[0]
        k, i = r // d, r % d
        Y[r, s] = (Z[i, s] - means[k, i]) * inverse[k, i]

    @ops.entries
    def write_score(i, s, score, inverse, logs, Y):
        """score <- -sum_k r_k y_k/s_k."""
        d = score.shape[0]
        total = 0.0
        for k in range(logs.shape[0]):
            total -= inverse[k, i] * logs[k, s] * Y[k * d + i, s]
        score[i, s] = total

    return log_density


@functools.cache
def dense(ops: Ops) -> Any:
    """Gaussians with any covariances, and their mixtures."""
    la = linalg(ops)
    product, product_transposed, fill = la.product, la.product_transposed, la.fill
    responsibilities = _responsibilities(ops)

    @ops.body
    def log_density(target, Z, first, m, value, score, work):
        """y_k = L_k^{-1}(z - m_k); score = -sum_k r_k L_k^{-T} y_k."""
        K, d = target.means.shape[0], target.means.shape[1]
        Y, logs = work[: K * d], work[K * d : K * d + K]
        moved = work[K * d + K : K * d + K + d]
        for k in range(K):
            move(moved, target.means, k, Z)
            product(target.inverse, k * d * d, 1, moved, Y[k * d : (k + 1) * d], False)
        responsibilities(value, target.peaks, Y, logs)
        fill(score, 0.0)
        for k in range(K):
            product_transposed(target.inverse, k * d * d, 1, Y[k * d : (k + 1) * d], moved, False)
            subtract(score, logs[k], moved)

    @ops.entries
    def move(i, s, moved, means, k, Z):
        """z - m_k."""
        moved[i, s] = Z[i, s] - means[k, i]

    @ops.entries
    def subtract(i, s, score, responsibility, moved):
        """score -= r_k L_k^{-T} y_k."""
        score[i, s] -= responsibility[s] * moved[i, s]

    return log_density


@functools.cache
def given(ops: Ops) -> Any:
    """Densities that were evaluated beforehand, where the paths end."""

    @ops.body
    def log_density(target, Z, first, m, value, score, work):
        look_up(value, target.log_density, target.score, first, m, score)

    @ops.each
    def look_up(s, value, log_densities, scores, first, m, score):
        """Looked up."""
        value[s] = log_densities[first + s] if s < m else 0.0
        for i in range(score.shape[0]):
            score[i, s] = scores[first + s, i] if s < m else 0.0

    return log_density


@functools.cache
def of_energy(ops: Ops, of: EnergyBodies) -> Any:
    """Energies that agents pay for where they end."""
    energy, energy_gradient = of
    fill = linalg(ops).fill

    @ops.body
    def log_density(target, Z, first, m, value, score, work):
        """-g and -grad g, (D87)."""
        clear(value)
        energy(target.energy, Z, value)
        turn(value)
        fill(score, 0.0)
        fill(work[:1], -1.0)
        energy_gradient(target.energy, Z, work[0], score)

    @ops.each
    def clear(s, value):
        """Energies add."""
        value[s] = 0.0

    @ops.each
    def turn(s, value):
        """-g."""
        value[s] = -value[s]

    return log_density


register("target", DiagonalTarget)(diagonal)
register("target", DenseTarget)(dense)
register("target", GivenTarget, by_sample={"log_density": 0, "score": 0})(given)
