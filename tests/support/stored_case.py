"""What the cases with stored values have in common: how they are registered, and how thinned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray
Found = dict[str, Array]
Draw = np.random.Generator
MANY, EVERY = 700, 61  # several blocks, no multiple of 8; of those every 61st sample is kept
CASES: dict[str, Callable[[Draw], Found]] = {}


def case(name: str) -> Callable[[Callable[[Draw], Found]], Callable[[Draw], Found]]:
    """Register a case under a name."""

    def register(function: Callable[[Draw], Found]) -> Callable[[Draw], Found]:
        assert name not in CASES, name
        CASES[name] = function
        return function

    return register


def thinned(a: Array, n: int) -> Array:
    """Of an array over many samples (..., n, d) or (n,) some; all of a few."""
    if n < 64:
        return a
    return a[::EVERY] if a.ndim == 1 else a[..., ::EVERY, :]


def prefixed(prefix: str, found: Found) -> Found:
    """The same arrays under longer names."""
    return {f"{prefix.strip()} {name}": a for name, a in found.items()}
