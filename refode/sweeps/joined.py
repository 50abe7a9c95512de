"""There and back where a step's last slope is the next one's first: it is there once for both.

Schemes that are read within their steps have a last stage at the step's end, with the state and the
weights of the next step's first one. So the tapes of steps overlap by a stage: forward it is
evaluated where the next step begins, and backwards what reading within the step leaves for its last
slope joins the cotangent of the next step's first one, before that is pulled back. A step costs a
slope and its adjoint less than in sweep.py. Eq. (D174).

No twin on the device.
"""

from __future__ import annotations

import numpy as np

from refode.costs.contract import COST, Moment, look, observe
from refode.machine.blocks import axpy, copy, fill, inner
from refode.machine.compile import kernel
from refode.machine.counting import hold, take, uncounted
from refode.machine.parts import entry
from refode.machine.views import stack
from refode.sweeps.binomial import BINOMIAL, walk
from refode.sweeps.contract import (
    DYNAMICS,
    SCHEME,
    Cotangents,
    Step,
    Tape,
    step,
    step_adjoint,
)
from refode.sweeps.sweep import STEPS, STORE, Grid, cut, length, load, unload

Array = np.ndarray


@entry([DYNAMICS, SCHEME, COST, *"vvJMMJIiiiiivTMMT"])
def joined_chunks(
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
    values,
    E_bars,
    cost_bars,
    X_bar,
    time_bars,
):
    """As ``gradient_chunks``, of a cost that is read within steps and asked at the end.

    ``memory`` is STORE, STEPS, or BINOMIAL and the slots.
    """
    n_steps, n_stages = t.shape[0], slots.shape[1]
    kept = n_steps * (n_stages - 1) + 1 if memory == STORE else 2 * n_stages
    starts, block = n_steps if memory == STEPS else max(memory - BINOMIAL, 0), rows * S
    own = np.empty(length(S, rows, tape_rows, scratch, n_stages, kept, starts), E.dtype)
    pair = np.empty(2 * (n_stages + 1) * block, E.dtype)
    places = np.empty(starts, dtype=np.int64)
    given = (t, h, slots, E, X, runs, values, E_bars, cost_bars, X_bar, time_bars, pair, places)
    bare = uncounted(given)
    t, h, slots, E, X, runs, values, E_bars, cost_bars, X_bar, time_bars, mine, places = bare
    work = cut(uncounted(own), S, rows, tape_rows, scratch, n_stages, kept, starts)
    Z_bars = stack(mine, 0, 2 * n_stages, rows, S)
    Y_bars = stack(mine, 2 * n_stages * block, 2, rows, S)
    grid, i = Grid(t, h, slots), take(counter)
    while i < runs.shape[0]:
        value = E[0, 0] * 0
        bars = (E_bars[i], cost_bars[i], X_bar, time_bars[i])
        for at in range(runs[i, 0], runs[i, 1]):
            value += joined_block(
                dynamics, scheme, cost, grid, E, X, at, memory, work, places, Z_bars, Y_bars, bars
            )
        values[i] = value
        i = take(counter)
    hold(own)
    hold(given)


@kernel
def joined_block(
    dynamics, scheme, cost, grid, E, X, block, memory, work, places, Z_bars, Y_bars, bars
):
    """All the way forward, and all the way back, for the samples of one block."""
    n_steps, n_stages = grid.t.shape[0], grid.slots.shape[1]
    E_bar, cost_bar, X_bar, time_bar = bars
    L, scratch, first = work.L, work.scratch, block * work.Y.shape[1]
    m = load(X, first, work.Y)
    top = there(scheme, dynamics, grid, E, work, places, memory, first, m)
    end = grid.t[n_steps - 1] + grid.h[n_steps - 1]
    fill(L, 0.0)
    value = observe(cost, Moment(n_steps, True, end, first, m), work.Y, L, cost_bar, scratch)
    for n in range(n_steps, -1, -1):
        # what the step before leaves for its slopes, the last of which is this step's first
        before, this = n % 2, 1 - n % 2
        Z_before = Z_bars[before * n_stages : (before + 1) * n_stages]
        Z_this = Z_bars[this * n_stages : (this + 1) * n_stages]
        if n > 0:
            if memory != STORE and n < n_steps:
                top = again(scheme, dynamics, grid, n - 1, E, work, places, top, memory, first, m)
            tape = tape_of(work.tape, n - 1, n_stages, memory)
            value += look(
                cost,
                Moment(n - 1, False, grid.t[n - 1], first, m),
                grid.h[n - 1],
                tape.Y[0],
                tape.F,
                Z_before,
                Y_bars[before],
                cost_bar,
                time_bar[n - 1],
                scratch,
            )
        if n == n_steps:
            continue
        tape = tape_of(work.tape, n, n_stages, memory)
        if n > 0:
            last = Z_before[n_stages - 1]
            share = inner(last, tape.F[0])  # of h_bar: the step's before, and not this one's
            time_bar[n - 1, 1] += share / grid.h[n - 1]
            time_bar[n, 1] -= share / grid.h[n]
            axpy(Z_this[0], 1.0, last)
        at = Step(n, grid.t[n], grid.h[n], grid.slots[n], first, m)
        bar = Cotangents(L, work.W, Z_this, E_bar, scratch, time_bar[n])
        step_adjoint(scheme, dynamics, at, E, work.Y, tape, bar)
        axpy(L, 1.0, Y_bars[this])
    if X_bar.shape[0]:
        unload(L, m, first, X_bar)
    return value


@kernel
def there(scheme, dynamics, grid, E, work, places, memory, first, m):
    """All the way forward; return the slot on top, where a few starts are kept."""
    n_steps, n_stages, Y, starts = grid.t.shape[0], grid.slots.shape[1], work.Y, work.starts
    if memory > BINOMIAL:
        copy(starts[0], Y)
        places[0] = 0
        tape = tape_of(work.tape, n_steps - 1, n_stages, memory)
        return walk(scheme, dynamics, grid, n_steps - 1, E, Y, starts, places, 0, first, m, tape)
    for n in range(n_steps):
        if memory == STEPS:
            copy(starts[n], Y)
        at = Step(n, grid.t[n], grid.h[n], grid.slots[n], first, m)
        step(scheme, dynamics, at, E, Y, tape_of(work.tape, n, n_stages, memory))
    return 0


@kernel
def again(scheme, dynamics, grid, n, E, work, places, top, memory, first, m):
    """Step n once more, where the one after it is on the tape; return the slot on top."""
    n_stages, Y, starts = grid.slots.shape[1], work.Y, work.starts
    tape = tape_of(work.tape, n, n_stages, memory)
    if memory == STEPS:
        copy(Y, starts[n])
        step(scheme, dynamics, Step(n, grid.t[n], grid.h[n], grid.slots[n], first, m), E, Y, tape)
    else:
        top = walk(scheme, dynamics, grid, n, E, Y, starts, places, top, first, m, tape)
    copy(tape.F[n_stages - 1], tape_of(work.tape, n + 1, n_stages, memory).F[0])
    return top


@kernel
def tape_of(tape, n, n_stages, memory):
    """The part of a tape that belongs to step n; stored, its last stage is the next one's first."""
    a = n * (n_stages - 1) if memory == STORE else n % 2 * n_stages
    z = a + n_stages
    return Tape(tape.Y[a:z], tape.F[a:z], tape.field[a:z])
