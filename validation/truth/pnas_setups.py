"""The games of [ROL+20] in 2, 10, 50 and 100 dimensions: set-ups, plans of training, truth.

Densities, costs and network are in refode.reports.figures.games_setups; here is what depends on the
dimension. Both games are one in the plane times the same simple one in every further coordinate,
so that the plane's optimum is known to be the optimum everywhere, but for a number that is known
too.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from refode.closed_forms import lq_game
from refode.reports.figures import games_setups
from refode.reports.figures.games_setups import Setup
from validation.truth.transport_optimum import optimum

DIMS = (2, 10, 50, 100)
KINDS = ("transport", "crowd")
#: Samples as published.
SAMPLES = {
    "transport": dict(zip(DIMS, (48**2, 80**2, 128**2, 192**2), strict=True)),
    "crowd": dict(zip(DIMS, (48**2, 80**2, 96**2, 112**2), strict=True)),
}
MAKERS = {"transport": games_setups.transport, "crowd": games_setups.crowd}


class Phase(NamedTuple):
    """A part of training: samples are redrawn every so many iterations."""

    n_steps: int
    n_samples: int
    every: int
    iterations: int


def setup(kind: str, dim: int) -> Setup:
    """The published game."""
    return MAKERS[kind](dim, SAMPLES[kind][dim])


def plan(kind: str, dim: int, quick: bool = False) -> tuple[Phase, ...]:
    """How a game is trained: in many dimensions on few samples first, the published number last.

    Too few for too long are overfitted: in 100 dimensions 300 iterations on 1024 samples gave a
    J more than twice the optimum.
    """
    n, steps = SAMPLES[kind][dim], setup(kind, dim).n_steps
    if quick:
        return (Phase(steps, min(n, 48**2), 50, 60),)
    if kind == "crowd":  # it takes longer to find the way around
        if dim <= 2:
            return (Phase(steps, n, 50, 900),)
        return (Phase(steps, 64**2, 50, 400), Phase(steps, n, 50, 600 if dim > 50 else 200))
    if dim <= 2:
        return (Phase(steps, n, 50, 900),)
    if dim <= 10:
        return (Phase(steps, 48**2, 25, 200), Phase(steps, n, 50, 300))
    return (Phase(steps, 64**2, 25, 250), Phase(steps, 8192, 50, 100), Phase(steps, n, 50, 50))


def further(kind: str, dim: int) -> float:
    """Cost at the optimum of the coordinates beyond the second, together.

    In the crowd's game they are a game each of their own, from N(0, 0.3) to itself with the
    entropy alone: the entropy of a product is the sum of entropies, and of all densities with
    given marginals the product has the least int rho log rho and the least divergence from a
    product.
    """
    if kind == "transport":
        return 0.0
    game, s = setup(kind, dim).game, math.sqrt(games_setups.VARIANCE)
    one = lq_game(game.alpha, game.entropy, 0.0, 0.0, game.terminal, 0.0, s, 0.0, s)
    return (dim - 2) * one.total


def truth(kind: str) -> tuple[float, float] | None:
    """Bounds of the optimum in the plane, None where nobody knows it."""
    return optimum() if kind == "transport" else None
