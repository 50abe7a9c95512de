"""Where machine code is kept: one file a root, named by all that decides its content.

A file holds the object code that LLVM made, a few words about it and a digest of both. It
is written beside its place and moved there, so that nobody reads half of one; whatever
cannot be read, or does not have its digest, is compiled again and replaced. Nothing in it
is executed by reading it but the machine code itself.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SUFFIX = ".o1"  # with the format's number
DAYS_KEPT = 90  # without use
_USED_AGAIN = 86400.0  # seconds after which a use is noted once more


def cache_root() -> Path:
    """Folder of all cached machine code: REFODE_CACHE_DIR, else the user's cache folder."""
    named = os.environ.get("REFODE_CACHE_DIR")
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "refode"


@functools.cache
def cache_folder() -> Path:
    """The folder in use: the root, or one below the temporary folder if that is read-only."""
    folder = cache_root()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        user = os.getuid() if hasattr(os, "getuid") else "user"
        folder = Path(tempfile.gettempdir()) / f"refode-{user}"
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def load(name: str) -> tuple[dict[str, Any], bytes] | None:
    """What was said of the root of this name, and its object code; None if it is not there."""
    file = cache_folder() / (name + SUFFIX)
    try:
        content = file.read_bytes()
    except OSError:
        return None
    digest, body = content[:32], content[32:]
    if hashlib.sha256(body).digest() != digest:
        return None
    size = int.from_bytes(body[:4], "little")
    _note_use(file)
    return json.loads(body[4 : 4 + size]), body[4 + size :]


def store(name: str, facts: dict[str, Any], code: bytes) -> None:
    """Keep object code; where that fails, this process computes without."""
    head = json.dumps(facts).encode()
    body = len(head).to_bytes(4, "little") + head + code
    with contextlib.suppress(OSError):
        folder = cache_folder()
        handle, draft = tempfile.mkstemp(dir=folder, prefix="draft-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(body).digest() + body)
            os.replace(draft, folder / (name + SUFFIX))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise
        _clear_old()


def _note_use(file: Path) -> None:
    """Let the time of a file say when it was used, to the day."""
    with contextlib.suppress(OSError):
        if time.time() - file.stat().st_mtime > _USED_AGAIN:
            os.utime(file)


@functools.cache
def _clear_old() -> None:
    """Once a process that compiles: forget what nobody has used for long, drafts too."""
    now = time.time()
    for file in cache_folder().iterdir():
        with contextlib.suppress(OSError):
            days = (now - file.stat().st_mtime) / 86400
            if (file.suffix == SUFFIX and days > DAYS_KEPT) or (
                file.name.startswith("draft-") and days > 1
            ):
                file.unlink()
            elif is_former(file) and days > DAYS_KEPT:
                for part in file.iterdir():
                    part.unlink()
                file.rmdir()


def is_former(folder: Path) -> bool:
    """Whether this is a folder of the former cache, whose name was a hash of all sources."""
    name = folder.name
    return len(name) == 16 and set(name) <= set("0123456789abcdef") and folder.is_dir()
