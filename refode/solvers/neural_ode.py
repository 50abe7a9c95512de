"""The former place of refode.ode.neural_ode."""

from refode._scaling import TINY
from refode.ode.neural_ode import SYMPLECTIC, NeuralODE
from refode.ode.plan import Plan

__all__ = [
    "NeuralODE",
    "Plan",
    "SYMPLECTIC",
    "TINY",
]
