"""What a file holds: its format, theta, and the description of a problem, as text and arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import refode
from refode import _files
from refode._shown import one_line, short
from refode.saving import archive
from refode.saving.build import DEPTH, LONGEST, check_whole
from refode.saving.kinds import Unreadable

Array = np.ndarray
Members = dict[str, Array]

#: What ``save`` writes, and ``load`` reads; docs/saving.md.
FORMAT = "refode model 1"
#: What ``train(checkpoint=)`` writes.
TRAINING = "refode training 2"
#: The same before checkpoints had a description of the problem.
FORMER_TRAINING = "refode training 1"
#: Where theta is.
_THETA = {FORMAT: "theta", TRAINING: "best_theta"}
#: Characters of a file's text that a message shows.
_SHOWN = 200


class ModelNotFoundError(FileNotFoundError, ValueError):
    """There is no such file to load."""


class Content(NamedTuple):
    """A model in a file, checked as far as that goes without what is from outside."""

    whole: dict[str, Any]  # the description
    theta: Array
    members: Members


def found(path: Path) -> Path:
    """The regular file that a path leads to; `ModelNotFoundError` where there is none."""
    place = _files.readable("path", path)
    if not place.exists():
        raise ModelNotFoundError(f"path: got {_files.shown(path)}, but there is no such file")
    return place


def refused(path: Path, error: object) -> ValueError:
    """The error of a file that cannot be read."""
    where, why = _files.shown(path), one_line(error)
    return ValueError(f"path: got {where}, which cannot be read as a model of refode ({why})")


def read(path: Path) -> tuple[str, Members]:
    """A file's format and its arrays; ValueError where it cannot be read or is none of refode's."""
    try:
        with open(path, "rb") as file:
            members = archive.read(file)
        return _known(_text(members, "format")), members
    except Exception as error:  # what a damaged zip file raises is anyone's guess
        raise refused(path, error) from error


def is_described(members: Members) -> bool:
    """Whether the problem of a file is in it."""
    return bool(str(members.get("description", "")))


def content(path: Path, kind: str, members: Members) -> Content:
    """The model in a file.

    Raises
    ------
    ValueError
        There is none, or it is damaged.
    """
    try:
        return _content(kind, members)
    except (Unreadable, ValueError, TypeError, RecursionError) as error:
        why = "its description is too deep in itself" if type(error) is RecursionError else error
        raise refused(path, why) from error


def printable(text: str) -> str:
    """A file's text in a message: on one line, without what moves a terminal's cursor."""
    line = "".join(c if c.isprintable() else "?" for c in one_line(text))
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 3]}..."


def _known(kind: str) -> str:
    if kind not in (*_THETA, FORMER_TRAINING):
        raise Unreadable(
            f"its format is {short(kind)}, and refode {refode.__version__} reads "
            f"{FORMAT!r} and {TRAINING!r}; a newer one may know it"
        )
    return kind


def _content(kind: str, members: Members) -> Content:
    if kind == FORMER_TRAINING:
        raise Unreadable(
            "it is a checkpoint of a refode before 0.2.0, which did not write the problem into it; "
            "refode.training.read_checkpoint gives its theta"
        )
    text = _text(members, "description")
    if kind == TRAINING and not text:
        raise Unreadable(
            "it is a checkpoint of a problem of one's own, which nobody can write into a file; "
            "refode.training.read_checkpoint gives its theta"
        )
    name = _THETA[kind]
    theta = members.get(name, np.empty((0, 0)))
    if theta.dtype != np.float64 or theta.ndim != 1 or not np.isfinite(theta).all():
        raise Unreadable(f"its {name} is no vector of finite float64 numbers")
    if kind == FORMAT:
        names = {n for n in members if not n.startswith("array")}
        if names != {"format", "theta", "description"}:
            raise Unreadable("it has other members")
    whole = json.loads(text, object_pairs_hook=_once, parse_constant=_not_finite)
    _check_depth(whole)
    check_whole(whole)
    return Content(whole, theta, members)


def _check_depth(whole: Any) -> None:
    """Raise `Unreadable` where more is within one another than objects and their arrays are."""
    level: list[Any] = [[whole]]
    for _ in range(2 * DEPTH + 8):
        inner = (one.values() if type(one) is dict else one for one in level)
        level = [one for some in inner for one in some if type(one) in (dict, list)]
    if level:
        raise Unreadable("its description is too deep in itself")


def _text(members: Mapping[str, Array], name: str) -> str:
    """A member that is one text."""
    array = members.get(name)
    if array is None or array.dtype.kind != "U" or array.ndim:
        raise Unreadable(f"its {name} is missing, or no text")
    if array.dtype.itemsize > 4 * LONGEST:
        raise Unreadable(f"its {name} has more than {LONGEST} characters")
    return str(array)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of JSON's, in which no name comes twice."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Unreadable("its description says something twice")
    return made


def _not_finite(text: str) -> Any:
    raise Unreadable(f"its description has the number {text}")
