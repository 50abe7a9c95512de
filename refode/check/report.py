"""The report of a check in the terminal, and its files.

`lines` gives the rows of the table by quantity, `summary` the last line; the HTML page, the
pictures and the JUnit file are made from the same ones.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refode import _files
from refode.check import html, junit
from refode.check.outcome import INVALID, RIGHT, SKIPPED, WRONG, Outcome, Row
from refode.check.wording import (
    NO_NUMBER,
    clean,
    counted,
    digits,
    evidence,
    label,
    lines,
    number,
    reasons,
    said,
    short,
    span,
    summary,
    unexplained,
)
from refode.reference.files import text

if TYPE_CHECKING:
    from rich.console import Console

FILES = ("report.html", "report.json", "junit.xml", "smallest.json")
#: Failing rows that are listed one by one, in all and for a quantity; the others are counted.
LISTED, LISTED_ALIKE = 10, 3
STYLES = {RIGHT: "green", WRONG: "bold red", INVALID: "bold magenta", SKIPPED: "dim"}


# --- terminal -------------------------------------------------------------------------------


def show(outcome: Outcome, console: Console | None = None) -> None:
    """Print the table, what was skipped, what is invalid, what is probably wrong, a summary.

    Parameters
    ----------
    outcome : Outcome
    console : rich.console.Console, optional
        Default: standard output.
    """
    from rich.console import Console
    from rich.text import Text

    if console is None:
        console = Console()
        if not console.is_terminal:  # a file has no width to keep to
            console = Console(width=150)
    console.print(_table(outcome))
    for name, reason in reasons(outcome):
        console.print(Text(f"skipped  {short(name, 40):<16}  {reason}", style="dim"))
    for kind in (INVALID, WRONG):
        _list(console, [row for row in outcome.rows if row.verdict == kind], outcome.precision)
    _say_findings(console, outcome)
    style = "bold green" if outcome.passed else "bold red"
    console.print()
    console.print(Text(clean(summary(outcome)), style=style))


def _table(outcome: Outcome) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    title = Text(f"{short(outcome.target, 80)} at {short(outcome.precision, 40)}")
    made = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    made.add_column("quantity", overflow="fold", min_width=12)
    for name in ("cases", "worst error", "digits", "error seen from", "model"):
        made.add_column(name, justify="right")
    made.add_column("verdict")
    for line in lines(outcome):
        made.add_row(
            Text(short(line.quantity, 40)),
            f"{line.cases:,}",
            number(line.error),
            digits(line.digits),
            span(line.seen_from),
            Text(line.model or NO_NUMBER),
            Text(line.verdict, style=STYLES.get(line.verdict, "")),
        )
    return made


def _list(console: Console, rows: Sequence[Row], precision: str) -> None:
    from rich.text import Text

    chosen, times = [], Counter[str]()
    for row in rows:
        times[row.name] += 1
        if times[row.name] <= LISTED_ALIKE:
            chosen.append(row)
    for row in chosen[:LISTED]:
        text = Text(f"{row.verdict:<7}  ", style=STYLES[row.verdict])
        console.print(text.append(f"{short(label(row), 80)}: {said(row, precision)}", style=""))
    left = len(rows) - len(chosen[:LISTED])
    if left:
        more = f"and {left:,} more; report.json has them all"
        console.print(Text(f"{rows[0].verdict:<7}  {more}", style=STYLES[rows[0].verdict]))


def _say_findings(console: Console, outcome: Outcome) -> None:
    from rich.padding import Padding
    from rich.text import Text

    if not outcome.failing():
        return
    console.print()
    console.print(Text("probably wrong", style="bold"))
    for i, finding in enumerate(outcome.findings, start=1):
        console.print(Text(f"{i}. {short(finding.sentence, 600)}"))
        console.print(Padding(Text(evidence(finding, outcome), style="dim"), (0, 0, 0, 3)))
    left = unexplained(outcome)
    if left:
        what = "no finding explains" if outcome.findings else "nothing known explains"
        console.print(Text(f"{what} {counted(left, 'failing array')}"))


# --- files ----------------------------------------------------------------------------------


def write(outcome: Outcome, folder: str | Path) -> list[Path]:
    """Write report.html, report.json, junit.xml, and smallest.json for a shrunk case.

    Parameters
    ----------
    outcome : Outcome
    folder : path
        Made where missing; files of these names from an earlier check are replaced.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    ValueError, OSError
        The folder cannot be written to, or a device, a pipe or a folder has one of the names;
        then nothing is written.
    """
    target = _files.writable_in("folder", folder, FILES)
    texts = {
        "report.html": html.page(outcome),
        "report.json": json.dumps(as_json(outcome.record()), indent=1, allow_nan=False) + "\n",
        "junit.xml": junit.document(outcome),
    }
    if outcome.shrunk is not None:
        texts["smallest.json"] = text(as_json(outcome.shrunk))
    else:  # one of an earlier check would be taken for this one's
        _files.remove("folder", target / "smallest.json")
    for name, content in texts.items():
        _files.write(target / name, content)
    return [target / name for name in texts]


def as_json(value: Any) -> Any:
    """Return `value` as JSON can hold it: NaN and infinity as text, arrays as lists."""
    if isinstance(value, Mapping):
        return {str(key): as_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return as_json(value.tolist())
    if isinstance(value, np.generic):
        return as_json(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
