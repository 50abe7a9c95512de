"""From arrays to launches and back: twin of refode/ode/driver.py.

``forward`` and ``gradient`` take what the CPU's do, so that whoever describes a sweep need not
know where it runs. Samples that do not fit into the device's memory go in slices. What a call
needs besides the samples is kept for the next one (buffers.py), and its sums come back at once.
"""

from __future__ import annotations

import contextvars
import functools
from typing import Any, NamedTuple

import numpy as np

from refode import _validate
from refode.cuda import bodies, buffers, device, layout, sweeps
from refode.cuda.layout import Layout, settings
from refode.cuda.ops import staged
from refode.cuda.sweeps import forward_kernel, gradient_kernel, walks
from refode.ode.driver import Gradient, Sweep
from refode.ode.placement import Resident, TooLarge
from refode.sweeps.runge_kutta import RungeKutta
from refode.sweeps.sweep import STORE

__all__ = ["bytes_of", "forward", "gradient", "settings"]

Array = np.ndarray


def _slices(
    sweep: Sweep, n: int, weights: tuple[int, int], columns: int, cost: Any, n_cost: int
) -> list[tuple[int, int]]:
    """Runs of samples whose sweep fits into the memory that is free, or kept."""
    most = min(layout.current().slice or n, n)
    usable = layout.SHARE * (available := device.free_memory() + buffers.held())
    while layout.bytes_needed(sweep, most, weights, columns, cost, n_cost) > usable:
        if most == 1:
            needed = layout.bytes_needed(sweep, 1, weights, columns, cost, n_cost)
            raise TooLarge(
                f"memory: the device has {available:.0f} bytes free, wanted {needed} "
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
        self.senders = buffers.Senders()
        self.E = self.send(E)
        self.staged = layout.is_staged(sweep)
        self.tables = self._tables()
        self.sent = self.senders.mark()

    def send(self, array: Any) -> Any:
        """An array on the device, real ones in the sweep's number type."""
        if isinstance(array, Resident):
            return array.there
        if device.on_device(array):
            return array
        kind = np.int64 if array.dtype.kind in "iub" else self.dtype
        return self.senders.send(np.ascontiguousarray(array, dtype=kind))

    def buffer(self, name: str, *shape: int) -> Any:
        """Numbers of a slice."""
        if len(shape) == 1:
            return buffers.buffer(name, shape[0], self.dtype)
        return self.cuda.device_array(tuple(max(n, 1) for n in shape), self.dtype)

    def _tables(self) -> tuple[Any, ...]:
        """Tableau, grid, slots and the description of the dynamics."""
        scheme, grid = self.sweep.scheme, self.sweep.grid
        slots = np.ascontiguousarray(grid.slots, dtype=np.int64)
        if self.staged:  # Python walks, and reads these
            A, b = (_kept(np.ascontiguousarray(a, dtype=self.dtype)) for a in (scheme.A, scheme.b))
            dynamics = _host(self.sweep.dynamics, self.send)
            return A, b, scheme.c, grid.t, grid.h, slots, dynamics
        table = np.vstack([scheme.A, scheme.b, scheme.c]).astype(self.dtype)
        times = np.stack([grid.t, grid.h]).astype(self.dtype)
        dynamics = bodies.on_device(self.sweep.dynamics, self.send)
        return _kept(table), _kept(times), _kept(slots), dynamics

    def forward(self, X: Any, laid: Layout, whole: bool) -> Array:
        n, points = X.shape[0], len(self.sweep.grid.t) + 1 if whole else 1
        out = self.buffer("points", points, n, laid.shape.rows)
        dynamics = bodies.dynamics_bodies(laid.ops, self.sweep.dynamics)
        if laid.placed is None:
            walk, _ = walks(staged, dynamics, None, laid.shape)
            walk(*self.tables, self.E, X, 0, n, self.buffer("near", laid.near, laid.S), out)
        else:
            work = self.buffer("work", laid.blocks * laid.placed.global_numbers())
            kernel = forward_kernel(dynamics, laid.shape, laid.placed)
            _launch(kernel, laid, *self.tables, self.E, X, work, out)
        return out.copy_to_host().astype(np.float64, copy=False)

    def gradient(self, X: Any, laid: Layout, cost: Any, want_x: bool) -> tuple[Array, Array]:
        """Sums: E_bar, the cost's cotangent and the value; x_bar."""
        n, store = X.shape[0], self.sweep.memory == STORE
        there = bodies.on_device(cost, self.send)
        dynamics = bodies.dynamics_bodies(laid.ops, self.sweep.dynamics)
        made = bodies.cost_bodies(laid.ops, cost)
        X_bar = self.buffer("x_bar", n, X.shape[1]) if want_x else self._nothing()
        if laid.placed is None:
            _, walk = walks(staged, dynamics, made, laid.shape, store)
            near, far = (
                self.buffer(name, rows, laid.S)
                for name, rows in (("near", laid.near), ("far", laid.far))
            )
            E_bar = self._zeros(*self.E.shape)
            cost_bar = self._zeros(laid.sums - self.E.size)
            walk(*self.tables, there, self.E, X, 0, n, near, far, E_bar, cost_bar, want_x, X_bar)
            sums = np.concatenate([E_bar.copy_to_host().ravel(), cost_bar.copy_to_host()])
        else:
            work = self.buffer("work", laid.blocks * laid.placed.global_numbers())
            blocks = self.buffer("sums", laid.blocks * laid.sums)
            kernel = gradient_kernel(dynamics, made, laid.shape, store, laid.ops.wide, laid.placed)
            _launch(kernel, laid, *self.tables, there, self.E, X, work, blocks, want_x, X_bar)
            sums = self._added(blocks, laid)
        x_bar = X_bar.copy_to_host() if want_x else np.zeros((0, X.shape[1]))
        return sums.astype(np.float64, copy=False), x_bar.astype(np.float64, copy=False)

    def _added(self, blocks: Any, laid: Layout) -> Array:
        """The sum of the blocks' sums."""
        out = buffers.exact("out", laid.sums, self.dtype)
        across, down = sweeps.SIMULATED_ADDING if device.simulated() else sweeps.ADDING
        grid = -(-laid.sums // across)
        sweeps.add_blocks(across, down)[grid, (across, down)](blocks, laid.blocks, laid.sums, out)
        return out.copy_to_host()

    def _nothing(self) -> Any:
        """An array that nobody writes."""
        return _kept(np.zeros((1, 1), self.dtype))

    def _zeros(self, *shape: int) -> Any:
        return self.cuda.to_device(np.zeros(shape, self.dtype))


def _launch(kernel: Any, laid: Layout, *arguments: Any) -> None:
    """Over tiles, with as much shared memory as was planned."""
    placed = laid.placed
    assert placed is not None
    size = placed.shared() * np.dtype(str(placed.dtype)).itemsize
    device.admit(kernel, arguments, size)
    kernel[laid.blocks, placed.threads, 0, size](*arguments)


def _kept(array: Array) -> Any:
    """A small array on the device, sent when its numbers were first asked for."""
    return _kept_bytes(array.tobytes(), array.shape, array.dtype.str)


@functools.lru_cache(maxsize=64)
def _kept_bytes(numbers: bytes, shape: tuple[int, ...], dtype: str) -> Any:
    return device.require().to_device(np.frombuffer(numbers, dtype).reshape(shape))


def _host(dynamics: Any, send: Any) -> Any:
    """A description for staged sweeps: arrays on the device but for the field's."""
    return type(dynamics)(dynamics.field, *(bodies.on_device(part, send) for part in dynamics[1:]))


def forward(sweep: Sweep, E: Array, x: Any, whole: bool = False) -> Array:
    """State at the end (1, N, rows), or at every grid point (n_steps+1, N, rows)."""
    points = len(sweep.grid.t) + 1 if whole else 1
    columns = x.shape[1] + points * sweep.rows
    if (asked := _asked.get()) is not None:
        asked.bytes.append(layout.bytes_needed(sweep, asked.n, E.shape, columns))
        return np.zeros((points, x.shape[0], sweep.rows))
    with buffers.lock:
        slices = _slices(sweep, x.shape[0], E.shape, columns, None, 0)
        run, parts = _Run(sweep, E), []
        for a, z in slices:
            laid = layout.layout(sweep, z - a, E.shape, None)
            with device.allocating(layout.bytes_needed(sweep, z - a, E.shape, columns)):
                parts.append(run.forward(run.send(x[a:z]), laid, whole))
            run.senders.forget(run.sent)
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def gradient(
    sweep: Sweep,
    E: Array,
    x: Any,
    cost: Any,
    n_cost: int = 0,
    cost_rows: int = 0,
    want_x: bool = False,
) -> Gradient:
    """Value of a cost and its cotangents, by one forward and one adjoint sweep a tile."""
    columns = 2 * x.shape[1] + cost_rows
    if (asked := _asked.get()) is not None:
        asked.bytes.append(layout.bytes_needed(sweep, asked.n, E.shape, columns, cost, n_cost))
        zeros = np.zeros(E.shape), np.zeros(n_cost), np.zeros(x.shape)
        return Gradient(0.0, *zeros, np.zeros((0, 2)))
    sums, x_bars = np.zeros(E.size + n_cost + 1), []
    with buffers.lock:
        slices = _slices(sweep, x.shape[0], E.shape, columns, cost, n_cost)
        run = _Run(sweep, E)
        for a, z in slices:
            part = cost if len(slices) == 1 else bodies.of_samples(cost, a, z)
            laid = layout.layout(sweep, z - a, E.shape, cost, n_cost)
            needed = layout.bytes_needed(sweep, z - a, E.shape, columns, cost, n_cost)
            with device.allocating(needed):
                one, x_bar = run.gradient(run.send(x[a:z]), laid, part, want_x)
            run.senders.forget(run.sent)
            sums += one
            x_bars.append(x_bar)
    x_bar = x_bars[0] if len(x_bars) == 1 else np.concatenate(x_bars)
    E_bar, cost_bar = sums[: E.size].reshape(E.shape), sums[E.size : -1]
    return Gradient(float(sums[-1]), E_bar, cost_bar, x_bar, np.zeros((0, 2)))


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
    if getattr(getattr(problem, "ode", None), "placement", None) is None:
        raise TypeError(f"problem: got {_validate.shown(problem)}, wanted one with device='cuda'")
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
    y = np.zeros(1, dtype=np.int64) if problem._loss.labels else np.zeros((1, problem.n_outputs))
    return np.zeros((1, problem.n_inputs)), y
