"""Verdicts: which of an implementation's errors rounding can explain, and at which precision."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode.check.outcome import EPS, INVALID, RIGHT, SKIPPED, WRONG, Row
from refode.check.process import Process
from refode.check.protocol import BLOCKED, Answer
from refode.check.sizes import largest, sizes
from refode.reference.files import arrays

Array = NDArray[np.float64]
Document = dict[str, Any]

#: How many times the largest change of a quantity under perturbations by eps, and how many eps of
#: its size, rounding may make of an error. docs/check.md: what correct implementations reach.
ROUNDINGS = 16.0
PRECISIONS = tuple(EPS)


@dataclass(frozen=True)
class Truth:
    """What is right for a case.

    Attributes
    ----------
    values : dict of arrays
        By quantity and block.
    tolerances : dict of dict
        By quantity and block, then by precision: what rounding explains.
    """

    values: dict[str, Array]
    tolerances: dict[str, dict[str, float]]

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names without blocks."""
        return tuple(dict.fromkeys(name.partition("/")[0] for name in self.values))


class Judge:
    """Right values and tolerances of any case.

    Golden cases bring both along; for others a process of the live oracle is started when the
    first of them comes.

    Parameters
    ----------
    timeout : float, optional
        Seconds the oracle may take for a case.
    """

    def __init__(self, timeout: float = 120.0) -> None:
        self.timeout = timeout
        self._process: Process | None = None
        self._known: dict[str, Truth] = {}
        self._last: tuple[Document, Truth] | None = None
        self._changes = json.loads(
            (resources.files("refode.check") / "changes.json").read_text("utf-8")
        )

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.close()

    def truth(self, document: Document) -> Truth:
        """What is right for a case; kept for golden ones, and for the last other one."""
        name = document["name"]
        if name in self._known:
            return self._known[name]
        if "results" in document and name in self._changes:
            self._known[name] = self._golden(document)
            return self._known[name]
        numbers = {k: v for k, v in document.items() if k not in ("name", "about")}
        if self._last is None or self._last[0] != numbers:
            self._last = numbers, self._live(document)
        return self._last[1]

    def _live(self, document: Document) -> Truth:
        answer = self.oracle().call("judge", document)
        values = {k: v for k, v in answer.items() if ":" not in k}
        changes = {p: {k: float(answer[f"{p}:{k}"]) for k in values} for p in PRECISIONS}
        return Truth(values, tolerances(document["problem"], values, changes))

    def values(self, document: Document) -> dict[str, Array]:
        """Right values of any case, without tolerances."""
        return self.oracle().call("values", document)

    def _golden(self, document: Document) -> Truth:
        values = arrays(document, "results")
        stored = self._changes[document["name"]]
        fine, coarse = ({k: pair[i] for k, pair in stored.items()} for i in (0, 1))
        changes = {p: coarse if p == "bfloat16" else fine for p in PRECISIONS}
        return Truth(values, tolerances(document["problem"], values, changes))

    def oracle(self) -> Process:
        """The live oracle's process."""
        if self._process is None:
            self._process = Process(
                "refode.check.oracle:oracle", self.timeout, {"NUMBA_DISABLE_JIT": "1"}
            )
        return self._process

    def rows(self, document: Document, answer: Answer, precision: str) -> list[Row]:
        """A row for every quantity that is right, wrong, invalid or skipped."""
        return judged(document["name"], self.truth(document), answer, precision)


def tolerances(
    problem: Mapping[str, Any], values: dict[str, Array], changes: dict[str, dict[str, float]]
) -> dict[str, dict[str, float]]:
    """What rounding explains, by quantity and precision.

    ``ROUNDINGS * eps * (change + size)``, with the largest change per eps, and the size of what a
    quantity is made of (`refode.check.sizes`). A Hessian-vector product changes at least as much
    as the gradient, whose intermediate numbers it is computed from.
    """
    by_name = sizes(problem, values)
    allowed: dict[str, dict[str, float]] = {name: {} for name in by_name}
    for precision, change in changes.items():
        for name, size in by_name.items():
            quantity, _, block = name.partition("/")
            moved = change[name]
            if quantity == "hessian_vector":
                moved = max(moved, change.get(f"gradient/{block}", 0.0))
            allowed[name][precision] = ROUNDINGS * EPS[precision] * (moved + size)
    return allowed


def judged(case: str, truth: Truth, answer: Answer, precision: str) -> list[Row]:
    """Rows of one case."""
    rows = []
    told: set[str] = set()
    for name, problem in answer.problems.items():
        cause = answer.causes.get(name, "")
        rows.append(Row(case, name, INVALID, reason=problem, cause=cause))
        told.add(name)
    for name in truth.values:
        quantity = name.partition("/")[0]
        if name in told or quantity in told:
            continue
        if name in answer.values:
            rows.append(_compared(case, name, truth, answer.values[name], precision))
        elif quantity in answer.skipped:
            rows.append(Row(case, quantity, SKIPPED, reason=answer.skipped[quantity]))
            told.add(quantity)
        elif quantity in BLOCKED and any(k.startswith(f"{quantity}/") for k in answer.values):
            reason = f"got nothing for the block {name}"
            rows.append(Row(case, name, INVALID, reason=reason, cause="block"))
    for name in answer.values:
        if name not in truth.values:
            wanted = [k for k in truth.values if k.partition("/")[0] == name.partition("/")[0]]
            if wanted:  # a quantity that the case does not have is none of ours
                reason = f"got the unknown block {name}, wanted {', '.join(wanted)}"
                rows.append(Row(case, name, INVALID, reason=reason, cause="block"))
    return rows


def _compared(case: str, name: str, truth: Truth, got: Array, precision: str) -> Row:
    right, allowed = truth.values[name], truth.tolerances[name]
    size, tolerance = largest(right), allowed[precision]
    if got.shape != right.shape:
        reason = f"got shape {got.shape}, wanted {right.shape}"
        return _invalid(case, name, size, tolerance, reason, "shape")
    bad = ~np.isfinite(got)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        reason = f"got {got[where]} at {where}" if where else f"got {got[()]}"
        return _invalid(case, name, size, tolerance, reason, "not finite")
    error = largest(got - right)
    model = explained_by(error, allowed)
    good = model != "" and EPS[model] <= EPS[precision]
    smallest = (tolerance + error) / (size - error) if size > error else math.inf
    return Row(case, name, RIGHT if good else WRONG, error, size, tolerance, model, smallest)


def _invalid(case: str, name: str, size: float, tolerance: float, reason: str, cause: str) -> Row:
    return Row(case, name, INVALID, size=size, tolerance=tolerance, reason=reason, cause=cause)


def explained_by(error: float, allowed: dict[str, float]) -> str:
    """The finest precision whose rounding explains an error; "" where none does."""
    return next((p for p in PRECISIONS if error <= allowed[p]), "")


@dataclass
class Judged:
    """One case with what was said of it."""

    document: Document
    answer: Answer
    rows: list[Row] = field(default_factory=list)
