"""Mistakes in the scheme: its numbers, its stages, its steps and their direction."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from refode.check.variants.make import ODES, Document, Variant, edited, knobs
from refode.reference.cases import scheme

Rows = list[list[Fraction]]
Weights = list[Fraction]


def named(name: str, instead: str = "") -> Callable[[Document], Document | None]:
    """Another scheme, of as many stages unless it is named which it stands for."""

    def edit(document: Document) -> Document | None:
        given, other = document["scheme"], scheme(name)
        if ("half" in given) != ("half" in other) or given["name"] == name:
            return None
        same = given["name"] == instead if instead else len(other["b"]) == len(given["b"])
        return {"scheme": other} if same else None

    return edit


def _changed(change: Callable[[Rows, Weights], Any]) -> Callable[[Document], Document | None]:
    """The scheme's A and b changed; None where ``change`` gives None."""

    def edit(document: Document) -> Document | None:
        given = document["scheme"]
        if "half" in given:
            return None
        A = [[Fraction(a) for a in row] for row in given["A"]]
        changed = change(A, [Fraction(b) for b in given["b"]])
        if changed is None:
            return None
        A, b = changed
        text = {"A": [[str(a) for a in row] for row in A], "b": [str(b_i) for b_i in b]}
        return {"scheme": {**given, **text}}

    return edit


def _without(i: int, rescaled: bool) -> Callable[[Document], Document | None]:
    """The weight b_i left out, the others perhaps divided by what is left."""

    def change(A: Rows, b: Weights) -> Any:
        if len(b) < 2 or i >= len(b) - (i >= 0) or not b[i]:
            return None
        kept = [Fraction(0) if j == i % len(b) else a for j, a in enumerate(b)]
        total = sum(kept) if rescaled else Fraction(1)
        return (A, [a / total for a in kept]) if total else None

    return _changed(change)


def _subdiagonal(A: Rows, b: Weights) -> Any:
    """Each stage moved by the slope before it alone."""
    s = len(b)
    return [[sum(A[i]) if j == i - 1 else Fraction(0) for j in range(s)] for i in range(s)], b


def _shared(A: Rows, b: Weights) -> Any:
    """The slope before, whatever slope is asked for."""
    return _subdiagonal(A, b)[0], [Fraction(0)] * (len(b) - 1) + [sum(b, Fraction(0))]


def _digits(n: int) -> Callable[[Fraction], Fraction]:
    return lambda a: Fraction(f"{float(a):.{n}g}")


def _rounded(change: Callable[[Fraction], Fraction]) -> Callable[[Document], Document | None]:
    """All coefficients changed."""

    def edit(document: Document) -> Document | None:
        given = document["scheme"]
        if "half" in given:
            return None
        text: dict[str, Any] = {k: [str(change(Fraction(a))) for a in given[k]] for k in "bc"}
        text["A"] = [[str(change(Fraction(a))) for a in row] for row in given["A"]]
        return {"scheme": {**given, **text}}

    return edit


def _euler(document: Document) -> Document | None:
    if "half" in document["scheme"] or len(document["scheme"]["b"]) == 1:
        return None
    return {"scheme": scheme("euler")}


def _first_order(document: Document) -> Document | None:
    """One move of each half, whole."""
    if "half" not in document["scheme"] or len(document["scheme"]["half"]) == 2:
        return None
    return {"scheme": scheme("verlet")}


def _halves(change: Callable[[Document], Document]) -> Callable[[Document], Document | None]:
    def edit(document: Document) -> Document | None:
        given = document["scheme"]
        return {"scheme": {**given, **change(given)}} if "half" in given else None

    return edit


def _steps(more: int) -> Callable[[Document], Document | None]:
    def edit(document: Document) -> Document | None:
        n = document["n_steps"] + more
        return {"n_steps": n} if n else None

    return edit


def _fewer(more: int) -> Callable[[Document], Document | None]:
    """Steps of the right length, one too many or too few."""

    def edit(document: Document) -> Document | None:
        first, last = (Fraction(t) for t in document["along"])
        n = document["n_steps"] + more
        end = first + n * (last - first) / document["n_steps"]
        inside = (
            min(map(Fraction, document["t_span"])) <= end <= max(map(Fraction, document["t_span"]))
        )
        if not n or not (inside or document["basis"]["type"] == "Constant"):
            return None
        return {"n_steps": n, "along": [str(first), str(end)]}

    return edit


def _turned(backward: bool) -> Callable[[Document], Document | None]:
    """The other direction over the same interval."""

    def edit(document: Document) -> Document | None:
        first, last = document["along"]
        if (Fraction(last) < Fraction(first)) != backward:
            return None
        return {"along": [last, first]}

    return edit


def _away(document: Document) -> Document | None:
    """-h for h, the start as it was."""
    first, last = (Fraction(t) for t in document["along"])
    cells = document["basis"]["type"] in ("Constant", "PiecewiseConstant")
    return {"along": [str(first), str(2 * first - last)]} if cells else None


def _unit(document: Document) -> Document | None:
    """Steps 1/n."""
    first, last = (Fraction(t) for t in document["along"])
    one = Fraction(1 if last > first else -1)
    inside = abs(last - first) > 1 or document["basis"]["type"] == "Constant"
    return {"along": [str(first), str(first + one)]} if inside else None


