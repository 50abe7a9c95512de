"""What the validation scripts share: arguments, tables, checks, plots and the exit status."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

# Okabe and Ito's colours, told apart by colour-blind readers too
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#6E6E6E",
)

STYLE = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.labelsize": 11,
    "legend.fontsize": 9.5,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.bbox": "tight",
    "savefig.dpi": 200,
    "pdf.fonttype": 42,  # text stays text
}


def arguments(description: str, name: str) -> argparse.ArgumentParser:
    """Parser with the arguments of every script: ``--out`` and ``--quick``."""
    parser = argparse.ArgumentParser(
        description=description,
        epilog="Exit status: 0 all checks held, 1 one did not.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results") / name,
        metavar="DIR",
        help="folder for everything that is written (default: %(default)s)",
    )
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases")
    return parser


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; all columns but the first are numbers."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", no_wrap=i == 0)
    for row in rows:
        table.add_row(*row)
    Console(width=None if os.isatty(1) else 120).print(table)


@dataclass
class Report:
    """The checks of a script and the files that it wrote."""

    out: Path
    rows: list[tuple[str, str, str, bool]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)

    def at_most(self, what: str, value: float, bound: float, unit: str = "") -> None:
        """Check value <= bound (a NaN fails)."""
        self._add(what, f"{value:.3g} {unit}", f"<= {bound:g} {unit}", bool(value <= bound))

    def at_least(self, what: str, value: float, bound: float, unit: str = "") -> None:
        """Check value >= bound (a NaN fails)."""
        self._add(what, f"{value:.3g} {unit}", f">= {bound:g} {unit}", bool(value >= bound))

    def within(self, what: str, value: float, centre: float, width: float) -> None:
        """Check |value - centre| <= width (a NaN fails)."""
        ok = bool(abs(value - centre) <= width)
        self._add(what, f"{value:.3f}", f"{centre:g} +- {width:g}", ok)

    def _add(self, what: str, value: str, wanted: str, ok: bool) -> None:
        self.rows.append((what, value.strip(), wanted.strip(), ok))

    def json(self, name: str, data: Any) -> None:
        """Write data as JSON."""
        file = self.out / name
        file.write_text(json.dumps(data, indent=1) + "\n")
        self.files.append(file)

    def figure(self, figure: Any, name: str) -> None:
        """Save a figure as PNG and PDF."""
        for ending in ("png", "pdf"):
            file = self.out / f"{name}.{ending}"
            figure.savefig(file)
            self.files.append(file)

    def finish(self, check: bool = True) -> int:
        """Print the checks and the files; the exit status (always 0 unless ``check``)."""
        rows = [(a, b, c, "ok" if ok else "FAILED") for a, b, c, ok in self.rows]
        print_table("Checks", ("what", "measured", "wanted", "verdict"), rows)
        print(f"files in {self.out.resolve()}: " + ", ".join(f.name for f in self.files))
        failed = sum(not ok for *_, ok in self.rows)
        print(f"{len(self.rows) - failed} passed, {failed} failed")
        return int(check and (failed > 0 or not self.rows))


def machine() -> dict[str, Any]:
    """Processor, operating system and versions, for the record."""
    versions = {}
    for package in ("refode", "numpy", "scipy", "numba", "jax", "diffrax", "torch", "torchdiffeq"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }


def usable_cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
