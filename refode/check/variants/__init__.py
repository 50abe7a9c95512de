"""Known mistakes, each with the numbers that an implementation with it returns.

Where wrong numbers agree with a variant's to rounding, the mistake has a name. Factors, signs,
transposed and zero blocks, constants are in refode/check/diagnose/transforms.py: they show in an
array itself. Here is what shows only by computing.
"""

from __future__ import annotations

from refode.check.variants.adjoint import ADJOINTS
from refode.check.variants.fields import FIELDS
from refode.check.variants.game import GAMES
from refode.check.variants.make import Variant
from refode.check.variants.problems import ACCUMULATORS, FLOWS, SUPERVISED
from refode.check.variants.scheme import SCHEMES
from refode.check.variants.times import TIMES

__all__ = ["VARIANTS", "Variant"]

#: All of them.
VARIANTS: tuple[Variant, ...] = (
    *SCHEMES,
    *TIMES,
    *FIELDS,
    *ADJOINTS,
    *ACCUMULATORS,
    *FLOWS,
    *SUPERVISED,
    *GAMES,
)
