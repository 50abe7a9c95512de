"""From arrays to launches and back: twin of refode/solvers/driver.py.

``forward`` and ``gradient`` take what the CPU's do, so that whoever describes a sweep need not
know where it runs. Samples that do not fit into the device's memory go in slices.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from refode import _validate
from refode.cuda import bodies, device, gemm
from refode.cuda.ops import Ops, staged, tile
from refode.cuda.sweeps import (
    Placed,
    Shape,
    add_blocks,
    forward_kernel,
    gradient_kernel,
    walks,
)
from refode.solvers.driver import Gradient, Sweep
from refode.solvers.placement import Resident, TooLarge
from refode.solvers.schemes import RungeKutta
from refode.solvers.sweeps import STORE

Array = np.ndarray
MODES = ("auto", "tile", "staged")
THREADS, SIMULATED_THREADS = 128, 2
#: Bytes of shared memory that a kernel may have without asking the driver for more, but for the
#: numbers that stand for what does not lie there.
SHARED = 48 * 1024 - 64
#: Entries of the largest matrix from which products are staged: an estimate, no device was seen.
WIDE = 64 * 1024
#: The share of the free memory that a slice of samples may take.
SHARE = 0.8


class Settings(NamedTuple):
    """How sweeps are laid out; None stands for what the device suggests."""

    mode: str = "auto"
    tile: int = 32
    blocks: int | None = None
    threads: int | None = None
    slice: int | None = None


_DEFAULTS = Settings()
_settings: contextvars.ContextVar[Settings] = contextvars.ContextVar("settings", default=_DEFAULTS)


@contextlib.contextmanager
def settings(
    *, mode: str | None = None, tile: int | None = None, blocks: int | None = None,
    threads: int | None = None, slice: int | None = None,
) -> Iterator[None]:  # fmt: skip
    """Lay sweeps out in another way, within a ``with`` statement.

    Parameters
    ----------
    mode : {"auto", "tile", "staged"}, optional
        A tile of samples a block of threads, a launch an operation, or what suits the widths.
    tile : int, optional
        Samples of a tile; 32 by default.
    blocks : int, optional
        Blocks of threads; two for each multiprocessor by default. The bits depend on it.
    threads : int, optional
        Threads of a block; 128 by default. The bits do not depend on it.
    slice : int, optional
        Samples on the device at a time; as many as fit by default. The bits depend on it.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted.
    """
    given = {"tile": tile, "blocks": blocks, "threads": threads, "slice": slice}
    changed: dict[str, Any] = {
        name: _validate.positive_int(name, n) for name, n in given.items() if n is not None
    }
    if mode is not None:
        changed["mode"] = _validate.choice("mode", mode, MODES)
    token = _settings.set(_settings.get()._replace(**changed))
    try:
        yield
    finally:
        _settings.reset(token)


class Layout(NamedTuple):
    """Sizes of a sweep's arrays on the device."""

    ops: Ops
    S: int  # samples of a tile, or of a slice
    blocks: int
    threads: int
    near: int
    far: int
    shape: Shape


# --- what a sweep needs --------------------------------------------------------------------
def _ops(sweep: Sweep) -> Ops:
    mode = _settings.get().mode
    if mode == "auto":
        mode = "staged" if sweep.widest >= WIDE else "tile"
    return staged if mode == "staged" else tile


