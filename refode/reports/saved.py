"""``refode info FILE``: what is in a saved model or a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from refode import _validate
from refode.saving import content
from refode.saving.build import built
from refode.saving.content import printable
from refode.saving.kinds import Unreadable
from refode.training.checkpoint import load, summary

__all__ = ["collect", "run"]

Rows = list[tuple[str, str]]

#: Lines of a problem that are shown, and characters of one.
LINES, WIDTH = 200, 100


def run(console: Console, path: str) -> None:
    """Print what is in a file.

    Raises
    ------
    ValueError
        The file is missing, damaged, or none of refode's.
    """
    title = Text(f"refode info {printable(path)}")  # no markup of rich's
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for section, rows in collect(path).items():
        for i, (what, value) in enumerate(rows):
            table.add_row("" if i else section, Text(what), Text(value))
        table.add_section()
    console.print(table)


def collect(path: str) -> dict[str, Rows]:
    """Sections of (what, value) rows on a file; errors as of ``run``."""
    place = content.found(_validate.path("path", path))
    kind, members = content.read(place)
    size = f"{place.stat().st_size} bytes"
    if kind == content.FORMAT:
        file = [("holds", "a model"), ("size", size), ("format", kind)]
        return {"file": file, **_model(place, kind, members)}
    file = [("holds", "a checkpoint of refode.train"), ("size", size), ("format", kind)]
    described = content.is_described(members)
    problem = _model(place, kind, members) if described else {}
    stored = summary(load(place, members))
    return {"file": file, **problem, **_training(stored, alone=not described)}


def _model(path: Path, kind: str, members: dict[str, np.ndarray]) -> dict[str, Rows]:
    whole, theta, _ = content.content(path, kind, members)
    outside = whole["outside"]
    if not outside:  # then all is there to see that it can be loaded
        try:
            built(whole, members, theta.size, {}, ("cpu", "float64"))
        except Unreadable as error:
            raise content.refused(path, error) from error
    lines = list(_outline("", whole["problem"], members, 0))
    if len(lines) > LINES:
        lines = [*lines[:LINES], ("...", f"{len(lines) - LINES} lines more")]
    sections = {"written by": [("refode", printable(whole["refode"]))], "problem": lines}
    if outside:
        sections["to be given"] = [
            (printable(name), printable(f"{about['repr']}, {about['place']}"))
            for name, about in outside.items()
        ]
    return {**sections, "parameters": _parameters(whole["layout"], theta)}


def _parameters(layout: dict[str, Any], theta: np.ndarray) -> Rows:
    shapes = [(printable(name), _shape(shape)) for name, shape in layout.items()]
    if len(shapes) > LINES:
        shapes = [*shapes[:LINES], ("...", f"{len(shapes) - LINES} arrays more")]
    largest = float(np.abs(theta).max(initial=0.0))
    return [("in all", str(theta.size)), *shapes, ("largest", f"{largest:.3g}")]


def _training(stored: Any, alone: bool) -> dict[str, Rows]:
    """The run in a checkpoint, and what it knows of the problem where nothing else says it."""
    rows = [
        ("iterations", str(stored.nit)),
        ("evaluations", str(stored.nfev)),
        ("best value", repr(float(stored.fun))),
        ("|gradient| there", f"{stored.gradient_norm:.3g}"),
        ("method", printable(str(stored.settings.get("method")))),
    ]
    if not alone:
        return {"training": rows}
    written, known = (str(stored.settings.get(name)) for name in ("refode", "problem"))
    return {
        "written by": [("refode", printable(written))],
        "problem": [("known as", printable(known)), ("in the file", "no: theta alone")],
        "parameters": [("in all", str(stored.x.size))],
        "training": rows,
    }


def _outline(
    name: str, found: Any, members: dict[str, np.ndarray], depth: int
) -> Iterator[tuple[str, str]]:
    """Lines of a described object: its class, then a line an argument, indented."""
    indent = "  " * depth
    label = printable(name)
    made = isinstance(found, dict) and set(found) == {"class", "with"}
    if made and isinstance(found["with"], dict):
        yield indent + label, printable(str(found["class"]))
        for argument, value in found["with"].items():
            yield from _outline(argument, value, members, depth + 1)
    elif isinstance(found, dict) and "outside" in found:
        yield indent + label, f"{printable(str(found['outside']))}, to be given"
    elif isinstance(found, dict) and set(found) == {"array"}:
        yield indent + label, _array(members.get(f"array{found['array']}"))
    else:
        yield indent + label, _shortened(printable(str(found)))


def _array(array: np.ndarray | None) -> str:
    if array is None:
        return "missing"
    if array.size <= 6:
        return str(array.tolist())
    return f"numbers of shape {array.shape}"


def _shape(shape: Any) -> str:
    return printable(str(tuple(shape)) if isinstance(shape, list) else str(shape))


def _shortened(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."
