"""The order at which errors fall as a step is refined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from refode._quiet import quietly
from refode._validate import nonnegative, positive_int, real_array, real_number
from refode.verify._calls import Array
from refode.verify.directional import EPS

ROUNDING = 100.0  # times eps times scale: errors up to here are taken for rounding


@dataclass(frozen=True)
class OrderReport:
    """What `observed_order` found.

    Attributes
    ----------
    steps, errors : ndarray, (K,)
        From the largest step to the smallest.
    slopes : ndarray, (K-1,)
        Slope between neighbours; NaN where one of the two is left out.
    order : float
        Slope fitted over the last `n_used` refinements; NaN where there are none.
    n_used : int
        Refinements in the fit.
    floor : float
        Errors up to here were left out as rounding.
    expected, tolerance : float or None, float
        What was wanted.
    passed : bool or None
        Whether each of the last refinements is within `tolerance` of `expected`; None where
        nothing was expected.
    verdict : str
        The same in words.
    """

    steps: Array
    errors: Array
    slopes: Array
    order: float
    n_used: int
    floor: float
    expected: float | None
    tolerance: float
    passed: bool | None
    verdict: str

    def __bool__(self) -> bool:
        if self.passed is None:
            raise TypeError(
                "observed_order: no order was expected, so nothing passed or failed; "
                "give expected, or read .order"
            )
        return self.passed

    def __str__(self) -> str:
        lines = [f"{'step':>12} {'error':>12} {'slope':>8}"]
        for k, (h, e) in enumerate(zip(self.steps, self.errors, strict=True)):
            slope = self.slopes[k - 1] if k else np.nan
            text = f"{slope:8.3f}" if np.isfinite(slope) else f"{'-':>8}"
            lines.append(f"{h:12.4e} {e:12.4e} {text}" + ("  rounding" if e <= self.floor else ""))
        return "\n".join([*lines, self.verdict])


@quietly()
def observed_order(
    errors: ArrayLike,
    steps: ArrayLike,
    *,
    expected: float | None = None,
    tolerance: float = 0.1,
    n_last: int = 3,
    scale: float | None = None,
    floor: float | None = None,
) -> OrderReport:
    """Find the order p at which errors fall as step^p.

    Judged on the last `n_last` refinements above rounding, each by itself: a mean over slopes of
    3, 4 and 5 is no order of 4. Fewer than `n_last` usable ones are a failure.

    Parameters
    ----------
    errors : array_like, (K,)
        Not negative, K at least 2.
    steps : array_like, (K,)
        Positive and different; in any order. Need not be halvings.
    expected : float, optional
        The order that is wanted; without it nothing is judged.
    tolerance : float
        How far each slope may be from `expected`.
    n_last : int
        Refinements to judge and to fit.
    scale : float, optional
        Size of what the errors are errors of; errors up to 100 times its rounding are left out.
    floor : float, optional
        Leave out errors up to here instead. Without either only zeros are left out, and errors
        that stop falling at rounding spoil the order.

    Returns
    -------
    OrderReport
        Has a truth value only where `expected` was given.

    Raises
    ------
    TypeError
        Arguments that are no real numbers.
    ValueError
        Steps that are not positive or not different, negative errors, NaN, infinity, lengths
        that differ, fewer than two entries, both `scale` and `floor`.

    Examples
    --------
    >>> round(observed_order([1e-2, 2.5e-3, 6.25e-4], [0.1, 0.05, 0.025]).order, 6)
    2.0
    """
    errors, steps = real_array("errors", errors, ("K",)), real_array("steps", steps, ("K",))
    n_last, tolerance = positive_int("n_last", n_last), nonnegative("tolerance", tolerance)
    wanted = None if expected is None else real_number("expected", expected)
    if errors.shape != steps.shape:
        raise ValueError(f"errors, steps: got lengths {errors.size} and {steps.size}, wanted equal")
    if errors.size < 2:
        raise ValueError(f"errors: got {errors.size} entry, wanted at least 2")
    if (errors < 0.0).any():
        raise ValueError(f"errors: got {errors.min()}, wanted numbers >= 0")
    if (steps <= 0.0).any():
        raise ValueError(f"steps: got {steps.min()}, wanted numbers > 0")
    if np.unique(steps).size != steps.size:
        raise ValueError("steps: got one twice, wanted different steps")
    level = _floor(scale, floor)
    falling = np.argsort(-steps)
    h, e = steps[falling], errors[falling]
    usable = e > level
    both = usable[:-1] & usable[1:]
    slopes = np.full(h.size - 1, np.nan)
    slopes[both] = np.log(e[:-1][both] / e[1:][both]) / np.log(h[:-1][both] / h[1:][both])
    first, last = _last_run(usable, n_last)
    n_used = max(last - first, 0)
    rows = slice(first, last + 1)
    order = float(np.polyfit(np.log(h[rows]), np.log(e[rows]), 1)[0]) if n_used else np.nan
    passed, verdict = _judged(slopes[first:last], order, wanted, tolerance, n_last)
    return OrderReport(h, e, slopes, order, n_used, level, wanted, tolerance, passed, verdict)


def _floor(scale: float | None, floor: float | None) -> float:
    if scale is not None and floor is not None:
        raise ValueError("scale, floor: got both, wanted one of them")
    if scale is not None:
        return ROUNDING * EPS * nonnegative("scale", scale)
    return 0.0 if floor is None else nonnegative("floor", floor)


def _last_run(usable: np.ndarray, n_last: int) -> tuple[int, int]:
    """Return first and last row of the finest run of usable ones, n_last refinements at most."""
    places = np.flatnonzero(usable)
    if not places.size:
        return 0, 0
    last = first = int(places[-1])
    while first > 0 and usable[first - 1] and last - first < n_last:
        first -= 1
    return first, last


def _judged(
    slopes: Array, order: float, expected: float | None, tolerance: float, n_last: int
) -> tuple[bool | None, str]:
    text = f"order {order:.3f} over the last {slopes.size} refinements"
    if expected is None:
        return None, text
    wanted = f"wanted {expected:g} ± {tolerance:g}"
    if slopes.size < n_last:
        return False, (
            f"failed: {slopes.size} refinements above rounding, wanted {n_last} "
            f"to judge order {expected:g} by"
        )
    bad = slopes[np.abs(slopes - expected) > tolerance]
    if bad.size:
        return False, f"failed: {text}, slope {bad[-1]:.3f} among them, {wanted}"
    return True, f"passed: {text}, {wanted}"
