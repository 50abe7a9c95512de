"""The sweeps: blocks of samples go all the way forward, and all the way back.

A chunk is a run of blocks with its own gradient buffers. Each block is loaded
feature-major, ``(rows, S)``; columns beyond the last sample repeat the block's
first sample and carry a zero cotangent. One forward sweep and one adjoint sweep
serve every field, scheme, quadrature and cost.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refode._jit import hold, kernel, uncounted
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
def forward_chunk(dynamics, scheme, grid, E, X, first, last, sizes, out):
    """Solve blocks first, ..., last-1; ``out`` is (1, N, .) for the end, else (n_steps+1, N, .)."""
    S, n_steps, n_stages = sizes.S, grid.t.shape[0], grid.slots.shape[1]
    work = (
        np.empty((sizes.rows, S), E.dtype),
        np.empty((n_stages, sizes.rows, S), E.dtype),
        np.empty((n_stages, sizes.rows, S), E.dtype),
        np.empty((n_stages, sizes.tape, S), E.dtype),
    )
    given = (dynamics, scheme, grid, E, X, out)
    dynamics, scheme, grid, E, X, out = uncounted(given)
    Y, Ys, Fs, tapes = uncounted(work)
    whole = out.shape[0] > 1
    for block in range(first, last):
        m = load(X, block * S, Y)
        for n in range(n_steps):
            if whole:
                unload(Y, m, block * S, out[n])
            step(scheme, dynamics, grid.t[n], grid.h[n], grid.slots[n], E, Y, Ys, Fs, tapes)
        unload(Y, m, block * S, out[n_steps if whole else 0])
    hold(work)
    hold(given)


@kernel
def gradient_chunk(
    dynamics, scheme, grid, cost, E, X, first, last, sizes, E_bar, cost_bar, X_bar, time_bar
):
    """Value of the cost over blocks first, ..., last-1; adds to all cotangents.

    E_bar as E; cost_bar flat, as the cost's parameters; X_bar as X, or with no
    rows if it is not wanted; time_bar (n_steps, 2) for t_n and h_n.
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
    given = (dynamics, scheme, grid, cost, E, X, E_bar, cost_bar, X_bar, time_bar)
    dynamics, scheme, grid, cost, E, X, E_bar, cost_bar, X_bar, time_bar = uncounted(given)
    Y, L, W, Z_bars, starts, Ys, Fs, tapes, scratch = uncounted(work)
    value = E[0, 0] * 0
    for block in range(first, last):
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
        value += terminal(cost, Y, block * S, m, L, cost_bar, scratch)
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
    hold(work)
    hold(given)
    return value
