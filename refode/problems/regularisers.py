"""Tikhonov's penalty and the smoothness of theta(t), which all problems share."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode import _validate
from refode._fixed import Fixed
from refode._products import dot
from refode.ode.neural_ode import NeuralODE

Array = np.ndarray


class Regulariser(Fixed):
    """tikhonov/2 |theta|^2 + smoothness/2 int |theta'|^2 dt, eqs. (D35), (D36).

    Parameters
    ----------
    ode : NeuralODE
        Whose weights stand first in theta; the smoothness is theirs alone.
    tikhonov, smoothness : float
        Weights of the two, not negative.
    """

    def __init__(self, ode: NeuralODE, tikhonov: float, smoothness: float) -> None:
        self.ode = ode
        self.tikhonov = _validate.nonnegative("tikhonov", tikhonov)
        self.smoothness = _validate.nonnegative("smoothness", smoothness)
        self._stiffness: Any = None
        if self.smoothness:
            ode._check_fixed_steps("fixed ones, and cells of equal length", "smoothness")
            self._stiffness = ode.basis.stiffness() / abs(ode.t_span[1] - ode.t_span[0])

    def __call__(self, theta: Array) -> tuple[Any, Array]:
        """Value and gradient; quadratic in theta, real or complex."""
        gradient = np.zeros_like(theta)
        if not (self.tikhonov or self.smoothness):
            return 0.0, gradient
        if self.tikhonov:
            gradient += self.tikhonov * theta
        if self.smoothness:
            self._add_roughness(theta, gradient)
        return 0.5 * dot(theta, gradient), gradient

    def matrix(self, p: int) -> Array:
        """The Hessian (p, p) of the two, which is the same everywhere."""
        if not self.smoothness:
            return self.tikhonov * np.eye(p)
        return np.array([self(unit)[1] for unit in np.eye(p)])

    def terms(self, theta: Array) -> dict[str, float]:
        """The two values by name, theta real."""
        roughness = np.zeros_like(theta)
        if self.smoothness:
            self._add_roughness(theta, roughness)
        squares = float(dot(theta, theta)) if self.tikhonov else 0.0  # may overflow
        return {
            "tikhonov": 0.5 * self.tikhonov * squares,
            "smoothness": 0.5 * float(dot(theta, roughness)),
        }

    def _add_roughness(self, theta: Array, gradient: Array) -> None:
        J = self.ode.basis.n_coefficients
        for place in self.ode.layout.slices.values():
            block = self._stiffness @ theta[place].reshape(J, -1)
            gradient[place] += self.smoothness * block.ravel()


class Regularised(Fixed):
    """A problem whose ``tikhonov`` and ``smoothness`` are its regulariser's."""

    _regulariser: Regulariser

    def _penalties(self) -> str:
        """The weights that are not zero, for ``repr``."""
        weights = {"tikhonov": self.tikhonov, "smoothness": self.smoothness}
        return "".join(f", {name}={weight}" for name, weight in weights.items() if weight)

    @property
    def tikhonov(self) -> float:
        """Weight of |theta|^2 / 2."""
        return self._regulariser.tikhonov

    @property
    def smoothness(self) -> float:
        """Weight of int |theta'|^2 dt / 2."""
        return self._regulariser.smoothness
