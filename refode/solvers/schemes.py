"""The former place of what is in refode.sweeps."""

from refode.sweeps.contract import step, step_adjoint, undo
from refode.sweeps.runge_kutta import (
    Evaluate,
    RungeKutta,
    evaluate_step,
    evaluate_step_adjoint,
    evaluate_undo,
    runge_kutta_step,
    runge_kutta_step_adjoint,
    runge_kutta_undo,
)
from refode.sweeps.symplectic import (
    Partitioned,
    partitioned_step,
    partitioned_step_adjoint,
    partitioned_undo,
)

__all__ = [
    "Evaluate",
    "Partitioned",
    "RungeKutta",
    "evaluate_step",
    "evaluate_step_adjoint",
    "evaluate_undo",
    "partitioned_step",
    "partitioned_step_adjoint",
    "partitioned_undo",
    "runge_kutta_step",
    "runge_kutta_step_adjoint",
    "runge_kutta_undo",
    "step",
    "step_adjoint",
    "undo",
]
