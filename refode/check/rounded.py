"""A correct implementation at each precision, to try the checker on.

    refode check refode.check.rounded:float32

must pass: the adapters ``float64``, ``float32`` and ``bfloat16`` round every operation and make
no other error (`refode.reference.rounded`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refode.check.case import Case
from refode.reference.rounded import evaluate


class Rounded:
    """All quantities at one precision.

    Parameters
    ----------
    precision : {"float64", "float32", "bfloat16"}
    """

    def __init__(self, precision: str) -> None:
        self.precision = precision

    def results(self, case: Case) -> Mapping[str, Any]:
        """Quantities by full name."""
        return evaluate(case.document, self.precision)


float64, float32, bfloat16 = Rounded("float64"), Rounded("float32"), Rounded("bfloat16")
