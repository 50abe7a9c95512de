"""The former place of refode.ode.neural_ode."""

from refode._scaling import TINY
from refode.ode.neural_ode import NeuralODE
from refode.ode.plan import SYMPLECTIC, Plan

__all__ = [
    "NeuralODE",
    "Plan",
    "SYMPLECTIC",
    "TINY",
]
