"""The pictures of a check's report: digits by case and quantity, errors by tolerance; SVG."""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from typing import Any

import numpy as np

from refode import plotting
from refode.check.outcome import INVALID, RIGHT, SKIPPED, WRONG, Outcome, Row
from refode.check.wording import WHOLE, Line, clean, lines, ratio

#: Rows of the heatmap; more cases than that are put together.
MOST_ROWS = 80
#: Cases whose names differ in a number at the end alone share a row from so many on.
MANY = 12
#: Errors by tolerance are drawn between these; what is outside stands at the edge.
LOWEST, HIGHEST = 1e-5, 1e17
DIGITS = 16
#: Room is left for so many, so that a few cells are as large as many.
LEAST_ROWS, LEAST_COLUMNS = 10, 8


def heatmap(outcome: Outcome) -> bytes | None:
    """Correct digits by case and quantity, failing ones marked; None without rows.

    Parameters
    ----------
    outcome : Outcome

    Returns
    -------
    bytes or None
        An SVG file.
    """
    table = lines(outcome)
    if not table:
        return None
    by_row = rows_of(outcome)
    columns = [line.quantity for line in table]
    n_rows, n_columns = len(by_row), len(columns)
    made = plotting.figure(
        2.4 + 0.27 * max(n_columns, LEAST_COLUMNS), 1.0 + 0.13 * max(n_rows, LEAST_ROWS)
    )
    panel = made.subplots()
    cells = [_cells(rows, columns) for rows in by_row.values()]
    values = np.ma.masked_invalid(np.array([[c[0] for c in row] for row in cells]))
    mesh = panel.pcolormesh(
        values,
        cmap="YlGnBu",
        vmin=0,
        vmax=DIGITS,
        edgecolors="white",
        linewidth=0.5,
        rasterized=values.size > 200,
    )
    _mark(panel, cells)
    panel.set_ylim(max(n_rows, LEAST_ROWS), 0)
    panel.set_xlim(0, max(n_columns, LEAST_COLUMNS))
    panel.xaxis.tick_top()
    panel.set_xticks(np.arange(n_columns) + 0.5)
    panel.set_xticklabels(
        map(_ascii, columns),
        rotation=60,
        ha="left",
        va="bottom",
        rotation_mode="anchor",
        parse_math=False,
    )
    panel.set_yticks(np.arange(n_rows) + 0.5)
    panel.set_yticklabels(map(_ascii, by_row), fontsize=6, parse_math=False)
    panel.tick_params(length=0)
    for spine in panel.spines.values():
        spine.set_visible(False)
    if not np.all(values.mask):
        bar = made.colorbar(
            mesh,
            ax=panel,
            shrink=min(1.0, 14 / n_rows),
            aspect=12,
            pad=0.02,
            ticks=range(0, DIGITS + 1, 4),
            anchor=(0.0, 1.0),
        )
        bar.set_label("correct digits")
        bar.outline.set_visible(False)
    return _svg(made)


def rows_of(outcome: Outcome, most: int = MOST_ROWS) -> dict[str, list[Row]]:
    """Rows of the outcome by case; from more cases than `most` on, by groups of cases.

    Cases whose names differ in a number at the end alone are put together first, then
    neighbours.
    """
    cases: dict[str, list[Row]] = {}
    for row in outcome.rows:
        cases.setdefault(row.case, []).append(row)
    if len(cases) <= most:
        return cases
    stems = {case: re.sub(r"[-_ #]?\d+$", "", case) for case in cases}
    many = {stem for stem, n in Counter(stems.values()).items() if n >= MANY}
    merged: dict[str, list[str]] = {}
    for case, stem in stems.items():
        merged.setdefault(stem if stem in many else case, []).append(case)
    if len(merged) > most:
        names, size = list(cases), math.ceil(len(cases) / most)
        merged = {names[i]: names[i : i + size] for i in range(0, len(names), size)}
    return {
        name if len(inside) == 1 else f"{name} ... ({len(inside):,} cases)": [
            row for case in inside for row in cases[case]
        ]
        for name, inside in merged.items()
    }


