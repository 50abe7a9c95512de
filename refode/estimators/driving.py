"""Inputs u(t) of curves: checked, and standardised as their times and values are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refode.ode.neural_ode import NeuralODE
from refode.ode.steps import Given
from refode.problems.observations import inputs_of
from refode.problems.scaling import Scaling

Array = np.ndarray
#: A last step shorter than this part of the others is none.
NOTHING = 1e-9


class Driving(NamedTuple):
    """Times (K_u,) as X has them, and what is standardised by; values (n_series, K_u, q)."""

    times: Array
    values: Array
    scaling: Scaling

    @property
    def standard(self) -> Array:
        """Values as the field reads them."""
        return (self.values - self.scaling.shift) / self.scaling.scale


def driving_of(given: Any, n_series: int, scaling: Scaling | None = None) -> Driving | None:
    """Inputs (times, values) of so many series, (K_u, q) being enough for a single one.

    Raises
    ------
    TypeError, ValueError
        Naming ``inputs``; also other channels than those of a scaling that is given.
    """
    if given is None:
        return None
    if n_series == 1 and isinstance(given, tuple | list) and len(given) == 2:
        values = given[1]
        if np.ndim(values) == 2:
            given = given[0], np.asarray(values)[None]
    times, values = inputs_of(given, n_series)
    if scaling is None:
        return Driving(times, values, _scaling(values))
    if values.shape[2] != len(scaling.shift):
        raise ValueError(
            f"inputs: got {values.shape[2]} channels, wanted {len(scaling.shift)}, those of the fit"
        )
    return Driving(times, values, scaling)


def _scaling(values: Array) -> Scaling:
    """Each channel's mean and deviation over all series and knots; of a constant 1."""
    shift, scale = values.mean(axis=(0, 1)), values.std(axis=(0, 1))
    return Scaling(shift, np.where(scale > 0.0, scale, 1.0))


def check_reach(driving: Driving, first: float, last: float) -> None:
    """Raise a ValueError unless the inputs are known from the first time to the last."""
    start, end = driving.times[0], driving.times[-1]
    if start > first or end < last:
        raise ValueError(
            f"inputs: got times from {start} to {end}, wanted them from {first} to {last}, "
            "as far as X goes"
        )


def reaching(ode: NeuralODE, s: float, end: float) -> NeuralODE:
    """The ode with as many of its steps as get to time s, none of them beyond the inputs' end.

    The last step may be shorter, so that what is predicted does not depend on how far X goes.
    """
    n = ode.n_steps
    whole = max(n, int(np.ceil(s * n)))
    if whole / n <= end:
        return ode if whole == n else ode_on(ode, whole, whole / n)
    nodes = np.arange(int(np.floor(end * n)) + 1) / n
    if end - nodes[-1] > NOTHING / n:
        nodes = np.append(nodes, end)
    nodes[-1] = end
    return ode_on(ode, Given(nodes), end)


def ode_on(ode: NeuralODE, steps: Any, end: float) -> NeuralODE:
    """The ode on (0, end)."""
    return NeuralODE(ode.field, ode._named_scheme, steps, (0.0, end), ode.basis)
