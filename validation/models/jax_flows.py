"""The flow's objective by both codes, for gradient_vs_jax.py: eqs. (13)-(15).

On JAX's side the trace is that of the Jacobian by ``jax.jacfwd``: no closed form of ours is in
it. The path is integrated from T to t0 by jax_models' schemes.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

import refode

N_SAMPLES, N_STEPS, T_SPAN = 20, 6, (0.3, 1.5)
BASES = (
    ("Constant", 1),
    ("PiecewiseConstant", 3),
    ("PiecewiseLinear", 4),
    ("Legendre", 3),
    ("BSpline", 5),
)


class FlowCase(NamedTuple):
    """A flow; ``peer`` names a field of jax_models and its arguments."""

    field: Any
    peer: tuple[Any, ...]
    scheme: str = "rk4"
    basis: tuple[str, int] = ("Legendre", 3)
    transport: float = 0.3
    tikhonov: float = 0.0
    smoothness: float = 0.0
    jax_scheme: str = ""  # another scheme on JAX's side: a control
    jax_sign: float = 1.0  # -1: the sign printed in (13), another control

    @property
    def kind(self) -> str:
        """The field's class."""
        return f"flow of {type(self.field).__name__}"

    @property
    def control(self) -> str:
        """What is wrong on purpose, or nothing."""
        if self.jax_scheme:
            return "3/8 rule"
        return "" if self.jax_sign > 0.0 else "printed sign"

    @property
    def label(self) -> str:
        """What tells this case from the others."""
        activation = getattr(self.field, "activation", ())
        extras = [activation if isinstance(activation, str) else "-".join(activation)]
        extras += ["t"] if self.field.time else []
        extras += [f"alpha {self.transport}"] if self.transport else []
        extras += [n for n in ("tikhonov", "smoothness") if getattr(self, n)]
        parts = [
            f"{self.kind} d={self.field.dim}",
            self.scheme,
            f"{self.basis[0]}({self.basis[1]})",
        ]
        return ", ".join(parts + [e for e in extras if e])


def cases(quick: bool) -> list[FlowCase]:
    """All flows, the controls at the end; the quick ones need few kernels."""
    f = refode.fields
    shallow = FlowCase(f.Shallow(3, 8), ("shallow",))
    chosen = [
        shallow._replace(scheme=s, basis=b) for s in ("rk4", "dopri5", "euler") for b in BASES
    ]
    if quick:
        chosen = chosen[::4]
    linear = ("PiecewiseLinear", 4)
    chosen += [
        shallow._replace(transport=0.0),
        shallow._replace(basis=linear, tikhonov=0.1, smoothness=0.2),
        FlowCase(f.Shallow(5, 8), ("shallow",), "dopri5", linear),  # the BLAS body
        FlowCase(f.Shallow(3, 8, time=True), ("shallow", True), "rk4", linear),
    ]
    if not quick:
        chosen += _other_fields()
    return [*chosen, shallow._replace(jax_scheme="rk4_38"), shallow._replace(jax_sign=-1.0)]


def _other_fields() -> list[FlowCase]:
    f, three, found = refode.fields, ("softplus", "sine", "tanh"), []
    found += [
        FlowCase(f.Affine(3), ("affine",)),
        FlowCase(f.Affine(3, time=True), ("affine", True), "dopri5", ("PiecewiseLinear", 4)),
        FlowCase(f.MLP(3, (6, 5, 4), three), ("mlp", three), basis=("PiecewiseConstant", 3)),
        FlowCase(f.MLP(3, (6, 5, 4), three, time=True), ("mlp", three, True), "dopri5"),
    ]
    for i, activation in enumerate(("tanh", "softplus", "sine")):
        timed, scheme, basis = i == 1, ("rk4", "dopri5", "euler")[i], BASES[i + 1]
        how = (activation, timed)
        found += [
            FlowCase(f.Antisymmetric(3, 0.2, *how), ("antisymmetric", 0.2, *how), scheme, basis),
            FlowCase(f.Parabolic(3, 5, *how), ("parabolic", *how), scheme, basis),
            FlowCase(f.Hamiltonian(4, *how), ("hamiltonian", *how), scheme, basis),
            FlowCase(f.Leapfrog(4, 5, *how), ("leapfrog", *how), scheme, basis),
        ]
    return found


def ours(case: FlowCase) -> tuple[Any, Any]:
    """The flow, and theta and data; no weight is zero."""
    kind, J = case.basis
    basis = refode.bases.Constant() if kind == "Constant" else getattr(refode.bases, kind)(J)
    ode = refode.NeuralODE(case.field, case.scheme, N_STEPS, T_SPAN, basis)
    flow = refode.ContinuousNormalizingFlow(ode, case.transport, case.tikhonov, case.smoothness)
    rng = np.random.default_rng(8)
    theta = flow.initial(seed=0) + 0.3 * rng.standard_normal(flow.n_parameters)
    return flow, (theta, rng.standard_normal((N_SAMPLES, flow.dim)))


def theirs(case: FlowCase, flow: Any, theta: Any, y: Any) -> tuple[float, dict[str, Any]]:
    """Value and gradient by JAX."""
    import jax
    from jax import numpy as jnp

    from validation.models import jax_models

    class Backward(jax_models.Solver):
        """From T to t0, theta(t) staying where it was."""

        def weights(self, theta: Any, n: int, c: float) -> Any:
            """theta at fraction c of step n, counted from T."""
            at, cell = ((self.n_steps - n - x) / self.n_steps for x in (c, 0.5))
            p = jax_models.basis_values(self.basis, self.J, at, cell)
            return {name: jnp.tensordot(p, a, axes=1) for name, a in theta.items()}

    name, *args = case.peer
    field, d = getattr(jax_models, name)(*args), y.shape[1]

    def augmented(Y: Any, t: Any, w: Any) -> Any:
        z = Y[:, :d]
        f = field(z, t, w)
        jacobians = jax.vmap(jax.jacfwd(lambda row: field(row[None], t, w)[0]))(z)
        trace = jnp.trace(jacobians, axis1=1, axis2=2)
        return jnp.concatenate([f, trace[:, None], 0.5 * jnp.sum(f**2, axis=1)[:, None]], axis=1)

    solve = Backward(augmented, case.jax_scheme or case.scheme, N_STEPS, T_SPAN[::-1], *case.basis)

    def objective(p: Any) -> Any:
        end = solve(p, jnp.concatenate([y, jnp.zeros((len(y), 2))], axis=1))
        w, l, v = end[:, :d], end[:, d], -end[:, d + 1]  # noqa: E741
        density = -0.5 * jnp.sum(w**2, axis=1) - 0.5 * d * math.log(2.0 * math.pi)
        density += case.jax_sign * l
        penalty = 0.5 * case.tikhonov * sum(jnp.sum(a**2) for a in p.values())
        if case.smoothness:  # hats: theta' is constant on each of the J-1 cells
            h = (T_SPAN[1] - T_SPAN[0]) / (case.basis[1] - 1)
            jumps = sum(jnp.sum(jnp.diff(a, axis=0) ** 2) for a in p.values())
            penalty += 0.5 * case.smoothness * jumps / h
        return jnp.mean(case.transport * v - density) + penalty

    value, gradient = jax.value_and_grad(objective)(
        {n: jnp.asarray(a) for n, a in flow.unpack(theta).items()}
    )
    return float(value), {n: np.asarray(g) for n, g in gradient.items()}
