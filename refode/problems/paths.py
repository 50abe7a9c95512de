"""Which steps paths take, and what comes out: finite numbers, or an error that names the path."""

from __future__ import annotations

import numpy as np

from refode.ode import steps
from refode.ode.neural_ode import NeuralODE

Array = np.ndarray


def all_finite(name: str, result: Array) -> Array:
    """The result, samples first; ValueError with the first whose path did not stay finite."""
    good = np.isfinite(result).reshape(len(result), -1).all(axis=1)
    if not good.all():
        raise ValueError(
            f"{name}: got sample {int(np.argmin(good))}, whose path leaves the finite range "
            f"({int((~good).sum())} of {len(good)} do); wanted paths that stay finite "
            "(more steps, or smaller weights)"
        )
    return result


def kept_with(
    kept: dict[steps.Steps, NeuralODE], ode: NeuralODE, n_steps: int | steps.Steps | None
) -> NeuralODE:
    """The ode with other steps; its own where ``n_steps`` is None. Kept for the next call."""
    wanted = ode.steps if n_steps is None else steps.of(n_steps)
    if wanted == ode.steps:
        return ode
    found = kept.get(wanted)
    if found is None:
        if len(kept) > 8:
            kept.clear()
        found = kept.setdefault(wanted, ode.with_steps(wanted))
    return found
