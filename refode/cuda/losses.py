"""Losses of supervised learning on the device: twin of the kernels in refode/costs/losses.py.

``loss(about, n, V, s)``
    The loss of sample n, whose outputs are column s of V; overwrites them with its derivative.

One thread takes a sample whole, so that its sums have a fixed order.
"""

from __future__ import annotations

import math
from typing import Any

from numba import cuda

from refode.costs.losses import LogisticSpec, RegressionSpec, SoftmaxSpec
from refode.cuda.ops import Ops, sigmoid, softplus
from refode.cuda.registry import register


@register("loss", RegressionSpec, by_sample={"targets": 0})
def regression(ops: Ops) -> Any:
    """|v - y|^2 / 2."""
    return _regression


@register("loss", LogisticSpec, by_sample={"labels": 0})
def logistic(ops: Ops) -> Any:
    """log(1 + e^v) - y v for y in {0, 1}."""
    return _logistic


@register("loss", SoftmaxSpec, by_sample={"labels": 0})
def softmax(ops: Ops) -> Any:
    """log sum_i e^{v_i} - v_y."""
    return _softmax


@cuda.jit(device=True)
def _regression(about, n, V, s):
    """l = |v - y|^2 / 2,  v_bar = v - y."""
    value = 0.0
    for i in range(V.shape[0]):
        r = V[i, s] - about.targets[n, i]
        value += 0.5 * r * r
        V[i, s] = r
    return value


@cuda.jit(device=True)
def _logistic(about, n, V, s):
    """l = log(1 + e^v) - y v,  v_bar = 1/(1 + e^-v) - y."""
    v, y = V[0, s], about.labels[n]
    V[0, s] = -sigmoid(-v) if y == 1 else sigmoid(v)
    return softplus(-v) if y == 1 else softplus(v)  # no cancellation


@cuda.jit(device=True)
def _softmax(about, n, V, s):
    """l = log sum_i e^{v_i} - v_y,  v_bar = p - e_y, with the largest v taken out."""
    y, top = about.labels[n], V[0, s]
    for i in range(1, V.shape[0]):
        if V[i, s] > top:
            top = V[i, s]
    shifted = V[y, s] - top
    total = 0.0
    for i in range(V.shape[0]):
        V[i, s] = math.exp(V[i, s] - top)
        total += V[i, s]
    for i in range(V.shape[0]):
        V[i, s] = V[i, s] / total
    V[y, s] -= 1.0
    return math.log(total) - shifted
