"""What cannot be compared: exceptions, wrong shapes, memory, time. It is told as what it is.

No number was wrong there, so nothing is said of formulas. A wrong shape that holds the right
numbers with its axes in another order is named as such.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from refode.check.diagnose.cells import Array, Candidate
from refode.check.judge import Judge
from refode.check.outcome import CAUSES, Row
from refode.check.sizes import largest

if TYPE_CHECKING:
    from refode.check.judge import Judged

_STEPS, _STAGES = ("n_steps+1", "N"), ("n_steps", "s", "N")
#: What the axes of a quantity are, docs/reference.md.
AXES: dict[str, tuple[str, ...]] = {
    "trajectory": (*_STEPS, "d"),
    "log_density_path": _STEPS,
    **dict.fromkeys(("stages", "slopes", "phi_gradient"), (*_STAGES, "d")),
    **dict.fromkeys(("trace", "phi", "phi_time", "phi_laplacian"), _STAGES),
    **dict.fromkeys(("tangent", "x_bar", "inverse"), ("N", "d")),
    "outputs": ("N", "m"),
}
_SENTENCES = {
    "exception": "an exception, and no numbers, came from {what}: {reasons}.",
    "memory": "memory ran out in {what}: {reasons}. A case has a few hundred numbers.",
    "time": "no answer came in time from {what}: {reasons}. --timeout allows for more.",
    "ended": "the process that computes ended in {what}: {reasons}.",
    "shape": "the wrong shape has {what}: {reasons}. Nothing is said of its numbers.",
    "kind": "not what was asked for came from {what}: {reasons}.",
    "block": "blocks are missing or unknown in {what}: {reasons}.",
    "file": "files cannot be taken: {reasons}.",
}
assert {*_SENTENCES, "not finite"} == set(CAUSES)


def candidates(judged: Sequence[Judged], judge: Judge, precision: str) -> list[Candidate]:
    """A candidate for every cause of rows without numbers, most rows first."""
    rows = [row for one in judged for row in one.rows if row.cause in _SENTENCES]
    exchanged = _exchanged(judged, judge, precision)
    known = set().union(*(c.explained for c in exchanged))
    found = list(exchanged)
    for cause, sentence in _SENTENCES.items():
        mine = [r for r in rows if r.cause == cause and (r.case, r.quantity) not in known]
        if mine:
            text = sentence.format(what=_what(mine), reasons=_reasons(mine))
            found.append(Candidate(cause, text, {(r.case, r.quantity) for r in mine}))
    return sorted(found, key=lambda c: -len(c.explained))


def _what(rows: Iterable[Row]) -> str:
    names = [*dict.fromkeys(row.name for row in rows if row.name)]
    cases = [*dict.fromkeys(row.case for row in rows)]
    more = f" and {len(cases) - 1} more" if len(cases) > 1 else ""
    where = f"{cases[0]}{more}"
    return f"{', '.join(names[:6])} in {where}" if names else where


def _reasons(rows: Iterable[Row]) -> str:
    counted = Counter(row.reason for row in rows).most_common()
    more = f", and {len(counted) - 2} other reasons" if len(counted) > 2 else ""
    return "; ".join(reason for reason, _ in counted[:2]) + more


# --- axes in another order -------------------------------------------------------------------


def orders(right: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
    """The array with its axes in every other order."""
    for order in itertools.permutations(range(right.ndim)):
        if order != tuple(range(right.ndim)):
            yield order, right.transpose(order)


def words(quantity: str, order: tuple[int, ...]) -> str:
    """What an order of axes means for a quantity."""
    axes = AXES.get(quantity.partition("/")[0])
    if axes is None or len(axes) != len(order):
        return f"axes exchanged: {quantity} has the axes {order} of what is wanted"
    came = ", ".join(axes[i] for i in order)
    return f"axes exchanged: {quantity} comes as ({came}), wanted ({', '.join(axes)})"


def _exchanged(judged: Sequence[Judged], judge: Judge, precision: str) -> list[Candidate]:
    """Wrong shapes that hold the right numbers."""
    found: dict[str, Candidate] = {}
    for one in judged:
        truth = judge.truth(one.document)
        for row in one.rows:
            if row.cause != "shape":
                continue
            got, right = one.answer.values[row.quantity], truth.values[row.quantity]
            allowed = truth.tolerances[row.quantity][precision]
            for order, array in orders(right):
                if array.shape == got.shape and _same(got, array, allowed):
                    told = words(row.quantity, order)
                    made = found.setdefault(told, Candidate("exchanged-axes", f"{told}."))
                    made.explained.add((row.case, row.quantity))
    return _fewest(found.values())


def _fewest(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Without orders that differ from likelier ones by axes of length 1 alone."""
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: -len(c.explained)):
        candidate.explained -= set().union(*(c.explained for c in kept))
        if candidate.explained:
            kept.append(candidate)
    return kept


def _same(got: Array, array: Array, allowed: float) -> bool:
    return bool(np.isfinite(got).all()) and largest(got - array) <= allowed
