"""The door: every ``ValueError`` and ``TypeError`` that bad input meets.

Each function takes the argument's name first and its value second, returns the value in
the one form the rest of the package works with, or raises an error of one style: the name,
what came, what was wanted, as in ``x: got an array of shape (3,), wanted (N, 2)``.

``TypeError`` is for the wrong kind (objects, complex numbers, text, booleans where numbers
are wanted, numbers that float64 cannot hold), ``ValueError`` for the wrong shape, an empty
array, NaN or infinity, and numbers out of range, sizes among them that want more memory than
there is. Scalars of NumPy and arrays without axes are what they hold: ``np.True_`` is a bool,
``np.array(3)`` an int. A message shows kind, shape and type of what came, and at most a short
piece of it (``shown``).

**Aliasing.** An array that is already C-contiguous float64 comes back as it is, without a
copy. Nothing in the package may write into an array that it got from here. Read-only and
misaligned arrays are copied all the same: to the compiler they are types of their own, for
which it would compile every kernel anew.

The accepted path is a few microseconds, since these run on each call of short functions;
the culprit is looked for only after a check has failed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import _memory
from ._numbers import (
    FLOAT64,
    Float64,
    as_array,
    at,
    first,
    int_at_least,
    scalar,
    scalar_to_float,
    to_float64,
    wrong_kind,
)
from ._shown import short, shown

__all__ = [
    "affordable",
    "boolean",
    "choice",
    "instance",
    "interval",
    "labels_binary",
    "labels_integer",
    "n_axes",
    "nonnegative",
    "nonnegative_int",
    "positive_int",
    "real_array",
    "real_number",
    "real_vector",
    "samples",
    "shown",
    "text",
]

ShapeSpec = tuple["int | str | None", ...]
T = TypeVar("T")

_LARGEST_COUNT = 2**63 - 1


def real_array(name: str, value: Any, shape: ShapeSpec, *, allow_empty: bool = False) -> Float64:
    """Return `value` as a C-contiguous float64 array of finite numbers.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    value : array_like
        Real numbers; integers must be exact in float64.
    shape : tuple of int, str or None
        The wanted shape. An int must be met; ``None`` is free; a letter is free too, is
        shown in the message, and the same letter twice means equal lengths.
    allow_empty : bool
        Whether an array without entries is accepted.

    Returns
    -------
    ndarray
        `value` itself where it needs no change (not to be written to), else a copy.

    Raises
    ------
    TypeError
        Objects, complex numbers, text, booleans, dates, masked arrays; integers or long
        doubles that float64 cannot hold.
    ValueError
        Wrong shape, no entries, NaN or infinity.
    """
    if type(value) is np.ndarray and value.dtype == FLOAT64:
        array = value
    else:
        array = to_float64(name, value)
    got = array.shape
    if len(got) != len(shape) or not _matches(got, shape):
        raise ValueError(f"{name}: got an array of shape {got}, wanted {_shown(shape)}")
    if array.size == 0 and not allow_empty:
        raise ValueError(
            f"{name}: got an empty array of shape {got}, wanted {_shown(shape)} with entries"
        )
    # least and largest entry, as a mask would take an eighth of the data's memory
    if array.size and not (math.isfinite(array.min()) and math.isfinite(array.max())):
        index = first(~np.isfinite(array))
        raise ValueError(f"{name}: got {array[index]} at {at(index)}, wanted finite numbers")
    if not array.flags.carray:  # C order, aligned, writeable
        array = np.array(array, dtype=FLOAT64, order="C")
    return array


def n_axes(value: Any) -> int:
    """Return the number of axes of `value`; 0 for what is no array, which `real_array` refuses."""
    try:
        found = np.ndim(value)
        return found if isinstance(found, int) else 0  # of a class it is a descriptor
    except Exception:  # ragged, or an object that cannot be an array
        return 0


def real_vector(name: str, value: Any, size: int) -> Float64:
    """Return `value` as a finite float64 vector of length `size`; see `real_array`."""
    return real_array(name, value, (size,), allow_empty=size == 0)


def samples(name: str, value: Any, dim: int) -> Float64:
    """Return `value` as float64 samples in rows, ``(N, dim)`` with N >= 1; see `real_array`."""
    return real_array(name, value, ("N", dim))


def labels_binary(name: str, value: Any, n: int) -> Float64:
    """Return `value` as ``(n,)`` float64 labels, each exactly 0 or 1.

    Integers, booleans and floats are accepted.

    Raises
    ------
    TypeError
        Entries that are no numbers.
    ValueError
        Wrong shape, or an entry that is neither 0 nor 1; the first one is named.
    """
    array = as_array(name, value)
    if array.dtype.kind not in "biuf":
        wrong_kind(name, array, "labels 0 or 1")
    if array.shape != (n,):
        raise ValueError(f"{name}: got an array of shape {array.shape}, wanted ({n},)")
    good = (array == 0) | (array == 1)
    if not good.all():
        index = first(~good)
        raise ValueError(f"{name}: got {array[index]} at {at(index)}, wanted labels 0 or 1")
    return np.ascontiguousarray(array, dtype=np.float64)


def labels_integer(name: str, value: Any, n: int, m: int) -> NDArray[np.int64]:
    """Return `value` as ``(n,)`` int64 class labels in 0..m-1.

    Raises
    ------
    TypeError
        Entries that are no integers (floats and booleans included).
    ValueError
        Wrong shape, or a label out of range; the first one is named.
    """
    array = as_array(name, value)
    wanted = f"integer labels in 0..{m - 1}"
    if array.dtype.kind not in "iu" and array.size:
        wrong_kind(name, array, wanted)
    if array.shape != (n,):
        raise ValueError(f"{name}: got an array of shape {array.shape}, wanted ({n},)")
    good = (array >= 0) & (array < m)
    if not good.all():
        index = first(~good)
        raise ValueError(f"{name}: got {array[index]} at {at(index)}, wanted {wanted}")
    array = np.ascontiguousarray(array, dtype=np.int64)
    return array if array.flags.carray else array.copy()


def real_number(name: str, value: Any) -> float:
    """Return `value` as a finite float.

    Raises
    ------
    TypeError
        No real number (booleans and text included), or one that float64 cannot hold.
    ValueError
        NaN or infinity.
    """
    number = value if type(value) is float else scalar_to_float(name, value)
    if not math.isfinite(number):
        raise ValueError(f"{name}: got {number}, wanted a finite number")
    return number


def nonnegative(name: str, value: Any) -> float:
    """Return `value` as a finite float >= 0; errors as `real_number`, ValueError if negative."""
    number = real_number(name, value)
    if number < 0.0:
        raise ValueError(f"{name}: got {number}, wanted a number >= 0")
    return number


def positive(name: str, value: Any) -> float:
    """Return `value` as a finite float > 0."""
    number = real_number(name, value)
    if number <= 0.0:
        raise ValueError(f"{name}: got {number}, wanted a number > 0")
    return number


def boolean(name: str, value: Any) -> bool:
    """Return `value` as a bool: Python's or NumPy's; TypeError for everything else, 0 and 1 too."""
    if value is True or value is False:
        return value
    found = scalar(value)
    if not isinstance(found, bool | np.bool_):
        raise TypeError(f"{name}: got {shown(value)}, wanted a bool")
    return bool(found)


def positive_int(name: str, value: Any) -> int:
    """Return `value` as an int >= 1; TypeError for floats, even whole ones, and booleans.

    It counts something: 2**63 and more, which no machine can, are a ValueError.
    """
    number = int_at_least(name, value, 1)
    if number > _LARGEST_COUNT:
        raise ValueError(f"{name}: got {short(value)}, wanted an int >= 1 and below 2**63")
    return number


def nonnegative_int(name: str, value: Any) -> int:
    """Return `value` as an int >= 0; TypeError for floats, even whole ones, and booleans."""
    return int_at_least(name, value, 0)


def affordable(name: str, value: Any, n_bytes: int) -> None:
    """Raise a ValueError where what is made for `value` wants more memory than there is."""
    if n_bytes > _memory.ALWAYS and n_bytes > (limit := _memory.available()):
        raise ValueError(
            f"{name}: got {shown(value)}, which wants {_memory.in_words(n_bytes)} of memory, "
            f"wanted at most {_memory.in_words(limit)}"
        )


def text(name: str, value: Any) -> str:
    """Return `value` as Python's str; TypeError else."""
    if type(value) is str:
        return value
    found = scalar(value)
    if not isinstance(found, str):
        raise TypeError(f"{name}: got {shown(value)}, wanted a str")
    return str(found)


