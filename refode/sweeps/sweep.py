"""The sweeps: blocks of samples go all the way forward, and all the way back.

A chunk is a run of blocks with its own gradient buffers; a thread takes one after
another without coming back to Python, where threads would wait for one another. Each
block is loaded feature-major, ``(rows, S)``; columns beyond the last sample repeat the
block's first sample and carry a zero cotangent. One forward sweep and one adjoint sweep
serve every field, scheme, quadrature and cost.

Twin on the device: refode/cuda/sweeps.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refode.costs.contract import COST, Moment, look, observe
from refode.machine.blocks import axpy, copy, fill
from refode.machine.compile import kernel
from refode.machine.counting import hold, take, uncounted
from refode.machine.parts import entry
from refode.machine.views import matrix, stack
from refode.sweeps.binomial import BINOMIAL
from refode.sweeps.contract import (
    DYNAMICS,
    SCHEME,
    Cotangents,
    Step,
    Tape,
    step,
    step_adjoint,
    undo,
)

Array = np.ndarray


STORE, STEPS, REVERSE = range(3)
MEMORY = {"store": STORE, "steps": STEPS, "reverse": REVERSE, "binomial": BINOMIAL}


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


class Work(NamedTuple):
    """A thread's own arrays: a block's state, its path, and what the adjoint works with."""

    Y: Array
    starts: Array  # of the steps, with memory="steps"
    tape: Tape
    L: Array
    W: Array
    Z_bars: Array
    Y_bar: Array  # of a step's start, from what is read within the step
    scratch: Array


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
def length(S, rows, tape_rows, scratch, n_stages, kept, starts):
    """Numbers in a thread's own memory, which ``cut`` deals out."""
    return S * (rows * (4 + n_stages + 2 * kept + starts) + tape_rows * kept + scratch)


@kernel
def cut(memory, S, rows, tape_rows, scratch, n_stages, kept, starts):
    """A thread's arrays from one stretch of memory, the path last."""
    block = rows * S
    a = 4 * block  # Y, L, W, Y_bar
    b = a + n_stages * block  # Z_bars
    c = b + scratch * S
    d = c + starts * block
    e = d + kept * block  # states
    f = e + kept * block  # slopes
    tape = Tape(
        stack(memory, d, kept, rows, S),
        stack(memory, e, kept, rows, S),
        stack(memory, f, kept, tape_rows, S),
    )
    return Work(
        matrix(memory, 0, rows, S),
        stack(memory, c, starts, rows, S),
        tape,
        matrix(memory, block, rows, S),
        matrix(memory, 2 * block, rows, S),
        stack(memory, a, n_stages, rows, S),
        matrix(memory, 3 * block, rows, S),
        matrix(memory, b, scratch, S),
    )


@entry([DYNAMICS, SCHEME, "v", "v", "J", "M", "M", "J", "I", "i", "i", "i", "T"])
def forward_chunks(dynamics, scheme, t, h, slots, E, X, runs, counter, S, rows, tape_rows, out):
    """Solve the chunks that are left, one after another.

    Chunk i is the blocks runs[i, 0], ..., runs[i, 1]-1; ``counter`` (1,) says which chunk is
    next, for all threads that call this. ``out`` is (1, N, .) for the end, else
    (n_steps+1, N, .).
    """
    n_steps, n_stages = t.shape[0], slots.shape[1]
    memory = np.empty(length(S, rows, tape_rows, 0, n_stages, n_stages, 0), E.dtype)
    given = (t, h, slots, E, X, runs, out)
    t, h, slots, E, X, runs, out = uncounted(given)
    work = cut(uncounted(memory), S, rows, tape_rows, 0, n_stages, n_stages, 0)
    Y, tape = work.Y, work.tape
    whole = out.shape[0] > 1
    i = take(counter)
    while i < runs.shape[0]:
        for block in range(runs[i, 0], runs[i, 1]):
            first = block * S
            m = load(X, first, Y)
            for n in range(n_steps):
                if whole:
                    unload(Y, m, first, out[n])
                step(scheme, dynamics, Step(n, t[n], h[n], slots[n], first, m), E, Y, tape)
            unload(Y, m, first, out[n_steps if whole else 0])
        i = take(counter)
    hold(memory)
    hold(given)


