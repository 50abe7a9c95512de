"""The negative log-likelihood of a continuous normalizing flow, eqs. (13), (15).

The state at the end of the path from a datum back to the standard normal is (w, ..., l, v):
l the log-determinant of the inverse flow, v the integral of |f|^2/2, both with the sign of
the direction of integration.

Twin on the device: refode/cuda/costs.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from refode.costs.contract import observe
from refode.costs.weights import weight_of, weighted


class FlowCost(NamedTuple):
    """Numbers of rows of w, the constant d/2 log 2 pi, the signed weight of v, 1/N.

    With ``weights`` (N,) of the samples the scale is 1/sum w.
    """

    d: int
    constant: float
    transport: float
    scale: float
    weights: Any = None


@observe.register(FlowCost)
def flow_observe(cost, at, Y, L, cost_bar, scratch):
    """scale (|w|^2/2 + constant - l + transport v) over the block, eq. (D43)."""
    l, v = Y.shape[0] - 2, Y.shape[0] - 1  # noqa: E741
    value = Y[0, 0] * 0
    for s in range(at.m):
        n = at.first + s
        value += weighted(cost.weights, n, cost.constant - Y[l, s] + cost.transport * Y[v, s])
        scale = cost.scale * weight_of(cost.weights, n)
        L[l, s] -= scale
        L[v, s] += scale * cost.transport
    for i in range(cost.d):
        for s in range(at.m):
            n = at.first + s
            value += weighted(cost.weights, n, 0.5 * Y[i, s] * Y[i, s])
            L[i, s] += cost.scale * weight_of(cost.weights, n) * Y[i, s]
    return cost.scale * value
