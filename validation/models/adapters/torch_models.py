"""Fields, weights in time, the potential network, densities and losses in PyTorch.

What a user would write: tensors with samples in rows, every derivative by torch.func or
autograd. Settings are the dicts of a `refode.check.Case`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.func import grad, jacfwd, jvp
from torch.nn import functional as F

from .grid import Normal, components, field_blocks, quadrature

Tensor = torch.Tensor
Weights = dict[str, Tensor]
Field = Callable[[Weights, Tensor, Any], Tensor]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    # F.softplus by default is the identity from 20 on, 2e-9 off
    "softplus": lambda u: F.softplus(u, threshold=40.0),
    "sine": torch.sin,
    "identity": lambda u: u,
}


# --- fields f(z, t; w) -----------------------------------------------------------------------


def field(f: dict[str, Any]) -> Field:
    """The right-hand side that a case describes."""
    return FIELDS[f["type"]](f)


def _inputs(f: dict[str, Any], z: Tensor, t: Any) -> Tensor:
    return torch.cat([z, t * torch.ones_like(z[:, :1])], dim=1) if f["time"] else z


def _bias(f: dict[str, Any], w: Weights, t: Any) -> Tensor:
    return w["b0"] + t * w["tau"] if f["time"] else w["b0"]


def _affine(f: dict[str, Any]) -> Field:
    return lambda w, z, t: F.linear(_inputs(f, z, t), w["A"], w["c"])


def _mlp(f: dict[str, Any]) -> Field:
    """Eq. (1), and eq. (2) with one hidden layer."""
    sigma, last = ACTIVATIONS[f.get("activation", "tanh")], len(f.get("widths", [1]))

    def value(w: Weights, z: Tensor, t: Any) -> Tensor:
        a = _inputs(f, z, t)
        for i in range(last):
            a = sigma(F.linear(a, w[f"W{i}"], w[f"b{i}"]))
        return F.linear(a, w[f"W{last}"], w[f"b{last}"])

    return value


def _antisymmetric(f: dict[str, Any]) -> Field:
    sigma = ACTIVATIONS[f["activation"]]

    def value(w: Weights, z: Tensor, t: Any) -> Tensor:
        B = w["K"] - w["K"].T - f["gamma"] * torch.eye(f["dim"], dtype=z.dtype)
        return sigma(F.linear(z, B, _bias(f, w, t)))

    return value


def _parabolic(f: dict[str, Any]) -> Field:
    sigma = ACTIVATIONS[f["activation"]]

    def value(w: Weights, z: Tensor, t: Any) -> Tensor:
        return -sigma(F.linear(_inputs(f, z, t), w["K"], w["b0"])) @ w["K"][:, : f["dim"]]

    return value


def _hamiltonian(f: dict[str, Any]) -> Field:
    sigma = ACTIVATIONS[f["activation"]]

    def value(w: Weights, z: Tensor, t: Any) -> Tensor:
        (Y, Z), b = z.chunk(2, dim=1), _bias(f, w, t)
        return torch.cat([sigma(Z @ w["K"].T + b), -sigma(Y @ w["K"] + b)], dim=1)

    return value


def _leapfrog(f: dict[str, Any]) -> Field:
    sigma = ACTIVATIONS[f["activation"]]

    def value(w: Weights, z: Tensor, t: Any) -> Tensor:
        Y, V = z.chunk(2, dim=1)
        return torch.cat([V, -sigma(Y @ w["K"].T + _bias(f, w, t)) @ w["K"]], dim=1)

    return value


def _potential(f: dict[str, Any]) -> Field:
    def value(w: Weights, z: Tensor, t: Any) -> Tensor:
        s = space_time(z, t)
        return -grad(lambda s: phi(f, w, s).sum())(s)[:, :-1]

    return value


FIELDS: dict[str, Callable[[dict[str, Any]], Field]] = {
    "Affine": _affine,
    "Shallow": _mlp,
    "MLP": _mlp,
    "Antisymmetric": _antisymmetric,
    "Parabolic": _parabolic,
    "Hamiltonian": _hamiltonian,
    "Leapfrog": _leapfrog,
    "Potential": _potential,
}


def trace(f: Field, w: Weights, z: Tensor, t: Any, noise: Tensor | None = None) -> Tensor:
    """tr df/dz, (N,): a derivative along each axis; e^T J e where there is noise e."""
    if noise is not None:
        return (noise * jvp(lambda z: f(w, z, t), (z,), (noise,))[1]).sum(1)
    total = torch.zeros_like(z[:, 0])
    for i, e in enumerate(torch.eye(z.shape[1], dtype=z.dtype)):
        total = total + jvp(lambda z: f(w, z, t), (z,), (e.expand_as(z).clone(),))[1][:, i]
    return total


# --- the potential network -------------------------------------------------------------------


def space_time(z: Tensor, t: Any) -> Tensor:
    """s = (z, t)."""
    return torch.cat([z, t * torch.ones_like(z[:, :1])], dim=1)


def phi(f: dict[str, Any], w: Weights, s: Tensor) -> Tensor:
    """Phi(s), (N,), with the activation log(e^u + e^-u)."""

    def sigma(u: Tensor) -> Tensor:
        return torch.logaddexp(u, -u)

    u, M = sigma(F.linear(s, w["K0"], w["b0"])), f["depth"] - 1
    for i in range(1, M + 1):
        u = u + sigma(F.linear(u, w[f"K{i}"], w[f"b{i}"])) / M
    As = s @ w["A"].T
    quadratic = (As * As if f["quadratic"] == "lowrank" else s * As).sum(1)
    return u @ w["w"] + 0.5 * quadratic + s @ w["b"] + w["c"]


def potential(f: dict[str, Any], w: Weights, z: Tensor, t: Any) -> tuple[Tensor, ...]:
    """Phi, grad Phi, dPhi/dt, Lap Phi: reverse mode, and forward mode over it along the axes."""
    s, total = space_time(z, t), torch.zeros_like(z[:, 0])
    slope = grad(lambda s: phi(f, w, s).sum())
    first = slope(s)
    for i, e in enumerate(torch.eye(s.shape[1], dtype=s.dtype)[:-1]):
        total = total + jvp(slope, (s,), (e.expand_as(s).clone(),))[1][:, i]
    return phi(f, w, s), first[:, :-1], first[:, -1], total


# --- theta(t) --------------------------------------------------------------------------------


def basis(b: dict[str, Any], s: Tensor, cell: int = 0) -> Tensor:
    """p_0(s), ..., p_{J-1}(s) for s in [0, 1]."""
    J = b["J"]
    index = torch.arange(J, dtype=s.dtype)
    if b["type"] in ("Constant", "PiecewiseConstant"):
        return (index == cell).to(s.dtype)
    if b["type"] == "PiecewiseLinear":
        return torch.relu(1.0 - torch.abs(s * (J - 1) - index))
    if b["type"] == "Legendre":
        x = 2.0 * s - 1.0
        p = [torch.ones_like(x), x]
        for j in range(1, J - 1):
            p.append(((2 * j + 1) * x * p[j] - j * p[j - 1]) / (j + 1))
        return torch.stack(p[:J])
    return _splines(J, s)


def _splines(J: int, s: Tensor) -> Tensor:
    """Cubic B-splines by de Boor's recurrence, fourfold knots at the ends."""
    n = J - 3
    knots = [0.0] * 3 + [i / n for i in range(n + 1)] + [1.0] * 3
    cell = torch.floor(s.detach() * n).clamp(0, n - 1) + 3
    p = [(cell == i).to(s.dtype) for i in range(len(knots) - 1)]
    for k in range(1, 4):
        p = [
            _share(s - knots[i], knots[i + k] - knots[i], p[i])
            + _share(knots[i + k + 1] - s, knots[i + k + 1] - knots[i + 1], p[i + 1])
            for i in range(len(p) - 1)
        ]
    return torch.stack(p)


