"""Values of any kind in messages: a short piece, in one line, whatever their repr does."""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np

LONGEST = 60  # characters of a piece
FEW = 6  # entries of an array that is shown whole

_limits = reprlib.Repr()
_limits.maxstring, _limits.maxlong, _limits.maxlevel = LONGEST, 40, 3
_SIMPLE = (bool, int, str, bytes, list, tuple, dict, set, frozenset)  # whose repr may be endless


def shown(value: Any) -> str:
    """A short piece of a value with its type; of an array its shape and dtype."""
    kind = type(value).__name__
    if isinstance(value, np.ndarray) and value.dtype.names is None and value.size <= FEW:
        return f"{short(value)} ({kind} of shape {value.shape} and dtype {value.dtype})"
    try:
        shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    except Exception:  # another library's
        shape = dtype = None
    if isinstance(shape, tuple) and not isinstance(value, np.generic):
        return f"{kind} of shape {shape}" + ("" if dtype is None else f" and dtype {dtype}")
    return f"{short(value)} ({kind})"


def short(value: Any) -> str:
    """At most 60 characters of a value's repr, in one line."""
    try:
        found = _limits.repr(value) if type(value) in _SIMPLE else repr(value)
    except Exception:  # an object that cannot be shown, a number too long for Python
        found = f"<{type(value).__name__}>"
    found = " ".join(found.split())  # arrays print on several lines
    return found if len(found) <= LONGEST else found[: LONGEST - 3] + "..."
