"""States and objectives of ODEs, supervised problems and flows, for B copies of a case.

A problem says where its paths start, what moves them and what is made of their states, so that
one walk forward and one walk back (adjoint.py) serve all of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode.check.case import Case
from refode.check.plain.fields import field, jacobian, softplus, time_entry
from refode.check.plain.mistakes import Mistakes
from refode.check.plain.paths import Blocks, Clock, Path, solve
from refode.check.plain.times import differences, stiffness

Array = NDArray[Any]
Terms = dict[str, Array]


class Problem:
    """What is common to all: weights, states, regularisers.

    Parameters
    ----------
    case : Case
    m : Mistakes
    """

    #: Components of the state behind z: accumulators.
    extras = 0
    readout: tuple[str, ...] = ()

    def __init__(self, case: Case, m: Mistakes) -> None:
        self.case, self.m, self.d = case, m, case.field["dim"]
        self.setting = case.problem

    def paths(self, theta: Blocks, x: Array) -> list[Path]:
        """The paths from x, and others that the problem needs."""
        weights = {k: v for k, v in theta.items() if k not in self.readout}
        return [
            solve(clock, self.slope, weights, y, self.extras)
            for clock, y in self.starts(len(next(iter(theta.values()))), x)
        ]

    def starts(self, copies: int, x: Array) -> list[tuple[Clock, Array]]:
        """Clock and first state of every set of paths."""
        rest = np.broadcast_to(self.start(), (*x.shape[:-1], self.extras))
        return [(Clock.of(self.case, self.m), np.concatenate([x, rest], axis=-1) + 0.0j)]

    def start(self) -> Array:
        """What accumulators start at, (extras,)."""
        start = {"": 0.0, "along": self.case.along[0], "span": self.case.t_span[0]}[self.m.start]
        rows = self.m.start_rows or range(self.extras)
        return np.array([start * (i in rows) for i in range(self.extras)])

    def slope(self, w: Blocks, y: Array, t: float) -> Array:
        """dy/dt."""
        return field(self.case.field, w, y, t, self.m)

    def trace(self, w: Blocks, z: Array, t: float) -> Array:
        """tr df/dz, or e . df/dz e for a given noise e, (B, N)."""
        J, kind = jacobian(self.case.field, w, z, t, self.m), self.m.trace
        if kind == "first":
            return J[..., 0, 0]
        if kind == "sum":
            return J.sum((-1, -2))
        if self.setting.get("trace") == "hutchinson" and self.case.noise is not None:
            noise = self.case.noise[:1] if kind == "one noise" else self.case.noise
            return np.sum(noise * np.sum(J * noise[:, None, :], -1), -1)
        trace = np.trace(J, axis1=-1, axis2=-2)
        if kind == "minus":
            return -trace
        if kind == "with time":
            return trace + time_entry(self.case.field, w, z, t, self.m)
        return trace

    def terms(self, theta: Blocks, states: list[list[Array]]) -> Terms:
        """Weighted terms (B,) of the objective, by name."""
        raise NotImplementedError

    def total(self, theta: Blocks, states: list[list[Array]]) -> Array:
        """The objective, (B,)."""
        return np.array(sum(self.terms(theta, states).values()))

    def values(self, paths: list[Path]) -> dict[str, Array]:
        """What is reported beside terms, total and derivatives, of the first copy."""
        results = {"trajectory": np.array([y[0, :, : self.d] for y in paths[0].states])}
        if not self.case.scheme.symplectic:
            results["stages"] = self.at_stages(paths[0], lambda s: s.y[0, :, : self.d])
            results["slopes"] = self.at_stages(paths[0], lambda s: s.k[0, :, : self.d])
        return results

    @staticmethod
    def at_stages(path: Path, fun: Any) -> Array:
        """fun of all stages, (n_steps, n_stages, ...)."""
        return np.array([[fun(s) for s in stages] for stages in path.stages])

    def mean(self, values: Array) -> Array:
        """The mean over samples."""
        return values.sum(-1) if self.m.over_samples == "sum" else values.mean(-1)

    def regularisers(self, theta: Blocks) -> Terms:
        """tikhonov/2 |theta|^2 and smoothness/2 int |theta'|^2 dt."""
        m, J = self.m, self.case.basis["J"]
        kept = m.tikhonov_blocks or (lambda name: True)
        squares = sum((np.sum(_flat(v) ** 2, -1) for k, v in theta.items() if kept(k)), np.zeros(1))
        size = squares if m.tikhonov_power == 2.0 else squares**0.5
        S, total = stiffness(self.case.basis["type"], J), np.zeros(1)
        if m.smoothness == "differences":
            S = differences(J)
        for name, v in theta.items():
            if name not in self.readout or (m.smoothness == "readout" and v.shape[1] == J):
                moved = v.reshape(len(v), J, -1)
                total = total + np.sum(moved * (S @ moved), axis=(-1, -2))
        length = abs(self.case.t_span[1] - self.case.t_span[0])
        return {
            "tikhonov": m.tikhonov_half * self.setting["tikhonov"] * size,
            "smoothness": m.smoothness_half
            * self.setting["smoothness"]
            * length**m.length_power
            * total,
        }


def _flat(v: Array) -> Array:
    return v.reshape(len(v), -1)


