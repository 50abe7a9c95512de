"""What other adjoints than the discrete one cost: their gradients beside the exact one, (D159).

A code may differentiate what it computed (the discrete adjoint, (D21)), or discretise the adjoint
equation: with the state integrated backwards beside it, or read from the stored path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refode._quiet import quietly
from refode._validate import interval, positive_int, real_array, sequence, shown
from refode.verify._calls import Array, callable_argument, readable
from refode.verify.directional import EPS
from refode.verify.order import OrderReport, observed_order

KINDS = ("backsolve", "hermite", "linear")
MOST_COLUMNS = 64  # of dz(T)/dx: with more of them the amplification is not computed
DIGITS = -np.log10(EPS)

#: f(t, z) and vjp(t, z, w) of one step
Functions = tuple[Callable[[float, Array], Array], Callable[[float, Array, Array], Any]]


@dataclass(frozen=True)
class GapReport:
    """What `adjoint_gap` found.

    Attributes
    ----------
    n_steps, steps : ndarray, (K,)
        Numbers of steps and their length.
    gaps, x_gaps : dict of str to ndarray, (K,)
        By kind: distance of the gradient in theta (in x) from the discrete adjoint's, relative to
        its length. inf where the adjoint left float64.
    orders : dict of str to OrderReport or None
        How the gaps in theta fall; None where no two of them can tell.
    reconstruction : ndarray, (K,)
        Distance of the start that backsolve comes back to from the true one, relative.
    amplification : float
        By how much going back multiplies the rounding of z(T), at the most steps: the largest
        1/sigma over samples, sigma the smallest singular value of dz(T)/dx. NaN beyond 64
        dimensions.
    theta_bar, x_bar : ndarray
        The discrete adjoint's, at the most steps.
    verdict : str
        The same in words.
    """

    n_steps: Array
    steps: Array
    gaps: dict[str, Array]
    x_gaps: dict[str, Array]
    orders: dict[str, OrderReport | None]
    reconstruction: Array
    amplification: float
    theta_bar: Array
    x_bar: Array
    verdict: str

    def __str__(self) -> str:
        lines = [f"{'adjoint':>10} {'n_steps':>8} {'gap theta':>10} {'gap x':>10} {'order':>6}"]
        for kind, gaps in self.gaps.items():
            report = self.orders[kind]
            for k, n in enumerate(self.n_steps):
                slope = np.nan if report is None or not k else report.slopes[k - 1]
                order = f"{slope:6.2f}" if np.isfinite(slope) else f"{'-':>6}"
                x_gap = self.x_gaps[kind][k]
                lines.append(f"{kind:>10} {int(n):>8} {gaps[k]:10.2e} {x_gap:10.2e} {order}")
        return "\n".join([*lines, self.verdict])


class Tableau(NamedTuple):
    A: Array
    b: Array
    c: Array


class Given(NamedTuple):
    """All that the sweeps below need; ``at(n, of)`` are the functions of step n of ``of``."""

    at: Callable[[int, int], Functions]
    scheme: Tableau
    x: Array
    z_bar: Array
    t_span: tuple[float, float]


@quietly()
def adjoint_gap(
    f: Callable[[float, Array], ArrayLike],
    vjp: Callable[[float, Array, Array], tuple[ArrayLike, ArrayLike]],
    tableau: Any,
    x: ArrayLike,
    z_bar: ArrayLike,
    t_span: tuple[float, float] = (0.0, 1.0),
    kinds: Iterable[str] = KINDS,
    n_steps: Iterable[int] = (8, 16, 32),
) -> GapReport:
    """Compare discretised adjoint equations with the adjoint of the discretisation, (D159).

    For any right-hand side: z' = f(t, z) by an explicit Runge-Kutta scheme with equal steps, and
    the gradient of sum z_bar z(T). The discrete adjoint is exact for the numbers computed.

    Parameters
    ----------
    f : callable
        ``f(t, z) -> (N, d)`` at states z (N, d).
    vjp : callable
        ``vjp(t, z, w) -> z_bar (N, d), theta_bar``: the transposed Jacobians by state and by
        parameters times w (N, d); theta_bar of any shape, summed over samples.
    tableau : Tableau or (A, b, c)
        An explicit scheme: of ``refode.tableaus.get``, or three arrays.
    x, z_bar : array_like, (N, d)
    t_span : (float, float), optional
    kinds : sequence of str, optional
        "backsolve": state and adjoint integrated back together from z(T); "hermite", "linear": the
        adjoint alone, the state read from the grid's states by cubic Hermite or linear
        interpolation.
    n_steps : sequence of int, optional

    Returns
    -------
    GapReport

    Raises
    ------
    TypeError, ValueError
        Arguments, and what the functions return: shapes, kinds, unknown names; a scheme that is
        not explicit; a gradient that is not finite.

    Examples
    --------
    >>> report = adjoint_gap(
    ...     lambda t, z: z,
    ...     lambda t, z, w: (w, (w * z).sum()),
    ...     ([[0.0]], [1.0], [0.0]),
    ...     [[1.0]],
    ...     [[1.0]],
    ... )
    >>> {kind: f"{gaps[-1]:.4f}" for kind, gaps in report.gaps.items()}
    {'backsolve': '0.0158', 'hermite': '0.0313', 'linear': '0.0313'}
    """
    f, vjp = callable_argument("f", f), callable_argument("vjp", vjp)
    x = real_array("x", x, ("N", "d"))
    z_bar = real_array("z_bar", z_bar, x.shape)
    mine = _called(f, x.shape), _called_vjp(vjp, x.shape)
    given = Given(lambda n, of: mine, _scheme(tableau), x, z_bar, interval("t_span", t_span))
    return gaps_of(given, kinds, n_steps)


@quietly()
def gaps_of(given: Given, kinds: Iterable[str], n_steps: Iterable[int]) -> GapReport:
    """`adjoint_gap`, with functions that may differ from step to step."""
    chosen = tuple(sequence("kinds", kinds, "names"))
    for kind in chosen:
        if kind not in KINDS:
            raise ValueError(f"kinds: got {shown(kind)}, wanted one of {', '.join(KINDS)}")
    counts = sorted({positive_int("n_steps", n) for n in sequence("n_steps", n_steps, "ints")})
    if not chosen or not counts:
        raise ValueError("kinds, n_steps: got none, wanted at least one of each")
    theta_gaps: dict[str, list[float]] = {kind: [] for kind in chosen}
    x_gaps: dict[str, list[float]] = {kind: [] for kind in chosen}
    rebuilt, path, right = [], given.x, (given.x, given.x)
    for n in counts:
        path = _path(given, n)
        right = discrete(given, path)
        if not all(np.isfinite(part).all() for part in right):
            raise ValueError(f"f, vjp: the discrete gradient by {n} steps is not finite")
        for kind in chosen:
            found = discretised(given, path, kind)
            theta_gaps[kind].append(_distance(found[1], right[1]))
            x_gaps[kind].append(_distance(found[0], right[0]))
        rebuilt.append(_distance(_back(given, path), given.x))
    steps = abs(given.t_span[1] - given.t_span[0]) / np.array(counts, dtype=float)
    gaps = {kind: np.array(found) for kind, found in theta_gaps.items()}
    orders = {kind: _order(found, steps) for kind, found in gaps.items()}
    growth = _amplification(given, path)
    return GapReport(
        np.array(counts, dtype=float),
        steps,
        gaps,
        {kind: np.array(found) for kind, found in x_gaps.items()},
        orders,
        np.array(rebuilt),
        growth,
        right[1],
        right[0],
        _verdict(orders, growth),
    )


# --- the adjoints ------------------------------------------------------------------------------
def _path(given: Given, n: int) -> Array:
    """Grid states (n+1, N, d)."""
    h = (given.t_span[1] - given.t_span[0]) / n
    states = [given.x]
    for k in range(n):
        f, t = given.at(k, n)[0], given.t_span[0] + k * h
        slopes = _stages(f, given.scheme, states[-1], t, h)[1]
        states.append(states[-1] + h * np.tensordot(given.scheme.b, slopes, 1))
    return np.stack(states)


def _stages(f: Any, scheme: Tableau, z: Array, t: float, h: float) -> tuple[Array, Array]:
    """Stage states and slopes, (s, N, d) each."""
    A, b, c = scheme
    Y, F = np.empty((2, len(b), *z.shape))
    for i in range(len(b)):
        Y[i] = z + h * np.tensordot(A[i, :i], F[:i], 1)
        F[i] = f(t + c[i] * h, Y[i])
    return Y, F


def discrete(given: Given, path: Array, z_bar: Array | None = None) -> tuple[Array, Array]:
    """x_bar and theta_bar of the adjoint of the discretisation, (D21)."""
    A, b, c = given.scheme
    n = len(path) - 1
    h = (given.t_span[1] - given.t_span[0]) / n
    lam, theta_bar = given.z_bar if z_bar is None else z_bar, np.zeros(())
    for k in reversed(range(n)):
        f, vjp = given.at(k, n)
        t = given.t_span[0] + k * h
        Y, _ = _stages(f, given.scheme, path[k], t, h)
        bars = np.zeros_like(Y)
        for i in reversed(range(len(b))):
            w = h * (b[i] * lam + np.tensordot(A[i + 1 :, i], bars[i + 1 :], 1))
            bars[i], share = vjp(t + c[i] * h, Y[i], w)
            theta_bar = theta_bar + share
        lam = lam + bars.sum(axis=0)
    return lam, theta_bar


def discretised(given: Given, path: Array, kind: str) -> tuple[Array, Array]:
    """x_bar and theta_bar of an adjoint equation integrated from T on, (D159)."""
    A, b, c = given.scheme
    n = len(path) - 1
    h = (given.t_span[1] - given.t_span[0]) / n
    z, lam, theta_bar = path[-1], given.z_bar, np.zeros(())
    for k in reversed(range(n)):
        f, vjp = given.at(k, n)
        t = given.t_span[0] + (k + 1) * h
        if kind == "backsolve":
            Y, F = _stages(f, given.scheme, z, t, -h)
            z = z - h * np.tensordot(b, F, 1)
        else:
            ends = path[k], path[k + 1]
            slopes = (f(t - h, ends[0]), f(t, ends[1])) if kind == "hermite" else None
            Y = np.stack([_between(1.0 - ci, h, ends, slopes) for ci in c])
        bars = np.zeros_like(Y)
        for i in range(len(b)):
            bars[i], share = vjp(t - c[i] * h, Y[i], lam + h * np.tensordot(A[i, :i], bars[:i], 1))
            theta_bar = theta_bar + h * b[i] * share
        lam = lam + h * np.tensordot(b, bars, 1)
    return lam, theta_bar


def _between(at: float, h: float, ends: Any, slopes: Any) -> Array:
    """The path within a step: linear, or cubic with the slopes at its ends."""
    chord = ends[1] - ends[0]
    line = ends[0] + at * chord
    if slopes is None:
        return line
    first, last = h * slopes[0] - chord, h * slopes[1] - chord
    return line + at * (1.0 - at) * ((1.0 - at) * first - at * last)


def _back(given: Given, path: Array) -> Array:
    """The start that the scheme comes back to from z(T)."""
    n = len(path) - 1
    h, z = (given.t_span[1] - given.t_span[0]) / n, path[-1]
    for k in reversed(range(n)):
        F = _stages(given.at(k, n)[0], given.scheme, z, given.t_span[0] + (k + 1) * h, -h)[1]
        z = z - h * np.tensordot(given.scheme.b, F, 1)
    return z


def _amplification(given: Given, path: Array) -> float:
    """1/sigma of dz(T)/dx, (D160), by an adjoint for every row."""
    d = given.x.shape[1]
    if d > MOST_COLUMNS:
        return np.nan
    rows = [discrete(given, path, np.broadcast_to(e, given.x.shape))[0] for e in np.eye(d)]
    sigma = np.linalg.svd(np.stack(rows, axis=1), compute_uv=False)[:, -1].min()
    return float(1.0 / sigma) if sigma > 0.0 else np.inf


# --- in words --------------------------------------------------------------------------------
def _distance(found: Array, right: Array) -> float:
    off = float(np.linalg.norm(found - right))
    if not np.isfinite(off):
        return np.inf
    return off / (float(np.linalg.norm(right)) or 1.0)


def _order(gaps: Array, steps: Array) -> OrderReport | None:
    if len(gaps) < 2 or not np.isfinite(gaps).all():
        return None
    return observed_order(gaps, steps, scale=1.0)


def _verdict(orders: dict[str, OrderReport | None], growth: float) -> str:
    known = {kind: np.nan if r is None else r.order for kind, r in orders.items()}
    texts = [f"{kind} {order:.2f}" for kind, order in known.items() if np.isfinite(order)]
    told = f"orders of the gaps: {', '.join(texts)}" if texts else "no order of the gaps to see"
    if np.isnan(growth):
        return told
    lost = max(0.0, float(np.log10(growth)))
    left = "nothing of the path is left" if lost >= DIGITS else f"{lost:.1f} digits are lost"
    return f"{told}; going back multiplies rounding by {growth:.1e}: {left}"


# --- what strangers give -----------------------------------------------------------------------
def _scheme(tableau: Any) -> Tableau:
    floats = getattr(tableau, "as_floats", None)
    parts = floats() if callable(floats) else tableau
    if not isinstance(parts, tuple | list) or len(parts) != 3:
        raise TypeError(
            f"tableau: got {shown(tableau)}, wanted a tableau (refode.tableaus.get) or (A, b, c)"
        )
    b = real_array("tableau", parts[1], ("s",))
    A, c = real_array("tableau", parts[0], (b.size,) * 2), real_array("tableau", parts[2], b.shape)
    if np.triu(A).any():
        raise ValueError("tableau: got A with entries on or above its diagonal, wanted explicit")
    return Tableau(A, b, c)


def _called(f: Callable[..., Any], shape: tuple[int, ...]) -> Callable[..., Array]:
    return lambda t, z: _array("f", f(t, z.copy()), shape)


def _called_vjp(vjp: Callable[..., Any], shape: tuple[int, ...]) -> Callable[..., Any]:
    def call(t: float, z: Array, w: Array) -> tuple[Array, Array]:
        out = vjp(t, z, w)  # of arrays that nobody reads again
        if not isinstance(out, tuple | list) or len(out) != 2:
            raise TypeError(f"vjp: returned {shown(out)}, wanted (z_bar, theta_bar)")
        return _array("vjp", out[0], shape), _array("vjp", out[1], None)

    return call


def _array(name: str, out: Any, shape: tuple[int, ...] | None) -> Array:
    array = readable(name, out)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}: returned an array of dtype {array.dtype}, wanted real numbers")
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name}: returned an array of shape {array.shape}, wanted {shape}")
    return np.array(array, dtype=np.float64)
