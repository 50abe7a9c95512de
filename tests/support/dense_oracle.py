"""States within steps once more: the continuous extensions as [HNW93, sect. II.6] prints them.

No polynomial in the shares of the slopes: the Hermite data of a step are combined as CONTD5 does.
Complex numbers go through, also in times and in the ends of the interval.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import oracle
from sweep_oracle import Twin

from refode import tableaus

Array = np.ndarray
DOPRI5_D = (
    -12715105075 / 11282082432,
    0.0,
    87487479700 / 32700410799,
    -10690763975 / 1880347072,
    701980252875 / 199316789632,
    -1453857185 / 822651844,
    69997945 / 29380423,
)


def states_at(twin: Twin, theta: Array, x: Array, times: Array, nodes: Array) -> Array:
    """States (N, K, d) at times (N, K) along the nodes; a node belongs to the step before."""
    tableau = tableaus.get(twin.ode.scheme)
    A, b, c = tableau.as_floats()
    at, rows = twin.weights(theta, nodes), []
    for z, own in zip(x, times, strict=True):
        read: dict[int, Array] = {}
        for n in range(len(nodes) - 1):
            t, h = nodes[n], nodes[n + 1] - nodes[n]
            k: list[Array] = []
            for i in range(len(b)):
                stage = z + h * sum((A[i, j] * k[j] for j in range(i)), np.zeros_like(z))
                w = oracle._weights(at, t + c[i] * h, n)
                k.append(twin.field.value(w, stage, t + c[i] * h))
            end = z + h * sum(b[i] * k[i] for i in range(len(b)))
            for j, time in enumerate(own):
                s = (time - t) / h
                if (0 < s.real <= 1) or (n == 0 and s.real == 0):
                    read[j] = _contd5(s, z, end, k, h, tableau.name)
            z = end
        rows.append([read[j] for j in range(len(own))])
    return np.array(rows)


def _contd5(s: Any, start: Array, end: Array, k: list[Array], h: Any, name: str) -> Array:
    rise = end - start
    spline = h * k[0] - rise
    last = rise - h * k[-1] - spline
    if name == "dopri5":
        last = last + (1 - s) * h * sum(d * k_i for d, k_i in zip(DOPRI5_D, k, strict=True))
    return start + s * (rise + (1 - s) * (spline + s * last))
