"""The former place of refode.ode.neural_ode."""

from refode.ode.neural_ode import SYMPLECTIC, TINY, NeuralODE, Plan

__all__ = [
    "NeuralODE",
    "Plan",
    "SYMPLECTIC",
    "TINY",
]
