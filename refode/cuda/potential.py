"""The potential network on the device: twin of refode/fields/potential_kernels.py."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from refode.cuda.ops import Ops


class PotentialBodies(NamedTuple):
    """Phi and its derivatives; rows are 1-D, G is (d, S), any of them None where unasked for.

    ``derivatives(f, e, t, Z, phi, G, Gt, lap, tape)``
        Phi, grad Phi, dPhi/dt, Lap Phi into those of phi, (G, Gt), lap that are not None.
    ``derivatives_adjoint(f, e, t, Z, tape, phi_bar, G_bar, Gt_bar, lap_bar, Z_bar, e_bar,
    scratch)``
        Add the pull-backs of the cotangents that are not None, (D94)-(D97).
    ``rows(f, trace)``
        Rows of a stage's tape and of work space; the first two rows of the tape are the caller's.
    """

    derivatives: Any
    derivatives_adjoint: Any
    rows: Callable[[Any, bool], tuple[int, int]]


@functools.cache
def potential_bodies(ops: Ops) -> PotentialBodies:
    """Value, derivatives and their adjoint."""

    @ops.body
    def derivatives(f, e, t, Z, phi, G, Gt, lap, tape):
        """Phi, grad Phi, dPhi/dt, Lap Phi into those of phi, (G, Gt), lap that are not None."""

    @ops.body
    def derivatives_adjoint(
        f, e, t, Z, tape, phi_bar, G_bar, Gt_bar, lap_bar, Z_bar, e_bar, scratch
    ):
        """Add the pull-backs of the cotangents that are not None, (D94)-(D97)."""

    def rows(f, trace):
        """As ``Potential.rows``."""
        return 0, 0

    return PotentialBodies(derivatives, derivatives_adjoint, rows)