def _layout(sweep: Sweep, n: int, cost: Any) -> Layout:
    """For n samples; ``cost`` is None for the way forward alone."""
    s, ops = _settings.get(), _ops(sweep)
    dynamics = bodies.dynamics_bodies(ops, sweep.dynamics)
    tape, scratch = dynamics.rows(sweep.dynamics)
    n_steps, n_stages = sweep.grid.slots.shape
    length = 2 * sweep.rows + tape
    if cost is None:
        near, far = sweep.rows + n_stages * length, 0
    else:
        scratch = max(scratch, bodies.cost_bodies(ops, cost).rows(cost))
        near = (3 + n_stages) * sweep.rows + scratch
        store = sweep.memory == STORE
        far = n_stages * length * (n_steps if store else 1) + (0 if store else n_steps * sweep.rows)
    shape = Shape(sweep.rows, length)
    if ops is staged:
        return Layout(ops, n, 1, 1, near, far, shape)
    S = s.tile
    blocks = min(s.blocks or 2 * device.processors(), -(-n // S))
    threads = s.threads or (SIMULATED_THREADS if device.simulated() else THREADS)
    return Layout(ops, S, blocks, threads, near, far, shape)


def _bytes(layout: Layout, itemsize: int, weights: int, columns: int) -> int:
    """Of the rows, of the blocks' sums, and of the samples themselves."""
    room = layout.blocks * layout.S * (layout.near + layout.far)
    return itemsize * (room + layout.blocks * weights + columns)


def memory(sweep: Sweep, n: int, weights: int, columns: int, cost: Any = None) -> int:
    """Bytes on the device for n samples of ``columns`` numbers, and ``weights`` weights."""
    itemsize = np.dtype(sweep.dtype).itemsize
    return _bytes(_layout(sweep, n, cost), itemsize, 2 * weights, n * columns)


def _slices(sweep: Sweep, n: int, weights: int, columns: int, cost: Any) -> list[tuple[int, int]]:
    """Runs of samples whose sweep fits into the memory that is free."""
    most = _settings.get().slice or n
    most = min(most, n)
    room = SHARE * device.free_memory()
    while memory(sweep, most, weights, columns, cost) > room:
        if most == 1:
            needed = memory(sweep, 1, weights, columns, cost)
            raise TooLarge(
                f"memory: the device has {device.free_memory():.0f} bytes free, wanted {needed} "
                "and some for a single slice of samples: a smaller tile, fewer blocks or steps, "
                "or memory='steps'"
            )
        most = -(-most // 2)
    return [(a, min(a + most, n)) for a in range(0, n, most)]


# --- the sweeps ----------------------------------------------------------------------------
class _Run:
    """A sweep's parts on the device, for as many slices as there are."""

    def __init__(self, sweep: Sweep, E: Array) -> None:
        self.cuda = device.require()
        if not isinstance(sweep.scheme, RungeKutta):
            raise ValueError("scheme: got a symplectic one, wanted Runge-Kutta with device='cuda'")
        self.sweep, self.dtype = sweep, np.dtype(sweep.dtype)
        self.E = self.send(E)
        self.ops = _ops(sweep)
        self.dynamics = bodies.dynamics_bodies(self.ops, sweep.dynamics)
        self.tables = self._tables()

    def send(self, array: Any) -> Any:
        """An array on the device, real ones in the sweep's number type."""
        if isinstance(array, Resident):
            return array.there
        if device.on_device(array):
            return array
        kind = np.int64 if array.dtype.kind in "iub" else self.dtype
        return self.cuda.to_device(np.ascontiguousarray(array, dtype=kind))

    def room(self, *shape: int) -> Any:
        return self.cuda.device_array(tuple(max(n, 1) for n in shape), self.dtype)

    def _tables(self) -> tuple[Any, ...]:
        """A, b, c, t, h, slots and the description of the dynamics."""
        scheme, grid = self.sweep.scheme, self.sweep.grid
        A, b = self.send(scheme.A), self.send(scheme.b)
        slots = np.ascontiguousarray(grid.slots, dtype=np.int64)
        if self.ops is staged:  # Python walks, and reads these
            return A, b, scheme.c, grid.t, grid.h, slots, _host(self.sweep.dynamics, self.send)
        return (
            A, b, self.send(scheme.c), self.send(grid.t), self.send(grid.h), self.send(slots),
            bodies.on_device(self.sweep.dynamics, self.send),
        )  # fmt: skip

    def forward(self, X: Any, whole: bool) -> Array:
        points = len(self.sweep.grid.t) + 1 if whole else 1
        layout = _layout(self.sweep, X.shape[0], None)
        out = self.room(points, X.shape[0], layout.shape.rows)
        if self.ops is staged:
            walk, _ = walks(staged, self.dynamics, None)
            near = self.room(layout.near, layout.S)
            walk(*self.tables, self.E, X, 0, X.shape[0], layout.shape, near, out)
        else:
            near, placed = self._near(layout, 0)
            launch = forward_kernel(self.dynamics, placed)
            launch[layout.blocks, layout.threads](
                *self.tables, self.E, X, layout.shape, near, out
            )
        return out.copy_to_host().astype(np.float64, copy=False)

    def gradient(self, X: Any, cost: Any, n_cost: int, want_x: bool) -> tuple[Array, Array, Array]:
        """E_bar, the cost's cotangent with the value last, and x_bar."""
        n = X.shape[0]
        layout = _layout(self.sweep, n, cost)
        E_bars, cost_bars = self._zeros(layout, *self.E.shape), self._zeros(layout, n_cost + 1)
        X_bar = self.room(n if want_x else 1, X.shape[1])
        there = bodies.on_device(cost, self.send)
        made, store = bodies.cost_bodies(self.ops, cost), self.sweep.memory == STORE
        if self.ops is staged:
            _, walk = walks(staged, self.dynamics, made, store)
            near, far = self.room(layout.near, layout.S), self.room(layout.far, layout.S)
            walk(
                *self.tables, there, self.E, X, 0, n, layout.shape, near, far,
                E_bars[0], cost_bars[0], want_x, X_bar,
            )  # fmt: skip
        else:
            near, placed = self._near(layout, self.E.shape[0] * self.E.shape[1])
            far = self.room(layout.blocks, 1 if placed.far else layout.far, layout.S)
            launch = gradient_kernel(self.dynamics, made, store, placed)
            launch[layout.blocks, layout.threads](
                *self.tables, there, self.E, X, layout.shape, near, far,
                E_bars, cost_bars, want_x, X_bar,
            )  # fmt: skip
            for sums in (E_bars, cost_bars):
                flat = sums.reshape(layout.blocks, sums.size // layout.blocks)
                add_blocks[layout.blocks, layout.threads](flat)
        found = [a[:1].copy_to_host()[0].astype(np.float64, copy=False)
                 for a in (E_bars, cost_bars)]  # fmt: skip
        x_bar = X_bar.copy_to_host().astype(np.float64, copy=False)
        return found[0], found[1], x_bar if want_x else x_bar[:0]

    def _zeros(self, layout: Layout, *shape: int) -> Any:
        return self.send(np.zeros((layout.blocks, *shape), self.dtype))

    def _near(self, layout: Layout, weights: int) -> tuple[Any, Placed]:
        """What lies in shared memory: the rows of a stage, the weights, the tape; or nothing."""
        item, S, kind = self.dtype.itemsize, layout.S, _kind(self.dtype)
        rows = item * S * layout.near
        if weights and rows + 2 * item * weights <= SHARED:
            slots, q = self.E.shape
            everything = rows + item * S * layout.far + 2 * item * weights
            far = layout.far if everything <= SHARED else 0
            return self.room(1, 1, 1), Placed(S, layout.near, far, slots, q, kind)
        if rows <= SHARED:
            return self.room(1, 1, 1), Placed(S, layout.near, 0, 0, 0, kind)
        return self.room(layout.blocks, layout.near, S), Placed(S, 0, 0, 0, 0, kind)


def _kind(dtype: np.dtype) -> Any:
    from numba import types

    return types.float64 if dtype == np.float64 else types.float32


def _host(dynamics: Any, send: Any) -> Any:
    """A description for staged sweeps: arrays on the device but for the field's."""
    return type(dynamics)(dynamics.field, *(bodies.on_device(part, send) for part in dynamics[1:]))


def forward(sweep: Sweep, E: Array, x: Any, whole: bool = False) -> Array:
    """State at the end (1, N, rows), or at every grid point (n_steps+1, N, rows)."""
    points = len(sweep.grid.t) + 1 if whole else 1
    columns = x.shape[1] + points * sweep.rows
    if (asked := _asked.get()) is not None:
        asked.bytes.append(memory(sweep, asked.n, E.size, columns))
        return np.zeros((points, x.shape[0], sweep.rows))
    run, parts = _Run(sweep, E), []
    for a, z in _slices(sweep, x.shape[0], E.size, columns, None):
        with device.allocating(memory(sweep, z - a, E.size, columns)):
            parts.append(run.forward(run.send(x[a:z]), whole))
    gemm.release()
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def gradient(
    sweep: Sweep, E: Array, x: Any, cost: Any, n_cost: int = 0, cost_rows: int = 0,
    want_x: bool = False,
) -> Gradient:  # fmt: skip
    """Value of a cost and its cotangents, by one forward and one adjoint sweep a tile."""
    E_bar, cost_bar = np.zeros(E.shape), np.zeros(n_cost + 1)
    weights, columns = E.size + n_cost + 1, 2 * x.shape[1] + cost_rows
    if (asked := _asked.get()) is not None:
        asked.bytes.append(memory(sweep, asked.n, weights, columns, cost))
        return Gradient(0.0, E_bar, cost_bar[:-1], np.zeros(x.shape), np.zeros((0, 2)))
    run, x_bars = _Run(sweep, E), []
    slices = _slices(sweep, x.shape[0], weights, columns, cost)
    for a, z in slices:
        part = cost if len(slices) == 1 else bodies.of_samples(cost, a, z)
        with device.allocating(memory(sweep, z - a, weights, columns, cost)):
            one = run.gradient(run.send(x[a:z]), part, n_cost, want_x)
        E_bar += one[0]
        cost_bar += one[1]
        x_bars.append(one[2])
    gemm.release()
    x_bar = np.concatenate(x_bars)
    return Gradient(float(cost_bar[-1]), E_bar, cost_bar[:-1], x_bar, np.zeros((0, 2)))


class _Asked(NamedTuple):
    """A question for the bytes of sweeps of n samples."""

    n: int
    bytes: list[int]


_asked: contextvars.ContextVar[_Asked | None] = contextvars.ContextVar("asked", default=None)


def bytes_of(problem: Any, n: int) -> int:
    """Bytes on the device that a gradient of n samples takes at most, if they go at once.

    Parameters
    ----------
    problem : Supervised, ContinuousNormalizingFlow or MeanFieldGame
        With device="cuda".
    n : int
        Samples; as many of a cross-entropy's.

    Raises
    ------
    TypeError, ValueError
        n no positive int; device="cpu".

    Notes
    -----
    docs/cuda.md has the formula. What the driver takes for itself is not in it, nor the room of
    staged sums. Nothing is sent and nothing computed.
    """
    n = _validate.positive_int("n", n)
    if problem.ode.placement.device == "cpu":
        raise ValueError("problem: got device='cpu', wanted device='cuda'")
    token = _asked.set(_Asked(n, []))
    try:
        problem.value_and_gradient(np.zeros(problem.n_parameters), *_one_sample(problem))
        asked = _asked.get()
        assert asked is not None
        return max(asked.bytes)
    finally:
        _asked.reset(token)


def _one_sample(problem: Any) -> tuple[Any, ...]:
    """A sample, and a target where the problem takes one."""
    if not hasattr(problem, "n_inputs"):
        return (np.zeros((1, problem.ode.dim)),)
    labels = problem.loss != "regression"
    y = np.zeros(1, dtype=np.int64) if labels else np.zeros((1, problem.n_outputs))
    return np.zeros((1, problem.n_inputs)), y
