"""Every derivative right to rounding: dot tests, complex step, Taylor slopes, Hessian products.

For each case (a field with a scheme, a basis and a loss):

* **dot tests** of the discrete adjoint against the complex step through the forward sweep, for
  all states of the trajectory (so that the adjoint jumps at every grid point) and for the
  final state with the log-determinant, in theta and x. The complex step is exact to rounding,
  so the test is not blind to an error that a tangent and its adjoint share.
* **the objective's gradient** by `refode.verify.check_gradient`: complex step, Taylor slopes,
  every block of theta by itself, and the Hessian-vector product.
* **the ends** t0 and T of the interval, by differences, where theta(t) is smooth.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from refode import fields, verify
from refode.reports.proofs.gradient_cases import SMOOTH, GradientCase, GradientRow, cases
from refode.reports.proofs.gradients_plot import draw
from refode.reports.section import Section, table, verdict
from refode.sweeps.symplectic import Partitioned
from refode.verify import DotReport, GradientReport

Array = np.ndarray

INSIDE = (0.2, 0.85)  # ends of the interval, inside t_span so that they can move both ways


def examine(case: GradientCase, n_directions: int = 3) -> GradientRow:
    """Run all checks of one case."""
    return GradientRow(case, dot_tests(case), objective(case, n_directions), ends(case))


def dot_tests(case: GradientCase) -> tuple[DotReport, ...]:
    """Adjoint against complex step: of the trajectory, and of (z(T), l) where there is a trace."""
    ode, theta, z = case.ode, case.theta_ode, case.states
    plan, n = ode.plan(), ode.n_steps

    def trajectory(theta_dot: Array, x_dot: Array) -> Any:
        return verify.complex_step(
            lambda both: ode._forward(both[: theta.size], _states(both, z), plan, whole=True),
            np.concatenate([theta, z.ravel()]),
            np.concatenate([theta_dot, x_dot.ravel()]),
        )

    shapes: list[Any] = [theta.shape, z.shape]
    reports = [
        verify.dot_test(
            trajectory,
            lambda z_bars: ode.adjoint(theta, z, z_bars),
            shapes,
            (n + 1, *z.shape),
            name="adjoint of the trajectory",
        )
    ]
    if not ode.field.divergence_free and not isinstance(plan.scheme, Partitioned):
        reports.append(
            verify.dot_test(
                lambda theta_dot, x_dot: _log_det_tangent(case, theta_dot, x_dot),
                lambda z_bar, l_bar: ode.log_det_adjoint(theta, z, z_bar, l_bar),
                shapes,
                [z.shape, (len(z),)],
                name="adjoint of the log-determinant",
            )
        )
    return tuple(reports)


def _states(both: Array, like: Array) -> Array:
    return both[-like.size :].reshape(like.shape)


def _log_det_tangent(case: GradientCase, theta_dot: Array, x_dot: Array) -> tuple[Array, Array]:
    ode, theta, z = case.ode, case.theta_ode, case.states
    y_dot = verify.complex_step(
        lambda both: ode._forward(both[: theta.size], _states(both, z), ode.plan(), trace=True)[0],
        np.concatenate([theta, z.ravel()]),
        np.concatenate([theta_dot, x_dot.ravel()]),
    )
    assert isinstance(y_dot, np.ndarray)
    return y_dot[:, :-1], y_dot[:, -1]


def objective(case: GradientCase, n_directions: int) -> GradientReport:
    """Value, gradient and Hessian-vector product of the supervised objective."""
    problem, x, y = case.problem, case.x, case.y
    targets = problem._targets(y, len(x))

    def value(theta: Array) -> Any:
        if np.iscomplexobj(theta):  # the sweep that users run, in complex numbers
            return problem._value_and_gradient(theta, x, targets)[0]
        return problem.value(theta, x, y)

    return verify.check_gradient(
        value,
        lambda theta: problem.value_and_gradient(theta, x, y)[1],
        case.theta,
        hessian_vector=lambda theta, v: problem.hessian_vector(theta, v, x, y),
        blocks=problem.layout.slices,
        n_directions=n_directions,
        print_table=False,
        name="gradient of the objective",
    )


def ends(case: GradientCase) -> GradientReport | None:
    """Gradient in (t0, T) of a functional of the trajectory; None where theta(t) bends."""
    ode, theta, z = case.ode, case.theta_ode, case.states
    if not isinstance(ode.basis, SMOOTH):
        return None
    z_bars = np.random.default_rng(5).standard_normal((ode.n_steps + 1, *z.shape))

    def value(times: Array) -> float:
        return float(np.sum(z_bars * ode.trajectory(theta, z, t_span=(times[0], times[1]))))

    def gradient(times: Array) -> Array:
        span = (float(times[0]), float(times[1]))
        return ode.adjoint(theta, z, z_bars, t_span=span, times=True)[2]

    return verify.check_gradient(
        value,
        gradient,
        np.array(INSIDE),
        n_directions=3,
        print_table=False,
        name="gradient in the ends of the interval",
    )


def without_case(chosen: Sequence[GradientCase]) -> str:
    """Names of the fields that no case is about."""
    met = {type(case.ode.field).__name__ for case in chosen}
    return ", ".join(sorted(set(fields.__all__) - {"Field"} - met))


def run(out: Path, quick: bool, chosen: Sequence[GradientCase] | None = None) -> Section:
    """Examine all cases, print a table, draw errors beside what could have been seen.

    Parameters
    ----------
    out : Path
        Folder for the pictures.
    quick : bool
        Twelve cases instead of all fields with all bases and losses.
    chosen : sequence of GradientCase, optional
        Cases to examine instead.
    """
    section = Section("gradients")
    rows = []
    if chosen is None:
        chosen = cases(quick)
        missing = without_case(chosen)
        section.add(
            "every field is among the cases",
            not missing,
            f"missing: {missing or 'none'}",
            "none missing",
        )
    for case in chosen:
        row = examine(case)
        rows.append(row)
        if sys.stdout.isatty():
            print(f"\r{len(rows)} of {len(chosen)} cases", end="", flush=True)
    print(f"{chr(13) if sys.stdout.isatty() else ''}{len(rows)} cases examined")
    if len(rows) > 20:
        _table_by_kind(rows)
    else:
        _table(rows)
    for row in rows:
        measured = "; ".join(row.failures) or (
            f"relative error {row.gradient.relative_error:.1e}, "
            f"could have seen {row.gradient.smallest_detectable:.1e}"
        )
        section.add(f"derivatives of {row.case.name}", row.passed, measured, "rounding alone")
    section.numbers["cases"] = [_numbers(row) for row in rows]
    section.files += draw(rows, out)
    return section


def _entries(rows: Sequence[GradientRow]) -> list[str]:
    """Worst errors, and the largest of the errors just visible; how far slopes are from 2."""
    worst = max(rows, key=lambda r: r.gradient.relative_error).gradient
    blind = max(r.gradient.smallest_detectable for r in rows)
    hessians = [r.gradient.hessian for r in rows if r.gradient.hessian]
    times = [r.ends for r in rows if r.ends]
    slopes = [s for r in rows for s in r.slopes if np.isfinite(s)]
    pairs = [
        (max(r.dot_error for r in rows), max(d.smallest_detectable for r in rows for d in r.dots)),
        (worst.relative_error, blind),
        (
            max((h.relative_error for h in hessians), default=np.nan),
            max((h.smallest_detectable for h in hessians), default=np.nan),
        ),
        (
            max((t.relative_error for t in times), default=np.nan),
            max((t.smallest_detectable for t in times), default=np.nan),
        ),
    ]
    shown = [f"{number:.0e}" if np.isfinite(number) else "-" for pair in pairs for number in pair]
    off = max((abs(s - 2.0) for s in slopes), default=np.nan)
    return [*shown[:4], f"{off:.3f}" if np.isfinite(off) else "-", *shown[4:]]


COLUMNS = (
    "dot test",
    "visible",
    "gradient",
    "visible",
    "slope - 2",
    "Hessian",
    "visible",
    "t0, T",
    "visible",
    "verdict",
)
TITLE = "Derivatives: relative errors found, and the smallest that would have been visible"


def _table(rows: Sequence[GradientRow]) -> None:
    table(
        TITLE,
        ["case", *COLUMNS],
        [(row.case.name, *_entries([row]), verdict(row.passed)) for row in rows],
    )


def _table_by_kind(rows: Sequence[GradientRow]) -> None:
    kinds = list(dict.fromkeys(row.case.kind for row in rows))
    lines = []
    for kind in kinds:
        mine = [row for row in rows if row.case.kind == kind]
        good = sum(row.passed for row in mine)
        lines.append((kind, *_entries(mine), f"{good}/{len(mine)} {verdict(good == len(mine))}"))
    table(TITLE, ["field", *COLUMNS], lines)
    for row in rows:
        if not row.passed:
            print(f"FAILED {row.case.name}: {'; '.join(row.failures)}")


def _numbers(row: GradientRow) -> dict[str, Any]:
    g, h, e = row.gradient, row.gradient.hessian, row.ends
    return {
        "name": row.case.name,
        "parameters": row.case.theta.size,
        "passed": row.passed,
        "failures": row.failures,
        "dot": {"error": row.dot_error, "seen": max(d.smallest_detectable for d in row.dots)},
        "gradient": {
            "error": g.relative_error,
            "seen": g.smallest_detectable,
            "seen_any": g.smallest_detectable_any,
            "method": g.method,
            "warnings": g.warnings,
            "slopes": [t.slope1 for t in g.taylor],
            "slopes2": [t.slope2 for t in g.taylor],
        },
        "blocks": {b: (r.relative_error, r.smallest_detectable) for b, r in g.per_block.items()},
        "hessian": {"error": h.relative_error, "seen": h.smallest_detectable} if h else None,
        "ends": {"error": e.relative_error, "seen": e.smallest_detectable} if e else None,
    }
