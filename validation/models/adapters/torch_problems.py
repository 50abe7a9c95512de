"""The four problems in PyTorch, whatever carries the states: a subclass's ``solve``.

States are tensors (N, d + k): z, then what is integrated beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.autograd import functional

from . import torch_models as models

Tensor = torch.Tensor
Theta = dict[str, Tensor]
Slope = Callable[[Any, int, Tensor], Tensor]  # of time, cell and state
Results = dict[str, Any]


@dataclass
class Path:
    """States, and where the solver lets them be seen (t, cell, Y, k) of every stage."""

    states: list[Tensor]
    stages: list[list[tuple[float, int, Tensor, Tensor]]] = field(default_factory=list)

    def recorded(self, what: Callable[..., Tensor]) -> Tensor:
        """``what`` of every stage's (t, cell, Y, k), stacked as (n_steps, s, N, ...)."""
        return torch.stack([torch.stack([what(*stage) for stage in step]) for step in self.stages])


class Problems:
    """An adapter for `refode.check`; ``twice`` says whether gradients can be differentiated."""

    precision = "float64"
    dtype = torch.float64
    twice = True

    def solve(
        self, case: Any, slope: Slope, start: Tensor, along: tuple[float, float], theta: Theta
    ) -> Path:
        """The states from ``start`` on; ``theta`` is what the slope depends on besides."""
        raise NotImplementedError

    def results(self, case: Any) -> Results:
        """All quantities that this adapter has."""
        torch.set_num_threads(1)  # of sizes this small, threads do nothing but wait for each other
        theta = {name: self.tensor(a).requires_grad_() for name, a in case.theta.items()}
        return getattr(self, f"_{case.kind}")(case, theta)

    def tensor(self, a: Any) -> Tensor:
        """An input in this adapter's precision."""
        return torch.tensor(a, dtype=self.dtype)

    def _given(self, case: Any, name: str) -> Any:
        given = getattr(case, name)
        return None if given is None else self.tensor(given)

    def _slope(self, case: Any, theta: Theta, k: int, cost: bool = False) -> Slope:
        """f, the trace (k > 0) and |f|^2/2 besides."""
        f, d = models.field(case.field), case.field["dim"]
        noise = self._given(case, "noise")

        def slope(t: Any, cell: int, y: Tensor) -> Tensor:
            z, w = y[:, :d], models.weights(case, theta, t, cell)
            parts = [v := f(w, z, t)]
            if k:
                parts.append(models.trace(f, w, z, t, noise)[:, None])
            if cost:
                parts.append(0.5 * (v**2).sum(1, keepdim=True))
            return torch.cat(parts, dim=1)

        return slope

    def _derivatives(
        self, objective: Callable[[Theta], dict[str, Tensor]], theta: Theta, direction: Any
    ) -> Results:
        """Terms, their sum, its gradient and, where it can be, Hessian-vector product."""
        names, blocks = list(theta), tuple(theta.values())
        terms = objective(theta)
        total = _sum(terms)
        gradient = torch.autograd.grad(total, blocks, materialize_grads=True)
        found = {
            "terms": terms,
            "total": total,
            "gradient": dict(zip(names, gradient, strict=True)),
        }
        if self.twice:
            v = tuple(self.tensor(direction[name]) for name in names)

            def value(*blocks: Tensor) -> Tensor:
                return _sum(objective(dict(zip(names, blocks, strict=True))))

            product = functional.vhp(value, blocks, v)[1]
            found["hessian_vector"] = dict(zip(names, product, strict=True))
        return found

    def _stages(self, path: Path, d: int) -> Results:
        if not path.stages:
            return {}
        return {
            "stages": path.recorded(lambda t, cell, y, k: y[:, :d]),
            "slopes": path.recorded(lambda t, cell, y, k: k[:, :d]),
        }

    # --- a bare ODE --------------------------------------------------------------------------

    def _ode(self, case: Any, theta: Theta) -> Results:
        d, names, x = case.field["dim"], list(theta), self.tensor(case.x).requires_grad_()
        k = 0 if case.scheme.symplectic else 1  # a shear's determinant is 1, of every substep

        def run(theta: Theta, x: Tensor) -> Path:
            start = torch.cat([x, x.new_zeros(len(x), k)], dim=1)
            return self.solve(case, self._slope(case, theta, k), start, case.along, theta)

        path = run(theta, x)
        states = torch.stack(path.states)
        z, log_det = states[..., :d], states[-1, :, d:].sum(1)
        found = {"trajectory": z, "log_det": log_det, **self._stages(path, d)}
        if k and path.stages:
            found["trace"] = path.recorded(lambda t, cell, y, k: k[:, d])
        if case.path_bar is not None:
            value = (self.tensor(case.path_bar) * z).sum()
        else:
            value = (self.tensor(case.z_bar) * z[-1]).sum()
        if case.l_bar is not None:
            value = value + (self.tensor(case.l_bar) * log_det).sum()
        bars = torch.autograd.grad(value, (*theta.values(), x), materialize_grads=True)
        found |= {"theta_bar": dict(zip(names, bars[:-1], strict=True)), "x_bar": bars[-1]}
        if self.twice and case.x_direction is not None:
            moves = [*(case.direction[name] for name in names), case.x_direction]
            found["tangent"] = functional.jvp(
                lambda *p: run(dict(zip(names, p[:-1], strict=True)), p[-1]).states[-1][:, :d],
                (*theta.values(), x),
                tuple(self.tensor(a) for a in moves),
            )[1]
        return found

    # --- supervised learning, eqs. (5)-(8) ---------------------------------------------------

    def _supervised(self, case: Any, theta: Theta) -> Results:
        p, x, y = case.problem, self.tensor(case.x), self.tensor(case.y)
        start = torch.nn.functional.pad(x, (0, p["augment"]))

        def run(theta: Theta) -> tuple[Path, Tensor]:
            path = self.solve(case, self._slope(case, theta, 0), start, case.along, theta)
            z = path.states[-1]
            return path, z @ theta["W"].T + theta["b"] if p["readout"] else z

        def objective(theta: Theta) -> dict[str, Tensor]:
            value = models.loss(p["loss"], run(theta)[1], y)
            return {"loss": value, **models.penalties(case, theta)}

        path, outputs = run(theta)
        found = {"trajectory": torch.stack(path.states), "outputs": outputs}
        found |= self._stages(path, case.field["dim"])
        return found | self._derivatives(objective, theta, case.direction)

    # --- normalizing flows, eqs. (13)-(15) ---------------------------------------------------

    def _flow(self, case: Any, theta: Theta) -> Results:
        p, d, x = case.problem, case.field["dim"], self.tensor(case.x)
        start = torch.nn.functional.pad(x, (0, 2))
        sign = 1.0 if case.along[1] > case.along[0] else -1.0

        def run(theta: Theta) -> tuple[Path, Tensor, Tensor]:
            slope = self._slope(case, theta, 1, cost=True)
            path = self.solve(case, slope, start, case.along, theta)
            end = path.states[-1]
            normal = -0.5 * (end[:, :d] ** 2).sum(1) - 0.5 * d * math.log(2.0 * math.pi)
            return path, normal + end[:, d], sign * end[:, d + 1]

        def objective(theta: Theta) -> dict[str, Tensor]:
            _, log_density, cost = run(theta)
            return {
                "likelihood": -log_density.mean(),
                "transport": p["transport"] * cost.mean(),
                **models.penalties(case, theta),
            }

        path, log_density, cost = run(theta)
        found = {
            "trajectory": torch.stack(path.states)[..., :d],
            "inverse": path.states[-1][:, :d],
            "log_det": path.states[-1][:, d],
            "log_density": log_density,
            "transport_cost": cost,
            **self._stages(path, d),
        }
        if path.stages:
            found["trace"] = path.recorded(lambda t, cell, y, k: k[:, d])
        return found | self._derivatives(objective, theta, case.direction)

    # --- mean field games, eqs. (17)-(25) ----------------------------------------------------

    def _game(self, case: Any, theta: Theta) -> Results:
        d = case.field["dim"]
        path, back = self._play(case, theta), self._arrive(case, theta)
        states = torch.stack(path.states)
        found: Results = {"trajectory": states[..., :d], "log_density_path": states[..., d]}
        found |= self._stages(path, d)
        if path.stages:
            for i, name in enumerate(("phi", "phi_gradient", "phi_time", "phi_laplacian")):
                found[name] = path.recorded(
                    lambda t, cell, y, k, i=i: models.potential(case.field, theta, y[:, :d], t)[i]
                )
        if back is not None:
            found |= {"inverse": back[0], "log_density": back[1]}
        return found | self._derivatives(lambda w: self._costs(case, w), theta, case.direction)

    def _play(self, case: Any, theta: Theta) -> Path:
        """(z, log rho, L, F, R) along the feedback -grad Phi / alpha."""
        p, d, x = case.problem, case.field["dim"], self.tensor(case.x)
        alpha, entropy = p["alpha"] or 1.0, p["entropy"]

        def slope(t: Any, cell: int, y: Tensor) -> Tensor:
            z, log_rho = y[:, :d], y[:, d]
            _, slope, rate, laplacian = models.potential(case.field, theta, z, t)
            kinetic, Q = 0.5 / alpha * (slope**2).sum(1), models.energy(p["energy"], z)
            r = -rate + kinetic - Q
            if entropy:
                r = r - entropy * (log_rho + 1.0)
            running = kinetic if p["alpha"] else torch.zeros_like(kinetic)
            columns = [laplacian / alpha, running, Q + entropy * log_rho, _size(p, r)]
            return torch.cat([-slope / alpha, torch.stack(columns, dim=1)], dim=1)

        log_rho = models.log_density(p["initial"], x)[:, None]
        start = torch.cat([x, log_rho, x.new_zeros(len(x), 3)], dim=1)
        return self.solve(case, slope, start, case.along, theta)

    def _arrive(self, case: Any, theta: Theta) -> tuple[Tensor, Tensor] | None:
        """Where samples of the target come from, and log rho(T) there."""
        if case.y is None:
            return None
        p, d, y = case.problem, case.field["dim"], self.tensor(case.y)
        alpha = p["alpha"] or 1.0

        def slope(t: Any, cell: int, y: Tensor) -> Tensor:
            _, slope, _, laplacian = models.potential(case.field, theta, y[:, :d], t)
            return torch.cat([-slope / alpha, laplacian[:, None] / alpha], dim=1)

        start = torch.nn.functional.pad(y, (0, 1))
        end = self.solve(case, slope, start, case.along[::-1], theta).states[-1]
        return end[:, :d], models.log_density(p["initial"], end[:, :d]) - end[:, d]

    def _costs(self, case: Any, theta: Theta) -> dict[str, Tensor]:
        p, d = case.problem, case.field["dim"]
        end, back = self._play(case, theta).states[-1], self._arrive(case, theta)
        terms = {"L": end[:, d + 1].mean(), "F": end[:, d + 2].mean()}
        gap = end[:, d] - models.log_density(p["target"], end[:, :d]) if p["target"] else None
        paid = models.energy(p.get("terminal_energy", []), end[:, :d])
        if back is not None:
            terms["G"] = -p["terminal"] * back[1].mean()
        else:
            terms["G"] = p["terminal"] * (paid if p["kind"] == "energy" else gap).mean()
        terms["hjb"] = p["hjb"] * end[:, d + 3].mean()
        terms["hjb_terminal"] = torch.zeros((), dtype=self.dtype)
        if p["hjb_terminal"]:
            if p["kind"] == "energy":
                derivative = p["terminal"] * paid
            else:
                kl = p["kind"] == "kl"
                derivative = p["terminal"] * (1.0 + gap if kl else -torch.exp(-gap))
            value = models.potential(case.field, theta, end[:, :d], case.along[1])[0]
            terms["hjb_terminal"] = p["hjb_terminal"] * _size(p, value - derivative).mean()
        return terms


def _sum(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def _size(p: dict[str, Any], r: Tensor) -> Tensor:
    return r**2 if p["hjb_norm"] == "squared" else r.abs()
