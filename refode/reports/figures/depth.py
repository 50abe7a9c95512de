"""Networks and their equations: gap against depth [SAP22]; successive approximations [LCTW18].

Steps learned with the weights [BCEOS19] are in depth_steps.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from refode import bases, datasets, plotting, verify
from refode.fields import Shallow
from refode.ode.neural_ode import NeuralODE
from refode.problems.supervised import Supervised
from refode.reports import outputs, tables
from refode.reports.depths import depth
from refode.reports.figures import depth_steps
from refode.training import train, train_msa

Array = np.ndarray

LAYERS = (8, 16, 32, 64, 128)
SWEEPS = 60
RHOS = (0.3, 1.0, 3.0)


def run(out: Path, progress: bool) -> bool:
    """Measure, draw, print; False where an order is not as derived."""
    folder = outputs.folder("depth", out)
    with tables.keeping("depth", folder) as kept:
        found = against_depth(progress)
        kept.add("depth", found)
        curves = sweeps(progress)
        kept.add("sweeps", curves)
        steps = depth_steps.learned(progress)
        kept.add("steps", steps)
        plotting.save(draw(found, curves, steps), folder, "depth")
    for kind, rows in found.items():
        tables.show(
            f"{kind} weights: is the network an equation?",
            ["layers", "gap", "bound", "D1"],
            [
                [str(n), f"{gap:.2e}", f"{bound:.2e}", f"{d1:.3g}"]
                for n, gap, bound, d1 in zip(LAYERS, *rows.values(), strict=True)
            ],
        )
    ends = {name: values[-1] for name, values in curves.items()}
    tables.show(
        f"Two moons, {SWEEPS} iterations",
        ["by", "value"],
        [[name, f"{value:.4f}"] for name, value in ends.items()],
    )
    tables.show(
        "Steps learned with the weights",
        ["data", "steps", "layers", "value", "right of 2000 new"],
        depth_steps.rows_of(steps),
    )
    checks = [
        *checks_of(found),
        ("L-BFGS ends lowest", min(ends, key=lambda name: ends[name]) == "L-BFGS"),
        *depth_steps.checks_of(steps),
    ]
    measured = {"depth": found, "sweeps": curves, "steps": steps}
    return tables.finish("depth", folder, checks, measured)


def checks_of(found: Any) -> list[tuple[str, bool]]:
    """Whether smooth weights make an equation, and independent ones none."""
    smooth, rough = found["smooth"], found["independent"]
    slope = verify.observed_order(smooth["gap"], 1.0 / np.array(LAYERS)).slopes[-1]
    return [
        ("smooth weights: the gap falls at order 1", abs(slope - 1.0) < 0.15),
        ("smooth weights: the bound holds", bool(np.less(smooth["gap"], smooth["bound"]).all())),
        ("smooth weights: D1 stays", smooth["d1"][-1] < 1.2 * smooth["d1"][0]),
        ("independent weights: D1 grows with the layers", rough["d1"][-1] > 8.0 * rough["d1"][0]),
    ]


def against_depth(progress: bool) -> dict[str, dict[str, list[float]]]:
    """Gap, bound and D1 of networks with weights smooth in time, and with independent ones."""
    x = np.random.default_rng(2).standard_normal((20, 2))
    found: dict[str, dict[str, list[float]]] = {}
    for kind in ("smooth", "independent"):
        rows: dict[str, list[float]] = {"gap": [], "bound": [], "d1": []}
        for n in LAYERS:
            if progress:
                print(f"depth: {kind} weights, {n} layers")
            ode = NeuralODE(Shallow(2, 8), "euler", n, basis=bases.PiecewiseConstant(n))
            report = depth(ode, ode.pack(_weights(ode, n, kind)), x)
            rows["gap"].append(float(report.gaps[0]))
            rows["bound"].append(report.bound)
            rows["d1"].append(report.d1)
        found[kind] = rows
    return found


def _weights(ode: NeuralODE, n: int, kind: str) -> dict[str, Array]:
    rng, s = np.random.default_rng(8), np.arange(n) / n
    made = {}
    for name, array in ode.unpack(ode.initial()).items():
        a, b = 0.5 * rng.standard_normal((2, *array.shape[1:]))
        if kind == "smooth":
            made[name] = np.stack([a * np.cos(2.0 * si) + b * np.sin(3.0 * si) for si in s])
        else:
            made[name] = 0.5 * rng.standard_normal(array.shape)
    return made


def sweeps(progress: bool) -> dict[str, list[float]]:
    """Best values so far by L-BFGS and by E-MSA, from one start with one readout."""
    x, y = datasets.two_moons(300, seed=0, noise=0.1)
    ode = NeuralODE(Shallow(2, 8), "euler", 8, (0.0, 2.0), bases.PiecewiseConstant(8))
    problem = Supervised(ode, "logistic", tikhonov=1e-3)
    theta = problem.initial(seed=1)
    noise = np.random.default_rng(1).standard_normal(ode.n_parameters)
    theta[: ode.n_parameters] += 0.3 * noise
    named: Any = {"theta0": theta, "progress": progress, "max_iter": SWEEPS}
    curves = {"L-BFGS": train(problem, x, y, tolerance=0.0, **named).history["value"]}
    for rho in RHOS:
        history = train_msa(problem, x, y, rho, **named).history
        curves[f"E-MSA, rho = {rho:g}"] = history["value"]
    return {name: _lowest(values) for name, values in curves.items()}


def _lowest(values: Array) -> list[float]:
    so_far = np.minimum.accumulate(values)
    return np.pad(so_far, (0, max(0, SWEEPS + 1 - len(so_far))), mode="edge").tolist()


def draw(found: Any, curves: Any, steps: Any) -> Any:
    """Above the gap, D1, training; below learned steps."""
    made = plotting.figure(7.2, 5.0)
    axes, below = made.subplots(2, 3)
    depth_steps.draw(below, steps)
    looks = {"smooth": (plotting.BLUE, "o-"), "independent": (plotting.VERMILION, "s-")}
    for kind, (colour, mark) in looks.items():
        rows = found[kind]
        axes[0].loglog(LAYERS, rows["gap"], mark, color=colour, label=f"{kind} weights")
        axes[1].loglog(LAYERS, rows["d1"], mark, color=colour, label=f"{kind} weights")
    bound = found["smooth"]["bound"]
    axes[0].loglog(LAYERS, bound, ":", color=plotting.BLUE, label="smooth, bound")
    for (name, values), colour in zip(curves.items(), plotting.CYCLE, strict=False):
        label = name.replace("rho", r"$\rho$")
        axes[2].semilogy(range(len(values)), values, color=colour, label=label)
    titles = ("distance from the equation", "roughness $D_1$", "two moons, 8 layers")
    for axis, title in zip(axes, titles, strict=True):
        axis.set(xlabel="layers", title=title)
    axes[2].set(xlabel="iteration or sweep", ylabel="best value so far")
    axes[0].set_ylabel(r"$\max |z_N - z(T)|$")
    for axis in axes[:2]:
        axis.set_xticks(LAYERS, [str(n) for n in LAYERS])
        axis.minorticks_off()
    axes[0].set_ylim(1e-2, 60.0)  # room for what the lines are
    axes[2].set_ylim(2e-2, 3.0)
    for axis in (axes[0], axes[2]):  # colours of the middle are those of the left
        axis.legend(loc="upper right")
    made.tight_layout()
    return made
