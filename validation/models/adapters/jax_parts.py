"""Fields, weights in time, the potential network, densities and losses in JAX.

One sample at a time, as JAX has it; `jax.vmap` adds the samples, `jax.grad`, `jax.jvp` and
`jax.jacfwd` every derivative. Settings are the dicts of a `refode.check.Case`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import log_softmax, logsumexp, softplus

from .grid import Normal, components, field_blocks, quadrature

Weights = dict[str, Any]
Field = Callable[[Weights, Any, Any], Any]

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": jnp.tanh,
    "softplus": softplus,
    "sine": jnp.sin,
    "identity": lambda u: u,
}


# --- fields f(z, t; w) -----------------------------------------------------------------------


def field(f: dict[str, Any]) -> Field:
    """The right-hand side that a case describes."""
    kinds: dict[str, Callable[[dict[str, Any]], Field]] = {
        "Affine": _affine,
        "Shallow": _mlp,
        "MLP": _mlp,
        "Antisymmetric": _antisymmetric,
        "Parabolic": _parabolic,
        "Hamiltonian": _hamiltonian,
        "Leapfrog": _leapfrog,
        "Potential": lambda f: lambda w, z, t: -jax.grad(phi, 2)(f, w, z, t),
    }
    return kinds[f["type"]](f)


def _inputs(f: dict[str, Any], z: Any, t: Any) -> Any:
    return jnp.append(z, t) if f["time"] else z


def _bias(f: dict[str, Any], w: Weights, t: Any) -> Any:
    return w["b0"] + t * w["tau"] if f["time"] else w["b0"]


def _affine(f: dict[str, Any]) -> Field:
    return lambda w, z, t: w["A"] @ _inputs(f, z, t) + w["c"]


def _mlp(f: dict[str, Any]) -> Field:
    """Eq. (1), and eq. (2) with one hidden layer."""
    sigma, last = ACTIVATIONS[f.get("activation", "tanh")], len(f.get("widths", [1]))

    def value(w: Weights, z: Any, t: Any) -> Any:
        a = _inputs(f, z, t)
        for i in range(last):
            a = sigma(w[f"W{i}"] @ a + w[f"b{i}"])
        return w[f"W{last}"] @ a + w[f"b{last}"]

    return value


def _antisymmetric(f: dict[str, Any]) -> Field:
    sigma = ACTIVATIONS[f["activation"]]

    def value(w: Weights, z: Any, t: Any) -> Any:
        B = w["K"] - w["K"].T - f["gamma"] * jnp.eye(f["dim"])
        return sigma(B @ z + _bias(f, w, t))

    return value


def _parabolic(f: dict[str, Any]) -> Field:
    sigma = ACTIVATIONS[f["activation"]]

    def value(w: Weights, z: Any, t: Any) -> Any:
        return -w["K"][:, : f["dim"]].T @ sigma(w["K"] @ _inputs(f, z, t) + w["b0"])

    return value


def _hamiltonian(f: dict[str, Any]) -> Field:
    sigma = ACTIVATIONS[f["activation"]]

    def value(w: Weights, z: Any, t: Any) -> Any:
        (Y, Z), b = jnp.split(z, 2), _bias(f, w, t)
        return jnp.concatenate([sigma(w["K"] @ Z + b), -sigma(w["K"].T @ Y + b)])

    return value


def _leapfrog(f: dict[str, Any]) -> Field:
    sigma = ACTIVATIONS[f["activation"]]

    def value(w: Weights, z: Any, t: Any) -> Any:
        Y, V = jnp.split(z, 2)
        return jnp.concatenate([V, -w["K"].T @ sigma(w["K"] @ Y + _bias(f, w, t))])

    return value


def trace(f: Field, w: Weights, z: Any, t: Any, noise: Any = None) -> Any:
    """tr df/dz from JAX's Jacobian; e^T J e where there is noise e."""
    if noise is not None:
        return noise @ jax.jvp(lambda z: f(w, z, t), (z,), (noise,))[1]
    return jnp.trace(jax.jacfwd(f, 1)(w, z, t))


# --- the potential network -------------------------------------------------------------------


def phi(f: dict[str, Any], w: Weights, z: Any, t: Any) -> Any:
    """Phi(z, t), with the activation log(e^u + e^-u)."""
    s = jnp.append(z, t)

    def sigma(u: Any) -> Any:
        return jnp.logaddexp(u, -u)

    u, M = sigma(w["K0"] @ s + w["b0"]), f["depth"] - 1
    for i in range(1, M + 1):
        u = u + sigma(w[f"K{i}"] @ u + w[f"b{i}"]) / M
    As = w["A"] @ s
    quadratic = As @ As if f["quadratic"] == "lowrank" else s @ As
    return w["w"] @ u + 0.5 * quadratic + w["b"] @ s + w["c"]


