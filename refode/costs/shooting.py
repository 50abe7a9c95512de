"""The cost of a stretch of a trajectory between two nodes, eq. (D141).

What is observed on the way, and at its end the augmented Lagrangian of the constraint that the
next stretch begins there: mu . c + rho/2 |c|^2, c = z(end) - node.

No twin on the device.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refode.costs.contract import look, observe

Array = np.ndarray


class StretchCost(NamedTuple):
    """What is observed, and the node, multipliers and penalty at the end."""

    seen: tuple
    node: Array  # (N, d); without rows nothing is asked of the end
    multipliers: Array  # (N, d)
    penalty: float
    gap: Array  # (N, d), overwritten with c

    @property
    def everywhere(self) -> bool:
        """As what is observed."""
        return self.seen.everywhere  # type: ignore[attr-defined]

    @property
    def within(self) -> bool:
        """As what is observed."""
        return self.seen.within  # type: ignore[attr-defined]

    @property
    def reading(self) -> Any:
        """Where within the steps."""
        return self.seen.reading  # type: ignore[attr-defined]


@observe.register(StretchCost)
def stretch_observe(cost, at, Y, L, cost_bar, scratch):
    """What is observed; at the end L += mu + rho c besides."""
    value = observe(cost.seen, at, Y, L, cost_bar, scratch)
    if at.last and cost.node.shape[0] > 0:
        for s in range(at.m):
            i = at.first + s
            for r in range(Y.shape[0]):
                c = Y[r, s] - cost.node[i, r]
                cost.gap[i, r] = c
                value += (cost.multipliers[i, r] + 0.5 * cost.penalty * c) * c
                L[r, s] += cost.multipliers[i, r] + cost.penalty * c
    return value


@look.register(StretchCost)
def stretch_look(cost, at, h, Y, F, F_bar, Y_bar, cost_bar, time_bar, scratch):
    """What is observed within the step."""
    return look(cost.seen, at, h, Y, F, F_bar, Y_bar, cost_bar, time_bar, scratch)
