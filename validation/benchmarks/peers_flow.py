"""The peers of workloads C1 and C2: the likelihood of a flow with transport cost, eq. (15).

The jitted JAX codes have the closed-form trace by hand, as somebody who knows would write it;
diffrax, torchdiffeq and one more JAX code get the trace from automatic differentiation, as most
users write it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from validation.benchmarks.peers import TRANSPORT, Peer, PeerCase, Workload, _jax_call, have

Slope = Callable[[Any, Any], tuple[Any, Any]]


def jax_slope(trace: str) -> Slope:
    """f (N, d) and its trace (N,): "closed form" or "autodiff"."""
    import jax
    import jax.numpy as jnp

    def one(z: Any, p: Any) -> Any:
        return p["W1"][0] @ jnp.tanh(p["W0"][0] @ z + p["b0"][0]) + p["b1"][0]

    def closed(z: Any, p: Any) -> tuple[Any, Any]:
        a = jnp.tanh(z @ p["W0"][0].T + p["b0"][0])
        M = jnp.sum(p["W1"][0].T * p["W0"][0], axis=1)
        return a @ p["W1"][0].T + p["b1"][0], (1.0 - a * a) @ M

    def by_autodiff(z: Any, p: Any) -> tuple[Any, Any]:
        f = jax.vmap(lambda row: one(row, p))(z)
        return f, jax.vmap(lambda row: jnp.trace(jax.jacfwd(one)(row, p)))(z)

    return closed if trace == "closed form" else by_autodiff


def _loss(w: Workload, z: Any, l: Any, v: Any) -> Any:  # noqa: E741
    """Mean negative log-likelihood and transport cost; l and v integrated from 1 to 0."""
    constant = 0.5 * w.d * math.log(2.0 * math.pi)
    return (0.5 * (z * z).sum() - l.sum() - TRANSPORT * v.sum()) / w.n_samples + constant


def jax_flow(c: PeerCase, loop: str, trace: str = "closed form") -> Peer:
    """Jitted value_and_grad of the flow's objective, samples in rows."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    jax.config.update("jax_enable_x64", True)
    w, slope = c.workload, jax_slope(trace)
    h = -1.0 / w.n_steps

    def rhs(state: Any, p: Any) -> Any:
        f, tr = slope(state[0], p)
        return f, tr, 0.5 * jnp.sum(f * f, axis=1)

    def step(y: Any, p: Any) -> Any:
        def at(a: float, k: Any) -> Any:
            return jax.tree.map(lambda u, du: u + a * h * du, y, k)

        k1 = rhs(y, p)
        k2 = rhs(at(0.5, k1), p)
        k3 = rhs(at(0.5, k2), p)
        k4 = rhs(at(1.0, k3), p)
        return jax.tree.map(
            lambda u, a, b, c, d: u + h / 6.0 * (a + 2.0 * b + 2.0 * c + d), y, k1, k2, k3, k4
        )

    def value(p: Any, x: Any, _: Any) -> Any:
        y = (x, jnp.zeros(len(x)), jnp.zeros(len(x)))
        if loop == "unrolled":
            for _n in range(w.n_steps):
                y = step(y, p)
        else:
            y = lax.scan(lambda y, _: (step(y, p), None), y, None, length=w.n_steps)[0]
        return _loss(w, *y)

    name = f"jax.jit {loop}" + ("" if trace == "closed form" else ", trace by autodiff")
    return _jax_call(c, name, jax.jit(jax.value_and_grad(value)))


def diffrax_flow(c: PeerCase) -> Peer:
    """diffrax's equal steps of the classical RK4, trace by autodiff, its default adjoint."""
    import diffrax
    import jax
    import jax.numpy as jnp
    import numpy as np

    jax.config.update("jax_enable_x64", True)

    class RK4(diffrax.AbstractERK):
        """Not among diffrax's own."""

        tableau = diffrax.ButcherTableau(
            c=np.array([0.5, 0.5, 1.0]),
            b_sol=np.array([1.0, 2.0, 2.0, 1.0]) / 6.0,
            b_error=np.zeros(4),
            a_lower=(np.array([0.5]), np.array([0.0, 0.5]), np.array([0.0, 0.0, 1.0])),
        )
        interpolation_cls = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

        def order(self, terms: Any) -> int:
            return 4

    w, slope = c.workload, jax_slope("autodiff")

    def rhs(t: Any, state: Any, p: Any) -> Any:
        f, tr = slope(state[0], p)
        return f, tr, 0.5 * jnp.sum(f * f, axis=1)

    def value(p: Any, x: Any, _: Any) -> Any:
        zero = jnp.zeros(len(x))
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(rhs),
            RK4(),
            1.0,
            0.0,
            -1.0 / w.n_steps,
            (x, zero, zero),
            p,
            adjoint=diffrax.RecursiveCheckpointAdjoint(),
            max_steps=w.n_steps + 1,
        )
        return _loss(w, *(a[-1] for a in solution.ys))

    return _jax_call(c, "diffrax, trace by autodiff", jax.jit(jax.value_and_grad(value)))


def torchdiffeq_flow(c: PeerCase) -> Peer:
    """torchdiffeq's ``rk4`` (the 3/8 rule), trace by one backward pass a dimension."""
    import torch
    from torchdiffeq import odeint

    from validation.benchmarks.peers_torch import _f, _Model

    model, w = _Model(c), c.workload
    times = torch.tensor([1.0, 0.0], dtype=torch.float64)

    def call() -> Any:
        weights = [model.p[name][0] for name in ("W0", "b0", "W1", "b1")]

        def rhs(t: Any, state: Any) -> Any:
            z = state[0]
            with torch.enable_grad():
                z = z if z.requires_grad else z.requires_grad_(True)
                f = _f(z, *weights)
                trace = torch.zeros(len(z), dtype=torch.float64)
                for i in range(w.d):
                    grad = torch.autograd.grad(f[:, i].sum(), z, create_graph=True)[0]
                    trace = trace + grad[:, i]
            return f, trace, 0.5 * (f * f).sum(1)

        zero = torch.zeros(w.n_samples, dtype=torch.float64)
        start = (model.x.clone(), zero, zero)
        end = odeint(rhs, start, times, method="rk4", options={"step_size": 1.0 / w.n_steps})
        value = _loss(w, *(a[-1] for a in end))
        return value.detach(), torch.autograd.grad(value, list(model.p.values()))

    return Peer("torchdiffeq rk4, trace by autodiff", call, model.read, scheme="rk4_38")


def peers(c: PeerCase) -> tuple[list[Peer], list[str]]:
    """Every peer that is installed, and a line for each that is not."""
    found, missing = [], []
    if have("jax"):
        found += [jax_flow(c, loop) for loop in ("scan", "unrolled")]
        found.append(jax_flow(c, "scan", "autodiff"))
    else:
        missing.append("jax is not installed: no jax.jit")
    if have("diffrax"):
        found.append(diffrax_flow(c))
    else:
        missing.append("diffrax is not installed")
    if have("torch") and have("torchdiffeq"):
        found.append(torchdiffeq_flow(c))
    else:
        missing.append("torch or torchdiffeq is not installed")
    return found, missing