def _zero_to_one(document: Document) -> Document | None:
    first, last = (Fraction(t) for t in document["along"])
    along = ["0", "1"] if last > first else ["1", "0"]
    start, end = (Fraction(t) for t in document["t_span"])
    return {"along": along, "t_span": ["0", "1"] if end > start else ["1", "0"]}


def _same_stages() -> list[Variant]:
    names = ("midpoint", "heun", "ralston", "kutta3", "ssprk3", "bogacki_shampine")
    return [
        edited(
            f"scheme-{name}",
            f"The numbers are those of the scheme {name}, which has as many "
            "stages as the one asked for: compare A, b and c.",
            named(name),
        )
        for name in names
    ]


def _dropped() -> list[Variant]:
    places = {0: "first", 1: "second", 2: "third", -1: "last"}
    return [
        edited(
            f"{place}-stage-{'rescaled' if rescaled else 'dropped'}",
            f"The {place} stage is missing from y + h sum b_i k_i"
            + (", the other weights scaled to add up to 1." if rescaled else "."),
            _without(i, rescaled),
        )
        for i, place in places.items()
        for rescaled in (False, True)
    ]


SCHEMES: tuple[Variant, ...] = (
    edited(
        "three-eighths-rule",
        "The numbers are those of the 3/8 rule, which torchdiffeq calls "
        "rk4; the classical scheme was asked for: b = 1/6, 1/3, 1/3, 1/6, c = 0, 1/2, 1/2, 1.",
        named("rk4_38", "rk4"),
    ),
    edited(
        "classical-rule",
        "The numbers are those of the classical scheme of order 4; the 3/8 "
        "rule was asked for: b = 1/8, 3/8, 3/8, 1/8, c = 0, 1/3, 2/3, 1.",
        named("rk4", "rk4_38"),
    ),
    edited(
        "euler",
        "The numbers are those of Euler's method with the same steps: the stages are not used.",
        _euler,
    ),
    *_same_stages(),
    *(
        edited(
            f"coefficients-{n}",
            f"The scheme's coefficients are rounded to {n} digits.",
            _rounded(_digits(n)),
        )
        for n in (3, 4, 5, 6, 7)
    ),
    edited(
        "coefficients-single",
        "The scheme's coefficients are in single precision.",
        _rounded(lambda a: Fraction(float(np.float32(float(a))))),
    ),
    *_dropped(),
    edited(
        "equal-weights",
        "All stages have the weight 1/s in y + h sum b_i k_i.",
        _changed(lambda A, b: (A, [Fraction(1, len(b))] * len(b))),
    ),
    edited(
        "weights-reversed",
        "The weights b_i are in reverse order.",
        _changed(lambda A, b: (A, b[::-1])),
    ),
    edited(
        "previous-slope-alone",
        "A stage moves by the slope before it alone: only one entry of each row of A is used.",
        _changed(_subdiagonal),
    ),
    edited(
        "slopes-in-place",
        "All slopes are the one computed last: they share an array that is overwritten.",
        _changed(_shared),
    ),
    knobs(
        "stage-in-place",
        "A stage starts from the stage before instead of from the step's "
        "state: y is overwritten by the stages (y += h a k).",
        in_place=True,
    ),
    knobs(
        "symplectic-together",
        "Both halves of the state move by slopes at the step's start: "
        "the second does not see the first one's move.",
        together=True,
    ),
    edited(
        "symplectic-order",
        "The halves of the state move in the other order.",
        _halves(lambda s: {"half": [1 - i for i in s["half"]]}),
    ),
    edited("symplectic-verlet", "Each half moves once a step, by all of h.", _first_order),
    edited(
        "symplectic-whole",
        "Every substep is as long as the step: the factors 1/2 are missing.",
        _halves(lambda s: {"b": ["1"] * len(s["b"])}),
    ),
    edited(
        "one-step-more",
        "One step too many: n_steps + 1 steps over the same interval. "
        "n_steps counts steps, not points.",
        _steps(1),
    ),
    edited(
        "one-step-less",
        "One step too few: n_steps - 1 steps over the same interval. n_steps "
        "counts steps, not points.",
        _steps(-1),
    ),
    edited(
        "one-step-beyond", "One step of length h too many: the end lies beyond T.", _fewer(1), ODES
    ),
    edited("one-step-short", "The last step is missing: the end lies before T.", _fewer(-1), ODES),
    knobs(
        "whole-steps",
        "Every step is as long as the interval: h is not divided by n_steps.",
        whole_steps=True,
    ),
    edited("unit-steps", "The step is 1/n_steps whatever the interval's length is.", _unit, ODES),
    edited("zero-to-one", "The interval is [0, 1] instead of t_span.", _zero_to_one, ODES),
    edited(
        "forward-time",
        "Solved forwards where backwards in time was asked for: `along` runs "
        "from its first entry to its second.",
        _turned(True),
        ODES,
    ),
    edited(
        "backward-time",
        "Solved backwards where forwards in time was asked for: `along` runs "
        "from its first entry to its second.",
        _turned(False),
        ODES,
    ),
    edited(
        "step-sign",
        "The step h has the wrong sign: from the first time of `along` the "
        "solution runs away from the second.",
        _away,
        ODES,
    ),
)
