"""Who waits for the compiler is told so, may end it, and does not find its time in other times.

One line on stderr, once a process, where compiling has taken a second.

Ctrl-C may come at any moment, in the middle of an import or of a callback that swallows
exceptions, and what the compiler has half done then would be in the way of the next attempt.
So it is noted, and raised between two functions (``check``), some hundredths of a second later.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE = 1.0  # seconds of silence
_state: dict[str, Any] = {"seconds": 0.0, "depth": 0, "told": False, "interrupts": None}
_shown: list[bool] = []


def seconds() -> float:
    """Seconds that this process has spent compiling, to be taken out of other times."""
    return _state["seconds"]


@contextmanager
def shown(wanted: bool = True) -> Iterator[None]:
    """Within it progress is shown, or not, whether or not stderr is a terminal."""
    _shown.append(wanted)
    try:
        yield
    finally:
        _shown.pop()


def _wanted() -> bool:
    if os.environ.get("REFODE_QUIET"):
        return False
    if _shown:
        return _shown[-1]
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # none, or closed
        return False


def _tell(label: str) -> None:
    if not _state["told"]:
        _state["told"] = True
        print(
            f"refode: compiling {label} and what goes with it (once, then kept)",
            file=sys.stderr,
            flush=True,
        )


@contextmanager
def compiling(label: str) -> Iterator[None]:
    """Time what is compiled, and say so where somebody waits."""
    start = time.perf_counter()
    waiting = None
    if _state["depth"] == 0 and not _state["told"] and _wanted():
        left = PATIENCE - _state["seconds"]
        if left > 0.0:
            waiting = threading.Timer(left, _tell, (label,))
            waiting.daemon = True
            waiting.start()
        else:
            _tell(label)
    _state["depth"] += 1
    try:
        yield
    finally:
        _state["depth"] -= 1
        if waiting is not None:
            waiting.cancel()
        if _state["depth"] == 0:
            _state["seconds"] += time.perf_counter() - start


# --- Ctrl-C ----------------------------------------------------------------------------------
@contextmanager
def interruptible(label: str) -> Iterator[None]:
    """Ctrl-C within it is raised where ``check`` is called, without the compiler's frames."""
    if not _takes_interrupts():
        yield
        return
    _state["interrupts"] = 0
    signal.signal(signal.SIGINT, _note)
    stopped = False
    try:
        yield
    except KeyboardInterrupt:
        stopped = True
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        noted, _state["interrupts"] = _state["interrupts"], None
    if stopped or noted:
        raise KeyboardInterrupt(f"while compiling {label}") from None


def _takes_interrupts() -> bool:
    """Whether Ctrl-C comes here, in Python's own way, and not to somebody further out."""
    return (
        _state["interrupts"] is None
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )


def _note(signum: int, frame: Any) -> None:
    _state["interrupts"] += 1
    if _state["interrupts"] > 1:  # somebody is impatient
        raise KeyboardInterrupt


def check() -> None:
    """Raise the KeyboardInterrupt that has come meanwhile, if one has."""
    if _state["interrupts"] and threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt
