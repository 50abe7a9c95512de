"""Sweeps of long paths: a few steps' starts are kept, or a scheme's state is not what costs see.

They are what ``gradient_chunks`` does, with a path that ``walk`` goes over again, (D165), and
with costs that see the first rows alone, (D170). A file and an entry of their own, so that
ordinary sweeps have no branch of theirs and their machine code is made when it is asked for.
No twin on the device.
"""

from __future__ import annotations

import numpy as np

from refode.costs.contract import COST, Moment, observe
from refode.machine.blocks import copy, fill
from refode.machine.compile import kernel
from refode.machine.counting import hold, take, uncounted
from refode.machine.parts import entry
from refode.machine.views import band
from refode.sweeps.binomial import BINOMIAL, walk
from refode.sweeps.contract import DYNAMICS, SCHEME, Cotangents, Step, step, undo
from refode.sweeps.sweep import (
    REVERSE,
    STEPS,
    STORE,
    Grid,
    Sizes,
    back,
    cut,
    kept_of,
    length,
    load,
    unload,
)


@entry([DYNAMICS, SCHEME, COST, *"vvJMMJIiiiiiibbvTMMT"])
def long_chunks(
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
    seen,
    everywhere,
    within,
    values,
    E_bars,
    cost_bars,
    X_bar,
    time_bars,
):
    """As ``gradient_chunks``; memory may be BINOMIAL and the slots, costs see ``seen`` rows."""
    n_steps, n_stages = t.shape[0], slots.shape[1]
    kept = n_steps * n_stages if memory == STORE else n_stages
    starts = n_steps if memory == STEPS else max(memory - BINOMIAL, 0)
    own = np.empty(length(S, rows, tape_rows, scratch, n_stages, kept, starts), E.dtype)
    places = np.empty(starts, dtype=np.int64)
    given = (t, h, slots, E, X, runs, values, E_bars, cost_bars, X_bar, time_bars, places)
    bare = uncounted(given)
    t, h, slots, E, X, runs, values, E_bars, cost_bars, X_bar, time_bars, places = bare
    work = cut(uncounted(own), S, rows, tape_rows, scratch, n_stages, kept, starts)
    grid, sizes = Grid(t, h, slots), Sizes(S, rows, tape_rows, scratch, memory)
    i = take(counter)
    while i < runs.shape[0]:
        value = E[0, 0] * 0
        for block in range(runs[i, 0], runs[i, 1]):
            value += long_block(
                dynamics,
                scheme,
                cost,
                grid,
                E,
                X,
                block,
                sizes,
                seen,
                work,
                places,
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
def long_block(
    dynamics,
    scheme,
    cost,
    grid,
    E,
    X,
    block,
    sizes,
    seen,
    work,
    places,
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
    m, top = load(X, first, Y), 0
    if memory > BINOMIAL:
        copy(starts[0], Y)
        places[0] = 0
        tape = kept_of(work.tape, 0, n_stages)
        top = walk(scheme, dynamics, grid, n_steps - 1, E, Y, starts, places, 0, first, m, tape)
    for n in range(n_steps if memory <= BINOMIAL else 0):
        if memory == STEPS:
            copy(starts[n], Y)
        at = Step(n, grid.t[n], grid.h[n], grid.slots[n], first, m)
        step(scheme, dynamics, at, E, Y, kept_of(work.tape, n if memory == STORE else 0, n_stages))
    end = grid.t[n_steps - 1] + grid.h[n_steps - 1]
    fill(L, 0.0)
    y, y_bar = band(Y, 0, seen), band(L, 0, seen)
    value = observe(cost, Moment(n_steps, True, end, first, m), y, y_bar, cost_bar, work.scratch)
    for n in range(n_steps - 1, -1, -1):
        tape = kept_of(work.tape, n if memory == STORE else 0, n_stages)
        at = Step(n, grid.t[n], grid.h[n], grid.slots[n], first, m)
        if memory == STEPS:
            copy(Y, starts[n])
            step(scheme, dynamics, at, E, Y, tape)
        elif memory == REVERSE:
            undo(scheme, dynamics, at, E, Y, tape)
        elif memory > BINOMIAL and n < n_steps - 1:  # the last step is on the tape already
            top = walk(scheme, dynamics, grid, n, E, Y, starts, places, top, first, m, tape)
        bar = Cotangents(L, work.W, work.Z_bars, E_bar, work.scratch, time_bar[n])
        now = Moment(n, False, at.t, first, m)
        value += back(
            dynamics, scheme, cost, within, now, at, E, Y, tape, bar, work.Y_bar, cost_bar
        )
        if everywhere:
            y = band(tape.Y[0], 0, seen)
            value += observe(cost, now, y, y_bar, cost_bar, work.scratch)
    if X_bar.shape[0]:
        unload(L, m, first, X_bar)
    return value
