"""How a sweep is laid out on the device: tiles, blocks, threads, and what lies where."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from refode import _validate
from refode.cuda import bodies, device, widths
from refode.cuda.ops import Ops, staged, tile
from refode.cuda.sweeps import Placed, Shape, even, table_size
from refode.ode.driver import Sweep
from refode.sweeps.sweep import STORE

MODES = ("auto", "tile", "staged")
SIMULATED_THREADS = 2
#: Samples of a tile, the first of which there are enough to give most multiprocessors a tile.
TILES, ENOUGH = (32, 16, 8), 0.75
#: Blocks that share a multiprocessor, and their threads: as many as its shared memory admits.
SHARING = ((4, 128), (2, 256), (1, 256))
#: Registers of a multiprocessor, and of a thread at most.
REGISTERS, MOST_REGISTERS = 64 * 1024, 255
#: Entries of the largest matrix from which a thread takes many places of a product.
MANY = 4 * 1024
#: The share of the free memory that a slice of samples may take.
SHARE = 0.8


class Settings(NamedTuple):
    """How sweeps are laid out; None stands for what the device suggests."""

    mode: str = "auto"
    tile: int | None = None
    blocks: int | None = None
    threads: int | None = None
    slice: int | None = None
    shared: int | None = None


_DEFAULTS = Settings()
_settings: contextvars.ContextVar[Settings] = contextvars.ContextVar("settings", default=_DEFAULTS)


def current() -> Settings:
    """The settings in force."""
    return _settings.get()


@contextlib.contextmanager
def settings(
    *,
    mode: str | None = None,
    tile: int | None = None,
    blocks: int | None = None,
    threads: int | None = None,
    slice: int | None = None,
    shared: int | None = None,
) -> Iterator[None]:
    """Lay sweeps out in another way, within a ``with`` statement.

    Parameters
    ----------
    mode : {"auto", "tile", "staged"}, optional
        A tile of samples a block of threads, a launch an operation, or what suits the widths.
    tile : int, optional
        Samples of a tile; by default 32, or fewer where few samples would leave the device idle.
        The bits depend on it.
    blocks : int, optional
        Blocks of threads; by default as many as the device holds at a time. The bits depend on it.
    threads : int, optional
        Threads of a block; 128 or 256 by default. The bits do not depend on it.
    slice : int, optional
        Samples on the device at a time; as many as fit by default. The bits depend on it.
    shared : int, optional
        Bytes of shared memory that a block may have; what the device allows by default.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted.
    """
    given = {"tile": tile, "blocks": blocks, "threads": threads, "slice": slice, "shared": shared}
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
    """Sizes of a sweep's arrays on the device; ``placed`` is None where it is staged."""

    ops: Ops
    S: int  # samples of a tile, or of a slice
    blocks: int
    near: int
    far: int
    sums: int  # of a block: cotangents of the weights and of the cost, its value
    shape: Shape
    placed: Placed | None


def is_staged(sweep: Sweep) -> bool:
    """Whether a sweep's operations are launches of their own."""
    mode = current().mode
    return sweep.widest >= widths.wide(sweep.dtype) if mode == "auto" else mode == "staged"


def layout(sweep: Sweep, n: int, weights: tuple[int, int], cost: Any, n_cost: int = 0) -> Layout:
    """For n samples and (slots, weights a slot); ``cost`` is None for the way forward alone."""
    near, far, shape = _rows(sweep, cost)
    sums = 0 if cost is None else weights[0] * weights[1] + n_cost + 1
    if is_staged(sweep):
        return Layout(staged, n, 1, near, far, sums, shape, None)
    S = current().tile or _tile(n)
    kept = weights if cost is not None else (0, 0)
    n_stages = sweep.grid.slots.shape[1]
    kind = np.dtype(sweep.dtype)
    sharing, threads, where = _place(n_stages, S + 1, (near, far), kept[0] * kept[1], kind.itemsize)
    threads = current().threads or (SIMULATED_THREADS if device.simulated() else threads)
    placed = Placed(
        S,
        threads,
        n_stages,
        near,
        far,
        *kept,
        n_cost,
        *where,
        _numba_type(kind),
        min(MOST_REGISTERS, REGISTERS // (sharing * threads)),
    )
    blocks = min(current().blocks or sharing * device.processors(), -(-n // S))
    return Layout(tile(S, threads, sweep.widest >= MANY), S, blocks, near, far, sums, shape, placed)


def _rows(sweep: Sweep, cost: Any) -> tuple[int, int, Shape]:
    """Rows of what every stage needs and of the tape."""
    dynamics = bodies.dynamics_bodies(staged, sweep.dynamics)
    tape, scratch = dynamics.rows(sweep.dynamics)
    n_steps, n_stages = sweep.grid.slots.shape
    length = 2 * sweep.rows + tape
    shape = Shape(sweep.rows, length)
    if cost is None:
        return sweep.rows + n_stages * length, 0, shape
    scratch = max(scratch, bodies.cost_bodies(staged, cost).rows(cost))
    near = (3 + n_stages) * sweep.rows + scratch
    if sweep.memory == STORE:
        return near, n_stages * length * n_steps, shape
    return near, n_stages * length + n_steps * sweep.rows, shape


def _tile(n: int) -> int:
    for S in TILES:
        if -(-n // S) >= ENOUGH * device.processors():
            return S
    return TILES[-1]


def _place(
    n_stages: int, length: int, rows: tuple[int, int], weights: int, itemsize: int
) -> tuple[int, int, tuple[bool, bool, bool]]:
    """Blocks a multiprocessor, their threads, and whether rows, weights, tape lie in shared memory.

    As many blocks as their rows admit; then the weights with their cotangents, then the tape,
    where they fit into what a block has.
    """
    near, far = (itemsize * length * n for n in rows)
    table, both = itemsize * table_size(n_stages), 2 * itemsize * even(weights)
    limit = current().shared or device.shared_memory()
    for sharing, threads in SHARING:
        share = limit // sharing
        if table + near <= share:
            with_weights = table + near + both <= share
            with_tape = with_weights and table + near + both + far <= share
            return sharing, threads, (True, with_weights, with_tape)
    return SHARING[1][0], SHARING[1][1], (False, False, False)


def _numba_type(dtype: np.dtype) -> Any:
    from numba import types

    return types.float64 if dtype == np.float64 else types.float32


# --- bytes ---------------------------------------------------------------------------------
def bytes_of_layout(laid: Layout, itemsize: int, weights: int, columns: int) -> int:
    """Of the blocks' buffers and sums, of the weights, of the samples themselves."""
    placed = laid.placed
    work = laid.S * (laid.near + laid.far) if placed is None else placed.global_numbers()
    return itemsize * (laid.blocks * (work + laid.sums) + weights + laid.sums + columns)


def bytes_needed(
    sweep: Sweep, n: int, weights: tuple[int, int], columns: int, cost: Any = None, n_cost: int = 0
) -> int:
    """Bytes on the device for n samples of ``columns`` numbers, and (slots, q) weights."""
    itemsize = np.dtype(sweep.dtype).itemsize
    laid = layout(sweep, n, weights, cost, n_cost)
    return bytes_of_layout(laid, itemsize, weights[0] * weights[1], n * columns)
