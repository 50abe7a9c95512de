"""Directional derivatives to hold a gradient against, each with an honest error estimate."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refode._quiet import quietly
from refode._scaling import restored, scaled
from refode._validate import n_axes, real_array, real_number
from refode.verify._calls import Array, callable_argument, readable

EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).tiny)

_MAX_COLUMNS = 7  # of the extrapolation: beyond h^14 nothing is gained in float64


@quietly()
def complex_step(
    fun: Callable[..., Any], x: ArrayLike, v: ArrayLike, step: float = 1e-200
) -> float | Array:
    r"""Directional derivative by the complex step, :math:`\operatorname{Im} f(x + ihv)/h`.

    No difference is taken, so nothing cancels: with a step this small the truncation error,
    :math:`O(h^2)`, is below rounding, and what remains is the rounding of `fun` itself. `fun`
    must be written so that complex numbers pass through it analytically: no ``abs``, ``conj``,
    ``real``, ``vdot`` or ``norm``.

    Parameters
    ----------
    fun : callable
        ``fun(x)`` of an array of the shape of `x`, complex; returns a complex number or array.
    x : array_like
        Where to differentiate.
    v : array_like
        The direction, of the shape of `x`; of any size, as the derivative is linear in it.
    step : float
        h > 0.

    Returns
    -------
    float or ndarray
        :math:`\mathrm{d} f(x + sv)/\mathrm{d} s` at s = 0, of the shape that `fun` returns.

    Raises
    ------
    TypeError
        `fun` is not callable, or it returns real numbers for complex input.
    ValueError
        NaN, infinity, empty or mismatched arrays, a step that is not positive.

    References
    ----------
    W. Squire and G. Trapp, Using complex variables to estimate derivatives of real functions,
    SIAM Review 40 (1998) 110-112.
    """
    callable_argument("fun", fun)
    x = real_array("x", x, (None,) * n_axes(x))
    exponent, (v,) = scaled(real_array("v", v, x.shape))
    step = real_number("step", step)
    if step <= 0.0:
        raise ValueError(f"step: got {step}, wanted a number > 0")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            out = readable("fun", fun(x + 1j * step * v))
    except np.exceptions.ComplexWarning:
        raise TypeError("fun: discards the imaginary part of its input on the way") from None
    if out.dtype.kind != "c":
        raise TypeError(f"fun: returned dtype {out.dtype} for complex input, wanted complex")
    slope = restored(exponent, out.imag / step)
    return float(slope) if slope.ndim == 0 else slope


def extrapolate(values: NDArray[np.float64], noise: Array) -> tuple[Any, float]:
    r"""Limit for h to 0 of values whose error is a series in h², and an estimate of its error.

    Richardson's extrapolation (Romberg's table) on rows whose step halves. The error of an
    entry is estimated as the distance between the two entries it is made of, which is the
    error of the coarser one and so errs on the safe side, plus twice the noise of its row (no
    entry of the table amplifies noise by more than 1.97). Where the last rows, which only noise
    tells apart, differ by more than the noise given, it is taken to be that much larger. The
    entry with the smallest estimate is taken, provided that the best entries of all finer rows
    agree with it within their estimates: at large steps rows may agree on something else.

    Parameters
    ----------
    values : ndarray, (K,) or (K, p)
        The approximations, rows from the largest step to the smallest; vectors are measured in
        the Euclidean norm.
    noise : ndarray, (K,)
        The rounding error to expect in each row.

    Returns
    -------
    limit : float or ndarray, (p,)
        NaN where fewer than three finite rows are left.
    error : float
        The estimate; infinite there.
    """
    rows = values.reshape(len(values), -1)
    nothing = np.nan if values.ndim == 1 else np.full(values.shape[1], np.nan)
    with np.errstate(all="ignore"):  # in units of the last row, lest squares under- or overflow
        size = max(float(np.max(np.abs(rows[-1]))), float(noise[-1]), TINY)
        rows, noise = rows / size, noise / size
        usable = (np.abs(rows).max(axis=1) < 1e100) & (noise < 1e100)
    bad = np.flatnonzero(~usable)
    first = int(bad[-1]) + 1 if bad.size else 0
    rows, noise = rows[first:], noise[first:]
    if len(rows) < 3:
        return nothing, np.inf
    table = _table(rows, noise * _underestimate(rows, noise))
    best = {entry[1]: entry for entry in sorted(table, key=lambda entry: -entry[0])}
    for estimate, k, limit in sorted(table, key=lambda entry: entry[:2]):
        finer = [entry for row, entry in best.items() if row > k]
        if all(np.linalg.norm(e[2] - limit) <= 1.5 * (e[0] + estimate) for e in finer):
            return size * (float(limit[0]) if values.ndim == 1 else limit), size * estimate
    return nothing, np.inf


def _underestimate(rows: Array, noise: Array) -> float:
    """Return by how much the last neighbours differ beyond their noise, at least 1."""
    change = np.linalg.norm(np.diff(rows[-4:], axis=0), axis=1)
    expected = noise[-4:][1:] + noise[-4:][:-1]
    return max(1.0, float(np.max(change / np.maximum(expected, TINY))))


def _table(rows: Array, noise: Array) -> list[tuple[float, int, Array]]:
    """Return (estimated error, row, value) of each entry of Romberg's table past column 0."""
    entries, column = [], rows
    for j in range(1, min(_MAX_COLUMNS, len(rows))):
        step = np.diff(column, axis=0)
        column = column[1:] + step / (4.0**j - 1.0)
        estimate = np.linalg.norm(step, axis=1) + 2.0 * noise[j:]
        entries += [(float(estimate[k]), k + j, column[k]) for k in range(len(estimate))]
    return entries


