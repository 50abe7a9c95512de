"""Rooms: families of generic functions, which compiled code calls by the address in a part.

A *room* is a family of generic functions over one kind of description: fields, dynamics,
schemes, costs. In compiled code ``rhs(part, ...)`` looks the function's address up in the
part's first words; the function that is there, a root, reads the description from those that
follow (``described``) and calls the body registered for its class.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from refode._shown import shown
from refode.machine.compile import JIT
from refode.machine.pipeline import Pipeline, options

WORD = ir.IntType(64)
rooms: list[Any] = []
forms: dict[type, Callable] = {}  # what descriptions of a class become for kernels
linked: dict[Any, Any] = {}  # what is known of classes and roots
held_parts: dict[Any, Any] = {}  # parts of descriptions that come again


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

    @property
    def key(self) -> Any:
        """What makes places the same: not the name, in which a class has no module."""
        return self.spec, self.skip

    def described(self) -> Any:
        """What machine code depends on, for the cache."""
        from refode.machine.compile import _describe

        return ("place", _describe(self.spec), self.skip)


@register_model(PartType)
@register_model(PlaceType)
class _AddressModel(models.PrimitiveModel):
    def __init__(self, manager: Any, ty: Any) -> None:
        super().__init__(manager, ty, WORD)


def number_type(dtype: Any) -> Any:
    """Numba's type of a NumPy number type."""
    return types.complex128 if np.dtype(dtype) == np.complex128 else types.float64


def matching(code: Any, dtype: Any) -> Any:
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
        rooms.append(self)

    def function(self, takes: Any, gives: Any = None) -> Callable[[Callable], Any]:
        """Make a stub a generic function of this room.

        ``takes`` and ``gives`` are the types of its arguments after the description and of
        its result, as ``matching`` reads them; a "?" after one says that it may be None.
        """

        def make(stub: Callable) -> Any:
            dispatch = generic(stub)
            codes, optional = _codes(takes)
            if len(codes) != len(dispatch.names) - 1:
                raise ValueError(
                    f"{stub.__name__}: got types of {len(codes)} arguments after the first, "
                    f"wanted {len(dispatch.names) - 1}"
                )
            dispatch.room, dispatch.codes, dispatch.optional = self, codes, optional
            dispatch.gives, dispatch.slot = gives, self._taken
            self._taken += 1 if optional is None else 2
            assert self._taken <= self.SLOTS
            if JIT:
                dispatch.described = _layout(dispatch)
                _make_callable(dispatch, stub)
            return dispatch

        return make


def missing(dispatch: Any, cls: type) -> TypeError:
    """What is said of a description for which a generic function has no body."""
    kind = dispatch.__name__ if dispatch.room is None else dispatch.room.name
    return TypeError(
        f"{kind}: got a {cls.__name__}, for which {dispatch.__name__} has no body, wanted one "
        "registered for it"
    )


