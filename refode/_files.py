"""Where files are written: links are followed, and only regular files are replaced.

A link stays a link, and what it points to gets the data. What is neither absent nor a regular
file (a folder, a device, a named pipe) is refused, by `writable` and `writable_in` before any
work is done. Data go into a draft beside the file, which then takes its place: nobody reads half
a file, and where writing fails the former one is still there.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from refode import _drafts

_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "named pipe",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFSOCK: "socket",
}


class RefusedError(ValueError, OSError):
    """A name under which nothing can be written, or read."""


def shown(path: str | os.PathLike[str]) -> str:
    """A path in a message, of which nobody can read more than some lines."""
    text = repr(str(path))
    return text if len(text) <= 500 else f"{text[:497]}..."


def readable(name: str, path: str | os.PathLike[str]) -> Path:
    """Return the regular file that `path` leads to, or would lead to; see `writable`.

    Raises
    ------
    RefusedError
        Something else is there, of which reading might never end.
    """
    try:
        followed = Path(os.path.realpath(path))
        mode = followed.stat().st_mode
    except FileNotFoundError:
        return followed
    except (OSError, ValueError) as error:  # links in a circle, a null character
        why = error.strerror if isinstance(error, OSError) else error
        raise RefusedError(
            f"{name}: got {shown(path)}, which cannot be followed ({why})"
        ) from error
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "special file")
        raise RefusedError(f"{name}: got the {kind} {shown(path)}, wanted a file's name")
    return followed


def writable(name: str, path: str | os.PathLike[str]) -> Path:
    """Return where data for `path` belong, links followed.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    path : path

    Returns
    -------
    Path
        A regular file, or a name that is free in a folder that can be written to.

    Raises
    ------
    RefusedError
        A folder, a device or a named pipe is there, or a file that may not be changed, or the
        folder is missing or cannot be written to.
    """
    followed = readable(name, path)
    if not os.access(followed.parent, os.W_OK | os.X_OK):  # False too where it does not exist
        raise RefusedError(
            f"{name}: got {shown(path)}, wanted a name in a folder that can be written"
        )
    if followed.exists() and not os.access(followed, os.W_OK):
        raise RefusedError(f"{name}: got {shown(path)}, which may not be changed")
    return followed


def writable_in(name: str, folder: str | os.PathLike[str], files: Iterable[str] = ()) -> Path:
    """Return `folder`, made where missing, after a look at the `files` that will be written there.

    Raises
    ------
    RefusedError
        It is no folder, cannot be made or written to, or one of the files is refused by `writable`.
    """
    made = Path(folder)
    new = absent(made)
    try:
        made.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        remove_folders(new)
        why = getattr(error, "strerror", None) or error
        raise RefusedError(
            f"{name}: got {str(folder)!r}, which is no folder to write to ({why})"
        ) from error
    if not os.access(made, os.W_OK | os.X_OK):
        raise RefusedError(f"{name}: got {str(folder)!r}, a folder that cannot be written to")
    for file in files:
        writable(name, made / file)
    return made


def absent(folder: Path) -> list[Path]:
    """`folder` and those above it that are not there yet, the deepest first."""
    with contextlib.suppress(OSError, ValueError):
        return [place for place in (folder, *folder.parents) if not os.path.lexists(place)]
    return []


def remove_folders(folders: Iterable[Path]) -> None:
    """Take away those that are empty: folders that were made for what then was refused."""
    for folder in folders:
        with contextlib.suppress(OSError, ValueError):
            folder.rmdir()


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, durable: bool = False) -> Iterator[IO[bytes]]:
    """A file to write to, in whose place it comes when all went well.

    Parameters
    ----------
    path : path
        See `writable`.
    durable : bool, optional
        Wait until the disk has it: then a crash of the machine leaves either file whole.

    Raises
    ------
    RefusedError
        As of `writable`.
    OSError
        Writing failed; the former file is as it was.
    """
    followed = writable("path", path)
    with _drafts.drafted(followed) as draft:
        with open(draft, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        with contextlib.suppress(OSError):  # a new file is as the umask says, an old one as it was
            draft.chmod(stat.S_IMODE(followed.stat().st_mode))
        os.replace(draft, followed)


def write(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file anew, text as UTF-8 with what UTF-8 cannot hold spelled out; see `replacing`."""
    body = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
    with replacing(path) as file:
        file.write(body)


def remove(name: str, path: str | os.PathLike[str]) -> None:
    """Delete a file that an earlier run may have left; of a link, what it points to."""
    writable(name, path).unlink(missing_ok=True)
