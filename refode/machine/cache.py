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
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SUFFIX = ".o1"  # with the format's number
DAYS_KEPT = 90  # without use
_USED_AGAIN = 86400.0  # seconds after which a use is noted once more


def cache_root() -> Path:
    """Folder of all cached machine code: REFODE_CACHE_DIR, else the user's cache folder.

    Where the user has no home, as in some containers, a private folder below the temporary one.

    Raises
    ------
    ValueError
        REFODE_CACHE_DIR begins with a ~ that stands for no folder.
    """
    named = os.environ.get("REFODE_CACHE_DIR")
    if named:
        try:
            return Path(named).expanduser().absolute()
        except RuntimeError as error:
            raise ValueError(
                f"REFODE_CACHE_DIR: got {named!r}, wanted a folder ({error})"
            ) from None
    base = _users_cache()
    if base is not None:
        return base / "refode"
    return _fallback() or Path(os.devnull) / "refode"  # below which there is nothing


def _users_cache() -> Path | None:
    """Where programs keep what they can make anew; None where the user has no such folder."""
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    named = Path(os.environ.get(variable, ""))
    # the XDG specification: empty is as good as unset, and relative paths are ignored
    if sys.platform != "darwin" and named.is_absolute():
        return named
    try:
        home = Path.home()
    except (RuntimeError, KeyError):  # neither a variable nor an entry among the users
        return None
    if not os.environ.get("HOME", "/") or not home.is_absolute():  # empty, which reads as /
        return None
    if sys.platform == "win32":
        return home / "AppData" / "Local"
    return home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"


@functools.cache
def cache_folder() -> Path:
    """Where new code goes: the root, or a folder below the temporary one if that is read-only."""
    folder = cache_root()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        return _fallback() or folder
    return folder


def _fallback() -> Path | None:
    with contextlib.suppress(OSError):  # there need not be a temporary folder
        return _private(tempfile.gettempdir())
    return None


@functools.cache
def _private(temporary: str) -> Path | None:
    """A folder there that is ours alone: one of an earlier process, else a new one.

    Anyone may make folders there first, with whatever code inside, under whatever name.
    """
    user = os.geteuid() if hasattr(os, "geteuid") else "user"
    with contextlib.suppress(OSError):
        for found in sorted(Path(temporary).glob(f"refode-{user}-*")):
            if _is_private(found):
                return found
        return Path(tempfile.mkdtemp(prefix=f"refode-{user}-", dir=temporary))
    return None


def _is_private(folder: Path) -> bool:
    """Whether it is a folder of this user's, no link to one, that nobody else can look into."""
    if not hasattr(os, "geteuid"):
        return folder.is_dir()
    try:
        found = folder.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.geteuid()
        and not stat.S_IMODE(found.st_mode) & 0o077
    )


def _is_ours(folder: Path) -> bool:
    """Whether nobody else can have put code there: the user's own folder, or a private one."""
    users = os.environ.get("REFODE_CACHE_DIR") or _users_cache()
    return (bool(users) and folder == cache_root()) or _is_private(folder)


def load(name: str) -> tuple[dict[str, Any], bytes] | None:
    """What was said of the root of this name, and its object code; None if it is not there."""
    found, root = None, cache_root()
    for folder in (root, cache_folder()):  # the first may be read-only, and warm
        if found is None and _is_ours(folder):
            found = _read(folder / (name + SUFFIX))
    if found is None or found[0]["name"] != name:  # somebody has renamed a file
        return None
    return found


def _read(file: Path) -> tuple[dict[str, Any], bytes] | None:
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
    head = json.dumps({**facts, "name": name}).encode()
    body = len(head).to_bytes(4, "little") + head + code
    with contextlib.suppress(OSError):
        folder = cache_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # once more: it may be gone
        if not _is_ours(folder):
            return
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
    for file in cache_folder().iterdir():
        with contextlib.suppress(OSError):
            if is_former(file):
                _clear_former(file)
            elif (file.suffix == SUFFIX and _days(file) > DAYS_KEPT) or (
                file.name.startswith("draft-") and _days(file) > 1
            ):
                file.unlink()


def _days(file: Path) -> float:
    """Days since a file was used or a folder changed."""
    return (time.time() - file.lstat().st_mtime) / 86400


def _clear_former(folder: Path) -> None:
    """Delete a folder of the former cache, where it is old; what is not Numba's stays."""
    inside = [folder, *folder.rglob("*")]
    if min(map(_days, inside)) < DAYS_KEPT:
        return
    for path in reversed(inside):  # folders after what they hold
        with contextlib.suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            elif path.suffix in (".nbi", ".nbc"):
                path.unlink()


def is_former(folder: Path) -> bool:
    """Whether this is a folder of the former cache, whose name was a hash of all sources."""
    name = folder.name
    return len(name) == 16 and set(name) <= set("0123456789abcdef") and folder.is_dir()
