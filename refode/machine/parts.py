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
import inspect
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from refode.machine.compile import JIT, Pipeline, Root, options
from refode.machine.sources import Reach

WORD = ir.IntType(64)
_rooms: list[Any] = []


class PartType(types.Type):
    """A part of a room in a number type, as compiled code knows it: an address."""

    def __init__(self, room: str, dtype: Any) -> None:
        self.room, self.dtype = room, dtype
        super().__init__(name=f"part({room}, {dtype})")


class PlaceType(types.Type):
    """The address of a part whose description has the type ``spec``."""

    def __init__(self, spec: Any, skip: int) -> None:
        self.spec, self.skip = spec, skip
        super().__init__(name=f"place({spec}, {skip})")

    def described(self) -> Any:
        """What machine code depends on, for the cache."""
        from refode.machine.compile import _describe

        return ("place", _describe(self.spec), self.skip)


@register_model(PartType)
@register_model(PlaceType)
class _AddressModel(models.PrimitiveModel):
    def __init__(self, manager: Any, ty: Any) -> None:
        super().__init__(manager, ty, WORD)


def _number(dtype: Any) -> Any:
    """Numba's type of a NumPy number type."""
    return types.complex128 if np.dtype(dtype) == np.complex128 else types.float64


def _matching(code: Any, dtype: Any) -> Any:
    """The Numba type that a letter of a signature stands for.

    s a number, v vector, M matrix, T three axes, i integer, b boolean, I and J vector and matrix
    of integers; a room is
    one of its parts; whatever else is a function of the number type.
    """
    if isinstance(code, Room):
        return PartType(code.name, dtype)
    if callable(code):
        return code(dtype)
    axes = "svMT".find(code)
    if axes == 0:
        return dtype
    if axes > 0:
        return types.Array(dtype, axes, "C")
    integers = {"I": 1, "J": 2}
    if code in integers:
        return types.Array(types.int64, integers[code], "C")
    return {"i": types.int64, "b": types.boolean}[code]


def _codes(takes: Any) -> tuple[list[Any], int | None]:
    """Codes of a signature, and which of them may be absent."""
    codes: list[Any] = []
    optional = None
    for code in takes:
        if code == "?":
            optional = len(codes) - 1
        else:
            codes.append(code)
    return codes, optional


class Room:
    """Generic functions over one kind of description, with a place each in its parts."""

    SLOTS = 8

    def __init__(self, name: str) -> None:
        self.name = name
        self.classes: set[type] = set()
        self._taken = 0
        _rooms.append(self)

    def function(self, takes: Any, gives: Any = None) -> Callable[[Callable], Any]:
        """Make a stub a generic function of this room.

        ``takes`` and ``gives`` are the types of its arguments after the description and of
        its result, as ``_matching`` reads them; a "?" after one says that it may be None.
        """

        def make(stub: Callable) -> Any:
            dispatch = generic(stub)
            codes, optional = _codes(takes)
            dispatch.room, dispatch.codes, dispatch.optional = self, codes, optional
            dispatch.gives, dispatch.slot = gives, self._taken
            self._taken += 1 if optional is None else 2
            assert self._taken <= self.SLOTS
            if JIT:
                _make_callable(dispatch, stub)
            return dispatch

        return make


def generic(stub: Callable) -> Any:
    """A function that dispatches on the class of its first argument.

    ``f.register(Class)`` adds the body for descriptions of that class.
    """
    bodies: dict[type, Callable] = {}
    names = list(inspect.signature(stub).parameters)

    def dispatch(*args: Any) -> Any:
        form = _forms.get(type(args[0]))
        if form is not None:
            args = (form(args[0]), *args[1:])
        return bodies[type(args[0])](*args)

    def choose(*args: Any) -> Callable | None:
        head = args[0]
        if isinstance(head, PartType):
            return dispatch.by_address  # type: ignore[attr-defined]
        if not isinstance(head, types.BaseNamedTuple):
            return None
        return bodies.get(head.instance_class)

    def register(cls: type) -> Callable[[Callable], Callable]:
        def add(body: Callable) -> Callable:
            bodies[cls] = body
            if dispatch.room is not None:  # type: ignore[attr-defined]
                dispatch.room.classes.add(cls)  # type: ignore[attr-defined]
            _linked.clear()
            _held.clear()
            return body

        return add

    dispatch.__name__ = dispatch.__qualname__ = stub.__name__
    dispatch.__module__, dispatch.__doc__ = stub.__module__, stub.__doc__
    dispatch.__wrapped__ = stub  # type: ignore[attr-defined]
    dispatch.bodies, dispatch.names = bodies, names  # type: ignore[attr-defined]
    dispatch.register, dispatch.room = register, None  # type: ignore[attr-defined]
    choose.__signature__ = inspect.signature(stub)  # type: ignore[attr-defined]
    if JIT:
        overload(
            dispatch, jit_options={**options(), "pipeline_class": Pipeline}, strict=False
        )(choose)
    return dispatch


