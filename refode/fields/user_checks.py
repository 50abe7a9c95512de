"""Whether a user's functions of a field belong together: held against f's own differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refode import _validate
from refode.fields.user_functions import Array, Functions

Points = tuple[Array, float, Array]  # theta (p,), t, z (N, d)

SEED = 0  # of the random points
LATER = 2.0**0.5 - 1.0, 3.0**0.5 - 1.0  # how much later f is asked again: no multiples of a period
ROWS = 1e-9  # of the largest entry: what rounding may do to a row in another batch
TRACE = 1e-8  # the same of the trace, which f's vjp knows row by row
STEP, COMPLEX = 1e-5, 1e-5  # of differences of the vjp, and how far these may be off, relative


def check_points(check: Any, d: int, p: int) -> Points | None:
    """The points in ``check``, None where there are none."""
    if not isinstance(check, tuple | list):
        _validate.boolean("check", check)
        return None
    if len(check) != 3:
        raise ValueError(f"check: got {len(check)} values, wanted True, False or (theta, t, z)")
    theta, t, z = check
    return (
        _validate.real_vector("check: theta", theta, p),
        _validate.real_number("check: t", t),
        _validate.samples("check: z", z, d),
    )


def drawn_points(d: int, p: int) -> Points:
    """Random points, the same every time; of another number of rows than d."""
    rng = np.random.default_rng(SEED)
    return rng.standard_normal(p) / np.sqrt(d), 0.3, rng.standard_normal((4 if d == 3 else 3, d))


def check_functions(fn: Functions, points: Points, derivatives: bool) -> tuple[bool, bool]:
    """Whether ``vjp`` returns t_bar, and whether f may depend on t; ValueError where it is wrong.

    Without ``derivatives`` it is the shapes alone that are looked at.
    """
    with np.errstate(all="ignore"):
        theta, t, z = points
        f = fn.value(theta, t, z)
        f_bar = np.random.default_rng(SEED + 1).standard_normal(z.shape)
        bars = fn.returned("vjp", (theta, t, z, f_bar))
        fn.adjoint(theta, t, z, f_bar)
        timed = len(bars) == 3
        if fn.trace_value is not None:
            fn.trace(theta, t, z)
            fn.trace_adjoint(theta, t, z, f_bar[:, 0])
        if not derivatives:
            return timed, True
        if not np.isfinite(f).all():
            raise ValueError(
                "f: got values that are not finite at the points of the check, wanted finite ones "
                "(check=(theta, t, z) gives points, check=False skips the check)"
            )
        _check_rows(fn, points, f)
        _check_adjoint(fn, points, f_bar, timed)
        if fn.jacobian_vector is not None:
            _check_tangent(fn, points)
        if fn.trace_value is not None:
            _check_trace(fn, points)
        later = [fn.value(theta, t + passed, z) for passed in LATER]
        return timed, not all(np.array_equal(f, value) for value in later)


def _check_rows(fn: Functions, points: Points, f: Array) -> None:
    """Whether a row of f depends on that row of z alone."""
    theta, t, z = points
    off = np.abs(fn.value(theta, t, z[:1]) - f[:1]).max()
    if not off <= ROWS * np.abs(f).max():
        raise ValueError(
            f"f: got another first row for the first row of z alone, off by {off:.1e}, wanted rows "
            "that do not depend on one another"
        )


def _check_adjoint(fn: Functions, points: Points, f_bar: Array, timed: bool) -> None:
    def value(theta: Array, t: float, z: Array) -> float:
        return float(np.sum(f_bar * fn.value(theta, t, z)))

    def adjoint(theta: Array, t: float, z: Array) -> Any:
        return fn.adjoint(theta, t, z, f_bar)

    _check_sides("vjp", "f", value, adjoint, points, timed)


def _check_trace(fn: Functions, points: Points) -> None:
    """The trace by vjp's own diagonal, and its vjp by its own differences."""
    theta, t, z = points
    found, want = fn.trace(theta, t, z), np.zeros(len(z))
    for i in range(fn.d):
        unit = np.zeros_like(z)
        unit[:, i] = 1.0
        want += fn.adjoint(theta, t, z, unit)[1][:, i]
    off = np.abs(found - want).max()
    if not off <= TRACE * max(1.0, np.abs(want).max()):
        raise ValueError(
            f"trace: got values off by {off:.1e} (of {np.abs(want).max():.1e}), wanted the trace "
            "of df/dz as vjp has it; check=False skips this check"
        )
    bar = np.random.default_rng(SEED + 2).standard_normal(len(z))
    timed = len(fn.returned("trace's vjp", (theta, t, z, bar))) == 3

    def value(theta: Array, t: float, z: Array) -> float:
        return float(bar @ fn.trace(theta, t, z))

    def adjoint(theta: Array, t: float, z: Array) -> Any:
        return fn.trace_adjoint(theta, t, z, bar)

    _check_sides("trace's vjp", "trace", value, adjoint, points, timed)


