"""Value and gradient of supervised learning and of flows against JAX's differentiation.

Every field, in several schemes, bases and losses: the same formulas, written apart in
jax_models.py, differentiated by a program that knows nothing of adjoints derived by hand.
Flows as well, in jax_flows.py, with the trace from JAX's Jacobian. Both gradients are exact but
for rounding; each named block must agree to 1e-12, relative to its own norm. Controls must be
seen to differ: JAX with another scheme of the same order, and with the sign printed in (13).
"""

from __future__ import annotations

import sys
import time
from typing import Any, NamedTuple

import numpy as np

import refode
from validation import common
from validation.models import jax_flows

TOLERANCE = 1e-12
CONTROL = 1e-7  # the 3/8 rule's distance from the classical RK4 is some 1e-5 here
N_SAMPLES, N_STEPS, T_SPAN = 20, 6, (0.3, 1.5)
LOSSES = ("regression", "logistic", "softmax")
BASES = (
    ("Constant", 1),
    ("PiecewiseConstant", 3),
    ("PiecewiseLinear", 4),
    ("Legendre", 3),
    ("BSpline", 5),
)


class GradientCase(NamedTuple):
    """A model; ``peer`` names a field of jax_models and its arguments."""

    field: Any
    peer: tuple[Any, ...]
    scheme: str = "rk4"
    basis: tuple[str, int] = ("PiecewiseConstant", 3)
    loss: str = "logistic"
    readout: bool = True
    augment: int = 0
    tikhonov: float = 0.0
    smoothness: float = 0.0
    jax_scheme: str = ""  # another scheme on JAX's side: the control

    @property
    def kind(self) -> str:
        """The field's class."""
        return type(self.field).__name__

    @property
    def control(self) -> str:
        """What is wrong on purpose, or nothing."""
        return "3/8 rule" if self.jax_scheme else ""

    @property
    def label(self) -> str:
        """What tells this case from the others."""
        extras = [] if self.readout else ["no readout"]
        extras += ["t"] if self.field.time else []
        extras += [f"augment {self.augment}"] if self.augment else []
        extras += [
            f"{n} {v}"
            for n, v in (("tikhonov", self.tikhonov), ("smoothness", self.smoothness))
            if v
        ]
        activation = getattr(self.field, "activation", ())
        extras += [activation if isinstance(activation, str) else "-".join(activation)]
        parts = [
            f"{self.kind} d={self.field.dim}",
            self.scheme,
            f"{self.basis[0]}({self.basis[1]})",
            self.loss,
        ]
        return ", ".join(parts + [e for e in extras if e])


def cases(quick: bool) -> list[GradientCase]:
    """All cases; the quick ones need few kernels."""
    f = refode.fields
    shallow = GradientCase(f.Shallow(3, 8), ("shallow",))
    chosen = [
        shallow._replace(scheme=s, basis=b, loss=loss)
        for s in ("rk4", "dopri5", "euler")
        for b in BASES
        for loss in LOSSES
    ]
    if quick:
        chosen = chosen[::7]
    linear = ("PiecewiseLinear", 4)
    chosen += [
        shallow._replace(loss="regression", readout=False),
        shallow._replace(augment=1, tikhonov=0.3),
        shallow._replace(basis=linear, tikhonov=0.1, smoothness=0.2),
        GradientCase(f.Shallow(5, 8), ("shallow",), "dopri5", linear, "softmax"),  # the BLAS body
        GradientCase(f.Shallow(3, 8, time=True), ("shallow", True), "rk4", linear),
        GradientCase(f.Shallow(5, 8, time=True), ("shallow", True), "dopri5", linear, "softmax"),
    ]
    if not quick:
        chosen += other_fields()
    return [*chosen, shallow._replace(jax_scheme="rk4_38")]


