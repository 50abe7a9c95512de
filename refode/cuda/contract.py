"""What fields, dynamics and costs supply to the sweeps on the device.

Twin of refode/fields/contract.py, refode/sweeps/contract.py and refode/costs/contract.py.

``rhs(f, e, t, Z, F, tr, tape)``
    F <- f(Z, t); tr (S,) <- tr df/dz unless it is None; the tape keeps what the adjoint reads.
``rhs_adjoint(f, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch)``
    Z_bar += J^T F_bar + (d tr/dz)^T tr_bar, e_bar likewise; F_bar and tr_bar may be overwritten.
``tangent(f, e, t, Z, V, F, FV, tape)``, ``tangent_adjoint(f, e, t, Z, V, tape, F_bar, FV_bar,
Z_bar, e_bar, scratch)``
    F <- f(Z, t), FV <- J V, and the pull-back of both, V being a constant: what Hutchinson's
    estimate asks for. Fields without them have None.
``slope(dyn, e, t, Y, F, tape)``, ``slope_adjoint(dyn, e, t, Y, F, tape, F_bar, Y_bar, e_bar,
scratch)``
    The same for the state with its quadratures; F_bar may be overwritten.
``terminal(cost, Y, first, m, L, cost_bar, value_at, scratch)``
    cost_bar[value_at] += the value over the m samples from ``first`` on; L <- its cotangent,
    zero from column m on; cost_bar += the cotangents of the cost's own parameters.
``jump(cost, n, first, m, L)``
    L += the cotangent of what is read at the start of step n.

The descriptions f, dyn and cost are the CPU's NamedTuples with their arrays on the device. In
staged sweeps, those of fields stay with the host: bodies read sizes and places from them.
Unlike on the CPU, nobody asks for the cotangent of t.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class FieldBodies(NamedTuple):
    """A field on the device; ``rows(f, trace)``: rows of a stage's tape and of work space."""

    rhs: Any
    rhs_adjoint: Any
    rows: Callable[[Any, bool], tuple[int, int]]
    tangent: Any = None
    tangent_adjoint: Any = None
    tangent_rows: Any = None


class DynamicsBodies(NamedTuple):
    """A right-hand side of the augmented state; ``rows(dyn)`` as of fields."""

    slope: Any
    slope_adjoint: Any
    rows: Callable[[Any], tuple[int, int]]


class CostBodies(NamedTuple):
    """A cost; ``rows(cost)``: rows of work space, of the CPU's description."""

    terminal: Any
    jump: Any
    rows: Callable[[Any], int]
