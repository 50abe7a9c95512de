"""How good predictions are, in one number."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def r_squared(residuals: Array, targets: Array) -> float:
    """R^2 of each output (N, m), and their mean; ValueError where an output's targets agree."""
    constant = targets.min(axis=0) == targets.max(axis=0)
    if constant.any():
        raise ValueError(
            f"y: got {targets[0, constant][0]} in all of output {int(constant.argmax())}, wanted "
            "targets that differ (R^2 compares with their variance)"
        )
    away = targets - targets.mean(axis=0)
    unit = np.abs(away).max(axis=0)  # so that no square overflows
    total = ((away / unit) ** 2).sum(axis=0)
    return float((1.0 - ((residuals / unit) ** 2).sum(axis=0) / total).mean())
