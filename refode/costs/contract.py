"""What a cost must supply to the adjoint sweep.

``terminal(cost, Y, first, m, L, cost_bar, scratch)``
    value of the cost over the block's m samples (the samples first, ...,
    first+m-1); L <- its cotangent, zero in the columns from m on; cost_bar +=
    cotangents of the cost's own parameters.
``jump(cost, n, first, m, L)``
    L += cotangent of a cost at the start of step n (losses at intermediate times).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refode._jit import generic
from refode._linalg import fill


@generic
def terminal(cost, Y, first, m, L, cost_bar, scratch):
    """Value over the block, its cotangent in L."""


@generic
def jump(cost, n, first, m, L):
    """Add the cotangent of what the cost reads at the start of step n."""


class Cotangent(NamedTuple):
    """The linear cost <z_bar, z>: a sweep with it is the adjoint itself.

    ``z_bar`` is (1, N, rows) for the end alone, or (n_steps+1, N, rows) for every
    point of the grid.
    """

    z_bar: np.ndarray


@terminal.register(Cotangent)
def cotangent_terminal(cost, Y, first, m, L, cost_bar, scratch):
    """L <- z_bar at the end."""
    end = cost.z_bar[cost.z_bar.shape[0] - 1]
    fill(L, 0.0)
    value = Y[0, 0] * 0
    for s in range(m):
        for i in range(end.shape[1]):
            L[i, s] = end[first + s, i]
            value += L[i, s] * Y[i, s]
    return value


@jump.register(Cotangent)
def cotangent_jump(cost, n, first, m, L):
    """L += z_bar at grid point n."""
    if cost.z_bar.shape[0] > 1:
        here = cost.z_bar[n]
        for s in range(m):
            for i in range(here.shape[1]):
                L[i, s] += here[first + s, i]
