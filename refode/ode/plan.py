"""A sweep's plan: where it steps, and the weights that its stages read there."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from refode import _validate, tableaus
from refode._fixed import read_only
from refode._products import product
from refode.bases import Basis
from refode.fields.contract import Field
from refode.ode.steps import Steps
from refode.sweeps.runge_kutta import RungeKutta
from refode.sweeps.sweep import Grid
from refode.sweeps.symplectic import Partitioned

Array = np.ndarray

# name: (which half moves, fraction of h, at which fraction of the step)
SYMPLECTIC = {
    "verlet": ([1, 0], [1.0, 1.0], [0.0, 1.0]),
    "stormer_verlet": ([1, 0, 1], [0.5, 1.0, 0.5], [0.0, 0.5, 1.0]),
}


class Plan(NamedTuple):
    """A time grid with the weights that its stages read."""

    scheme: Any
    grid: Grid
    s: Array  # normalised time of each slot, within the ode's own t_span
    along: Array  # the same within the interval integrated over
    shares: tuple[Array, Array]  # of each step's start and length in it
    P: Any
    dP: Any
    identity: bool


def scheme_of(scheme: str | tableaus.Tableau, field: Field) -> tuple[str, Any]:
    """Name and kernel description of a scheme."""
    if isinstance(scheme, tableaus.Tableau):
        return scheme.name, read_only(RungeKutta(*scheme.propagating().as_floats()))
    known = tableaus.names() + (tuple(SYMPLECTIC) if field.partitioned else ())
    name = _validate.choice("scheme", scheme, known)
    if name in SYMPLECTIC:
        which, b, c = SYMPLECTIC[name]
        return name, read_only(Partitioned(np.array(which), np.array(b), np.array(c)))
    return name, _explicit(name)


@functools.cache  # fractions take their time, and an ode with other steps is made in no time
def _explicit(name: str) -> RungeKutta:
    return read_only(RungeKutta(*tableaus.get(name).propagating().as_floats()))


def planned(
    steps: Steps, basis: Basis, scheme: Any, home: tuple[float, float], span: tuple[float, float]
) -> Plan:
    """The plan of steps over an interval, theta(t) living on ``home``."""
    t0, T = span
    nodes, h = steps.nodes((t0, T)), steps.sizes((t0, T))
    start, length = home[0], home[1] - home[0]
    # from the start on: differences of late times would have the digits of what is late
    s = steps.since(start, span) / length
    table = basis._stages(s[:-1], s[1:], scheme.c, "t_span")
    P, dP = table.P, table.dP
    if P.shape[0] * P.shape[1] <= 4096:  # small: dense products are quicker
        P, dP = P.toarray(), dP.toarray()
    # as many slots as coefficients: the first cells alone are an identity's upper rows
    identity = isinstance(P, np.ndarray) and np.array_equal(P, np.eye(P.shape[1]))
    along = (table.s * length - (t0 - start)) / (T - t0)
    grid = Grid(nodes[:-1].copy(), h, table.slots)
    return read_only(Plan(scheme, grid, table.s, along, steps.shares(span), P, dP, identity))


def ends_bar(
    plan: Plan, length: float, time_bar: Array, weights_bar: Array, coefficients: Array
) -> Array:
    """Cotangent of (t0, T), eq. (D24): t_n = t0 + alpha_n (T - t0), h_n = w_n (T - t0).

    ``length`` is that of the interval on which theta(t) lives, ``coefficients`` its theta as
    (J, n_weights).
    """
    alpha, w = plan.shares
    t_bar, h_bar = time_bar[:, 0], (w * time_bar[:, 1]).sum()
    ends = np.array([((1 - alpha) * t_bar).sum() - h_bar, (alpha * t_bar).sum() + h_bar])
    theta_dot = product(plan.dP, coefficients)  # theta' at every slot
    slot_bar = (theta_dot * weights_bar).sum(axis=1) / length
    return ends + np.array([((1 - plan.along) * slot_bar).sum(), (plan.along * slot_bar).sum()])
