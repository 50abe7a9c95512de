"""What SciPy varies: theta itself, or xi with theta = origin + S xi and S S^T = H.

SciPy's L-BFGS-B begins with the identity and cannot be told otherwise. In the variables xi the
identity is H, so that curvature known from before is carried over, (D51)-(D54).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np

from refode._products import dot, norm
from refode.training.records import Float64

Pair = tuple[Float64, Float64]  # steps s and changes of the gradient y


class Variables(Protocol):
    """How the optimiser's vector and theta are related."""

    @property
    def start(self) -> Float64:
        """The optimiser's vector to begin with."""

    def theta(self, xi: Float64) -> Float64:
        """Theta at the optimiser's vector."""

    def pull_back(self, gradient: Float64) -> Float64:
        """The gradient by xi from the one by theta."""


class Unscaled(NamedTuple):
    """Theta itself."""

    start: Float64

    def theta(self, xi: Float64) -> Float64:
        """Theta at the optimiser's vector."""
        return xi

    def pull_back(self, gradient: Float64) -> Float64:
        """The gradient by xi from the one by theta."""
        return gradient


class Preconditioned(NamedTuple):
    """Theta = origin + scale S xi.

    The scale is |S^T g|, g the gradient at the origin: SciPy's first step has length one, and
    so becomes -H g, as it would be within a run, (D54).
    """

    origin: Float64
    factor: ProductForm
    scale: float

    @classmethod
    def at(cls, origin: Float64, gradient: Float64, factor: ProductForm) -> Preconditioned:
        """Around `origin`, where the gradient is `gradient`."""
        scale = norm(factor.transposed(gradient))
        return cls(origin, factor, scale or 1.0)

    @property
    def start(self) -> Float64:
        """The optimiser's vector to begin with."""
        return np.zeros_like(self.origin)

    def theta(self, xi: Float64) -> Float64:
        """Theta at the optimiser's vector."""
        return self.origin + self.factor.times(self.scale * xi)

    def pull_back(self, gradient: Float64) -> Float64:
        """The gradient by xi from the one by theta."""
        return self.scale * self.factor.transposed(gradient)


class ProductForm:
    """A factor S of the L-BFGS inverse Hessian H = S S^T, as a product, (D53).

    S = F_M ... F_1 sqrt(gamma) with F_i = I - s_i w_i^T, an O(p M) product each way.

    Parameters
    ----------
    pairs : iterable of ((p,), (p,))
        M >= 1 steps s and changes of the gradient y with s^T y > 0, oldest first.

    Notes
    -----
    gamma = s^T y/y^T y of the newest pair, as in SciPy. The w take O(p M^2) once.
    """

    def __init__(self, pairs: Iterable[Pair]) -> None:
        pairs = list(pairs)
        s, y = pairs[-1]
        self.gamma = float(dot(s, y)) / float(dot(y, y))
        self.s = np.array([s for s, _ in pairs])
        self.w = np.zeros_like(self.s)
        known: list[tuple[Float64, Float64, float, float]] = []  # y, B s, s^T y, s^T B s
        for i, (s, y) in enumerate(pairs):
            b = s / self.gamma  # B s by the pairs so far, (D52)
            for y_j, b_j, sy_j, sbs_j in known:
                b += y_j * (float(dot(y_j, s)) / sy_j) - b_j * (float(dot(b_j, s)) / sbs_j)
            sy, sbs = float(dot(s, y)), float(dot(s, b))
            if not sbs > 0.0:  # H is singular to rounding: the pair is left out
                continue
            self.w[i] = y / sy - b / np.sqrt(sy * sbs)
            known.append((y, b, sy, sbs))

    def times(self, v: Float64) -> Float64:
        """S v, (p,)."""
        v = np.sqrt(self.gamma) * v
        for s, w in zip(self.s, self.w, strict=True):
            v -= s * float(dot(w, v))
        return v

    def transposed(self, g: Float64) -> Float64:
        """S^T g, (p,)."""
        g = g.copy()
        for s, w in zip(self.s[::-1], self.w[::-1], strict=True):
            g -= w * float(dot(s, g))
        return np.sqrt(self.gamma) * g


def curved(s: Float64, y: Float64) -> bool:
    """Whether a pair shows curvature above rounding, by SciPy's own rule."""
    return bool(float(dot(s, y)) > np.finfo(float).eps * float(dot(y, y)))
