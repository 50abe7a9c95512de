"""Plain PyTorch: Runge-Kutta and symplectic steps in a Python loop, autograd for the rest.

``refode check validation.models.adapters.torch_plain:float64``, or ``:float32``, ``:bfloat16``.
"""

from __future__ import annotations

from typing import Any

import torch

from .grid import Step, steps
from .torch_problems import Path, Problems, Slope, Tensor, Theta


class Plain(Problems):
    """The loop, in one precision throughout."""

    def __init__(self, precision: str) -> None:
        self.precision, self.dtype = precision, getattr(torch, precision)

    def solve(
        self, case: Any, slope: Slope, start: Tensor, along: tuple[float, float], theta: Theta
    ) -> Path:
        """Every step of the case's scheme, from its coefficients."""
        path = Path([start])
        for step in steps(case, along):
            if case.scheme.symplectic:
                path.states.append(_substeps(case.scheme, slope, path.states[-1], step))
            else:
                _runge_kutta(case.scheme, slope, path, step)
        return path


def _runge_kutta(scheme: Any, slope: Slope, path: Path, step: Step) -> None:
    y, record, slopes = path.states[-1], [], []
    for row, c in zip(scheme.A, scheme.c, strict=True):
        t, stage = step.t + c * step.h, _moved(y, step.h, row, slopes)
        slopes.append(slope(t, step.cell, stage))
        record.append((t, step.cell, stage, slopes[-1]))
    path.stages.append(record)
    path.states.append(_moved(y, step.h, scheme.b, slopes))


def _moved(y: Tensor, h: float, row: Any, slopes: list[Tensor]) -> Tensor:
    for a, k in zip(row, slopes, strict=False):
        if a:
            y = y + float(h * a) * k
    return y


def _substeps(scheme: Any, slope: Slope, y: Tensor, step: Step) -> Tensor:
    for half, b, c in zip(scheme.half, scheme.b, scheme.c, strict=True):
        halves = list(y.chunk(2, dim=1))
        k = slope(step.t + c * step.h, step.cell, y).chunk(2, dim=1)[half]
        halves[half] = halves[half] + float(b * step.h) * k
        y = torch.cat(halves, dim=1)
    return y


float64 = Plain("float64")
float32 = Plain("float32")
bfloat16 = Plain("bfloat16")
