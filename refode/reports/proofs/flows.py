"""Flows: exact derivatives, closed forms, orders, and densities that integrate to 1.

* **derivatives** of the objective by complex step, Taylor slopes, blocks and Hessian-vector
  products; a dot test of (w, l, v), each with a cotangent of its own.
* **closed forms**: of an affine flow the density is normal, with moments by the matrix
  exponential. That holds the value of the objective itself, its sign included, against numbers
  that no code of the flow has a part in. RK4's own determinant is known besides. Some shallow
  networks have exact flows too, (D157).
* **orders**: of the trace's quadrature against the determinant of the discrete map, (D45), and
  of what is left after going forth and back, (D48).
* **densities** integrate to 1; threads change no bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from refode import bases, fields, tableaus, verify
from refode._scaling import TINY
from refode.costs.contract import Cotangent
from refode.ode.neural_ode import NeuralODE
from refode.problems.normalizing_flow import ContinuousNormalizingFlow
from refode.reports.proofs import exact_flows
from refode.reports.proofs.examined import ExaminedRow, Study, derivatives, orders_told, same_bits
from refode.reports.proofs.flow_cases import T_SPAN, AffineFlow, FlowCase, cases, make
from refode.reports.proofs.flows_plot import draw
from refode.reports.section import Section, table, verdict
from refode.verify import DotReport, GradientReport

Array = np.ndarray

CLOSED = 1e-12  # of numbers of order one to ten; 24 steps of order 8 are exact to rounding
PRINTED = 0.1  # the printed sign of (13) is off by at least this
FLOOR = 1e-12  # errors below are rounding, and left out of the orders
RESOLVED = 1e-6  # refinement must move an integral by less, or it tells nothing
FINE = ("fehlberg8", 24)
GAP, BACK, DENSITY = "quadrature - log|det|", "forth and back", "density forth and back"
QUANTITIES = (GAP, BACK, DENSITY)


def run(
    out: Path,
    quick: bool,
    chosen: Sequence[FlowCase] | None = None,
    schemes: Sequence[str] | None = None,
) -> Section:
    """Check everything, print the tables, draw the orders.

    Parameters
    ----------
    out : Path
        Folder for the picture.
    quick : bool
        One case, three schemes; no estimated trace.
    chosen : sequence of FlowCase, optional
        Cases whose derivatives to check instead.
    schemes : sequence of str, optional
        Schemes whose orders to measure instead.
    """
    section = Section("flows")
    derivatives(section, cases(quick) if chosen is None else chosen, examine, "flows")
    first = len(section.checks)
    if not quick:
        _estimates(section)
    _closed_forms(section)
    exact_flows.run(section)
    same_bits(section, everything, "a flow")
    _integral(section)
    table(
        "Flows: closed forms, threads, densities",
        ["what", "measured", "wanted", "verdict"],
        [(c.name, c.measured, c.wanted, verdict(c.passed)) for c in section.checks[first:]],
    )
    if schemes is None:  # at higher orders too few halvings lie between a clean power and rounding
        up_to_4 = [name for name in tableaus.names("explicit") if tableaus.get(name).order <= 4]
        schemes = ("heun", "kutta3", "rk4") if quick else up_to_4
    _orders(section, schemes, out)
    return section


# --- derivatives ---------------------------------------------------------------------------


def examine(case: FlowCase) -> ExaminedRow:
    """Check the derivatives of one case."""
    return ExaminedRow(case, dot_of_ends(case), objective(case))


def dot_of_ends(case: FlowCase) -> DotReport:
    """Adjoint of (w, l, v) in theta and y, against the complex step through the sweep."""
    flow, theta, y = case.flow, case.theta, case.y
    plan = flow.ode.plan(flow.ode.t_span[::-1])

    def tangent(theta_dot: Array, y_dot: Array) -> Array:
        moved = theta + 1j * TINY * theta_dot, y + 1j * TINY * y_dot
        return np.column_stack(flow._backward(*moved, flow.ode, None)).imag / TINY

    def adjoint(bars: Array) -> tuple[Array, Array]:
        signed = bars.copy()
        signed[:, -1] *= flow._direction(plan)  # _backward gives v without that sign
        result, theta_bar = flow._pull_back(theta, y, Cotangent(signed[None]), plan)
        return theta_bar, result.x_bar

    return verify.dot_test(
        tangent,
        adjoint,
        [theta.shape, y.shape],
        (len(y), flow.dim + 2),
        name="adjoint of (w, l, v)",
    )


def objective(case: FlowCase) -> GradientReport:
    """Gradient and Hessian-vector product; of an estimate the gradient alone, by differences."""
    flow, y, exact = case.flow, case.y, case.flow.trace == "exact"

    def value(theta: Array) -> Any:
        if np.iscomplexobj(theta):  # the sweep that users run, in complex numbers
            return flow._value_and_gradient(theta, y)[0]
        return flow.value(theta, y)

    hessian_vector: Callable[..., Any] | None = None
    if exact:
        hessian_vector = lambda theta, v: flow.hessian_vector(theta, v, y)  # noqa: E731
    return verify.check_gradient(
        value,
        lambda theta: flow.value_and_gradient(theta, y)[1],
        case.theta,
        hessian_vector=hessian_vector,
        blocks=flow.layout.slices,
        n_directions=3,
        complex_step="auto" if exact else False,
        print_table=False,
        name="gradient of the objective",
    )


def _estimates(section: Section) -> None:
    """Hutchinson's estimate: its gradient, and its mean over all signs, which is exact."""
    field, basis = fields.Shallow(3, 5, time=True), bases.Legendre(3)
    for trace in ("rademacher", "gaussian"):
        case = make("Shallow", field, "rk4", basis, 1, trace)
        report = objective(case)
        measured = f"relative error {report.relative_error:.1e} by {report.method}"
        section.add(f"gradient of {case.name}", report, measured, "noise of differences alone")
    case, exact = (make("Shallow", field, "rk4", basis, 1, t) for t in ("rademacher", "exact"))
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
    start = np.concatenate([np.broadcast_to(case.y[0], signs.shape), signs], axis=1)
    estimate = _Started(case.flow, start).value_and_gradient(case.theta, start[:, :3])
    truth = exact.flow.value_and_gradient(case.theta, case.y[:1])
    off = max(_relative(a, b) for a, b in zip(estimate, truth, strict=True))
    section.add(
        "mean over all signs is the exact objective and gradient",
        off < CLOSED,
        f"{off:.1e} off",
        f"< {CLOSED:.0e}",
    )


