"""Parts of a sweep, compiled apart: descriptions in memory, and calls through addresses.

A *room* is a family of generic functions over one kind of description: fields, dynamics,
schemes, costs. A description (a NamedTuple) becomes a *part* for compiled code: a stretch of
64-bit words, first the addresses of its room's functions, then the description's numbers, the
places and shapes of its arrays, and the parts within it. Compiled code gets the part's own
address and calls ``rhs(part, ...)`` as it would ``rhs(description, ...)``; neither side's
machine code depends on the other's, so a sweep is compiled once and not once a field.

With the JIT off a part is the description itself.
"""

from __future__ import annotations

import array
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types

from refode.machine.compile import JIT, Root
from refode.machine.rooms import (
    PartType,
    PlaceType,
    Room,
    forms,
    generic,
    held_parts,
    linked,
    matching,
    missing,
    number_type,
    rooms,
    signature_of,
)
from refode.machine.sources import Reach

__all__ = ["Entry", "Member", "Part", "Room", "entry", "formed", "generic", "link", "members"]


class Part(int):
    """A description in memory, for compiled code; it must outlive the call.

    It is its address. Compiled code asks for that in C, where nobody would notice an exception
    that a signal handler raises: so no Python may run for the answer.
    """

    room: Room
    dtype: str
    size: int
    keep: tuple[array.array, list[Any]]

    def __new__(
        cls, room: Room, dtype: str, words: array.array, keep: list[Any], size: int
    ) -> Part:
        """Its address, with what it must keep."""
        part = super().__new__(cls, words.buffer_info()[0])
        part.room, part.dtype, part.size = room, dtype, size
        part.keep = (words, keep)
        return part

    @property
    def address(self) -> int:
        """Where it is."""
        return int(self)


class Member:
    """How a part within a description is made.

    ``inline``: compiled with the description. ``complex_``: for complex numbers. ``variant``:
    of functions with an optional argument. ``room``: which, for descriptions of several.
    ``partial``: bodies may be missing, of functions that are not called then.
    """

    def __init__(
        self,
        inline: bool = False,
        complex_: bool = False,
        variant: int = 0,
        room: Room | None = None,
        partial: bool = False,
    ) -> None:
        self.inline, self.complex = inline, complex_
        self.variant, self.room, self.partial = variant, room, partial


_PLAIN = Member()
_NOTHING: dict[str, Member] = {}
_members: dict[type, dict[str, Member]] = {}
_HELD, _SMALL = 256, 2**16  # at most so many, each with arrays of so many bytes


def members(cls: type, **how: Member) -> None:
    """Say how the parts within descriptions of a class are made."""
    _members[cls] = how


def formed(cls: type) -> Callable[[Callable], Callable]:
    """Give descriptions of a class, when kernels get them, the form that a function makes."""

    def add(make: Callable) -> Callable:
        forms[cls] = make
        return make

    return add


class _Unfit(Exception):
    """A value that descriptions cannot have; the message says which."""