# --- calls through addresses -----------------------------------------------------------------
def _defined(text: str, name: str, module: str, **space: Any) -> Any:
    """A function whose parameters are known at run time only."""
    space["__name__"] = module
    exec(text, space)
    return space[name]


def _make_callable(dispatch: Any, stub: Callable) -> None:
    """How compiled code calls a generic function of a part, and the root that is called."""
    names, plain = ", ".join(dispatch.names), stub.__name__
    typing = _defined(
        f"def {plain}(typingctx, {names}):\n    return typed(dispatch, ({names},))\n",
        plain, stub.__module__, typed=_typed, dispatch=dispatch,
    )  # fmt: skip
    dispatch.by_address = _defined(
        f"def {plain}({names}):\n    return call({names})\n",
        plain, stub.__module__, call=intrinsic(typing),
    )  # fmt: skip
    rest = ", ".join(dispatch.names[1:])
    give = "" if dispatch.gives is None else "return "
    dispatch.root = _defined(
        f"def {plain}(place, {rest}):\n    {give}dispatch(described(place), {rest})\n",
        plain, stub.__module__, dispatch=dispatch, described=described,
    )  # fmt: skip


def _variant(dispatch: Any, arguments: Any) -> int:
    """0 where the optional argument is None or there is none, else 1."""
    if dispatch.optional is None:
        return 0
    return 0 if isinstance(arguments[dispatch.optional], types.NoneType) else 1


def _signature(dispatch: Any, variant: int, dtype: Any) -> tuple[list[Any], Any]:
    """Types of the arguments after the description, and of the result."""
    found = [_matching(code, dtype) for code in dispatch.codes]
    if dispatch.optional is not None and variant == 0:
        found[dispatch.optional] = types.none
    gives = types.none if dispatch.gives is None else _matching(dispatch.gives, dtype)
    return found, gives


def _typed(dispatch: Any, given: Any) -> Any:
    """Type of a call through an address, and its code."""
    head, *rest = given
    variant = _variant(dispatch, rest)
    wanted, gives = _signature(dispatch, variant, head.dtype)
    for name, ty, want in zip(dispatch.names[1:], rest, wanted, strict=True):
        if isinstance(want, types.Array) and not (
            isinstance(ty, types.Array) and (ty.dtype, ty.ndim, ty.layout)
            == (want.dtype, want.ndim, "C")
        ):  # fmt: skip
            raise TypeError(f"{dispatch.__name__}: {name}: got {ty}, wanted {want}")
    place = 8 * (dispatch.slot + variant)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        convention = context.call_conv
        passed = [args[0]]
        for value, ty, want in zip(args[1:], signature.args[1:], wanted, strict=True):
            same = isinstance(want, types.Array) or ty == want
            passed.append(value if same else context.cast(builder, value, ty, want))
        types_ = (PlaceType(types.none, 0), *wanted)  # any place: all are one word
        kind = convention.get_function_type(gives, types_)
        slot = builder.inttoptr(builder.add(args[0], WORD(place)), kind.as_pointer().as_pointer())
        status, result = convention.call_function(
            builder, builder.load(slot), gives, types_, passed
        )
        with cgutils.if_unlikely(builder, status.is_error):
            convention.return_status_propagate(builder, status)
        return result

    return gives(*given), codegen


# --- descriptions in memory ------------------------------------------------------------------
def _read(context: Any, builder: Any, ty: Any, words: Any, at: int) -> tuple[Any, int]:
    """The value of a type from the words from ``at`` on, and where the next one begins."""
    if isinstance(ty, types.NoneType):
        return context.get_dummy_value(), at
    if isinstance(ty, types.BaseTuple):
        parts = []
        for inside in ty:
            value, at = _read(context, builder, inside, words, at)
            parts.append(value)
        return context.make_tuple(builder, ty, parts), at
    if isinstance(ty, types.Array):
        return _read_array(context, builder, ty, words, at)
    if ty == types.complex128:
        number = context.make_complex(builder, ty)
        number.real, at = _read(context, builder, types.float64, words, at)
        number.imag, at = _read(context, builder, types.float64, words, at)
        return number._getvalue(), at
    word = builder.load(builder.gep(words, [WORD(at)]))
    if ty == types.float64:
        return builder.bitcast(word, ir.DoubleType()), at + 1
    if ty == types.boolean:
        return builder.icmp_signed("!=", word, WORD(0)), at + 1
    return word, at + 1


