"""What a check's reports say, in words: on the terminal, as a page, for a test runner."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from refode._shown import one_line
from refode.check import coverage
from refode.check.outcome import (
    CAUSES,
    EPS,
    INVALID,
    RIGHT,
    SKIPPED,
    WRONG,
    Finding,
    Outcome,
    Row,
    groups,
)
from refode.check.protocol import QUANTITIES

NO_NUMBER, NO_REASON = "-", "no reason given"
#: Half of a surrogate pair and control characters, which neither XML nor UTF-8 nor a terminal
#: takes. They come with exceptions and with names that other people choose.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes
    ----------
    quantity, verdict : str
    cases, right, wrong, invalid, skipped : int
    error : float
        Of the worst row, relative to its largest entry.
    digits : float
        Of the worst row.
    ratio : float
        Error by tolerance of the worst row.
    where : str
        Case and block of the worst row.
    seen_from : tuple of float
        Smallest and largest of the relative errors that are seen for certain, over the cases
        that are right; NaN where none is.
    model : str
        The finest precision that explains every row; "none" where none does, "" where nothing
        was compared.
    """

    quantity: str
    verdict: str
    cases: int
    right: int
    wrong: int
    invalid: int
    skipped: int
    error: float
    digits: float
    ratio: float
    where: str
    seen_from: tuple[float, float]
    model: str


def lines(outcome: Outcome) -> list[Line]:
    """The table by quantity, upstream first."""
    by_name: dict[str, list[Row]] = {}
    for row in outcome.rows:
        by_name.setdefault(row.name, []).append(row)
    made = []
    for group in groups(outcome.rows, QUANTITIES):
        rows = by_name["" if group.quantity == WHOLE else group.quantity]
        worst = group.worst
        made.append(
            Line(
                group.quantity,
                group.verdict,
                group.cases,
                group.right,
                group.wrong,
                group.invalid,
                group.skipped,
                relative(worst) if worst else math.nan,
                worst.digits if worst else math.nan,
                ratio(worst) if worst else math.nan,
                label(worst) if worst else "",
                _seen_from(rows),
                _model(rows),
            )
        )
    return made


#: What `groups` calls rows without a quantity.
WHOLE = groups([Row("", "", INVALID)], ())[0].quantity


def relative(row: Row) -> float:
    """Its error by the largest entry of what is right, or as it is where that is 0."""
    return row.error / (row.size or 1.0)


def ratio(row: Row) -> float:
    """Its error by its tolerance; 0 where both are 0, NaN without an error."""
    if row.tolerance:
        return row.error / row.tolerance
    return math.inf if row.error > 0 else row.error


def _seen_from(rows: Iterable[Row]) -> tuple[float, float]:
    smallest = [r.smallest for r in rows if r.verdict == RIGHT and math.isfinite(r.smallest)]
    return (min(smallest), max(smallest)) if smallest else (math.nan, math.nan)


def _model(rows: Iterable[Row]) -> str:
    order = [*EPS, "none"]
    models = {row.model or "none" for row in rows if row.verdict in (RIGHT, WRONG)}
    return max(models, key=lambda m: order.index(m) if m in order else len(order), default="")


# --- words ----------------------------------------------------------------------------------


def clean(text: object) -> str:
    """Text without characters that XML, UTF-8 or a terminal would stumble over."""
    return _UNPRINTABLE.sub(lambda m: f"\\x{ord(m.group()):02x}", str(text))


def short(text: object, length: int = 200) -> str:
    """Clean text as one line of bounded length."""
    line = one_line(clean(text))
    return line if len(line) <= length else line[: length - 3] + "..."


def label(row: Row) -> str:
    """Case and quantity."""
    return f"{row.case} {row.quantity}" if row.quantity else row.case


def number(value: float) -> str:
    """An error for people."""
    return NO_NUMBER if math.isnan(value) else f"{value:.1e}"


def span(bounds: tuple[float, float]) -> str:
    """A range of errors; one number where its ends look the same."""
    low, high = map(number, bounds)
    return low if low == high else f"{low} to {high}"


def digits(value: float) -> str:
    """Correct digits for people."""
    return NO_NUMBER if math.isnan(value) else f"{value:.1f}"