def generic(stub: Callable) -> Any:
    """A function that dispatches on the class of its first argument.

    ``f.register(Class)`` adds the body for descriptions of that class.
    """
    bodies: dict[type, Callable] = {}
    names = list(inspect.signature(stub).parameters)

    def dispatch(*args: Any) -> Any:
        form = forms.get(type(args[0]))
        if form is not None:
            args = (form(args[0]), *args[1:])
        body = bodies.get(type(args[0]))
        if body is None:
            raise missing(dispatch, type(args[0]))
        return body(*args)

    def choose(*args: Any) -> Callable | None:
        head = args[0]
        if isinstance(head, PartType):
            return dispatch.by_address  # type: ignore[attr-defined]
        if not isinstance(head, types.BaseNamedTuple):
            return None
        return bodies.get(head.instance_class)

    def register(cls: type) -> Callable[[Callable], Callable]:
        if not (isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields")):
            raise TypeError(
                f"{stub.__name__}.register: got {shown(cls)}, wanted the class of descriptions, a "
                "NamedTuple"
            )

        def add(body: Callable) -> Callable:
            if not callable(body):
                raise TypeError(
                    f"{stub.__name__}.register({cls.__name__}): got {shown(body)}, wanted a "
                    "function"
                )
            bodies[cls] = body
            if dispatch.room is not None:  # type: ignore[attr-defined]
                dispatch.room.classes.add(cls)  # type: ignore[attr-defined]
            linked.clear()
            held_parts.clear()
            return body

        return add

    dispatch.__name__ = dispatch.__qualname__ = stub.__name__
    dispatch.__module__, dispatch.__doc__ = stub.__module__, stub.__doc__
    dispatch.__wrapped__ = stub  # type: ignore[attr-defined]
    dispatch.bodies, dispatch.names = bodies, names  # type: ignore[attr-defined]
    dispatch.register, dispatch.room = register, None  # type: ignore[attr-defined]
    dispatch.former = {}  # type: ignore[attr-defined]
    choose.__signature__ = inspect.signature(stub)  # type: ignore[attr-defined]
    if JIT:
        overload(dispatch, jit_options={**options(), "pipeline_class": Pipeline}, strict=False)(
            choose
        )
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
        f"def {plain}(typingctx, {names}):\n    return typed(typingctx, dispatch, ({names},))\n",
        plain,
        stub.__module__,
        typed=_typed,
        dispatch=dispatch,
    )
    dispatch.by_address = _defined(
        f"def {plain}({names}):\n    return call({names})\n",
        plain,
        stub.__module__,
        call=intrinsic(typing),
    )
    rest = ", ".join(dispatch.names[1:])
    give = "" if dispatch.gives is None else "return "
    dispatch.root = _defined(
        f"def {plain}(place, {rest}):\n    {give}dispatch(described(place), {rest})\n",
        plain,
        stub.__module__,
        dispatch=dispatch,
        described=described,
    )


def _variant(dispatch: Any, arguments: Any) -> int:
    """0 where the optional argument is None or there is none, else 1."""
    if dispatch.optional is None:
        return 0
    return 0 if isinstance(arguments[dispatch.optional], types.NoneType) else 1


def signature_of(dispatch: Any, variant: int, dtype: Any) -> tuple[list[Any], Any]:
    """Types of the arguments after the description, and of the result."""
    found = [matching(code, dtype) for code in dispatch.codes]
    if dispatch.optional is not None and variant == 0:
        found[dispatch.optional] = types.none
    gives = types.none if dispatch.gives is None else matching(dispatch.gives, dtype)
    return found, gives


def _layout(dispatch: Any) -> Any:
    """What callers by address rely on: the slot, and the types of arguments and result."""
    from refode.machine.compile import _describe

    arguments, gives = signature_of(dispatch, 1, types.float64)
    return (dispatch.room.name, dispatch.slot, dispatch.optional, _describe((*arguments, gives)))


def _fits(typing: Any, ty: Any, want: Any) -> bool:
    """Whether an argument may be passed where a type is wanted: as it is, or a wider number."""
    ty = types.unliteral(ty)
    if isinstance(want, types.Array):
        return isinstance(ty, types.Array) and (ty.dtype, ty.ndim, ty.layout) == (
            want.dtype,
            want.ndim,
            "C",
        )
    order = [types.Boolean, types.Integer, types.Float, types.Complex]
    kinds = [i for i, kind in enumerate(order) if isinstance(want, kind)]
    if kinds:
        return isinstance(ty, tuple(order[: kinds[0] + 1]))
    return ty == want or typing.can_convert(ty, want) is not None


def _typed(typing: Any, dispatch: Any, given: Any) -> Any:
    """Type of a call through an address, and its code."""
    head, *rest = given
    variant = _variant(dispatch, rest)
    wanted, gives = signature_of(dispatch, variant, head.dtype)
    for name, ty, want in zip(dispatch.names[1:], rest, wanted, strict=True):
        if not _fits(typing, ty, want):
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
        array_,
        data=builder.inttoptr(data, array_.data.type),
        shape=cgutils.pack_array(builder, shape, WORD),
        strides=cgutils.pack_array(builder, strides, WORD),
        itemsize=WORD(size),
        meminfo=None,
    )
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
