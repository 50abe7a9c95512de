"""Mistakes in the times: of a field's stages, and of theta(t), which has a basis to read it by."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from refode.check.variants.make import ALL, ODES, Document, Variant, edited, knobs


def _previous(c: Any) -> Any:
    return (c[0], *c[:-1])


def _next(c: Any) -> Any:
    return (*c[1:], c[-1])


def _always(at: str) -> Callable[[Any], Any]:
    return lambda c: (Fraction(at),) * len(c)


def _nodes() -> list[Variant]:
    """The nodes of the field's time, of theta(t), and of both."""
    places = {
        "both": ("The stages are taken at the time of", ("time_nodes", "theta_nodes")),
        "time": ("The field gets the time of", ("time_nodes",)),
        "theta": ("theta(t) is read at the time of", ("theta_nodes",)),
    }
    moves: dict[str, tuple[str, Any]] = {
        "previous": ("the stage before: c_(i-1) stands for c_i", _previous),
        "next": ("the stage after: c_(i+1) stands for c_i", _next),
        "start": ("the step's start for every stage: c = 0", _always("0")),
        "middle": ("the step's middle for every stage: c = 1/2", _always("1/2")),
        "end": ("the step's end for every stage: c = 1", _always("1")),
    }
    return [
        knobs(
            f"nodes-{move}-{place}",
            f"{what} {words}. Look at where t + c_i h is formed.",
            ODES if place == "theta" else ALL,
            **dict.fromkeys(which, nodes),
        )
        for move, (words, nodes) in moves.items()
        for place, (what, which) in places.items()
    ]


TIMES: tuple[Variant, ...] = (
    *_nodes(),
    knobs(
        "time-from-zero",
        "The time that the field gets starts at 0 instead of at the integration's first time.",
        clock="from zero",
    ),
    knobs(
        "time-from-span",
        "The time that the field gets is t - t0, t0 being the first end of t_span, instead of t.",
        clock="from the span",
    ),
    knobs(
        "time-normalised",
        "The time that the field gets is scaled to [0, 1] over t_span.",
        clock="normalised",
    ),
    knobs(
        "time-mirrored",
        "The time that the field gets runs the wrong way: t0 + T - t.",
        clock="mirrored",
    ),
    knobs("time-missing", "The field does not see the time: it gets 0.", clock="missing"),
    *(
        knobs(
            f"cell-by-stage-{side}",
            "Piecewise constant weights: the cell goes by the stage's "
            f"time, a border belonging to the {side} cell, so that stages of one step lie in "
            "different cells; it goes by the step's middle.",
            ODES,
            cells=cells,
        )
        for side, cells in (("earlier", "stage"), ("later", "stage right"))
    ),
    knobs(
        "coefficients-reversed",
        "The coefficients theta_j are read in reverse order.",
        ODES,
        basis="reversed",
    ),
    knobs(
        "time-not-scaled",
        "theta(t) reads its basis at t; it lives on t_span, scaled to [0, 1].",
        ODES,
        basis="unnormalised",
    ),
    knobs(
        "legendre-unshifted",
        "Legendre polynomials are taken at s in [0, 1]; their argument is 2s - 1.",
        ODES,
        basis="unshifted",
    ),
    knobs(
        "legendre-normalised",
        "Legendre polynomials are normalised; theirs is the value 1 at the end.",
        ODES,
        basis="orthonormal",
    ),
    knobs(
        "legendre-powers", "Powers of 2s - 1 stand for Legendre polynomials.", ODES, basis="powers"
    ),
    knobs(
        "spline-knots",
        "B-splines have simple knots at the ends; theirs are fourfold.",
        ODES,
        basis="open knots",
    ),
    edited(
        "basis-cells",
        "theta(t) is taken piecewise constant.",
        lambda d: _basis(d, "PiecewiseConstant"),
        ODES,
    ),
    edited(
        "basis-linear",
        "theta(t) is interpolated linearly.",
        lambda d: _basis(d, "PiecewiseLinear"),
        ODES,
    ),
)


def _basis(document: Document, kind: str) -> Document | None:
    given = document["basis"]
    if given["J"] < 2 or given["type"] == kind:
        return None
    return {"basis": {**given, "type": kind}}
