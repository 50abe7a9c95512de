"""Adjoint equations beside the discrete adjoint: orders, stiffness, training; [GKB19], [OR20]."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from refode import plotting, tableaus, verify
from refode.closed_forms import ShallowFlow
from refode.reports import outputs, tables
from refode.verify.gap import Given, Tableau, discrete, discretised
from refode.verify.gap import _path as path_of

Array = np.ndarray

KINDS = ("backsolve", "hermite", "linear")
LABELS = {
    "discrete": "discrete adjoint",
    "backsolve": "backsolve",
    "hermite": "stored, cubic",
    "linear": "stored, linear",
}
COLOURS = {
    "discrete": plotting.BLUE,
    "backsolve": plotting.VERMILION,
    "hermite": plotting.GREEN,
    "linear": plotting.ORANGE,
}
MARKS = {"discrete": "o", "backsolve": "s", "hermite": "^", "linear": "v"}
STEPS = (8, 16, 32, 64, 128, 256)
RATES = (-1.0, -4.0, -8.0, -12.0, -20.0, -30.0, -40.0, -50.0)
FINE = 512  # steps of the panel of stiffness
BEHIND = 24  # evaluations
EPS = float(np.finfo(float).eps)


def run(out: Path, progress: bool) -> bool:
    """Measure, draw, print; False where an order or a loss of digits is not as derived."""
    folder = outputs.folder("paradigms", out)
    with tables.keeping("paradigms", folder) as kept:
        if progress:
            print("paradigms: gaps against steps, against stiffness, and in training")
        orders = by_steps()
        kept.add("steps", orders)
        stiff = by_stiffness()
        kept.add("stiffness", stiff)
        curves = training()
        kept.add("training", curves)
        draw(folder, orders, stiff, curves)
    last = {kind: _slope(errors) for kind, errors in orders.items()}
    tables.show(
        "RK4: error of the gradient, and its order",
        ["gradient by", *map(str, STEPS), "order"],
        [
            [LABELS[kind], *(f"{e:.1e}" for e in errors), f"{last[kind]:.2f}"]
            for kind, errors in orders.items()
        ],
    )
    tables.show(
        f"One stiff neuron, RK4 with {FINE} steps: error of the gradient",
        ["gradient by", *(f"a = {rate:.0f}" for rate in RATES)],
        [[LABELS.get(k, k), *(f"{e:.1e}" for e in errors)] for k, errors in stiff.items()],
    )
    at = {kind: values[BEHIND] for kind, values in curves.items()}
    behind = at["discrete"] < 1e-3 * at["backsolve"]
    checks = [
        *(
            (f"{LABELS[kind]}: order {order}", abs(last[kind] - order) < 0.2)
            for kind, order in {"discrete": 4, "backsolve": 4, "hermite": 4, "linear": 2}.items()
        ),
        ("backsolve has hardly a digit left at a = -50", stiff["backsolve"][-1] > 1e-2),
        ("the discrete adjoint keeps its digits", stiff["discrete"][-1] < 1e-10),
        (f"training by backsolve is behind after {BEHIND} evaluations", behind),
    ]
    numbers = {"steps": orders, "stiffness": stiff, "training": curves}
    return tables.finish("paradigms", folder, checks, numbers)


def _slope(errors: list[float]) -> float:
    return float(verify.observed_order(errors[-3:], 1.0 / np.array(STEPS[-3:])).order)


# --- what is measured --------------------------------------------------------------------------
def _functions(W0: Array, b0: Array, W1: Array, b1: Array) -> Any:
    def f(t: float, z: Array) -> Array:
        return np.tanh(z @ W0.T + b0) @ W1.T + b1

    def vjp(t: float, z: Array, w: Array) -> tuple[Array, Array]:
        a = np.tanh(z @ W0.T + b0)
        u_bar = (w @ W1) * (1.0 - a * a)
        parts = (u_bar.T @ z, u_bar.sum(axis=0), w.T @ a, w.sum(axis=0))
        return u_bar @ W0, np.concatenate([part.ravel() for part in parts])

    return f, vjp


def _gradients(weights: Any, x: Array, z_bar: Any, n: int, scheme: str = "rk4") -> Any:
    """z(T), and gradients in theta by all four, of RK4 on [0, 1]; z_bar may be made of z(T)."""
    functions, tableau = _functions(*weights), Tableau(*tableaus.get(scheme).as_floats())
    given = Given(lambda k, of: functions, tableau, x, x, (0.0, 1.0))
    path = path_of(given, n)
    given = given._replace(z_bar=z_bar(path[-1]) if callable(z_bar) else z_bar)
    found = {"discrete": discrete(given, path)[1]}
    return path[-1], found | {kind: discretised(given, path, kind)[1] for kind in KINDS}


def _weights(flow: ShallowFlow) -> tuple[Array, Array, Array, Array]:
    return flow.W0, flow.b0, flow.W1, flow.b1


def _errors(flow: ShallowFlow, n: int) -> dict[str, float]:
    """Relative errors of the gradients against the exact one, (D158)."""
    x, z_bar = np.random.default_rng(3).standard_normal((2, 4, flow.dim))
    right = flow.adjoint(x, z_bar)[0]
    _, found = _gradients(_weights(flow), x, z_bar, n)
    size = float(np.linalg.norm(right))
    return {kind: float(np.linalg.norm(g - right)) / size for kind, g in found.items()}


def by_steps() -> dict[str, list[float]]:
    """Errors of the gradient of a mild flow."""
    flow = ShallowFlow.drawn(3, [1.4, -2.1])
    rows = [_errors(flow, n) for n in STEPS]
    return {kind: [row[kind] for row in rows] for kind in LABELS}


def by_stiffness() -> dict[str, list[float]]:
    """The same of one neuron in the plane, ever stiffer; and what rounding is multiplied by."""
    flows = [ShallowFlow.drawn(2, [rate]) for rate in RATES]
    with np.errstate(all="ignore"):
        rows = [_errors(flow, FINE) for flow in flows]
    x = np.random.default_rng(3).standard_normal((2, 4, 2))[0]
    grown = [float(EPS * np.exp(-flow.log_det(x)[1].min())) for flow in flows]
    found = {kind: [min(row[kind], 1e30) for row in rows] for kind in LABELS}
    return found | {"rounding that came back": grown}


def training(iterations: int = 60) -> dict[str, list[float]]:
    """Values of L-BFGS by each gradient: weights of a stiff flow are sought, 24 steps of RK4."""
    from scipy.optimize import minimize

    truth = ShallowFlow.drawn(2, [-40.0], seed=1)
    rng = np.random.default_rng(8)
    x, shapes = rng.standard_normal((40, 2)), [a.shape for a in _weights(truth)]
    start = truth.theta + 0.3 * rng.standard_normal(truth.theta.size)
    target = truth.solve(x)
    cuts = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]
    curves = {}
    for kind in LABELS:
        best: list[float] = []

        def objective(theta: Array, kind: str = kind, best: list[float] = best) -> Any:
            weights = [a.reshape(s) for a, s in zip(np.split(theta, cuts), shapes, strict=True)]
            with np.errstate(all="ignore"):
                z, found = _gradients(weights, x, lambda z: (z - target) / len(x), 24)
            value, gradient = float(np.sum((z - target) ** 2)) / (2 * len(x)), found[kind]
            if not (np.isfinite(value) and np.isfinite(gradient).all()):
                value, gradient = 1e10, np.zeros_like(theta)
            best.append(min([value, *best[-1:]]))
            return value, gradient

        options = {"maxfun": iterations, "maxiter": iterations, "ftol": 0.0, "gtol": 0.0}
        minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
        best += best[-1:] * (iterations - len(best))  # a line search that gave up
        curves[kind] = best[:iterations]
    return curves


# --- the picture ---------------------------------------------------------------------------
def draw(folder: Path, orders: Any, stiff: Any, curves: Any) -> list[Path]:
    """Three panels: steps, stiffness, training."""
    made = plotting.figure(7.2, 2.5)
    axes = made.subplots(1, 3)
    for kind in LABELS:
        look = {"color": COLOURS[kind], "label": LABELS[kind]}
        axes[0].loglog(STEPS, orders[kind], MARKS[kind] + "-", **look)
        axes[1].semilogy([-a for a in RATES], stiff[kind], MARKS[kind] + "-", **look)
        axes[2].semilogy(range(1, len(curves[kind]) + 1), curves[kind], **look)
    grown = stiff["rounding that came back"]
    axes[1].semilogy([-a for a in RATES], grown, "k:", label=r"$\varepsilon/\sigma_{\min}$")
    axes[1].set_ylim(1e-17, 1e6)
    axes[0].set(xlabel="steps", ylabel="relative error of the gradient", title="RK4, mild flow")
    axes[1].set(xlabel="stiffness $-a$", title=f"one stiff neuron, {FINE} steps")
    axes[2].set(xlabel="evaluations", ylabel="best value so far", title="L-BFGS, $a=-40$, 24 steps")
    axes[0].set_xticks(STEPS, [str(n) for n in STEPS])
    axes[0].minorticks_off()
    handles, labels = axes[1].get_legend_handles_labels()
    made.legend(handles, labels, loc="lower center", ncols=5, bbox_to_anchor=(0.5, -0.06))
    made.tight_layout()
    return plotting.save(made, folder, "paradigms")
