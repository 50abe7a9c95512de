"""The former place of refode.problems.game."""

from refode.problems.game import NORMS, TERMS, MeanFieldGame

__all__ = [
    "MeanFieldGame",
    "NORMS",
    "TERMS",
]
