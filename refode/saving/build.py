"""A problem from its description, which may be anybody's: only the table's classes are made.

Names in a file are looked up in the table and nowhere else, their arguments are read by the
table's kinds, and constructors check what they get, as they do for everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import refode
from refode._shown import one_line, short
from refode.fields import Field
from refode.ode.neural_ode import NeuralODE
from refode.saving.kinds import Unreadable
from refode.saving.table import BY_NAME, PROBLEMS

#: Objects within objects, such as energies in sums.
DEPTH = 64
#: Characters of a description.
LONGEST = 2**22
_WHOLE = {"refode", "problem", "layout", "outside"}


def built(
    whole: Any,
    members: Mapping[str, np.ndarray],
    size: int,
    given: Mapping[str, Any],
    place: tuple[str, Any] | None = None,
) -> Any:
    """The problem that a description is of.

    Parameters
    ----------
    whole : dict
        A ``Description``'s text, read; of its parts only the outermost are known to be there.
    members : mapping
        The arrays, by their names in the file.
    size : int
        Length of theta.
    given : mapping
        What is from outside, by name: all of it.
    place : (device, dtype), optional
        Where sweeps run, in place of where they did.

    Raises
    ------
    Unreadable
        Nothing can be made of it.
    """
    reader = _Reader(members, size, given, place, whole["refode"])
    problem = reader.part(whole["problem"], "problem")
    if type(problem) not in PROBLEMS:
        raise Unreadable(f"it describes a {type(problem).__name__}, which is no problem")
    shapes = shapes_of(problem)
    if list(shapes.items()) != list(whole["layout"].items()):
        raise Unreadable(
            f"its theta is laid out as {short(whole['layout'])}, that of its problem as "
            f"{short(shapes)}"
        )
    if problem.n_parameters != size:
        raise Unreadable(f"its theta has {size} entries, its problem {problem.n_parameters}")
    if reader.used != {name for name in members if name.startswith("array")}:
        raise Unreadable("it has arrays that belong to nothing")
    return problem


def shapes_of(problem: Any) -> dict[str, list[int]]:
    """Names and shapes of theta's arrays, in their order, as JSON has them."""
    return {name: list(shape) for name, shape in problem.layout.shapes.items()}


def check_whole(whole: Any) -> None:
    """Raise `Unreadable` unless a description's outermost parts are there, of their types."""
    if type(whole) is not dict or set(whole) != _WHOLE or type(whole["refode"]) is not str:
        raise Unreadable("its description is none")
    if type(whole["layout"]) is not dict or type(whole["outside"]) is not dict:
        raise Unreadable("its description lacks a layout, or what is from outside")
    for about in whole["outside"].values():
        if type(about) is not dict or set(about) != {"class", "repr", "place"}:
            raise Unreadable("its description does not say what is from outside")
        if any(type(text) is not str for text in about.values()):
            raise Unreadable("its description does not say what is from outside")


class _Reader:
    """Makes objects of descriptions; see `built`."""

    def __init__(
        self,
        members: Mapping[str, np.ndarray],
        size: int,
        given: Mapping[str, Any],
        place: tuple[str, Any] | None,
        version: str,
    ) -> None:
        self.members, self.size, self.given = members, size, given
        self.place, self.version = place, version
        self.used: set[str] = set()
        self._depth = 0

    def array(self, found: Any, place: str) -> np.ndarray:
        number = found.get("array") if type(found) is dict and len(found) == 1 else None
        name = f"array{number}" if type(number) is int else ""
        if name not in self.members:
            raise Unreadable(f"{place} is {short(found)}, not an array of the file's")
        self.used.add(name)
        return self.members[name]

    def part(self, found: Any, place: str) -> Any:
        if type(found) is not dict:
            raise Unreadable(f"{place} is {short(found)}, not the description of an object")
        if set(found) == {"outside"}:
            return self._from_outside(found["outside"], place)
        if set(found) != {"class", "with"} or type(found["with"]) is not dict:
            raise Unreadable(f"{place} is {short(found)}, not the description of an object")
        if self._depth >= DEPTH:
            raise Unreadable(f"{place} is in more than {DEPTH} others")
        self._depth += 1
        made = self._made(found["class"], found["with"], place)
        self._depth -= 1
        return made

    def _from_outside(self, name: Any, place: str) -> Any:
        if type(name) is not str or name not in self.given:
            raise Unreadable(f"{place} is from outside, and it does not say what it is")
        return self._fitting(self.given[name], place)

    def _made(self, name: Any, found: dict[str, Any], place: str) -> Any:
        entry = BY_NAME.get(name) if type(name) is str else None
        if entry is None:
            raise Unreadable(f"{place} is a {short(name)}, which {self._unknown()}")
        for argument in found:
            if argument not in entry.kinds:
                raise Unreadable(f"{place} has {short(argument)}, which {self._unknown()}")
        arguments = {
            argument: entry.kinds[argument].read(value, self, f"{place}.{argument}")
            for argument, value in found.items()
        }
        if self.place is not None and "device" in entry.kinds:
            arguments["device"], arguments["dtype"] = self.place
        if entry.make is NeuralODE:
            self._check_size(arguments, place)
        try:
            return self._fitting(entry.make(**arguments), place)
        except Exception as error:  # of a class in another's place, anything
            if isinstance(error, RuntimeError) and arguments.get("device", "cpu") != "cpu":
                raise  # which is missing, and no fault of the file's
            raise Unreadable(f"{place}: {one_line(error)}") from error

    def _unknown(self) -> str:
        ours = refode.__version__
        if self.version == ours:
            return "is none of refode's"
        return f"refode {ours} does not know; {short(self.version)} wrote the file"

    # --- sizes: before anything is made that is as large ---------------------------------
    def _fitting(self, made: Any, place: str) -> Any:
        if isinstance(made, Field) and made.n_weights > self.size:
            raise self._too_large(place, made.n_weights)
        return made

    def _check_size(self, arguments: dict[str, Any], place: str) -> None:
        field, basis = arguments.get("field"), arguments.get("basis")
        if isinstance(field, Field):
            n = field.n_weights * getattr(basis, "n_coefficients", 1)
            if n > self.size:
                raise self._too_large(place, n)

    def _too_large(self, place: str, n: int) -> Unreadable:
        return Unreadable(f"{place} has {n} weights, and theta {self.size} entries")
