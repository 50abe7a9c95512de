"""Values of any kind in messages: a short piece, in one line, whatever their repr does."""

from __future__ import annotations

import hashlib
import inspect
import reprlib
from typing import Any

import numpy as np

LONGEST = 60  # characters of a piece
MOST_BITS = 4_000  # of an integer that is written out
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
        if type(value) is int and value.bit_length() > MOST_BITS:
            return "<int>"  # repr is an error, or on later Pythons an address
        found = _limits.repr(value) if type(value) in _SIMPLE else repr(value)
    except Exception:  # an object that cannot be shown
        found = f"<{type(value).__name__}>"
    found = one_line(found)  # arrays print on several lines
    return found if len(found) <= LONGEST else found[: LONGEST - 3] + "..."


def one_line(text: Any) -> str:
    """An error's text, or any other, on one line."""
    return " ".join(str(text).split())


MANY = 16  # entries of an array that an object's repr shows


def as_called(made: Any, *first: Any, **named: Any) -> str:
    """An object's repr as the call that makes it: ``first`` by position, then the named ones.

    Of these a value that is the constructor's default is left out. Arrays of many entries are a
    shape and a digest, so that others show as another text.
    """
    known = inspect.signature(type(made)).parameters
    parts = [piece(value) for value in first]
    for name, value in named.items():
        default = known[name].default if name in known else inspect.Parameter.empty
        if type(value) is not type(default) or value != default:
            parts.append(f"{name}={piece(value)}")
    return f"{type(made).__name__}({', '.join(parts)})"


def piece(value: Any) -> str:
    """A value in an object's repr; Python reads it again, but for large arrays."""
    if not isinstance(value, np.ndarray):
        return repr(value.item() if isinstance(value, np.generic) else value)
    if value.size <= MANY:
        return repr(value.tolist())
    digest = hashlib.blake2b(np.ascontiguousarray(value).tobytes(), digest_size=8).hexdigest()
    return f"<array {value.shape} {digest}>"
