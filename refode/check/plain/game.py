"""Mean field games, for B copies of a case; the state is (z, log rho, L, F, R)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode.check.case import Case
from refode.check.plain.fields import positive, potential
from refode.check.plain.mistakes import Mistakes
from refode.check.plain.paths import Blocks, Clock, Path
from refode.check.plain.problems import Problem, Terms, log_sum_exp

Array = NDArray[Any]
RIGHT = Mistakes()


def log_normal(x: Array, mean: Array, S: Array, m: Mistakes, constant: float) -> Array:
    """log N(x; mean, S) over the last axis; the constant multiplied by a factor."""
    y = x - mean
    square = np.sum(y * (y @ np.linalg.inv(S)), -1)
    size = m.two_pi * len(mean) * np.log(2.0 * np.pi) + m.determinant * np.linalg.slogdet(S)[1]
    return -0.5 * square - 0.5 * constant * size


def log_density(rho: dict[str, Any], x: Array, m: Mistakes, constant: float) -> Array:
    """log of a mixture of Gaussians."""
    normals = zip(rho["means"], rho["covariances"], strict=True)
    parts = [log_normal(x, mean, S, m, constant) for mean, S in normals]
    return log_sum_exp(np.stack(parts, -1) + np.log(rho["weights"]))


def energy(parts: list[dict[str, Any]], x: Array, m: Mistakes) -> Array:
    """Q(x): bumps and bowls on the leading coordinates."""
    total = np.zeros(x.shape[:-1], dtype=x.dtype)
    for q in parts:
        if q["type"] == "GaussianBump":
            k = len(q["mean"])
            total += q["height"] * np.exp(
                log_normal(x[..., :k], q["mean"], q["covariance"], RIGHT, m.bump_constant)
            )
        else:
            k = len(q["centre"])
            total += m.bowl_half * q["stiffness"] * np.sum((x[..., :k] - q["centre"]) ** 2, -1)
    return total


class GameFormulas(Problem):
    """Eqs. (17)-(25)."""

    extras = 4

    def __init__(self, case: Case, m: Mistakes) -> None:
        super().__init__(case, m)
        self.initial = log_density(self.setting["initial"], case.x + 0.0j, m, m.initial_constant)

    def starts(self, copies: int, x: Array) -> list[tuple[Clock, Array]]:
        """From x, and from y backwards where the target is known by samples."""
        rest = np.broadcast_to(self.start(), (*x.shape[:-1], 4)) + 0.0j
        rest[..., 0] += self.initial
        forward = np.concatenate([x, rest], axis=-1)
        runs = [(Clock.of(self.case, self.m), forward)]
        if self.case.y is not None:
            y = np.broadcast_to(self.case.y, (copies, *self.case.y.shape))
            zeros = np.broadcast_to(self.start(), (*y.shape[:-1], 4))
            back = np.concatenate([y + 0.0j, zeros], axis=-1)
            runs.append((Clock.of(self.case, self.m, back=True), back))
        return runs

    def alpha(self, where: str) -> float:
        """Alpha as "v", "d", "L" or "r" divide by it."""
        alpha = self.setting["alpha"] or 1.0
        if where in self.m.no_alpha:
            return 1.0
        return 1.0 / alpha if where in self.m.inverse_alpha else alpha

    def derivatives(self, w: Blocks, x: Array, t: float) -> tuple[Array, Array, Array, Array]:
        """Phi, grad Phi, dPhi/dt, Lap Phi."""
        phi, gradient, hessian = potential(self.case.field, w, x, t, self.m)
        diagonal = np.diagonal(hessian, axis1=-1, axis2=-2)
        sign = -1.0 if self.m.trace == "minus" else 1.0
        last = {"first": 1, "with time": self.d + 1}.get(self.m.trace, self.d)
        return phi, gradient[..., :-1], gradient[..., -1], sign * diagonal[..., :last].sum(-1)

    def slope(self, w: Blocks, y: Array, t: float) -> Array:
        """Feedback, and the rates of log rho, L, F, R."""
        m, setting, x, log_rho = self.m, self.setting, y[..., : self.d], y[..., self.d]
        _, p, time, laplacian = self.derivatives(w, x, t)
        square, Q, lam = np.sum(p * p, -1), energy(setting["energy"], x, m), setting["entropy"]
        first = self.initial if self.initial.shape == log_rho.shape[1:] else log_rho  # not at y
        stale = {k: first if k in m.stale else log_rho for k in "Fr"}
        F = Q + m.entropy_in_F * lam * stale["F"]
        parts = self.residual(square, time, Q, stale["r"])
        r = sum(v.real if k == m.r_detached else v for k, v in parts.items()) + 0.0 * square
        R = r if m.outside else self.measured(r)
        L = m.L_half / self.alpha("L") * square
        if not setting["alpha"]:
            L, R = 0.0 * L, 0.0 * R
        if m.swapped_rows:
            L, F = F, L
        v = -m.field_sign / self.alpha("v") * p
        rate = m.log_rho_sign * m.field_sign / self.alpha("d") * laplacian
        return np.concatenate([v, np.stack([rate, L, F, R], -1)], axis=-1)

    def residual(self, square: Array, time: Array, Q: Array, log_rho: Array) -> dict[str, Array]:
        """Parts of r, from |grad Phi|^2, dPhi/dt, Q(z) and log rho."""
        m = self.m
        return {
            "square": m.r_half / self.alpha("r") * square,
            "time": -m.phi_time * time,
            "Q": -m.Q_in_r * Q,
            "log rho": -m.entropy_in_r * self.setting["entropy"] * (log_rho + m.entropy_one),
        }

    def measured(self, r: Array) -> Array:
        """|r| or r^2; the sign is that of the first copy, so that no difference meets the kink."""
        if self.setting["hjb_norm"] == "squared":
            return r * r
        sign = positive(r[:1])
        return r * (sign > 0.0) if self.m.positive_part else r * sign

    def arrived(self, states: list[list[Array]]) -> Array:
        """log rho(T, y) at given y, (B, N)."""
        end = states[1][-1]
        at, m = end[..., : self.d], self.m
        start = log_density(self.setting["initial"], at, m, m.initial_constant)
        return start - end[..., self.d]

    def terms(self, theta: Blocks, states: list[list[Array]]) -> Terms:
        """L, F, G, and what the HJB equation lacks."""
        s, d, end = self.setting, self.d, states[0][-1]
        nothing, has_F = np.zeros(len(end)), bool(s["energy"] or s["entropy"])
        terms = {
            "L": self.mean(end[..., d + 1]) if s["alpha"] else nothing,
            "F": self.mean(end[..., d + 2]) if has_F else nothing,
        }
        if s["kind"] == "kl":
            gap = self.gap(end, "G")
            terms["G"] = s["terminal"] * self.mean(-gap if self.m.reversed_divergence else gap)
        elif s["kind"] == "energy":
            terms["G"] = s["terminal"] * self.mean(self.paid(end))
        else:
            terms["G"] = -s["terminal"] * self.mean(self.arrived(states))
        R = self.measured(end[..., d + 3]) if self.m.outside else end[..., d + 3]
        terms["hjb"] = s["hjb"] * self.mean(R) if s["hjb"] else nothing
        terms["hjb_terminal"] = self.terminal(theta, end) if s["hjb_terminal"] else nothing
        return terms

    def gap(self, end: Array, where: str) -> Array:
        """log rho - log rho_Y at the paths' ends."""
        log_rho = self.initial if where in self.m.stale else end[..., self.d]
        at = end[..., : self.d]
        return log_rho - log_density(self.setting["target"], at, self.m, self.m.target_constant)

    def paid(self, end: Array) -> Array:
        """The terminal energy at the paths' ends."""
        return energy(self.setting["terminal_energy"], end[..., : self.d], self.m)

    def terminal(self, theta: Blocks, end: Array) -> Array:
        """hjb_terminal times the mean of |Phi(z(T), T) - G'|."""
        phi, derivative = self.lacking(theta, end)
        return self.setting["hjb_terminal"] * self.mean(self.measured(phi - derivative))

    def lacking(self, theta: Blocks, end: Array) -> tuple[Array, Array]:
        """Phi(z(T), T) and the terminal cost's derivative G', at the paths' ends."""
        s, m = self.setting, self.m
        at = {"": self.case.along[1], "one": 1.0, "start": self.case.along[0]}[m.end_at]
        w = {k: v[:, 0] for k, v in theta.items()}
        phi = potential(self.case.field, w, end[..., : self.d], at, m)[0]
        if s["kind"] == "energy":
            derivative = self.paid(end)
        else:
            gap = self.gap(end, "g")
            derivative = m.G_one + gap if s["kind"] == "kl" else -np.exp(-gap)
        derivative = derivative.real if m.target_detached else derivative
        return phi, m.G_sign * s["terminal"] ** m.terminal_in_G * derivative

    def values(self, paths: list[Path]) -> dict[str, Array]:
        """As Problem, with log rho and the potential's derivatives at the stages."""
        results = super().values(paths)
        results["log_density_path"] = np.array([y[0, :, self.d] for y in paths[0].states])
        four = [
            [self.derivatives(self.first, s.y[:1, :, : self.d], s.t) for s in stages]
            for stages in paths[0].stages
        ]
        for i, name in enumerate(("phi", "phi_gradient", "phi_time", "phi_laplacian")):
            results[name] = np.array([[at[i][0] for at in stages] for stages in four])
        if self.case.y is not None:
            states = [path.states for path in paths]
            results["inverse"] = states[1][-1][0, :, : self.d]
            results["log_density"] = self.arrived(states)[0]
        return results

    def paths(self, theta: Blocks, x: Array) -> list[Path]:
        """As Problem; the first copy's weights are kept for the potential's values."""
        self.first = {k: v[:1, 0] for k, v in theta.items()}
        return super().paths(theta, x)
