"""Whatever comes, as Python's and NumPy's numbers; what is none is a TypeError of the door's style.

See ``_validate`` for what is accepted and how messages read.
"""

from __future__ import annotations

import numbers
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ._columns import numbers_of
from ._shown import one_line, short, shown

Float64 = NDArray[np.float64]
FLOAT64 = np.dtype(np.float64)
_LARGEST_EXACT = 2**53  # float64 holds every integer up to here, and not 2**53 + 1


def as_array(name: str, value: Any) -> NDArray[Any]:
    """The array that NumPy makes of `value`; TypeError where it makes none, or it is masked."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: got a masked array, wanted an array without a mask")
    try:
        array = np.asarray(value)
    except MemoryError:
        raise
    except Exception as error:  # whatever another library's __array__ raises
        wanted = "an array" + (f": {name}.detach()" if wants_gradient(value) else "")
        why = one_line(error)[:100]
        raise TypeError(f"{name}: got {shown(value)}, wanted {wanted} ({why})") from None
    return array if array.dtype.kind != "O" else numbers_of(name, value, array)


def to_float64(name: str, value: Any) -> Float64:
    """An array of float64 with exactly the numbers of `value`; TypeError else."""
    array = as_array(name, value)
    kind = array.dtype.kind
    if array.dtype == FLOAT64:
        return array
    if kind not in "iuf":
        wrong_kind(name, array, "real numbers")
    if kind in "iu":
        # two comparisons, since abs of the smallest int64 is itself
        bad = (array > _LARGEST_EXACT) | (array < -_LARGEST_EXACT) if array.itemsize > 4 else None
        if bad is not None and bad.any():
            index = first(bad)
            raise TypeError(
                f"{name}: got the integer {array[index]} at {at(index)}, which float64 cannot "
                "be relied on to hold, wanted at most 2**53 in magnitude"
            )
        return array.astype(np.float64, order="C")
    with np.errstate(over="ignore"):
        cast = array.astype(np.float64, order="C")
    if array.itemsize > 8:
        bad = (cast != array) & ~np.isnan(array)
        if bad.any():
            index = first(bad)
            raise TypeError(
                f"{name}: got {array[index]!r} of dtype {array.dtype} at {at(index)}, which "
                "float64 rounds, wanted float64 numbers"
            )
    return cast


def scalar(value: Any) -> Any:
    """What an array without axes holds; everything else as it is."""
    if isinstance(value, np.ndarray) and value.ndim == 0 and type(value) is np.ndarray:
        return value[()]
    return value


def is_number(value: Any, kind: type) -> bool:
    """Whether `value` is of `kind`, an abstract one: NumPy calls durations integers, too."""
    return isinstance(value, kind) and not isinstance(value, bool | np.timedelta64)


def scalar_to_float(name: str, value: Any) -> float:
    """The float that `value` exactly is; TypeError else, ValueError beyond float64."""
    number = scalar(value)
    if not is_number(number, numbers.Real):
        wanted = "a real number"
        if wants_gradient(value):
            wanted = f"a number without a gradient: float({name}.detach())"
        raise TypeError(f"{name}: got {shown(value)}, wanted {wanted}")
    if isinstance(number, numbers.Integral) and abs(int(number)) > _LARGEST_EXACT:
        raise TypeError(
            f"{name}: got the integer {short(int(number))}, which float64 cannot be relied on to "
            "hold, wanted at most 2**53 in magnitude"
        )
    try:
        found = float(number)
    except OverflowError:
        raise ValueError(f"{name}: got {shown(value)}, wanted a finite number") from None
    if isinstance(number, np.longdouble) and found != number and not np.isnan(number):
        raise TypeError(f"{name}: got {shown(value)}, which float64 rounds, wanted float64 numbers")
    return found


def int_at_least(name: str, value: Any, least: int) -> int:
    """An int that `value` is; TypeError where it is none, ValueError below `least`."""
    if type(value) is not int:
        found = scalar(value)
        if not is_number(found, numbers.Integral):
            raise TypeError(f"{name}: got {shown(value)}, wanted an int >= {least}")
        value = int(found)
    if value < least:
        raise ValueError(f"{name}: got {short(value)}, wanted an int >= {least}")
    return value


def wants_gradient(value: Any) -> bool:
    """Whether `value` is a tensor that records a gradient, or a sequence of such."""
    if isinstance(value, list | tuple):
        return any(wants_gradient(part) for part in value[:1])
    try:
        return bool(getattr(value, "requires_grad", False))
    except Exception:
        return False


def wrong_kind(name: str, array: NDArray[Any], wanted: str) -> NoReturn:
    """The TypeError of an array with entries of another kind."""
    raise TypeError(f"{name}: got an array of dtype {array.dtype}, wanted {wanted}")


def first(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    """Where the first true entry is."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(mask)), mask.shape))


def at(index: tuple[int, ...]) -> str:
    """An index as messages name it."""
    return f"index {index[0] if len(index) == 1 else index}"
