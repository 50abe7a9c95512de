"""torchdiffeq with equal steps: ``odeint``, ``odeint_adjoint``, and rk4 taken by its name.

``refode check validation.models.adapters.torch_diffeq:odeint``, or ``:odeint_adjoint``, ``:naive``.
torchdiffeq's ``rk4`` is Kutta's 3/8 rule; ``naive`` takes it for the classical scheme, as its
name suggests. Where theta(t) jumps, every step is a call of its own: a stage at a step's end
would be evaluated with the next cell's weights otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torchdiffeq

from refode.check.protocol import Skip

from .grid import jumps, steps
from .torch_problems import Path, Problems, Slope, Tensor, Theta

#: Schemes of the cases by torchdiffeq's names.
METHODS = {"euler": "euler", "midpoint": "midpoint", "heun": "heun2", "rk4_38": "rk4"}


class TorchDiffEq(Problems):
    """``odeint`` on the case's grid; ``methods`` translates the names of schemes."""

    def __init__(self, methods: dict[str, str], adjoint: bool = False) -> None:
        self.methods, self.adjoint, self.twice = methods, adjoint, not adjoint

    def solve(
        self, case: Any, slope: Slope, start: Tensor, along: tuple[float, float], theta: Theta
    ) -> Path:
        """One call, or one a step where the weights jump."""
        method = self.methods.get(case.scheme.name)
        if method is None:
            raise Skip(f"torchdiffeq has no {case.scheme.name} with equal steps")
        grid = steps(case, along)
        times = torch.tensor([*(step.t for step in grid), along[1]], dtype=self.dtype)
        if not jumps(case):
            return Path(list(self._odeint(slope, 0, start, times, method, theta)))
        states = [start]
        for n, step in enumerate(grid):
            ends = times[n : n + 2]
            states.append(self._odeint(slope, step.cell, states[-1], ends, method, theta)[-1])
        return Path(states)

    def _odeint(
        self, slope: Slope, cell: int, y: Tensor, times: Tensor, method: str, theta: Theta
    ) -> Tensor:
        def func(t: Tensor, y: Tensor) -> Tensor:
            return slope(t, cell, y)

        run: Callable[..., Tensor] = torchdiffeq.odeint
        how: dict[str, Any] = {"method": method}
        if self.adjoint:
            run = torchdiffeq.odeint_adjoint
            how["adjoint_params"] = tuple(theta.values())
        return run(func, y, times, **how)  # without a step size its grid is ``times``


odeint = TorchDiffEq(METHODS)
odeint_adjoint = TorchDiffEq(METHODS, adjoint=True)
naive = TorchDiffEq({**METHODS, "rk4": "rk4"})
