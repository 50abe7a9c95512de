"""What the parts of ``refode validate`` on flows and on games have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refode.reports.proofs.invariants import SAMPLES, threads
from refode.reports.section import Section, table, verdict
from refode.verify import DotReport, GradientReport, OrderReport

# --- derivatives ---------------------------------------------------------------------------


@dataclass(frozen=True)
class ExaminedRow:
    """What was found about the derivatives of one case."""

    case: Any  # with a name and theta
    dot: DotReport
    gradient: GradientReport

    @property
    def passed(self) -> bool:
        """Whether both checks were met."""
        return bool(self.dot) and self.gradient.passed

    @property
    def failures(self) -> list[str]:
        """Verdicts of what failed."""
        reports: tuple[Any, ...] = (self.dot, self.gradient)
        return [f"{r.name}: {r.verdict}" for r in reports if not r.passed]

    @property
    def slope_error(self) -> float:
        """Largest distance from 2 of the slopes fitted to Taylor remainders; NaN if none was."""
        fitted = [t.slope1 for t in self.gradient.taylor if t.kind1 == "power law"]
        return max((abs(s - 2.0) for s in fitted), default=np.nan)


def derivatives(
    section: Section, chosen: Sequence[Any], examine: Callable[[Any], ExaminedRow], what: str
) -> None:
    """Examine the cases of ``what``, one after another, print the table, keep the verdicts."""
    rows = []
    for case in chosen:
        rows.append(examine(case))
        if sys.stdout.isatty():
            print(f"\r{len(rows)} of {len(chosen)} {what}", end="", flush=True)
    print(f"{chr(13) if sys.stdout.isatty() else ''}{len(rows)} {what} examined")
    table(
        f"{what.capitalize()}: relative errors of derivatives, and the smallest that would have "
        "been visible",
        [
            "case",
            "parameters",
            "dot test",
            "gradient",
            "visible",
            "slope - 2",
            "Hessian",
            "visible",
            "verdict",
        ],
        [_entries(row) for row in rows],
    )
    for row in rows:
        g = row.gradient
        measured = "; ".join(row.failures) or (
            f"relative error {g.relative_error:.1e}, could have seen {g.smallest_detectable:.1e}"
        )
        section.add(f"derivatives of {row.case.name}", row.passed, measured, "rounding alone")
    section.numbers["derivatives"] = [_numbers(row) for row in rows]


def _entries(row: ExaminedRow) -> list[str]:
    g, h = row.gradient, row.gradient.hessian
    dot = max(d / abs(s) for d, s in zip(row.dot.difference, row.dot.left, strict=True))
    numbers = [dot, g.relative_error, g.smallest_detectable]
    pair = [f"{h.relative_error:.0e}", f"{h.smallest_detectable:.0e}"] if h else ["-", "-"]
    return [
        row.case.name,
        str(row.case.theta.size),
        *(f"{n:.0e}" for n in numbers),
        f"{row.slope_error:.3f}",
        *pair,
        verdict(row.passed),
    ]


def _numbers(row: ExaminedRow) -> dict[str, Any]:
    g, h = row.gradient, row.gradient.hessian
    return {
        "name": row.case.name,
        "parameters": row.case.theta.size,
        "passed": row.passed,
        "failures": row.failures,
        "dot": row.dot.difference,
        "method": g.method,
        "gradient": {"error": g.relative_error, "seen": g.smallest_detectable},
        "slopes": [t.slope1 for t in g.taylor],
        "slopes2": [t.slope2 for t in g.taylor],
        "blocks": {b: (r.relative_error, r.smallest_detectable) for b, r in g.per_block.items()},
        "hessian": {"error": h.relative_error, "seen": h.smallest_detectable} if h else None,
    }


# --- threads -------------------------------------------------------------------------------


def same_bits(section: Section, everything: Callable[[int], dict[str, bytes]], what: str) -> None:
    """``everything(n)``, the bytes of all results for n samples, on one thread and on two."""
    for n in SAMPLES:
        with threads(1):
            one = everything(n)
        with threads(2):
            two = everything(n)
        differ = [name for name in one if one[name] != two[name]]
        measured = f"other bits in {', '.join(differ)}" if differ else "same bits"
        section.add(f"{what} on 1 and 2 threads, N = {n}", not differ, measured, "same bits")


# --- orders --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Study:
    """Errors of one scheme by quantity, and the orders observed."""

    scheme: str
    order: int
    reports: dict[str, OrderReport]

    @property
    def passed(self) -> bool:
        """Whether every quantity falls at its order."""
        return all(self.reports.values())


def orders_told(
    section: Section,
    what: str,
    studies: Sequence[Study],
    title: str,
    entry: Callable[[OrderReport], str],
    wanted: Callable[[Study], str],
) -> None:
    """Print the orders as a table, and add them to the section with what was wanted."""
    table(
        title,
        ["scheme", *studies[0].reports, "verdict"],
        [
            (f"{s.scheme} ({s.order})", *map(entry, s.reports.values()), verdict(s.passed))
            for s in studies
        ],
    )
    for s in studies:
        bad = [f"{name}: {r.verdict}" for name, r in s.reports.items() if not r]
        fitted = ", ".join(f"{r.order:.3f}" for r in s.reports.values())
        section.add(
            f"orders of a {what} by {s.scheme}",
            s.passed,
            "; ".join(bad) or fitted,
            f"{wanted(s)} ± 0.1, last 3 halvings",
        )
    section.numbers["orders"] = [
        {"scheme": s.scheme} | {q: (r.steps, r.errors, r.slopes) for q, r in s.reports.items()}
        for s in studies
    ]


def order_line(panel: Any, report: OrderReport, colour: str, marker: str, label: str) -> None:
    """Errors against the step: those judged filled, with a dotted line of the slope wanted."""
    h, e = report.steps, report.errors
    look = {"color": colour, "marker": marker, "markersize": 3.4}
    panel.plot(
        h,
        np.where(e > 0, e, np.nan),
        markerfacecolor="white",
        linewidth=0.8,
        markeredgewidth=0.7,
        label=label,
        **look,
    )
    if not report.n_used:
        return
    last = np.flatnonzero(e > report.floor)[-1]
    judged = slice(last - report.n_used, last + 1)
    panel.plot(h[judged], e[judged], linestyle="none", **look)
    guide = 0.45 * e[last] * (h[judged] / h[last]) ** report.expected
    panel.plot(h[judged], guide, ":", color=colour, linewidth=0.9)
