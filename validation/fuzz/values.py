"""Odd arguments: things of every kind, and good arguments spoiled in every way."""

from __future__ import annotations

import array
import enum
import types
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

Array = np.ndarray


class Grad:
    """Like a tensor that asks for gradients: NumPy cannot have its numbers."""

    requires_grad = True
    shape = (2, 2)

    def __array__(self, *args: Any, **kwargs: Any) -> Array:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    def detach(self) -> Array:
        return np.ones(self.shape)

    def __len__(self) -> int:
        return 2

    def __float__(self) -> float:
        return 1.0

    def __repr__(self) -> str:
        return "tensor([[1., 1.], [1., 1.]], requires_grad=True)"


class Foreign:
    """Like an array of another library: NumPy asks for its numbers by ``__array__``."""

    def __init__(self, numbers: Any) -> None:
        self.numbers = np.asarray(numbers)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return self.numbers if dtype is None else self.numbers.astype(dtype)

    def __repr__(self) -> str:
        return f"Foreign({self.numbers.tolist()})"


class Frame(Foreign):
    """Shows itself over many lines, as tables do."""

    def __repr__(self) -> str:
        return "\n".join(f"row {i}   " + "  0.123456" * 12 for i in range(60))


class Shy:
    """Cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Broken:
    """Fails whatever is asked of it."""

    def __len__(self) -> int:
        raise RuntimeError("no len")

    def __iter__(self) -> Any:
        raise RuntimeError("no iter")

    def __array__(self, *args: Any, **kwargs: Any) -> Array:
        raise RuntimeError("no array")

    def __float__(self) -> float:
        raise RuntimeError("no float")

    def __index__(self) -> int:
        raise RuntimeError("no index")

    def __bool__(self) -> bool:
        raise RuntimeError("no bool")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no eq")

    __hash__ = None  # type: ignore[assignment]


class Index:
    """An integer by its protocol alone."""

    def __index__(self) -> int:
        return 2


class Colour(enum.IntEnum):
    """Integers with names."""

    RED = 2


#: Of every kind; factories where a value is used up.
ODD: dict[str, Callable[[], Any]] = {
    repr(v)[:30]: (lambda v=v: v)
    for v in (
        *(None, True, False, 0, 1, 2, 3, -1, 2**53 + 1, 2**63, 2**64, 10**12, 10**30, 10**400),
        *(0.0, 0.5, 1.0, -1.5, 2.0, float("nan"), float("inf"), -float("inf")),
        *(1e-320, 1e-160, 1e99, 1e300, 1j, 1 + 0j, Fraction(1, 3), Decimal("0.5")),
        *("", "tanh", "rk4", "cuda", "²", "a\0b", "x" * 5000, b"ab", b"", bytearray(b"ab")),
        *((), [], {}, set(), frozenset({1}), [[1.0, 2.0], [3.0]], {"x": 1}, {1: 2}),
        *((0.0, 1.0), (1.0, 0.0), [0.1] * 3, [True, False], ["a"], [None], [1j], [10**30]),
        *((2, 3), (-1,), [2**63], (0, 0), int, object, len, Ellipsis, NotImplemented),
        *(slice(2), range(3), range(0), Path("there"), Colour.RED, SimpleNamespace(a=1)),
        *(np.True_, np.False_, np.int64(2), np.int8(-1), np.uint64(2**63), np.float16(0.5)),
        *(np.float32(0.1), np.longdouble(1) / 3, np.complex64(1), np.str_("tanh"), np.bytes_(b"a")),
        *(np.datetime64("2020-01-01"), np.timedelta64(1, "s"), np.timedelta64("NaT")),
        *(np.array(2), np.array(0.5), np.array(True), np.array("tanh"), np.array(1j)),
        *(np.float64("nan"), np.void(b"ab"), np.dtype("f8"), np.float64),
        *(np.zeros(0), np.zeros((0, 2)), np.zeros((2, 0)), np.zeros((1, 1, 1, 1)), np.ones(3)),
        *(np.eye(2), np.ones((2, 2), bool), np.array([None, 1]), np.array(["a", "b"])),
        *(np.array([1, "a"], object), np.zeros(2, "m8[s]"), np.zeros(2, "M8[s]")),
        *(np.zeros(2, "f8,i4"), np.ma.masked_equal([1.0, 2.0], 1.0), np.ma.masked),
        *(np.array([2**63], np.uint64), np.array([2**62, 1]), np.full((2, 2), np.nan)),
        *(Grad(), Foreign(np.eye(2)), Foreign([1.0, 2.0]), Frame(["a"] * 9), Broken()),
        *(Index(), lambda *a, **k: None, lambda *a, **k: "a", lambda *a, **k: float("nan")),
        *(memoryview(b"ab"), array.array("d", [1.0, 2.0]), np.zeros((300, 40)).astype(str)),
    )
}
ODD["what cannot be shown"] = Shy
ODD["a generator"] = lambda: (i for i in range(3))
ODD["a deep list"] = lambda: _nested(200)


def _nested(depth: int) -> Any:
    found: Any = [1.0]
    for _ in range(depth):
        found = [found]
    return found


def _put(value: Any) -> Callable[[Array, Any], Array]:
    def spoil(a: Array, rng: Any) -> Array:
        a = a.astype(np.result_type(a.dtype, np.array(value).dtype))
        a[tuple(rng.integers(n) for n in a.shape)] = value
        return a

    return spoil


def _strided(a: Array) -> Array:
    wide = np.repeat(a, 2, axis=-1)
    return wide[..., ::2]


def _read_only(a: Array) -> Array:
    a = a.copy()
    a.flags.writeable = False
    return a


def _misaligned(a: Array) -> Array:
    raw = bytearray(a.nbytes + 1)
    out = np.frombuffer(raw, dtype=a.dtype, count=a.size, offset=1).reshape(a.shape)
    out[...] = a
    return out


#: The same value in another form: taken, with the same answer to the bit.
SAME_ARRAY: dict[str, Callable[[Array, Any], Any]] = {
    "list": lambda a, rng: a.tolist(),
    "Fortran": lambda a, rng: np.asfortranarray(a),
    "strided": lambda a, rng: _strided(a),
    "read-only": lambda a, rng: _read_only(a),
    "misaligned": lambda a, rng: _misaligned(a),
    "other byte order": lambda a, rng: a.astype(a.dtype.newbyteorder(">")),
    "foreign": lambda a, rng: Foreign(a),
    "long double": lambda a, rng: a.astype(np.longdouble) if a.dtype.kind == "f" else a,
}
SAME_NUMBER: dict[str, Callable[[Any, Any], Any]] = {
    "NumPy's": lambda v, rng: np.array(v)[()],
    "0-d": lambda v, rng: np.array(v),
    "long": lambda v, rng: np.longdouble(v) if isinstance(v, float) else np.int16(v),
    "other byte order": lambda v, rng: np.array(v, np.array(v).dtype.newbyteorder(">")),
}
#: Spoiled; some are right all the same, for one argument or another.
BENT_ARRAY: dict[str, Callable[[Array, Any], Any]] = {
    "one row less": lambda a, rng: a[:-1],
    "one row more": lambda a, rng: np.concatenate([a, a[:1]]),
    "another axis": lambda a, rng: np.stack([a, a], axis=int(rng.integers(a.ndim + 1))),
    "flat": lambda a, rng: a.ravel(),
    "one number": lambda a, rng: a.ravel()[0],
    "one column more": lambda a, rng: np.concatenate([a, a[..., :1]], axis=-1),
    "transposed": lambda a, rng: a.T,
    "no rows": lambda a, rng: a[:0],
    "no columns": lambda a, rng: a[..., :0],
    "nan": _put(np.nan),
    "inf": _put(-np.inf),
    "tiny": lambda a, rng: a * 1e-310,
    "small": lambda a, rng: a * 1e-160,
    "large": lambda a, rng: a * 10.0 ** rng.integers(3, 99),
    "one large": lambda a, rng: _put(10.0 ** rng.integers(3, 99))(a, rng),
    "too large": lambda a, rng: a * 1e300,
    "zeros": lambda a, rng: a * 0,
    "negative": lambda a, rng: -a,
    "shuffled": lambda a, rng: rng.permutation(a),
    "equal": lambda a, rng: np.full_like(a, a.flat[0]) if a.size else a,
    "float32": lambda a, rng: a.astype(np.float32),
    "float16": lambda a, rng: a.astype(np.float16),
    "int8": lambda a, rng: a.astype(np.int8),
    "uint64": lambda a, rng: np.full(a.shape, 2**63, np.uint64),
    "long double": lambda a, rng: a + np.longdouble(1) / 3,
    "complex": lambda a, rng: a + 0j,
    "booleans": lambda a, rng: a > 0,
    "objects": lambda a, rng: a.astype(object),
    "text": lambda a, rng: a.astype(str),
    "bytes": lambda a, rng: a.astype("S8"),
    "dates": lambda a, rng: np.zeros(a.shape, "M8[s]"),
    "durations": lambda a, rng: np.ones(a.shape, "m8[s]"),
    "masked": lambda a, rng: np.ma.masked_invalid(a.astype(float)),
    "structured": lambda a, rng: np.zeros(a.shape, "f8,i4"),
    "Frame": lambda a, rng: Frame(a.astype(str)),
    "in a list": lambda a, rng: [a],
    "in a dict": lambda a, rng: {"x": a},
}
BENT_NUMBER: dict[str, Callable[[Any, Any], Any]] = {
    "negative": lambda v, rng: -v,
    "text": lambda v, rng: str(v),
    "(1,)": lambda v, rng: np.array([v]),
    "complex": lambda v, rng: v + 0j,
    "large": lambda v, rng: v * 10.0 ** rng.integers(3, 99),
    "small": lambda v, rng: v * 1e-160,
    "as float": lambda v, rng: float(v),
    "next": lambda v, rng: v + 1,
}


def same(value: Any, rng: Any) -> tuple[str, Any] | None:
    """The same value in another form, with the form's name."""
    if isinstance(value, Array):
        return _drawn(SAME_ARRAY, value, rng)
    if isinstance(value, bool):
        return "NumPy's", np.bool_(value)
    if isinstance(value, int | float):
        return _drawn(SAME_NUMBER, value, rng)
    if isinstance(value, str):
        return "NumPy's", np.str_(value)
    return None


