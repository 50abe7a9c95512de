"""Errors found beside the smallest that could have been seen, and one Taylor table as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refode import plotting

if TYPE_CHECKING:
    from refode.reports.proofs.gradient_cases import GradientRow

TINIEST = 1e-18  # an error of zero is drawn here
CURVES = 24  # about as many cases in the Taylor plot, however many there are


def draw(rows: Sequence[GradientRow], out: Path) -> list[Path]:
    """Both pictures; PNG and PDF."""
    files = plotting.save(_errors(rows), out, "gradients")
    return files + plotting.save(_taylor(rows), out, "taylor")


def _errors(rows: Sequence[GradientRow]) -> Any:
    """One line a case where there are few, else all cases of a field on one line."""
    few = len(rows) <= 20
    labels = [r.case.name.replace("()", "") if few else r.case.kind for r in rows]
    places = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    made = plotting.figure(7.2, 1.3 + 0.24 * len(places))
    panels = made.subplots(1, 4, sharex=True, sharey=True)
    parts = (
        ("dot test", lambda r: (r.dot_error, max(d.smallest_detectable for d in r.dots))),
        ("gradient", lambda r: (r.gradient.relative_error, r.gradient.smallest_detectable)),
        (r"Hessian $\times$ vector", lambda r: _pair(r.gradient.hessian)),
        (r"$t_0, T$", lambda r: _pair(r.ends)),
    )
    for panel, (title, pair) in zip(panels, parts, strict=True):
        y = np.array([places[label] for label in labels])
        found, seen = np.array([pair(r) for r in rows]).T
        panel.plot(
            np.where(found < TINIEST, TINIEST, found),
            y - (0 if few else 0.14),
            "o",
            color=plotting.BLUE,
            markersize=3.5,
            alpha=0.6,
            markeredgewidth=0,
            label=f"relative error found (0 is drawn at {TINIEST:g})",
        )
        panel.plot(
            seen,
            y + (0 if few else 0.14),
            "|",
            color=plotting.VERMILION,
            markeredgewidth=1.0,
            markersize=6,
            label="smallest error that would have been seen",
        )
        panel.set_title(title)
        panel.set_xscale("log")
        panel.grid(axis="x", alpha=0.25, linewidth=0.5)
    bends = any(r.ends is None for r in rows)
    below = (0.4 if bends else 0.22) / made.get_figheight()  # the legend's lines
    made.supxlabel("relative error", fontsize=8, y=below + 0.08 / made.get_figheight())
    panels[0].set_yticks(range(len(places)), list(places), fontsize=5.8 if few else 7)
    panels[0].set_ylim(len(places) - 0.5, -0.5)
    handles, names = panels[0].get_legend_handles_labels()
    if bends:
        handles.append(panels[0].plot([], [], linestyle="none")[0])
        names.append(r"empty: $\theta(t)$ bends or jumps: no derivative by $t_0, T$")
    made.legend(handles, names, loc="lower center", ncol=2)
    for _ in range(2):  # narrower panels have other ticks, which want their own room
        made.tight_layout(rect=(0, below, 1, 1))
    return made


def _pair(report: Any) -> tuple[float, float]:
    if report is None:
        return np.nan, np.nan
    return report.relative_error, report.smallest_detectable


def _taylor(rows: Sequence[GradientRow]) -> Any:
    """Taylor remainders of some cases along their first directions, scaled to meet at h = 1e-2."""
    made = plotting.figure(4.4, 3.2)
    panel = made.subplots()
    orders = (
        (0, plotting.ORANGE, r"$E_0$: value alone, slope 1"),
        (1, plotting.BLUE, r"$E_1$: with the gradient, slope 2"),
        (2, plotting.GREEN, r"$E_2$: with the Hessian, slope 3"),
    )
    for k, colour, label in orders:
        for i, row in enumerate(rows[:: max(1, len(rows) // CURVES)]):
            table = row.gradient.taylor[0]
            e = getattr(table, f"e{k}")
            scale = np.interp(-2.0, np.log10(table.h[::-1]), e[::-1])
            with np.errstate(all="ignore"):
                y = np.where(e > 0, e / scale * 10.0 ** (-2.0 * (k + 1)), np.nan)
            panel.plot(table.h, y, color=colour, linewidth=0.6, alpha=0.7)
            if i == 0:
                panel.plot([], [], color=colour, label=label)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlabel(r"step $h$ along a random direction")
    panel.set_ylabel(r"Taylor remainder, scaled")
    panel.legend(loc="upper left")
    panel.grid(alpha=0.25, linewidth=0.5)
    made.tight_layout()
    return made
