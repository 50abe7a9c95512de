"""Paths kept at a few steps' starts, with the least number of extra steps, (D165), (D166).

A thread has c slots for states, one of which holds the block's samples themselves. Slots are a
stack: the top one is the last start kept before the step that goes back next. From there the steps
are walked once more, and on the way starts are kept in the slots that are free.
"""

from __future__ import annotations

from refode.machine.blocks import copy
from refode.machine.compile import kernel
from refode.sweeps.contract import Step, step

#: The memory code of c slots is this and c more; codes below are other ways.
BINOMIAL = 2


@kernel
def split(steps, slots):
    """After how many of so many steps a start is kept, with so many slots, >= 2; (D166)."""
    before, now, r = 0, 1, 0  # C(c+r-1, c) and C(c+r, c): what r repetitions reach
    older = 0
    while now < steps:
        r += 1
        older, before, now = before, now, now * (slots + r) // r
    return min(before, steps - (before - older))


@kernel
def walk(scheme, dynamics, grid, n, E, Y, starts, places, top, first, m, tape):
    """The step n taken on the tape, from the last start kept; return the slot on top.

    ``places`` (c,) says before which step each slot was kept, ``top`` which slot is the last one.
    """
    c, a = starts.shape[0], places[top]
    copy(Y, starts[top])
    while a < n:
        end = n
        if top + 1 < c:
            end = a + split(n + 1 - a, c - top)
        for k in range(a, end):
            step(
                scheme, dynamics, Step(k, grid.t[k], grid.h[k], grid.slots[k], first, m), E, Y, tape
            )
        a = end
        if top + 1 < c:
            top += 1
            places[top] = a
            copy(starts[top], Y)
    step(scheme, dynamics, Step(n, grid.t[n], grid.h[n], grid.slots[n], first, m), E, Y, tape)
    if places[top] == n:  # of no use any more
        top -= 1
    return top


def extra_steps(steps: int, slots: int) -> int:
    """Steps walked besides those that are taped, (D165): r l - C(c+r, r-1)."""
    r, reached, below = 0, 1, 0  # C(c+r, c) and C(c+r, r-1)
    while reached < steps:
        r += 1
        below = below + reached if r > 1 else 1
        reached = reached * (slots + r) // r
    return r * steps - below
