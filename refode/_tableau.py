"""What a scheme is, in exact fractions: explicit tableaus, implicit ones, Rosenbrock's.

Public as `refode.tableaus`, which has the named ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from numbers import Number
from typing import Any, Self

import numpy as np

from . import _validate
from ._fixed import Fixed


def _fraction(name: str, entry: Any) -> Fraction:
    try:
        return Fraction(entry)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"{name}: got {_validate.shown(entry)}, wanted finite numbers or text such as '1/3'"
        ) from None


def _fractions(name: str, entries: Sequence[Any], n: int) -> tuple[Fraction, ...]:
    entries = _validate.sequence(name, entries, "numbers")
    if len(entries) != n:
        raise ValueError(f"{name}: got {len(entries)} entries, wanted {n}, one a stage")
    return tuple(_fraction(name, entry) for entry in entries)


def _decimal(entry: Fraction) -> str:
    """The entry as a decimal where that ends within 28 digits, as a fraction otherwise."""
    decimal = Decimal(entry.numerator) / Decimal(entry.denominator)
    return f"{decimal:f}" if Fraction(decimal) == entry else str(entry)


@dataclass(unsafe_hash=True)  # not frozen, for the error of `Fixed`
class Tableau(Fixed):
    """An explicit Runge-Kutta method k_i = f(t + c_i h, y + h sum_j a_ij k_j), y+ = y + h sum b k.

    Parameters
    ----------
    name : str
    A : (s, s) of Fraction, strictly lower triangular
    b, c : (s,) of Fraction
        Weights and nodes. Anything that `Fraction` accepts is converted.
    order : int
        Order of b.
    reference : str
        Where the coefficients are published.
    b_embedded : (s,) of Fraction, optional
        Weights of the embedded method.
    embedded_order : int, optional
        Its order; given exactly where `b_embedded` is.
    exact : bool
        False where the source prints rounded decimals.
    digits : int, optional
        Significant digits printed, where not `exact`.

    Raises
    ------
    ValueError, TypeError
        Shapes that do not match, entries that are no finite numbers, A not strictly lower
        triangular (implicit), orders that are no positive integers.
    """

    name: str
    A: tuple[tuple[Fraction, ...], ...]
    b: tuple[Fraction, ...]
    c: tuple[Fraction, ...]
    order: int
    reference: str
    b_embedded: tuple[Fraction, ...] | None = None
    embedded_order: int | None = None
    exact: bool = True
    digits: int | None = None

    def __post_init__(self) -> None:
        self.name = _validate.text("name", self.name)
        self.reference = _validate.text("reference", self.reference)
        rows = _validate.sequence("A", self.A, "rows")
        n = len(rows)
        if n == 0:
            raise ValueError("A: got no rows, wanted at least one stage")
        A = tuple(_fractions("A", row, n) for row in rows)
        self._check_stages(A)
        self.order = _validate.positive_int("order", self.order)
        self.exact = _validate.boolean("exact", self.exact)
        if self.digits is not None:
            self.digits = _validate.positive_int("digits", self.digits)
        if (self.b_embedded is None) != (self.embedded_order is None):
            raise ValueError("b_embedded, embedded_order: got one without the other, wanted both")
        self.A = A
        self.b = _fractions("b", self.b, n)
        self.c = _fractions("c", self.c, n)
        if self.b_embedded is not None:
            self.embedded_order = _validate.positive_int("embedded_order", self.embedded_order)
            self.b_embedded = _fractions("b_embedded", self.b_embedded, n)

    @staticmethod
    def _check_stages(A: tuple[tuple[Fraction, ...], ...]) -> None:
        """Refuse stages that read what is not there yet."""
        for i, row in enumerate(A):
            if any(row[i:]):
                raise ValueError(
                    f"A: got row {i} = {', '.join(map(str, row))}, wanted a strictly "
                    "lower triangular matrix (an explicit method)"
                )

    @classmethod
    def from_text(
        cls,
        name: str,
        order: int,
        reference: str,
        text: str,
        embedded_order: int | None = None,
        exact: bool = True,
        digits: int | None = None,
    ) -> Self:
        """Parse a drawn table (the module's docstring says how it is drawn).

        Raises
        ------
        ValueError, TypeError
            A table without a rule, with more entries than stages, or without weights; all that
            the class itself refuses.
        """
        name, text = _validate.text("name", name), _validate.text("text", text)
        above, rule, below = text.partition("--")
        stages = [line.partition("|") for line in above.splitlines() if line.strip()]
        weights = [
            line.partition("|")[2].split() for line in below.splitlines()[1:] if line.strip()
        ]
        if not rule or not 1 <= len(weights) <= 2:
            raise ValueError(
                f"text: got {len(weights)} lines below a rule of dashes in {_validate.short(name)}"
                ", wanted one or two lines of weights there"
            )
        if (len(weights) == 2) != (embedded_order is not None):
            raise ValueError(
                f"embedded_order: got {_validate.shown(embedded_order)} with {len(weights)} lines "
                "of weights, wanted an order exactly where there are two"
            )
        n = len(stages)
        rows = [entries.split() for _, _, entries in stages]
        A: Any = tuple(tuple(row + ["0"] * (n - len(row))) for row in rows)
        b: Any = tuple(weights[0])
        c: Any = tuple(node.strip() for node, _, _ in stages)
        b_embedded: Any = tuple(weights[1]) if len(weights) == 2 else None
        return cls(name, A, b, c, order, reference, b_embedded, embedded_order, exact, digits)

    @property
    def n_stages(self) -> int:
        """Number of stages s."""
        return len(self.b)

    def as_floats(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A (s, s), b (s,), c (s,): each entry the double nearest to its fraction."""
        A = np.array([[float(a) for a in row] for row in self.A])
        return A, np.array([float(b) for b in self.b]), np.array([float(c) for c in self.c])

    def propagating(self) -> Tableau:
        """The method without the stages that do not influence y+ = y + h sum b_i k_i.

        Stages that only serve the embedded weights fall away (Dormand-Prince keeps six of seven),
        and the embedded weights with them; a method without such stages returns itself.
        """
        needed = {i for i, b_i in enumerate(self.b) if b_i}
        for i in reversed(range(self.n_stages)):  # a stage reads earlier stages only
            if i in needed:
                needed |= {j for j, a in enumerate(self.A[i]) if a}
        if len(needed) == self.n_stages:
            return self
        kept = sorted(needed)
        return replace(
            self,
            A=tuple(tuple(self.A[i][j] for j in kept) for i in kept),
            b=tuple(self.b[i] for i in kept),
            c=tuple(self.c[i] for i in kept),
            b_embedded=None,
            embedded_order=None,
        )

    def stability(self, z: complex) -> complex:
        """R(z), by which one step of length h multiplies the solution of y' = (z/h) y.

        R(z) = 1 + z b^T (I - z A)^{-1} 1, infinite at its poles.

        Raises
        ------
        TypeError, ValueError
            z is no number, or an integer too large for one of float64.
        """
        if isinstance(z, np.ndarray) and z.ndim == 0:
            z = z.item()
        wrong = isinstance(z, bool | np.bool_ | np.timedelta64)  # which Python calls numbers
        if wrong or not isinstance(z, Number):
            raise TypeError(f"z: got {_validate.shown(z)}, wanted a number")
        A, b, _ = self.as_floats()
        A = A + self._slopes_of_slopes()
        try:
            z = complex(z)
        except OverflowError:
            raise ValueError(f"z: got {_validate.shown(z)}, wanted a number of float64's") from None
        with np.errstate(all="ignore"):
            try:
                k = np.linalg.solve(np.eye(len(b)) - z * A, np.ones(len(b)))
            except np.linalg.LinAlgError:
                return complex(np.inf)
            return complex(1.0 + z * (b @ k))

    def _slopes_of_slopes(self) -> Any:
        """What a linear problem adds to A: nothing but in a Rosenbrock method."""
        return 0.0

    def _drawn(self, i: int) -> int:
        """Entries of row i of A that a drawing shows."""
        return i

    def __str__(self) -> str:
        text = str if self.exact else _decimal
        rows = [
            [text(c), *(text(a) for a in row[: self._drawn(i)])]
            for i, (c, row) in enumerate(zip(self.c, self.A, strict=True))
        ]
        rows += [["", *map(text, weights)] for weights in (self.b, self.b_embedded) if weights]
        widths = [
            max(len(row[j]) for row in rows if len(row) > j) for j in range(self.n_stages + 1)
        ]
        lines = []
        for i, row in enumerate(rows):
            padded = [entry.rjust(width) for entry, width in zip(row, widths, strict=False)]
            lines.append(f"{padded[0]} | {'  '.join(padded[1:])}".rstrip())
            if i == self.n_stages - 1:
                rule = "-" * (sum(widths[1:]) + 2 * self.n_stages)
                lines.append("-" * (widths[0] + 1) + "+" + rule)
        orders = f"{self.order}({self.embedded_order})" if self.b_embedded else f"{self.order}"
        return "\n".join([f"{self.name}, order {orders}, {self.n_stages} stages", *lines])


@dataclass(unsafe_hash=True)
class ImplicitTableau(Tableau):
    """An implicit Runge-Kutta method: k_i = f(t + c_i h, y + h sum_j a_ij k_j) over all j.

    Parameters and errors are those of `Tableau`, but that A has an entry on its diagonal or above
    it. Where it has none above, stages are solved for one after another; else all at once.
    """

    @staticmethod
    def _check_stages(A: tuple[tuple[Fraction, ...], ...]) -> None:
        if not any(any(row[i:]) for i, row in enumerate(A)):
            raise ValueError(
                "A: got a strictly lower triangular matrix, wanted an entry on its diagonal or "
                "above it (an explicit method is a Tableau)"
            )

    @property
    def one_by_one(self) -> bool:
        """Whether a stage reads itself and earlier ones alone."""
        return not any(any(row[i + 1 :]) for i, row in enumerate(self.A))

    @property
    def ends(self) -> bool:
        """Whether the last stage is the step's end (stiffly accurate): b is A's last row."""
        return self.A[-1] == self.b

    def propagating(self) -> ImplicitTableau:
        """The method itself, without embedded weights."""
        return replace(self, b_embedded=None, embedded_order=None)

    def _drawn(self, i: int) -> int:
        return max((j + 1 for j, a in enumerate(self.A[i]) if a), default=0)


@dataclass(unsafe_hash=True)
class RosenbrockTableau(Tableau):
    """A Rosenbrock method, linearly implicit: it solves linear systems, and iterates nothing.

    k_i = f(t + c_i h, y + h sum_{j<i} a_ij k_j) + h J sum_{j<=i} g_ij k_j with J = df/dz at the
    step's start, y+ = y + h sum b_i k_i, and no term with df/dt.

    Parameters
    ----------
    G : (s, s) of Fraction
        Lower triangular. The others are those of `Tableau`.
    """

    G: tuple[tuple[Fraction, ...], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        n = self.n_stages
        rows = _validate.sequence("G", self.G, "rows")
        if len(rows) != n:
            raise ValueError(f"G: got {len(rows)} rows, wanted {n}, one a stage")
        self.G = tuple(_fractions("G", row, n) for row in rows)
        for i, row in enumerate(self.G):
            if any(row[i + 1 :]):
                raise ValueError(
                    f"G: got row {i} = {', '.join(map(str, row))}, wanted a lower triangular matrix"
                )

    @classmethod
    def from_text(
        cls,
        name: str,
        order: int,
        reference: str,
        text: str,
        embedded_order: int | None = None,
        exact: bool = True,
        digits: int | None = None,
        G: Any = (),
    ) -> Self:
        """Parse a drawn table of A, b and c, as `Tableau` does; G comes with it."""
        t = Tableau.from_text(name, order, reference, text, embedded_order, exact, digits)
        embedded = t.b_embedded, t.embedded_order, t.exact, t.digits
        return cls(t.name, t.A, t.b, t.c, t.order, t.reference, *embedded, G)

    def propagating(self) -> RosenbrockTableau:
        """The method itself."""
        return self

    def _slopes_of_slopes(self) -> Any:
        return np.array([[float(g) for g in row] for row in self.G])
