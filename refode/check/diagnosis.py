"""What is probably wrong: candidates for a cause, and the fewest that explain the most.

Four kinds of evidence, the first two certain where they hold to rounding:

* the wrong numbers are those of an implementation with a known mistake (variants.py);
* the wrong numbers are the right ones, transformed (transforms.py);
* errors have a telling size, place or rate (patterns.py, refinement.py);
* failing all that, which quantity is the first to be wrong, and in which cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from refode.check import patterns, refinement, transforms
from refode.check.cells import Candidate, Cell, Document, Key
from refode.check.judge import Judge
from refode.check.outcome import INVALID, RIGHT, SKIPPED, WRONG, Finding, Row
from refode.check.protocol import QUANTITIES
from refode.check.targets import Target

if TYPE_CHECKING:
    from refode.check.run import Judged

#: What variants' values may be off by, relative: their own rounding; second derivatives are
#: differences of first ones.
SLACK, SLACK_HESSIAN = 1e-12, 1e-7
#: Cases on which a variant is tried before it is given up.
TRIED = 3
MOST = 5


def diagnosed(
    judged: Sequence[Judged], judge: Judge, precision: str, target: Target
) -> list[Finding]:
    """Findings on all that is wrong, most explained first.

    Parameters
    ----------
    judged : sequence of Judged
    judge : Judge
    precision : str
    target : Target
        Asked again where finer steps tell more.
    """
    rows = [row for one in judged for row in one.rows]
    documents = {one.document["name"]: one.document for one in judged}
    cells = wrong_cells(judged, judge, precision)
    right = {(r.case, r.quantity) for r in rows if r.verdict == RIGHT}
    found = [*patterns.divided_by_zero(rows, documents), *patterns.noise(cells, right),
             *transforms.candidates(cells), *_variants(cells, judged)]  # fmt: skip
    chosen = fewest(found, {(r.case, r.quantity) for r in rows if r.verdict in (WRONG, INVALID)})
    chosen += patterns.coarse(rows, _unexplained(cells, chosen))
    left = _unexplained(cells, chosen)
    later = [c for c in left if c.name in patterns.DERIVATIVES and _values_right(c, rows)]
    if later:
        chosen += refinement.discretised_later(later, judge, target)
        left = _unexplained(cells, chosen)
    if left or not chosen:
        chosen += _fallback(rows, left, documents)
    return [
        Finding(c.key, c.sentence, tuple(sorted(c.explained)), c.certain) for c in chosen[:MOST]
    ]


def wrong_cells(judged: Iterable[Judged], judge: Judge, precision: str) -> list[Cell]:
    """Wrong arrays that have the right shape and are finite."""
    cells = []
    for one in judged:
        truth = judge.truth(one.document)
        for row in one.rows:
            if row.verdict == WRONG:
                name = row.quantity
                cells.append(Cell(
                    one.document, name, one.answer.values[name], truth.values[name],
                    truth.tolerances[name][precision], truth.values,
                ))  # fmt: skip
    return cells


def fewest(candidates: Iterable[Candidate], wrong: set[Key]) -> list[Candidate]:
    """Greedily: the candidate that explains most of what is left, then the next."""
    left = set(wrong)
    chosen: list[Candidate] = []
    pool = [c for c in candidates if c.explained]
    while pool and left and len(chosen) < MOST:
        best = max(pool, key=lambda c: (len(c.explained & left) - c.against, -c.rank))
        gain = best.explained & left
        if not gain:
            break
        rivals = [c for c in pool if c.explained >= best.explained and c.key == best.key
                  and c.sentence != best.sentence]  # fmt: skip
        if rivals and best.certain:
            best.sentence += f" (These cases cannot tell this from: {rivals[0].sentence})"
        chosen.append(best)
        left -= gain
        pool = [c for c in pool if c is not best]
    return chosen


def _unexplained(cells: Iterable[Cell], chosen: Iterable[Candidate]) -> list[Cell]:
    known: set[Key] = set().union(*(c.explained for c in chosen))
    return [c for c in cells if c.key not in known]


def _values_right(cell: Cell, rows: Sequence[Row]) -> bool:
    """Whether no value of the cell's case is wrong, only derivatives are."""
    return not any(
        r.case == cell.key[0] and r.verdict in (WRONG, INVALID)
        and r.name not in patterns.DERIVATIVES for r in rows
    )  # fmt: skip


# --- variants --------------------------------------------------------------------------------


def _variants(cells: list[Cell], judged: Sequence[Judged]) -> list[Candidate]:
    """Known mistakes whose numbers are met."""
    from refode.check.variants import VARIANTS

    by_case: dict[str, list[Cell]] = {}
    for cell in cells:
        by_case.setdefault(cell.document["name"], []).append(cell)
    verdicts = {one.document["name"]: one for one in judged}
    found = []
    for variant in VARIANTS:
        made = Candidate(variant.key, variant.sentence, rank=0.6)
        misses = 0
        for name, group in sorted(by_case.items(), key=lambda item: len(str(item[1][0].document))):
            document = group[0].document
            values = variant.evaluate({k: v for k, v in document.items() if k != "results"})
            if values is None:
                continue
            hit = {c.key for c in group if c.quantity in values
                   and c.met_by(values[c.quantity], _slack(c))}  # fmt: skip
            made.explained |= hit
            made.against += _against(values, verdicts[name], group[0].siblings)
            misses += not hit
            if misses >= TRIED and not made.explained:
                break
        if made.explained:
            found.append(made)
    return found


def _slack(cell: Cell) -> float:
    return SLACK_HESSIAN if cell.name == "hessian_vector" else SLACK


def _against(values: dict[str, np.ndarray], one: Judged, right: dict[str, np.ndarray]) -> int:
    """Right arrays of a failing case that the mistake would have made wrong."""
    count = 0
    for row in one.rows:
        other = values.get(row.quantity)
        if row.verdict == RIGHT and other is not None and other.shape == right[row.quantity].shape:
            apart = float(np.abs(other - right[row.quantity]).max(initial=0.0))
            count += apart > 10.0 * row.tolerance + SLACK_HESSIAN * row.size
    return count


# --- where nothing is known ------------------------------------------------------------------


def _fallback(
    rows: Sequence[Row], left: list[Cell], documents: dict[str, Document]
) -> list[Candidate]:
    """The first wrong quantity and the cases in which it is wrong."""
    unexplained = {c.key for c in left}
    open_rows = [r for r in rows if (r.case, r.quantity) in unexplained or r.verdict == INVALID]
    name = patterns.first_wrong(open_rows, QUANTITIES)
    if not name:
        return []
    bad = {r.case for r in open_rows if r.name == name and r.case in documents}
    good = {r.case for r in rows if r.name == name and r.verdict == RIGHT} - bad
    pattern = patterns.where(name, [documents[n] for n in sorted(bad)],
                             [documents[n] for n in sorted(good)])  # fmt: skip
    skipped = {r.name for r in rows if r.verdict == SKIPPED}
    unseen = [q for q in QUANTITIES[: QUANTITIES.index(name)] if q in skipped]
    sentence = f"{name} is the first quantity to be wrong. Look at {patterns.HINTS[name]}."
    if pattern:
        sentence += f" {pattern[0].upper()}{pattern[1:]}."
    if unseen:
        sentence += f" Before it, {', '.join(unseen)} were not given and would tell more."
    return [Candidate("first-wrong", sentence, unexplained | {
        (r.case, r.quantity) for r in open_rows}, rank=9.0, certain=False)]  # fmt: skip
