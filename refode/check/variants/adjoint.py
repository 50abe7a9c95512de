"""Mistakes in gradients whose values are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refode.check import plain
from refode.check.variants.make import (
    Document,
    Edit,
    Results,
    Variant,
    altered,
    edited,
    gradient_alone,
    walked,
    weighed,
)
from refode.check.variants.scheme import named
from refode.reference.files import arrays

#: Terms by kind, for what a total or a gradient may lack.
TERMS: dict[str, tuple[str, ...]] = {
    "loss": ("supervised",),
    "likelihood": ("flow",),
    "transport": ("flow",),
    "tikhonov": ("supervised", "flow"),
    "smoothness": ("supervised", "flow"),
    "L": ("game",),
    "F": ("game",),
    "G": ("game",),
    "hjb": ("game",),
    "hjb_terminal": ("game",),
}
#: How a gradient may count a term, and in what words.
FACTORS = (
    ("without", 0.0, "The gradient lacks the term"),
    ("twice", 2.0, "The gradient counts twice the term"),
    ("half", 0.5, "The gradient counts by half the term"),
    ("minus", -1.0, "The gradient counts with the wrong sign the term"),
)
GRADIENTS = ("gradient", "hessian_vector", "theta_bar")
_DISCRETE = "the gradient asked for is that of the scheme's own steps."


def _coefficients(document: Document, found: Results) -> Results:
    """Blocks of the gradient with an axis of coefficients."""
    readout = ("W", "b") if document["problem"].get("readout") else ()
    names = {f"{q}/{k}" for q in GRADIENTS for k in document["inputs"]["theta"] if k not in readout}
    several = document["basis"]["J"] > 1
    return {k: v for k, v in found.items() if k in names and several}


def _one(j: int) -> Callable[[Document, Results], Results]:
    def change(document: Document, found: Results) -> Results:
        kept = _coefficients(document, found)
        alone = {k: np.zeros_like(v) for k, v in kept.items()}
        for name, value in kept.items():
            alone[name][j] = value[j]
        return alone

    return change


def _summed(document: Document, found: Results) -> Results:
    return {
        k: np.broadcast_to(v.sum(0), v.shape).copy()
        for k, v in _coefficients(document, found).items()
    }


def _aliased(document: Document, found: Results) -> Results | None:
    if "stages" not in found:
        return None
    return {"stages": np.repeat(found["stages"][:, -1:], found["stages"].shape[1], axis=1)}


def _at_end(document: Document, found: Results) -> Results | None:
    given = arrays(document, "inputs")
    if "path_bar" in given:
        return {"x_bar": given["path_bar"][-1]}
    return {"x_bar": given["z_bar"]}


def _still(name: str) -> Edit:
    """A direction set to 0."""

    def zero(value: Any) -> Any:
        if "shape" not in value:
            return {k: zero(v) for k, v in value.items()}
        return {**value, "data": ["0"] * len(value["data"])}

    def edit(document: Document) -> Document | None:
        inputs = document["inputs"]
        return {"inputs": {**inputs, name: zero(inputs[name])}} if name in inputs else None

    return edit


Bars = list[Any]
_ENDS = "Cotangents of states between the ends are not added"
#: What may happen to the cotangents of the states, (n_steps+1, N, d).
JUMPS: tuple[tuple[str, str, Callable[[Bars], Bars]], ...] = (
    (
        "missing",
        "Cotangents of all states before the last are not added",
        lambda bars: [*(0.0 * b for b in bars[:-1]), bars[-1]],
    ),
    ("interior", _ENDS, lambda bars: [bars[0], *(0.0 * b for b in bars[1:-1]), bars[-1]]),
    (
        "first",
        "The cotangent of the first state is not added",
        lambda bars: [0.0 * bars[0], *bars[1:]],
    ),
    (
        "last",
        "The cotangent of the last state is not added",
        lambda bars: [*bars[:-1], 0.0 * bars[-1]],
    ),
    (
        "early",
        "Cotangents of states are added one step too early in time",
        lambda bars: [*bars[1:], 0.0 * bars[0]],
    ),
    (
        "late",
        "Cotangents of states are added one step too late in time",
        lambda bars: [0.0 * bars[0], *bars[:-1]],
    ),
)


def _observed(change: Callable[[Bars], Bars]) -> Edit:
    """The cotangents of the states changed."""

    def edit(document: Document) -> Document | None:
        inputs = document["inputs"]
        if "path_bar" not in inputs:
            return None
        bars = list(arrays(document, "inputs")["path_bar"])
        data = [repr(float(a)) for a in np.ravel(change(bars))]
        return {"inputs": {**inputs, "path_bar": {**inputs["path_bar"], "data": data}}}

    return edit


ADJOINTS: tuple[Variant, ...] = (
    walked(
        "adjoint-equation",
        "The gradient is that of optimize-then-discretize: the adjoint "
        "differential equation solved backwards together with the state from the end, as "
        "torchdiffeq's odeint_adjoint and diffrax's BacksolveAdjoint do. It tends to the right "
        f"one as h tends to 0; {_DISCRETE}",
        continuous=True,
        linearised="solved back",
    ),
    walked(
        "adjoint-equation-kept",
        "The gradient is that of optimize-then-discretize: the "
        "adjoint differential equation solved backwards, each step from the kept state, as "
        "torchdiffeq's odeint_adjoint and diffrax's BacksolveAdjoint do where all states are "
        f"asked for; {_DISCRETE}",
        continuous=True,
    ),
    *(
        walked(
            f"three-eighths-{key}",
            "The values are those of the 3/8 rule, which torchdiffeq "
            "calls rk4, where the classical scheme was asked for, and the gradient is that of the "
            f"adjoint differential equation {words}.",
            edit=named("rk4_38", "rk4"),
            continuous=True,
            linearised=states,
        )
        for key, words, states in (
            ("adjoint", "solved backwards from the end", "solved back"),
            ("adjoint-kept", "solved backwards from the kept states", "stages"),
        )
    ),
    walked(
        "adjoint-last-stage",
        "The adjoint differentiates every stage's slope at the step's "
        "last stage: the stage's state is overwritten before the walk back reads it.",
        linearised="last stage",
    ),
    walked(
        "adjoint-step-start",
        "The adjoint differentiates every stage's slope at the step's "
        "start instead of at the stage.",
        linearised="start",
    ),
    walked(
        "adjoint-solved-back",
        "The adjoint differentiates at states that were solved "
        "backwards from the end; they are not those of the way forward, keep those.",
        linearised="solved back",
    ),
    walked(
        "adjoint-uncoupled",
        "The adjoint takes the stages for independent: a stage's cotangent "
        "lacks h sum_j a_ji times those of the later stages.",
        coupled=False,
    ),
    walked(
        "adjoint-mirrored",
        "The adjoint reads weights and times in forward order while it "
        "walks back: the last step needs the last step's.",
        mirrored=True,
    ),
    walked(
        "adjoint-frozen",
        "The adjoint reads every stage's weights and time at the step's start.",
        frozen=True,
    ),
    walked(
        "adjoint-first-step",
        "The first step adds nothing to the gradient by theta.",
        skipped="first",
    ),
    walked(
        "adjoint-last-step", "The last step adds nothing to the gradient by theta.", skipped="last"
    ),
    walked(
        "adjoint-all-coefficients",
        "Every coefficient theta_j that theta(t) has a part of gets "
        "the whole cotangent: the factor p_j(t) is missing.",
        scattered="whole",
    ),
    walked(
        "adjoint-nearest-coefficient",
        "Only the coefficient with the largest p_j(t) gets the cotangent of theta(t).",
        scattered="nearest",
    ),
    altered(
        "gauss-newton",
        "Hessian-vector products are those of Gauss and Newton: they lack the "
        "curvature of the outputs.",
        lambda d, found: plain.gauss_newton(d),
        ("supervised",),
    ),
    *(
        altered(
            f"gradient-{place}-coefficient",
            f"The gradient is right for the {place} coefficient theta_j and zero for the others.",
            _one(j),
        )
        for place, j in (("first", 0), ("last", -1))
    ),
    altered(
        "gradient-summed",
        "Every coefficient theta_j has the sum of the gradient over all of them.",
        _summed,
    ),
    edited(
        "tangent-x-missing",
        "The tangent lacks the direction in x.",
        _still("x_direction"),
        ("ode",),
    ),
    edited(
        "tangent-theta-missing",
        "The tangent lacks the direction in theta.",
        _still("direction"),
        ("ode",),
    ),
    altered(
        "stages-last",
        "All stages reported are the last one of their step: an array that is "
        "overwritten, kept without a copy.",
        _aliased,
    ),
    *(
        edited(
            f"jumps-{key}",
            f"{words}: at every observation the adjoint jumps by the cotangent of the state there.",
            _observed(change),
            ("ode",),
        )
        for key, words, change in JUMPS
    ),
    walked(
        "log-det-detached",
        "The gradient lacks what comes through the log-determinant or "
        "log-density: it is detached, or its cotangent ignored.",
        detached="log density",
    ),
    walked(
        "trace-by-state-detached",
        "The adjoint lacks the derivative of the trace by the state: "
        "second derivatives of the field.",
        ("ode", "flow", "game"),
        detached="trace by state",
    ),
    walked(
        "trace-by-weights-detached",
        "The gradient lacks the derivative of the trace by the weights at fixed states.",
        ("ode", "flow", "game"),
        detached="trace by weights",
    ),
    walked(
        "state-detached",
        "The gradient lacks what comes through the states: only what the "
        "accumulators read of theta at fixed states is there.",
        detached="state",
    ),
    walked(
        "direct-missing",
        "The gradient lacks what the objective reads of theta beside the "
        "states: readout, regularisers, the potential at T.",
        ("supervised", "flow", "game"),
        direct=False,
    ),
    walked(
        "adjoint-not-transposed",
        "The adjoint multiplies cotangents of states by the field's "
        "Jacobian; it takes the transpose.",
        transposed=False,
    ),
    gradient_alone(
        "curvature-missing",
        "The gradient takes the activation's slopes in the trace "
        "(or Laplacian) for constant: its second derivatives are missing.",
        ("ode", "flow", "game"),
        slopes_detached=True,
    ),
    altered(
        "x-bar-at-end",
        "x_bar is the cotangent of the last state: the walk back does not "
        "return what it arrives with.",
        _at_end,
        ("ode",),
    ),
    *(
        weighed(f"gradient-{how}-{term}", f"{words} {term}.", term, factor, kinds)
        for how, factor, words in FACTORS
        for term, kinds in TERMS.items()
    ),
)

__all__ = ["ADJOINTS", "TERMS"]
