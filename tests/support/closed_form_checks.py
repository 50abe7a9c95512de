"""What tests of closed forms share: differences, and how near is near."""

from __future__ import annotations

import numpy as np
from tolerances import LQ_DIFFERENCE_STEP


def derivative(fun, at, h=LQ_DIFFERENCE_STEP):
    """Central differences, extrapolated once."""
    once, half = ((fun(at + e) - fun(at - e)) / (2 * e) for e in (h, h / 2))
    return (4 * half - once) / 3


def close(got, want, tolerance: float, scale: float = 0.0) -> None:
    assert np.shape(got) == np.shape(want)
    size = max(scale, float(np.abs(want).max()))
    assert np.abs(np.asarray(got) - want).max() <= tolerance * size
