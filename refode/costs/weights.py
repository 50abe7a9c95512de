"""Weights of samples inside kernels: a cost's sum over samples becomes sum_i w_i c_i, (D126).

A cost that knows its samples one by one has ``weights`` (N,) beside its ``scale``, or None for
equal ones, of which nothing is left in the machine code. A loss of supervised learning gives
the sum over a block alone: ``WeightedLoss`` asks it for one sample after another.

Twin on the device: refode/cuda/weights.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refode.costs.losses import loss
from refode.machine.compile import kernel


@kernel
def weight_of(weights, i):
    """w_i, and 1 without weights."""
    if weights is None:
        return 1.0
    return weights[i]


@kernel
def weighted(weights, i, value):
    """w_i value, and the value as it is without weights."""
    if weights is None:
        return value
    return weights[i] * value


class WeightedLoss(NamedTuple):
    """A loss's description, and the weight of every sample (N,)."""

    loss: tuple
    weights: np.ndarray


@loss.register(WeightedLoss)
def weighted_loss(about, V, first, m):
    """w l, v_bar = w dl/dv: of one sample after another, as each has a weight of its own."""
    value = V[0, 0] * 0
    k = V.shape[0]
    one = np.empty((k, 1), V.dtype)
    for s in range(m):
        weight = about.weights[first + s]
        for i in range(k):
            one[i, 0] = V[i, s]
        value += weight * loss(about.loss, one, first + s, 1)
        for i in range(k):
            V[i, s] = weight * one[i, 0]
    return value
