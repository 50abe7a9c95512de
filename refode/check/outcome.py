"""What a check comes to: a row for every quantity of every case, and what is probably wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

#: Precisions whose rounding is modelled: the distance from 1 to the next number.
EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "bfloat16": 2.0**-7}

RIGHT, WRONG, INVALID, SKIPPED = "right", "wrong", "invalid", "skipped"
#: Why something is invalid.
CAUSES = (
    "not finite",
    "shape",
    "exception",
    "memory",
    "time",
    "ended",
    "kind",
    "block",
    "file",
)


@dataclass(frozen=True)
class Row:
    """One array of one case.

    Attributes
    ----------
    case, quantity : str
        The quantity with its block, such as "gradient/W0"; "" where the whole case failed.
    verdict : {"right", "wrong", "invalid", "skipped"}
        Invalid: an exception, NaN, a wrong shape, a missing block, no answer in time.
    error : float
        Largest error of an entry.
    size : float
        Largest entry of what is right.
    tolerance : float
        Largest error that rounding explains at the precision asked for.
    model : str
        The finest precision that explains the error; "" where none does.
    smallest : float
        Results with this error that are scaled by 1 + s or 1 - s are beyond the tolerance for
        every s above: (tolerance + error) / (size - error), as the largest of their entries is
        at least size - error.
    reason : str
        Why it is invalid or skipped.
    cause : str
        Of what is invalid, one of `CAUSES`: "kind" is another object than was asked for.
    """

    case: str
    quantity: str
    verdict: str
    error: float = math.nan
    size: float = math.nan
    tolerance: float = math.nan
    model: str = ""
    smallest: float = math.nan
    reason: str = ""
    cause: str = ""

    @property
    def name(self) -> str:
        """The quantity without its block."""
        return self.quantity.partition("/")[0]

    @property
    def failed(self) -> bool:
        """Whether it is wrong or invalid."""
        return self.verdict in (WRONG, INVALID)

    @property
    def digits(self) -> float:
        """Correct decimal digits, relative to the largest entry."""
        if not math.isfinite(self.error):
            return math.nan
        relative = self.error / (self.size or 1.0)  # of tiny errors it may underflow to 0
        return min(17.0, max(0.0, -math.log10(relative))) if relative else 17.0


@dataclass(frozen=True)
class Finding:
    """One thing that is probably wrong.

    Attributes
    ----------
    key : str
        A short name such as "factor" or "three-eighths-rule".
    sentence : str
        For people: what is wrong, and what to look at.
    explained : tuple of (str, str)
        The rows (case, quantity) that it explains.
    certain : bool
        Whether the wrong numbers were met to rounding by numbers computed with this mistake;
        otherwise the errors have its shape.
    """

    key: str
    sentence: str
    explained: tuple[tuple[str, str], ...]
    certain: bool = True


@dataclass
class Outcome:
    """A whole check.

    Attributes
    ----------
    target : str
    precision : str
        The precision whose rounding is allowed.
    rows : list of Row
    findings : list of Finding
        Most explained first.
    seconds : float
    shrunk : dict or None
        The smallest random case that is wrong, as a document.
    coverage : list of dict
        How many golden cases of every kind were asked for and compared, and which features
        never, see `refode.check.coverage`.
    """

    target: str
    precision: str
    rows: list[Row] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    shrunk: dict[str, Any] | None = None

    @property
    def coverage(self) -> list[dict[str, Any]]:
        """See above."""
        from refode.check.coverage import coverage

        return [asdict(c) for c in coverage(self.rows)]

    @property
    def passed(self) -> bool:
        """Whether something was compared, and nothing was wrong or invalid."""
        verdicts = {row.verdict for row in self.rows}
        return RIGHT in verdicts and not verdicts & {WRONG, INVALID}

    def failing(self) -> list[Row]:
        """Rows that are wrong or invalid."""
        return [row for row in self.rows if row.failed]

    def record(self) -> dict[str, Any]:
        """As JSON can hold it, but for NaN and infinity."""
        return {
            "target": self.target,
            "precision": self.precision,
            "passed": self.passed,
            "seconds": self.seconds,
            "coverage": self.coverage,
            "findings": [asdict(f) for f in self.findings],
            "shrunk": self.shrunk,
            "rows": [asdict(row) | {"digits": row.digits} for row in self.rows],
        }


@dataclass(frozen=True)
class Group:
    """All rows of one quantity, blocks together: a line of the table.

    Attributes
    ----------
    quantity : str
    cases, right, wrong, invalid, skipped : int
        Cases asked, and rows by verdict.
    worst : Row or None
        The row whose error is the largest multiple of its tolerance.
    """

    quantity: str
    cases: int
    right: int
    wrong: int
    invalid: int
    skipped: int
    worst: Row | None

    @property
    def verdict(self) -> str:
        """The gravest verdict of its rows."""
        if self.wrong or self.invalid:
            return WRONG if self.wrong else INVALID
        return RIGHT if self.right else SKIPPED


def compared(rows: Iterable[Row]) -> list[Row]:
    """Rows that were right or wrong."""
    return [r for r in rows if r.verdict in (RIGHT, WRONG)]


def groups(rows: Iterable[Row], order: Iterable[str]) -> list[Group]:
    """Rows by quantity, in the given order; those of whole cases come last."""
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).append(row)
    names = [n for n in order if n in by_name] + [n for n in by_name if n not in set(order)]
    return [_group(name, by_name[name]) for name in names]


def _group(name: str, rows: list[Row]) -> Group:
    count = {v: sum(r.verdict == v for r in rows) for v in (RIGHT, WRONG, INVALID, SKIPPED)}
    worst = max(compared(rows), key=_severity, default=None)
    return Group(
        name or "(whole case)",
        len({r.case for r in rows}),
        count[RIGHT],
        count[WRONG],
        count[INVALID],
        count[SKIPPED],
        worst,
    )


def _severity(row: Row) -> float:
    return row.error / row.tolerance if row.tolerance else (math.inf if row.error else 0.0)
