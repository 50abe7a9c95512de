"""The former place of refode.problems.agents."""

from refode.problems.agents import Controlled, Started, constant, quietly, with_zero

__all__ = [
    "Controlled",
    "Started",
    "constant",
    "quietly",
    "with_zero",
]
