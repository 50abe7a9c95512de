"""The former place of refode.sweeps.game_dynamics."""

from refode.sweeps.game_dynamics import (
    Derivatives,
    derivatives_slope,
    derivatives_slope_adjoint,
    game_slope,
    game_slope_adjoint,
)
from refode.sweeps.game_dynamics import GameDynamics as Game

__all__ = [
    "Derivatives",
    "Game",
    "derivatives_slope",
    "derivatives_slope_adjoint",
    "game_slope",
    "game_slope_adjoint",
]