def choice(name: str, value: Any, known: Iterable[str]) -> str:
    """Return `value`, a str out of `known`; ValueError lists the known ones."""
    found, known = text(name, value), tuple(known)
    if found not in known:
        raise ValueError(f"{name}: got {short(found)}, wanted one of {', '.join(map(repr, known))}")
    return found


def path(name: str, value: Any) -> Path:
    """Return `value`, a str or a path of text, as a Path; ValueError if it can name nothing."""
    try:
        found = os.fspath(value)
    except Exception:  # no path
        found = None
    if not isinstance(found, str):
        raise TypeError(f"{name}: got {shown(value)}, wanted a path (str or os.PathLike)")
    if not found or "\0" in found:
        raise ValueError(f"{name}: got {short(found)}, wanted a path with a name in it")
    return Path(found)


def is_text(value: Any) -> bool:
    """Whether `value` is one text, and no sequence of such."""
    return isinstance(scalar(value), str)


def sequence(name: str, value: Any, of: str) -> tuple[Any, ...]:
    """Return `value`, a list, tuple or array of one axis, as a tuple; TypeError else."""
    good = isinstance(value, Sequence | np.ndarray) and getattr(value, "ndim", 1) != 0
    if not good or isinstance(value, str | bytes | bytearray | memoryview):
        raise TypeError(f"{name}: got {shown(value)}, wanted a sequence of {of}")
    return tuple(value)


