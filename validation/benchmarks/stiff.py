"""A stiff neuron by implicit schemes and by explicit ones, each with its fewest equal steps.

One hidden unit in two dimensions, w.v = a = -5000 over one unit of time: u = w.z + b solves
u' = a tanh u, so that the flow and the derivatives of the mean of |z(T)|^2/2 in all eight weights
are known exactly. For every scheme the fewest equal steps are searched with which the end and
the gradient are right to 1e-6; then value and gradient at these steps are timed in turns.
Where casadi is installed, SUNDIALS' CVODES stands beside: its states and sensitivities have to
agree with the exact ones as well, to 1e-7.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from validation import common

A, T, BOUND, FASTER, PEER = -5000.0, 1.0, 1e-6, 10.0, 1e-7
SAMPLES = 256
SCHEMES = ("sdirk3", "sdirk2", "ros2", "implicit_midpoint", "gauss2", "dopri5", "rk4")
MOST = 2**17  # steps
Array = np.ndarray


def weights(a: float = A) -> dict[str, Array]:
    """W0 (1, 2), b0 (1,), W1 (2, 1), b1 (2,) with W0 W1 = a and W0 b1 = 0."""
    w, v = np.array([1.5, -0.7]), np.array([0.8, 1.1])
    v = v + w * (a - w @ v) / (w @ w)
    return {"W0": w[None], "b0": np.array([0.3]), "W1": v[:, None], "b1": np.zeros(2)}


def samples() -> Array:
    """Points of order one."""
    return np.random.default_rng(0).standard_normal((SAMPLES, 2))


def exact(w: dict[str, Array], x: Array) -> tuple[Array, dict[str, Array]]:
    """z(T), and the gradient of the mean of |z(T)|^2/2 by every weight, at b1 = 0.

    u(t) = asinh(e^{at} sinh u0), z = x + T b1 + v (u - u0 - T w.b1)/a; a perturbation of b1 moves u
    by w.b1 times the integral over s of du(T)/du(s).
    """
    W, v, b = w["W0"][0], w["W1"][:, 0], w["b0"][0]
    a, n = float(W @ v), len(x)
    e, u0 = np.exp(a * T), x @ W + b
    u = np.arcsinh(e * np.sinh(u0))
    z = x + v * ((u - u0) / a)[:, None]
    z_bar = z / n
    along = z_bar @ v  # cotangent of (u - u0)/a
    by_u0 = e * np.cosh(u0) / np.cosh(u)  # du/du0; du/da = T tanh u
    u0_bar = along * (by_u0 - 1.0) / a
    a_bar = np.sum(along * (T * np.tanh(u) / a - (u - u0) / a**2))
    lower = e * (np.cosh(u0) - u0 * np.sinh(u0))
    moved = (np.cosh(u) - u * np.sinh(u) - lower) / (-a * np.cosh(u))
    b1_bar = T * z_bar.sum(axis=0) + W * np.sum(along * (moved - T) / a)
    return z, {
        "W0": (u0_bar @ x + a_bar * v)[None],
        "b0": np.array([u0_bar.sum()]),
        "W1": ((z_bar * ((u - u0) / a)[:, None]).sum(axis=0) + a_bar * W)[:, None],
        "b1": b1_bar,
    }


def gradient(scheme: str, n_steps: int) -> Callable[[], tuple[Array, dict[str, Array]]]:
    """A call that solves, and pulls the cotangent of the cost back: z(T) and the gradient."""
    import refode

    ode = refode.NeuralODE(refode.fields.Shallow(2, 1), scheme, n_steps, (0.0, T))
    theta = ode.pack({name: value[None] for name, value in weights().items()})
    x = samples()

    def call() -> tuple[Array, dict[str, Array]]:
        z = ode.solve(theta, x)
        theta_bar, _ = ode.adjoint(theta, x, z / len(x))
        return z, {name: value[0] for name, value in ode.unpack(theta_bar).items()}

    return call


def error(found: tuple[Array, dict[str, Array]], wanted: tuple[Array, dict[str, Array]]) -> float:
    """The largest absolute error of an entry of z or of the gradient."""
    parts = [found[0] - wanted[0], *(found[1][name] - wanted[1][name] for name in wanted[1])]
    return float(max(np.abs(part).max() for part in parts))


def fewest(scheme: str, wanted: tuple[Array, dict[str, Array]]) -> tuple[int, float]:
    """The fewest equal steps with an error of at most BOUND, and that error.

    Below them every number of steps that was tried fails: doubled until one serves, then halved.
    """

    def off(n: int) -> float:
        try:
            found = error(gradient(scheme, n)(), wanted)
        except ValueError:  # the path leaves the finite range
            return np.inf
        return found if np.isfinite(found) else np.inf

    few, many = 0, 1
    while (least := off(many)) > BOUND:
        few, many = many, 2 * many
        if many > MOST:
            return many, np.inf
    while many - few > 1:
        middle = (few + many) // 2
        if (found := off(middle)) <= BOUND:
            many, least = middle, found
        else:
            few = middle
    return many, least


def timed(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Milliseconds of each call, the median over rounds in turns."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            found[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(times)) for name, times in found.items()}


def sundials(n_samples: int) -> tuple[Array, dict[str, Array]] | None:
    """The same of the first samples by casadi's CVODES, one by one; None without casadi.

    States go with their sensitivities, all of them under error control, which the quadratures of
    its adjoint are not as it comes: validation/truth/time_peers.py has that one.
    """
    if importlib.util.find_spec("casadi") is None:
        return None
    import casadi as ca

    w, x = weights(), samples()[:n_samples]
    flat = np.concatenate([w[name].ravel() for name in ("W0", "b0", "W1", "b1")])
    z, p, S = ca.SX.sym("z", 2), ca.SX.sym("p", 7), ca.SX.sym("S", 2, 7)
    slope = p[3:5] * ca.tanh(p[0] * z[0] + p[1] * z[1] + p[2]) + p[5:7]
    moves = ca.jacobian(slope, z) @ S + ca.jacobian(slope, p)
    both = {"x": ca.vertcat(z, ca.vec(S)), "p": p, "ode": ca.vertcat(slope, ca.vec(moves))}
    options = {"abstol": 1e-13, "reltol": 1e-12, "max_num_steps": 100_000}
    flow = ca.integrator("flow", "cvodes", both, 0.0, T, options)
    ends, total = [], np.zeros(7)
    for row in x:
        found = np.array(flow(x0=np.concatenate([row, np.zeros(14)]), p=flat)["xf"]).ravel()
        ends.append(found[:2])
        total += found[:2] @ found[2:].reshape(7, 2).T / n_samples
    cut = {"W0": total[:2][None], "b0": total[2:3], "W1": total[3:5][:, None], "b1": total[5:]}
    return np.array(ends), cut


def main(argv: list[str] | None = None) -> int:
    """Search, time, compare; the exit status says whether the checks held."""
    args = common.arguments(__doc__ or "", "stiff").parse_args(argv)
    report = common.Report(args.out)
    wanted = exact(weights(), samples())
    schemes = ("sdirk3", "dopri5") if args.quick else SCHEMES
    steps = {scheme: fewest(scheme, wanted) for scheme in schemes}
    solved = {s: n for s, (n, off) in steps.items() if np.isfinite(off)}
    calls = {scheme: gradient(scheme, n) for scheme, n in solved.items()}
    times = timed(calls, 5 if args.quick else 21)
    rows = [
        (s, str(solved[s]), f"{steps[s][1]:.1e}", f"{times[s]:.3g}")
        if s in solved
        else (s, f"> {MOST}", "-", "-")
        for s in schemes
    ]
    common.print_table(
        f"a = {A:g}, d = 2, {SAMPLES} samples: fewest equal steps for {BOUND:g}",
        ("scheme", "steps", "error", "value and gradient, ms"),
        rows,
    )
    ratio = times["dopri5"] / times["sdirk3"]
    report.at_least("dopri5's time by sdirk3's, each with its fewest steps", ratio, FASTER, "times")
    peer = sundials(8)
    if peer is not None:
        off = error(peer, exact(weights(), samples()[:8]))
        report.at_most("CVODES' states and sensitivities from the exact ones", off, PEER)
    report.json("stiff.json", {"steps": steps, "ms": times, "ratio": ratio})
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
