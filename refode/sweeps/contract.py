"""What a scheme and a right-hand side must supply, and what they get.

A *scheme* says how a step is made of evaluations of the dynamics' slope; a *dynamics* says
what the slope of the augmented state is. Both are rooms: their functions are compiled once a
scheme, once a dynamics, and called through addresses.

``step(scheme, dynamics, at, E, Y, tape)``
    Advance Y by the step ``at``, keeping the stages on the tape. The tape's first state is
    the one at the step's start.
``step_adjoint(scheme, dynamics, at, E, Y, tape, bar)``
    Pull the cotangent ``bar.L`` back by the step; add to ``bar.E``, and to ``bar.time`` the
    cotangents of t and h.
``undo(scheme, dynamics, at, E, Y, tape)``
    Take Y back to the step's start, refilling the tape (reversible schemes only).
``slope(dynamics, e, t, Y, F, tape)``, ``slope_adjoint(dynamics, e, t, Y, F, tape, F_bar,
Y_bar, e_bar, scratch)``
    F <- the right-hand side of the augmented state; the pull-back of F_bar, which may be
    overwritten, is added to Y_bar and e_bar, and the cotangent of t returned.
``slope_jacobian(dynamics, e, t, Y, tape, J, scratch)``
    J <- df/dz of the field within, as its ``jacobian``, after ``slope`` at the same Y;
    for implicit schemes.
``half_slope``, ``half_slope_adjoint``
    The same for one half of a partitioned field, 0 or 1.

Twin on the device: refode/cuda/contract.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types

from refode.machine.parts import Room

Array = np.ndarray
SCHEME, DYNAMICS = Room("scheme"), Room("dynamics")


class Step(NamedTuple):
    """Which step: its number, start, length, weight slots, and the samples it moves."""

    n: int
    t: float
    h: float
    slots: Array  # of the weights that each stage reads
    first: int  # the block's samples are first, ..., first + m - 1
    m: int


class Tape(NamedTuple):
    """What a step keeps for its adjoint, stage by stage."""

    Y: Array  # states, (n_stages, rows, S)
    F: Array  # slopes, (n_stages, rows, S)
    field: Array  # the field's own, (n_stages, tape, S)


class Cotangents(NamedTuple):
    """What the adjoint of a step reads and adds to, and its work space."""

    L: Array  # of the state, (rows, S)
    W: Array  # work, (rows, S)
    Z: Array  # of the stages, (n_stages, rows, S)
    E: Array  # of the effective weights
    scratch: Array  # work of the field, (scratch, S)
    time: Array  # of the step's t and h, (2,)


def _together(cls: type, codes: str) -> Any:
    """The Numba type of one of the above, in a number type."""

    def of(dtype: Any) -> Any:
        kinds = {"s": dtype, "i": types.int64, "I": types.Array(types.int64, 1, "C")}
        arrays = {c: types.Array(dtype, n, "C") for n, c in enumerate("vMT", 1)}
        return types.BaseTuple.from_types([{**kinds, **arrays}[c] for c in codes], cls)

    return of


STEP = _together(Step, "issIii")
TAPE = _together(Tape, "TTT")
COTANGENTS = _together(Cotangents, "MMTMMv")


@SCHEME.function([DYNAMICS, STEP, "M", "M", TAPE])
def step(scheme, dynamics, at, E, Y, tape):
    """Advance Y by one step, keeping the stages."""


@SCHEME.function([DYNAMICS, STEP, "M", "M", TAPE, COTANGENTS])
def step_adjoint(scheme, dynamics, at, E, Y, tape, bar):
    """Pull the cotangent back by one step; add the cotangents of weights, t and h."""


@SCHEME.function([DYNAMICS, STEP, "M", "M", TAPE])
def undo(scheme, dynamics, at, E, Y, tape):
    """Take Y back to the start of the step, refilling the stages."""


@DYNAMICS.function("vsMMM")
def slope(dynamics, e, t, Y, F, tape):
    """F <- right-hand side of the augmented state."""


@DYNAMICS.function("vsMMMMMvM", "s")
def slope_adjoint(dynamics, e, t, Y, F, tape, F_bar, Y_bar, e_bar, scratch):
    """Add the pull-back of F_bar, which may be overwritten; return the cotangent of t."""


@DYNAMICS.function("vsMMMM")
def slope_jacobian(dynamics, e, t, Y, tape, J, scratch):
    """J <- df/dz of the field's own rows, one entry of all samples a row."""


@DYNAMICS.function("vsiMMM")
def half_slope(dynamics, e, t, which, Y, F, tape):
    """Rows of F that belong to half ``which`` of the field."""


@DYNAMICS.function("vsiMMMMvM", "s")
def half_slope_adjoint(dynamics, e, t, which, Y, tape, F_bar, Y_bar, e_bar, scratch):
    """Add the pull-backs of these rows of F_bar; return the cotangent of t."""
