"""What is probably wrong: candidates for a cause, and the fewest that explain the most.

Five kinds of evidence, the first two certain where they hold to rounding:

* the wrong numbers are those of an implementation with a known mistake (refode/check/variants);
* the wrong numbers are the right ones, transformed (transforms.py);
* errors have a telling size, place or rate (patterns.py, refinement.py);
* there are no numbers at all: an exception, a wrong shape, no answer in time (unusable.py);
* failing all that, which quantity is the first to be wrong, and in which cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from refode.check.diagnose import patterns, refinement, transforms, unusable
from refode.check.diagnose.cells import Candidate, Cell, Key
from refode.check.judge import Judge
from refode.check.outcome import RIGHT, SKIPPED, WRONG, Finding, Row
from refode.check.protocol import QUANTITIES
from refode.check.sizes import largest
from refode.check.targets import Target
from refode.reference.files import without_results

if TYPE_CHECKING:
    from refode.check.judge import Judged

#: What variants' values may be off by, relative: their own rounding; second derivatives are
#: differences of first ones.
SLACK, SLACK_HESSIAN = 1e-12, 1e-9
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
    proposed = [
        *patterns.divided_by_zero(rows, documents),
        *patterns.noise(cells, right),
        *transforms.candidates(cells),
        *_variants(cells, judged),
    ]
    chosen = fewest(proposed, {(r.case, r.quantity) for r in rows if r.failed})
    if rounded := patterns.coarse(rows, _unexplained(cells, chosen)):
        chosen = sorted([*chosen, *rounded], key=lambda c: -len(c.explained))
    left = _unexplained(cells, chosen)
    later = [c for c in left if c.name in patterns.DERIVATIVES and _values_right(c, rows)]
    if later:
        chosen += refinement.discretised_later(later, judge, target)
        left = _unexplained(cells, chosen)
    without_numbers = unusable.candidates(judged, judge, precision)
    if left or not (chosen or without_numbers):
        chosen += _fallback(rows, left, judged)
    if without_numbers:
        chosen = sorted(_merged([*chosen, *without_numbers]), key=lambda c: -len(c.explained))
    return [
        Finding(c.key, c.sentence, tuple(sorted(c.explained)), c.certain) for c in chosen[:MOST]
    ]


def _merged(candidates: Iterable[Candidate]) -> list[Candidate]:
    """One candidate a sentence: axes are exchanged in cases where shapes show it and where not."""
    by_sentence: dict[str, Candidate] = {}
    for candidate in candidates:
        kept = by_sentence.setdefault(candidate.sentence, candidate)
        kept.explained |= candidate.explained
    return list(by_sentence.values())


def wrong_cells(judged: Iterable[Judged], judge: Judge, precision: str) -> list[Cell]:
    """Wrong arrays that have the right shape and are finite."""
    cells = []
    for one in judged:
        truth = judge.truth(one.document)
        for row in one.rows:
            if row.verdict == WRONG:
                name = row.quantity
                cells.append(
                    Cell(
                        one.document,
                        name,
                        one.answer.values[name],
                        truth.values[name],
                        truth.tolerances[name][precision],
                        truth.values,
                        truth.tolerances[name],
                    )
                )
    return cells


def fewest(candidates: Iterable[Candidate], wrong: set[Key]) -> list[Candidate]:
    """Greedily: the candidate that explains most of what is left, then the next."""
    left = set(wrong)
    chosen: list[Candidate] = []
    pool = [c for c in candidates if c.explained]
    while pool and left and len(chosen) < MOST:
        best = max(pool, key=lambda c: (len(c.explained & left) - 2 * c.against, -c.rank))
        gain = best.explained & left
        if not gain:
            break
        rivals = [
            c
            for c in pool
            if c.explained >= best.explained and c.key == best.key and c.sentence != best.sentence
        ]
        if rivals and best.certain:
            best.sentence += f" (These cases cannot tell this from: {rivals[0].sentence})"
        chosen.append(best)
        left -= gain
        pool = [c for c in pool if c is not best]
    return chosen


def _unexplained(cells: Iterable[Cell], chosen: Iterable[Candidate]) -> list[Cell]:
    """Cells that neither are explained nor come after one that is, in their own case."""
    chosen = list(chosen)
    known: set[Key] = set().union(*(c.explained for c in chosen))
    # of rounding nothing follows that is beyond rounding
    mistakes = (c.explained for c in chosen if c.key != "precision")
    first: dict[str, int] = {}
    for case, quantity in set().union(*mistakes):
        name = quantity.partition("/")[0]
        if name in QUANTITIES:
            first[case] = min(first.get(case, len(QUANTITIES)), QUANTITIES.index(name))
    return [
        c
        for c in cells
        if c.key not in known and QUANTITIES.index(c.name) <= first.get(c.key[0], len(QUANTITIES))
    ]


def _values_right(cell: Cell, rows: Sequence[Row]) -> bool:
    """Whether no value of the cell's case is wrong, only derivatives are."""
    return not any(
        r.case == cell.key[0] and r.failed and r.name not in patterns.DERIVATIVES for r in rows
    )


