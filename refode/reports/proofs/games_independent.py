"""A second opinion on games: plain NumPy, forward mode, SciPy's adaptive scheme of order 8.

Nothing of refode's potential, games or solvers is used. The network carries its derivatives by
every coordinate forward with it, where refode goes back through it once; the Laplacian is a sum
over coordinates, where refode has none. All is analytic in theta, so that the complex step
through the whole game gives its slope.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp

Array = np.ndarray
Weights = Mapping[str, Array]
RTOL, ATOL, STEP = 1e-13, 1e-15, 1e-200


class Normals(NamedTuple):
    """A mixture: weights (k,), means (k, d), covariances (k, d, d)."""

    weights: Array
    means: Array
    covariances: Array

    def log_density(self, x: Array) -> Array:
        """(N,) at x (N, d), real or complex, where no component vanishes."""
        total = np.zeros(len(x), x.dtype)
        for w, m, S in zip(self.weights, self.means, self.covariances, strict=True):
            total = total + w * np.exp(-0.5 * _square(x - m, S)) / _volume(S)
        return np.log(total)


class Setting(NamedTuple):
    """What is charged; Q is a bump (height, mean, covariance) and a bowl (k, q)."""

    initial: Normals
    target: Normals
    alpha: float
    bump: tuple[float, Array, Array]
    bowl: tuple[float, float]
    entropy: float
    terminal: float
    crossed: bool
    hjb: float
    hjb_terminal: float
    span: tuple[float, float]
    symmetric: bool

    def Q(self, x: Array) -> Array:
        """The running potential (N,)."""
        height, mean, S = self.bump
        k, q = self.bowl
        first = height * np.exp(-0.5 * _square(x[:, : len(mean)] - mean, S)) / _volume(S)
        return first + 0.5 * k * np.sum((x - q) ** 2, axis=1)


def _square(y: Array, S: Array) -> Array:
    return np.sum(y * np.linalg.solve(S, y.T).T, axis=1)


def _volume(S: Array) -> Array:
    return np.sqrt(np.linalg.det(2.0 * np.pi * S))


def potential(w: Weights, t: float, x: Array, symmetric: bool) -> tuple[Array, ...]:
    """Phi (N,), grad Phi (N, d), dPhi/dt (N,), Lap Phi (N,)."""
    n, d = x.shape
    s = np.column_stack([x, np.full(n, t)])
    M = sum(name.startswith("K") for name in w) - 1
    u, first, second = s, np.zeros(0), np.zeros(0)  # (N, m), (N, m, d+1), (N, m, d) from K0 on
    for i in range(M + 1):
        K, b = w[f"K{i}"], w[f"b{i}"]
        if i == 0:
            v, v1, v2 = s @ K.T + b, np.broadcast_to(K, (n, *K.shape)), np.zeros((len(b), d))
        else:
            v, v1, v2 = u @ K.T + b, K @ first, K @ second
        a = np.tanh(v)[:, :, None]
        # sigma = log(2 cosh) with slopes a and 1 - a^2
        layer = np.log(2.0 * np.cosh(v)), a * v1, (1.0 - a**2) * v1[:, :, :d] ** 2 + a * v2
        h = 1.0 / M if i else 1.0
        u, first, second = (
            layer if i == 0 else (u + h * layer[0], first + h * layer[1], second + h * layer[2])
        )
    S = 0.5 * (w["A"] + w["A"].T) if symmetric else w["A"].T @ w["A"]
    phi = u @ w["w"] + 0.5 * np.sum(s * (s @ S), axis=1) + s @ w["b"] + w["c"]
    slope = np.einsum("m,nmk->nk", w["w"], first) + s @ S + w["b"]
    laplacian = np.einsum("m,nmk->n", w["w"], second) + np.trace(S[:d, :d])
    return phi, slope[:, :d], slope[:, d], laplacian


def _integrate(w: Weights, setting: Setting, start: Array, span: tuple[float, float]) -> Array:
    """z, log rho, L, F, R (N, d+4) at the end, R of the squared residual."""
    shape, d = start.shape, start.shape[1] - 4

    def rhs(t: float, flat: Array) -> Array:
        y = flat.reshape(shape)
        z, log_rho = y[:, :d], y[:, d]
        _, g, by_time, laplacian = potential(w, t, z, setting.symmetric)
        L = np.sum(g**2, axis=1) / (2.0 * setting.alpha)
        Q = setting.Q(z)
        r = L - by_time - Q - setting.entropy * (log_rho + 1.0)
        F = Q + setting.entropy * log_rho
        slope = np.column_stack([-g / setting.alpha, laplacian / setting.alpha, L, F, r**2])
        return slope.ravel()

    solution = solve_ivp(
        rhs, span, start.ravel(), method="DOP853", rtol=RTOL, atol=ATOL, t_eval=[span[1]]
    )
    if not solution.success:
        raise RuntimeError(f"SciPy could not solve the reference game: {solution.message}")
    end: Array = solution.y[:, -1].reshape(shape)
    return end


def costs(w: Weights, setting: Setting, x: Array, y: Array) -> dict[str, Any]:
    """The weighted terms of (25) with squared residuals, and their sum."""
    d, dtype = x.shape[1], w["K0"].dtype
    start = np.zeros((len(x), d + 4), dtype)
    start[:, :d], start[:, d] = x, setting.initial.log_density(x)
    end = _integrate(w, setting, start, setting.span)
    z, log_rho = end[:, :d], end[:, d]
    L, F, R = end[:, d + 1 :].mean(axis=0)
    log_y = setting.target.log_density(z)
    if setting.crossed:
        back = np.zeros((len(y), d + 4), dtype)
        back[:, :d] = y
        begin = _integrate(w, setting, back, setting.span[::-1])
        log_rho_y = setting.initial.log_density(begin[:, :d]) - begin[:, d]
        G, slope = -setting.terminal * np.mean(log_rho_y), -np.exp(log_y - log_rho)
    else:
        G, slope = setting.terminal * np.mean(log_rho - log_y), 1.0 + log_rho - log_y
    phi = potential(w, setting.span[1], z, setting.symmetric)[0]
    terms = {"L": L, "F": F, "G": G, "hjb": setting.hjb * R}
    last = np.mean((phi - setting.terminal * slope) ** 2)
    terms["hjb_terminal"] = setting.hjb_terminal * last
    return terms | {"total": sum(terms.values())}


def slope(w: Weights, direction: Weights, setting: Setting, x: Array, y: Array) -> float:
    """Derivative of the total along a direction of weights, by the complex step."""
    moved = {name: a + 1j * STEP * direction[name] for name, a in w.items()}
    return float(costs(moved, setting, x, y)["total"].imag / STEP)
