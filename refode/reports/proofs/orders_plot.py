"""Errors against the step, one panel a quantity, the points that were judged filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from refode import plotting
from refode.reports.proofs.convergence import QUANTITIES, Study

TITLES = {
    "state": r"state $z(T)$",
    "log-det": r"log-determinant $\ell(T)$",
    "theta": r"gradient in $\theta$",
    "x": r"gradient in $x$",
    "t0, T": r"gradient in $t_0, T$",
}
LINES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D")


def draw(groups: Mapping[str, Sequence[Study]], out: Path) -> list[Path]:
    """One picture a group; PNG and PDF."""
    files = []
    for number, (title, studies) in enumerate(groups.items(), start=1):
        files += plotting.save(_picture(title, studies), out, f"orders_{number}")
    return files


def _picture(title: str, studies: Sequence[Study]) -> Any:
    made = plotting.figure(7.2, 4.6)
    made.suptitle(f"Error against step: {title}", fontsize=9)
    axes = made.subplots(2, 3, sharex=True).ravel()
    styles, names = _styles(studies), _names(studies)
    for panel, quantity in zip(axes, QUANTITIES, strict=False):
        shown = [s for s in studies if quantity in s.reports]
        for s in shown:
            _line(panel, s, quantity, names[s.name], styles[s.name])
        panel.set_title(TITLES[quantity])
        if shown:
            panel.set_xscale("log", base=2)
            panel.set_yscale("log")
        else:
            panel.set_yticks([])
            panel.tick_params(bottom=False)
            panel.text(0.5, 0.5, "0 exactly", ha="center", transform=panel.transAxes)
        panel.grid(alpha=0.25, linewidth=0.5)
    for panel in axes[2:5]:  # the lowest panel of each column
        panel.set_xlabel(r"step $h$")
        panel.tick_params(labelbottom=True)
    for panel in axes[::3]:
        panel.set_ylabel("RMS error")
    axes[5].axis("off")
    handles, labels = axes[0].get_legend_handles_labels()
    told = any(names[s.name] == f"{s.name} ({s.order})" for s in studies)
    brackets = "in brackets: the order\n" if told else ""
    axes[5].legend(
        handles,
        labels,
        loc="center",
        ncol=1 if len(labels) < 9 else 2,
        fontsize=6.2,
        handlelength=2.6,
        columnspacing=1.0,
        title=f"{brackets}filled: judged\nhollow: larger steps, or rounding",
        title_fontsize=6.2,
    )
    made.tight_layout()
    return made


def _styles(studies: Sequence[Study]) -> dict[str, dict[str, Any]]:
    """Colour by order, or by scheme where all have one order; line and marker within."""
    orders = sorted({s.order for s in studies})
    seen: dict[int, int] = {}
    styles = {}
    for i, s in enumerate(studies):
        k = seen[s.order] = seen.get(s.order, -1) + 1
        colour = i if len(orders) == 1 else orders.index(s.order)
        styles[s.name] = {
            "color": plotting.CYCLE[colour % len(plotting.CYCLE)],
            "linestyle": LINES[k % len(LINES)],
            "marker": MARKERS[k % len(MARKERS)],
        }
    return styles


def _names(studies: Sequence[Study]) -> dict[str, str]:
    """What the legend says: the order where it differs, the scheme where there is more than one."""
    schemes = {s.name.split(", ")[0] for s in studies}
    if len(schemes) == 1 and len(studies) > 1:
        return {s.name: s.name.split(", ", 1)[-1].replace("()", "") for s in studies}
    return {s.name: f"{s.name} ({s.order})" for s in studies}


def _line(panel: Any, s: Study, quantity: str, label: str, style: dict[str, Any]) -> None:
    report = s.reports[quantity]
    above = np.flatnonzero(report.errors > report.floor)
    judged = np.zeros(len(report.steps), dtype=bool)
    if report.n_used:
        judged[above[-1] - report.n_used : above[-1] + 1] = True
    panel.plot(
        report.steps,
        np.where(report.errors > 0, report.errors, np.nan),
        markersize=3.2,
        markerfacecolor="white",
        markeredgewidth=0.7,
        linewidth=0.9,
        label=label,
        **style,
    )
    panel.plot(
        report.steps[judged],
        report.errors[judged],
        linestyle="none",
        markersize=3.2,
        marker=style["marker"],
        color=style["color"],
    )
