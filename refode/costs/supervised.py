"""Losses of supervised learning, eqs. (5), (6), with the readout V = W z(T) + b.

A loss is l(v, y); the cost is ``scale`` times its sum over the samples. Where
there is no readout, W has no rows and v = z(T).

Twin on the device: refode/cuda/costs.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refode._jit import kernel
from refode._linalg import (
    add_column,
    add_outer,
    add_row_sums,
    add_transposed_product,
    axpy,
    band,
    copy,
    matrix,
    multiply,
)
from refode.activations import sigmoid, softplus
from refode.costs.contract import observe

REGRESSION, LOGISTIC, SOFTMAX = range(3)
CODES = {"regression": REGRESSION, "logistic": LOGISTIC, "softmax": SOFTMAX}


class SupervisedCost(NamedTuple):
    """Loss, readout and targets: ``targets`` (N, m) real, ``labels`` (N,) integers."""

    loss: int
    W: np.ndarray
    b: np.ndarray
    targets: np.ndarray
    labels: np.ndarray
    scale: float


@observe.register(SupervisedCost)
def supervised_observe(cost, at, Y, L, cost_bar, scratch):
    """Mean loss of the block's samples, eq. (D30); L += W^T v_bar."""
    k, d = cost.W.shape
    V = band(scratch, 0, k if k > 0 else Y.shape[0])
    if k == 0:  # no readout
        copy(V, Y)
        value = losses(cost, at.first, at.m, V)
        axpy(L, 1.0, V)
        return value
    multiply(cost.W, Y, V)  # [1] v = W z + b
    add_column(V, cost.b)
    value = losses(cost, at.first, at.m, V)  # [2] loss; V <- v_bar
    add_outer(V, Y, matrix(cost_bar, 0, k, d))  # [1]^T W_bar += v_bar z^T
    add_row_sums(cost_bar[k * d :], V)  #               b_bar += v_bar
    add_transposed_product(cost.W, V, L)  #             z_bar += W^T v_bar
    return value


@kernel(cache=False)
def losses(cost, first, m, V):
    """Scaled sum of the block's losses; V <- its derivative, zero from column m on."""
    if cost.loss == REGRESSION:
        value = regression(cost.targets, cost.scale, first, m, V)
    elif cost.loss == LOGISTIC:
        value = logistic(cost.labels, cost.scale, first, m, V)
    else:
        value = softmax(cost.labels, cost.scale, first, m, V)
    for i in range(V.shape[0]):
        for s in range(m, V.shape[1]):
            V[i, s] = 0.0
    return value


@kernel(cache=False)
def regression(targets, scale, first, m, V):
    """l = |v - y|^2 / 2,  v_bar = v - y."""
    value = V[0, 0] * 0
    for i in range(V.shape[0]):
        for s in range(m):
            r = V[i, s] - targets[first + s, i]
            value += 0.5 * r * r
            V[i, s] = scale * r
    return scale * value


@kernel(cache=False)
def logistic(labels, scale, first, m, V):
    """l = log(1 + e^v) - y v for y in {0, 1},  v_bar = 1/(1 + e^-v) - y; summed over outputs."""
    value = V[0, 0] * 0
    for i in range(V.shape[0]):
        for s in range(m):
            v, y = V[i, s], labels[first + s]
            value += softplus(-v) if y == 1 else softplus(v)  # no cancellation
            V[i, s] = -scale * sigmoid(-v) if y == 1 else scale * sigmoid(v)
    return scale * value


@kernel(cache=False)
def softmax(labels, scale, first, m, V):
    """l = log sum_i e^{v_i} - v_y,  v_bar = p - e_y, with the largest v taken out."""
    value = V[0, 0] * 0
    for s in range(m):
        y, top = labels[first + s], V[0, s]
        for i in range(1, V.shape[0]):
            if V[i, s].real > top.real:
                top = V[i, s]
        total = V[0, 0] * 0
        shifted = V[y, s] - top
        for i in range(V.shape[0]):
            V[i, s] = np.exp(V[i, s] - top)
            total += V[i, s]
        value += np.log(total) - shifted
        for i in range(V.shape[0]):
            V[i, s] = scale * (V[i, s] / total)
        V[y, s] -= scale
    return scale * value