class _Started(ContinuousNormalizingFlow):
    """A flow that starts from given data and noise side by side."""

    def __init__(self, flow: ContinuousNormalizingFlow, start: Array) -> None:
        super().__init__(flow.ode, flow.transport, flow.tikhonov, flow.smoothness, flow.trace)
        self._given = start

    def _start(self, y: Array) -> Array:
        return self._given


def _relative(a: Any, b: Any) -> float:
    return float(np.linalg.norm(np.subtract(a, b)) / np.linalg.norm(b))


# --- closed forms --------------------------------------------------------------------------


def _closed_forms(section: Section) -> None:
    truth = AffineFlow.drawn()
    theta, y, flow = truth.theta, truth.y, truth.flow(*FINE)
    found: dict[str, tuple[Any, Any]] = {
        "log-density is the Gaussian's": (flow.log_density(theta, y), truth.density.log_density(y)),
        "log|det| is -int tr A": (flow.inverse(theta, y)[1], truth.log_det),
        "transport cost": (flow.transport_cost(theta, y), truth.transport_cost),
        "objective": (flow.value(theta, y), truth.objective()),
        "objective beside the gradient": (flow.value_and_gradient(theta, y)[0], truth.objective()),
        "RK4's own log|det| is sum log|det R(-hA)|": (
            truth.flow("rk4", 12).log_det_exact(theta, y),
            truth.rk4_log_det(12),
        ),
    }
    for name, (mine, exact) in found.items():
        off = float(np.max(np.abs(mine - exact)))
        section.add(f"affine flow: {name}", off < CLOSED, f"{off:.1e} off", f"< {CLOSED:.0e}")
    off = abs(flow.value(theta, y) - truth.objective(sign=-1.0))
    section.add(
        "affine flow: the sign printed in (13) is seen",
        off > PRINTED,
        f"{off:.2f} off",
        f"> {PRINTED}",
    )
    steps = 3 * 2 ** np.arange(2, 8)
    flows = [truth.flow("rk4", int(n)) for n in steps]
    gaps = [np.abs(f.inverse(theta, y)[1] - f.log_det_exact(theta, y)).max() for f in flows]
    report = verify.observed_order(gaps, 1.0 / steps, expected=4.0, floor=FLOOR)
    section.add(
        "affine flow: the quadrature's gap to RK4's log|det|",
        report,
        f"order {report.order:.3f}",
        "4 ± 0.1, 3 halvings",
    )
    section.numbers["affine gap"] = {"steps": steps, "errors": gaps}


