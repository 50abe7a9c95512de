"""Evaluation of a case in ball arithmetic: every number comes with a proven error.

Needs python-flint, ``pip install refode[certify]``.
"""

from __future__ import annotations

from refode.reference.arithmetic import Balls, using
from refode.reference.paths import Document, Results
from refode.reference.quantities import quantities

#: Bits of the balls' midpoints: 25 digits need 84, the rest is for what arithmetic loses.
PRECISION = 256


def evaluate(case: Document) -> Results:
    """Every quantity of a case as nested lists of balls, by name.

    Parameters
    ----------
    case : dict
        As of `refode.reference.case`; its results are not read.

    Raises
    ------
    ArithmeticError
        An absolute value whose sign is not proven.
    ImportError
        Without python-flint.
    """
    from flint import ctx

    before, ctx.prec = ctx.prec, PRECISION
    try:
        with using(Balls()):
            return quantities(case)
    finally:
        ctx.prec = before
