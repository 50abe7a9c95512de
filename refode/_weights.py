"""Weights of samples: means over samples become sum w_i v_i / sum w_i, (D126).

They are checked once, at a problem's door. There samples of weight 0 are left out, before any
path is gone, and the largest weight is brought to order one by a power of two: sums of weights
then neither overflow nor vanish, and weights that differ by a power of two give the same bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refode import _validate

Array = np.ndarray
NAME = "sample_weight"


class Weighing(NamedTuple):
    """By what samples are weighed: ``weights`` (n,), all positive, or None for equal ones."""

    weights: Any
    total: float  # their sum; n without them

    @property
    def scale(self) -> float:
        """1/n, or 1/sum w."""
        return 1.0 / self.total

    def sum(self, values: Array) -> Any:
        """sum w_i v_i of values (n,) or (n, k) over the samples."""
        if self.weights is None:
            return values.sum(axis=0)
        return (self.weights * values.T).T.sum(axis=0)

    def mean(self, values: Array) -> Any:
        """sum w_i v_i / sum w_i of values (n,) or (n, k)."""
        return values.mean(axis=0) if self.weights is None else self.sum(values) / self.total


def equal(n: int) -> Weighing:
    """All n samples alike."""
    return Weighing(None, n)


def checked(name: str, weights: Any, n: int) -> Array:
    """Weights (n,), finite, none negative, not all zero; errors name them."""
    weights = _validate.real_array(name, weights, (n,))
    if weights.min() < 0.0:
        index = int(weights.argmin())
        raise ValueError(f"{name}: got {weights[index]} at index {index}, wanted numbers >= 0")
    if weights.max() == 0.0:
        raise ValueError(f"{name}: got zeros alone, wanted a number > 0 among them")
    return weights


def weighing(sample_weight: Any, n: int) -> tuple[Weighing, Array | None]:
    """Weights of n samples, checked, and the indices of those that count, None for all.

    Weights that are all the same are no weights: the bits are those of ``None``.

    Raises
    ------
    TypeError, ValueError
        Naming ``sample_weight``: another shape than (n,), a negative one, NaN or infinity, or
        nothing but zeros.
    """
    if sample_weight is None:
        return equal(n), None
    weights = checked(NAME, sample_weight, n)
    least, most = weights.min(), weights.max()
    if least == most:
        return equal(n), None
    weights, keep = np.ldexp(weights, -np.frexp(most)[1]), None
    if not weights.all():
        keep = np.flatnonzero(weights)
        weights = weights[keep]
        if weights.min() == weights.max():
            return equal(len(weights)), keep
    return Weighing(weights, float(weights.sum())), keep
