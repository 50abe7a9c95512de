"""What every report writes, so that it is known before any work whether it can be written."""

from __future__ import annotations

from pathlib import Path

from refode import _files


def _pictures(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}.{suffix}" for name in names for suffix in ("png", "pdf"))


#: Files by report: of ``validate`` in the folder itself, of the others in one of their name.
FILES = {
    "figure1": (*_pictures("figure1", "figure1_anode_1d"), "figure1.json"),
    "figure2": (*_pictures("figure2", "figure2_toys"), "figure2.json"),
    "figure3": (*_pictures("figure3"), "figure3.npz", "figure3.json"),
    "games": (*_pictures("transport", "crowd"), "games.json"),
    "densities": (*_pictures("densities"), "densities.json"),
    "paradigms": (*_pictures("paradigms"), "paradigms.json"),
    "depth": (*_pictures("depth"), "depth.json"),
    "trajectories": (*_pictures("trajectories", "trajectories_sunspots"), "trajectories.json"),
    "realdata": (*_pictures("realdata"), "realdata.json"),
    "validate": (
        *_pictures("gradients", "taylor", "flows_orders", "games_orders", "games_entropy"),
        *_pictures(*(f"orders_{number}" for number in range(1, 6))),
        "validate.json",
        "mutations.json",
        "mutations.md",
    ),
}


def partial(report: str, place: Path) -> Path:
    """Where the numbers of a report are kept that was stopped before its end."""
    return place / f"{report}.partial.json"


def folder(report: str, out: str | Path) -> Path:
    """Return the folder of a report below `out`, made where missing.

    Raises
    ------
    ValueError
        It is no folder or cannot be written to, or a device, a pipe or a folder stands where one
        of the report's files goes.
    """
    place = Path(out) if report == "validate" else Path(out) / report
    return _files.writable_in("out", place, (*FILES[report], partial(report, place).name))
