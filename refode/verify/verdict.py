"""From what a gradient check found to a verdict in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from refode.verify._calls import Array, Function, VectorFunction
from refode.verify.reports import DirectionReport, GradientReport, HessianReport, TaylorReport
from refode.verify.truth import detectable_any


@dataclass
class Findings:
    """What one run of `check_gradient` gathers on its way; `judge` makes the report of it."""

    name: str
    function: Function
    gradient: VectorFunction
    hessian_vector: VectorFunction | None
    blocks: dict[str, NDArray[np.intp]]
    value: float = np.nan
    noise: float = np.nan
    g: Array = field(default_factory=lambda: np.zeros(0))
    rows: list[DirectionReport] = field(default_factory=list)
    taylor: list[TaylorReport] = field(default_factory=list)
    per_block: dict[str, DirectionReport] = field(default_factory=dict)
    hessian: HessianReport | None = None
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, row: DirectionReport, taylor: TaylorReport, remark: str | None) -> None:
        """Keep what was found along one direction."""
        self.rows.append(row)
        self.taylor.append(taylor)
        self.remark(remark)

    def remark(self, text: str | None) -> None:
        """Keep a warning, once."""
        if text is not None and text not in self.warnings:
            self.warnings.append(text)


def judge(found: Findings, enough: float) -> GradientReport:
    """Return the report; `enough` is the error that a conclusive run must be able to see."""
    if found.rows:
        _collect_failures(found, enough)
        _collect_warnings(found)
    _note_bad_habits(found)
    error, seen, seen_any = _overall(found)
    doubts = [] if found.failures or not found.rows else _doubts(found, seen, enough)
    if found.failures:
        verdict = "failed: " + "; ".join(found.failures)
    elif doubts:
        verdict = "inconclusive: " + "; ".join(doubts)
    else:
        verdict = (
            f"passed: relative error {error:.1e}, an error of {seen:.1e} would have been seen"
            if np.isfinite(seen)
            else "passed: the function is constant to rounding, and its gradient zero"
        )
    methods = sorted({row.method for row in [*found.rows, *found.per_block.values()]})
    return GradientReport(
        name=found.name,
        passed=not found.failures and not doubts,
        verdict=verdict,
        relative_error=error,
        smallest_detectable=seen,
        smallest_detectable_any=seen_any,
        method=", ".join(methods) or "none",
        value=found.value,
        gradient_norm=float(np.linalg.norm(found.g)),
        noise=found.noise,
        directions=tuple(found.rows),
        taylor=tuple(found.taylor),
        per_block=dict(found.per_block),
        hessian=found.hessian,
        warnings=tuple(found.warnings),
        n_evaluations=(found.function.calls, found.gradient.calls),
    )


def _overall(found: Findings) -> tuple[float, float, float]:
    if not found.rows:
        return np.nan, np.inf, np.inf
    error = math.hypot(*(row.error for row in found.rows))
    truth = math.hypot(*(row.truth for row in found.rows))
    relative = error / truth if truth > 0.0 else (0.0 if error == 0.0 else np.inf)
    seen = min(row.smallest_detectable for row in found.rows)
    size, norm = found.g.size, float(np.linalg.norm(found.g))
    return relative, seen, max(seen, detectable_any(found.rows, norm, size))


def _collect_failures(found: Findings, enough: float) -> None:
    wrong = [row for row in found.rows if not row.passed]
    blocks = [row for row in found.per_block.values() if not row.passed]
    if wrong:
        worst = max(wrong, key=lambda row: row.relative_error)
        found.failures.append(
            f"g.v is wrong along {len(wrong)} of {len(found.rows)} directions, by "
            f"{worst.relative_error:.1e} along direction {worst.label}" + _constant_factor(found)
        )
    found.failures += [f"block {row.label!r} is off by {row.relative_error:.1e}" for row in blocks]
    blind = not wrong and min(row.smallest_detectable for row in found.rows) > enough
    for order in () if blind else (1, 2):  # slopes of what is lost in noise say nothing
        bad = [(k, t) for k, t in enumerate(found.taylor) if t.flaw(order) is not None]
        if bad:
            k, t = bad[0]
            found.failures.append(f"E{order} along direction {k + 1}: {t.flaw(order)}")
    if found.hessian is not None and not found.hessian.passed:
        found.failures.append(
            f"the Hessian is off by {found.hessian.relative_error:.1e}, "
            f"{found.hessian.tolerance:.1e} is explained by rounding"
        )


def _constant_factor(found: Findings) -> str:
    with np.errstate(all="ignore"):
        ratios = np.divide([row.slope for row in found.rows], [row.truth for row in found.rows])
    middle = float(np.median(ratios))
    if len(ratios) < 2 or not np.isfinite(ratios).all() or abs(middle - 1.0) < 1e-6:
        return ""
    if np.ptp(ratios) > 1e-3 * min(abs(middle), abs(middle - 1.0)):
        return ""
    return f" (it is {middle:.6g} times the truth along all of them)"


def _collect_warnings(found: Findings) -> None:
    kinds = [t.kind1 for t in found.taylor]
    flat = [t.flat for t in found.taylor]
    if not found.g.any() and all(row.passed for row in found.rows):
        found.warnings.append("the gradient is zero")
    if all(flat):
        found.warnings.append("the function is constant to rounding along every direction")
    elif all(kind == "linear" for kind in kinds):
        found.warnings.append(
            "the function is linear along every direction: E1 is at rounding for "
            "every step, and the gradient was judged by the truth alone"
        )
    elif all(t.quadratic for t in found.taylor):
        found.warnings.append(
            "the function is quadratic along every direction: slope 2 holds at "
            "every step, and says nothing of terms beyond the second"
        )
    if any(kind == "higher" for kind in kinds):
        found.warnings.append(
            "E1 falls faster than h² along a direction: the curvature nearly vanishes there"
        )
    if any(kind == "locally linear" for kind in kinds):
        found.warnings.append(
            "the function is linear near x0 and bends further out: the gradient "
            "holds for the piece that x0 lies in"
        )
    found.warnings += [
        f"the gradient of block {label!r} is zero"
        + (", and the function does not depend on it" if row.flat else "")
        for label, row in found.per_block.items()
        if row.passed and not found.g[found.blocks[label]].any()
    ]
    if found.function.left_domain:
        found.warnings.append(
            "the function is not finite, or raises, at the largest steps: they are left out"
        )


def _note_bad_habits(found: Findings) -> None:
    for who, mutates in (
        ("fun", found.function.mutates),
        ("gradient", found.gradient.mutates),
        ("hessian_vector", found.hessian_vector is not None and found.hessian_vector.mutates),
    ):
        if mutates:
            found.failures.append(f"{who} changes its argument in place")
    if found.gradient.reuses_output:
        found.warnings.append(
            "gradient returns a buffer that its next call overwrites: callers must copy it"
        )
    if found.gradient.aliases_input:
        found.warnings.append("gradient returns memory of its argument: callers must copy it")


def _doubts(found: Findings, seen: float, enough: float) -> list[str]:
    zero = not found.g.any()
    flat = all(t.flat for t in found.taylor)
    if zero and not flat:
        return ["the gradient is zero at x0, so nothing was checked: choose another point"]
    doubts = []
    if seen > enough and not zero:
        doubts.append(f"this run could only have seen errors above {seen:.1e} (of the gradient)")
    for label, row in found.per_block.items():
        zero = not found.g[found.blocks[label]].any()
        if row.smallest_detectable > enough and not (zero and row.flat):
            doubts.append(
                f"block {label!r}: its gradient is zero"
                if zero
                else f"block {label!r}: only errors above {row.smallest_detectable:.1e} are seen"
            )
    return doubts
