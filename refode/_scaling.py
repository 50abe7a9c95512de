"""Directions of every size: a linear map is asked at a size where nothing in it overflows.

J(2^e v) = 2^e J v, and powers of two round nothing. Directions of ordinary size stay as they
are, bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray

#: Largest entries between 2**-BOUND and 2**BOUND are ordinary: cubes of float64 there are finite.
BOUND = {"float64": 300, "float32": 40}
#: The complex step, of directions of size one: its square is below the smallest number.
TINY = 1e-200


def scaled(*directions: Array, dtype: str = "float64") -> tuple[int, tuple[Array, ...]]:
    """The exponent e and the directions times 2**-e, as they are where e = 0.

    All directions of one map go in together; ``dtype`` is the number type the map runs in.
    """
    size = max((float(np.abs(v).max(initial=0.0)) for v in directions), default=0.0)
    exponent = int(np.frexp(size)[1])
    if size == 0.0 or not np.isfinite(size) or abs(exponent) <= BOUND[dtype]:
        return 0, directions
    with np.errstate(under="ignore"):  # entries that count for nothing beside the largest
        return exponent, tuple(np.ldexp(v, -exponent) for v in directions)


def restored(exponent: int, result: Any) -> Any:
    """A real result, an array or a number, times 2**exponent; inf beyond float64."""
    if exponent == 0:
        return result
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(result, exponent)


def length(a: Array) -> float:
    """The Euclidean norm of all entries, whose squares neither overflow nor vanish."""
    size = float(np.abs(a).max(initial=0.0))
    bound = BOUND["float32" if a.dtype.char in "fF" else "float64"]
    if size == 0.0 or not np.isfinite(size) or abs(np.frexp(size)[1]) <= bound:
        return float(np.linalg.norm(a))
    return size * float(np.linalg.norm(a / size))
