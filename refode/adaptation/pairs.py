"""Embedded pairs, as the planning kernels take them."""

from __future__ import annotations

import functools
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from refode import tableaus
from refode._fixed import read_only
from refode.ode.neural_ode import NeuralODE
from refode.tableaus import Tableau

Array = np.ndarray

#: Of dopri5's dense output of order 4, (D129): its last term is at most 1/16 of what these give.
DOPRI5_DENSE = tuple(
    map(
        Fraction,
        (
            "-12715105075/11282082432",
            "0",
            "87487479700/32700410799",
            "-10690763975/1880347072",
            "701980252875/199316789632",
            "-1453857185/822651844",
            "69997945/29380423",
        ),
    )
)


class EmbeddedPair(NamedTuple):
    """A tableau with all its stages."""

    name: str
    A: Array
    b: Array
    c: Array
    differences: Array  # a row a comparison, (n, s)
    same: bool  # whether the last stage is the slope at the step's end
    order: int
    exponent: float  # 1/(min(p, p^) + 1)

    @property
    def n_stages(self) -> int:
        """Stages s."""
        return len(self.b)


def pair_of(ode: NeuralODE, interpolated: bool = False) -> EmbeddedPair:
    """The pair of an ode's scheme.

    Raises
    ------
    ValueError
        A scheme without embedded weights; the message lists those that have some.
    """
    ode._check_fixed_steps("fixed ones, which are then planned", "ode")
    scheme = ode._named_scheme
    if isinstance(scheme, Tableau):
        found = None if scheme.b_embedded is None else _pair(scheme, interpolated)
    else:
        found = _known(scheme, interpolated)
    if found is None:
        known = [n for n in tableaus.names() if tableaus.get(n).b_embedded is not None]
        raise ValueError(
            f"ode: got scheme {ode.scheme!r}, which has no embedded weights to tell a step's error "
            f"by, wanted one of {', '.join(map(repr, known))}, or a Tableau with "
            "b_embedded"
        )
    return found


@functools.lru_cache(64)
def _known(name: str, interpolated: bool) -> EmbeddedPair | None:
    """The pair of a scheme by its name, None where it has none."""
    if name not in tableaus.names():
        return None
    tableau = tableaus.get(name)
    return None if tableau.b_embedded is None else _pair(tableau, interpolated)


def _pair(tableau: Tableau, interpolated: bool) -> EmbeddedPair:
    assert tableau.b_embedded is not None
    assert tableau.embedded_order is not None
    A, b, c = tableau.as_floats()
    rows = [[float(x - y) for x, y in zip(tableau.b, tableau.b_embedded, strict=True)]]
    if interpolated and tableau.name == "dopri5":
        rows.append([float(weight / 16) for weight in DOPRI5_DENSE])
    same = tableau.c[-1] == 1 and tableau.A[-1] == tableau.b and tableau.b[-1] == 0
    lower = min(tableau.order, tableau.embedded_order)
    return EmbeddedPair(
        tableau.name,
        *read_only((A, b, c, np.array(rows))),
        same,
        tableau.order,
        1.0 / (lower + 1),
    )
