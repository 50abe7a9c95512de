"""diffrax with equal steps and each of its three adjoints.

``refode check validation.models.adapters.jax_diffrax:recursive``, or ``:direct``, ``:backsolve``.
Schemes that diffrax does not have are Butcher tableaus given to it, as its documentation
shows. Where theta(t) jumps, every step is a call of its own, as a stage at a step's end would
be evaluated with the next cell's weights otherwise.
"""

from __future__ import annotations

from typing import Any, ClassVar

import diffrax
import jax.numpy as jnp
import numpy as np
from jax import lax

from refode.check.protocol import Skip

from .grid import jumps, steps
from .jax_problems import Path, Problems, Slope, Theta

#: Schemes of the cases by diffrax's classes.
SOLVERS = {
    "euler": diffrax.Euler,
    "midpoint": diffrax.Midpoint,
    "heun": diffrax.Heun,
    "ralston": diffrax.Ralston,
    "bogacki_shampine": diffrax.Bosh3,
    "tsit5": diffrax.Tsit5,
    "dopri5": diffrax.Dopri5,
}


class Diffrax(Problems):
    """``diffeqsolve`` on the case's grid."""

    def __init__(self, adjoint: Any, forward: bool = False) -> None:
        self.adjoint, self.forward = adjoint, forward

    def refuse(self, case: Any) -> None:
        """Partitioned schemes."""
        if case.scheme.symplectic:
            raise Skip(f"diffrax has no {case.scheme.name}")

    def solve(self, case: Any, slope: Slope, start: Any, along: Any, theta: Theta) -> Path:
        """One call, or one a step where the weights jump; theta goes in as ``args``."""
        grid, solver = steps(case, along), solver_of(case.scheme)
        times = jnp.array([*(step.t for step in grid), along[1]])

        def run(y: Any, cell: Any, ts: Any) -> Any:
            term = diffrax.ODETerm(lambda t, y, args: slope(args[0], t, args[1], y))
            return diffrax.diffeqsolve(
                term,
                solver,
                ts[0],
                ts[-1],
                grid[0].h,
                y,
                args=(theta, cell),
                adjoint=self.adjoint,
                saveat=diffrax.SaveAt(ts=ts),
                max_steps=len(ts),
                stepsize_controller=diffrax.ConstantStepSize(),
            ).ys

        if not jumps(case):
            return Path(run(start, 0, times))

        def step(y: Any, at: Any) -> Any:
            y = run(y, *at)[-1]
            return y, y

        cells = jnp.array([step.cell for step in grid])
        ends = jnp.stack([times[:-1], times[1:]], axis=1)
        states = lax.scan(step, start, (cells, ends))[1]
        return Path(jnp.concatenate([start[None], states]))


def solver_of(scheme: Any) -> Any:
    """diffrax's own, or one from the scheme's coefficients."""
    if scheme.name in SOLVERS:
        return SOLVERS[scheme.name]()

    class Given(diffrax.AbstractERK):
        tableau: ClassVar = diffrax.ButcherTableau(
            a_lower=tuple(np.array(row[:i]) for i, row in enumerate(scheme.A) if i),
            b_sol=scheme.b,
            b_error=np.zeros_like(scheme.b),
            c=scheme.c[1:],
        )
        interpolation_cls: ClassVar = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

        def order(self, terms: Any) -> int:
            """For adaptive steps alone."""
            return 1

    return Given()


recursive = Diffrax(diffrax.RecursiveCheckpointAdjoint())
direct = Diffrax(diffrax.DirectAdjoint(), forward=True)
backsolve = Diffrax(diffrax.BacksolveAdjoint())
