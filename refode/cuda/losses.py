"""Losses and readout of eqs. (5), (6) on the device: twin of refode/costs/supervised.py.

One thread takes a sample's loss whole, so that its sums have a fixed order.
"""

from __future__ import annotations

import math

from numba import cuda

from refode.cuda.linalg import add_column, copy, outer_add, product, product_transposed, row_sums

REGRESSION, LOGISTIC, SOFTMAX = 0, 1, 2  # as refode.costs.supervised.CODES


@cuda.jit(device=True)
def terminal(loss, readout, m, targets, labels, scale, first, n, Y, V, L, cost_bar, values):
    """values[s] <- scaled loss of each sample, eq. (D30); L <- W^T v_bar.

    ``m`` outputs, 0 where there is no readout; ``n`` samples of the tile are there.
    """
    d = Y.shape[0]
    if m == 0:
        copy(L, Y)
        losses(loss, targets, labels, scale, first, n, L, values)
        return
    product(readout, 0, Y, V)  # [1] v = W z + b
    add_column(V, readout, m * d)
    losses(loss, targets, labels, scale, first, n, V, values)  # [2] loss; V <- v_bar
    outer_add(V, Y, cost_bar, 0)  # [1]^T W_bar += v_bar z^T
    row_sums(cost_bar, m * d, V, 1.0)  #  b_bar += v_bar
    product_transposed(readout, 0, V, L)  # z_bar = W^T v_bar


@cuda.jit(device=True)
def losses(loss, targets, labels, scale, first, n, V, values):
    """values[s] <- scaled loss; V <- its derivative, zero from sample n on."""
    for s in range(cuda.threadIdx.x, V.shape[1], cuda.blockDim.x):
        if s >= n:
            values[s] = 0.0
            for i in range(V.shape[0]):
                V[i, s] = 0.0
        elif loss == REGRESSION:
            values[s] = scale * regression(targets, first + s, scale, V, s)
        elif loss == LOGISTIC:
            values[s] = scale * logistic(labels[first + s], scale, V, s)
        else:
            values[s] = scale * softmax(labels[first + s], scale, V, s)
    cuda.syncthreads()


@cuda.jit(device=True)
def regression(targets, row, scale, V, s):
    """l = |v - y|^2 / 2,  v_bar = v - y."""
    value = 0.0
    for i in range(V.shape[0]):
        r = V[i, s] - targets[row, i]
        value += 0.5 * r * r
        V[i, s] = scale * r
    return value


@cuda.jit(device=True)
def logistic(y, scale, V, s):
    """l = log(1 + e^v) - y v for y in {0, 1},  v_bar = 1/(1 + e^-v) - y."""
    v = -V[0, s] if y == 1 else V[0, s]  # the loss is log(1 + e^v) for both: no cancellation
    small = math.exp(-abs(v))
    p = 1.0 / (1.0 + small) if v >= 0.0 else small / (1.0 + small)
    V[0, s] = -scale * p if y == 1 else scale * p
    return max(v, 0.0) + math.log1p(small)


@cuda.jit(device=True)
def softmax(y, scale, V, s):
    """l = log sum_i e^{v_i} - v_y,  v_bar = p - e_y, with the largest v taken out."""
    top = V[0, s]
    for i in range(1, V.shape[0]):
        if V[i, s] > top:
            top = V[i, s]
    shifted = V[y, s] - top
    total = 0.0
    for i in range(V.shape[0]):
        V[i, s] = math.exp(V[i, s] - top)
        total += V[i, s]
    for i in range(V.shape[0]):
        V[i, s] = scale * (V[i, s] / total)
    V[y, s] -= scale
    return math.log(total) - shifted
