"""A case in float64, float32 or bfloat16: every operation is rounded, to nearest, ties to even.

The formulas and derivatives are those of the proven digits, so that the only error left is what
a correct implementation at that precision makes: refode check must pass it. Needs nothing but
NumPy. The functions that overflow in their plain form (softplus, log 2 cosh, sigmoid, log sum
exp) are written for rounded numbers here and in rings.py.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode import _validate
from refode.reference.arithmetic import using
from refode.reference.paths import Document, Results, leaves, shape
from refode.reference.quantities import quantities

Rounding = Callable[[float], float]

_pack, _unpack = struct.Struct("<f").pack, struct.Struct("<f").unpack
_LARGEST_BFLOAT16 = math.ldexp(255.0, 120)


def to_float64(x: float) -> float:
    """The number itself."""
    return x


def to_float32(x: float) -> float:
    """The nearest float32."""
    try:
        return _unpack(_pack(x))[0]
    except OverflowError:
        return math.copysign(math.inf, x)


def to_bfloat16(x: float) -> float:
    """The nearest bfloat16: a float32 with 8 significant bits, subnormals and infinity included."""
    if x - x != 0.0:
        return x  # infinite or NaN
    fraction, exponent = math.frexp(x)
    unit = max(exponent, -125) - 8  # the exponent of the last place; 2^-133 below 2^-126
    y = math.ldexp(round(math.ldexp(fraction, exponent - unit)), unit)
    return y if -_LARGEST_BFLOAT16 <= y <= _LARGEST_BFLOAT16 else math.copysign(math.inf, x)


def _scalar_type(rounding: Rounding) -> Any:
    """Numbers of one precision.

    An operation in double that is then rounded is as good as rounded once: 53 bits are more
    than twice as many as either format has, and two.
    """

    class Rounded:
        __slots__ = ("value",)

        def __init__(self, value: float) -> None:
            self.value = value

        def __float__(self) -> float:
            return self.value

        def __neg__(self) -> Any:
            return Rounded(-self.value)

        def __add__(self, other: Any) -> Any:
            if other.__class__ is Rounded:
                return Rounded(rounding(self.value + other.value))
            if other.__class__ is int:
                return Rounded(rounding(self.value + other))
            return NotImplemented

        def __mul__(self, other: Any) -> Any:
            if other.__class__ is Rounded:
                return Rounded(rounding(self.value * other.value))
            if other.__class__ is int:
                return Rounded(rounding(self.value * other))
            return NotImplemented

        def __sub__(self, other: Any) -> Any:
            if other.__class__ is Rounded:
                return Rounded(rounding(self.value - other.value))
            return self + (-other) if other.__class__ is int else NotImplemented

        def __rsub__(self, other: Any) -> Any:
            return -self + other

        __radd__, __rmul__ = __add__, __mul__

    return Rounded


def _safely(function: Rounding, outside: Rounding) -> Rounding:
    """A function of math, with what floating point gives where Python raises."""

    def value(x: float) -> float:
        try:
            return function(x)
        except (OverflowError, ValueError):
            return outside(x)

    return value


_exp = _safely(math.exp, lambda x: math.inf)
_log = _safely(math.log, lambda x: math.nan if x else -math.inf)
_sin = _safely(math.sin, lambda x: math.nan)
_cos = _safely(math.cos, lambda x: math.nan)


class Arithmetic:
    """What the formulas need of one precision; see `refode.reference.arithmetic.Arithmetic`.

    Parameters
    ----------
    rounding : callable
        The nearest number of the precision to a double.
    """

    def __init__(self, rounding: Rounding) -> None:
        self.rounding = rounding
        # Python's own numbers round every operation to double
        self.scalar: Any = float if rounding is to_float64 else _scalar_type(rounding)

    def number(self, q: Fraction) -> Any:
        return self.scalar(self.rounding(q.numerator / q.denominator))

    def pi(self) -> Any:
        return self.scalar(self.rounding(math.pi))

    def sign(self, u: Any) -> int:
        value = float(u)
        return -1 if value < 0.0 else int(value != 0.0)

    def exp(self, u: Any) -> Any:
        return self.scalar(self.rounding(_exp(float(u))))

    def log(self, u: Any) -> Any:
        return self.scalar(self.rounding(_log(float(u))))

    def sin(self, u: Any) -> Any:
        return self.scalar(self.rounding(_sin(float(u))))

    def cos(self, u: Any) -> Any:
        return self.scalar(self.rounding(_cos(float(u))))

    def tanh(self, u: Any) -> Any:
        return self.scalar(self.rounding(math.tanh(float(u))))

    def inverse(self, u: Any) -> Any:
        x = float(u)
        return self.scalar(self.rounding(1.0 / x) if x else math.copysign(math.inf, x))

    def sigmoid(self, u: Any) -> Any:
        """1/(1 + e^-u), or e^u/(1 + e^u) below 0."""
        r, x = self.rounding, float(u)
        e = r(math.exp(-abs(x)))
        return self.scalar(r((e if x < 0.0 else 1.0) / r(1.0 + e)))

    def softplus(self, u: Any) -> Any:
        """max(u, 0) + log(1 + e^-|u|)."""
        r, x = self.rounding, float(u)
        return self.scalar(r(max(x, 0.0) + r(math.log1p(r(math.exp(-abs(x)))))))

    def log_2_cosh(self, u: Any) -> Any:
        """|u| + log(1 + e^-2|u|)."""
        r, x = self.rounding, abs(float(u))
        return self.scalar(r(x + r(math.log1p(r(math.exp(-2.0 * x))))))


ARITHMETICS = {
    "float64": Arithmetic(to_float64),
    "float32": Arithmetic(to_float32),
    "bfloat16": Arithmetic(to_bfloat16),
}


def evaluate(document: Document, precision: str) -> dict[str, NDArray[np.float64]]:
    """Every quantity of a case, computed at a precision.

    Parameters
    ----------
    document : dict
        As of `refode.reference.case`; its results are not read.
    precision : {"float64", "float32", "bfloat16"}

    Returns
    -------
    dict of arrays
        By the names of the golden results, such as "gradient/W0"; doubles that are numbers of
        the precision, not finite where it overflows.

    Raises
    ------
    ValueError
        No such precision.
    """
    precision = _validate.choice("precision", precision, tuple(ARITHMETICS))
    with using(ARITHMETICS[precision]):
        found = quantities(document)
    return dict(_arrays(found, ""))


def _arrays(found: Results, prefix: str) -> Iterator[tuple[str, NDArray[np.float64]]]:
    for name, value in found.items():
        if isinstance(value, dict):
            yield from _arrays(value, f"{prefix}{name}/")
        else:
            numbers = np.array([float(v) for v in leaves(value)])
            yield prefix + name, numbers.reshape(shape(value))
