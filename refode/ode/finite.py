"""What comes out of a path: finite numbers, or an error that names the path."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


class NotSolved(ValueError, FloatingPointError):
    """Stages of an implicit scheme that were not found, by step and sample.

    Bad input as any; and to training a step too long, as those to where nothing is finite: its
    line search comes back.
    """


def all_finite(name: str, result: Array, what: str = "path") -> Array:
    """The result, samples first; ValueError with the first whose path did not stay finite."""
    good = np.isfinite(result).reshape(len(result), -1).all(axis=1)
    if not good.all():
        remedy = "more steps, or smaller weights" if what == "path" else "smaller weights or points"
        raise ValueError(
            f"{name}: got sample {int(np.argmin(good))}, whose {what} leaves the finite range "
            f"({int((~good).sum())} of {len(good)} do); wanted {what}s that stay finite ({remedy})"
        )
    return result
