r"""Taylor remainders along a direction, and the slope at which they fall.

.. math::
    E_0(h) = |f(x+hv) - f(x)|,\qquad
    E_1(h) = |f(x+hv) - f(x) - h\,g\cdot v|,\qquad
    E_2(h) = |f(x+hv) - f(x) - h\,g\cdot v - \tfrac12 h^2\,v\cdot Hv|

With the right g, E1 falls as h², with a wrong one as h once h is small enough. So the slope is
read at the small end: on the longest run of halvings that ends where rounding begins. A run
anywhere else proves nothing, since a gradient that is off by 1e-6 shows slope 2 too, down to
h of about 1e-6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refode.verify._calls import Array, Function
from refode.verify.directional import EPS
from refode.verify.reports import SOUND

Mask = NDArray[np.bool_]

CLEAR = 30.0  # times the noise: a remainder this large has its slope right to 0.03
SLOPE_TOLERANCE = 0.05  # of the fitted slope
LOCAL_TOLERANCE = 0.1  # of each slope inside the window
MIN_POINTS = 4

_MAX_DOWN, _MAX_UP, _WANTED = 80, 24, 12  # rows below and above the first step; clear rows wanted
_STEEP = 5.5  # a fall steeper than this is no power of h, but the end of a bend


@dataclass
class Point:
    """What is known of a function at x0; shared by all directions.

    `value` is the function, `x` (p,) the point, `f0` its value, `g` (p,) the gradient to check,
    `noise` the rounding error of a value, and `rtol` a relative error of g that is accepted.
    `nearby` (m, p) is by how much gradients at points that differ from x0 by rounding differ
    from g.
    """

    value: Function
    x: Array
    f0: float
    g: Array
    noise: float
    rtol: float
    nearby: Array

    @property
    def first_step(self) -> float:
        """The first step: the power of two above the size of x, at least 1."""
        return 2.0 ** np.ceil(np.log2(max(1.0, float(np.linalg.norm(self.x)))))


class TaylorRow(NamedTuple):
    """Remainders at one step `h`, on both sides of x0.

    `e0`, `e1`, `e2` are those ahead of x0 and `back` is e1 behind it. With the signed first-order
    remainder r, `odd` is (r(h) - r(-h))/2h, whose limit is the error of g along the direction,
    and `even` is |r(h) + r(-h)|. `noise` and `odd_noise` are the rounding to expect in e0, e1,
    e2, and in `odd`.
    """

    h: float
    e0: float
    e1: float
    e2: float
    back: float
    odd: float
    even: float
    noise: float
    odd_noise: float


class Sweep(NamedTuple):
    """The rows along one direction, column by column: (K,) each, h falling by halves."""

    h: Array
    e0: Array
    e1: Array
    e2: Array
    back: Array
    odd: Array
    even: Array
    noise: Array
    odd_noise: Array


class Window(NamedTuple):
    """Where a remainder falls as a power of h: rows `first` to `last`, both included.

    `kind` is "power law" (the expected one), "higher" (a higher power, or between two),
    "linear" (at rounding everywhere), "locally linear" (at rounding below some h), or what went
    wrong: "slope", "too few points", "kink", "not finite".
    """

    kind: str
    slope: float
    first: int
    last: int

    @property
    def n_points(self) -> int:
        """How many rows the slope was fitted to."""
        return self.last - self.first + 1

    @property
    def sound(self) -> bool:
        """Whether the remainder falls as it should."""
        return self.kind in SOUND


NOT_CHECKED = Window("not checked", np.nan, 0, -1)


def sweep(point: Point, v: Array, vhv: float = np.nan, *, for_slope: bool = True) -> Sweep:
    """Evaluate remainders at x0 + hv and x0 - hv for halvings of h, until rounding has them.

    Parameters
    ----------
    point : Point
        The function and what is known of it.
    v : ndarray, (p,)
        A unit vector.
    vhv : float
        v . Hv, NaN where no Hessian is checked.
    for_slope : bool
        Whether to go on until E1 is lost in rounding; else only until the odd part is.
    """
    rows: list[TaylorRow] = []
    h, unclear, settled = point.first_step, 0, 0
    least = 64.0 * EPS * float(np.linalg.norm(point.x))
    while h > least and len(rows) < _MAX_DOWN:
        rows.append(_row(point, v, vhv, h))
        h *= 0.5
        unclear = unclear + 1 if _unclear(rows[-1]) else 0
        if len(rows) > 1 and not for_slope:
            settled = settled + 1 if _only_noise(rows[-2], rows[-1]) else 0
        if unclear >= 4 or settled >= 4:
            break
    if not rows:
        raise ValueError(
            f"x0: got a point of norm {np.linalg.norm(point.x):.1e}, where rounding hides the "
            f"first step of {point.first_step:.1e}, wanted one nearer to 0"
        )
    _extend_upwards(rows, point, v, vhv)
    return Sweep(*np.array(rows).T)


def _extend_upwards(rows: list[TaylorRow], point: Point, v: Array, vhv: float) -> None:
    # a function that bends only over large distances needs larger steps to show that it does
    clear = sum(not _unclear(row) and np.isfinite(row.e1) for row in rows)
    for _ in range(_MAX_UP):
        if clear >= _WANTED or not rows or not np.isfinite(rows[0].e1):
            return
        row = _row(point, v, vhv, 2.0 * rows[0].h)
        if not np.isfinite(row.e1):
            return
        rows.insert(0, row)
        clear += not _unclear(row)


def _row(point: Point, v: Array, vhv: float, h: float) -> TaylorRow:
    slope = float(point.g @ v)
    ahead, behind = point.value.far(point.x + h * v), point.value.far(point.x - h * v)
    with np.errstate(all="ignore"):
        r = ahead - point.f0 - h * slope
        s = behind - point.f0 + h * slope
        sizes = 2.0 * abs(point.f0) + abs(ahead) + abs(behind)
        products = h * float(np.abs(point.g) @ np.abs(v))
        noise = point.noise + 2.0 * EPS * (abs(point.f0) + abs(ahead) + products)
        return TaylorRow(
            h=h,
            e0=abs(ahead - point.f0),
            e1=abs(r),
            e2=abs(r - 0.5 * h * h * vhv),
            back=abs(s),
            odd=(r - s) / (2.0 * h),
            even=abs(r + s),
            noise=noise + point.rtol * h * abs(slope),
            odd_noise=(point.noise + EPS * (sizes + 2.0 * products)) / h,
        )


def _only_noise(row: TaylorRow, finer: TaylorRow) -> bool:
    # rounding explains the change of the odd part, and a smaller step makes it worse
    explained = 3.0 * (row.odd_noise + finer.odd_noise)
    return bool(abs(finer.odd - row.odd) <= explained and finer.odd_noise > 1.5 * row.odd_noise)


def _unclear(row: TaylorRow) -> bool:
    # on both sides of x0, for one of them may be straight
    return bool(np.isfinite(row.noise) and max(row.e1, row.back) <= CLEAR * row.noise)


def fit_window(
    h: Array, e: Array, noise: Array, expected: int, even: Array | None = None
) -> Window:
    """Find the run of halvings that ends at rounding and falls as one power of h; fit its slope.

    Parameters
    ----------
    h, e, noise : ndarray, (K,)
        Steps falling by halves, the remainder, and the rounding error to expect in it.
    expected : int
        The power that a right derivative gives: 2 for E1, 3 for E2.
    even : ndarray, (K,), optional
        The even part of the remainder, twice, to tell a bend at x0 from a wrong gradient.
    """
    finite = np.isfinite(e)
    with np.errstate(invalid="ignore"):
        clear = finite & (e > CLEAR * noise)
    if not finite.any():
        return Window("not finite", np.nan, 0, -1)
    if not clear.any():
        return Window("linear", np.nan, 0, -1)
    last = int(np.flatnonzero(clear)[-1])
    if _ends_abruptly(e, noise, clear, last):
        return Window("locally linear", np.nan, 0, -1)
    best = Window("too few points", np.nan, last, last)
    for bottom in range(last, max(last - 3, -1), -1):
        # the lowest rows may be skipped where noise could have been underestimated
        if not clear[bottom] or (bottom < last and e[bottom + 1] > 30.0 * CLEAR * noise[bottom]):
            break
        window = _window_from(h, e, clear, bottom, expected)
        if window.sound:
            return window
        if window.n_points > best.n_points:
            best = window
    if even is not None and best.kind == "slope" and round(best.slope) == 1:
        rows = slice(max(best.last - 2, 0), best.last + 1)
        if float(np.median(even[rows] / e[rows])) > 0.5:
            return best._replace(kind="kink")
    return best


def _ends_abruptly(e: Array, noise: Array, clear: Mask, last: int) -> bool:
    if last + 2 >= len(e) or not np.isfinite(e[last + 1 :]).all():
        return False
    below = max(e[last + 1], CLEAR * noise[last + 1])
    steep = last > 0 and clear[last - 1] and e[last - 1] > 2.0**_STEEP * e[last]
    return bool(steep or e[last] > 2.0 ** (_STEEP + 1.0) * below)


def _window_from(h: Array, e: Array, clear: Mask, bottom: int, expected: int) -> Window:
    top = bottom
    while top > 0 and clear[top - 1]:
        top -= 1
    slopes = np.log2(e[top:bottom] / e[top + 1 : bottom + 1])
    if not slopes.size:
        return Window("too few points", np.nan, bottom, bottom)
    power = max(1, round(float(np.median(slopes[-3:]))))
    first = bottom
    while first > top and abs(slopes[first - 1 - top] - power) <= LOCAL_TOLERANCE:
        first -= 1
    slope = _fit(h, e, first, bottom)
    while abs(slope - power) > SLOPE_TOLERANCE and bottom - first >= MIN_POINTS:
        first += 1  # the largest steps are not small enough yet
        slope = _fit(h, e, first, bottom)
    n_points = bottom - first + 1
    if n_points < MIN_POINTS or abs(slope - power) > SLOPE_TOLERANCE:
        faster = _falling_faster(h, e, slopes, bottom, expected)
        if faster is not None:
            return faster
    if n_points < MIN_POINTS:
        return Window("too few points", np.nan, first, bottom)
    if abs(slope - power) > SLOPE_TOLERANCE or power < expected:
        return Window("slope", slope, first, bottom)
    return Window("power law" if power == expected else "higher", slope, first, bottom)


def _falling_faster(h: Array, e: Array, slopes: Array, bottom: int, expected: int) -> Window | None:
    # Where the leading derivative nearly vanishes, the remainder goes from one power to the next
    # and is clean in neither. A slope that never sinks below the wanted one is as good: a wrong
    # gradient would pull it down.
    low = slopes[::-1] < expected - LOCAL_TOLERANCE
    n = int(np.argmax(low)) if low.any() else slopes.size
    if n + 1 < MIN_POINTS:
        return None
    slope = _fit(h, e, bottom - n, bottom)
    if slope < expected - SLOPE_TOLERANCE:
        return None
    return Window("higher", slope, bottom - n, bottom)


def _fit(h: Array, e: Array, first: int, last: int) -> float:
    if first == last:
        return np.nan
    rows = slice(first, last + 1)
    return float(np.polyfit(np.log2(h[rows]), np.log2(e[rows]), 1)[0])


def is_quadratic(s: Sweep, window: Window) -> bool:
    """Whether E1 falls as h² over every row that stands clear of rounding, the largest too."""
    clear = np.isfinite(s.e1) & (s.e1 > CLEAR * s.noise)
    if window.kind != "power law" or np.count_nonzero(clear) < 8:
        return False
    ratio = s.e1[clear] / s.h[clear] ** 2
    return bool(np.ptp(ratio) <= 0.03 * np.max(ratio) and np.ptp(ratio[:4]) <= 1e-6 * ratio[0])


def curvature(s: Sweep) -> float:
    """Return |v . Hv|, from the even part at the smallest step where it is clear of rounding."""
    with np.errstate(invalid="ignore"):
        clear = np.flatnonzero(s.even > 2.0 * CLEAR * s.noise)
    return float(s.even[clear[-1]] / s.h[clear[-1]] ** 2) if clear.size else 0.0


def is_flat(s: Sweep) -> bool:
    """Whether the function did not change, to rounding, at any step."""
    finite = np.isfinite(s.e0)
    return bool(finite.any() and (s.e0[finite] <= CLEAR * s.noise[finite]).all())
