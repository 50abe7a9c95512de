"""Keys of their own for draws that nobody asked for by a seed of their own.

A seed alone does not tell two uses apart: noise from ``default_rng(0)`` is the very numbers of
data from ``default_rng(0)``, and an average over both is then another one. So the name of the
use is part of the key.
"""

from __future__ import annotations

import functools
import hashlib

import numpy as np

__all__ = ["generator", "number"]


def generator(use: str, *numbers: int) -> np.random.Generator:
    """Return a generator for a use, of which `numbers` tell the draws apart."""
    return np.random.default_rng(_sequence(use, numbers))


def number(use: str, *numbers: int) -> int:
    """Return a seed, below 2**32, for functions that take a number."""
    return int(_sequence(use, numbers).generate_state(1)[0])


def _sequence(use: str, numbers: tuple[int, ...]) -> np.random.SeedSequence:
    return np.random.SeedSequence([*_words(use), *numbers])


@functools.cache
def _words(use: str) -> tuple[int, ...]:
    """The use's name as four words: without the hash `ab` and `ba` would be near each other."""
    digest = hashlib.blake2b(use.encode(), digest_size=16).digest()
    return tuple(int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4))
