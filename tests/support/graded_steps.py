"""What tests of steps share: a grid of unequal steps, and what is solved on it."""

from __future__ import annotations

import numpy as np

import refode
from refode import bases, fields

GRADED = [-0.2, -0.17, 0.1, 0.3, 0.95, 1.3]  # no two steps equal
TIMED = fields.Shallow(2, 3, time=True)
LINEAR, CELLS = bases.PiecewiseLinear(2), bases.PiecewiseConstant(3)
POTENTIAL = fields.Potential(dim=2, width=3)
NORMAL = refode.densities.Gaussian([0.0, 0.0], 1.0)
GAME = refode.games.crowd_motion(
    NORMAL, refode.densities.Gaussian([0.5, 0.0], 0.8), alpha=1.5, entropy=0.1
)


def drawn(ode, n=4, seed=0):
    """theta, x, and the generator."""
    rng = np.random.default_rng(seed)
    theta = 0.8 * rng.standard_normal(ode.n_parameters)
    return theta, rng.standard_normal((n, ode.dim)), rng
