"""Tables, verdicts and number files, the same for every report that ``reproduce`` runs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from refode import _files
from refode.reports import outputs
from refode.reports.section import as_json
from refode.reports.section import table as show

__all__ = ["Kept", "finish", "keeping", "show"]


class Kept:
    """What a report has done so far, part by part."""

    def __init__(self) -> None:
        self.parts: dict[str, Any] = {}

    def add(self, name: str, numbers: Any) -> None:
        """Keep the numbers of a part that is done."""
        self.parts[name] = numbers


@contextlib.contextmanager
def keeping(name: str, folder: Path) -> Iterator[Kept]:
    """Within it, whatever stops the report leaves a file with the parts that are done."""
    kept = Kept()
    try:
        yield kept
    except BaseException:
        if kept.parts:
            file = outputs.partial(name, folder)
            record = {"complete": False, "parts": as_json(kept.parts)}
            _files.write(file, json.dumps(record, indent=2) + "\n")
            print(f"{name}: not finished; the parts that are done are in {file.resolve()}")
        raise


def finish(
    name: str, folder: Path, checks: Sequence[tuple[str, bool]], numbers: dict[str, Any]
) -> bool:
    """Print the verdicts, save the numbers, say where; True where all hold."""
    passed = all(bool(good) for _, good in checks)
    show(
        f"{name}: {'all holds' if passed else 'FAILED'}",
        ["check", "holds"],
        [[what, "yes" if good else "NO"] for what, good in checks],
    )
    record = {"passed": passed, "checks": {w: bool(g) for w, g in checks}, **numbers}
    made = _files.writable_in("folder", folder)
    _files.write(made / f"{name}.json", json.dumps(record, indent=2) + "\n")
    _files.remove("out", outputs.partial(name, made))
    print(f"files in {folder.resolve()}: {', '.join(sorted(f.name for f in folder.iterdir()))}")
    return passed
