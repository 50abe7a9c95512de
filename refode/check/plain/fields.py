"""Fields as on paper, their Jacobians written out as matrices, for complex arrays.

States are (B, N, d): B copies of a case that differ in the weights, which a complex step or a
difference needs at once. A weight is (B, rows, columns). Formulas of docs/equations_fields.md and
docs/equations_potential.md, without their closed forms for traces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode.check.plain.mistakes import Mistakes

Array = NDArray[Any]
Weights = dict[str, Array]


def positive(u: Array) -> Array:
    """-1 where the real part is negative, 1 elsewhere."""
    return np.where(u.real < 0.0, -1.0, 1.0)


def softplus(u: Array) -> Array:
    """log(1 + e^u) without overflow."""
    return np.where(u.real > 0.0, u, 0.0) + np.log1p(np.exp(-u * positive(u)))


def log_2_cosh(u: Array) -> Array:
    """log(e^u + e^-u)."""
    size = u * positive(u)
    return size + np.log1p(np.exp(-2.0 * size))


#: sigma and sigma'.
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "tanh": (np.tanh, lambda u: 1.0 - np.tanh(u) ** 2),
    "softplus": (softplus, lambda u: 0.5 + 0.5 * np.tanh(0.5 * u)),
    "sine": (np.sin, np.cos),
    "identity": (lambda u: u, np.ones_like),
}


def T(W: Array) -> Array:
    """The transpose of every copy."""
    return W.swapaxes(-1, -2)


def affine(W: Array, z: Array, b: Array) -> Array:
    """W z + b, for all samples."""
    return z @ T(W) + b[:, None, :]


def held(slopes: Array, how: str) -> Array:
    """Slopes, or what they are without the complex step."""
    return slopes.real if how == "slopes held" else slopes


def rows(factors: Array, W: Array) -> Array:
    """diag(factors) W for every sample, (B, N, k, n)."""
    return factors[..., None] * W[:, None]


def with_time(z: Array, t: complex) -> Array:
    """(z, t)."""
    return np.concatenate([z, np.full((*z.shape[:-1], 1), t)], axis=-1)


def _input(f: dict[str, Any], z: Array, t: complex) -> Array:
    return with_time(z, t) if f["time"] else z


def _shift(w: Weights, t: complex) -> Array:
    return w["b0"] + t * w["tau"] if "tau" in w else w["b0"]


def field(f: dict[str, Any], w: Weights, z: Array, t: complex, m: Mistakes) -> Array:
    """f(z, t), (B, N, d)."""
    return m.field_sign * _either(f, w, z, t, m, "")


def jacobian(f: dict[str, Any], w: Weights, z: Array, t: complex, m: Mistakes) -> Array:
    """df/dz, (B, N, d, d)."""
    how = "slopes held" if m.slopes_detached else "whole"
    return m.field_sign * _either(f, w, z, t, m, how)


def time_entry(f: dict[str, Any], w: Weights, z: Array, t: complex, m: Mistakes) -> Array:
    """What a trace over (z, t) adds where the field is a gradient in both, (B, N); 0 elsewhere."""
    if f["type"] == "Potential":
        return -potential(f, w, z, t, m)[2][..., -1, -1]
    if f["type"] == "Parabolic" and f["time"]:
        slope = ACTIVATIONS[f["activation"]][1]
        u = affine(w["K"], _input(f, z, t), w["b0"])
        return -np.sum(slope(u) * w["K"][:, None, :, -1] ** 2, -1)
    return np.zeros(1)


def _either(
    f: dict[str, Any], w: Weights, z: Array, t: complex, m: Mistakes, derivative: str
) -> Array:
    if f["type"] != "Potential":
        return _FIELDS[f["type"]]({**f, "slip": m.slip}, w, z, t, derivative)
    d = z.shape[-1]
    _, gradient, hessian = potential(f, w, z, t, m)
    return -hessian[..., :d, :d] if derivative else -gradient[..., :d]


def _affine(f: dict[str, Any], w: Weights, z: Array, t: complex, derivative: str) -> Array:
    d = z.shape[-1]
    if derivative:
        return np.broadcast_to(w["A"][:, None, :, :d], (*z.shape, d))
    return affine(w["A"], _input(f, z, t), w["c"])


def _shallow(f: dict[str, Any], w: Weights, z: Array, t: complex, derivative: str) -> Array:
    a = np.tanh(affine(w["W0"], _input(f, z, t), w["b0"]))
    if derivative:
        return w["W1"][:, None] @ rows(held(1.0 - a**2, derivative), w["W0"][:, :, : z.shape[-1]])
    return affine(w["W1"], a, w["b1"])


def _mlp(f: dict[str, Any], w: Weights, z: Array, t: complex, derivative: str) -> Array:
    sigma, slope = ACTIVATIONS[f["activation"]]
    a, last = _input(f, z, t), len(f["widths"])
    J = np.broadcast_to(np.eye(a.shape[-1], z.shape[-1]), (*z.shape[:-1], a.shape[-1], z.shape[-1]))
    for i in range(last):
        W = w[f"W{i}"]
        u = affine(W, a, w[f"b{i}"])
        if derivative:
            J = held(slope(u), derivative)[..., None] * (W[:, None] @ J)
        a = sigma(u)
    if derivative:
        return w[f"W{last}"][:, None] @ J
    return affine(w[f"W{last}"], a, w[f"b{last}"])


def _antisymmetric(f: dict[str, Any], w: Weights, z: Array, t: complex, derivative: str) -> Array:
    sigma, slope = ACTIVATIONS[f["activation"]]
    other = {"K alone": 0.0, "K + K^T": -1.0}.get(f["slip"], 1.0)
    B = w["K"] - other * T(w["K"]) - f["gamma"] * np.eye(z.shape[-1])
    u = affine(B, z, _shift(w, t))
    return rows(held(slope(u), derivative), B) if derivative else sigma(u)


def _parabolic(f: dict[str, Any], w: Weights, z: Array, t: complex, derivative: str) -> Array:
    sigma, slope = ACTIVATIONS[f["activation"]]
    u, K = affine(w["K"], _input(f, z, t), w["b0"]), w["K"][:, :, : z.shape[-1]]
    return -T(K)[:, None] @ rows(held(slope(u), derivative), K) if derivative else -sigma(u) @ K


def _hamiltonian(f: dict[str, Any], w: Weights, z: Array, t: complex, derivative: str) -> Array:
    sigma, slope = ACTIVATIONS[f["activation"]]
    n, K, b = z.shape[-1] // 2, w["K"], _shift(w, t)
    other, sign = K if f["slip"] == "K twice" else T(K), 1.0 if f["slip"] == "plus" else -1.0
    u, v = affine(K, z[..., n:], b), affine(other, z[..., :n], b)
    if not derivative:
        return np.concatenate([sigma(u), sign * sigma(v)], axis=-1)
    J = np.zeros((*z.shape, 2 * n), dtype=u.dtype)
    J[..., :n, n:] = rows(held(slope(u), derivative), K)
    J[..., n:, :n] = sign * rows(held(slope(v), derivative), other)
    return J


def _leapfrog(f: dict[str, Any], w: Weights, z: Array, t: complex, derivative: str) -> Array:
    sigma, slope = ACTIVATIONS[f["activation"]]
    n, K = z.shape[-1] // 2, w["K"]
    u = affine(K, z[..., :n], _shift(w, t))
    if not derivative:
        return np.concatenate([z[..., n:], -sigma(u) @ K], axis=-1)
    J = np.zeros((*z.shape, 2 * n), dtype=u.dtype)
    J[..., :n, n:] = np.eye(n)
    J[..., n:, :n] = -T(K)[:, None] @ rows(held(slope(u), derivative), K)
    return J


_FIELDS: dict[str, Callable[..., Array]] = {
    "Affine": _affine,
    "Shallow": _shallow,
    "MLP": _mlp,
    "Antisymmetric": _antisymmetric,
    "Parabolic": _parabolic,
    "Hamiltonian": _hamiltonian,
    "Leapfrog": _leapfrog,
}


def potential(
    f: dict[str, Any], w: Weights, x: Array, t: complex, m: Mistakes
) -> tuple[Array, Array, Array]:
    """Phi (B, N), its gradient (B, N, d+1) and Hessian (B, N, d+1, d+1) in s = (x, t)."""
    s, M = with_time(x, t), f["depth"] - 1
    h = 1.0 if m.resnet_step_one or not M else 1.0 / M
    v = affine(w["K0"], s, w["b0"])
    u, J, layers = _softened(v, m), rows(np.tanh(v), w["K0"]), [(w["K0"][:, None], v)]
    for i in range(1, M + 1):  # u_i, its Jacobian J_i and that of K_i u_{i-1}
        v = affine(w[f"K{i}"], u, w[f"b{i}"])
        G = w[f"K{i}"][:, None] @ J
        layers.append((G, v))
        u, J = u + h * _softened(v, m), J + h * np.tanh(v)[..., None] * G
    phi = np.sum(u * w["w"][:, None], axis=-1)
    gradient = np.squeeze(T(J) @ w["w"][:, None, :, None], axis=-1)
    z, hessian = w["w"][:, None], 0.0
    for i in range(M, -1, -1):  # z: derivative of w . u_M by what layer i adds
        G, v = layers[i]
        bend = 1.0 - np.tanh(v) ** 2
        bend = (h if i else 1.0) * z * (bend.real if m.slopes_detached else bend)
        hessian = hessian + T(G) @ (bend[..., None] * G)
        if i:
            z = z + h * (np.tanh(v) * z) @ w[f"K{i}"]
    A = w["A"]
    Q = T(A) @ A if f["quadratic"] == "lowrank" else 0.5 * (A + T(A))
    in_gradient = A if m.not_symmetrised and f["quadratic"] == "symmetric" else Q
    two = 2.0 * m.quadratic_half
    phi = phi + m.quadratic_half * np.sum(s * (s @ Q), axis=-1)
    gradient = gradient + two * (s @ T(in_gradient)) + w["b"][:, None]
    phi = phi + np.sum(s * w["b"][:, None], axis=-1) + w["c"][:, None]
    return phi, gradient, hessian + two * Q[:, None]


def _softened(v: Array, m: Mistakes) -> Array:
    return log_2_cosh(v) - (np.log(2.0) if m.log_cosh else 0.0)
