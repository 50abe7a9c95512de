"""A problem as JSON and arrays: what tells it, by the table's classes and arguments."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

import refode
from refode._shown import shown
from refode.saving.build import DEPTH, LONGEST, built, shapes_of
from refode.saving.kinds import Unreadable
from refode.saving.table import BY_CLASS, PROBLEMS

#: Characters of an outside object's repr that a file keeps as they are.
REPR = 500


class Description(NamedTuple):
    """What a file holds of a problem.

    Attributes
    ----------
    text : str
        JSON: the problem, its layout, what is from outside, and refode's version.
    arrays : list of ndarray
        float64, to which the text refers by their numbers.
    """

    text: str
    arrays: list[np.ndarray]

    def members(self) -> dict[str, np.ndarray]:
        """As members of an archive."""
        named = {f"array{i}": array for i, array in enumerate(self.arrays)}
        return {"description": np.array(self.text), **named}


def described(problem: Any) -> Description:
    """The description of a problem or a ``NeuralODE``, from which it was seen to come back.

    Raises
    ------
    TypeError
        A problem of another class.
    ValueError
        It cannot be read again: too large or too deep in itself.
    """
    if type(problem) not in PROBLEMS:
        known = ", ".join(kind.__name__ for kind in PROBLEMS[:-1])
        raise TypeError(
            f"problem: got {shown(problem)}, wanted a {known} or {PROBLEMS[-1].__name__}, and none "
            "of a class of one's own, of which nobody else knows what it is made of "
            "(docs/saving.md)"
        )
    writer = _Writer()
    try:
        whole = {
            "refode": refode.__version__,
            "problem": writer.part(problem, "problem"),
            "layout": shapes_of(problem),
            "outside": {
                name: {**told(value), "place": writer.places[name]}
                for name, value in writer.outside.items()
            },
        }
        made = Description(json.dumps(whole, allow_nan=False), writer.arrays)
        if len(made.text) > LONGEST:
            raise Unreadable(f"its description has {len(made.text)} characters, over {LONGEST}")
        built(json.loads(made.text), made.members(), problem.n_parameters, writer.outside)
    except Unreadable as error:
        raise ValueError(f"problem: got one that no file can hold ({error})") from None
    return made


def told(value: Any) -> dict[str, Any]:
    """By what an object from outside is known again: its class's name and its repr.

    Addresses, which change with the process, are left out; of long texts a digest stands for the
    rest.
    """
    try:
        text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    except Exception:  # somebody else's
        text = f"<{type(value).__name__}>"
    if len(text) > REPR:
        digest = hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8)
        text = f"{text[: REPR - 20]}... {digest.hexdigest()}"
    return {"class": type(value).__name__, "repr": text}


class _Writer:
    """Collects arrays, and objects from outside by name, on the way through a problem."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.outside: dict[str, Any] = {}
        self.places: dict[str, str] = {}
        self._depth = 0

    def array(self, value: np.ndarray) -> dict[str, Any]:
        self.arrays.append(np.ascontiguousarray(value, dtype="<f8"))
        return {"array": len(self.arrays) - 1}

    def part(self, value: Any, place: str) -> dict[str, Any]:
        entry = BY_CLASS.get(type(value))
        if entry is None:
            return {"outside": self._named(value, place)}
        if self._depth >= DEPTH:
            raise Unreadable(f"{place} is in more than {DEPTH} others")
        self._depth += 1
        arguments: Mapping[str, Any] = {
            name: kind.write(entry.read_from(value, name), self, f"{place}.{name}")
            for name, kind in entry.kinds.items()
        }
        self._depth -= 1
        return {"class": entry.name, "with": arguments}

    def _named(self, value: Any, place: str) -> str:
        """A name for an object from outside: its class's, with a number from the second one on."""
        for name, known in self.outside.items():
            if known is value:
                return name
        kind = name = type(value).__name__
        number = 1
        while name in self.outside:
            number += 1
            name = f"{kind} {number}"
        self.outside[name], self.places[name] = value, place
        return name
