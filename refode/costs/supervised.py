"""The cost of supervised learning, eqs. (5), (6): a loss of outputs V = W z(T) + b.

It is ``scale`` times the sum of the samples' losses (losses.py). Where there is no readout, W
has no rows and v = z(T).

Twin on the device: refode/cuda/costs.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refode.costs.contract import observe
from refode.costs.losses import loss
from refode.machine.blas import add_outer, add_transposed_product, multiply
from refode.machine.blocks import add_column, add_row_sums, axpy, copy
from refode.machine.compile import kernel
from refode.machine.views import band, matrix


class SupervisedCost(NamedTuple):
    """A loss's description with its targets, and the readout W (k, d), b (k,)."""

    loss: tuple
    W: np.ndarray
    b: np.ndarray
    scale: float

    @property
    def of_any_path(self) -> bool:
        """It reads nothing else."""
        return True

    @property
    def dim(self) -> int:
        """Numbers of a state."""
        return int(self.W.shape[1])

    @property
    def n_parameters(self) -> int:
        """Those of the readout."""
        return int(self.W.size + self.b.size)

    @property
    def work_rows(self) -> int:
        """Rows of the outputs v."""
        return int(self.W.shape[0] or self.W.shape[1])


@observe.register(SupervisedCost)
def supervised_observe(cost, at, Y, L, cost_bar, scratch):
    """Mean loss of the block's samples, eq. (D30); L += W^T v_bar."""
    k, d = cost.W.shape
    V = band(scratch, 0, k if k > 0 else Y.shape[0])
    if k == 0:  # no readout
        copy(V, Y)
        value = loss(cost.loss, V, at.first, at.m)
        scale_columns(cost.scale, at.m, V)
        axpy(L, 1.0, V)
        return cost.scale * value
    multiply(cost.W, Y, V)  # [1] v = W z + b
    add_column(V, cost.b)
    value = loss(cost.loss, V, at.first, at.m)  # [2] loss; V <- v_bar
    scale_columns(cost.scale, at.m, V)
    add_outer(V, Y, matrix(cost_bar, 0, k, d))  # [1]^T W_bar += v_bar z^T
    add_row_sums(cost_bar[k * d :], V)  #               b_bar += v_bar
    add_transposed_product(cost.W, V, L)  #             z_bar += W^T v_bar
    return cost.scale * value


@kernel
def scale_columns(scale, m, V):
    """The first m columns of V times a number; zero from column m on."""
    for i in range(V.shape[0]):
        for s in range(m):
            V[i, s] = scale * V[i, s]
        for s in range(m, V.shape[1]):
            V[i, s] = 0.0
