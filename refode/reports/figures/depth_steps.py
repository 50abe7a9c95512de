"""Steps learned with the weights, and layers that go with them [BCEOS19]: donut2d and spiral."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode import bases, datasets, plotting
from refode.fields import Shallow
from refode.ode.neural_ode import NeuralODE
from refode.problems.supervised import Supervised
from refode.training import prolong, train

Array = np.ndarray

LAYERS, LENGTH = 12, 6.0
ROUNDS, ITERATIONS = 5, 200
DATA = ("donut2d", "spiral")


def learned(progress: bool) -> dict[str, dict[str, Any]]:
    """By data: fixed steps, steps by the softmax, and on the simplex with layers pruned away."""
    found = {}
    for name in DATA:
        x, y = datasets.get(name)(300, seed=0)
        new, labels = datasets.get(name)(2000, seed=1)
        ode = NeuralODE(
            Shallow(3, 4), "euler", LAYERS, (0.0, LENGTH), bases.PiecewiseConstant(LAYERS)
        )
        fixed = Supervised(ode, "logistic", augment=1, tikhonov=1e-3)
        start = fixed.initial()
        start += 0.3 * np.random.default_rng(2).standard_normal(start.size)
        rows: dict[str, Any] = {}
        for rule in ("fixed", "softmax", "simplex"):
            if progress:
                print(f"depth: {name}, steps {rule}")
            problem = fixed.with_learned_steps(rule)
            theta = prolong(start, fixed, problem)
            rounds = ROUNDS if rule == "simplex" else 1
            row, problem, theta = _trained(problem, theta, x, y, rounds)
            right = float(np.mean(problem.predict_label(theta, new) == labels))
            rows[rule] = {**row, "right": right}
        found[name] = rows
    return found


def _trained(
    problem: Any, theta: Array, x: Array, y: Array, rounds: int
) -> tuple[dict[str, Any], Any, Array]:
    """Best values so far, the steps of the layers there were at first, and what is left."""
    values: list[float] = []
    layers, same = np.arange(LAYERS), True
    for _ in range(rounds):
        done = train(
            problem,
            x,
            y,
            theta0=theta,
            max_iter=ROUNDS * ITERATIONS // rounds,
            tolerance=1e-5,
            progress=False,
        )
        values += done.history["value"].tolist()
        theta = done.x
        if rounds > 1:
            left = problem.pruned(theta)
            before, after = problem.predict(theta, x), left.problem.predict(left.theta, x)
            same = same and np.array_equal(before, after)
            problem, theta, layers = left.problem, left.theta, layers[left.kept]
    steps = np.zeros(LAYERS)
    steps[layers] = problem.ode.step_sizes(theta[: problem.ode.n_parameters])
    row = {
        "values": np.minimum.accumulate(values).tolist(),
        "steps": steps.tolist(),
        "layers": len(layers),
        "same": same,
    }
    return row, problem, theta


def rows_of(found: Any) -> list[list[str]]:
    """Lines of a table."""
    return [
        [name, rule, str(row["layers"]), f"{row['values'][-1]:.4f}", f"{row['right']:.3f}"]
        for name, rows in found.items()
        for rule, row in rows.items()
    ]


def checks_of(found: Any) -> list[tuple[str, bool]]:
    """What must hold."""
    ends = {rule: row["values"][-1] for rule, row in found["spiral"].items()}
    return [
        ("learned steps leave layers out", all(found[n]["simplex"]["layers"] < 10 for n in DATA)),
        ("what is left predicts the same bits", all(found[n]["simplex"]["same"] for n in DATA)),
        ("spiral: fewer layers do as well", ends["simplex"] < 1.2 * ends["fixed"]),
    ]


def draw(axes: Any, found: Any) -> None:
    """The steps on both data, and how the spiral was learned."""
    looks = {"softmax": plotting.ORANGE, "simplex": plotting.BLUE}
    for axis, name in zip(axes, DATA, strict=False):
        for k, (rule, colour) in enumerate(looks.items()):
            at = np.arange(1, LAYERS + 1) + 0.36 * (k - 0.5)
            axis.bar(at, found[name][rule]["steps"], 0.36, color=colour, label=rule)
        axis.axhline(LENGTH / LAYERS, color="0.3", linestyle="--", label="fixed")
        left = found[name]["simplex"]["layers"]
        axis.set(xlabel="layer", title=f"{name}: {left} of {LAYERS} layers left")
        axis.set_xticks(range(1, LAYERS + 1, 2))
    axes[0].set_ylabel("step $h_n$")
    axes[0].legend(loc="upper center")
    for rule, colour in {"fixed": "0.3", **looks}.items():
        values = found["spiral"][rule]["values"]
        axes[2].loglog(np.arange(1, len(values) + 1), values, color=colour, label=rule)
    axes[2].set(xlabel="iteration", ylabel="best value so far", title="spiral")
    axes[2].legend(loc="lower left")
