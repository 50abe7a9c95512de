"""What came of a plan."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode._fixed import Fixed, read_only
from refode.adaptation.planner import Planned
from refode.adaptation.settings import Settings
from refode.sweeps import planning as kernel

Array = np.ndarray

#: A row a tried step.
TRIED = np.dtype(
    [
        ("t", np.float64),  # where it began
        ("h", np.float64),
        ("error", np.float64),  # in tolerances
        ("accepted", np.bool_),
        ("sample", np.int64),  # with the largest error
        ("way", np.int64),  # 0; 1 for a second set of samples, a game's y
    ]
)


class Adaptation(Fixed):
    """What came of planning a grid: ``print`` shows it as a table.

    Attributes
    ----------
    grid : (n_steps+1,)
        The times, read-only.
    n_steps : int
        How many steps the grid has: those accepted, and what halving them added.
    accepted, rejected : int
        Steps of the plan for the state.
    tried : structured array
        A row a tried step, in order: ``t``, ``h``, ``error`` (in tolerances: at most 1 where
        ``accepted``), ``accepted``, ``sample`` (with the largest error), ``way`` (0; 1 for a second
        set of samples, a game's y).
    errors : (accepted,)
        The errors of the accepted steps.
    quadratures : dict
        For each quadrature that rode along the sum over the steps of its largest estimated error;
        of those that ``error_in`` does not name too.
    halved : int
        Steps that the gradient's error added to the grid.
    gradient_error : float or None
        Estimated error of the largest entry of theta_bar on the grid, (D132); None where the
        gradient was not watched.
    evaluations, adjoint_evaluations : int
        Of the right-hand side for all samples, and of its adjoint.
    interpolant : str
        What is known of values read between the grid's points: "bounded", "not bounded", or ""
        where nobody reads any.
    settings : dict
        What was asked for.
    """

    def __init__(
        self,
        grid: Array,
        plans: list[Planned],
        quadratures: dict[str, float],
        settings: Settings,
        scheme: str,
        halved: int = 0,
        gradient_error: float | None = None,
        evaluations: int = 0,
        adjoint_evaluations: int = 0,
        interpolant: str = "",
    ) -> None:
        self.grid = read_only(np.array(grid))
        self.n_steps = len(self.grid) - 1
        self.tried = read_only(_tried(plans))
        self.accepted = int(self.tried["accepted"].sum())
        self.rejected = len(self.tried) - self.accepted
        self.errors = read_only(self.tried["error"][self.tried["accepted"]].copy())
        self.quadratures = dict(quadratures)
        self.halved, self.gradient_error = halved, gradient_error
        self.evaluations, self.adjoint_evaluations = evaluations, adjoint_evaluations
        self.interpolant, self.scheme = interpolant, scheme
        self.settings: dict[str, Any] = settings._asdict()

    def __repr__(self) -> str:
        known = "" if self.gradient_error is None else f", gradient_error={self.gradient_error:.3g}"
        return (
            f"Adaptation(n_steps={self.n_steps}, accepted={self.accepted}, "
            f"rejected={self.rejected}{known})"
        )

    def __str__(self) -> str:
        watched = self.gradient_error is not None
        lines = {
            "scheme": self.scheme,
            "rtol, atol": f"{self.settings['rtol']:g}, {self.settings['atol']:g}",
            "steps of the grid": f"{self.n_steps}",
            "accepted, rejected": f"{self.accepted}, {self.rejected}",
            "added by halving": f"{self.halved}" if watched else "gradient not watched",
            "shortest, longest step": self._lengths(),
            "largest error in tolerances": f"{self.errors.max():.3g}",
            "error of the gradient": f"{self.gradient_error:.3g}" if watched else "not estimated",
        }
        for name, error in self.quadratures.items():
            lines[f"error of {name}"] = f"{error:.3g}"
        if self.interpolant:
            lines["between the grid's points"] = self.interpolant
        lines["evaluations, of the adjoint"] = f"{self.evaluations}, {self.adjoint_evaluations}"
        width = max(map(len, lines))
        return "\n".join(f"{name.ljust(width)}  {text}" for name, text in lines.items())

    def _lengths(self) -> str:
        lengths = np.abs(np.diff(self.grid))
        return f"{lengths.min():.3g}, {lengths.max():.3g}"


def _tried(plans: list[Planned]) -> Array:
    rows = np.empty(sum(len(plan.tried) for plan in plans), TRIED)
    done = 0
    for way, plan in enumerate(plans):
        part = rows[done : done + len(plan.tried)]
        part["t"], part["h"] = plan.tried[:, kernel.STARTED], plan.tried[:, kernel.TRIED]
        part["error"], part["accepted"] = plan.tried[:, kernel.ERROR], plan.tried[:, kernel.TAKEN]
        part["sample"], part["way"] = plan.tried[:, kernel.WORST], way
        done += len(plan.tried)
    return rows
