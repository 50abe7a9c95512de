"""Orders of flows: errors against the step, one panel a quantity, with lines of wanted slope."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from refode import plotting
from refode.reports.proofs.examined import order_line

TITLES = (
    r"(a) $|\ell-\log|\det\nabla F^{-1}||$",
    r"(b) $|F(F^{-1}(y))-y|$",
    r"(c) $|\Delta\log\rho|$, forth and back",
)
MARKERS = ("o", "s", "^", "D", "v")


def draw(studies: Sequence[Any], out: Path) -> list[Path]:
    """One picture, PNG and PDF."""
    made = plotting.figure(7.2, 2.9)
    made.set_layout_engine("constrained")
    panels = made.subplots(1, 3, sharex=True, sharey=True)
    for k, panel in enumerate(panels):
        seen = dict.fromkeys((study.order for study in studies), 0)
        for study in studies:  # a colour an order, a marker a scheme
            colour = plotting.CYCLE[list(seen).index(study.order) % len(plotting.CYCLE)]
            marker = MARKERS[seen[study.order] % len(MARKERS)]
            seen[study.order] += 1
            label = f"{study.scheme} ({study.order})".replace("_", " ")
            order_line(panel, list(study.reports.values())[k], colour, marker, label)
        panel.set(xscale="log", yscale="log", title=TITLES[k], xlabel=r"step $h/(T-t_0)$")
        panel.set_xscale("log", base=2)
        panel.grid(alpha=0.25, linewidth=0.5)
    panels[0].set_ylim(bottom=1e-15)  # shared; below lies rounding alone
    panels[0].set_ylabel("RMS over data")
    handles, labels = panels[0].get_legend_handles_labels()
    made.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=min(len(labels), 5),
        title="scheme (order); filled: judged, hollow: larger steps, or rounding; "
        "dotted: slope wanted",
        title_fontsize=7,
    )
    return plotting.save(made, out, "flows_orders")
