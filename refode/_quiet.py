"""Arithmetic that does not depend on the caller's ``np.seterr``.

What overflows or vanishes on the way is met here by what comes out: a number that is not finite
is named in an error, or is the answer that the method promises. Whoever works under
``np.seterr(all="raise")`` gets the same numbers as everybody.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """``with quietly():``, or ``@quietly()``, which any number of threads may enter at once.

    NumPy's own ``errstate`` is for one ``with``; as a decorator it keeps its state in one place
    for all calls up to NumPy 1.26.
    """
    with np.errstate(all="ignore"):
        yield
