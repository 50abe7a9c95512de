"""Fitted trajectories whose fields read inputs u(t): what sweeps go over then, (D142)."""

from __future__ import annotations

import numpy as np

from refode._shown import short
from refode.fields.driven import Driven
from refode.ode.neural_ode import NeuralODE

Array = np.ndarray
Inputs = tuple[Array, Array]


def driven_by(ode: NeuralODE, inputs: Inputs | None, name: str) -> NeuralODE:
    """The ode with a row more for inputs; itself without. ``name`` is of who gives them.

    Raises
    ------
    ValueError
        Where the field reads none, or others: no channels, other ones, not all of t_span.
    """
    q = ode.field.inputs
    if inputs is None:
        if q:
            raise ValueError(
                f"{name}: got no inputs with {short(ode.field)}, wanted u(t) as inputs=(times, "
                f"values) with {q} channels"
            )
        return ode
    knots, u = inputs
    if not q:
        raise ValueError(
            f"{name}: got inputs with a {type(ode.field).__name__} that reads none, wanted none, "
            "or a field with inputs=q"
        )
    if u.shape[2] != q:
        raise ValueError(
            f"{name}: got inputs of {u.shape[2]} channels, wanted {q}, those of the field's inputs"
        )
    low, high = sorted(ode.t_span)
    if knots[0] > low or knots[-1] < high:
        raise ValueError(
            f"{name}: got inputs from t={knots[0]} to {knots[-1]}, wanted them from {low} to "
            f"{high}, all of the ode's t_span"
        )
    return ode._like(field=Driven(ode.field, knots, u))


def start_of(ode: NeuralODE, x: Array) -> Array:
    """States at t0 as sweeps of the ode take them."""
    return ode.field.start(x) if isinstance(ode.field, Driven) else x