class _Writer:
    """The words of a description, their types' key, and the arrays behind them."""

    def __init__(self, char: str, spec: Any, wants: frozenset[Any]) -> None:
        self.char, self._spec, self._asked = char, spec, wants
        self._classes: frozenset[type] | None = None  # of the description, where asked for
        self.words: list[int] = []
        self.keep: list[Any] = []
        self.size = 0  # of the arrays, in bytes

    def write(self, value: Any) -> Any:
        """Append a value's words; return what says its type."""
        kind = type(value)
        if kind is np.ndarray:
            return self._write_array(value)
        if kind is float:
            self.words.append(_BITS.unpack(_FLOAT.pack(value))[0])
            return "f"
        if kind is bool:
            self.words.append(int(value))
            return "b"
        if kind is int:
            if not -(2**63) <= value < 2**63:
                raise _Unfit(f"the integer {value}")
            self.words.append(value)
            return "i"
        if isinstance(value, tuple):
            return self._write_tuple(value)
        if isinstance(value, Part):
            self.words.append(value.address)
            self.keep.append(value)
            return ("p", value.room.name, value.dtype)
        if value is None:
            return "n"
        return self._write_other(value)

    def _write_other(self, value: Any) -> Any:
        if isinstance(value, bool | np.bool_):
            return self.write(bool(value))
        if isinstance(value, int | np.integer):
            return self.write(int(value))
        if isinstance(value, float | np.floating):
            return self.write(float(value))
        if isinstance(value, complex | np.complexfloating):
            self.write(float(value.real))
            self.write(float(value.imag))
            return "c"
        if isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray):
            return self.write(np.asarray(value))  # a memory map
        raise _Unfit(f"a {type(value).__name__}")

    def _write_array(self, value: np.ndarray) -> Any:
        dtype = value.dtype
        if dtype.char not in _NUMBERS:
            raise _Unfit(f"an array of {dtype}")
        if not (value.flags.c_contiguous and value.flags.aligned and dtype.isnative):
            value = np.require(value, dtype.newbyteorder("="), ["C", "A"])
            self.size += _SMALL + 1  # never held: a copy does not follow its original
        self.words.append(value.__array_interface__["data"][0])
        self.words += value.shape
        self.keep.append(value)
        self.size += value.nbytes
        return (value.dtype.char, value.ndim)

    def _write_tuple(self, value: tuple) -> Any:
        cls = type(value)
        if cls is tuple:
            return (tuple, *map(self.write, value))
        keys: list[Any] = [cls]
        said, names = _members.get(cls, _NOTHING), cls._fields  # type: ignore[attr-defined]
        for i, inside in enumerate(value):
            how = said.get(names[i], _PLAIN) if said else _PLAIN
            if isinstance(inside, tuple) or how.room is not None:
                room = None if how.inline else how.room or _room_of(inside)
                if room is not None:
                    char = "D" if how.complex else self.char
                    wants = self._wants(room, how)
                    if how.partial:
                        wants = frozenset(w for w in wants if type(inside) in w[0].bodies)
                    inside = link(room, inside, char, wants, hold=True)
                    self.size += inside.size
            try:
                keys.append(self.write(inside))
            except _Unfit as error:
                raise TypeError(
                    f"{cls.__name__}: {names[i]}: got {error}, wanted numbers, arrays of numbers, "
                    "None, and tuples of these"
                ) from None
        return tuple(keys)

    def _wants(self, room: Room, how: Member) -> frozenset[Any]:
        """What is called of the parts of a room within the description."""
        spec, asked = self._spec, self._asked
        if self._classes is None:
            self._classes = _inline_classes(spec)
        key = (type(spec), self._classes, asked, room, how.variant)
        if key not in linked:
            called = {g for f, _ in asked for g in _reach(f, type(spec), self._classes).generics}
            linked[key] = frozenset(
                (g, how.variant if g.optional is not None else 0) for g in called if g.room is room
            )
        return linked[key]


_FLOAT, _BITS = struct.Struct("d"), struct.Struct("q")
_NUMBERS = frozenset("?bBhHiIlLqQfdFD")  # of which arrays may be
_NO_ROOM = frozenset((tuple, np.ndarray, float, int, bool, type(None)))  # often met


def _room_of(value: Any) -> Room | None:
    """The room that a description belongs to, None for other values."""
    cls = type(value)
    if cls in _NO_ROOM or not isinstance(value, tuple):
        return None
    key = ("room of", cls)
    if key not in linked:
        linked[key] = next((room for room in rooms if cls in room.classes), None)
    room, form = linked[key], forms.get(cls)
    return _room_of(form(value)) if room is None and form is not None else room


def _types(value: Any) -> Any:
    """A description's types, as those of its parts: what `_inline_classes` depends on."""
    cls = type(value)
    return (cls, *map(_types, value)) if isinstance(value, tuple) else cls


def _inline_classes(value: Any) -> frozenset[type]:
    """Classes of a description and of those that are compiled with it."""
    key = "inline", _types(value)
    if key not in linked:
        linked[key] = _found_inline(value)
    return linked[key]


def _found_inline(value: Any) -> frozenset[type]:
    if not isinstance(value, tuple):
        return frozenset()
    if type(value) is tuple:
        return frozenset().union(*map(_found_inline, value))
    cls = type(value)
    how = _members.get(cls, {})
    found = frozenset([cls])
    for name, inside in zip(cls._fields, value, strict=True):  # type: ignore[attr-defined]
        if how.get(name, _PLAIN).inline or _room_of(inside) is None:
            found |= _found_inline(inside)
    return found


def _reach(dispatch: Any, cls: type, classes: frozenset[type]) -> Reach:
    key = (dispatch, cls, classes)
    if key not in linked:
        body = dispatch.bodies.get(cls)
        if body is None:
            raise missing(dispatch, cls)
        linked[key] = Reach([dispatch.root, body], classes)
    return linked[key]


