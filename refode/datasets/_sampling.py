"""What the synthetic data sets share: class sizes, noise, shuffling, points on curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refode import _validate

Float64 = NDArray[np.float64]
Labels = NDArray[np.int64]
Labelled = tuple[Float64, Labels]

SPACINGS = ("regular", "random")


def start(n: int, seed: int) -> tuple[int, np.random.Generator]:
    """Return the checked number of samples and the generator that `seed` names."""
    n = _validate.positive_int("n", n)
    _validate.affordable("n", n, 64 * n)
    return n, np.random.default_rng(_validate.nonnegative_int("seed", seed))


def halves(n: int) -> tuple[int, int]:
    """Split `n` as evenly as possible; class 0 takes the odd one."""
    return n - n // 2, n // 2


def label(rng: np.random.Generator, classes: Sequence[Float64], noise: float = 0.0) -> Labelled:
    """Stack one array of points a class, in the order of the labels, shuffle, add noise.

    The noise is drawn last, so that a seed gives the same clean points and labels at every
    noise level.
    """
    y = np.repeat(np.arange(len(classes), dtype=np.int64), [len(points) for points in classes])
    order = rng.permutation(len(y))
    x = np.concatenate(classes)[order]
    if noise > 0.0:
        x += noise * rng.standard_normal(x.shape)
    return x, y[order]


def polar(r: Float64, phi: Float64) -> Float64:
    """Return the points ``(r cos phi, r sin phi)``, shape (n, 2)."""
    return np.column_stack((r * np.cos(phi), r * np.sin(phi)))


def angles(rng: np.random.Generator, n: int) -> Float64:
    """Return `n` angles uniform in [0, 2 pi)."""
    return rng.uniform(0.0, 2.0 * np.pi, n)


def along(rng: np.random.Generator, n: int, spacing: str) -> Float64:
    """Return `n` positions in [0, 1] along a curve, ends included where regular."""
    return np.linspace(0.0, 1.0, n) if spacing == "regular" else rng.random(n)
