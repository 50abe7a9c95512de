"""Weights of samples on the device: twin of refode/costs/weights.py.

Costs without weights have an array of one entry there, which nobody reads: whether they have
some is known when their bodies are made.
"""

from __future__ import annotations

import functools
from typing import Any

from numba import cuda


def weight_of(weighted: bool) -> Any:
    """``weight_of(weights, n)``: the weight of sample n, or 1 for all."""
    return _weight if weighted else _one


@cuda.jit(device=True)
def _weight(weights, n):
    """w_n."""
    return weights[n]


@cuda.jit(device=True)
def _one(weights, n):
    """1."""
    return 1.0


@functools.cache
def weighted_loss(loss: Any) -> Any:
    """``loss(about, n, V, s)``, losses.py, times the weight of sample n."""

    @cuda.jit(device=True)
    def weighted(about, n, V, s):
        """w l, v_bar = w dl/dv."""
        weight = about.weights[n]
        value = weight * loss(about.loss, n, V, s)
        for i in range(V.shape[0]):
            V[i, s] = weight * V[i, s]
        return value

    return weighted
