"""A check as one HTML page that holds its own pictures and loads nothing."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape

import refode
from refode.check import plots
from refode.check.outcome import INVALID, RIGHT, SKIPPED, WRONG, Outcome, Row
from refode.check.wording import (
    WHOLE,
    clean,
    counted,
    digits,
    evidence,
    headline,
    lines,
    number,
    ratio,
    reasons,
    relative,
    said,
    span,
    summary,
    unexplained,
)

#: Arrays in the table at the end; failing ones come first, report.json has all.
MOST_ARRAYS = 5000

STYLE = """
body { color: #1a1a1a; background: #fff; font: 15px/1.5 system-ui, sans-serif;
       max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
code, td.n { font-family: ui-monospace, monospace; font-size: .88em; }
table { border-collapse: collapse; font-size: .92em; }
th { text-align: left; border-bottom: 2px solid #444; }
th, td { padding: .15rem .7rem .15rem 0; vertical-align: top; }
td { border-bottom: 1px solid #ddd; }
td.n, th.n { text-align: right; white-space: nowrap; }
h1, p, li { overflow-wrap: break-word; }
.wide { overflow-x: auto; } img { max-width: 100%; height: auto; }
.verdict { font-weight: 600; } .right { color: #00664a; } .wrong, .invalid { color: #a63c00; }
.skipped, .none, .dim { color: #5a5a5a; }
li { margin-bottom: .6rem; } summary { cursor: pointer; }
@media print { body { margin: 0; max-width: none; font-size: 11px; }
  h2, figure { break-after: avoid; } tr, li, img { break-inside: avoid; } }
"""


def page(outcome: Outcome) -> str:
    """The page's text; what comes from elsewhere is escaped.

    Parameters
    ----------
    outcome : Outcome

    Returns
    -------
    str
    """
    verdict = headline(outcome)
    title = f"refode check: {outcome.target}"
    inside = "\n".join(
        [
            f"<h1>{_text(title)}</h1>",
            f'<p class="dim">{_text(_how(outcome))}</p>',
            f'<p><span class="verdict {_class(verdict)}">{_text(verdict.capitalize())}.</span> '
            f"{_text(summary(outcome))}</p>",
            *_findings(outcome),
            "<h2>By quantity</h2>",
            _quantities(outcome),
            *_skipped(outcome),
            *_pictures(outcome),
            *_arrays(outcome),
        ]
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}: {_text(verdict)}</title>
<style>{STYLE}</style>
</head>
<body>
{inside}
</body>
</html>
"""


def _text(value: object) -> str:
    return escape(clean(value))


def _class(verdict: str) -> str:
    return verdict if verdict in (RIGHT, WRONG, INVALID, SKIPPED) else "none"


def _how(outcome: Outcome) -> str:
    cases = counted(len({row.case for row in outcome.rows}), "case")
    return (
        f"{cases} at {outcome.precision}, {outcome.seconds:.1f} seconds, "
        f"refode {refode.__version__}"
    )


def _findings(outcome: Outcome) -> list[str]:
    if not outcome.failing():
        return []
    items = [
        f"<li>{_text(f.sentence)}<br><span class='dim'>{_text(evidence(f, outcome))}</span></li>"
        for f in outcome.findings
    ]
    made = ["<h2>Probably wrong</h2>"]
    if items:
        made += ["<ol>", *items, "</ol>"]
    left = unexplained(outcome)
    if left:
        what = "No finding explains" if items else "Nothing known explains"
        made.append(f"<p>{what} {counted(left, 'failing array')}.</p>")
    return made


def _quantities(outcome: Outcome) -> str:
    head = [
        ("quantity", ""),
        ("cases", "n"),
        ("arrays right", "n"),
        ("worst error", "n"),
        ("digits", "n"),
        ("error / explained", "n"),
        ("in", ""),
        ("error seen from", "n"),
        ("model", ""),
        ("verdict", ""),
    ]
    rows = [
        [
            line.quantity,
            f"{line.cases:,}",
            f"{line.right:,} of {line.right + line.wrong + line.invalid:,}",
            number(line.error),
            digits(line.digits),
            number(line.ratio),
            line.where,
            span(line.seen_from),
            line.model,
            line.verdict,
        ]
        for line in lines(outcome)
    ]
    note = (
        "Errors are relative to the largest entry of the array; the worst one is the largest "
        "multiple of what rounding explains. A relative error as large as those of <i>error "
        "seen from</i> is seen for certain: in the case that shows most, and in every case "
        "that is right. <i>Model</i> is the finest precision that explains all errors."
    )
    return f"{_table(head, rows)}\n<p class='dim'>{note}</p>"


def _table(head: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> str:
    """A table whose last column is a verdict; the class "n" is for numbers."""
    classes = [f' class="{c}"' if c else "" for _, c in head]
    titles = "".join(f"<th{c}>{_text(t)}</th>" for (t, _), c in zip(head, classes, strict=True))
    body = []
    for row in rows:
        cells = [f"<td{c}>{_text(v)}</td>" for v, c in zip(row[:-1], classes[:-1], strict=True)]
        cells.append(f'<td class="verdict {_class(row[-1])}">{_text(row[-1])}</td>')
        body.append(f"<tr>{''.join(cells)}</tr>")
    text = "\n".join(body)
    return (
        f'<div class="wide"><table>\n<thead><tr>{titles}</tr></thead>\n<tbody>\n{text}\n'
        "</tbody>\n</table></div>"
    )


def _skipped(outcome: Outcome) -> list[str]:
    items = [f"<li><code>{_text(n)}</code>: {_text(why)}</li>" for n, why in reasons(outcome)]
    return ["<h2>Skipped</h2>", "<ul>", *items, "</ul>"] if items else []


def _pictures(outcome: Outcome) -> list[str]:
    drawn = (
        (
            "Correct digits by case and quantity",
            plots.heatmap(outcome),
            "A colour for every case and quantity, white where the case has no such quantity; "
            "failing ones are marked.",
        ),
        (
            "Errors beside what rounding explains",
            plots.strip(outcome),
            "A point for every array; to the right of the line, rounding explains it no more.",
        ),
    )
    made = []
    for title, svg, caption in drawn:
        if svg is not None:
            data, (width, height) = base64.b64encode(svg).decode(), _size(svg)
            made.append(
                f"<h2>{title}</h2>\n<p class='dim'>{caption}</p>\n"
                f'<img alt="{title}" width="{width}" height="{height}" '
                f'src="data:image/svg+xml;base64,{data}">'
            )
    return made


def _size(svg: bytes) -> tuple[int, int]:
    """Width and height in pixels, from those in points."""
    sides = re.search(rb'<svg [^>]*?width="([\d.]+)pt" height="([\d.]+)pt"', svg)
    if sides is None:
        raise ValueError("svg: got no width and height in points, wanted a picture of matplotlib")
    width, height = (round(float(number) * 4 / 3) for number in sides.groups())
    return width, height


def _arrays(outcome: Outcome) -> list[str]:
    order = {WRONG: 0, INVALID: 1, RIGHT: 2}
    rows = sorted(outcome.rows, key=lambda row: order.get(row.verdict, 3))
    shown = rows[:MOST_ARRAYS]
    head = [
        ("case", ""),
        ("quantity", ""),
        ("error", "n"),
        ("relative", "n"),
        ("digits", "n"),
        ("error / explained", "n"),
        ("seen from", "n"),
        ("model", ""),
        ("remark", ""),
        ("verdict", ""),
    ]
    table = _table(head, (_array(row, outcome.precision) for row in shown))
    rest = len(rows) - len(shown)
    more = f" (failing ones first; {rest:,} more are in report.json)" if rest else ""
    return [
        f"<h2>Every array</h2>\n<details><summary>{counted(len(shown), 'array')}{more}</summary>",
        table,
        "</details>",
    ]


def _array(row: Row, precision: str) -> list[str]:
    remark = row.reason or (said(row, precision) if row.verdict == INVALID else "")
    return [
        row.case,
        row.quantity or WHOLE,
        number(row.error),
        number(relative(row)),
        digits(row.digits),
        number(ratio(row)),
        number(row.smallest),
        row.model,
        remark,
        row.verdict,
    ]
