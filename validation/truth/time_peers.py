"""Adaptive steps, dense grids and stiff fields against libraries that share no code.

On the steps that diffrax accepts, its gradient and refode's on the same grid have to agree to
1e-10, and on a graded grid torchdiffeq's to 1e-12; where each plans for itself, to what tolerances
allow. Of a stiff neuron, whose flow is known exactly, and of two, sensitivities are taken forward
and back by casadi's SUNDIALS and by extensisq: all have to be within 1e-7 of the exact ones, and of
refode's.
casadi's adjoint and extensisq's need a word more than tolerances of the state, see below.

What is not installed is left out, by name: diffrax (the extra `peers`), torchdiffeq, casadi,
extensisq. Usage: ``python -m validation.truth.time_peers``.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np

import refode
from validation.benchmarks import stiff
from validation.common import Report, arguments, machine, print_table

Array = np.ndarray
D, WIDTH, N = 2, 16, 20
#: Relative, on the same grid; where each plans for itself, at a tolerance of 1e-9; absolute, of
#: stiff neurons.
SAME, SAME_TORCH, PLANNED, STIFF = 1e-10, 1e-12, 1e-7, 1e-7
RATES = (-50.0, -5000.0)
#: A row: what, how far off, and what is allowed.
Row = tuple[str, float, float]


def given(scheme: str, grid: Any = None) -> tuple[Any, Array, Array, Array]:
    """An ode, theta, samples and a cotangent."""
    ode = refode.NeuralODE(refode.fields.Shallow(D, WIDTH), scheme, grid=grid, n_steps=None)
    rng = np.random.default_rng(0)
    theta = 2.0 * ode.initial(1)
    return ode, theta, rng.normal(size=(N, D)), rng.normal(size=(N, D)) / N


def apart(found: Any, wanted: Any) -> float:
    """Largest difference, relative to the largest entry."""
    return float(np.abs(np.asarray(found) - wanted).max() / np.abs(wanted).max())


def compared(what: str, theirs: Any, ours: Any, allowed: float) -> list[Row]:
    """Rows of states, gradient by theta and gradient by x."""
    parts = ("states", "gradient by theta", "gradient by x")
    return [
        (f"{what}: {part}", apart(a, b), allowed)
        for part, a, b in zip(parts, theirs, ours, strict=True)
    ]


def _blocks(ode: Any, theta: Any) -> dict[str, Any]:
    return {
        name: theta[place].reshape(ode.layout.shapes[name])[0]
        for name, place in ode.layout.slices.items()
    }


def by_diffrax() -> list[Row]:
    """Its steps, accepted by its controller, and its gradient through them."""
    import diffrax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    rows = []
    for scheme, solver in (("dopri5", diffrax.Dopri5()), ("tsit5", diffrax.Tsit5())):
        ode, theta, x, z_bar = given(scheme)

        def slope(t: Any, z: Any, W: Any) -> Any:
            return jnp.tanh(z @ W["W0"].T + W["b0"]) @ W["W1"].T + W["b1"]

        def solved(theta: Any, x: Any, save: Any, ode: Any = ode, solver: Any = solver) -> Any:
            return diffrax.diffeqsolve(
                diffrax.ODETerm(slope),
                solver,
                *ode.t_span,
                None,
                x,
                _blocks(ode, theta),
                stepsize_controller=diffrax.PIDController(rtol=1e-6, atol=1e-9),
                saveat=save,
            )

        theta_, x_ = jnp.asarray(theta), jnp.asarray(x)
        times = np.asarray(solved(theta_, x_, diffrax.SaveAt(t0=True, steps=True)).ts)
        times = times[np.isfinite(times)]
        end, pull = jax.vjp(
            lambda theta, x, solved=solved: solved(theta, x, diffrax.SaveAt(t1=True)).ys[0],
            theta_,
            x_,
        )
        on_grid = given(scheme, times)[0]
        ours = on_grid.solve(theta, x), *on_grid.adjoint(theta, x, z_bar)
        rows += compared(
            f"diffrax {scheme}, its {len(times) - 1} steps",
            (end, *pull(jnp.asarray(z_bar))),
            ours,
            SAME,
        )
    return rows


def by_torchdiffeq() -> list[Row]:
    """Its rk4, which is the 3/8 rule, on a graded grid; its dopri5 by its own steps."""
    import torch
    import torchdiffeq

    grid = np.linspace(0.0, 1.0, 13) ** 1.5
    plain = given("dopri5")
    asked = {"rtol": 1e-9, "atol": 1e-11}
    planned, _ = refode.adapt(plain[0], *plain[1:3], z_bar=plain[3], **asked)
    cases: tuple[tuple[str, Any, dict[str, Any], float], ...] = (
        (
            "rk4 on a graded grid",
            given("rk4_38", grid)[0],
            {
                "method": "rk4",
                "options": {"grid_constructor": lambda f, y, t: torch.tensor(grid)},
            },
            SAME_TORCH,
        ),
        ("dopri5, each by its own steps", planned, {"method": "dopri5", **asked}, PLANNED),
    )
    rows = []
    _, theta, x, z_bar = plain
    for what, ode, how, allowed in cases:
        theta_, x_ = (torch.tensor(a, requires_grad=True) for a in (theta, x))
        W = _blocks(ode, theta_)

        def slope(t: Any, z: Any, W: Any = W) -> Any:
            return torch.tanh(z @ W["W0"].T + W["b0"]) @ W["W1"].T + W["b1"]

        ends = torch.tensor(ode.t_span, dtype=torch.float64)
        z = torchdiffeq.odeint(slope, x_, ends, **how)[-1]
        bars = torch.autograd.grad(z, (theta_, x_), torch.tensor(z_bar))
        ours = ode.solve(theta, x), *ode.adjoint(theta, x, z_bar)
        theirs = [part.detach().numpy() for part in (z, *bars)]
        rows += compared(f"torchdiffeq {what}", theirs, ours, allowed)
    return rows


# --- stiff neurons -----------------------------------------------------------------------------
class Stiff(NamedTuple):
    """Neurons, the fast one at a rate: weights, a sample, z(T) and the gradient of |z(T)|^2/2.

    One alone is known exactly; of two, the second is slow, and the first follows it.
    """

    about: str
    rate: float
    weights: dict[str, Array]
    x: Array
    z: Array
    gradient: Array
    refode: tuple[Array, Array]

    @property
    def flat(self) -> Array:
        """All weights as one vector."""
        return flat_of(self.weights)


def flat_of(weights: dict[str, Array]) -> Array:
    """W0 (k, 2), b0, W1 (2, k), b1 as one vector."""
    return np.concatenate([weights[name].ravel() for name in ("W0", "b0", "W1", "b1")])


def by_sdirk3(weights: dict[str, Array], x: Array) -> tuple[Array, Array]:
    """refode's z(T) and gradient, on a grid that is finer at the start."""
    field = refode.fields.Shallow(2, len(weights["W0"]))
    ode = refode.NeuralODE(field, "sdirk3", grid=np.linspace(0.0, 1.0, 4001) ** 4)
    theta = ode.pack({name: value[None] for name, value in weights.items()})
    z = ode.solve(theta, x[None])
    bars = ode.unpack(ode.adjoint(theta, x[None], z)[0])
    return z[0], flat_of({name: value[0] for name, value in bars.items()})