class Ode(Problem):
    """States, log-determinants, and <z_bar, z(T)> + <l_bar, l> (and <path_bar, path>)."""

    def __init__(self, case: Case, m: Mistakes) -> None:
        super().__init__(case, m)
        self.extras = 0 if case.scheme.symplectic else 1

    def slope(self, w: Blocks, y: Array, t: float) -> Array:
        """(f, tr f)."""
        z = y[..., : self.d]
        f = field(self.case.field, w, z, t, self.m)
        if not self.extras:
            return f
        return np.concatenate([f, self.trace(w, z, t)[..., None]], axis=-1)

    def terms(self, theta: Blocks, states: list[list[Array]]) -> Terms:
        """What theta_bar is the gradient of."""
        end, case = states[0][-1], self.case
        total = np.zeros(len(end))
        if case.z_bar is not None:
            total = total + np.sum(end[..., : self.d] * case.z_bar, axis=(-1, -2))
        if case.l_bar is not None and self.extras:
            total = total + np.sum(end[..., self.d] * case.l_bar, axis=-1)
        if case.path_bar is not None:
            for y, bar in zip(states[0], case.path_bar, strict=False):  # steps may be missing
                total = total + np.sum(y[..., : self.d] * bar, axis=(-1, -2))
        return {"objective": total}

    def values(self, paths: list[Path]) -> dict[str, Array]:
        """As Problem, with traces."""
        results, d = super().values(paths), self.d
        if not self.extras:
            return results | {"log_det": np.zeros(paths[0].states[-1].shape[1])}
        return results | {
            "trace": self.at_stages(paths[0], lambda s: s.k[0, :, d]),
            "log_det": paths[0].states[-1][0, :, d],
        }


class Supervised(Problem):
    """Eqs. (5)-(8)."""

    def __init__(self, case: Case, m: Mistakes) -> None:
        super().__init__(case, m)
        self.readout = ("W", "b") if self.setting["readout"] else ()
        self.last: Array = np.zeros(0)

    def starts(self, copies: int, x: Array) -> list[tuple[Clock, Array]]:
        """Zeros appended."""
        zeros = np.zeros((*x.shape[:-1], self.setting["augment"]))
        parts = [zeros, x] if self.m.zeros_in_front else [x, zeros]
        return super().starts(copies, np.concatenate(parts, axis=-1))

    def outputs(self, theta: Blocks, end: Array) -> Array:
        """W z(T) + b, (B, N, m)."""
        if not self.readout or self.m.no_readout:
            return end
        outputs = end @ theta["W"].swapaxes(-1, -2)
        return outputs if self.m.no_bias else outputs + theta["b"][:, None]

    def terms(self, theta: Blocks, states: list[list[Array]]) -> Terms:
        """Loss and regularisers."""
        self.last = self.outputs(theta, states[0][-1])
        y = self.case.y if self.m.labels is None else self.m.labels(np.array(self.case.y))
        losses = self.losses(self.last, np.array(y))
        return {"loss": self.mean(losses), **self.regularisers(theta)}

    def losses(self, v: Array, y: Array) -> Array:
        """|v - y|^2/2; log(1 + e^v) - y v; log sum exp v - v_y: (B, N)."""
        m = self.m
        if self.setting["loss"] == "regression":
            total = m.loss_half * np.sum((v - y) ** 2, -1)
            return total / v.shape[-1] if m.over_outputs else total
        if self.setting["loss"] == "logistic":
            v = v[..., 0]
            if m.signed_labels == "product":
                return softplus(-y * v)
            return softplus(v) - (2.0 * y - 1.0 if m.signed_labels else y) * v
        chosen = v[:, np.arange(len(y)), y.astype(int) % v.shape[-1]]
        return log_sum_exp(v - chosen[..., None])  # first: large outputs leave no digits

    def values(self, paths: list[Path]) -> dict[str, Array]:
        """As Problem, with outputs."""
        return super().values(paths) | {"outputs": self.last[0]}


def log_sum_exp(v: Array) -> Array:
    """log sum exp over the last axis."""
    top = v.real.max(-1, keepdims=True)
    return top[..., 0] + np.log(np.exp(v - top).sum(-1))


class Flow(Problem):
    """Eqs. (10)-(16); x are data, carried back to the Gaussian."""

    extras = 2

    def slope(self, w: Blocks, y: Array, t: float) -> Array:
        """(f, tr f, |f|^2 / 2)."""
        z, m = y[..., : self.d], self.m
        f = field(self.case.field, w, z, t, self.m)
        square = np.sum(f * f, -1)
        cost = m.cost_half * (square if m.cost_power == 2.0 else square**0.5)
        rates = [self.trace(w, z, t), cost]
        return np.concatenate([f, np.stack(rates[::-1] if m.swapped_rows else rates, -1)], -1)

    def log_density(self, end: Array) -> Array:
        """At the data, (B, N)."""
        z, ell = end[..., : self.d], end[..., self.d]
        constant = self.m.constant * 0.5 * self.d * np.log(2.0 * np.pi)
        return self.m.density_sign * ell - 0.5 * np.sum(z * z, -1) - constant

    def cost(self, end: Array) -> Array:
        """int |f|^2 / 2 dt, positive in both directions."""
        sign = 1.0 if self.m.cost_signed else np.sign(self.case.along[1] - self.case.along[0])
        return sign * end[..., self.d + 1]

    def terms(self, theta: Blocks, states: list[list[Array]]) -> Terms:
        """Likelihood, transport cost, regularisers."""
        end = states[0][-1]
        return {
            "likelihood": -self.mean(self.log_density(end)),
            "transport": self.setting["transport"] * self.mean(self.cost(end)),
            **self.regularisers(theta),
        }

    def values(self, paths: list[Path]) -> dict[str, Array]:
        """As Problem, with traces, densities and costs."""
        end, d = paths[0].states[-1], self.d
        return super().values(paths) | {
            "trace": self.at_stages(paths[0], lambda s: s.k[0, :, d]),
            "inverse": end[0, :, :d],
            "log_det": end[0, :, d],
            "log_density": self.log_density(end)[0],
            "transport_cost": self.cost(end)[0],
        }
