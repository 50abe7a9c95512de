"""Entries from which sweeps are staged on a device: what has been measured, and kept."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from refode import _files
from refode.cuda import device
from refode.machine.cache import cache_root

#: Entries of the largest matrix from which products are staged, unless crossover.py has measured
#: it: an estimate.
WIDE = 64 * 1024


def store() -> Path:
    """The file of all devices' numbers."""
    return cache_root() / "devices.json"


@functools.cache
def _known() -> dict[str, dict[str, float]]:
    """What the file says; nothing where there is none.

    Raises
    ------
    ValueError
        A file of another form.
    """
    try:
        stored = json.loads(store().read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(_spoilt(error)) from error
    rows = stored.values() if isinstance(stored, dict) else [None]
    if not all(isinstance(r, dict) and all(_is_size(n) for n in r.values()) for r in rows):
        raise ValueError(_spoilt("not numbers of entries by device and number type"))
    return stored


def _is_size(n: Any) -> bool:
    return isinstance(n, int | float) and not isinstance(n, bool) and n > 0


def _spoilt(why: Any) -> str:
    return (
        f"devices: got a file that cannot be read, {store()} ({why}), wanted what "
        "refode.cuda.calibrate writes; delete it to return to the estimate"
    )


def wide(dtype: str) -> float:
    """Entries from which sweeps are staged on this device: measured, else ``WIDE``."""
    return _known().get(device.name(), {}).get(dtype, WIDE)


def _keep(dtype: str, entries: float) -> None:
    """Add a number to the file, which is replaced as a whole."""
    known = {name: dict(row) for name, row in _known().items()}
    known.setdefault(device.name(), {})[dtype] = entries
    path = store()
    _files.write(
        _files.writable_in("devices", path.parent) / path.name, json.dumps(known, indent=1)
    )
    _known.cache_clear()