def two(rate: float) -> dict[str, Array]:
    """Weights of u_1' = rate (tanh u_1 - 0.4 tanh u_2), u_2' = 0.7 tanh u_1 - tanh u_2 + 0.3."""
    W0 = np.array([[1.5, -0.7], [0.4, 1.1]])
    W1 = np.linalg.solve(W0, [[rate, -0.4 * rate], [0.7, -1.0]])
    return {
        "W0": W0,
        "b0": np.array([0.3, -0.2]),
        "W1": W1,
        "b1": np.linalg.solve(W0, [0.0, 0.3]),
    }


@functools.cache
def stiff_cases() -> tuple[Stiff, ...]:
    """One neuron and two, at every rate."""
    found = []
    for rate in RATES:
        x = stiff.samples()[:1]
        one = stiff.weights(rate)
        ends, bars = stiff.exact(one, x)
        ours = by_sdirk3(one, x[0])
        found.append(Stiff("one neuron", rate, one, x[0], ends[0], flat_of(bars), ours))
        pair = two(rate)
        ours = by_sdirk3(pair, x[0])
        found.append(Stiff("two neurons", rate, pair, x[0], *ours, ours))
    return tuple(found)


def stiff_rows(what: str, case: Stiff, z: Any, gradient: Any) -> list[Row]:
    """Rows of absolute errors."""
    about = f"{what}, {case.about}, rate {case.rate:g}"
    return [
        (f"{about}: state", float(np.abs(np.ravel(z) - case.z).max()), STIFF),
        (f"{about}: gradient", float(np.abs(np.ravel(gradient) - case.gradient).max()), STIFF),
    ]


def by_refode() -> list[Row]:
    """sdirk3 against what is known exactly."""
    known = [case for case in stiff_cases() if case.about == "one neuron"]
    return [row for case in known for row in stiff_rows("refode sdirk3", case, *case.refode)]


