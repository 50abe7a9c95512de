"""Arithmetic that does not depend on the caller's ``np.seterr``.

What overflows or vanishes on the way is met here by what comes out: a number that is not finite
is named in an error, or is the answer that the method promises. Whoever works under
``np.seterr(all="raise")`` gets the same numbers as everybody.
"""

from __future__ import annotations

import numpy as np


def quietly() -> np.errstate:
    """``with quietly():``, or ``@quietly()``, which any number of threads may enter at once."""
    return np.errstate(all="ignore")
