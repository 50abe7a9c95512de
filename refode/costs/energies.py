"""Running potentials Q(x) of games: energies that agents pay for where they are.

A kernel body adds to rows of a block, feature-major, for real and complex numbers:

``energy(Q, Z, out)``
    out[s] += Q(z_s).
``energy_gradient(Q, Z, weight, Z_bar)``
    Z_bar[:, s] += weight[s] grad Q(z_s).

docs/adding_an_energy.md adds one in one small class.

Twin on the device: refode/cuda/energies.py.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refode import _validate
from refode._fixed import Fixed as Fixed
from refode._quiet import quietly
from refode.machine.compile import kernel
from refode.machine.parts import Room, entry, link

Float64 = NDArray[np.float64]


ENERGY = Room("energy")


@ENERGY.function("Mv")
def energy(Q, Z, out):
    """out[s] += Q(z_s)."""


@ENERGY.function("MvM")
def energy_gradient(Q, Z, weight, Z_bar):
    """Z_bar[:, s] += weight[s] grad Q(z_s)."""


class Energy(Fixed):
    """A running potential Q on R^d; energies add up by ``+``. Attributes are set once."""

    @abstractmethod
    def description(self) -> Any:
        """The NamedTuple whose class the kernel bodies are registered for."""

    def check_dim(self, d: int) -> None:  # noqa: B027  most energies fit all dimensions
        """Raise a ValueError that names ``obstacle`` where Q does not live on R^d."""

    @quietly()
    def value(self, x: ArrayLike) -> Float64:
        """Q at points x (N, d), (N,)."""
        Z = self._points(x)
        out = np.zeros(Z.shape[1])
        part = link(ENERGY, self.description(), float, frozenset([(energy, 0)]))
        _values.of(float)(part, Z, out)
        return out

    @quietly()
    def gradient(self, x: ArrayLike) -> Float64:
        """grad Q at points x (N, d), (N, d)."""
        Z = self._points(x)
        Z_bar = np.zeros_like(Z)
        part = link(ENERGY, self.description(), float, frozenset([(energy_gradient, 0)]))
        _gradients.of(float)(part, Z, np.ones(Z.shape[1]), Z_bar)
        return np.ascontiguousarray(Z_bar.T)

    def _points(self, x: ArrayLike) -> Float64:
        """x feature-major."""
        x = _validate.real_array("x", x, ("N", "d"))
        self.check_dim(x.shape[1])
        return np.ascontiguousarray(x.T)

    def __add__(self, other: object) -> Energy:
        if not isinstance(other, Energy):
            return NotImplemented
        return _Added(self, other)

    def __bool__(self) -> bool:
        return True


@entry([ENERGY, "M", "v"])
def _values(Q, Z, out):
    """An entry from Python."""
    energy(Q, Z, out)


@entry([ENERGY, "M", "v", "M"])
def _gradients(Q, Z, weight, Z_bar):
    """An entry from Python."""
    energy_gradient(Q, Z, weight, Z_bar)


# --- none ------------------------------------------------------------------------------------
class NothingSpec(NamedTuple):
    """No energy."""

    zero: float


@energy.register(NothingSpec)
def nothing_energy(Q, Z, out):
    """Nothing to add."""


@energy_gradient.register(NothingSpec)
def nothing_energy_gradient(Q, Z, weight, Z_bar):
    """Nothing to add."""


# --- sums ------------------------------------------------------------------------------------
class SumSpec(NamedTuple):
    """Two energies."""

    first: tuple
    second: tuple


class _Added(Energy):
    """The sum of two energies."""

    def __init__(self, first: Energy, second: Energy) -> None:
        self.first, self.second = first, second

    def description(self) -> SumSpec:
        return SumSpec(self.first.description(), self.second.description())

    def check_dim(self, d: int) -> None:
        self.first.check_dim(d)
        self.second.check_dim(d)

    def __bool__(self) -> bool:
        return bool(self.first) or bool(self.second)

    def __repr__(self) -> str:
        return f"{self.first!r} + {self.second!r}"


@energy.register(SumSpec)
def sum_energy(Q, Z, out):
    """One after the other."""
    energy(Q.first, Z, out)
    energy(Q.second, Z, out)


@energy_gradient.register(SumSpec)
def sum_energy_gradient(Q, Z, weight, Z_bar):
    """One after the other."""
    energy_gradient(Q.first, Z, weight, Z_bar)
    energy_gradient(Q.second, Z, weight, Z_bar)


# --- a Gaussian bump -------------------------------------------------------------------------
class BumpSpec(NamedTuple):
    """peak exp(-(x - m) . P (x - m)/2) on the leading coordinates."""

    peak: float
    mean: np.ndarray
    precision: np.ndarray


@kernel(cache=False)
def _bump(Q, Z, s):
    """Q(z_s)."""
    square = Z[0, s] * 0
    for i in range(Q.mean.shape[0]):
        for j in range(Q.mean.shape[0]):
            square += (Z[i, s] - Q.mean[i]) * Q.precision[i, j] * (Z[j, s] - Q.mean[j])
    return Q.peak * np.exp(-0.5 * square)


@energy.register(BumpSpec)
def bump_energy(Q, Z, out):
    """[1] q = (x - m) . P (x - m), [2] Q = peak exp(-q/2)."""
    for s in range(out.shape[0]):
        out[s] += _bump(Q, Z, s)


@energy_gradient.register(BumpSpec)
def bump_energy_gradient(Q, Z, weight, Z_bar):
    """grad Q = -Q P (x - m)."""
    for s in range(weight.shape[0]):
        factor = -weight[s] * _bump(Q, Z, s)
        for i in range(Q.mean.shape[0]):
            for j in range(Q.mean.shape[0]):
                Z_bar[i, s] += factor * Q.precision[i, j] * (Z[j, s] - Q.mean[j])


# --- a quadratic -----------------------------------------------------------------------------
class QuadraticSpec(NamedTuple):
    """k/2 |x - q|^2; q has one entry, for all coordinates, or d."""

    k: float
    q: np.ndarray


@energy.register(QuadraticSpec)
def quadratic_energy(Q, Z, out):
    """k/2 |x - q|^2."""
    for i in range(Z.shape[0]):
        q = Q.q[i if Q.q.shape[0] > 1 else 0]
        for s in range(out.shape[0]):
            out[s] += 0.5 * Q.k * (Z[i, s] - q) * (Z[i, s] - q)


@energy_gradient.register(QuadraticSpec)
def quadratic_energy_gradient(Q, Z, weight, Z_bar):
    """k (x - q)."""
    for i in range(Z.shape[0]):
        q = Q.q[i if Q.q.shape[0] > 1 else 0]
        for s in range(weight.shape[0]):
            Z_bar[i, s] += weight[s] * Q.k * (Z[i, s] - q)
