"""From arrays to kernels and back: buffers, chunks, sums by a fixed tree.

Twin on the device: refode/cuda/launching.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from refode.costs.contract import COST, everywhere, look, observe, within
from refode.fields.contract import check_inputs, rows_of
from refode.machine.callbacks import heard
from refode.machine.parts import link
from refode.machine.threads import Team
from refode.ode import placement
from refode.ode.finite import NotSolved
from refode.ode.shares import Share, share_of
from refode.sweeps.binomial import BINOMIAL
from refode.sweeps.contract import (
    DYNAMICS,
    SCHEME,
    half_slope,
    half_slope_adjoint,
    slope,
    slope_adjoint,
    slope_jacobian,
    step,
    step_adjoint,
    undo,
)
from refode.sweeps.dynamics import extra_rows, has_trace
from refode.sweeps.implicit import Implicit
from refode.sweeps.long import long_chunks
from refode.sweeps.reversible import Reversible
from refode.sweeps.rosenbrock import Rosenbrock
from refode.sweeps.sweep import REVERSE, STEPS, STORE, Grid, forward_chunks, gradient_chunks
from refode.sweeps.symplectic import Partitioned

Array = np.ndarray

#: The most bytes of stages that a thread stores; of a longer path it stores the steps' starts and
#: computes stages once more, as with memory="steps", to the same bits.
STORED_AT_MOST = 2**29


class Sweep(NamedTuple):
    """What a sweep is over: dynamics, scheme, time grid and the sizes of a block's rows."""

    dynamics: Any
    scheme: Any
    grid: Grid
    rows: int
    tape: int
    scratch: int
    block: int
    memory: int = STORE
    device: str = "cpu"
    dtype: str = "float64"  # of the device; the CPU's is that of the weights
    widest: int = 0  # entries of the field's largest matrix

    @classmethod
    def of(
        cls,
        field: Any,
        scheme: Any,
        grid: Grid,
        dynamics: Any,
        dtype: Any,
        memory: int = STORE,
        place: placement.Placement = placement.CPU,
    ) -> Sweep:
        """Sweep of a field within a class of ``dynamics``, in a number type."""
        check_inputs(field)
        if dtype == np.complex128:
            grid = Grid(grid.t.astype(complex), grid.h.astype(complex), grid.slots)
        tape, scratch = rows_of(field, has_trace(dynamics))
        rows = field.dim + extra_rows(dynamics, field.dim)
        within = dynamics(field.description())
        widest = max(field.layout.sizes.values())
        return cls(within, scheme, grid, rows, tape, scratch, field.block(), memory, *place, widest)

    @property
    def block_rows(self) -> int:
        """Rows of a block: those of the state, which reversible couplings have twice."""
        return 2 * self.rows if isinstance(self.scheme, Reversible) else self.rows

    def runs_on_device(self, E: Array) -> bool:
        """Whether a sweep with these weights leaves the CPU: complex steps do not."""
        return self.device != "cpu" and E.dtype == np.float64


class Gradient(NamedTuple):
    """Value and cotangents of a cost."""

    value: Any
    E_bar: Array
    cost_bar: Array
    x_bar: Array
    time_bar: Array


#: What sweeps forward, and there and back, ask of dynamics and schemes.
_EXPLICIT = frozenset([(slope, 0)]), frozenset([(slope, 0), (slope_adjoint, 0)])
_SOLVING = tuple(wants | {(slope_jacobian, 0)} for wants in _EXPLICIT)
_SLOPES = {
    Partitioned: (
        frozenset([(half_slope, 0)]),
        frozenset([(half_slope, 0), (half_slope_adjoint, 0)]),
    ),
    Implicit: _SOLVING,
    Rosenbrock: _SOLVING,
}
_STEPS = {
    (False, False): frozenset([(step, 0)]),
    (True, False): frozenset([(step, 0)]),
    (False, True): frozenset([(step, 0), (step_adjoint, 0)]),
    (True, True): frozenset([(step, 0), (step_adjoint, 0), (undo, 0)]),
}
_OBSERVE = {
    False: frozenset([(observe, 0)]),
    True: frozenset([(observe, 0), (look, 0)]),
}


def _parts(sweep: Sweep, dtype: Any, back: bool) -> tuple[Any, Any]:
    """Dynamics and scheme for compiled code, forward or there and back."""
    slopes = _SLOPES.get(type(sweep.scheme), _EXPLICIT)[back]
    steps = _STEPS[sweep.memory == REVERSE, back]
    return (
        link(DYNAMICS, sweep.dynamics, dtype, slopes, hold=True),
        link(SCHEME, sweep.scheme, dtype, steps, hold=not isinstance(sweep.scheme, Implicit)),
    )


def _noting(sweep: Sweep, n_samples: int) -> Sweep:
    """The sweep, with room of its own where it may have to note samples that it cannot solve."""
    if not isinstance(sweep.scheme, Implicit):
        return sweep
    return sweep._replace(scheme=sweep.scheme._replace(failed=np.zeros(n_samples, dtype=np.int64)))