# --- threads, integral ---------------------------------------------------------------------


def _plane() -> tuple[ContinuousNormalizingFlow, Array, Array]:
    """A flow in the plane, weights (p,) and data (N, 2)."""
    case = make("Shallow", fields.Shallow(2, 4, time=True), "rk4", bases.Legendre(3), 0)
    return case.flow, case.theta, case.y


def everything(n: int) -> dict[str, bytes]:
    """Bytes of all that a flow computes for n data."""
    flow, theta, _ = _plane()
    y = np.random.default_rng(n).standard_normal((n, 2))
    value, gradient = flow.value_and_gradient(theta, y)
    x, log_det = flow.inverse(theta, y)
    parts = {
        "value": np.float64(value),
        "gradient": gradient,
        "Hessian times vector": flow.hessian_vector(theta, np.cos(np.arange(theta.size)), y),
        "inverse": x,
        "log|det|": log_det,
        "transport cost": flow.transport_cost(theta, y),
        "log-density": flow.log_density(theta, y),
        "F": flow.generate(theta, y),
    }
    return {f"{name}, N = {n}": np.asarray(part).tobytes() for name, part in parts.items()}


def mass(flow: Any, theta: Array, half_side: float, n: int, n_steps: int) -> float:
    """Integral of the density over a square, by the midpoint rule with n x n points."""
    width = 2.0 * half_side / n
    axis = -half_side + width * (np.arange(n) + 0.5)
    return float(flow.density_on_grid(theta, axis, axis, n_steps=n_steps).sum() * width**2)


def _integral(section: Section) -> None:
    """The integral is 1 up to what a finer grid, a larger square and more steps change."""
    flow, theta, _ = _plane()
    start = (10.0, 100, 48)
    finer = ((10.0, 200, 48), (15.0, 150, 48), (10.0, 100, 96))
    found, others = mass(flow, theta, *start), [mass(flow, theta, *f) for f in finer]
    moved = sum(abs(other - found) for other in others) + np.finfo(float).eps
    off = abs(found - 1.0)
    section.add(
        "integral of the density",
        off <= 2.0 * moved and moved < RESOLVED,
        f"{off:.1e} off 1",
        f"<= {2.0 * moved:.1e}, 2 x what refinement moves",
    )
    section.numbers["integral"] = {"found": found, "refined": others}


# --- orders --------------------------------------------------------------------------------


def errors(scheme: str, n_steps: int) -> dict[str, float]:
    """Root mean squares of the three quantities, for a flow in the plane."""
    like, theta, y = _plane()
    ode = NeuralODE(like.ode.field, scheme, n_steps, T_SPAN, like.ode.basis)
    flow = ContinuousNormalizingFlow(ode)
    x, log_det = flow.inverse(theta, y)
    z, forth = flow.ode.log_det(theta, y)
    forward = -0.5 * np.sum(y**2, axis=1) - flow._constant - forth
    by_quantity = {
        GAP: log_det - flow.log_det_exact(theta, y),
        BACK: flow.generate(theta, x) - y,
        DENSITY: flow.log_density(theta, z) - forward,
    }
    return {name: float(np.sqrt(np.mean(e**2))) for name, e in by_quantity.items()}


def study(scheme: str, order: int | None = None) -> Study:
    """Halve the step from 1/8 to 1/1024 of the interval, and judge; the scheme's order p.

    The quadrature's error is of order p. What is left after a step forth and back is of order
    p + 1 for even p, where the leading errors of h and -h cancel, and p for odd p.
    """
    p = tableaus.get(scheme).order if order is None else order
    steps = 2 ** np.arange(3, 11)
    by_steps = [errors(scheme, int(n)) for n in steps]
    reports = {
        name: verify.observed_order(
            [e[name] for e in by_steps],
            1.0 / steps,
            expected=p if name == GAP else p + 1 - p % 2,
            floor=FLOOR,
        )
        for name in QUANTITIES
    }
    return Study(scheme, p, reports)


def _orders(section: Section, schemes: Sequence[str], out: Path) -> None:
    studies = [study(scheme) for scheme in schemes]
    orders_told(
        section,
        "flow",
        studies,
        "Flows: orders observed, with those wanted",
        lambda r: f"{r.order:.3f} ({r.expected:.0f})",
        lambda s: ", ".join(f"{r.expected:.0f}" for r in s.reports.values()),
    )
    section.files += draw(studies, out)
