"""Planned grids: what planning costs, and the same grids in other libraries.

The cost of a plan is put beside that of the solution, and of the gradient, on its grid, in turns.
SciPy's RK45 has to take the same steps. Where JAX and diffrax are installed, diffrax steps at the
times that were planned, by ``StepTo``: its gradients have to agree to 1e-10.

Usage: ``python -m validation.benchmarks.adaptive [--quick]``.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

import refode
from refode import bases, fields
from validation.benchmarks.interleaved import in_turns
from validation.common import Report, arguments, machine, print_table

ASKED = {"rtol": 1e-6, "atol": 1e-9}
#: Dimension, width, samples, basis, and whether the targets are held to.
CASES = {
    "d=2, width 50, 100 samples": (2, 50, 100, None, True),
    "d=2, width 50, 2,000 samples": (2, 50, 2000, None, True),
    "d=16, width 64, 2,000 samples": (16, 64, 2000, None, True),
    "d=2, width 50, 100 samples, Legendre(3)": (2, 50, 100, bases.Legendre(3), False),
    "d=2, width 50, 2,000 samples, Legendre(3)": (2, 50, 2000, bases.Legendre(3), False),
}
#: The most that plans may cost, in solutions and in gradients on the final grid.
STATE, GRADIENT = 1.5, 4.0


def given(d: int, width: int, n: int, basis: Any, scheme: str) -> tuple[Any, ...]:
    """An ode, theta, samples and a cotangent."""
    field = fields.Shallow(d, width)
    ode = refode.NeuralODE(field, scheme, basis=basis)
    rng = np.random.default_rng(0)
    return ode, 1.5 * ode.initial(1), rng.normal(size=(n, d)), rng.normal(size=(n, d)) / n


def cost(report: Report, name: str, rounds: int, seconds: float) -> list[str]:
    """Times of plans, solutions and gradients in turns, in processor time of all threads."""
    d, width, n, basis, held = CASES[name]
    ode, theta, x, z_bar = given(d, width, n, basis, "dopri5")
    state, _ = refode.adapt(ode, theta, x, **ASKED)
    watched, _ = refode.adapt(ode, theta, x, z_bar=z_bar, **ASKED)
    calls = {
        "plan": lambda: refode.adapt(ode, theta, x, **ASKED),
        "solution": lambda: state.solve(theta, x),
        "plan, gradient watched": lambda: refode.adapt(ode, theta, x, z_bar=z_bar, **ASKED),
        "gradient": lambda: watched.adjoint(theta, x, z_bar),
    }
    times = in_turns(calls, rounds, seconds)
    took = {k: statistics.median(processor for _, processor in v) for k, v in times.items()}
    ratios = took["plan"] / took["solution"], took["plan, gradient watched"] / took["gradient"]
    if held:
        report.at_most(f"{name}: plan in solutions", ratios[0], STATE)
        report.at_most(f"{name}: plan in gradients", ratios[1], GRADIENT)
    steps = str(state.n_steps), str(watched.n_steps)
    return [name, *steps, *(f"{t:.2f}" for t in took.values()), *(f"{r:.2f}" for r in ratios)]


def scipy_steps(report: Report) -> None:
    """RK45 takes the same steps for one sample."""
    ode, theta, x, _ = given(2, 50, 1, None, "dopri5")
    planned, _ = refode.adapt(ode, theta, x, controller="i", **ASKED)
    theirs = solve_ivp(
        lambda t, y: refode.evaluate.value(ode.field, theta, y[None], t)[0],
        ode.t_span,
        x[0],
        **ASKED,
    )
    nodes = planned.steps.nodes(ode.t_span)
    report.at_most("RK45: number of steps, difference", abs(len(nodes) - len(theirs.t)), 0)
    if len(nodes) == len(theirs.t):
        report.at_most("RK45: times, difference", float(np.abs(nodes - theirs.t).max()), 1e-7)
    error = float(np.abs(planned.solve(theta, x)[0] - theirs.y[:, -1]).max())
    report.at_most("RK45: states, difference", error, 1e-6)


def diffrax_gradients(report: Report) -> None:
    """The same grid in diffrax, backpropagated through."""
    import diffrax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    for scheme, solver in (("dopri5", diffrax.Dopri5()), ("tsit5", diffrax.Tsit5())):
        ode, theta, x, z_bar = given(2, 50, 100, None, scheme)
        planned, _ = refode.adapt(ode, theta, x, z_bar=z_bar, **ASKED)
        times = jnp.asarray(planned.steps.nodes(ode.t_span))

        def ends(
            flat: Any, x: Any, ode: Any = ode, solver: Any = solver, times: Any = times
        ) -> Any:
            W = {
                name: flat[place].reshape(ode.layout.shapes[name])[0]
                for name, place in ode.layout.slices.items()
            }

            def slope(t: Any, z: Any, W: Any) -> Any:
                return jnp.tanh(z @ W["W0"].T + W["b0"]) @ W["W1"].T + W["b1"]

            solved = diffrax.diffeqsolve(
                diffrax.ODETerm(slope),
                solver,
                times[0],
                times[-1],
                None,
                x,
                W,
                stepsize_controller=diffrax.StepTo(times),
                adjoint=diffrax.RecursiveCheckpointAdjoint(),
            )
            return solved.ys[0]

        reached, pull = jax.vjp(ends, jnp.asarray(theta), jnp.asarray(x))
        theta_bar, x_bar = pull(jnp.asarray(z_bar))
        ours = planned.solve(theta, x), *planned.adjoint(theta, x, z_bar)
        for what, one, two in zip(
            ("states", "gradient by theta", "gradient by x"),
            ours,
            (reached, theta_bar, x_bar),
            strict=True,
        ):
            apart = float(np.abs(one - np.asarray(two)).max() / np.abs(one).max())
            report.at_most(f"diffrax, {scheme}: {what}, relative difference", apart, 1e-10)


def main() -> int:
    """Measure and compare."""
    options = arguments(__doc__ or "", "adaptive").parse_args()
    report = Report(options.out)
    names = [n for n in CASES if "100 samples" in n] if options.quick else list(CASES)
    rounds, seconds = (3, 0.3) if options.quick else (7, 1.0)
    rows = [cost(report, name, rounds, seconds) for name in names]
    columns = ["case", "steps", "watched", "plan", "solution", "plan+", "gradient", "in solutions"]
    columns.append("in gradients")
    print_table("Milliseconds of processor time", columns, rows)
    report.json("adaptive.json", {"machine": machine(), "columns": columns, "rows": rows})
    scipy_steps(report)
    if importlib.util.find_spec("diffrax") and importlib.util.find_spec("jax"):
        diffrax_gradients(report)
    else:
        print("diffrax: not installed, left out (the extra `peers` has it)")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
