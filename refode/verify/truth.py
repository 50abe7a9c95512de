"""The gradient along one direction against the truth, and what such a comparison can see."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from refode._scaling import length
from refode.verify._calls import Array, VectorFunction
from refode.verify.directional import EPS, extrapolate, nudged
from refode.verify.reports import DirectionReport, HessianReport
from refode.verify.taylor import (
    CLEAR,
    MIN_POINTS,
    Point,
    Sweep,
    curvature,
    fit_window,
    is_flat,
)

STEP = 1e-200  # of the complex step: its square is zero in float64
SAFETY = 3.0  # times the estimated error of the truth
ROUNDING = 16.0  # times eps |g|.|v|: the rounding of the gradient's entries and of g . v

UNKNOWN_SCALE = 1.0  # the longest step believed where nothing shows on what scale fun bends
ROWS_TO_EXTRAPOLATE = 3

_NUDGES = 4


def compare(
    point: Point,
    v: Array,
    s: Sweep,
    label: str,
    rng: np.random.Generator,
    complex_step: bool | None,
) -> tuple[DirectionReport, str | None]:
    """Hold g . v against the truth along `v` (p,).

    Parameters
    ----------
    point, s : Point, Sweep
        The function and its remainders along `v`.
    label : str
        Name of the direction.
    complex_step : bool or None
        Whether to take the complex step; None: where it works and differences agree with it.

    Returns
    -------
    report : DirectionReport
    remark : str or None
        Why the complex step was not believed, if so.
    """
    gv = float(point.g @ v)
    near = s.h <= _reach(point, v, s)
    off, off_error = 0.0, math.inf  # where too few steps can be believed, all is possible
    if np.count_nonzero(near) >= ROWS_TO_EXTRAPOLATE:
        off, off_error = extrapolate(s.odd[near], s.odd_noise[near])
    method, truth, truth_error, error = "Richardson", gv + off, off_error, abs(off)
    remark = None
    if complex_step is not False:
        stepped = _by_complex_step(point, v, rng)
        if stepped is None:
            if complex_step:
                raise TypeError(
                    "fun: does not carry complex input through to a complex number, "
                    "wanted complex_step='auto' or False"
                )
        else:
            value, value_error = stepped
            doubt = abs(value - truth) - SAFETY * (off_error + value_error)
            believed = not doubt > ROUNDING * EPS * float(np.abs(point.g) @ np.abs(v))
            if not believed:
                remark = (
                    "fun takes complex input, but its complex step disagrees with its "
                    "differences: it is not analytic (abs, conj, real, vdot, norm?)"
                )
            if believed or complex_step:
                method, truth, truth_error = "complex step", value, value_error
                error = abs(gv - truth)
    rounding = ROUNDING * EPS * float(np.abs(point.g) @ np.abs(v))
    rounding += _moved_by_rounding(point, v, s)
    tolerance = SAFETY * truth_error + rounding + point.rtol * abs(truth)
    report = DirectionReport(
        label,
        gv,
        truth,
        truth_error,
        tolerance,
        error,
        method,
        detectable(tolerance, abs(truth)),
        is_flat(s),
    )
    return report, remark


def _reach(point: Point, v: Array, s: Sweep) -> float:
    # Differences are trusted where the even part, which g has no share in, falls as a power: one
    # row that stands clear of rounding says nothing of that, and far rows agree on any bounded
    # function's mean. Where there is no such run, fun is a line, or bends on a scale of which
    # nothing is known: it may vary by less than its values are rounded by.
    window = fit_window(s.h, s.even, 2.0 * s.noise, 2)
    if window.sound and window.n_points > 0:
        return float(s.h[window.first])
    straight = _is_line(s.odd + float(point.g @ v), s.odd_noise)
    return point.first_step if straight else min(point.first_step, UNKNOWN_SCALE)


def _is_line(quotients: Array, noise: Array) -> bool:
    """Whether the difference quotients that stand clear of rounding agree to rounding."""
    clear = np.abs(quotients) > CLEAR * noise
    if np.count_nonzero(clear) < MIN_POINTS:
        return False
    q, allowed = quotients[clear], SAFETY * noise[clear]
    return bool(np.all(np.abs(q - q[0]) <= allowed + allowed[0]))


def _moved_by_rounding(point: Point, v: Array, s: Sweep) -> float:
    # x0 enters the gradient rounded. By how much that moves g . v is measured on the gradient
    # itself, and believed up to what the curvature of fun can account for, lest a gradient in
    # single precision excuse itself.
    measured = float(np.max(np.abs(point.nearby @ v), initial=0.0))
    return min(4.0 * measured, 16.0 * EPS * curvature(s) * float(np.linalg.norm(point.x)))


def _by_complex_step(
    point: Point, v: Array, rng: np.random.Generator
) -> tuple[float, float] | None:
    # the rounding in it is measured: a few more at points that differ by rounding only
    slopes = []
    for k in range(_NUDGES + 1):
        x = point.x if k == 0 else nudged(point.x, rng)
        imaginary = point.value.imaginary(x + 1j * STEP * v)
        if imaginary is None:
            return None
        slopes.append(imaginary / STEP)
    return slopes[0], float(np.max(np.abs(np.subtract(slopes, slopes[0]))))


def detectable(tolerance: float, truth: float) -> float:
    """Return the scaling error that is certain to be seen, given a tolerance and the truth.

    With g = (1 ± s) times the right gradient the difference is at least s·truth less the error
    of the truth, and the part of the tolerance that is relative to g grows by (1 + s); three
    times the tolerance covers both.
    """
    return 3.0 * tolerance / truth if truth > 0.0 and math.isfinite(tolerance) else math.inf


def detectable_any(
    rows: Sequence[DirectionReport], norm: float, size: int, missed: float = 1e-3
) -> float:
    """Return the length, relative to `norm`, of an error of any shape that is seen almost surely.

    Along a random unit vector of R^size a fixed error d has a component of about
    |d|/sqrt(size) times a normal number. It is missed where all components are within twice the
    tolerance; the returned length makes that as rare as `missed`.
    """
    limits = [2.0 * row.tolerance * math.sqrt(size) for row in rows]
    if not limits or norm == 0.0 or not all(math.isfinite(t) for t in limits):
        return math.inf
    if size == 1:
        return min(limits) / norm
    low, high = min(limits) / 10.0 + 1e-300, max(limits) * 1e6 + 1e-300
    for _ in range(200):
        middle = math.sqrt(low) * math.sqrt(high)  # the product of the two may vanish
        chance = math.prod(math.erf(t / (middle * math.sqrt(2.0))) for t in limits)
        low, high = (middle, high) if chance > missed else (low, middle)
    return high / norm


def compare_hessian(
    point: Point,
    gradient: VectorFunction,
    directions: Sequence[Array],
    products: Sequence[Array],
    rng: np.random.Generator,
    complex_step: bool | None,
) -> HessianReport:
    """Hold Hv against the derivative of the gradient along each direction; all of (p,)."""
    worst, tolerance, seen, methods = 0.0, 0.0, math.inf, []
    passed = True
    for v, hv in zip(directions, products, strict=True):
        truth, error, method = _hessian_truth(point, gradient, v, hv, rng, complex_step)
        size = length(truth)
        allowed = SAFETY * error + ROUNDING * EPS * math.sqrt(v.size) * length(hv)
        allowed += point.rtol * size
        off = length(hv - truth)
        passed = passed and off <= allowed
        relative = off / size if size > 0.0 else (0.0 if off == 0.0 else math.inf)
        if relative >= worst:
            worst, tolerance = relative, allowed / size if size > 0.0 else math.inf
        seen = min(seen, detectable(allowed, size))
        methods.append(method)
    return HessianReport(worst, tolerance, seen, ", ".join(sorted(set(methods))), passed)


def _hessian_truth(
    point: Point,
    gradient: VectorFunction,
    v: Array,
    hv: Array,
    rng: np.random.Generator,
    complex_step: bool | None,
) -> tuple[Array, float, str]:
    nearby = [nudged(point.x, rng) for _ in range(_NUDGES)]
    noise = max(length(gradient(x) - point.g) for x in nearby)
    noise += EPS * length(point.g)
    rows, lost, h, best = [], [], point.first_step, math.inf
    for _ in range(40):
        ahead, behind = gradient.far(point.x + h * v), gradient.far(point.x - h * v)
        with np.errstate(all="ignore"):
            rows.append((ahead - behind) / (2.0 * h) - hv)
        lost.append(noise / h)
        if len(rows) > 8 and np.isfinite(rows[-2]).all():
            best = min(best, length(rows[-1] - rows[-2]) + lost[-1])
            if lost[-1] > 4.0 * best:
                break
        h *= 0.5
    off, error = extrapolate(np.array(rows), np.array(lost))
    truth = hv + off
    if complex_step is False:
        return truth, error, "Richardson"
    products = [gradient.imaginary(x + 1j * STEP * v) for x in (point.x, *nearby)]
    if any(one is None for one in products):
        return truth, error, "Richardson"
    stack = np.array(products) / STEP
    spread = max(length(row - stack[0]) for row in stack)
    doubt = length(stack[0] - truth) - SAFETY * (error + spread)
    if doubt > ROUNDING * EPS * length(hv):
        return truth, error, "Richardson"
    return stack[0], spread, "complex step"
