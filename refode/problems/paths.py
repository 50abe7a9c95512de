"""Which steps paths take, and what comes out: finite numbers, or an error that names the path."""

from __future__ import annotations

from refode.ode import steps
from refode.ode.finite import all_finite as all_finite
from refode.ode.neural_ode import NeuralODE


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