def _check_solved(sweep: Sweep) -> None:
    """`NotSolved` with the first sample whose stages Newton's iteration did not find."""
    failed = getattr(sweep.scheme, "failed", None)
    if failed is None or not failed.any():
        return
    sample = int(np.argmax(failed > 0))
    n = int(failed[sample]) - 1
    t, h = float(sweep.grid.t[n].real), float(sweep.grid.h[n].real)
    raise NotSolved(
        f"scheme: got Newton's iteration that did not converge in step {n} of "
        f"{len(sweep.grid.t)} (t = {t:.6g}, h = {h:.6g}) for sample {sample} "
        f"({int((failed > 0).sum())} of {len(failed)} samples fail), wanted stages that it finds: "
        "shorter steps there, or smaller weights"
    )


def _blocks(sweep: Sweep, n_samples: int, of: str = "x") -> tuple[int, Array, Share]:
    """Samples a block, the chunks of blocks, and what the samples are a share of."""
    share = share_of(of, n_samples, sweep.block)
    return share.borders.S, np.array(share.runs), share


def _memory(sweep: Sweep, S: int, itemsize: int) -> int:
    """What the adjoint keeps of a block's path: as asked, unless stages would take too much."""
    stages = sweep.grid.slots.size
    stored = itemsize * S * (2 * sweep.block_rows + sweep.tape) * stages
    return STEPS if sweep.memory == STORE and stored > STORED_AT_MOST else sweep.memory


def forward(sweep: Sweep, E: Array, x: Array, whole: bool = False, of: str = "x") -> Array:
    """State at the end (1, N, rows), or at every grid point (n_steps+1, N, rows).

    ``of`` says which samples x are where they may be a share of more, ode/shares.py.
    """
    if sweep.runs_on_device(E):
        return placement.gpu_module("launching").forward(sweep, E, x, whole)
    if sweep.device != "cpu":  # a complex step
        x = placement.hosted(x)
    X = np.ascontiguousarray(x, dtype=E.dtype)
    n_points = len(sweep.grid.t) + 1 if whole else 1
    out = np.empty((n_points, len(X), sweep.rows), E.dtype)
    S, runs, _ = _blocks(sweep, len(X), of)
    sweep = _noting(sweep, len(X))
    dynamics, scheme = _parts(sweep, E.dtype, back=False)
    solve, grid = forward_chunks.of(E.dtype), sweep.grid
    counter = np.zeros(1, dtype=np.int64)

    work: Callable[[], Any] = partial(  # without a frame or a call of its own
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
        sweep.block_rows,
        max(sweep.tape, 1),
        out,
    )

    work = heard(sweep.dynamics.field, work)
    Team(work, len(runs)).around(work)
    _check_solved(sweep)
    return out


def gradient(
    sweep: Sweep,
    E: Array,
    x: Array,
    cost: Any,
    n_cost: int = 0,
    cost_rows: int = 0,
    want_x: bool = False,
    of: str = "x",
) -> Gradient:
    """Value of a cost and its cotangents, by one forward and one adjoint sweep a block.

    ``of`` as for ``forward``; where x are a share of more, all but x_bar are sums over all
    samples, in the process that holds the first ones.
    """
    if sweep.runs_on_device(E):
        twin = placement.gpu_module("launching")
        return twin.gradient(sweep, E, x, cost, n_cost, cost_rows, want_x)
    if sweep.device != "cpu":  # a complex step
        x, cost = placement.hosted(x), placement.hosted(cost)
    if isinstance(sweep.scheme, Rosenbrock) and E.dtype == np.complex128:
        raise ValueError(
            "scheme: got 'ros2', whose gradient has second derivatives of the field by the complex "
            "step already, wanted another scheme for Hessian-vector products ('sdirk2')"
        )
    X = np.ascontiguousarray(x, dtype=E.dtype)
    S, runs, share = _blocks(sweep, len(X), of)
    sweep = _noting(sweep, len(X))
    dynamics, scheme = _parts(sweep, E.dtype, back=True)
    charge = link(COST, cost, E.dtype, _OBSERVE[within(cost)])
    memory, grid = _memory(sweep, S, E.itemsize), sweep.grid
    is_long = memory > BINOMIAL or sweep.block_rows != sweep.rows
    solve = (long_chunks if is_long else gradient_chunks).of(E.dtype)
    seen = (sweep.rows,) if is_long else ()
    n, counter = len(runs), np.zeros(1, dtype=np.int64)
    values = np.empty(n, E.dtype)
    E_bars = np.zeros((n, *E.shape), E.dtype)
    cost_bars = np.zeros((n, n_cost), E.dtype)
    time_bars = np.zeros((n, len(sweep.grid.t), 2), E.dtype)
    X_bar = np.empty(X.shape if want_x else (0, X.shape[1]), E.dtype)

    work: Callable[[], Any] = partial(  # without a frame or a call of its own
        solve,
        dynamics,
        scheme,
        charge,
        grid.t,
        grid.h,
        grid.slots,
        E,
        X,
        runs,
        counter,
        S,
        sweep.block_rows,
        max(sweep.tape, 1),
        max(sweep.scratch, cost_rows, 1),
        memory,
        *seen,
        everywhere(cost),
        within(cost),
        values,
        E_bars,
        cost_bars,
        X_bar,
        time_bars,
    )

    work = heard(sweep.dynamics.field, work)
    Team(work, n).around(work)
    value, E_bar, cost_bar, time_bar = share.total((values, E_bars, cost_bars, time_bars))
    _check_solved(sweep)
    return Gradient(value.item(), E_bar, cost_bar, X_bar, time_bar)
