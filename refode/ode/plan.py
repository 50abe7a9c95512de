"""A sweep's plan: where it steps, and the weights that its stages read there."""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple

import numpy as np

from refode import _validate, tableaus
from refode._fixed import read_only
from refode._products import product
from refode.bases import Basis
from refode.fields.contract import Field, rows_of
from refode.fields.jacobians import provide
from refode.ode.steps import Steps
from refode.sweeps.implicit import Implicit
from refode.sweeps.reversible import Reversible
from refode.sweeps.rosenbrock import Rosenbrock
from refode.sweeps.runge_kutta import RungeKutta
from refode.sweeps.sweep import Grid
from refode.sweeps.symplectic import Partitioned

Array = np.ndarray

# name: (which half moves, fraction of h, at which fraction of the step)
SYMPLECTIC = {
    "verlet": ([1, 0], [1.0, 1.0], [0.0, 1.0]),
    "stormer_verlet": ([1, 0, 1], [0.5, 1.0, 0.5], [0.0, 0.5, 1.0]),
}
#: What holds the two states of a reversible coupling together, where nothing else is said.
COUPLING = 0.999
_REVERSIBLE = re.compile(r"reversible\(\s*(\w+)\s*(?:,\s*([^\s,()]+)\s*)?\)")


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
    backwards: bool = False  # of learned steps: whether they are gone through from the last one on
    steps: Any = None  # of learned steps: what theta makes of them, in its order


def scheme_of(scheme: str | tableaus.Tableau, field: Field) -> tuple[str, Any]:
    """Name and kernel description of a scheme."""
    if isinstance(scheme, str) and scheme.startswith("reversible"):
        return _reversible(scheme)
    if not isinstance(scheme, tableaus.Tableau):
        known = tableaus.names() + (tuple(SYMPLECTIC) if field.partitioned else ())
        name = _validate.choice("scheme", scheme, known)
        if name in SYMPLECTIC:
            which, b, c = SYMPLECTIC[name]
            return name, read_only(Partitioned(np.array(which), np.array(b), np.array(c)))
        if name in tableaus.names("explicit"):
            return name, _explicit(name)
        scheme = tableaus.get(name)
    scheme = scheme.propagating()
    if isinstance(scheme, tableaus.ImplicitTableau):
        return scheme.name, read_only(_implicit(scheme, field))
    if isinstance(scheme, tableaus.RosenbrockTableau):
        return scheme.name, read_only(_rosenbrock(scheme, field))
    return scheme.name, read_only(RungeKutta(*scheme.as_floats()))


@functools.cache  # fractions take their time, and an ode with other steps is made in no time
def _explicit(name: str) -> RungeKutta:
    return read_only(RungeKutta(*tableaus.get(name).propagating().as_floats()))


def _reversible(scheme: str) -> tuple[str, Reversible]:
    """The coupling that "reversible(rk4)" or "reversible(rk4, 0.99)" names."""
    found = _REVERSIBLE.fullmatch(scheme)
    explicit = tableaus.names("explicit")
    if found is None or found[1] not in explicit:
        raise ValueError(
            f"scheme: got {_validate.short(scheme)}, wanted 'reversible(NAME)' or "
            f"'reversible(NAME, 0.99)' with one of {', '.join(explicit)}"
        )
    try:
        coupling = COUPLING if found[2] is None else float(found[2])
    except ValueError:
        coupling = 0.0
    if not 0.0 < coupling <= 1.0:
        raise ValueError(
            f"scheme: got {_validate.short(scheme)}, wanted a coupling above 0 and at most 1, near "
            "1 for long paths"
        )
    A, b, c = _explicit(found[1])
    name = f"reversible({found[1]})"
    if coupling != COUPLING:
        name = f"reversible({found[1]}, {coupling!r})"
    return name, read_only(Reversible(A, b, np.concatenate([c, 1.0 - c]), coupling))


def is_implicit(scheme: Any) -> bool:
    """Whether a description is of a scheme that solves systems, and reads Jacobians."""
    return isinstance(scheme, Implicit | Rosenbrock)


def _implicit(tableau: tableaus.ImplicitTableau, field: Field) -> Implicit:
    """An implicit tableau with the field's sizes; no samples yet whose failures it could note."""
    A, b, c = tableau.as_floats()
    c = np.concatenate([c[:1], c])
    provide(field.description())
    scratch = max(rows_of(field, False)[1], 1)
    n = field.dim * (1 if tableau.one_by_one else tableau.n_stages)  # unknowns of a system
    _validate.affordable("scheme", tableau.name, 16 * n * (field.dim * field.block() + n))
    nobody = np.zeros(0, dtype=np.int64)
    return Implicit(A, b, c, tableau.one_by_one, tableau.ends, field.dim, scratch, nobody)


def _rosenbrock(tableau: tableaus.RosenbrockTableau, field: Field) -> Rosenbrock:
    """The method ros2, for any gamma; others have no kernel."""
    gamma = tableau.G[0][0]
    wanted = tableaus.get("ros2")
    G: Any = ((gamma, 0), (-2 * gamma, gamma))
    found = tableau.A, tableau.b, tableau.c, tableau.G
    if found != (wanted.A, wanted.b, wanted.c, G):
        raise ValueError(
            f"scheme: got the Rosenbrock method {tableau.name!r}, wanted 'ros2', or its table with "
            "another gamma"
        )
    d = field.dim
    _validate.affordable("scheme", tableau.name, 32 * d * d * (field.block() + 1))
    provide(field.description())
    tape, scratch = (max(n, 1) for n in rows_of(field, False))
    _, _, c = tableau.as_floats()
    return Rosenbrock(float(gamma), c, field.description(), d, tape, scratch)


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
