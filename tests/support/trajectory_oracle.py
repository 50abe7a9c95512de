"""The objective of fitted trajectories once more, one sample and one number at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracle
from dense_oracle import states_at
from sweep_oracle import Twin

from refode import tableaus

Array = np.ndarray


def stops(ode: Any, times: Array) -> Array:
    """The ode's points and the times, in order, up to the last time; at least one step."""
    way = 1.0 if ode.t_span[1] > ode.t_span[0] else -1.0
    own = list(ode.steps.nodes(ode.t_span))
    later = [t for t in own if way * (t.real - times[-1].real) < 0.0]
    later += [] if len(later) + len(times) > 1 else [own[1]]
    points: list[Any] = list(times)
    for t in later:
        if min(abs(t - s.real) for s in times) > 1e-9:
            points.append(t)
    return np.array(sorted(points, key=lambda t: way * t.real))


def at_stops(ode: Any, field: oracle.Field, theta: Array, x: Array, times: Array) -> Array:
    """States (N, K, d) where all samples stop at the same times."""
    grid = stops(ode, times)
    table = tableaus.get(ode.scheme).as_floats()
    weights = Twin(ode, field).weights(theta, grid)
    which = [int(np.flatnonzero(grid == t)[0]) for t in times]
    return np.array([oracle.trajectory(field.value, weights, z, grid, table)[which] for z in x])


def within(ode: Any, field: oracle.Field, theta: Array, x: Array, times: Array) -> Array:
    """States (N, K, d) read within the ode's steps; missing times are the start."""
    times = np.where(np.isnan(times.real), ode.t_span[0], times)
    return states_at(Twin(ode, field), theta, x, times, ode.steps.nodes(ode.t_span))


def own_steps(
    ode: Any, field: oracle.Field, theta: Array, x: Array, times: Array, each: int
) -> Array:
    """States (N, K, d) after so many equal steps from each time to the next."""
    named = oracle.unpack(theta, ode.layout.shapes)
    w = {name: value[0] for name, value in named.items()}
    table, states = tableaus.get(ode.scheme).as_floats(), []
    for z, row in zip(x, times, strict=True):
        before, path = ode.t_span[0], []
        for time in row:
            if not np.isnan(time.real):
                h = (time - before) / each
                for _ in range(each):
                    z = oracle.rk_step(field.value, [w] * len(table[1]), z, 0.0, h, table)
                before = time
            path.append(z)
        states.append(path)
    return np.array(states)


def loss(outputs: Array, values: Array, weights: Array) -> Any:
    """1/sum w of the sum of w/2 (v - y)^2 over what is there."""
    total, size = 0.0, 0.0
    for index in np.ndindex(values.shape):
        if weights[index] > 0.0:
            r = outputs[index] - values[index]
            total, size = total + weights[index] * r * r / 2, size + weights[index]
    return total / size
