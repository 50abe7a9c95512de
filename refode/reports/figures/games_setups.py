"""The published games of [ROL+20], how they are trained, and what follows their costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refode import games
from refode.densities import Gaussian, GaussianMixture
from refode.fields import Potential
from refode.problems.game import MeanFieldGame

Array = np.ndarray
VARIANCE, RADIUS, HEIGHT = 0.3, 4.0, 3.0
WIDTH = 16


class Setup(NamedTuple):
    """A published game, how it is trained, and functions of x with mean 0 that follow its cost."""

    name: str
    game: games.Game
    n_samples: int
    n_steps: int
    hjb: float
    hjb_terminal: float
    iterations: int
    spread: float  # of the first layer's weights at the start, 0 for the published start
    controls: Callable[[Array], Array]

    def start(self, seed: int = 0) -> Array:
        """Theta to start from.

        The published one is so near to a quadratic Phi that for hundreds of iterations a crowd
        goes straight through the obstacle. With a spread the units differ from the start, in
        the coordinates that the obstacle has, and in time.
        """
        problem, rng = self.problem(), np.random.default_rng(seed)
        arrays = {name: a.copy() for name, a in problem.unpack(problem.initial(seed)).items()}
        if self.spread:
            draw = self.spread * rng.standard_normal((WIDTH, 3))
            arrays["K0"][:, [0, 1, -1]] = draw
            arrays["b0"][:] = self.spread * rng.standard_normal(WIDTH)
            arrays["K1"][:] = 0.3 * self.spread * rng.standard_normal((WIDTH, WIDTH))
        return problem.pack(arrays)

    def problem(self, n_steps: int | None = None, width: int = WIDTH) -> MeanFieldGame:
        """The game with the published network and weights."""
        potential = Potential(self.game.dim, width, quadratic="symmetric")
        n_steps = self.n_steps if n_steps is None else n_steps
        return MeanFieldGame(potential, self.game, self.hjb, self.hjb_terminal, n_steps=n_steps)


def transport(dim: int = 2, n_samples: int = 48**2) -> Setup:
    """Transport from eight Gaussians around the origin to one there; the rest of x stays."""
    angles, means = np.arange(8) * np.pi / 4.0, np.zeros((8, dim))
    means[:, 0], means[:, 1] = RADIUS * np.cos(angles), RADIUS * np.sin(angles)
    start = GaussianMixture(np.full(8, 0.125), means, VARIANCE)
    end = Gaussian(np.zeros(dim), VARIANCE)
    game = games.optimal_transport(start, end, alpha=2.0, terminal=5.0)
    return Setup("transport", game, n_samples, 2, 3.0, 3.0, 500, 0.0, _powers_of_radius)


def crowd(dim: int = 2, n_samples: int = 48**2) -> Setup:
    """A crowd that goes from one side of an obstacle to the other, in the first two coordinates."""
    up = HEIGHT * np.eye(dim)[1]
    game = games.crowd_motion(
        Gaussian(up, VARIANCE),
        Gaussian(-up, VARIANCE),
        alpha=1.0,
        obstacle=games.GaussianBump(50.0, [0.0, 0.0], [1.0, 0.5]),
        entropy=0.01,
        terminal=5.0,
    )
    return Setup("crowd", game, n_samples, 4, 20.0, 1.0, 900, 1.0, _powers_of_offset)


def _powers_of_radius(x: Array) -> Array:
    """q, q^2, q^3 less their means, q = r^2/variance: a noncentral chi^2 of two degrees."""
    centre = RADIUS**2 / VARIANCE
    k1, k2, k3 = 2.0 + centre, 2.0 * (2.0 + 2.0 * centre), 8.0 * (2.0 + 3.0 * centre)
    q = np.sum(x[:, :2] ** 2, axis=1) / VARIANCE
    means = k1, k2 + k1**2, k3 + 3.0 * k1 * k2 + k1**3  # moments from cumulants
    return np.column_stack([(q**n - m) / k1**n for n, m in enumerate(means, start=1)])


def _powers_of_offset(x: Array) -> Array:
    """Powers of the first two coordinates' distance from their means, less theirs."""
    a, b = x[:, 0], x[:, 1] - HEIGHT
    fourth = 3.0 * VARIANCE**2
    return np.column_stack(
        [b, a**2 - VARIANCE, b**2 - VARIANCE, b * (a**2 - VARIANCE), b**3, a**4 - fourth]
    )
