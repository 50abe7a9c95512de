"""How much memory there is, asked before something large is made of it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

#: Below so many bytes nobody asks, so that ordinary calls cost nothing.
ALWAYS = 2**28
#: Where the system does not say.
UNKNOWN = 2**36
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def available() -> int:
    """Bytes that a process may still take: the least of what system, limits and group say."""
    return min(_limits(), default=UNKNOWN)


def _limits() -> Iterator[int]:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        yield from (1024 * int(text.split()[1]) for text in lines if text.startswith("MemAvail"))
    except (OSError, ValueError, IndexError):  # no Linux
        with contextlib.suppress(AttributeError, OSError, ValueError):
            yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):  # no group, or no limit
        yield int(Path("/sys/fs/cgroup/memory.max").read_text("ascii"))
    if sys.platform != "win32":
        import resource

        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        if soft != resource.RLIM_INFINITY:
            yield soft


def in_words(n: int) -> str:
    """A number of bytes as people say it: 8.0 GB."""
    power = min((len(str(n)) - 1) // 3 if n < 10**21 else len(_UNITS), len(_UNITS))
    if power == len(_UNITS):
        return "more than 1000 EB"
    return f"{n / 1000**power:.1f} {_UNITS[power]}" if power else f"{n} B"
