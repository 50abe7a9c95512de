"""The former place of refode.closed_forms.games."""

from refode.closed_forms.games import MAX_NEWTON, NODES, RESOLVED, LinearQuadraticGame, lq_game

__all__ = [
    "LinearQuadraticGame",
    "MAX_NEWTON",
    "NODES",
    "RESOLVED",
    "lq_game",
]
