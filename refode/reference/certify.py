"""From enclosures to digits: the golden files, made anew.

    python -m refode.reference.certify DIR

evaluates every case of case_list.py in ball arithmetic and writes one JSON file each. The same
code and python-flint give the same bytes. Needs ``pip install refode[certify]``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from refode import _files
from refode.reference.balls import PRECISION, evaluate
from refode.reference.case_list import cases
from refode.reference.files import text
from refode.reference.paths import leaves, shape

#: Significant digits that are stored, the last one rounded to nearest.
DIGITS = 25
#: Enclosures must be narrower; and a number whose enclosure contains 0 is stored as 0.
RADIUS = 1e-40


def digits(number: Any) -> str:
    """25 significant digits of a ball, proven; ``"0"`` for 0 and what is below 1e-40.

    Raises
    ------
    ArithmeticError
        The enclosure is too wide, or its ends round to different digits.
    """
    if isinstance(number, int):
        return str(number)
    if not number.is_finite() or not number.rad() < RADIUS:
        raise ArithmeticError(f"enclosure {number} is wider than {RADIUS}")
    if number.contains(0):
        return "0"
    exponent = int(number.abs_lower().mid().log_base(10).floor().unique_fmpz())
    for e in (exponent, exponent + 1):
        rounded = _scaled(number, DIGITS - 1 - e)
        if 10 ** (DIGITS - 1) <= abs(rounded) < 10**DIGITS:
            return _scientific(rounded, e)
    raise ArithmeticError(f"enclosure {number} has no {DIGITS} digits")


def _scaled(number: Any, power: int) -> int:
    """The integer nearest to 10^power times the ball, the same for all of the ball."""
    from flint import arb

    whole = (number * arb(10) ** power + arb(1) / 2).floor().unique_fmpz()
    if whole is None:
        raise ArithmeticError(f"enclosure {number} rounds to two different integers")
    return int(whole)


def _scientific(mantissa: int, exponent: int) -> str:
    """d.ddd e exponent, without trailing zeros."""
    sign, figures = "-" if mantissa < 0 else "", str(abs(mantissa)).rstrip("0")
    tail = f".{figures[1:]}" if figures[1:] else ""
    return f"{sign}{figures[0]}{tail}" + (f"e{exponent}" if exponent else "")


def certified(case: dict[str, Any]) -> dict[str, Any]:
    """The case with its results: arrays of proven digits."""
    from flint import ctx

    results = evaluate(case)
    before, ctx.prec = ctx.prec, PRECISION
    try:
        return {**case, "results": {name: _stored(value) for name, value in results.items()}}
    finally:
        ctx.prec = before


def _stored(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _stored(v) for name, v in value.items()}
    return {"shape": shape(value), "data": [digits(v) for v in leaves(value)]}


def main(folder: Path) -> None:
    """Write all cases to a folder."""
    listed = cases()
    made = _files.writable_in("DIR", folder, [f"{case['name']}.json" for case in listed])
    for case in listed:
        _files.write(made / f"{case['name']}.json", text(certified(case)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