def by_casadi() -> list[Row]:
    """CVODES: its forward sensitivities, and its adjoint.

    The adjoint's quadratures are outside the error control unless ``quad_err_con`` is set: 1e-4 at
    every tolerance. At a rate of -5000 it takes too many steps and gives up.
    """
    import casadi as ca

    rows = []
    for case in stiff_cases():
        k, flat = len(case.weights["W0"]), case.flat
        z, p = ca.SX.sym("z", 2), ca.SX.sym("p", flat.size)
        W0, b0 = ca.reshape(p[: 2 * k], 2, k).T, p[2 * k : 3 * k]
        W1, b1 = ca.reshape(p[3 * k : 5 * k], k, 2).T, p[5 * k :]
        slope = W1 @ ca.tanh(W0 @ z + b0) + b1
        about = {"x": z, "p": p, "ode": slope}
        options = {"abstol": 1e-12, "reltol": 1e-12, "quad_err_con": True, "max_num_steps": 10**5}
        flow = ca.integrator("flow", "cvodes", about, 0.0, 1.0, options)
        x0, q = ca.MX.sym("x0", 2), ca.MX.sym("q", flat.size)
        end = flow(x0=x0, p=q)["xf"]
        cost = 0.5 * ca.dot(end, end)
        d = ca.MX.sym("d", flat.size)  # one at a time: of many casadi makes adjoints
        forward = ca.Function("forward", [x0, q, d], [end, ca.jtimes(cost, q, d)])
        found = [forward(case.x, flat, unit) for unit in np.eye(flat.size)]
        gradient = [float(along) for _, along in found]
        rows += stiff_rows("casadi CVODES forward", case, np.array(found[0][0]), gradient)
        if case.rate > -1000.0:
            back = ca.Function("back", [x0, q], [end, ca.gradient(cost, q)])
            found = map(np.array, back(case.x, flat))
            rows += stiff_rows("casadi CVODES adjoint", case, *found)
    return rows


def by_extensisq() -> list[Row]:
    """Radau: forward sensitivities and the adjoint, whose tolerances are its own."""
    import extensisq

    def parts(z: Array, p: Any) -> tuple[Array, Array, Array, Array]:
        """W0, W1, b1 and tanh."""
        k, p = (len(p) - 2) // 5, np.array(p)
        W0, W1 = p[: 2 * k].reshape(k, 2), p[3 * k : 5 * k].reshape(2, k)
        return W0, W1, p[5 * k :], np.tanh(W0 @ z + p[2 * k : 3 * k])

    def f(t: float, z: Array, *p: float) -> Array:
        _, W1, b1, tanh = parts(z, p)
        return W1 @ tanh + b1

    def by_z(t: float, z: Array, *p: float) -> Array:
        W0, W1, _, tanh = parts(z, p)
        return (W1 * (1.0 - tanh**2)) @ W0

    def by_p(t: float, z: Array, *p: float) -> Array:
        _, W1, _, tanh = parts(z, p)
        by_u, eye = W1 * (1.0 - tanh**2), np.eye(2)
        by_W0 = (by_u[:, :, None] * z).reshape(2, -1)
        return np.hstack([by_W0, by_u, np.kron(eye, tanh), eye])

    rows = []
    asked = {"method": "Radau", "rtol": 1e-10, "atol": 1e-12}
    for case in stiff_cases():
        fixed = np.zeros((2, case.flat.size))
        given = (f, (0.0, 1.0), case.x, by_z, by_p, fixed, case.flat)
        S, end, _ = extensisq.sens_forward(*given, **asked)
        rows += stiff_rows("extensisq Radau forward", case, end, end @ S)
        gradient, _, solved, _ = extensisq.sens_adjoint_end(
            *given,
            lambda t, z, *p: np.array([0.5 * (z @ z)]),
            lambda t, z, *p: np.zeros(len(p)),
            lambda t, z, *p: np.asarray(z),
            **asked,
            atol_adj=1e-12,
            atol_quad=1e-12,
        )
        rows += stiff_rows("extensisq Radau adjoint", case, solved.y[:, -1], gradient)
    return rows


PEERS: dict[str, tuple[Callable[[], list[Row]], tuple[str, ...]]] = {
    "refode": (by_refode, ("refode",)),
    "diffrax": (by_diffrax, ("jax", "diffrax")),
    "torchdiffeq": (by_torchdiffeq, ("torch", "torchdiffeq")),
    "casadi": (by_casadi, ("casadi",)),
    "extensisq": (by_extensisq, ("extensisq",)),
}


def main(argv: list[str] | None = None) -> int:
    """Compare what is installed."""
    options = arguments(__doc__ or "", "time_peers").parse_args(argv)
    report = Report(options.out)
    rows: list[Row] = []
    versions, left_out = {"refode": refode.__version__}, []
    for name, (compare, packages) in PEERS.items():
        if all(importlib.util.find_spec(package) for package in packages):
            rows += compare()
            versions |= {p: metadata.version(p) for p in packages if p != "refode"}
        else:
            left_out.append(name)
    for what, off, allowed in rows:
        report.at_most(what, off, allowed)
    print_table(
        "Largest differences", ("what", "off"), [(what, f"{off:.1e}") for what, off, _ in rows]
    )
    print("versions: " + ", ".join(f"{p} {v}" for p, v in versions.items()))
    if left_out:
        print("not installed, left out: " + ", ".join(left_out))
    report.json("time_peers.json", {"machine": machine(), "versions": versions, "rows": rows})
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
