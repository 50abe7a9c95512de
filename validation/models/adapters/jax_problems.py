"""The four problems in JAX, whatever carries the states: a subclass's ``solve``.

States are arrays (N, d + k): z, then what is integrated beside it. All quantities of a case
are one compiled function of its inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from . import jax_parts as parts

#: A case runs once, so nearly all its time is compilation.
QUICK = {"xla_backend_optimization_level": 0}
Theta = dict[str, Any]
Slope = Callable[[Any, Any, Any], Any]  # of time, cell and all states
Results = dict[str, Any]


class Path(NamedTuple):
    """States (n_steps+1, N, D), and where the solver lets them be seen (n_steps, s, ...)."""

    states: Any
    times: Any = None
    stages: Any = None
    slopes: Any = None


class Problems:
    """An adapter for `refode.check`.

    ``forward`` says whether there is a forward mode: tangents, Hessian-vector products.
    """

    precision = "float64"
    forward = True

    def solve(self, case: Any, slope: Slope, start: Any, along: Any, theta: Theta) -> Path:
        """The states from ``start`` on; ``slope(theta)`` is the right-hand side."""
        raise NotImplementedError

    def results(self, case: Any) -> Results:
        """All quantities that this adapter has."""
        self.refuse(case)
        with jax.enable_x64(self.precision == "float64"):
            names = ("theta", "direction", "x", "y", "x_direction", "z_bar", "l_bar", "path_bar")
            given = jax.tree.map(jnp.asarray, {name: getattr(case, name) for name in names})
            run = partial(getattr(self, f"_{case.kind}"), case)
            return jax.device_get(jax.jit(run, compiler_options=QUICK)(given))

    def refuse(self, case: Any) -> None:
        """Raise Skip for a case that cannot be solved."""

    def _slope(self, case: Any, k: int, cost: bool = False) -> Callable[..., Any]:
        """f, the trace (k > 0) and |f|^2/2 besides, as a function of theta, t, cell, states.

        Noise is a constant of the compiled program: diffrax's BacksolveAdjoint takes no traced
        array but through its arguments.
        """
        f, d = parts.field(case.field), case.field["dim"]

        def slope(theta: Theta, t: Any, cell: Any, y: Any, e: Any) -> Any:
            z, w = y[:d], parts.weights(case, theta, t, cell)
            v = f(w, z, t)
            trace = [parts.trace(f, w, z, t, e)] if k else []
            return jnp.concatenate([v, jnp.array([*trace, *([0.5 * (v @ v)] if cost else [])])])

        every = jax.vmap(slope, (None, None, None, 0, 0))
        return lambda theta, t, cell, y: every(theta, t, cell, y, case.noise)

    def _derivatives(self, objective: Callable[[Theta], Any], given: Any) -> Results:
        """The objective's terms and what it finds on the way, their sum, and its derivatives."""
        theta, v = given["theta"], given["direction"]

        def total(theta: Theta) -> Any:
            terms, found = objective(theta)
            return sum(terms.values()), {**found, "terms": terms}

        both = jax.value_and_grad(total, has_aux=True)
        if self.forward:
            ((value, found), gradient), (_, product) = jax.jvp(both, (theta,), (v,))
        else:
            (value, found), gradient = both(theta)
            return found | {"total": value, "gradient": gradient}
        return found | {"total": value, "gradient": gradient, "hessian_vector": product}

    def _stages(self, path: Path, d: int) -> Results:
        if path.stages is None:
            return {}
        return {"stages": path.stages[..., :d], "slopes": path.slopes[..., :d]}

    # --- a bare ODE --------------------------------------------------------------------------

    def _ode(self, case: Any, given: Any) -> Results:
        d, theta, x = case.field["dim"], given["theta"], given["x"]
        k = 0 if case.scheme.symplectic else 1  # a shear's determinant is 1, of every substep
        slope = self._slope(case, k)

        def run(theta: Theta, x: Any) -> Any:
            path = self.solve(case, slope, jnp.pad(x, ((0, 0), (0, k))), case.along, theta)
            z, log_det = path.states[..., :d], path.states[-1, :, d:].sum(1)
            total = jnp.sum(given["path_bar"] * z) if given["path_bar"] is not None else 0.0
            if given["z_bar"] is not None:
                total = total + jnp.sum(given["z_bar"] * z[-1])
            if given["l_bar"] is not None:
                total = total + given["l_bar"] @ log_det
            found = {"trajectory": z, "log_det": log_det, **self._stages(path, d)}
            if k and path.stages is not None:
                found["trace"] = path.slopes[..., d]
            return total, found

        bars, found = jax.grad(run, (0, 1), has_aux=True)(theta, x)
        found |= {"theta_bar": bars[0], "x_bar": bars[1]}
        if self.forward and given["x_direction"] is not None:
            moves = (given["direction"], given["x_direction"])
            ends = jax.jvp(lambda *p: run(*p)[1]["trajectory"][-1], (theta, x), moves)
            found["tangent"] = ends[1]
        return found

    # --- supervised learning, eqs. (5)-(8) ---------------------------------------------------

    def _supervised(self, case: Any, given: Any) -> Results:
        p = case.problem
        start, slope = jnp.pad(given["x"], ((0, 0), (0, p["augment"]))), self._slope(case, 0)

        def objective(theta: Theta) -> tuple[Any, Results]:
            path = self.solve(case, slope, start, case.along, theta)
            z = path.states[-1]
            outputs = z @ theta["W"].T + theta["b"] if p["readout"] else z
            losses = jax.vmap(lambda v, y: parts.loss(p["loss"], v, y))(outputs, given["y"])
            found = {"trajectory": path.states, "outputs": outputs}
            found |= self._stages(path, case.field["dim"])
            return {"loss": losses.mean(), **parts.penalties(case, theta)}, found

        return self._derivatives(objective, given)

    # --- normalizing flows, eqs. (13)-(15) ---------------------------------------------------

    def _flow(self, case: Any, given: Any) -> Results:
        p, d = case.problem, case.field["dim"]
        start = jnp.pad(given["x"], ((0, 0), (0, 2)))
        sign = 1.0 if case.along[1] > case.along[0] else -1.0
        slope = self._slope(case, 1, cost=True)

        def objective(theta: Theta) -> tuple[Any, Results]:
            path = self.solve(case, slope, start, case.along, theta)
            end = path.states[-1]
            normal = jnp.sum(jax.scipy.stats.norm.logpdf(end[:, :d]), axis=1)
            log_density, cost = normal + end[:, d], sign * end[:, d + 1]
            terms = {
                "likelihood": -log_density.mean(),
                "transport": p["transport"] * cost.mean(),
                **parts.penalties(case, theta),
            }
            found = {
                "trajectory": path.states[..., :d],
                "inverse": end[:, :d],
                "log_det": end[:, d],
                "log_density": log_density,
                "transport_cost": cost,
                **self._stages(path, d),
            }
            if path.stages is not None:
                found["trace"] = path.slopes[..., d]
            return terms, found

        return self._derivatives(objective, given)

    # --- mean field games, eqs. (17)-(25) ----------------------------------------------------

    def _game(self, case: Any, given: Any) -> Results:
        d, theta = case.field["dim"], given["theta"]

        def objective(theta: Theta) -> tuple[Any, Results]:
            path, back = self._play(case, theta, given["x"]), self._arrive(case, theta, given["y"])
            found = {
                "trajectory": path.states[..., :d],
                "log_density_path": path.states[..., d],
                "path": path,
            }
            if back is not None:
                found |= {"inverse": back[0], "log_density": back[1]}
            return self._costs(case, theta, path.states[-1], back), found

        found = self._derivatives(objective, given)
        path = found.pop("path")
        if path.stages is not None:

            def at(y: Any, t: Any) -> Any:
                return parts.potential(case.field, theta, y[:d], t)

            every = jax.vmap(jax.vmap(jax.vmap(at, (0, None))))(path.stages, path.times)
            names = ("phi", "phi_gradient", "phi_time", "phi_laplacian")
            found |= dict(zip(names, every, strict=True))
        return found | self._stages(path, d)

    def _play(self, case: Any, theta: Theta, x: Any) -> Path:
        """(z, log rho, L, F, R) along the feedback -grad Phi / alpha."""
        p, d = case.problem, case.field["dim"]
        alpha, entropy = p["alpha"] or 1.0, p["entropy"]

        def slope(theta: Theta, t: Any, y: Any) -> Any:
            z, log_rho = y[:d], y[d]
            _, slope, rate, laplacian = parts.potential(case.field, theta, z, t)
            kinetic, Q = 0.5 / alpha * (slope @ slope), parts.energy(p["energy"], z)
            r = -rate + kinetic - Q
            if entropy:
                r = r - entropy * (log_rho + 1.0)
            running = kinetic if p["alpha"] else 0.0 * kinetic
            rest = [laplacian / alpha, running, Q + entropy * log_rho, _size(p, r)]
            return jnp.concatenate([-slope / alpha, jnp.stack(rest)])

        log_rho = jax.vmap(lambda x: parts.log_density(p["initial"], x))(x)[:, None]
        start = jnp.concatenate([x, log_rho, jnp.zeros((len(x), 3))], axis=1)
        every = jax.vmap(slope, (None, None, 0))
        return self.solve(
            case, lambda theta, t, cell, y: every(theta, t, y), start, case.along, theta
        )

    def _arrive(self, case: Any, theta: Theta, y: Any) -> Any:
        """Where samples of the target come from, and log rho(T) there."""
        if y is None:
            return None
        p, d = case.problem, case.field["dim"]
        alpha = p["alpha"] or 1.0

        def slope(theta: Theta, t: Any, y: Any) -> Any:
            _, slope, _, laplacian = parts.potential(case.field, theta, y[:d], t)
            return jnp.append(-slope, laplacian) / alpha

        every, start = jax.vmap(slope, (None, None, 0)), jnp.pad(y, ((0, 0), (0, 1)))
        path = self.solve(
            case, lambda theta, t, cell, y: every(theta, t, y), start, case.along[::-1], theta
        )
        z, log_det = path.states[-1, :, :d], path.states[-1, :, d]
        return z, jax.vmap(lambda x: parts.log_density(p["initial"], x))(z) - log_det

    def _costs(self, case: Any, theta: Theta, end: Any, back: Any) -> Any:
        p, d = case.problem, case.field["dim"]
        z = end[:, :d]
        terms = {"L": end[:, d + 1].mean(), "F": end[:, d + 2].mean()}
        if p["target"]:
            gap = end[:, d] - jax.vmap(lambda z: parts.log_density(p["target"], z))(z)
        if p["kind"] == "energy":
            paid = jax.vmap(lambda z: parts.energy(p["terminal_energy"], z))(z)
            terms["G"] = p["terminal"] * paid.mean()
        elif back is not None:
            terms["G"] = -p["terminal"] * back[1].mean()
        else:
            terms["G"] = p["terminal"] * gap.mean()
        terms["hjb"] = p["hjb"] * end[:, d + 3].mean()
        terms["hjb_terminal"] = jnp.zeros(())
        if p["hjb_terminal"]:
            if p["kind"] == "energy":
                derivative = p["terminal"] * paid
            else:
                derivative = p["terminal"] * (1.0 + gap if p["kind"] == "kl" else -jnp.exp(-gap))
            value = jax.vmap(lambda z: parts.phi(case.field, theta, z, case.along[1]))(z)
            terms["hjb_terminal"] = p["hjb_terminal"] * _size(p, value - derivative).mean()
        return terms


def _size(p: dict[str, Any], r: Any) -> Any:
    return r**2 if p["hjb_norm"] == "squared" else jnp.abs(r)