def odd(value: Any, others: list[Any], rng: Any, function: bool = False) -> tuple[str, Any]:
    """Something odd in place of a good value; ``function`` where a function may stand."""
    roll = rng.random()
    if roll < 0.1 and others:  # objects of this package, mostly of another kind
        other = others[rng.integers(len(others))]
        return f"another object, {type(other).__name__}", other
    if isinstance(value, Array) and value.dtype.kind in "fiub" and roll < 0.65:
        return _drawn(BENT_ARRAY, value, rng)
    if isinstance(value, int | float) and not isinstance(value, bool) and roll < 0.4:
        return _drawn(BENT_NUMBER, value, rng)
    name = list(ODD)[rng.integers(len(ODD))]
    made = ODD[name]()
    if (callable(value) or function) and isinstance(made, type | types.BuiltinFunctionType):
        name, made = "None", None  # what it raises is its own
    if callable(value) and roll < 0.5:  # what a function of the user's answers
        return f"answers {name}", lambda *a, **k: made
    if isinstance(value, dict) and value and roll < 0.6:
        key = list(value)[rng.integers(len(value))]
        how, bent = odd(value[key], others, rng)
        return f"[{key!r}] {how}", {**value, key: bent}
    return name, made


def _drawn(table: dict[str, Callable[[Any, Any], Any]], value: Any, rng: Any) -> tuple[str, Any]:
    name = list(table)[rng.integers(len(table))]
    with np.errstate(all="ignore"):
        try:
            return name, table[name](value, rng)
        except (IndexError, ValueError, OverflowError, TypeError):  # no entries, too large
            return "as it is", value
