"""The sweeps: blocks of samples go all the way forward, and all the way back.

A chunk is a run of blocks with its own gradient buffers; a thread takes one after
another without coming back to Python, where threads would wait for one another. Each
block is loaded feature-major, ``(rows, S)``; columns beyond the last sample repeat the
block's first sample and carry a zero cotangent. One forward sweep and one adjoint sweep
serve every field, scheme, quadrature and cost.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refode._jit import hold, kernel, take, uncounted
from refode._linalg import copy, fill
from refode.costs.contract import jump, terminal
from refode.solvers.schemes import step, step_adjoint, undo

Array = np.ndarray


STORE, STEPS, REVERSE = range(3)
MEMORY = {"store": STORE, "steps": STEPS, "reverse": REVERSE}


class Grid(NamedTuple):
    """Times and steps (n_steps,), weight slots (n_steps, n_stages)."""

    t: Array
    h: Array
    slots: Array


class Sizes(NamedTuple):
    """Shape of a block."""

    S: int  # samples
    rows: int  # of the augmented state
    tape: int  # rows of a stage's tape
    scratch: int  # rows of work space
    memory: int  # what the adjoint sweep keeps of the path: STORE, STEPS or REVERSE


@kernel(cache=False)
def load(X, first, Y):
    """Samples first, first+1, ... into the columns of Y; return how many there are."""
    m = min(Y.shape[1], X.shape[0] - first)
    fill(Y, 0.0)
    for s in range(Y.shape[1]):
        row = first + s if s < m else first
        for i in range(X.shape[1]):
            Y[i, s] = X[row, i]
    return m


@kernel(cache=False)
def unload(Y, m, first, X):
    """Columns of Y back into the rows of X, as many rows as X has columns."""
    for s in range(m):
        for i in range(X.shape[1]):
            X[first + s, i] = Y[i, s]


@kernel
def forward_chunks(dynamics, scheme, grid, E, X, runs, counter, sizes, out):
    """Solve the chunks that are left, one after another.

    Chunk i is the blocks runs[i, 0], ..., runs[i, 1]-1; ``counter`` (1,) says which chunk is
    next, for all threads that call this. ``out`` is (1, N, .) for the end, else
    (n_steps+1, N, .).
    """
    S, n_steps, n_stages = sizes.S, grid.t.shape[0], grid.slots.shape[1]
    work = (
        np.empty((sizes.rows, S), E.dtype),
        np.empty((n_stages, sizes.rows, S), E.dtype),
        np.empty((n_stages, sizes.rows, S), E.dtype),
        np.empty((n_stages, sizes.tape, S), E.dtype),
    )
    given = (dynamics, scheme, grid, E, X, runs, out)
    dynamics, scheme, grid, E, X, runs, out = uncounted(given)
    Y, Ys, Fs, tapes = uncounted(work)
    whole = out.shape[0] > 1
    i = take(counter)
    while i < runs.shape[0]:
        for block in range(runs[i, 0], runs[i, 1]):
            m = load(X, block * S, Y)
            for n in range(n_steps):
                if whole:
                    unload(Y, m, block * S, out[n])
                step(scheme, dynamics, grid.t[n], grid.h[n], grid.slots[n], E, Y, Ys, Fs, tapes)
            unload(Y, m, block * S, out[n_steps if whole else 0])
        i = take(counter)
    hold(work)
    hold(given)


@kernel
def gradient_chunks(
    dynamics, scheme, grid, cost, E, X, runs, counter, sizes,
    values, E_bars, cost_bars, X_bar, time_bars,
):  # fmt: skip
    """Value and cotangents of the cost over the chunks that are left, one after another.

    Chunks and ``counter`` as in ``forward_chunks``. Chunk i writes values[i] and adds into
    buffers of its own: E_bars[i] as E; cost_bars[i] flat, as the cost's parameters;
    time_bars[i] (n_steps, 2) for t_n and h_n. X_bar as X, or with no rows if not wanted.
    """
    S, n_steps, n_stages = sizes.S, grid.t.shape[0], grid.slots.shape[1]
    rows, store = sizes.rows, sizes.memory == STORE
    kept = n_steps * n_stages if store else n_stages
    work = (
        np.empty((rows, S), E.dtype),
        np.empty((rows, S), E.dtype),
        np.empty((rows, S), E.dtype),
        np.empty((n_stages, rows, S), E.dtype),
        np.empty((n_steps if sizes.memory == STEPS else 0, rows, S), E.dtype),
        np.empty((kept, rows, S), E.dtype),
        np.empty((kept, rows, S), E.dtype),
        np.empty((kept, sizes.tape, S), E.dtype),
        np.empty((sizes.scratch, S), E.dtype),
    )
    given = (dynamics, scheme, grid, cost, E, X, runs, values, E_bars, cost_bars, X_bar, time_bars)
    (
        dynamics, scheme, grid, cost, E, X, runs, values, E_bars, cost_bars, X_bar, time_bars,
    ) = uncounted(given)  # fmt: skip
    free = uncounted(work)
    i = take(counter)
    while i < runs.shape[0]:
        value = E[0, 0] * 0
        for block in range(runs[i, 0], runs[i, 1]):
            value += gradient_block(
                dynamics, scheme, grid, cost, E, X, block, sizes, free,
                E_bars[i], cost_bars[i], X_bar, time_bars[i],
            )  # fmt: skip
        values[i] = value
        i = take(counter)
    hold(work)
    hold(given)


@kernel(cache=False)
def gradient_block(
    dynamics, scheme, grid, cost, E, X, block, sizes, work, E_bar, cost_bar, X_bar, time_bar
):
    """All the way forward, and all the way back, for the samples of one block."""
    S, n_steps, n_stages = sizes.S, grid.t.shape[0], grid.slots.shape[1]
    Y, L, W, Z_bars, starts, Ys, Fs, tapes, scratch = work
    store = sizes.memory == STORE
    m = load(X, block * S, Y)
    for n in range(n_steps):
        if sizes.memory == STEPS:
            copy(starts[n], Y)
        a = n * n_stages if store else 0
        z = a + n_stages
        step(
            scheme, dynamics, grid.t[n], grid.h[n], grid.slots[n],
            E, Y, Ys[a:z], Fs[a:z], tapes[a:z],
        )  # fmt: skip
    value = terminal(cost, Y, block * S, m, L, cost_bar, scratch)
    for n in range(n_steps - 1, -1, -1):
        a = n * n_stages if store else 0
        z = a + n_stages
        t, h, slots = grid.t[n], grid.h[n], grid.slots[n]
        if sizes.memory == STEPS:  # the stages once more, from the step's start
            copy(Y, starts[n])
            step(scheme, dynamics, t, h, slots, E, Y, Ys, Fs, tapes)
        elif sizes.memory == REVERSE:  # the path backwards from where it ended
            undo(scheme, dynamics, t, h, slots, E, Y, Ys, Fs, tapes)
        step_adjoint(
            scheme, dynamics, t, h, slots, E, Y, Ys[a:z], Fs[a:z], tapes[a:z],
            L, W, Z_bars, E_bar, scratch, time_bar[n],
        )  # fmt: skip
        jump(cost, n, block * S, m, L)
    if X_bar.shape[0]:
        unload(L, m, block * S, X_bar)
    return value
