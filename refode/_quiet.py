"""Arithmetic that does not depend on the caller's ``np.seterr``.

What overflows or vanishes on the way is met here by what comes out: a number that is not finite
is named in an error, or is the answer that the method promises. Whoever works under
``np.seterr(all="raise")`` gets the same numbers as everybody.
"""

from __future__ import annotations

import contextlib
from typing import Any, cast

import numpy as np


class _Quietly(contextlib.ContextDecorator):
    """One state for every ``with`` and call."""

    def __enter__(self) -> None:
        self._state = np.errstate(all="ignore")
        self._state.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._state.__exit__(*error)

    def _recreate_cm(self) -> _Quietly:
        return type(self)()


_EACH_CALL = np.lib.NumpyVersion(np.__version__) >= "2.0.0"


def quietly() -> np.errstate:
    """``with quietly():``, or ``@quietly()``, which any number of threads may enter at once.

    As a decorator, NumPy's own ``errstate`` keeps one state for all calls up to NumPy 1.26.
    """
    return np.errstate(all="ignore") if _EACH_CALL else cast(np.errstate, _Quietly())