@entry([DYNAMICS, SCHEME, COST, *"vvJMMJIiiiiibbvTMMT"])
def gradient_chunks(
    dynamics,
    scheme,
    cost,
    t,
    h,
    slots,
    E,
    X,
    runs,
    counter,
    S,
    rows,
    tape_rows,
    scratch,
    memory,
    everywhere,
    within,
    values,
    E_bars,
    cost_bars,
    X_bar,
    time_bars,
):
    """Value and cotangents of the cost over the chunks that are left, one after another.

    Chunks and ``counter`` as in ``forward_chunks``. Chunk i writes values[i] and adds into
    buffers of its own: E_bars[i] as E; cost_bars[i] flat, as the cost's parameters;
    time_bars[i] (n_steps, 2) for t_n and h_n. X_bar as X, or with no rows if not wanted.
    """
    n_steps, n_stages = t.shape[0], slots.shape[1]
    kept = n_steps * n_stages if memory == STORE else n_stages
    starts = n_steps if memory == STEPS else 0
    own = np.empty(length(S, rows, tape_rows, scratch, n_stages, kept, starts), E.dtype)
    given = (t, h, slots, E, X, runs, values, E_bars, cost_bars, X_bar, time_bars)
    t, h, slots, E, X, runs, values, E_bars, cost_bars, X_bar, time_bars = uncounted(given)
    work = cut(uncounted(own), S, rows, tape_rows, scratch, n_stages, kept, starts)
    grid, sizes = Grid(t, h, slots), Sizes(S, rows, tape_rows, scratch, memory)
    i = take(counter)
    while i < runs.shape[0]:
        value = E[0, 0] * 0
        for block in range(runs[i, 0], runs[i, 1]):
            value += gradient_block(
                dynamics,
                scheme,
                cost,
                grid,
                E,
                X,
                block,
                sizes,
                work,
                everywhere,
                within,
                E_bars[i],
                cost_bars[i],
                X_bar,
                time_bars[i],
            )
        values[i] = value
        i = take(counter)
    hold(own)
    hold(given)


@kernel
def gradient_block(
    dynamics,
    scheme,
    cost,
    grid,
    E,
    X,
    block,
    sizes,
    work,
    everywhere,
    within,
    E_bar,
    cost_bar,
    X_bar,
    time_bar,
):
    """All the way forward, and all the way back, for the samples of one block."""
    n_steps, n_stages, memory = grid.t.shape[0], grid.slots.shape[1], sizes.memory
    Y, L, starts, first = work.Y, work.L, work.starts, block * sizes.S
    m = load(X, first, Y)
    for n in range(n_steps):
        if memory == STEPS:
            copy(starts[n], Y)
        at = Step(n, grid.t[n], grid.h[n], grid.slots[n], first, m)
        step(scheme, dynamics, at, E, Y, kept_of(work.tape, n if memory == STORE else 0, n_stages))
    end = grid.t[n_steps - 1] + grid.h[n_steps - 1]
    fill(L, 0.0)
    value = observe(cost, Moment(n_steps, True, end, first, m), Y, L, cost_bar, work.scratch)
    for n in range(n_steps - 1, -1, -1):
        tape = kept_of(work.tape, n if memory == STORE else 0, n_stages)
        at = Step(n, grid.t[n], grid.h[n], grid.slots[n], first, m)
        if memory == STEPS:  # the stages once more, from the step's start
            copy(Y, starts[n])
            step(scheme, dynamics, at, E, Y, tape)
        elif memory == REVERSE:  # the path backwards from where it ended
            undo(scheme, dynamics, at, E, Y, tape)
        bar = Cotangents(L, work.W, work.Z_bars, E_bar, work.scratch, time_bar[n])
        now = Moment(n, False, at.t, first, m)
        value += back(
            dynamics, scheme, cost, within, now, at, E, Y, tape, bar, work.Y_bar, cost_bar
        )
        if everywhere:
            value += observe(cost, now, tape.Y[0], L, cost_bar, work.scratch)
    if X_bar.shape[0]:
        unload(L, m, first, X_bar)
    return value


@kernel
def back(dynamics, scheme, cost, within, now, at, E, Y, tape, bar, Y_bar, cost_bar):
    """The adjoint of a step, and of what is read within it; return what that costs."""
    value = E[0, 0] * 0
    if within:
        value += look(
            cost, now, at.h, tape.Y[0], tape.F, bar.Z, Y_bar, cost_bar, bar.time, bar.scratch
        )
    step_adjoint(scheme, dynamics, at, E, Y, tape, bar)
    if within:
        axpy(bar.L, 1.0, Y_bar)
    return value


@kernel
def kept_of(tape, n, n_stages):
    """The part of a tape that belongs to step n."""
    a = n * n_stages
    z = a + n_stages
    return Tape(tape.Y[a:z], tape.F[a:z], tape.field[a:z])
