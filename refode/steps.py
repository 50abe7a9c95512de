"""Where a solver steps: equal steps, or times of one's own."""

from refode.ode.steps import Equal, Given, Steps, described, of, resolved

__all__ = [
    "Equal",
    "Given",
    "Steps",
    "described",
    "of",
    "resolved",
]
