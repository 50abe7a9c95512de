"""Costs at the end of a path on the device, or at every point of the grid.

Twin of refode/costs/contract.py, refode/costs/supervised.py and refode/costs/flow.py.
One thread takes a sample's loss whole, so that its sums have a fixed order.
"""

from __future__ import annotations

import functools
from typing import Any

from refode.cuda import weights
from refode.cuda.contract import CostBodies
from refode.cuda.linalg import linalg
from refode.cuda.ops import Ops


@functools.cache
def cotangent(ops: Ops) -> CostBodies:
    """The linear cost <z_bar, z>."""
    total = linalg(ops).total

    @ops.body
    def terminal(cost, Y, first, m, L, cost_bar, value_at, scratch):
        """L <- z_bar at the end."""
        end(L, cost.z_bar[cost.z_bar.shape[0] - 1], Y, first, m, scratch[0])
        total(cost_bar, value_at, scratch[0], 1.0)

    @ops.each
    def end(s, L, z_bar, Y, first, m, values):
        value = 0.0
        for i in range(L.shape[0]):
            L[i, s] = z_bar[first + s, i] if s < m else 0.0
            value += L[i, s] * Y[i, s]
        values[s] = value

    @ops.body
    def jump(cost, n, first, m, L):
        """L += z_bar at grid point n."""
        if cost.z_bar.shape[0] > 1:
            add(L, cost.z_bar[n], first, m)

    @ops.entries
    def add(i, s, L, z_bar, first, m):
        if s < m:
            L[i, s] += z_bar[first + s, i]

    return CostBodies(terminal, jump, lambda cost: 1)


@functools.cache
def flow(ops: Ops, weighted: bool = False) -> CostBodies:
    """The negative log-likelihood, (D43)."""
    total, fill, weight_of = linalg(ops).total, linalg(ops).fill, weights.weight_of(weighted)

    @ops.body
    def terminal(cost, Y, first, m, L, cost_bar, value_at, scratch):
        """scale (|w|^2/2 + constant - l + transport v)."""
        fill(L, 0.0)
        likelihood(
            Y,
            cost.d,
            cost.constant,
            cost.transport,
            cost.scale,
            cost.weights,
            first,
            m,
            L,
            scratch[0],
        )
        total(cost_bar, value_at, scratch[0], cost.scale)

    @ops.each
    def likelihood(s, Y, d, constant, transport, scale, weights, first, m, L, values):
        l, v = Y.shape[0] - 2, Y.shape[0] - 1  # noqa: E741
        value = 0.0
        if s < m:
            weight = weight_of(weights, first + s)
            value = constant - Y[l, s] + transport * Y[v, s]
            L[l, s] = -scale * weight
            L[v, s] = scale * weight * transport
            for i in range(d):
                value += 0.5 * Y[i, s] * Y[i, s]
                L[i, s] = scale * weight * Y[i, s]
            value *= weight
        values[s] = value

    return CostBodies(terminal, nothing(ops), lambda cost: 1)


@functools.cache
def nothing(ops: Ops) -> Any:
    """The jump of costs that read the end alone."""

    @ops.body
    def jump(cost, n, first, m, L):
        """Nothing on the way."""

    return jump


@functools.cache
def supervised(ops: Ops, loss: Any) -> CostBodies:
    """Mean of a loss (losses.py), eq. (D30); L <- W^T v_bar."""
    la = linalg(ops)
    product, product_transposed, add_column = la.product, la.product_transposed, la.add_column
    outer_add, row_sums, total, copy = la.outer_add, la.row_sums, la.total, la.copy

    @ops.body
    def terminal(cost, Y, first, m, L, cost_bar, value_at, scratch):
        k, d, values = cost.m, Y.shape[0], scratch[0]
        if k == 0:  # no readout
            copy(L, Y)
            losses(L, cost.loss, cost.scale, first, m, values)
        else:
            V, W = scratch[1 : 1 + k], cost.readout
            product(W, 0, 1, Y, V, False)  # [1] v = W z + b
            add_column(V, W, k * d)
            losses(V, cost.loss, cost.scale, first, m, values)  # [2] v_bar
            outer_add(V, Y, 1, cost_bar, 0)  # [1]^T W_bar += v_bar z^T
            row_sums(cost_bar, k * d, V, 1.0)  #     b_bar += v_bar
            product_transposed(W, 0, 1, V, L, False)  # z_bar = W^T v_bar
        total(cost_bar, value_at, values, cost.scale)

    @ops.each
    def losses(s, V, about, scale, first, m, values):
        """values[s] <- loss, not scaled; V <- its derivative, scaled, zero from column m on."""
        values[s] = loss(about, first + s, V, s) if s < m else 0.0
        for i in range(V.shape[0]):
            V[i, s] = scale * V[i, s] if s < m else 0.0

    return CostBodies(terminal, nothing(ops), lambda cost: 1 + len(cost.W))