def _share(part: Tensor, whole: float, value: Tensor) -> Tensor:
    return part / whole * value if whole else torch.zeros_like(value)


def weights(case: Any, theta: Weights, t: Any, cell: int) -> Weights:
    """theta(t) by name; a game's potential has one weight set."""
    if case.kind == "game":
        return theta
    start, end = case.t_span
    s = (torch.as_tensor(t, dtype=torch.float64) - start) / (end - start)
    p = basis(case.basis, s, cell)
    return {
        name: torch.tensordot(p.to(block.dtype), block, dims=1)
        for name, block in field_blocks(case, theta).items()
    }


def penalties(case: Any, theta: Weights) -> dict[str, Tensor]:
    """tikhonov/2 |theta|^2 and smoothness/2 int |theta'|^2 dt."""
    squares = sum((block**2).sum() for block in theta.values())
    length, J = abs(case.t_span[1] - case.t_span[0]), case.basis["J"]
    roughness = torch.zeros_like(squares)
    if case.basis["type"] == "PiecewiseConstant":
        for block in field_blocks(case, theta).values():
            roughness = roughness + J * (block.diff(dim=0) ** 2).sum()
    elif case.basis["type"] != "Constant":
        for s, weight in zip(*quadrature(case.basis), strict=True):
            at = torch.tensor(s, dtype=torch.float64)
            rates = jacfwd(lambda s: basis(case.basis, s))(at)
            for block in field_blocks(case, theta).values():
                rate = torch.tensordot(rates.to(block.dtype), block, dims=1)
                roughness = roughness + float(weight) * (rate**2).sum()
    return {
        "tikhonov": 0.5 * case.problem["tikhonov"] * squares,
        "smoothness": 0.5 * case.problem["smoothness"] / length * roughness,
    }


# --- densities, energies, losses -------------------------------------------------------------


def _log_normal(x: Tensor, normal: Normal) -> Tensor:
    mean, whiten = (torch.as_tensor(a, dtype=x.dtype) for a in (normal.mean, normal.whiten))
    return normal.constant - 0.5 * (((x - mean) @ whiten.T) ** 2).sum(1)


def log_density(rho: dict[str, Any], x: Tensor) -> Tensor:
    """The log-density of a mixture of Gaussians, (N,)."""
    parts = [a + _log_normal(x, normal) for a, normal in components(rho)]
    return torch.logsumexp(torch.stack(parts), dim=0)


def energy(parts: list[dict[str, Any]], x: Tensor) -> Tensor:
    """Q(x), (N,): Gaussian bumps and quadratics on the leading coordinates."""
    total = torch.zeros_like(x[:, 0])
    for q in parts:
        if q["type"] == "GaussianBump":
            normal = Normal.of(q["mean"], q["covariance"])
            bump = torch.exp(_log_normal(x[:, : len(q["mean"])], normal))
            total = total + q["height"] * bump
        else:
            y = x[:, : len(q["centre"])] - torch.as_tensor(q["centre"], dtype=x.dtype)
            total = total + 0.5 * q["stiffness"] * (y**2).sum(1)
    return total


def loss(name: str, v: Tensor, y: Tensor) -> Tensor:
    """Means over samples: |v - y|^2/2, log(1 + e^v) - y v, cross-entropy."""
    if name == "regression":
        return 0.5 * F.mse_loss(v, y, reduction="sum") / len(v)
    if name == "logistic":
        return F.binary_cross_entropy_with_logits(v[:, 0], y)
    return F.cross_entropy(v, y.long())