def other_fields() -> list[GradientCase]:
    """Every other field, each activation, with and without t, by turns in scheme and loss."""
    f = refode.fields
    linear, spline = ("PiecewiseLinear", 4), ("BSpline", 5)
    three = ("softplus", "sine", "tanh")
    found = [
        GradientCase(f.Affine(3), ("affine",)),
        GradientCase(f.Affine(3, time=True), ("affine", True), "dopri5", linear, "softmax"),
        GradientCase(f.MLP(3, (6, 5, 4), three), ("mlp", three)),
        GradientCase(f.MLP(3, (6, 5, 4), three, time=True), ("mlp", three, True), "dopri5", linear),
        GradientCase(
            f.MLP(3, (6,), "identity"), ("mlp", ("identity",)), "euler", spline, "softmax"
        ),
    ]
    for i, activation in enumerate(("tanh", "softplus", "sine", "identity")):
        for timed in (False, True):
            basis, scheme = (linear, "dopri5") if timed else (BASES[i], "rk4")
            halves, loss = "verlet" if timed else "rk4", LOSSES[i % 3]
            found += [
                GradientCase(
                    f.Antisymmetric(3, 0.2, activation, timed),
                    ("antisymmetric", 0.2, activation, timed),
                    scheme,
                    basis,
                    loss,
                ),
                GradientCase(
                    f.Parabolic(3, 5, activation, timed),
                    ("parabolic", activation, timed),
                    scheme,
                    basis,
                    loss,
                ),
                GradientCase(
                    f.Hamiltonian(4, activation, timed),
                    ("hamiltonian", activation, timed),
                    halves,
                    basis,
                    loss,
                ),
                GradientCase(
                    f.Leapfrog(4, 5, activation, timed),
                    ("leapfrog", activation, timed),
                    halves,
                    basis,
                    loss,
                ),
            ]
    return found


def data(case: GradientCase, problem: Any) -> tuple[np.ndarray, ...]:
    """Random theta, x, y; no weight is zero, and no two basis coefficients are equal."""
    rng = np.random.default_rng(7)
    theta = problem.initial(seed=0) + 0.3 * rng.standard_normal(problem.n_parameters)
    x = rng.standard_normal((N_SAMPLES, problem.n_inputs))
    if case.loss == "regression":
        return theta, x, rng.standard_normal((N_SAMPLES, problem.n_outputs))
    return theta, x, rng.integers(0, max(problem.n_outputs, 2), N_SAMPLES)


def ours(case: GradientCase) -> tuple[Any, Any]:
    """The problem and its data."""
    kind, J = case.basis
    basis = refode.bases.Constant() if kind == "Constant" else getattr(refode.bases, kind)(J)
    ode = refode.NeuralODE(case.field, case.scheme, N_STEPS, T_SPAN, basis)
    m = {"regression": 2, "logistic": 1, "softmax": 4}[case.loss] if case.readout else ode.dim
    problem = refode.Supervised(
        ode, case.loss, m, case.augment, case.readout, case.tikhonov, case.smoothness
    )
    return problem, data(case, problem)


def theirs(
    case: GradientCase, problem: Any, theta: Any, x: Any, y: Any
) -> tuple[float, dict[str, Any]]:
    """Value and gradient by JAX."""
    import jax
    from jax import numpy as jnp

    from validation.models import jax_models

    name, *args = case.peer
    field, scheme = getattr(jax_models, name)(*args), case.jax_scheme or case.scheme
    solve = jax_models.Solver(field, scheme, N_STEPS, T_SPAN, *case.basis)
    ode_names, J = problem.ode.unpack(theta[: problem.ode.n_parameters]), case.basis[1]
    padded = np.pad(x, ((0, 0), (0, case.augment)))

    def objective(p: Any) -> Any:
        F = solve({n: p[n] for n in ode_names}, padded)
        F = F @ p["W"].T + p["b"] if case.readout else F
        penalty = 0.5 * case.tikhonov * sum(jnp.sum(a**2) for a in p.values())
        if case.smoothness:  # hats: theta' is constant on each of the J-1 cells
            h = (T_SPAN[1] - T_SPAN[0]) / (J - 1)
            jumps = sum(jnp.sum(jnp.diff(p[n], axis=0) ** 2) for n in ode_names)
            penalty += 0.5 * case.smoothness * jumps / h
        return jax_models.mean_loss(case.loss, F, y) + penalty

    value, gradient = jax.value_and_grad(objective)(
        {n: jnp.asarray(a) for n, a in problem.unpack(theta).items()}
    )
    return float(value), {n: np.asarray(g) for n, g in gradient.items()}


