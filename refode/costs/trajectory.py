"""The cost of fitted trajectories, eqs. (D135), (D136): what is observed of paths, and when.

Observation j of sample i has k channels v = W z + b at a time of its own: a point of the grid,
where ``observe`` charges it, or within a step, where ``look`` does. A channel that is missing has
weight 0 and is never computed with, as its target may be anything.

No twin on the device.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refode.costs.contract import look, observe
from refode.costs.reading import (
    Reading,
    own_of,
    parts_within,
    parts_within_adjoint,
    read_within,
    read_within_adjoint,
    reads_within,
    time_within,
)
from refode.machine.blocks import fill
from refode.machine.compile import kernel
from refode.machine.views import band, joined, row

Array = np.ndarray


class TrajectoryCost(NamedTuple):
    """scale times sum of weight/2 |W z + b - target|^2; or, ``linear``, the sum of target v."""

    W: Array  # (k, d); without rows the state itself is observed
    b: Array  # (k,)
    targets: Array  # (N, K, k or d)
    weights: Array  # the same shape, 0 where missing
    scale: float
    linear: bool
    points: Array  # (n_steps+1,): which observation is at a point of the grid, -1 for none
    reading: Any  # where within the steps the others are
    times_bar: Array  # (N, K), overwritten with their cotangents; empty if not wanted

    @property
    def everywhere(self) -> bool:
        """Whether something is observed at points of the grid."""
        return self.points.shape[0] > 0

    @property
    def within(self) -> bool:
        """Whether something is observed within steps."""
        return self.reading.begin.shape[0] > 0


def work_rows(d: int) -> int:
    """Rows of work space that the cost needs, of at least 8 samples."""
    return 8 * d + 1 + d // 4


@kernel
def charge(cost, i, j, z, z_bar, cost_bar):
    """What observation j of sample i costs at z; z_bar <- its cotangent."""
    k, d = cost.W.shape
    value = z[0] * 0
    for r in range(z.shape[0]):
        z_bar[r] = 0.0
    for c in range(cost.targets.shape[2]):
        if cost.weights[i, j, c] == 0.0:  # missing
            continue
        target = cost.targets[i, j, c]
        v = z[0] * 0  # [1] v = W z + b
        if k == 0:
            v += z[c]
        else:
            v += cost.b[c]
            for r in range(d):
                v += cost.W[c, r] * z[r]
        if cost.linear:  # [2] value, v_bar
            bar = z[0] * 0 + target
            value += target * v
        else:
            bar = cost.scale * cost.weights[i, j, c] * (v - target)
            value += 0.5 * bar * (v - target)
        if k == 0:
            z_bar[c] += bar
            continue
        for r in range(d):  # [1]^T  z_bar += W^T v_bar
            z_bar[r] += cost.W[c, r] * bar
        if cost_bar.shape[0] > 0:  # W_bar += v_bar z^T,  b_bar += v_bar
            for r in range(d):
                cost_bar[c * d + r] += bar * z[r]
            cost_bar[k * d + c] += bar
    return value


@kernel
def seen(cost, i, j):
    """Whether anything is observed there."""
    found = False
    for c in range(cost.weights.shape[2]):
        found = found or cost.weights[i, j, c] != 0.0
    return found


@observe.register(TrajectoryCost)
def trajectory_observe(cost, at, Y, L, cost_bar, scratch):
    """What is observed at the grid's point, (D135)."""
    value = Y[0, 0] * 0
    j = cost.points[at.n] if cost.points.shape[0] > 0 else -1
    if j < 0:
        return value
    d = Y.shape[0]
    work = joined(scratch, 0, 2, d)
    z, z_bar = row(work, 0), row(work, 1)
    for s in range(at.m):
        if seen(cost, at.first + s, j):
            for r in range(d):
                z[r] = Y[r, s]
            value += charge(cost, at.first + s, j, z, z_bar, cost_bar)
            for r in range(d):
                L[r, s] += z_bar[r]
    return value


@look.register(TrajectoryCost)
def trajectory_look(cost, at, h, Y, F, F_bar, Y_bar, cost_bar, time_bar, scratch):
    """What is observed within the step, (D134)."""
    d, about = Y.shape[0], cost.reading
    value = Y[0, 0] * 0
    fill(Y_bar, 0.0)
    for i in range(F.shape[0]):
        fill(F_bar[i], 0.0)
    if not reads_within(about, at):
        return value
    P, P_bar = band(scratch, 0, 4 * d), band(scratch, 4 * d, 4 * d)
    columns = joined(scratch, 8 * d, 2, d)
    z, z_bar = row(columns, 0), row(columns, 1)
    parts_within(about, h, F, P)  # [1] y + h sum_i beta_i k_i
    fill(P_bar, 0.0)
    for s in range(at.m):
        i = at.first + s
        own = own_of(about, i)
        for j in range(about.begin[own, at.n], about.begin[own, at.n + 1]):
            if not seen(cost, i, j):
                continue
            x = about.fraction[own, j]
            read_within(Y, P, x, s, z)
            value += charge(cost, i, j, z, z_bar, cost_bar)  # [2]
            read_within_adjoint(z_bar, x, s, Y_bar, P_bar)  # [1]^T  y_bar += z_bar
            if cost.times_bar.shape[0] > 0:
                bar = time_within(about, i, j, F, z_bar, s)
                cost.times_bar[i, j] = bar.real
                time_bar[0] -= bar  # x = (t - t_n) / h
                time_bar[1] -= bar * x
    parts_within_adjoint(about, h, P_bar, F_bar)  # [1]^T  k_bar_i += h beta_i z_bar
    return value


#: Of a cost that reads the grid's points alone.
NOWHERE = Reading(np.zeros((0, 0), np.int64), np.zeros((0, 0)), np.zeros((4, 0)))
