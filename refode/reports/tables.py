"""Tables, verdicts and number files, the same for every report that ``reproduce`` runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from refode import _files
from refode.reports.section import table as show

__all__ = ["finish", "show"]


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
    print(f"files in {folder.resolve()}: {', '.join(sorted(f.name for f in folder.iterdir()))}")
    return passed
