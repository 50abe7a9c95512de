"""What the gradient checks return: frozen records that print as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from refode.verify._calls import Array

# How a remainder may fall; see TaylorReport.
SOUND = ("power law", "higher", "linear", "locally linear", "accepted", "not checked")


@dataclass(frozen=True)
class TaylorReport:
    """Taylor remainders along one direction.

    Attributes
    ----------
    h, e0, e1, e2 : ndarray, (K,)
        Steps, falling by halves, and the remainders of order 0, 1 and 2 at each; e2 is NaN
        without a Hessian.
    slopes0, slopes1, slopes2 : ndarray, (K,)
        Slope of each remainder from the row above to this one; NaN in the first row.
    window1, window2 : tuple of int
        First and last row of the window in which e1 and e2 were judged; (0, -1) if none.
    slope1, slope2 : float
        The slopes fitted there.
    kind1, kind2 : str
        "power law": as a right derivative has it; "higher": the remainder falls faster, since
        the next derivative vanishes along this direction; "linear": at rounding everywhere;
        "locally linear": at rounding below some step; "accepted": at the error that the caller
        accepts; "slope", "too few points", "kink" and
        "not finite" are failures. `kind2` is "not checked" without a Hessian.
    quadratic : bool
        Whether e1 falls as h² without any sign of a further term.
    flat : bool
        Whether the function did not change along this direction.
    """

    h: Array
    e0: Array
    e1: Array
    e2: Array
    window1: tuple[int, int]
    slope1: float
    kind1: str
    window2: tuple[int, int] = (0, -1)
    slope2: float = np.nan
    kind2: str = "not checked"
    quadratic: bool = False
    flat: bool = False
    slopes0: Array = field(init=False)
    slopes1: Array = field(init=False)
    slopes2: Array = field(init=False)

    def __post_init__(self) -> None:
        for k, e in enumerate((self.e0, self.e1, self.e2)):
            object.__setattr__(self, f"slopes{k}", _local_slopes(e))

    @property
    def passed(self) -> bool:
        """Whether e1, and e2 where a Hessian was given, fall as they should."""
        return self.flaw(1) is None and self.flaw(2) is None

    @property
    def n_points(self) -> int:
        """How many rows the slope of e1 was fitted to."""
        return self.window1[1] - self.window1[0] + 1

    @property
    def unclear(self) -> bool:
        """Whether a slope is not the wanted one without being that of a wrong derivative."""
        pairs = ((self.kind1, self.slope1, 1.5), (self.kind2, self.slope2, 2.5))
        return all(
            kind in (*SOUND, "too few points") or (kind == "slope" and slope > wrong)
            for kind, slope, wrong in pairs
        )

    def flaw(self, order: int) -> str | None:
        """Return in words what is wrong with e1 (`order` 1) or e2 (2), None if nothing is."""
        kind = self.kind1 if order == 1 else self.kind2
        return None if kind in SOUND else self._described(order)

    def _described(self, order: int) -> str:
        kind, slope, window = (
            (self.kind1, self.slope1, self.window1)
            if order == 1
            else (self.kind2, self.slope2, self.window2)
        )
        n = window[1] - window[0] + 1
        return {
            "power law": f"slope {slope:.3f} on {n} points",
            "higher": f"slope {slope:.3f} on {n} points, more than needed",
            "linear": "at rounding for every step: nothing to fit",
            "locally linear": "at rounding below some step: nothing to fit",
            "accepted": "too few points above the accepted error to fit",
            "slope": f"slope {slope:.3f} on {n} points",
            "too few points": f"{n} points above rounding on one power of h, wanted 4",
            "kink": "the function bends at x0, there is no gradient",
            "not finite": "no finite value",
        }[kind]

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        second = not np.isnan(self.e2).all()
        head = f"{'h':>10} {'E0':>11} {'slope':>7}   {'E1':>10} {'slope':>7}"
        lines = [head + (f"   {'E2':>10} {'slope':>7}" if second else "")]
        for k in range(len(self.h)):
            line = f"{self.h[k]:10.2e} {self.e0[k]:11.3e} {_number(self.slopes0[k])}"
            line += f"  {self.e1[k]:11.3e} {_number(self.slopes1[k])}{_mark(k, self.window1)}"
            if second:
                line += f" {self.e2[k]:11.3e} {_number(self.slopes2[k])}{_mark(k, self.window2)}"
            lines.append(line.rstrip())
        for order, kind in ((1, self.kind1), (2, self.kind2)):
            if kind != "not checked":
                flawed = self.flaw(order) is not None
                lines.append(f"E{order}: {self._described(order)}{': FAILED' if flawed else ''}")
        return "\n".join(lines)


@dataclass(frozen=True)
class DirectionReport:
    """The gradient along one direction, beside the truth.

    Attributes
    ----------
    label : str
        The direction's number, or the name of its block.
    slope : float
        g . v, to be checked.
    truth : float
        The directional derivative of the function.
    truth_error : float
        Estimate of the error of `truth`.
    tolerance : float
        How far `slope` may be from `truth`: the error of the truth, rounding in the gradient,
        and the relative error that the caller accepts.
    error : float
        ``|g . v - truth|``.
    method : str
        "complex step" or "Richardson".
    smallest_detectable : float
        A gradient scaled by 1 plus or minus this, or more, would have been seen.
    flat : bool
        Whether the function did not change along this direction.
    """

    label: str
    slope: float
    truth: float
    truth_error: float
    tolerance: float
    error: float
    method: str
    smallest_detectable: float
    flat: bool = False

    @property
    def passed(self) -> bool:
        """Whether rounding and the error of the truth explain the difference."""
        return bool(self.error <= self.tolerance)

    @property
    def relative_error(self) -> float:
        """|g . v - truth| / |truth|; 0 where both are zero."""
        if self.truth == 0.0:
            return 0.0 if self.error == 0.0 else np.inf
        return self.error / abs(self.truth)

    def __bool__(self) -> bool:
        return self.passed


@dataclass(frozen=True)
class HessianReport:
    """The Hessian times each direction, beside the derivative of the gradient.

    `relative_error` is the largest ``|Hv - truth|/|truth|`` over the directions, `tolerance`
    what rounding explains there, `smallest_detectable` the scaling error of H that would have
    been seen, `method` where the truth is from.
    """

    relative_error: float
    tolerance: float
    smallest_detectable: float
    method: str
    passed: bool

    def __bool__(self) -> bool:
        return self.passed


@dataclass(frozen=True)
class GradientReport:
    """What `check_gradient` found.

    Attributes
    ----------
    name : str
        Title.
    passed : bool
        Whether every check was met and could have failed. False where the run is inconclusive.
    verdict : str
        Begins with "passed", "failed" or "inconclusive" and says why.
    relative_error : float
        Root mean square of g . v - truth over the directions, relative to that of the truth.
    smallest_detectable : float
        **The smallest relative gradient error this run could have seen**: had the gradient been
        scaled by 1 plus or minus this, or more, the run would have failed.
    smallest_detectable_any : float
        The same for an error of any shape, not along the gradient: an error vector, fixed
        before the directions are drawn, of this length relative to the gradient is seen in 999
        runs of 1000.
    method : str
        "complex step", "Richardson" or "complex step, Richardson", whichever gave the truth.
    value, gradient_norm, noise : float
        fun(x0), |g|, and the measured rounding error of fun.
    directions : tuple of DirectionReport
        One a random direction.
    taylor : tuple of TaylorReport
        One a random direction.
    per_block : mapping of str to DirectionReport
        One a block, along a random direction inside it.
    hessian : HessianReport or None
        Where a Hessian-vector product was given.
    warnings : tuple of str
        What a reader should know before trusting the verdict.
    n_evaluations : tuple of int
        Calls of fun and of gradient.
    """

    name: str
    passed: bool
    verdict: str
    relative_error: float
    smallest_detectable: float
    smallest_detectable_any: float
    method: str
    value: float
    gradient_norm: float
    noise: float
    directions: tuple[DirectionReport, ...]
    taylor: tuple[TaylorReport, ...]
    per_block: Mapping[str, DirectionReport]
    hessian: HessianReport | None
    warnings: tuple[str, ...]
    n_evaluations: tuple[int, int]

    @property
    def table(self) -> TaylorReport | None:
        """The Taylor table that is printed: the first that failed, else the first."""
        failed = [t for t in self.taylor if not t.passed]
        return next(iter([*failed, *self.taylor]), None)

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        lines = [
            f"check of {self.name}",
            f"f(x0) = {self.value:.6e}   |g| = {self.gradient_norm:.3e}   "
            f"noise of f {self.noise:.1e}   "
            f"{self.n_evaluations[0]} values, {self.n_evaluations[1]} gradients",
        ]
        table = self.table
        if table is not None:
            which = next(k for k, t in enumerate(self.taylor) if t is table)
            lines += [
                "",
                f"Taylor remainders along direction {which + 1} of {len(self.taylor)} "
                "(* marks the window)",
                str(table),
            ]
        if self.directions:
            lines += ["", *_direction_table("direction", self.directions, self.taylor)]
        if self.per_block:
            lines += ["", *_direction_table("block", tuple(self.per_block.values()), ())]
        if self.hessian is not None:
            lines += [
                "",
                f"Hessian: relative error {self.hessian.relative_error:.1e} "
                f"({self.hessian.method}), could have seen "
                f"{self.hessian.smallest_detectable:.1e}: "
                f"{'ok' if self.hessian.passed else 'FAILED'}",
            ]
        lines += [
            "",
            f"relative error of the gradient            {self.relative_error:.1e}",
            f"smallest error this run could have seen   {self.smallest_detectable:.1e}  "
            f"(along the gradient; any other: {self.smallest_detectable_any:.1e})",
        ]
        lines += [f"warning: {text}" for text in self.warnings]
        return "\n".join([*lines, f"verdict: {self.verdict}"])


def _direction_table(
    title: str, rows: tuple[DirectionReport, ...], taylor: tuple[TaylorReport, ...]
) -> list[str]:
    width = max(len(title), *(len(row.label) for row in rows))
    head = f"{title:>{width}} {'g.v':>13} {'truth':>13} {'rel. error':>11} {'could see':>10}"
    lines = [head + (f" {'E1 slope':>9} {'points':>6}" if taylor else "") + "  verdict"]
    for k, row in enumerate(rows):
        line = (
            f"{row.label:>{width}} {row.slope:13.6e} {row.truth:13.6e} "
            f"{row.relative_error:11.1e} {row.smallest_detectable:10.1e}"
        )
        good = row.passed
        if taylor:
            good = good and taylor[k].passed
            line += f" {taylor[k].slope1:9.3f} {taylor[k].n_points:6d}"
        lines.append(f"{line}  {'ok' if good else 'FAILED'}")
    return lines


def _local_slopes(e: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.concatenate([[np.nan], np.log2(e[:-1] / e[1:])]) if len(e) else e


def _number(value: float) -> str:
    return f"{value:7.3f}" if np.isfinite(value) else f"{'-':>7}"


def _mark(k: int, window: tuple[int, int]) -> str:
    return "*" if window[0] <= k <= window[1] else " "