def counted(n: int, noun: str) -> str:
    """``1 case``, ``2,000 cases``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def said(row: Row, precision: str) -> str:
    """What came of a row, in one sentence."""
    if row.verdict in (INVALID, SKIPPED):
        return short(row.reason) or NO_REASON
    explained = f"rounding at {precision} explains {number(row.tolerance)}"
    if row.verdict == WRONG and row.model == "float32":  # bfloat16 explains too much to be a hint
        explained += "; float32 would explain it"
    return f"error {number(row.error)}, {digits(row.digits)} digits; {explained}"


def explained(finding: Finding, outcome: Outcome) -> list[tuple[str, str]]:
    """The failing rows that a finding explains."""
    failing = {(row.case, row.quantity) for row in outcome.failing()}
    return [row for row in finding.explained if tuple(row) in failing]


def evidence(finding: Finding, outcome: Outcome) -> str:
    """How many failing rows a finding explains, which ones, and how sure it is."""
    rows, n = explained(finding, outcome), len(outcome.failing())
    examples = ", ".join(f"{case} {quantity}".strip() for case, quantity in rows[:3])
    sure = "certain: computed with this mistake, refode's numbers are the same to rounding"
    if finding.key in CAUSES:
        sure = "seen: this is what came back"
    elif not finding.certain:
        sure = "likely: the errors have this shape"
    such = f", such as {examples}" if examples else ""
    return short(f"explains {len(rows):,} of {counted(n, 'failing array')}{such}; {sure}", 400)


def unexplained(outcome: Outcome) -> int:
    """Failing rows that no finding explains."""
    known = {tuple(row) for finding in outcome.findings for row in finding.explained}
    return sum((row.case, row.quantity) not in known for row in outcome.failing())


def reasons(outcome: Outcome) -> list[tuple[str, str]]:
    """Skipped quantities, each with how often and why."""
    why: dict[str, list[Row]] = {}
    for row in outcome.rows:
        if row.verdict == SKIPPED:
            why.setdefault(row.name or WHOLE, []).append(row)
    names = [n for n in QUANTITIES if n in why] + [n for n in why if n not in QUANTITIES]
    sentences = []
    for name in names:
        rows = why[name]
        (first, times), *others = Counter(row.reason for row in rows).most_common()
        more = f" ({times:,} times, and {counted(len(others), 'other reason')})" if others else ""
        cases = counted(len({row.case for row in rows}), "case")
        sentences.append((name, f"{cases}: {short(first, 100) or NO_REASON}{more}"))
    return sentences


def headline(outcome: Outcome) -> str:
    """The verdict in a word or two."""
    verdicts = {row.verdict for row in outcome.rows}
    kinds = [kind for kind in (WRONG, INVALID, RIGHT) if kind in verdicts]
    return kinds[0] if kinds else "nothing compared"


def summary(outcome: Outcome) -> str:
    """The last lines: how much is right, where to look first, and what was not compared."""
    said = _verdict(outcome)
    left_out = coverage.told(outcome.rows)
    return f"{said} {left_out}" if left_out else said


def _verdict(outcome: Outcome) -> str:
    count = Counter(row.verdict for row in outcome.rows)
    compared = count[RIGHT] + count[WRONG] + count[INVALID]
    if not compared:
        asked = counted(len({row.case for row in outcome.rows}), "case")
        why = f"everything was skipped in {asked}" if outcome.rows else "there was no case"
        return f"Nothing was compared: {why}."
    cases = counted(len({row.case for row in outcome.rows if row.verdict != SKIPPED}), "case")
    right = f"{count[RIGHT]:,} of {counted(compared, 'array')} right in {cases}"
    table = lines(outcome)
    if outcome.passed:
        least = min((line for line in table if line.right), key=lambda line: line.digits)
        skipped = f"; {count[SKIPPED]:,} skipped" if count[SKIPPED] else ""
        return (
            f"{right}: all of them to the rounding of {outcome.precision}; the least exact is "
            f"{least.quantity} with {digits(least.digits)} digits{skipped}."
        )
    first = next(line for line in table if line.wrong or line.invalid)
    kinds = [f"{count[kind]:,} {kind}" for kind in (WRONG, INVALID, SKIPPED) if count[kind]]
    start = f"{first.quantity}, the first of them on the way from the inputs to the results"
    if first.quantity == WHOLE:
        start = "the cases that failed as a whole"
    return f"{right}; {', '.join(kinds)}. Start with {start}."
