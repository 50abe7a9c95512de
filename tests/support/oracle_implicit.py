"""Implicit schemes once more, as on paper: dense Newton and linear systems, one sample at a time.

Nothing of refode is imported. Complex numbers pass through: Newton's iteration with the complex
Jacobian converges to the complex stages, so that the complex step differentiates the map itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import oracle

Array = np.ndarray


def stages(
    field: oracle.Field,
    w: Sequence[oracle.Weights],
    y: Array,
    times: Sequence[Any],
    h: Any,
    A: Array,
    iterations: int = 40,
    frozen: bool = False,
) -> Array:
    """Z (s, d) of Z_i = y + h sum_j a_ij f(Z_j), all at once, from Z_i = y.

    ``frozen``: the Jacobian of the start throughout.
    """
    s, d = len(A), len(y)
    Z = np.array([y] * s, dtype=np.result_type(y, h, *(a for one in w for a in one.values())))
    M = None
    for _ in range(iterations):
        f = np.array([field.value(w[i], Z[i], times[i]) for i in range(s)])
        if M is None or not frozen:
            M = np.eye(s * d, dtype=Z.dtype)
            for i in range(s):
                for j in range(s):
                    J = field.jacobian(w[j], Z[j], times[j])
                    M[i * d : (i + 1) * d, j * d : (j + 1) * d] -= h * A[i, j] * J
        change = np.linalg.solve(M, (Z - y - h * (A @ f)).ravel())
        Z = Z - change.reshape(s, d)
    return Z


def step(
    field: oracle.Field, w: Any, y: Array, t: Any, h: Any, tableau: Any, iterations: int = 40
) -> tuple[Array, Any]:
    """One step of an implicit Runge-Kutta scheme: y+, and l+ - l by the same stages."""
    A, b, c = (np.asarray(part, dtype=float) for part in tableau)
    times = [t + ci * h for ci in c]
    Z = stages(field, w, y, times, h, A, iterations)
    end, length = y, 0.0
    for i in range(len(b)):
        end = end + h * b[i] * field.value(w[i], Z[i], times[i])
        length = length + h * b[i] * field.trace(w[i], Z[i], times[i])
    return end, length


def ros2_step(
    field: oracle.Field, w: Any, y: Array, t: Any, h: Any, gamma: float
) -> tuple[Array, Any]:
    """M k1 = f(y), M k2 = f(y + h k1) - 2 k1, y+ = y + 3h/2 k1 + h/2 k2; l by both slopes."""
    M = np.eye(len(y)) - gamma * h * field.jacobian(w[0], y, t)
    k1 = np.linalg.solve(M, field.value(w[0], y, t))
    Y = y + h * k1
    k2 = np.linalg.solve(M, field.value(w[1], Y, t + h) - 2.0 * k1)
    length = h / 2.0 * (field.trace(w[0], y, t) + field.trace(w[1], Y, t + h))
    return y + 1.5 * h * k1 + 0.5 * h * k2, length


def path(
    field: oracle.Field, theta: oracle.Theta, x: Array, times: Array, c: Array, one: Any
) -> tuple[Array, Any]:
    """States at all ``times`` and l(T); ``one(w, y, t, h)`` is a step, c its stages' nodes."""
    y, total = np.asarray(x), 0.0
    states = [y]
    for n in range(len(times) - 1):
        t, h = times[n], times[n + 1] - times[n]
        w = [oracle._weights(theta, t + ci * h, n) for ci in np.asarray(c, dtype=float)]
        y, length = one(w, y, t, h)
        total = total + length
        states.append(y)
    return np.array(states), total
