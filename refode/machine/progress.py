"""Who waits for the compiler is told so: one line, on stderr, once it has taken a second."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE = 1.0  # seconds of silence
_state: dict[str, Any] = {"shown": 0, "seconds": 0.0, "depth": 0, "told": False}


def seconds() -> float:
    """Seconds that this process has spent compiling, to be taken out of other times."""
    return _state["seconds"]


@contextmanager
def shown() -> Iterator[None]:
    """Within it progress is shown, whether or not stderr is a terminal."""
    _state["shown"] += 1
    try:
        yield
    finally:
        _state["shown"] -= 1


def _wanted() -> bool:
    if os.environ.get("REFODE_QUIET"):
        return False
    if _state["shown"]:
        return True
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # none, or closed
        return False


def _tell(label: str) -> None:
    if not _state["told"]:
        _state["told"] = True
        print(f"refode: compiling {label} and what goes with it (once, then kept)", file=sys.stderr,
              flush=True)  # fmt: skip


@contextmanager
def compiling(label: str) -> Iterator[None]:
    """Time what is compiled; say so where somebody waits; end Ctrl-C without Numba's frames."""
    start = time.perf_counter()
    waiting = None
    if _state["depth"] == 0 and not _state["told"] and _wanted():
        waited = _state["seconds"]
        waiting = threading.Timer(max(PATIENCE - waited, 0.0), _tell, (label,))
        waiting.daemon = True
        waiting.start()
    _state["depth"] += 1
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"while compiling {label}").with_traceback(None) from None
    finally:
        _state["depth"] -= 1
        if waiting is not None:
            waiting.cancel()
        if _state["depth"] == 0:
            _state["seconds"] += time.perf_counter() - start