def ulp_scale(x: Array) -> Array:
    """Return the magnitude (p,) to which rounding in each entry of `x` (p,) is relative.

    That is the entry's own, except for zeros, which are measured against the rest (against 1 at
    most, and against 1 where all of x is zero).
    """
    typical = float(np.sqrt(np.mean(x * x)))
    return np.where(x != 0.0, np.abs(x), min(1.0, typical) if typical > 0.0 else 1.0)


def nudged(x: Array, rng: np.random.Generator) -> Array:
    """Return `x` (p,) moved by a few units in the last place, at random."""
    return x + 4.0 * EPS * ulp_scale(x) * rng.choice([-1.0, 1.0], x.size)


def noise_level(
    fun: Callable[[Array], float], x: Array, g: Array, rng: np.random.Generator
) -> float:
    r"""Rounding error of `fun` near `x`, measured from differences of high order.

    On nine equally spaced points next to x the differences of order 4 to 6 of a smooth function
    vanish and those of its noise do not: noise of standard deviation s leaves differences of
    order k with variance :math:`s^2 (2k)!/(k!)^2`. Where `fun` is a staircase at this spacing
    (single precision inside, say), the spacing is widened until the stairs are seen. That the
    points themselves are rounded is part of the noise: `g` says how much it is at least.

    Parameters
    ----------
    fun : callable
        ``fun(x) -> float``.
    x, g : ndarray, (p,)
        Where to measure, and about the gradient there.
    rng : numpy.random.Generator
        Draws the direction.

    Returns
    -------
    float
        The noise's standard deviation; at least the machine epsilon times ``|fun(x)|`` and
        times the length of the vector of products g_i x_i.

    References
    ----------
    J. J. Moré and S. M. Wild, Estimating computational noise, SIAM J. Sci. Comput. 33 (2011)
    1292-1314.
    """
    direction = ulp_scale(x) * rng.choice([-1.0, 1.0], x.size) * rng.uniform(0.5, 1.0, x.size)
    value = abs(fun(x))
    measured, stairs = 0.0, False
    for exponent in (-40, -30, -20, -10):
        values = np.array([fun(x + k * 2.0**exponent * direction) for k in range(9)])
        if not np.isfinite(values).all():
            break
        measured = _noise_in(values)
        jumps = np.abs(np.diff(values))
        if np.count_nonzero(jumps == 0.0) < 4:
            if stairs:  # equal stairs by accident have no differences of high order
                measured = max(measured, 0.5 * float(np.min(jumps[jumps > 0.0])))
            break
        stairs = True
    return max(measured, EPS * (value + float(np.linalg.norm(g * x))))


def _noise_in(values: Array) -> float:
    size = max(float(np.max(np.abs(values))), TINY)
    noise, ratio, difference = 0.0, 1.0, values / size
    for k in range(1, 7):
        difference = np.diff(difference)
        ratio *= k / (4.0 * k - 2.0)  # (k!)^2 / (2k)!
        if k >= 4:
            noise = max(noise, float(np.sqrt(ratio * np.mean(difference**2))))
    return size * noise
