"""Butcher tableaus of explicit Runge-Kutta methods, in exact fractions.

Each method is written as the table its source prints, next to that source; the table is parsed,
so what a reader compares with the paper is what runs. Above the rule a line is `c_i | a_i1 ...`,
entries left out on the right are zero; below it stand the weights b and, where there are any,
the embedded weights. tests/test_tableaus.py checks every rooted-tree order condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from . import _validate
from ._fixed import Fixed

__all__ = ["Tableau", "get", "names"]


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
        for i, row in enumerate(A):
            if any(row[i:]):
                raise ValueError(
                    f"A: got row {i} = {', '.join(map(str, row))}, wanted a strictly "
                    "lower triangular matrix (an explicit method)"
                )
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
    ) -> Tableau:
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

    def __str__(self) -> str:
        text = str if self.exact else _decimal
        rows = [
            [text(c), *(text(a) for a in row[:i])]
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


# Tables, drawn.
# fmt: off
_EULER = Tableau.from_text("euler", 1, (
    "L. Euler, Institutionum calculi integralis, vol. 1, St Petersburg, 1768, sect. 650"), """
    0 |
    --+--
      | 1
    """)

_MIDPOINT = Tableau.from_text("midpoint", 2, (
    "C. Runge, Ueber die numerische Aufloesung von Differentialgleichungen, Math. Ann. 46 (1895), "
    "167-178"), """
    0   |
    1/2 | 1/2
    ----+--------
        | 0    1
    """)

_HEUN = Tableau.from_text("heun", 2, (
    "K. Heun, Neue Methoden zur approximativen Integration der Differentialgleichungen einer "
    "unabhaengigen Veraenderlichen, Z. Math. Phys. 45 (1900), 23-38; the trapezoidal rule with an "
    "Euler predictor"), """
    0 |
    1 | 1
    --+---------
      | 1/2  1/2
    """)

_RALSTON = Tableau.from_text("ralston", 2, (
    "A. Ralston, Runge-Kutta methods with minimum error bounds, Math. Comp. 16 (1962), "
    "431-437"), """
    0   |
    2/3 | 2/3
    ----+---------
        | 1/4  3/4
    """)

_SSPRK3 = Tableau.from_text("ssprk3", 3, (
    "C.-W. Shu, S. Osher, Efficient implementation of essentially non-oscillatory shock-capturing "
    "schemes, J. Comput. Phys. 77 (1988), 439-471"), """
    0   |
    1   | 1
    1/2 | 1/4  1/4
    ----+--------------
        | 1/6  1/6  2/3
    """)

_KUTTA3 = Tableau.from_text("kutta3", 3, (
    "W. Kutta, Beitrag zur naeherungsweisen Integration totaler Differentialgleichungen, Z. Math. "
    "Phys. 46 (1901), 435-453"), """
    0   |
    1/2 | 1/2
    1   |  -1    2
    ----+--------------
        | 1/6  2/3  1/6
    """)

_BOGACKI_SHAMPINE = Tableau.from_text("bogacki_shampine", 3, (
    "P. Bogacki, L. F. Shampine, A 3(2) pair of Runge-Kutta formulas, Appl. Math. Lett. 2 (1989), "
    "321-325"), """
    0   |
    1/2 | 1/2
    3/4 |   0   3/4
    1   | 2/9   1/3  4/9
    ----+--------------------
        | 2/9   1/3  4/9    0
        | 7/24  1/4  1/3  1/8
    """, embedded_order=2)

_RK4 = Tableau.from_text("rk4", 4, (
    "W. Kutta, Beitrag zur naeherungsweisen Integration totaler Differentialgleichungen, Z. Math. "
    "Phys. 46 (1901), 435-453; the classical method"), """
    0   |
    1/2 | 1/2
    1/2 |   0  1/2
    1   |   0    0    1
    ----+-------------------
        | 1/6  1/3  1/3  1/6
    """)

_RK4_38 = Tableau.from_text("rk4_38", 4, (
    "W. Kutta, Beitrag zur naeherungsweisen Integration totaler Differentialgleichungen, Z. Math. "
    "Phys. 46 (1901), 435-453; the 3/8 rule, which torchdiffeq calls 'rk4'"), """
    0   |
    1/3 |  1/3
    2/3 | -1/3    1
    1   |    1   -1    1
    ----+--------------------
        |  1/8  3/8  3/8  1/8
    """)

_DOPRI5 = Tableau.from_text("dopri5", 5, (
    "J. R. Dormand, P. J. Prince, A family of embedded Runge-Kutta formulae, J. Comput. Appl. "
    "Math. 6 (1980), 19-26; RK5(4)7M"), """
    0    |
    1/5  |        1/5
    3/10 |       3/40         9/40
    4/5  |      44/45       -56/15        32/9
    8/9  | 19372/6561  -25360/2187  64448/6561  -212/729
    1    |  9017/3168      -355/33  46732/5247    49/176    -5103/18656
    1    |     35/384            0    500/1113   125/192     -2187/6784     11/84
    -----+----------------------------------------------------------------------------
         |     35/384            0    500/1113   125/192     -2187/6784     11/84     0
         | 5179/57600            0  7571/16695   393/640  -92097/339200  187/2100  1/40
    """, embedded_order=4)

# The source prints sixteen significant digits, but neither the first column of A (its entries are
# c_i minus the rest of the row, here to the last digit that difference has) nor the embedded
# weights themselves: it prints their differences from b to fifteen decimals, and 1/66.
_TSIT5 = Tableau.from_text("tsit5", 5, (
    "Ch. Tsitouras, Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying "
    "assumption, Comput. Math. Appl. 62 (2011), 770-775"), """
    0                  |
    0.161              |  0.161
    0.327              | -0.008480655492357    0.335480655492357
    0.9                |  2.897153057105494   -6.359448489975075  4.362295432869581
    0.9800255409045097 |  5.32586482843925895 -11.74888356406283  7.495539342889836  -0.09249506636175525
    1                  |  5.86145544294642038 -12.92096931784711  8.159367898576159  -0.071584973281401   -0.02826905039406838
    1                  |  0.09646076681806523  0.01               0.4798896504144996  1.379008574103742   -3.290069515436081  2.324710524099774
    -------------------+----------------------------------------------------------------------------------------------------------------------
                       |  0.09646076681806523  0.01               0.4798896504144996  1.379008574103742   -3.290069515436081  2.324710524099774  0
                       |  0.09468075576583923  0.009183565540343  0.4877705284247616  1.234297566930479   -2.707712349983526  1.866628418170587  1/66
    """, embedded_order=4, exact=False, digits=16)  # noqa: E501

_BUTCHER6 = Tableau.from_text("butcher6", 6, (
    "J. C. Butcher, On Runge-Kutta processes of high order, J. Austral. Math. Soc. 4 (1964), "
    "179-194"), """
    0   |
    1/3 |    1/3
    2/3 |      0    2/3
    1/3 |   1/12    1/3  -1/12
    1/2 |  -1/16    9/8  -3/16   -3/8
    1/2 |      0    9/8   -3/8   -3/4    1/2
    1   |   9/44  -9/11  63/44  18/11      0  -16/11
    ----+--------------------------------------------------
        | 11/120      0  27/40  27/40  -4/15   -4/15  11/120
    """)

_FEHLBERG8 = Tableau.from_text("fehlberg8", 8, (
    "E. Fehlberg, Classical fifth-, sixth-, seventh-, and eighth-order Runge-Kutta formulas with "
    "stepsize control, NASA Technical Report R-287, 1968; RK7(8) with the eighth-order weights, "
    "which use twelve of the thirteen stages"), """
    0    |
    2/27 |       2/27
    1/9  |       1/36  1/12
    1/6  |       1/24     0     1/8
    5/12 |       5/12     0  -25/16     25/16
    1/2  |       1/20     0       0       1/4        1/5
    5/6  |    -25/108     0       0   125/108     -65/27   125/54
    1/6  |     31/300     0       0         0     61/225     -2/9     13/900
    2/3  |          2     0       0     -53/6     704/45   -107/9      67/90      3
    1/3  |    -91/108     0       0    23/108   -976/135   311/54     -19/60   17/6  -1/12
    1    |  2383/4100     0       0  -341/164  4496/1025  -301/82  2133/4100  45/82  45/164  18/41
    0    |      3/205     0       0         0          0    -6/41     -3/205  -3/41    3/41   6/41
    1    | -1777/4100     0       0  -341/164  4496/1025  -289/82  2193/4100  51/82  33/164  12/41  0  1
    -----+-------------------------------------------------------------------------------------
         | 0       0  0  0  0  34/105  9/35  9/35  9/280  9/280       0  41/840  41/840
         | 41/840  0  0  0  0  34/105  9/35  9/35  9/280  9/280  41/840       0       0
    """, embedded_order=7)  # noqa: E501

_TABLEAUS = {tableau.name: tableau for tableau in (
    _EULER, _MIDPOINT, _HEUN, _RALSTON, _SSPRK3, _KUTTA3, _BOGACKI_SHAMPINE, _RK4, _RK4_38, _DOPRI5,
    _TSIT5, _BUTCHER6, _FEHLBERG8)}
# fmt: on


def names() -> tuple[str, ...]:
    """The names that `get` knows, in order of rising order."""
    return tuple(_TABLEAUS)


def get(name: str | Tableau) -> Tableau:
    """The tableau of that name; a `Tableau` is returned as it is.

    Raises
    ------
    TypeError
        `name` is neither a string nor a `Tableau`.
    ValueError
        The name is unknown; the message lists the known ones.

    Examples
    --------
    >>> rk4 = get("rk4")
    >>> rk4.order, rk4.n_stages
    (4, 4)
    >>> [str(b) for b in rk4.b]
    ['1/6', '1/3', '1/3', '1/6']
    """
    if isinstance(name, Tableau):
        return name
    return _TABLEAUS[_validate.choice("name", name, _TABLEAUS)]
