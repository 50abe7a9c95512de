"""States between the points of the grid: which schemes have them, and where times lie.

The interpolants of eq. (D133): through values and slopes at both ends of a step for any scheme
whose last stage is the slope there, and Dormand and Prince's own polynomial of degree four.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from refode import _validate, tableaus
from refode._fixed import read_only
from refode._numbers import at
from refode.costs.reading import Reading
from refode.machine.callbacks import heard
from refode.machine.threads import Team
from refode.ode import driver
from refode.sweeps.dense import Dense, reading_chunks
from refode.tableaus import Tableau

Array = np.ndarray

#: Of [HNW93], sect. II.6: what dopri5's polynomial has beyond the cubic one.
_DOPRI5 = (
    "-12715105075/11282082432 0 87487479700/32700410799 -10690763975/1880347072 "
    "701980252875/199316789632 -1453857185/822651844 69997945/29380423"
)


def interpolant(tableau: Tableau) -> Array | None:
    """Shares of the slopes in what is read within a step, ``Reading.shares``; None without."""
    last = tableau.n_stages - 1
    if tableau.c[last] != 1 or tableau.b[last] != 0 or tableau.A[last] != tableau.b:
        return None
    A, b, _ = tableau.as_floats()
    first, end = np.zeros((2, last + 1))
    first[0] = end[last] = 1.0
    d = np.zeros(last + 1)
    if tableau.A == tableaus.get("dopri5").A:
        d = np.array([float(Fraction(text)) for text in _DOPRI5.split()])
    return np.stack([b, first - b, 2.0 * b - first - end, d])


def dense_scheme(name: str, scheme: str | Tableau) -> tuple[Dense, Array]:
    """Kernel description and shares of a scheme; ValueError where it has no interpolant."""
    known = [n for n in tableaus.names() if interpolant(tableaus.get(n)) is not None]
    symplectic = isinstance(scheme, str) and scheme not in tableaus.names()
    tableau = None if symplectic else tableaus.get(scheme)
    shares = None if tableau is None else interpolant(tableau)
    if tableau is None or shares is None:
        shown = scheme if tableau is None else tableau.name
        raise ValueError(
            f"{name}: got {shown!r}, which has no state within its steps, wanted one of "
            f"{', '.join(map(repr, known))}"
        )
    A, b, c = tableau.as_floats()
    return read_only((Dense(A, b, c, *np.zeros((2, 0), np.int64)), shares))


def reading_of(nodes: Array, times: Array, shares: Array, first: bool = True) -> Reading:
    """Where times (N or 1, K) lie in the steps between nodes; each row in the nodes' order.

    A time at a node belongs to the step that ends there, and at the first node to the first step
    if this is where paths begin. Times before the nodes and after them are not read.
    """
    n_steps, way = len(nodes) - 1, 1.0 if nodes[-1] > nodes[0] else -1.0
    places = np.searchsorted(way * nodes, way * times, side="left") - 1
    if first:
        places[times == nodes[0]] = 0
    begin = np.zeros((len(times), n_steps + 2), np.int64)  # those before, in each step, after
    rows = np.repeat(np.arange(len(times)), times.shape[1])
    np.add.at(begin, (rows, places.ravel() + 1), 1)
    begin = np.ascontiguousarray(np.cumsum(begin, axis=1)[:, :-1])
    places = np.clip(places, 0, n_steps - 1)
    fraction = (times - nodes[places]) / (nodes[places + 1] - nodes[places])
    return read_only(Reading(begin, np.clip(fraction, 0.0, 1.0), shares))


def wanted_steps(reading: Reading) -> Array:
    """In which steps something is read, 0 or 1."""
    there: Array = np.diff(reading.begin, axis=1) > 0
    return np.any(there, axis=0).astype(np.int64)


def times_within(name: str, times: Any, n: int, t_span: tuple[float, float]) -> Array:
    """Times (K,) or (n, K) within an interval; ValueError naming the first that is not."""
    axes = _validate.n_axes(times)
    times = _validate.real_array(name, times, (n, "K") if axes == 2 else ("K",))
    low, high = sorted(t_span)
    out = (times < low) | (times > high)
    if out.any():
        index = tuple(int(i) for i in np.argwhere(out)[0])
        raise ValueError(
            f"{name}: got {times[index]} at {at(index)}, wanted times within t_span, "
            f"[{low}, {high}]"
        )
    return times


def read(
    sweep: driver.Sweep, E: Array, x: Array, reading: Reading, n_times: int, of: str = "x"
) -> Array:
    """States at the times of a reading, (N, K, rows); NaN where nothing is read."""
    X = np.ascontiguousarray(x, dtype=E.dtype)
    out = np.full((len(X), n_times, sweep.rows), np.nan, E.dtype)
    S, runs, _ = driver._blocks(sweep, len(X), of)
    dynamics, scheme = driver._parts(sweep, E.dtype, back=False)
    solve, grid = reading_chunks.of(E.dtype), sweep.grid
    counter = np.zeros(1, dtype=np.int64)
    work: Callable[[], Any] = partial(
        solve,
        dynamics,
        scheme,
        grid.t,
        grid.h,
        grid.slots,
        E,
        X,
        runs,
        counter,
        S,
        sweep.rows,
        max(sweep.tape, 1),
        reading.begin,
        reading.fraction,
        reading.shares,
        out,
    )
    work = heard(sweep.dynamics.field, work)
    Team(work, len(runs)).around(work)
    return out
