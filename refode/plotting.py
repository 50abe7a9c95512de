"""One look for every picture: sizes, fonts, colour-blind-safe colours, PNG and PDF."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from refode import _files

# Okabe and Ito's palette (2008), told apart with every common colour vision
BLUE, ORANGE, GREEN, PINK, SKY, VERMILION, YELLOW = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
)
CYCLE: Any = (BLUE, VERMILION, GREEN, ORANGE, PINK, SKY, "#000000")
CLASSES = (BLUE, VERMILION)
PALE_CLASSES = ("#cfe3f2", "#f7dcc8")
ALERT = "#F0E442"

STYLE: Any = {
    "figure.dpi": 150,
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "mathtext.fontset": "cm",
    "pdf.fonttype": 42,
    "svg.hashsalt": "refode",
}


def use() -> None:
    """Give this look to every figure from here on, pyplot's too."""
    import matplotlib as mpl
    from cycler import cycler

    mpl.rcParams.update(STYLE)
    mpl.rcParams["axes.prop_cycle"] = cycler(color=CYCLE)


def figure(width: float, height: float) -> Any:
    """A figure of a size in inches, drawn without a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    use()
    made = Figure(figsize=(width, height), dpi=200)
    FigureCanvasAgg(made)
    return made


def save(made: Any, folder: str | Path, name: str) -> list[Path]:
    """Write name.png and name.pdf into the folder, and return their paths."""
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it remarks on font dates
    target = _files.writable_in("folder", folder)
    paths = [target / f"{name}.png", target / f"{name}.pdf"]
    with _files.replacing(paths[0]) as file:
        made.savefig(file, format="png", dpi=250, bbox_inches="tight", metadata={"Software": None})
    with _files.replacing(paths[1]) as file:
        made.savefig(file, format="pdf", bbox_inches="tight", metadata={"CreationDate": None})
    return paths