def _cells(rows: list[Row], columns: list[str]) -> list[tuple[float, str]]:
    """For each column the fewest digits, NaN for none, and the gravest verdict, "" for none."""
    by_column: dict[str, list[Row]] = {}
    for row in rows:
        by_column.setdefault(row.name or WHOLE, []).append(row)
    cells = []
    for column in columns:
        mine = by_column.get(column, [])
        verdicts = {row.verdict for row in mine}
        known = [r.digits for r in mine if r.verdict in (RIGHT, WRONG) and r.digits == r.digits]
        verdict = next((v for v in (INVALID, WRONG, RIGHT, SKIPPED) if v in verdicts), "")
        cells.append((min(known, default=math.nan), verdict))
    return cells


MARKS: dict[str, Any] = {
    WRONG: {"marker": "x", "color": plotting.VERMILION, "s": 16, "linewidths": 1.4},
    INVALID: {"marker": "s", "color": plotting.VERMILION, "s": 16, "linewidths": 0},
    SKIPPED: {"marker": "_", "color": "#8a8a8a", "s": 14, "linewidths": 0.8},
}


def _mark(panel: Any, cells: list[list[tuple[float, str]]]) -> None:
    for verdict, look in MARKS.items():
        at = [(j, i) for i, row in enumerate(cells) for j, c in enumerate(row) if c[1] == verdict]
        if at:
            x, y = np.array(at, dtype=float).T + 0.5
            panel.scatter(x, y, label=verdict, clip_on=False, **look)
    if panel.collections[1:]:
        panel.legend(
            loc="upper left",
            bbox_to_anchor=(0.0, -0.01),
            ncol=3,
            handletextpad=0.2,
            borderpad=0.2,
            columnspacing=1.2,
        )


def strip(outcome: Outcome) -> bytes | None:
    """Errors as multiples of what rounding explains, by quantity; None where none was compared.

    Parameters
    ----------
    outcome : Outcome

    Returns
    -------
    bytes or None
        An SVG file.
    """
    table = [line for line in lines(outcome) if line.right or line.wrong]
    if not table:
        return None
    made = plotting.figure(6.4, 0.9 + 0.2 * max(len(table), 3))
    panel = made.subplots()
    points = {verdict: _points(outcome, table, verdict) for verdict in (RIGHT, WRONG)}
    many = len(outcome.rows) > 2000
    for (verdict, (x, y)), colour in zip(points.items(), plotting.CLASSES, strict=True):
        panel.scatter(
            x,
            y,
            s=5 if verdict == RIGHT else 9,
            color=colour,
            linewidths=0,
            label=verdict,
            alpha=0.35 if many and verdict == RIGHT else 0.8,
            rasterized=many,
            clip_on=False,
            zorder=3,
        )
    everything = np.concatenate([x for x, _ in points.values()])
    panel.axvline(1.0, color="black", linewidth=0.8)
    panel.set_xscale("log")
    panel.set_xlim(
        max(LOWEST, min(1e-3, everything.min(initial=1.0) / 2)),
        min(HIGHEST, max(10.0, 3 * everything.max(initial=1.0))),
    )
    panel.set_ylim(len(table) - 0.5, -0.5)
    panel.set_yticks(np.arange(len(table)))
    panel.set_yticklabels([_ascii(line.quantity) for line in table], parse_math=False)
    panel.tick_params(axis="y", length=0)
    panel.grid(axis="x", alpha=0.25, linewidth=0.5)
    panel.set_xlabel("error / largest error that rounding explains")
    panel.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncol=2, markerscale=2)
    return _svg(made)


def _points(outcome: Outcome, table: list[Line], verdict: str) -> tuple[Any, Any]:
    """Where the rows of a verdict stand; the same places every time."""
    at = {line.quantity: i for i, line in enumerate(table)}
    rows = [r for r in outcome.rows if r.verdict == verdict and r.name in at]
    x = np.array([ratio(row) for row in rows], dtype=float)
    keep = ~np.isnan(x)  # a row without a number has no place
    shift = 0.3 * np.modf(0.5 + 0.618034 * np.arange(len(rows)))[0] - 0.15
    y = np.array([at[row.name] for row in rows], dtype=float) + shift
    return np.clip(x, LOWEST, HIGHEST)[keep], y[keep]


def _ascii(text: str) -> str:
    """Text that every font has, of bounded length."""
    encoded = clean(text).encode("ascii", "replace").decode()
    return encoded if len(encoded) <= 40 else encoded[:37] + "..."


def _svg(made: Any) -> bytes:
    file = io.BytesIO()
    made.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    return file.getvalue()