def _read_array(context: Any, builder: Any, ty: Any, words: Any, at: int) -> tuple[Any, int]:
    from numba.np.arrayobj import populate_array  # slow to import: when compiling only

    array_ = context.make_array(ty)(context, builder)
    load = [builder.load(builder.gep(words, [WORD(at + i)])) for i in range(ty.ndim + 1)]
    data, *shape = load
    size = np.dtype(str(ty.dtype)).itemsize
    strides: list[Any] = []
    last: Any = WORD(size)
    for extent in reversed(shape):
        strides.insert(0, last)
        last = builder.mul(last, extent)
    populate_array(
        array_, data=builder.inttoptr(data, array_.data.type),
        shape=cgutils.pack_array(builder, shape), strides=cgutils.pack_array(builder, strides),
        itemsize=WORD(size), meminfo=None,
    )  # fmt: skip
    return array_._getvalue(), at + 1 + ty.ndim


if JIT:

    @intrinsic
    def described(typingctx: Any, place: Any) -> Any:
        """The description at a part's address."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            words = builder.inttoptr(args[0], WORD.as_pointer())
            return _read(context, builder, place.spec, words, place.skip)[0]

        return place.spec(place), codegen

    from numba.core.pythonapi import NativeValue, unbox

    @unbox(PartType)
    def _unbox_part(ty: Any, value: Any, c: Any) -> Any:
        """A part's address from Python."""
        return NativeValue(c.pyapi.long_as_longlong(value))


class Part:
    """A description in memory, for compiled code; it must outlive the call."""

    __slots__ = ("address", "keep", "room", "dtype", "size")

    def __init__(
        self, room: Room, dtype: str, words: array.array, keep: list[Any], size: int
    ) -> None:
        self.room, self.dtype, self.size = room, dtype, size
        self.address = words.buffer_info()[0]
        self.keep = (words, keep)

    def __index__(self) -> int:
        return self.address


class Member:
    """How a part within a description is made.

    ``inline``: compiled with the description. ``complex_``: for complex numbers. ``variant``:
    of functions with an optional argument. ``room``: which, for descriptions of several.
    ``partial``: bodies may be missing, of functions that are not called then.
    """

    def __init__(
        self, inline: bool = False, complex_: bool = False, variant: int = 0,
        room: Room | None = None, partial: bool = False,
    ) -> None:  # fmt: skip
        self.inline, self.complex = inline, complex_
        self.variant, self.room, self.partial = variant, room, partial


_PLAIN = Member()
_NOTHING: dict[str, Member] = {}
_members: dict[type, dict[str, Member]] = {}
_forms: dict[type, Callable] = {}
_held: dict[Any, Any] = {}  # parts of descriptions that come again
_HELD, _SMALL = 256, 2**16  # at most so many, each with arrays of so many bytes
_linked: dict[Any, Any] = {}  # what is known of a class, of a root


def members(cls: type, **how: Member) -> None:
    """Say how the parts within descriptions of a class are made."""
    _members[cls] = how


def formed(cls: type) -> Callable[[Callable], Callable]:
    """Give descriptions of a class, when kernels get them, the form that a function makes."""

    def add(make: Callable) -> Callable:
        _forms[cls] = make
        return make

    return add


class _Writer:
    """The words of a description, their types' key, and the arrays behind them."""

    def __init__(self, char: str, spec: Any, wants: frozenset[Any]) -> None:
        self.char, self._spec, self._asked = char, spec, wants
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
        raise TypeError(
            f"description: got a {type(value).__name__} in it, wanted numbers, arrays and tuples"
        )

    def _write_array(self, value: np.ndarray) -> Any:
        if not value.flags.c_contiguous:
            value = np.ascontiguousarray(value)
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
        for i, inside in enumerate(value):
            if isinstance(inside, tuple):
                how = _members.get(cls, _NOTHING).get(cls._fields[i], _PLAIN)  # type: ignore[attr-defined]
                room = None if how.inline else how.room or _room_of(inside)
                if room is not None:
                    char = "D" if how.complex else self.char
                    wants = self._wants(room, how)
                    if how.partial:
                        wants = frozenset(w for w in wants if type(inside) in w[0].bodies)
                    inside = link(room, inside, char, wants, hold=True)
                    self.size += inside.size
            keys.append(self.write(inside))
        return tuple(keys)

    def _wants(self, room: Room, how: Member) -> frozenset[Any]:
        """What is called of the parts of a room within the description."""
        spec, asked = self._spec, self._asked
        key = (type(spec), asked, room, how.variant)
        if key not in _linked or _inline_classes(spec) != {type(spec)}:
            classes = _inline_classes(spec)
            called = {g for f, _ in asked for g in _reach(f, type(spec), classes).generics}
            _linked[key] = frozenset(
                (g, how.variant if g.optional is not None else 0) for g in called if g.room is room
            )
        return _linked[key]


