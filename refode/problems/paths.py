"""What comes out of paths: finite numbers, or an error that names the path."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def all_finite(name: str, result: Array) -> Array:
    """The result, samples first; ValueError with the first whose path did not stay finite."""
    good = np.isfinite(result).reshape(len(result), -1).all(axis=1)
    if not good.all():
        raise ValueError(
            f"{name}: got sample {int(np.argmin(good))}, whose path leaves the finite range "
            f"({int((~good).sum())} of {len(good)} do); wanted paths that stay finite "
            "(more steps, or smaller weights)"
        )
    return result
