"""Plain JAX: a compiled scan over the steps, `jax.grad` through it, `jax.jvp` over that.

``refode check validation.models.adapters.jax_plain:float64``, or ``:float32``.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from .grid import steps
from .jax_problems import Path, Problems, Slope, Theta


class Plain(Problems):
    """The scan, in one precision throughout."""

    def __init__(self, precision: str) -> None:
        self.precision = precision

    def solve(self, case: Any, slope: Slope, start: Any, along: Any, theta: Theta) -> Path:
        """Every step of the case's scheme, from its coefficients."""
        grid, scheme = steps(case, along), case.scheme
        h, t = grid[0].h, jnp.array([step.t for step in grid])
        cells = jnp.array([step.cell for step in grid])

        def rates(t: Any, cell: Any, y: Any) -> Any:
            return slope(theta, t, cell, y)

        def step(y: Any, at: Any) -> Any:
            if scheme.symplectic:
                y = _substeps(scheme, rates, y, *at, h)
                return y, (y,)
            return _runge_kutta(scheme, rates, y, *at, h)

        record = lax.scan(step, start, (t, cells))[1]
        times = t[:, None] + h * jnp.asarray(scheme.c)
        return Path(jnp.concatenate([start[None], record[0]]), times, *record[1:])


def _runge_kutta(scheme: Any, rates: Any, y: Any, t: Any, cell: Any, h: float) -> Any:
    """The stages as a scan too, so that the field is compiled once; a_ij = 0 for j >= i."""
    A, b, c = (jnp.asarray(a) for a in (scheme.A, scheme.b, scheme.c))

    def stage(slopes: Any, at: Any) -> Any:
        i, row, node = at
        Y = y + h * jnp.tensordot(row, slopes, axes=1)
        return slopes.at[i].set(rates(t + node * h, cell, Y)), Y

    slopes, stages = lax.scan(stage, jnp.zeros((len(b), *y.shape)), (jnp.arange(len(b)), A, c))
    y = y + h * jnp.tensordot(b, slopes, axes=1)
    return y, (y, stages, slopes)


def _substeps(scheme: Any, rates: Any, y: Any, t: Any, cell: Any, h: float) -> Any:
    for half, b, c in zip(scheme.half, scheme.b, scheme.c, strict=True):
        halves = jnp.split(y, 2, axis=1)
        k = jnp.split(rates(t + float(c) * h, cell, y), 2, axis=1)[half]
        halves[half] = halves[half] + h * float(b) * k
        y = jnp.concatenate(halves, axis=1)
    return y


float64 = Plain("float64")
float32 = Plain("float32")