_FLOAT, _BITS = struct.Struct("d"), struct.Struct("q")



def _room_of(value: Any) -> Room | None:
    """The room that a description belongs to, None for other values."""
    if not isinstance(value, tuple) or type(value) is tuple:
        return None
    cls = type(value)
    for room in _rooms:
        if cls in room.classes:
            return room
    form = _forms.get(cls)
    return None if form is None else _room_of(form(value))


def _inline_classes(value: Any) -> frozenset[type]:
    """Classes of a description and of those that are compiled with it."""
    if not isinstance(value, tuple):
        return frozenset()
    if type(value) is tuple:
        return frozenset().union(*map(_inline_classes, value))
    cls = type(value)
    how = _members.get(cls, {})
    found = frozenset([cls])
    for name, inside in zip(cls._fields, value, strict=True):  # type: ignore[attr-defined]
        if how.get(name, _PLAIN).inline or _room_of(inside) is None:
            found |= _inline_classes(inside)
    return found


def _reach(dispatch: Any, cls: type, classes: frozenset[type]) -> Reach:
    key = (dispatch, cls, classes)
    if key not in _linked:
        body = dispatch.bodies.get(cls)
        if body is None:
            raise TypeError(
                f"{dispatch.room.name}: got a {cls.__name__}, for which {dispatch.__name__} has "
                "no body, wanted one registered for it"
            )
        _linked[key] = Reach([dispatch.root, body], classes)
    return _linked[key]


def link(room: Room, spec: Any, dtype: Any, wants: frozenset[Any], hold: bool = False) -> Any:
    """A description as a part of a room, with the functions ``wants`` compiled for it.

    ``wants`` are pairs of a generic function and 0, or 1 for its form with the optional
    argument there. ``hold`` keeps the part for the next call with the same object.
    """
    if not JIT or isinstance(spec, Part):
        return spec
    char = dtype if isinstance(dtype, str) else np.dtype(dtype).char
    same = (id(spec), char, wants)
    held = _held.get(same)
    if held is not None and held[0] is spec:
        return held[1]
    given, form = spec, _forms.get(type(spec))
    if form is not None:
        spec = form(spec)
    writer = _Writer(char, spec, wants)
    key = writer.write(spec)
    head = _linked.get((key, char, wants))
    if head is None:
        head = _linked[key, char, wants] = _addresses(spec, key, char, wants)
    part = Part(room, char, array.array("q", head + writer.words), writer.keep, writer.size)
    if hold and writer.size <= _SMALL:
        if len(_held) >= _HELD:
            _held.clear()
        _held[same] = given, part
    return part


def _addresses(spec: Any, key: Any, char: str, wants: frozenset[Any]) -> list[int]:
    """The first words of a part: where its room's functions are, compiled if they have to be."""
    cls, classes = type(spec), _inline_classes(spec)
    head = [0] * Room.SLOTS
    for dispatch, variant in sorted(wants, key=lambda want: (want[0].slot, want[1])):
        reach = _reach(dispatch, cls, classes)
        head[dispatch.slot + variant] = _root(dispatch, variant, key, char, reach).address
    return head


def _root(dispatch: Any, variant: int, key: Any, dtype: Any, reach: Reach) -> Root:
    arguments, gives = _signature(dispatch, variant, _number(dtype))
    place = PlaceType(_type_of(key), Room.SLOTS)
    label = f"{dispatch.__name__} of {key[0].__name__.removesuffix('Spec')}"
    return Root(
        dispatch.root, (place, *arguments), gives, label=label, reach=reach,
    )  # fmt: skip


def _type_of(key: Any) -> Any:
    """The Numba type that a writer's key stands for."""
    simple = {"f": types.float64, "b": types.boolean, "i": types.int64, "n": types.none,
              "c": types.complex128}  # fmt: skip
    if isinstance(key, str):
        return simple[key]
    head = key[0]
    if head == "p":
        return PartType(key[1], _number(key[2]))
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
            number = _number(dtype)
            arguments = tuple(_matching(code, number) for code in self._takes)
            gives = types.none if self._gives is None else _matching(self._gives, number)
            label = self.function.__name__.replace("_", " ")
            root = Root(self.function, arguments, gives, entry=True, label=label)
            self._calls[char] = root.call
        return self._calls[char]


def entry(takes: Any, gives: Any = None) -> Callable[[Callable], Entry]:
    """Make a function an ``Entry``."""
    return lambda function: Entry(function, takes, gives)