# --- variants --------------------------------------------------------------------------------


@dataclass
class _Tally:
    """What of a variant is met and what is not, values and derivatives apart."""

    hits: tuple[set[Key], set[Key]]
    against: list[int]


def _variants(cells: list[Cell], judged: Sequence[Judged]) -> list[Candidate]:
    """Known mistakes whose numbers are met."""
    from refode.check.variants import VARIANTS

    by_case: dict[str, list[Cell]] = {}
    for cell in cells:
        by_case.setdefault(cell.document["name"], []).append(cell)
    verdicts = {one.document["name"]: one for one in judged}
    groups = sorted(by_case.items(), key=lambda item: len(str(item[1][0].document)))
    candidates: list[Candidate] = []
    for variant in VARIANTS:
        met, misses = _Tally((set(), set()), [0, 0]), 0
        for name, group in groups:
            misses += _meet(variant, group, verdicts[name], met)
            if misses >= TRIED and not any(met.hits):
                break
        candidates += _candidates(variant, met)
    return candidates


def _meet(variant: Any, group: list[Cell], one: Judged, met: _Tally) -> bool:
    """Hold a variant to a case; True where it applies and explains nothing."""
    document = without_results(group[0].document)
    second = [c for c in group if c.name == "hessian_vector"]
    alone = len(second) == len(group)
    values = variant.evaluate(document, hessian=alone)
    hit = [c for c in group if _met(c, values or {})]
    if second and hit and not alone:  # second derivatives cost most: for what is met already
        values = variant.evaluate(document, hessian=True)
        hit = [c for c in group if _met(c, values or {})]
    if values is None:
        return False
    for cell in hit:
        met.hits[cell.name in patterns.DERIVATIVES].add(cell.key)
    for derivatives in (False, True):
        met.against[derivatives] += _against(values, one, group[0].siblings, derivatives)
    return not hit


def _met(cell: Cell, values: dict[str, np.ndarray]) -> bool:
    slack = SLACK_HESSIAN if cell.name == "hessian_vector" else SLACK
    return cell.quantity in values and cell.met_by(values[cell.quantity], slack)


def _candidates(variant: Any, met: _Tally) -> list[Candidate]:
    """The mistake as a whole, and in the values or the derivatives alone."""
    values, derivatives = met.hits
    candidates = [
        Candidate(
            variant.key, variant.sentence, values | derivatives, rank=0.6, against=sum(met.against)
        )
    ]
    if values and met.against[True]:
        sentence = f"in the values alone, derivatives are without it: {variant.sentence}"
        candidates.append(Candidate(variant.key, sentence, values, 0.7, against=met.against[False]))
    if derivatives and met.against[False]:
        sentence = f"in derivatives (gradients) alone, values are without it: {variant.sentence}"
        candidates.append(
            Candidate(variant.key, sentence, derivatives, 0.7, against=met.against[True])
        )
    return [c for c in candidates if c.explained]


