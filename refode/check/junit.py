"""A check as JUnit XML: a suite for each quantity, a test for each of its arrays."""

from __future__ import annotations

from xml.etree import ElementTree

from refode.check.outcome import INVALID, RIGHT, SKIPPED, WRONG, Outcome, Row
from refode.check.wording import WHOLE, clean, lines, said


def document(outcome: Outcome) -> str:
    """The text of the file.

    Parameters
    ----------
    outcome : Outcome

    Returns
    -------
    str
        Wrong arrays are failures, invalid ones errors; both say what is probably wrong.
    """
    rows: dict[str, list[Row]] = {}
    for row in outcome.rows:
        rows.setdefault(row.name or WHOLE, []).append(row)
    name = clean(f"refode check {outcome.target} at {outcome.precision}")
    root = ElementTree.Element("testsuites", {"name": name, **_counts(outcome.rows)})
    root.set("time", f"{outcome.seconds:.3f}")
    hints = _hints(outcome)
    for line in lines(outcome):  # the order of the table
        name, mine = clean(line.quantity), rows[line.quantity]
        suite = ElementTree.SubElement(root, "testsuite", {"name": name, **_counts(mine)})
        for row in mine:
            _test(suite, name, row, outcome.precision, hints.get((row.case, row.quantity), []))
    ElementTree.indent(root)
    return f"<?xml version='1.0' encoding='utf-8'?>\n{ElementTree.tostring(root, 'unicode')}\n"


def _counts(rows: list[Row]) -> dict[str, str]:
    verdicts = [row.verdict for row in rows]
    return {
        "tests": str(len(rows)),
        "failures": str(sum(v not in (RIGHT, INVALID, SKIPPED) for v in verdicts)),
        "errors": str(verdicts.count(INVALID)),
        "skipped": str(verdicts.count(SKIPPED)),
    }


def _hints(outcome: Outcome) -> dict[tuple[str, str], list[str]]:
    hints: dict[tuple[str, str], list[str]] = {}
    for finding in outcome.findings:
        sure = "" if finding.certain else " (by the shape of the error)"
        for case, quantity in finding.explained:
            hints.setdefault((case, quantity), []).append(f"{finding.sentence}{sure}")
    return hints


def _test(
    suite: ElementTree.Element, quantity: str, row: Row, precision: str, hints: list[str]
) -> None:
    block = row.quantity.partition("/")[2]
    name = f"{row.case}[{block}]" if block else row.case
    test = ElementTree.SubElement(
        suite, "testcase", classname=f"refode.{quantity}", name=clean(name), time="0"
    )
    if row.verdict == RIGHT:
        return
    tag = {INVALID: "error", SKIPPED: "skipped"}.get(row.verdict, "failure")
    message = said(row, precision)
    inner = ElementTree.SubElement(test, tag, message=message)
    if tag != "skipped":
        inner.set("type", WRONG if tag == "failure" else INVALID)
        inner.text = clean("\n".join([row.reason or message, *(f"probably: {h}" for h in hints)]))
