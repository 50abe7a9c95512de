"""What an argument of a constructor may be in a file: how it is written, and read with checks.

A kind's ``write`` makes JSON of a value that a constructor has accepted. Its ``read`` trusts
nothing: sizes are held to the length of theta, which the file has to contain, so that a small
file cannot ask for much memory.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

import numpy as np

from refode._shown import short

#: A fraction in a file, within the digits that float64 can need.
_FRACTION = re.compile(r"-?[0-9]{1,1100}(/[1-9][0-9]{0,1099})?")


class Unreadable(ValueError):
    """A description that nothing can be made of; the message says where and why."""


class Writing(Protocol):
    """What kinds ask of whoever writes."""

    def array(self, value: np.ndarray) -> dict[str, Any]: ...
    def part(self, value: Any, place: str) -> dict[str, Any]: ...


class Reading(Protocol):
    """What kinds ask of whoever reads."""

    size: int  # entries of theta

    def array(self, found: Any, place: str) -> np.ndarray: ...
    def part(self, found: Any, place: str) -> Any: ...


class Kind(Protocol):
    """How an argument is written, and read."""

    def write(self, value: Any, to: Writing, place: str) -> Any: ...
    def read(self, found: Any, by: Reading, place: str) -> Any: ...


class Plain(NamedTuple):
    """A bool, int, float or text."""

    of: type

    def write(self, value: Any, to: Writing, place: str) -> Any:
        return self.of(value)

    def read(self, found: Any, by: Reading, place: str) -> Any:
        if type(found) is not self.of:
            raise _other(place, found, f"a {self.of.__name__}")
        if isinstance(found, float) and not math.isfinite(found):
            raise _other(place, found, "a finite number")
        return found


class Size(NamedTuple):
    """An int that things are as large as: at most twice theta's entries, and at most ``most``."""

    most: int | None = None

    def write(self, value: Any, to: Writing, place: str) -> int:
        return int(value)

    def read(self, found: Any, by: Reading, place: str) -> int:
        most = 2 * by.size if self.most is None else min(2 * by.size, self.most)
        return _at_most(found, most, place)


class Count(NamedTuple):
    """An int that theta's length does not bound, up to ``most``."""

    most: int

    def write(self, value: Any, to: Writing, place: str) -> int:
        return int(value)

    def read(self, found: Any, by: Reading, place: str) -> int:
        return _at_most(found, self.most, place)


class Exact(NamedTuple):
    """A fraction, as text such as 1/3."""

    def write(self, value: Fraction, to: Writing, place: str) -> str:
        return str(value)

    def read(self, found: Any, by: Reading, place: str) -> Fraction:
        if type(found) is not str or not _FRACTION.fullmatch(found):
            raise _other(place, found, "a fraction such as '1/3'")
        return Fraction(found)


class Array(NamedTuple):
    """float64 numbers with so many axes."""

    n_axes: int

    def write(self, value: np.ndarray, to: Writing, place: str) -> dict[str, Any]:
        return to.array(value)

    def read(self, found: Any, by: Reading, place: str) -> np.ndarray:
        array = by.array(found, place)
        if array.dtype != np.float64 or array.ndim != self.n_axes:
            what = f"an array of dtype {array.dtype} and shape {array.shape}"
            raise Unreadable(f"{place} is {what}, not float64 with {self.n_axes} axes")
        return array


class Part(NamedTuple):
    """An object, of a class of the table or from outside."""

    def write(self, value: Any, to: Writing, place: str) -> dict[str, Any]:
        return to.part(value, place)

    def read(self, found: Any, by: Reading, place: str) -> Any:
        return by.part(found, place)


class Maybe(NamedTuple):
    """None, or of another kind."""

    of: Any

    def write(self, value: Any, to: Writing, place: str) -> Any:
        return None if value is None else self.of.write(value, to, place)

    def read(self, found: Any, by: Reading, place: str) -> Any:
        return None if found is None else self.of.read(found, by, place)


class Many(NamedTuple):
    """A tuple of one kind."""

    of: Any

    def write(self, value: Any, to: Writing, place: str) -> list[Any]:
        return [self.of.write(one, to, f"{place}[{i}]") for i, one in enumerate(value)]

    def read(self, found: Any, by: Reading, place: str) -> tuple[Any, ...]:
        if type(found) is not list:
            raise _other(place, found, "a list")
        return tuple(self.of.read(one, by, f"{place}[{i}]") for i, one in enumerate(found))


class Either(NamedTuple):
    """A plain value, or of another kind that is no such value in JSON."""

    plain: Plain
    other: Any

    def write(self, value: Any, to: Writing, place: str) -> Any:
        kind = self.plain if isinstance(value, self.plain.of) else self.other
        return kind.write(value, to, place)

    def read(self, found: Any, by: Reading, place: str) -> Any:
        kind = self.plain if type(found) is self.plain.of else self.other
        return kind.read(found, by, place)


BOOL, INT, FLOAT, TEXT = Plain(bool), Plain(int), Plain(float), Plain(str)


def _at_most(found: Any, most: int, place: str) -> int:
    if type(found) is not int:
        raise _other(place, found, "an int")
    if found > most:
        raise Unreadable(f"{place} is {short(found)}, more than {most}, the most for this file")
    return found


def _other(place: str, found: Any, wanted: str) -> Unreadable:
    return Unreadable(f"{place} is {short(found)}, not {wanted}")
