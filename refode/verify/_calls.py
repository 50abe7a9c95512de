"""How the checks call a stranger's functions: copies in, copies out, nothing taken on trust."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode._shown import one_line, shown

Array = NDArray[np.float64]

LARGEST = 1e150  # what is larger counts as infinite: its square overflows

# What a function may raise far from x0, where a step has left its domain.
OUT_OF_DOMAIN = (ArithmeticError, ValueError, np.linalg.LinAlgError)


def callable_argument(name: str, value: Any) -> Callable[..., Any]:
    """Return `value`, a callable; TypeError else."""
    if not callable(value):
        raise TypeError(f"{name}: got {shown(value)}, wanted a callable")
    return value


def readable(name: str, out: Any, wanted: str = "numbers") -> NDArray[Any]:
    """Return what a function gave back as an array of whatever kind.

    Raises
    ------
    TypeError
        What NumPy cannot read, such as a tensor on which a graph hangs.
    """
    try:
        return np.asarray(out)
    except ValueError:
        raise TypeError(
            f"{name}: returned a ragged {type(out).__name__}, wanted {wanted}"
        ) from None
    except Exception as error:  # whatever another library's __array__ raises
        why = one_line(error)[:100]
        raise TypeError(
            f"{name}: returned a {type(out).__name__} that NumPy cannot read ({why}), wanted "
            f"{wanted}, such as its .detach()"
        ) from None


def returned_number(name: str, out: Any) -> float:
    """Return what a function gave back as a float, NaN and infinity included.

    An array with one entry is that number.

    Raises
    ------
    TypeError
        No real number.
    ValueError
        An array with several entries, or none.
    """
    array = readable(name, out)
    if array.dtype.kind not in "iuf":
        raise TypeError(
            f"{name}: returned {type(out).__name__} of dtype {array.dtype}, wanted a float"
        )
    if array.size != 1:
        raise ValueError(f"{name}: returned an array of shape {array.shape}, wanted a float")
    return float(array.reshape(()))


def returned_vector(name: str, out: Any, size: int) -> Array:
    """Return a copy of what a function gave back as ``(size,)`` float64, NaN included.

    Raises
    ------
    TypeError
        No real array.
    ValueError
        Another shape.
    """
    array = readable(name, out, f"an array of shape ({size},)")
    if array.dtype.kind not in "iuf":
        raise TypeError(
            f"{name}: returned {type(out).__name__} of dtype {array.dtype}, "
            f"wanted a real array of shape ({size},)"
        )
    if array.shape != (size,):
        raise ValueError(
            f"{name}: returned an array of shape {array.shape}, wanted ({size},), the shape of x0"
        )
    return np.array(array, dtype=np.float64)


class Function:
    """A scalar function as the checks call it.

    Parameters
    ----------
    fun : callable
        ``fun(x) -> float``, or ``fun(x) -> (float, (p,))`` where `returns_pair`.
    returns_pair : bool
        Whether `fun` returns its gradient beside its value.
    """

    def __init__(self, fun: Callable[..., Any], returns_pair: bool = False) -> None:
        self._fun = callable_argument("fun", fun)
        self._returns_pair = returns_pair
        self.calls = 0
        self.mutates = False
        self.left_domain = False

    def __call__(self, x: Array) -> float:
        """Return the value at `x` (p,), NaN and infinity included."""
        return returned_number("fun", self._call(x)[0])

    def far(self, x: Array) -> float:
        """Return the value at `x` (p,), NaN where `fun` overflows, or raises: not defined there."""
        try:
            value = self(x)
        except OUT_OF_DOMAIN:
            value = np.nan
        if abs(value) < LARGEST:
            return value
        self.left_domain = True
        return np.nan

    def imaginary(self, x: Array) -> float | None:
        """Return Im fun(x) for complex `x` (p,), None where `fun` does not carry it through."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
                out = np.asarray(self._call(x)[0])
        except Exception:  # whatever a function written for real numbers does with complex ones
            return None
        if out.dtype.kind != "c" or out.size != 1 or not np.isfinite(out).all():
            return None
        return float(out.imag.reshape(()))

    def pair(self, x: Array) -> Any:
        """Return the second half of what `fun` returns at `x` (p,): its gradient."""
        return self._call(x)[1]

    def _call(self, x: NDArray[Any]) -> tuple[Any, Any]:
        given = x.copy()
        self.calls += 1
        with np.errstate(all="ignore"):  # overflow far from x0 is met here, not printed
            out = self._fun(given)
        self.mutates = self.mutates or not np.array_equal(given, x)
        if not self._returns_pair:
            return out, None
        if not isinstance(out, tuple | list) or len(out) != 2:
            raise TypeError(
                f"fun: returned {type(out).__name__}, wanted (value, gradient) as gradient is True"
            )
        return out[0], out[1]


class VectorFunction:
    """A gradient, or a Hessian times a vector, as the checks call it; (p,) copies come out.

    Parameters
    ----------
    name : str
        The argument's name, for messages.
    fun : callable
        ``fun(x, *others) -> (p,)``.
    size : int
        p.
    """

    def __init__(self, name: str, fun: Callable[..., Any], size: int) -> None:
        self.name = name
        self._fun = callable_argument(name, fun)
        self._size = size
        self.calls = 0
        self.mutates = False
        self.aliases_input = False
        self.reuses_output = False
        self._last: tuple[Any, Array] | None = None

    def __call__(self, x: Array, *others: Array) -> Array:
        """Return a copy of the result at `x` (p,); notes bad habits on the way."""
        given = (x.copy(), *(other.copy() for other in others))
        out = self._raw(given)
        vector = returned_vector(self.name, out, self._size)
        for now, before in zip(given, (x, *others), strict=True):
            self.mutates = self.mutates or not np.array_equal(now, before)
            if isinstance(out, np.ndarray) and np.shares_memory(out, now):
                self.aliases_input = True
        if self._last is not None:
            raw, copied = self._last
            self.reuses_output = self.reuses_output or not np.array_equal(
                np.asarray(raw, dtype=np.float64), copied, equal_nan=True
            )
        self._last = (out, vector) if not self.aliases_input else None
        return vector

    def far(self, x: Array, *others: Array) -> Array:
        """Return the result at `x` (p,), NaN where it overflows, or raises: not defined there."""
        try:
            vector = self(x, *others)
        except OUT_OF_DOMAIN:
            return np.full(self._size, np.nan)
        return np.where(np.abs(vector) < LARGEST, vector, np.nan)

    def imaginary(self, x: NDArray[Any]) -> Array | None:
        """Return the imaginary part (p,) at complex `x` (p,), None where it is not carried."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
                out = np.asarray(self._raw((x.copy(),)))
        except Exception:  # whatever a function written for real numbers does with complex ones
            return None
        if out.dtype.kind != "c" or out.shape != (self._size,) or not np.isfinite(out).all():
            return None
        return np.array(out.imag)

    def _raw(self, given: tuple[NDArray[Any], ...]) -> Any:
        self.calls += 1
        with np.errstate(all="ignore"):
            return self._fun(*given)