def _against(
    values: dict[str, np.ndarray], one: Judged, right: dict[str, np.ndarray], derivatives: bool
) -> int:
    """Right arrays of a failing case that the mistake would have made wrong."""
    count = 0
    for row in one.rows:
        other = values.get(row.quantity)
        if row.verdict != RIGHT or other is None or other.shape != right[row.quantity].shape:
            continue
        if (row.name in patterns.DERIVATIVES) == derivatives:
            apart = largest(other - right[row.quantity])
            count += apart > 10.0 * row.tolerance + SLACK_HESSIAN * row.size
    return count


# --- where nothing is known ------------------------------------------------------------------


def _fallback(rows: Sequence[Row], left: list[Cell], judged: Sequence[Judged]) -> list[Candidate]:
    """The first wrong quantity and the cases in which it is wrong."""
    documents = {one.document["name"]: one.document for one in judged}
    unexplained = {c.key for c in left}
    # what is no number at all says nothing of a formula
    odd = {(r.case, r.quantity) for r in rows if r.cause == "not finite"}
    open_rows = [r for r in rows if (r.case, r.quantity) in unexplained | odd]
    roots = unexplained - _consequences(left, judged)
    name = patterns.first_wrong(
        [r for r in open_rows if (r.case, r.quantity) in roots | odd] or open_rows,
        QUANTITIES,
    )
    if name == "stages" and _slopes_first(left):
        name = "slopes"
    if not name:
        return []
    bad = {r.case for r in open_rows if r.name == name and r.case in documents}
    good = {r.case for r in rows if r.name == name and r.verdict == RIGHT} - bad
    pattern = patterns.where(
        name, [documents[n] for n in sorted(bad)], [documents[n] for n in sorted(good)]
    )
    skipped = {r.name for r in rows if r.verdict == SKIPPED}
    unseen = [q for q in QUANTITIES[: QUANTITIES.index(name)] if q in skipped]
    sentence = f"{name} is the first quantity to be wrong. Look at {patterns.HINTS[name]}."
    if pattern:
        sentence += f" {pattern[0].upper()}{pattern[1:]}."
    if unseen:
        sentence += f" Before it, {', '.join(unseen)} were not given and would tell more."
    return [
        Candidate(
            "first-wrong",
            sentence,
            unexplained | {(r.case, r.quantity) for r in open_rows},
            rank=9.0,
            certain=False,
        )
    ]


def _consequences(cells: Iterable[Cell], judged: Sequence[Judged]) -> set[Key]:
    """Wrong arrays that follow from the implementation's own earlier ones."""
    from refode.check.plain.given import following

    answers = {one.document["name"]: one for one in judged}
    made: dict[str, dict[str, np.ndarray]] = {}
    followed = set()
    for cell in cells:
        name = cell.document["name"]
        if name not in made:
            values = answers[name].answer.values
            given = {
                k: v
                for k, v in values.items()
                if k in cell.siblings and v.shape == cell.siblings[k].shape
            }
            made[name] = following(without_results(cell.document), given)
        if cell.quantity in made[name] and cell.met_by(made[name][cell.quantity], SLACK):
            followed.add(cell.key)
    return followed


def _slopes_first(cells: Iterable[Cell]) -> bool:
    """Whether in some case the first slope is wrong at the first stage, which is right."""
    by_key = {c.key: c for c in cells}
    pairs = [(c, by_key.get((case, "slopes"))) for (case, q), c in by_key.items() if q == "stages"]
    return any(
        slopes is not None and not _first_is_wrong(stages) and _first_is_wrong(slopes)
        for stages, slopes in pairs
    )


def _first_is_wrong(cell: Cell) -> bool:
    return largest(cell.got[0, 0] - cell.right[0, 0]) > cell.tolerance
