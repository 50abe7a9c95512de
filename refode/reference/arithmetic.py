"""The arithmetic that the formulas are evaluated in: balls, unless another one is chosen.

An arithmetic makes scalars from fractions and knows the functions that scalars need; sums,
products and quotients are the scalars' own operators. `Balls` is python-flint's; rounded.py has
those of ordinary precisions, in which nothing needs python-flint.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from fractions import Fraction
from typing import Any, Protocol

Scalar = Any


class Arithmetic(Protocol):
    """What rings.py and formulas.py ask of the scalars beneath them."""

    def number(self, q: Fraction) -> Scalar:
        """A rational number."""

    def pi(self) -> Scalar: ...

    def sign(self, u: Scalar) -> int:
        """-1, 0 or 1; ArithmeticError where it is not certain."""

    def exp(self, u: Scalar) -> Scalar: ...

    def log(self, u: Scalar) -> Scalar: ...

    def sin(self, u: Scalar) -> Scalar: ...

    def cos(self, u: Scalar) -> Scalar: ...

    def tanh(self, u: Scalar) -> Scalar: ...

    def sigmoid(self, u: Scalar) -> Scalar: ...

    def softplus(self, u: Scalar) -> Scalar: ...

    def log_2_cosh(self, u: Scalar) -> Scalar: ...

    def inverse(self, u: Scalar) -> Scalar: ...


class Balls:
    """Enclosures of real numbers by python-flint's arb, at the precision of its context."""

    def number(self, q: Fraction) -> Scalar:
        from flint import arb, fmpq

        return arb(fmpq(q.numerator, q.denominator))

    def pi(self) -> Scalar:
        from flint import arb

        return arb.pi()

    def sign(self, u: Scalar) -> int:
        """Proven; 0 is never."""
        if u.contains(0):
            raise ArithmeticError(f"|r| at a kink: the enclosure {u} contains 0")
        return 1 if u > 0 else -1

    def exp(self, u: Scalar) -> Scalar:
        return u.exp()

    def log(self, u: Scalar) -> Scalar:
        return u.log()

    def sin(self, u: Scalar) -> Scalar:
        return u.sin()

    def cos(self, u: Scalar) -> Scalar:
        return u.cos()

    def tanh(self, u: Scalar) -> Scalar:
        return u.tanh()

    def sigmoid(self, u: Scalar) -> Scalar:
        return 1 / (1 + (-u).exp())

    def softplus(self, u: Scalar) -> Scalar:
        return (u.exp() + 1).log()

    def log_2_cosh(self, u: Scalar) -> Scalar:
        return (u.exp() + (-u).exp()).log()

    def inverse(self, u: Scalar) -> Scalar:
        return 1 / u


_active: ContextVar[Arithmetic] = ContextVar("arithmetic", default=Balls())  # noqa: B039

#: The arithmetic in force, by thread.
active = _active.get


@contextmanager
def using(arithmetic: Arithmetic) -> Iterator[None]:
    """Evaluate in another arithmetic within a with block."""
    token = _active.set(arithmetic)
    try:
        yield
    finally:
        _active.reset(token)


def constant(q: Any) -> Scalar:
    """A rational number, or text that stands for one, in the arithmetic in force."""
    return active().number(Fraction(q))