def potential(f: dict[str, Any], w: Weights, z: Any, t: Any) -> tuple[Any, ...]:
    """Phi, grad Phi, dPhi/dt, Lap Phi."""
    t = jnp.asarray(t, dtype=z.dtype)
    slope, rate = jax.grad(phi, (2, 3))(f, w, z, t)
    return phi(f, w, z, t), slope, rate, jnp.trace(jax.hessian(phi, 2)(f, w, z, t))


# --- theta(t) --------------------------------------------------------------------------------


def basis(b: dict[str, Any], s: Any, cell: Any = 0) -> Any:
    """p_0(s), ..., p_{J-1}(s) for s in [0, 1]."""
    J = b["J"]
    if b["type"] in ("Constant", "PiecewiseConstant"):
        return jax.nn.one_hot(cell, J)
    if b["type"] == "PiecewiseLinear":
        return jnp.maximum(0.0, 1.0 - jnp.abs(s * (J - 1) - np.arange(J)))
    if b["type"] == "Legendre":
        x = 2.0 * s - 1.0
        p = [jnp.ones_like(x), x]
        for j in range(1, J - 1):
            p.append(((2 * j + 1) * x * p[j] - j * p[j - 1]) / (j + 1))
        return jnp.stack(p[:J])
    return _splines(J, s)


def _splines(J: int, s: Any) -> Any:
    """Cubic B-splines by de Boor's recurrence, fourfold knots at the ends."""
    n = J - 3
    knots = [0.0] * 3 + [i / n for i in range(n + 1)] + [1.0] * 3
    cell = jnp.clip(jnp.floor(s * n).astype(int), 0, n - 1) + 3
    p = list(jax.nn.one_hot(cell, len(knots) - 1))
    for k in range(1, 4):
        p = [
            _share(s - knots[i], knots[i + k] - knots[i], p[i])
            + _share(knots[i + k + 1] - s, knots[i + k + 1] - knots[i + 1], p[i + 1])
            for i in range(len(p) - 1)
        ]
    return jnp.stack(p)


def _share(part: Any, whole: float, value: Any) -> Any:
    return part / whole * value if whole else jnp.zeros_like(value)


def weights(case: Any, theta: Weights, t: Any, cell: Any) -> Weights:
    """theta(t) by name; a game's potential has one weight set."""
    if case.kind == "game":
        return theta
    start, end = case.t_span
    p = basis(case.basis, (t - start) / (end - start), cell)
    return {
        name: jnp.tensordot(p, block, axes=1) for name, block in field_blocks(case, theta).items()
    }


def penalties(case: Any, theta: Weights) -> dict[str, Any]:
    """tikhonov/2 |theta|^2 and smoothness/2 int |theta'|^2 dt."""
    blocks, b = field_blocks(case, theta).values(), case.basis
    length = abs(case.t_span[1] - case.t_span[0])
    if b["type"] in ("Constant", "PiecewiseConstant"):
        roughness = b["J"] * sum(jnp.sum(jnp.diff(block, axis=0) ** 2) for block in blocks)
    else:
        nodes, masses = (jnp.asarray(a) for a in quadrature(b))
        rates = jax.vmap(jax.jacfwd(lambda s: basis(b, s)))(nodes)
        roughness = sum(
            masses @ jnp.sum(jnp.tensordot(rates, block, axes=1).reshape(len(nodes), -1) ** 2, 1)
            for block in blocks
        )
    squares = sum(jnp.sum(block**2) for block in theta.values())
    return {
        "tikhonov": 0.5 * case.problem["tikhonov"] * squares,
        "smoothness": 0.5 * case.problem["smoothness"] / length * roughness,
    }


# --- densities, energies, losses -------------------------------------------------------------


def _log_normal(x: Any, normal: Normal) -> Any:
    y = jnp.asarray(normal.whiten) @ (x - jnp.asarray(normal.mean))
    return normal.constant - 0.5 * (y @ y)


def log_density(rho: dict[str, Any], x: Any) -> Any:
    """The log-density of a mixture of Gaussians."""
    return logsumexp(jnp.stack([a + _log_normal(x, part) for a, part in components(rho)]))


def energy(parts: list[dict[str, Any]], x: Any) -> Any:
    """Q(x): Gaussian bumps and quadratics on the leading coordinates."""
    total = jnp.zeros_like(x[0])
    for q in parts:
        if q["type"] == "GaussianBump":
            normal = Normal.of(q["mean"], q["covariance"])
            total = total + q["height"] * jnp.exp(_log_normal(x[: len(q["mean"])], normal))
        else:
            y = x[: len(q["centre"])] - jnp.asarray(q["centre"])
            total = total + 0.5 * q["stiffness"] * (y @ y)
    return total


def loss(name: str, v: Any, y: Any) -> Any:
    """|v - y|^2/2, log(1 + e^v) - y v, cross-entropy; of one sample."""
    if name == "regression":
        return 0.5 * jnp.sum((v - y) ** 2)
    if name == "logistic":
        return softplus(v[0]) - y * v[0]
    return -log_softmax(v)[y.astype(int)]