def _check_sides(
    name: str,
    of: str,
    value: Callable[..., float],
    adjoint: Callable[..., Any],
    points: Points,
    timed: bool,
) -> None:
    """theta_bar, z_bar and t_bar, each against differences along a direction of its own."""
    from refode.verify import check_gradient  # users' fields alone need it

    theta, t, z = points
    p, n = theta.size, theta.size + z.size

    def parts(x: Array) -> Points:
        return x[:p], float(x[n]) if timed else t, x[p:n].reshape(z.shape)

    def gradient(x: Array) -> Array:
        theta_bar, z_bar, t_bar = adjoint(*parts(x))
        return np.concatenate([theta_bar, z_bar.ravel(), [t_bar] if timed else []])

    blocks = {"theta_bar": slice(0, p), "z_bar": slice(p, n)}
    if timed:
        blocks["t_bar"] = slice(n, n + 1)
    report = check_gradient(
        lambda x: value(*parts(x)),
        gradient,
        np.concatenate([theta, z.ravel(), [t] if timed else []]),
        blocks=blocks,
        n_directions=1,
        complex_step=False,
        print_table=False,
        name=name,
    )
    if not report.per_block:
        raise ValueError(f"{name}: {report.verdict}, wanted finite cotangents")
    for side, row in report.per_block.items():
        if not row.passed:
            how = f"{row.relative_error:.1e} relative" if row.truth else f"{row.error:.1e}"
            raise ValueError(
                f"{name}: got a {side} that is off by {how} ({row.slope:.6g} along a random "
                f"direction), wanted that of {of}'s own differences ({row.truth:.6g}); "
                "check=False skips this check"
            )


def _check_tangent(fn: Functions, points: Points) -> None:
    from refode.verify import dot_test

    theta, t, z = points
    report = dot_test(
        lambda theta_dot, z_dot: fn.tangent(theta, t, z, theta_dot, z_dot),
        lambda f_bar: fn.adjoint(theta, t, z, f_bar)[:2],
        [theta.shape, z.shape],
        z.shape,
        seed=SEED,
    )
    if report.verdict.startswith("failed"):
        off = max(abs(a - b) / max(abs(b), 1e-300) for a, b in zip(*_sides(report), strict=True))
        where = report.verdict.partition("(in ")[2].rstrip(")")
        side = {"output 0 by input 0": " by theta_dot", "output 0 by input 1": " by z_dot"}
        raise ValueError(
            f"jacobian_vector: got a derivative{side.get(where, '')} that is off by {off:.1e} "
            "relative, wanted the transpose of vjp, which agrees with f's own differences; "
            "check=False skips this check"
        )


def _sides(report: Any) -> tuple[Any, Any]:
    return report.left, report.right


def check_complex(fn: Functions, name: str, theta: Array, t: float, z: Array) -> None:
    """Whether complex numbers pass through vjp, the trace or its vjp; ValueError otherwise."""
    rng = np.random.default_rng(SEED + 3)
    bar = rng.standard_normal(z.shape if name == "vjp" else len(z))
    dots = [rng.standard_normal(a.shape) for a in (theta, z, bar)]

    def found(step: complex) -> Array:
        at = theta + step * dots[0], t, z + step * dots[1]
        if name == "trace":
            return fn.trace(*at)
        adjoint = fn.adjoint if name == "vjp" else fn.trace_adjoint
        theta_bar, z_bar, _ = adjoint(*at, bar + step * dots[2])
        return np.concatenate([theta_bar, z_bar.ravel()])

    got = found(1e-200j).imag / 1e-200
    want = (found(STEP) - found(-STEP)) / (2.0 * STEP)
    off, size = np.abs(got - want).max(), np.abs(want).max()
    if not off <= COMPLEX * max(size, 1.0):
        raise ValueError(
            f"{name}: got a derivative that is off by {off:.1e} (of {size:.1e}) from complex "
            "arrays, wanted a function that these pass through (no abs, conj, real, and no arrays "
            "of real numbers made for results): tangents of it, second derivatives and "
            "Hutchinson's gradient are complex steps through it"
        )
