"""Drafts: files that are written beside those they will replace, and cleared away after a kill.

A draft's name is short, of one length, and its own, so that any name can be written by any number
of threads and processes at a time. Whoever writes one holds a lock on it, which ends with the
process, however that ends: a draft that nobody holds is left over, and goes when the same name is
written next.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows, which has no such locks
    fcntl = None

#: Seconds after which a draft is left over where there are no locks.
AGE = 86_400.0


@contextlib.contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """An empty file beside `path`, to be written and moved there; gone afterwards, if still there.

    Raises
    ------
    OSError
        No file can be made there.
    """
    for left in _of(path):
        _clear(left)
    draft, held = _made(path)
    try:
        yield draft
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        if held is not None:
            os.close(held)


def _prefix(path: Path) -> str:
    digest = hashlib.blake2b(os.fsencode(path.name), digest_size=6)
    return f".refode-{digest.hexdigest()}-"


def _of(path: Path) -> list[Path]:
    """The drafts of `path` that there are."""
    try:
        names = os.listdir(path.parent)
    except OSError:  # one may write into a folder and not look into it
        return []
    prefix = _prefix(path)
    return [path.parent / name for name in names if name.startswith(prefix)]


def _made(path: Path) -> tuple[Path, int | None]:
    """A new draft, and what holds its lock until it is closed."""
    while True:
        draft = path.with_name(f"{_prefix(path)}{secrets.token_hex(6)}.part")
        number = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        if fcntl is None:  # nor can an open file be moved there
            os.close(number)
            return draft, None
        with contextlib.suppress(OSError):  # a file system without locks: nobody will clear it
            fcntl.flock(number, fcntl.LOCK_EX)  # for a moment somebody may hold it, to clear it
        if draft.exists():
            return draft, number
        os.close(number)  # that was so


def _clear(draft: Path) -> None:
    """Remove a draft that nobody holds."""
    with contextlib.suppress(OSError):
        number = os.open(draft, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        try:
            if fcntl is not None:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an OSError where it is held
            if fcntl is not None or time.time() - os.fstat(number).st_mtime > AGE:
                draft.unlink()
        finally:
            os.close(number)