def link(room: Room, spec: Any, dtype: Any, wants: frozenset[Any], hold: bool = False) -> Any:
    """A description as a part of a room, with the functions ``wants`` compiled for it.

    ``wants`` are pairs of a generic function and 0, or 1 for its form with the optional
    argument there. ``hold`` keeps the part for the next call with the same object.
    """
    if not JIT or isinstance(spec, Part):
        return spec
    char = dtype if isinstance(dtype, str) else np.dtype(dtype).char
    same = (id(spec), char, wants)
    held = held_parts.get(same)
    if held is not None and held[0] is spec:
        return held[1]
    given, form = spec, forms.get(type(spec))
    if form is not None:
        spec = form(spec)
    if not isinstance(spec, tuple):
        for dispatch, _ in wants:
            _reach(dispatch, type(spec), frozenset())  # says that it is no description
    writer = _Writer(char, spec, wants)
    key = writer.write(spec)
    head = linked.get((key, char, wants))
    if head is None:
        head = linked[key, char, wants] = _addresses(spec, key, char, wants)
    part = Part(room, char, array.array("q", head + writer.words), writer.keep, writer.size)
    if hold and writer.size <= _SMALL:
        if len(held_parts) >= _HELD:
            held_parts.clear()
        held_parts[same] = given, part
    return part


def _addresses(spec: Any, key: Any, char: str, wants: frozenset[Any]) -> list[int]:
    """The first words of a part: where its room's functions are, compiled if they have to be."""
    cls, classes = type(spec), _inline_classes(spec)
    head = [0] * Room.SLOTS
    for dispatch, variant in sorted(wants, key=lambda want: (want[0].slot, want[1])):
        _reach(dispatch, cls, classes)  # an error where there is no body
        # Numba reads constants when it compiles: so does the digest, anew
        reach = Reach([dispatch.root, dispatch.bodies[cls]], classes)
        head[dispatch.slot + variant] = _root(dispatch, variant, key, char, reach).address
    return head


def _root(dispatch: Any, variant: int, key: Any, dtype: Any, reach: Reach) -> Root:
    arguments, gives = signature_of(dispatch, variant, number_type(dtype))
    place = PlaceType(_type_of(key), Room.SLOTS)
    label = f"{dispatch.__name__} of {key[0].__name__.removesuffix('Spec')}"
    return Root(
        dispatch.root,
        (place, *arguments),
        gives,
        label=label,
        reach=reach,
    )


def _type_of(key: Any) -> Any:
    """The Numba type that a writer's key stands for."""
    simple = {
        "f": types.float64,
        "b": types.boolean,
        "i": types.int64,
        "n": types.none,
        "c": types.complex128,
    }
    if isinstance(key, str):
        return simple[key]
    head = key[0]
    if head == "p":
        return PartType(key[1], number_type(key[2]))
    if isinstance(head, str):
        return types.Array(_element(head), key[1], "C")
    inside = [_type_of(k) for k in key[1:]]
    if head is tuple:
        return types.BaseTuple.from_types(inside)
    return types.BaseTuple.from_types(inside, head)


def _element(char: str) -> Any:
    from numba.np.numpy_support import from_dtype

    return from_dtype(np.dtype(char))


class Entry:
    """A function that Python calls, compiled once a number type.

    ``takes`` as for a room's functions, the first argument included.
    """

    def __init__(self, function: Callable, takes: Any, gives: Any = None) -> None:
        self.function, self._takes, self._gives = function, takes, gives
        self._calls: dict[str, Any] = {}

    def of(self, dtype: Any) -> Callable:
        """The entry for a number type; compiled where it has to be."""
        if not JIT:
            return self.function
        char = np.dtype(dtype).char
        if char not in self._calls:
            number = number_type(dtype)
            arguments = tuple(matching(code, number) for code in self._takes)
            gives = types.none if self._gives is None else matching(self._gives, number)
            label = self.function.__name__.replace("_", " ")
            root = Root(self.function, arguments, gives, entry=True, label=label)
            self._calls[char] = root.call
        return self._calls[char]


def entry(takes: Any, gives: Any = None) -> Callable[[Callable], Entry]:
    """Make a function an ``Entry``."""
    return lambda function: Entry(function, takes, gives)
