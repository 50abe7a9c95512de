"""Numbers that differentiate themselves, over the scalars of arithmetic.py.

Three layers, each knowing nothing of the others:

scalars      balls of python-flint, or rounded numbers
``Series``   a truncated Taylor series c_0 + c_1 e + ... over any ring
``Var``      an entry of a tape, for reverse mode over any ring

An evaluation runs on ``Series`` over ``Var`` over ``Series`` over scalars: the outer series takes
derivatives by the state (traces, gradients, Laplacians), the tape the gradient by theta, and the
inner series one direction of theta, so that the gradient's second coefficient is a
Hessian-vector product. The int 0 stands for zero in every ring and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from refode.reference.arithmetic import active, constant

Number = Any  # int, scalar, Series or Var
Function = Callable[[Number], Number]


def multiply(a: Number, b: Number) -> Number:
    """The product of a b, the int 0 where one of them is."""
    return 0 if is_zero(a) or is_zero(b) else a * b


def add(a: Number, b: Number) -> Number:
    """The sum of a and b."""
    if is_zero(a):
        return b
    return a if is_zero(b) else a + b


def is_zero(a: Number) -> bool:
    """Whether a is the int 0."""
    return a.__class__ is int and a == 0


def dot(a: Sequence[Number], b: Sequence[Number], start: Number = 0) -> Number:
    """Start + sum_i a_i b_i."""
    for p, q in zip(a, b, strict=True):
        if not (p.__class__ is int and p == 0 or q.__class__ is int and q == 0):  # is_zero, inline
            start = add(start, p * q)
    return start


class Series:
    """c_0 + c_1 e + ... + c_n e^n, higher powers dropped; all operands have one n."""

    __slots__ = ("c",)

    def __init__(self, c: Sequence[Number]) -> None:
        self.c = tuple(c)

    def __add__(self, other: Number) -> Series:
        if isinstance(other, Series):
            return Series([add(a, b) for a, b in zip(self.c, other.c, strict=True)])
        return Series((add(self.c[0], other), *self.c[1:]))

    __radd__ = __add__

    def __neg__(self) -> Series:
        return Series([0 if is_zero(a) else -a for a in self.c])

    def __sub__(self, other: Number) -> Series:
        return self + (-other)

    def __rsub__(self, other: Number) -> Series:
        return -self + other

    def __mul__(self, other: Number) -> Series:
        if not isinstance(other, Series):
            return Series([multiply(a, other) for a in self.c])
        n = len(self.c)
        return Series([dot(self.c[: k + 1], other.c[k::-1]) for k in range(n)])

    __rmul__ = __mul__


class Tape:
    """Entries in the order of their making, each with its parents and partial derivatives."""

    def __init__(self) -> None:
        self.parents: list[tuple[tuple[int, Number], ...]] = []

    def variable(self, value: Number) -> Var:
        """An independent variable."""
        return self.entry(value)

    def entry(self, value: Number, *parents: tuple[int, Number]) -> Var:
        """What depends on earlier entries through the partial derivatives given."""
        self.parents.append(parents)
        return Var(self, len(self.parents) - 1, value)

    def gradient(self, output: Number, inputs: Sequence[Var]) -> list[Number]:
        """Derivatives of an entry by earlier ones; 0 where it does not depend on them."""
        bars: list[Number] = [0] * len(self.parents)
        if isinstance(output, Var):
            bars[output.index] = 1
        for i in range(len(bars) - 1, -1, -1):
            if not is_zero(bars[i]):
                for j, partial in self.parents[i]:
                    bars[j] = add(bars[j], multiply(bars[i], partial))
        return [bars[v.index] for v in inputs]


class Var:
    """An entry of a tape."""

    __slots__ = ("index", "tape", "value")

    def __init__(self, tape: Tape, index: int, value: Number) -> None:
        self.tape, self.index, self.value = tape, index, value

    def __add__(self, other: Number) -> Any:
        if isinstance(other, Series):
            return NotImplemented
        if isinstance(other, Var):
            total = self.value + other.value
            return self.tape.entry(total, (self.index, 1), (other.index, 1))
        return self.tape.entry(self.value + other, (self.index, 1))

    __radd__ = __add__

    def __neg__(self) -> Var:
        return self.tape.entry(-self.value, (self.index, -1))

    def __sub__(self, other: Number) -> Any:
        return NotImplemented if isinstance(other, Series) else self + (-other)

    def __rsub__(self, other: Number) -> Any:
        return -self + other

    def __mul__(self, other: Number) -> Any:
        if isinstance(other, Series):
            return NotImplemented
        if isinstance(other, Var):
            product = self.value * other.value
            return self.tape.entry(product, (self.index, other.value), (other.index, self.value))
        return self.tape.entry(self.value * other, (self.index, other))

    __rmul__ = __mul__


# --- elementary functions ------------------------------------------------------------------


def _elementary(name: str, slope: Callable[[Number, Number], Number]) -> Function:
    """A function of any ring from the arithmetic's and its slope(u, value)."""

    def function(u: Number) -> Number:
        if isinstance(u, Var):
            value = function(u.value)
            return u.tape.entry(value, (u.index, slope(u.value, value)))
        if isinstance(u, Series):
            return _along(u)
        return getattr(active(), name)(u)

    def _along(u: Series) -> Series:
        # v' = slope(u, v) u' coefficient by coefficient: k v_k = sum_j j u_j s_{k-j}
        v = [function(u.c[0])]
        for k in range(1, len(u.c)):
            s = [slope(u.c[0], v[0])] if k == 1 else _coefficients(slope, u, v, k)
            terms = [multiply(multiply(j, u.c[j]), s[k - j]) for j in range(1, k + 1)]
            total = dot([1] * k, terms)
            v.append(total if k == 1 or is_zero(total) else total * constant(Fraction(1, k)))
        return Series(v)

    return function


def _coefficients(slope: Callable[..., Number], u: Series, v: list[Number], k: int) -> Any:
    return slope(Series(u.c[:k]), Series(v[:k])).c


exp = _elementary("exp", lambda u, v: v)
tanh = _elementary("tanh", lambda u, v: 1 - v * v)
sigmoid = _elementary("sigmoid", lambda u, v: v - v * v)
softplus = _elementary("softplus", lambda u, v: sigmoid(u))
log_2_cosh = _elementary("log_2_cosh", lambda u, v: tanh(u))
inverse = _elementary("inverse", lambda u, v: -(v * v))
log = _elementary("log", lambda u, v: inverse(u))
sine: Function = _elementary("sin", lambda u, v: cosine(u))
cosine: Function = _elementary("cos", lambda u, v: -sine(u))


def log_sum_exp(v: Sequence[Number], weights: Sequence[Number], less: Number = 0) -> Number:
    """log sum_i w_i e^{v_i} - less, the largest v_i taken out so that nothing overflows."""
    top = max((scalar_of(a) for a in v), key=float)
    return log(dot(weights, [exp(a - top) for a in v])) + (top - less)


def scalar_of(u: Number) -> Any:
    """The scalar itself: no derivatives."""
    while isinstance(u, Series | Var):
        u = u.c[0] if isinstance(u, Series) else u.value
    return u


def absolute(u: Number) -> Number:
    """|u| by its sign, 0 with subgradient 0 at 0; ArithmeticError where it is not certain."""
    scalar = scalar_of(u)
    sign = active().sign(constant(0) if is_zero(scalar) else scalar)
    return (u if sign > 0 else -u) if sign else 0
