"""The former place of refode.ode.neural_ode."""

from refode.ode.neural_ode import SYMPLECTIC, NeuralODE
from refode.ode.plan import Plan
from refode.ode.swept import TINY

__all__ = [
    "NeuralODE",
    "Plan",
    "SYMPLECTIC",
    "TINY",
]