def interval(name: str, value: Any) -> tuple[float, float]:
    """Return `value` as ``(t0, T)``, two finite floats that differ, in either order.

    Raises
    ------
    TypeError
        No pair of real numbers.
    ValueError
        Another length than two, NaN, infinity, equal ends, or a length beyond float64.
    """
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str | bytes):
        raise TypeError(f"{name}: got {shown(value)}, wanted a pair (t0, T)")
    try:
        shape = value.shape if isinstance(value, np.ndarray) else (len(value),)
    except Exception:  # a sequence that is none
        shape = ()
    if shape != (2,):
        raise ValueError(f"{name}: got {shown(value)}, wanted a pair (t0, T)")
    t0, t1 = real_number(f"{name}[0]", value[0]), real_number(f"{name}[1]", value[1])
    if t0 == t1:
        raise ValueError(f"{name}: got ({t0}, {t1}), wanted two different times")
    if not math.isfinite(t1 - t0):
        raise ValueError(f"{name}: got ({t0}, {t1}), wanted times a finite length apart")
    return t0, t1


def instance(name: str, value: Any, kind: type[T] | tuple[type[T], ...]) -> T:
    """Return `value`, an instance of `kind` (a class or a tuple of them); TypeError else."""
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join(k.__name__ for k in kinds)
        raise TypeError(f"{name}: got {shown(value)}, wanted an instance of {names}")
    return value


# --- what the accepted path does not need ------------------------------------------------


def _matches(got: tuple[int, ...], shape: ShapeSpec) -> bool:
    letters: dict[str, int] = {}
    for length, wanted in zip(got, shape, strict=True):
        if wanted is None:
            continue
        if isinstance(wanted, str):
            if letters.setdefault(wanted, length) != length:
                return False
        elif length != wanted:
            return False
    return True


def _shown(shape: ShapeSpec) -> str:
    entries = ["*" if s is None else str(s) for s in shape]
    return f"({entries[0]},)" if len(entries) == 1 else f"({', '.join(entries)})"