def errors(case: Any) -> dict[str, Any]:
    """Relative differences of the value and of each block of the gradient."""
    if isinstance(case, jax_flows.FlowCase):
        problem, given = jax_flows.ours(case)
        jax_value, jax_gradient = jax_flows.theirs(case, problem, *given)
    else:
        problem, given = ours(case)
        jax_value, jax_gradient = theirs(case, problem, *given)
    value, gradient = problem.value_and_gradient(*given)
    blocks = {}
    for name, mine in problem.unpack(gradient).items():
        truth = jax_gradient[name]
        norm = np.linalg.norm(truth)
        if not norm > 0.0:
            raise AssertionError(f"{case.label}: the gradient of {name} is zero, it shows nothing")
        blocks[name] = float(np.linalg.norm(mine - truth) / norm)
    worst = max(blocks, key=lambda n: blocks[n])
    return {
        "label": case.label,
        "kind": case.kind,
        "n_parameters": problem.n_parameters,
        "value": abs(value - jax_value) / abs(jax_value),
        "gradient": blocks[worst],
        "block": worst,
        "control": case.control,
    }


def draw(report: common.Report, found: list[dict[str, Any]]) -> None:
    """Errors of all cases by field."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    kinds = sorted({f["kind"] for f in found})
    with plt.rc_context(common.STYLE):
        figure, axis = plt.subplots(figsize=(7.5, 0.45 * len(kinds) + 2.0))
        rng = np.random.default_rng(0)
        for what, colour, marker, shift in (
            ("gradient", common.BLUE, "o", 0.12),
            ("value", common.ORANGE, "s", -0.12),
        ):
            rows = [kinds.index(f["kind"]) + shift + 0.06 * rng.uniform(-1, 1) for f in found]
            sizes = [max(f[what], 1e-17) for f in found]
            axis.semilogx(sizes, rows, marker, color=colour, ms=4.5, alpha=0.7, label=what)
        axis.axvline(np.finfo(float).eps, color=common.GREY, ls=":", label="machine epsilon")
        axis.axvline(TOLERANCE, color=common.RED, ls="--", label="allowed")
        axis.set_yticks(range(len(kinds)), kinds)
        axis.set_ylim(-0.6, len(kinds) - 0.4)
        axis.set_xlim(5e-18, 5e-12)
        axis.set_xlabel(
            "relative difference from JAX, worst block, dimensionless (0 drawn at 1e-17)"
        )
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        figure.tight_layout()
        report.figure(figure, "gradient_vs_jax")
        plt.close(figure)


def main() -> int:
    """Compare, print, draw, check."""
    parser = common.arguments(__doc__, "gradient_vs_jax")
    args = parser.parse_args()
    report = common.Report(args.out)
    start, found = time.perf_counter(), []
    for i, case in enumerate(chosen := [*cases(args.quick), *jax_flows.cases(args.quick)]):
        found.append(errors(case))
        print(
            f"\r{i + 1}/{len(chosen)} cases, {time.perf_counter() - start:.0f} s",
            end="",
            flush=True,
        )
    print()
    rows = [
        (
            (f"CONTROL, {f['control']}: " if f["control"] else "") + f["label"],
            str(f["n_parameters"]),
            f"{f['value']:.1e}",
            f"{f['gradient']:.1e}",
            f["block"],
        )
        for f in found
    ]
    columns = ("field, scheme, basis, loss", "p", "value", "gradient", "worst block")
    common.print_table("Relative difference from JAX", columns, rows)
    compared = [f for f in found if not f["control"]]
    for kind in sorted({f["kind"] for f in compared}):
        of_kind = [f for f in compared if f["kind"] == kind]
        for what in ("value", "gradient"):
            label = f"{kind}: {what}, largest of {len(of_kind)}"
            report.at_most(label, float(np.max([f[what] for f in of_kind])), TOLERANCE)
    for f in found:
        if f["control"]:
            what = f"control, {f['kind']}: JAX with the {f['control']} is seen"
            report.at_least(what, f["gradient"], CONTROL)
    report.json("gradient_vs_jax.json", found)
    draw(report, compared)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
