"""`check_gradient`: is this the gradient of that function, and what could the check have seen?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refode._quiet import quietly
from refode._scaling import scaled
from refode._validate import (
    boolean,
    is_text,
    nonnegative,
    nonnegative_int,
    positive_int,
    real_array,
    real_vector,
    short,
    text,
)
from refode.verify import truth
from refode.verify._calls import Array, Function, VectorFunction
from refode.verify.directional import EPS, noise_level, nudged
from refode.verify.reports import DirectionReport, GradientReport, TaylorReport
from refode.verify.taylor import NOT_CHECKED, Point, Sweep, fit_window, is_flat, is_quadratic, sweep
from refode.verify.verdict import Findings, judge

ENOUGH = 0.01  # a run that could not have seen an error of this size is inconclusive
_REDRAWS = 4


@quietly()
def check_gradient(
    fun: Callable[..., Any],
    gradient: Callable[..., Any] | bool,
    x0: ArrayLike,
    *,
    hessian_vector: Callable[..., Any] | None = None,
    blocks: Mapping[str, Any] | None = None,
    n_directions: int = 5,
    seed: int = 0,
    complex_step: bool | str = "auto",
    rtol: float = 0.0,
    print_table: bool = True,
    name: str = "gradient",
) -> GradientReport:
    r"""Check a gradient, for anyone's function, and say how small an error would have shown.

    Along random unit vectors v, and along one inside each block:

    * g . v is held against the **truth**: the complex step where `fun` takes complex input and
      agrees with its own differences, else central differences extrapolated to h = 0. The
      difference must be explained by the truth's estimated error and by rounding.
    * **Taylor remainders** E0, E1 (and E2 with a Hessian) are tabulated over halvings of h; the
      slope of E1 must be 2 ± 0.05 (of E2: 3 ± 0.05) on at least four points of the run of
      halvings that ends where rounding begins.

    Parameters
    ----------
    fun : callable
        ``fun(x) -> float`` of an array (p,).
    gradient : callable or True
        ``gradient(x) -> (p,)``; True if `fun` returns ``(value, gradient)``.
    x0 : array_like, (p,)
        Where to check: a point at which neither the gradient nor a block of it vanishes.
    hessian_vector : callable, optional
        ``hessian_vector(x, v) -> (p,)``; is then held against the derivative of `gradient`.
    blocks : mapping of str to slice or integer array, optional
        Parts of x, each entry in exactly one. Each is checked by itself, so that a wrong one is
        named, and so that one with small derivatives is not hidden behind the others.
    n_directions : int
        Random directions in all of x.
    seed : int
        Draws the directions; the same seed gives the same report.
    complex_step : "auto", True or False
        Whether to take the complex step; True raises where `fun` does not allow it.
    rtol : float
        A relative error of the gradient to accept beyond rounding, for functions that are
        computed by an iteration, say.
    print_table : bool
        Whether to print the report.
    name : str
        Title of the report.

    Returns
    -------
    GradientReport
        True where every check was met *and* could have failed. Prints as a table;
        `smallest_detectable` is the smallest relative error that the run could have seen.

    Raises
    ------
    TypeError
        Something that is not callable; a function that returns no real numbers; blocks of an
        unknown kind; ``complex_step=True`` for a function that does not allow it.
    ValueError
        NaN, infinity or no entries in `x0`; a function that returns another shape; blocks that
        overlap or leave gaps.

    Notes
    -----
    Costs about 60 values a direction and 30 a block, and a handful of gradients. docs/checks.md
    says how the check works and what it cannot see.

    Examples
    --------
    >>> import numpy as np
    >>> report = check_gradient(lambda x: np.sum(np.sin(x)), np.cos, [0.3, 1.0], print_table=False)
    >>> report.passed, report.smallest_detectable < 1e-13
    (True, True)
    """
    x = np.array(real_array("x0", x0, ("p",)))
    n_directions = positive_int("n_directions", n_directions)
    seed, rtol = nonnegative_int("seed", seed), nonnegative("rtol", rtol)
    taking_complex = _complex_choice(complex_step)
    print_table, name = boolean("print_table", print_table), text("name", name)
    function = Function(fun, returns_pair=gradient is True)
    slope = _gradient_of(function, gradient, x.size)
    curvature = None
    if hessian_vector is not None:
        curvature = VectorFunction("hessian_vector", hessian_vector, x.size)
    parts = block_indices(blocks, x.size)
    rng = np.random.default_rng(seed)
    found = Findings(name, function, slope, curvature, parts)
    point = _look_at(found, x, rng, rtol)
    if point is not None:
        _check_directions(found, point, rng, n_directions, taking_complex)
        _check_blocks(found, point, rng, taking_complex)
    report = judge(found, ENOUGH)
    if print_table:
        print(report)
    return report


def _gradient_of(function: Function, gradient: Any, size: int) -> VectorFunction:
    return VectorFunction("gradient", function.pair if gradient is True else gradient, size)


def _complex_choice(value: Any) -> bool | None:
    if is_text(value) and text("complex_step", value) == "auto":
        return None
    try:
        return boolean("complex_step", value)
    except TypeError:
        raise ValueError(
            f"complex_step: got {short(value)}, wanted 'auto', True or False"
        ) from None


def block_indices(blocks: Mapping[str, Any] | None, size: int) -> dict[str, NDArray[np.intp]]:
    """Return the indices of each block; see `check_gradient` for what is raised."""
    if blocks is None:
        return {}
    if not isinstance(blocks, Mapping):
        raise TypeError(
            f"blocks: got {type(blocks).__name__}, wanted a mapping of names to slices "
            "or integer arrays"
        )
    owner: dict[int, str] = {}
    indices = {}
    for key, part in blocks.items():
        if not isinstance(part, slice | range | list | tuple | np.ndarray):
            raise TypeError(
                f"blocks[{key!r}]: got {type(part).__name__}, wanted a slice or an integer array"
            )
        spec = part if isinstance(part, slice) else np.asarray(part)
        if isinstance(spec, np.ndarray) and spec.size == 0:
            spec = slice(0, 0)
        if isinstance(spec, np.ndarray) and (spec.dtype.kind not in "iu" or spec.ndim != 1):
            raise TypeError(
                f"blocks[{key!r}]: got an array of dtype {spec.dtype} and shape "
                f"{spec.shape}, wanted integers of shape (n,)"
            )
        try:
            indices[str(key)] = np.arange(size)[spec]
        except IndexError as error:
            raise ValueError(f"blocks[{key!r}]: {error}, x0 has {size} entries") from None
        if not indices[str(key)].size:
            raise ValueError(f"blocks[{key!r}]: got no entries, wanted at least one")
        for i in indices[str(key)].tolist():
            if i in owner:
                raise ValueError(
                    f"blocks: got entry {i} in both {owner[i]!r} and {str(key)!r}, "
                    "wanted every entry of x0 in exactly one"
                )
            owner[i] = str(key)
    missing = sorted(set(range(size)) - set(owner))
    if missing:
        raise ValueError(
            f"blocks: got no block for {len(missing)} entries, {missing[0]} the first, "
            "wanted every entry of x0 in exactly one"
        )
    return indices


def _look_at(found: Findings, x: Array, rng: np.random.Generator, rtol: float) -> Point | None:
    """Call everything at x0, see whether it can be trusted; None where there is nothing to do."""
    f0, g = found.function(x), found.gradient(x)
    values = [found.function(x) for _ in range(2)]
    again = found.gradient(x)
    found.value, found.g = f0, g
    if not np.isfinite(f0):
        found.failures.append(f"fun(x0) is {f0}")
    if not np.isfinite(g).all():
        bad = np.flatnonzero(~np.isfinite(g))
        found.failures.append(
            f"{bad.size} entries of the gradient are not finite, entry {bad[0]} is {g[bad[0]]}"
        )
    if found.failures:
        return None
    jitter = float(np.max(np.abs(np.subtract(values, f0))))
    if jitter > 0.0 or not np.array_equal(again, g):
        found.warnings.append(
            "two calls at x0 differ: the function or its gradient is not "
            "deterministic, and no error below that difference can be seen"
        )
    found.noise = noise_level(found.function.far, x, g, rng)
    if found.noise > 1e5 * EPS * abs(f0):
        found.warnings.append(
            f"values carry noise of {found.noise:.1e}, {found.noise / (EPS * abs(f0)):.0e} times "
            "their rounding"
            if f0 != 0.0
            else f"values carry noise of {found.noise:.1e} around 0"
        )
    # an output buffer that is used again shows here too
    nearby = np.nan_to_num([found.gradient.far(nudged(x, rng)) - g for _ in range(4)])
    return Point(found.function, x, f0, g, found.noise, rtol, nearby)


def _unit(rng: np.random.Generator, size: int) -> Array:
    v = rng.standard_normal(size)
    return v / np.linalg.norm(v)


def _check_directions(
    found: Findings, point: Point, rng: np.random.Generator, n: int, taking_complex: bool | None
) -> None:
    draw, rng = rng.spawn(2)  # so that the same directions are drawn whatever else is
    directions, products, v = [], [], point.x
    for k in range(n):
        for attempt in range(_REDRAWS):
            v = -v if attempt % 2 else _unit(draw, point.x.size)
            hv = found.hessian_vector(point.x, v) if found.hessian_vector else None
            s = sweep(point, v, float(v @ hv) if hv is not None else np.nan)
            taylor = _taylor(s, hv is not None, point.rtol)
            row, remark = truth.compare(point, v, s, str(k + 1), rng, taking_complex)
            # where the curvature nearly vanishes along v no power of h may be clean: look the
            # other way, then draw another
            if taylor.passed or not row.passed or not taylor.unclear:
                break
        found.add(row, taylor, remark)
        directions.append(v)
        if hv is not None:
            products.append(hv)
    if products:
        found.hessian = truth.compare_hessian(
            point, found.gradient, directions, products, rng, taking_complex
        )


def _taylor(s: Sweep, with_hessian: bool, rtol: float = 0.0) -> TaylorReport:
    first = fit_window(s.h, s.e1, s.noise, 2, s.even)
    if rtol > 0.0 and first.kind == "too few points":
        first = first._replace(kind="accepted", first=0, last=-1)
    second = fit_window(s.h, s.e2, s.noise, 3) if with_hessian else NOT_CHECKED
    return TaylorReport(
        s.h,
        s.e0,
        s.e1,
        s.e2,
        window1=(first.first, first.last),
        slope1=first.slope,
        kind1=first.kind,
        window2=(second.first, second.last),
        slope2=second.slope,
        kind2=second.kind,
        quadratic=is_quadratic(s, first),
        flat=is_flat(s),
    )


def _check_blocks(
    found: Findings, point: Point, rng: np.random.Generator, taking_complex: bool | None
) -> None:
    draw, rng = rng.spawn(2)
    for label, index in found.blocks.items():
        best: DirectionReport | None = None
        for _ in range(_REDRAWS):
            v = np.zeros(point.x.size)
            v[index] = _unit(draw, index.size)
            s = sweep(point, v, for_slope=False)
            row, remark = truth.compare(point, v, s, label, rng, taking_complex)
            found.remark(remark)
            if best is None or row.smallest_detectable < best.smallest_detectable:
                best = row
            if not row.passed:
                best = row
                break
            if best.smallest_detectable <= ENOUGH or row.flat:
                break
        assert best is not None
        found.per_block[label] = best


@quietly()
def taylor_test(
    fun: Callable[..., Any],
    gradient: Callable[..., Any] | bool,
    x0: ArrayLike,
    direction: ArrayLike | None = None,
    *,
    hessian_vector: Callable[..., Any] | None = None,
    seed: int = 0,
) -> TaylorReport:
    """Tabulate Taylor remainders along one direction and fit their slopes; no truth is needed.

    Parameters
    ----------
    fun, gradient, x0, hessian_vector
        As for `check_gradient`.
    direction : array_like, (p,), optional
        Is scaled to length 1; a random one by default. The gradient itself is a poor choice: an
        error at right angles to it is never seen.
    seed : int
        Draws the direction.

    Returns
    -------
    TaylorReport
        True where the slopes are right. Prints as a table.

    Raises
    ------
    TypeError, ValueError
        As `check_gradient`; a direction of zeros; a function or gradient that is not finite.
    """
    x = np.array(real_array("x0", x0, ("p",)))
    rng = np.random.default_rng(nonnegative_int("seed", seed))
    function = Function(fun, returns_pair=gradient is True)
    slope = _gradient_of(function, gradient, x.size)
    v = _unit(rng, x.size) if direction is None else real_vector("direction", direction, x.size)
    _, (v,) = scaled(v)
    length = float(np.linalg.norm(v))
    if length == 0.0:
        raise ValueError("direction: got zeros, wanted a direction")
    v = v / length
    f0, g = function(x), slope(x)
    if not (np.isfinite(f0) and np.isfinite(g).all()):
        raise ValueError("fun, gradient: got values at x0 that are not finite, wanted finite ones")
    noise = noise_level(function.far, x, g, rng)
    point = Point(function, x, f0, g, noise, 0.0, np.zeros((0, x.size)))
    vhv = np.nan
    if hessian_vector is not None:
        vhv = float(v @ VectorFunction("hessian_vector", hessian_vector, x.size)(x, v))
    return _taylor(sweep(point, v, vhv), hessian_vector is not None)
