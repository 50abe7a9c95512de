"""The former place of refode.ode.evaluate."""

from refode.ode.evaluate import (
    TINY,
    adjoint,
    jacobian,
    potential,
    potential_adjoint,
    potential_tangent,
    tangent,
    trace,
    value,
)

__all__ = [
    "TINY",
    "adjoint",
    "jacobian",
    "potential",
    "potential_adjoint",
    "potential_tangent",
    "tangent",
    "trace",
    "value",
]
