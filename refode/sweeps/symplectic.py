"""Partitioned steps, each substep moving one half of the state, and their adjoints."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refode.machine.blocks import axpy, copy, fill, inner
from refode.sweeps.contract import half_slope, half_slope_adjoint, step, step_adjoint, undo

Array = np.ndarray


class Partitioned(NamedTuple):
    """Substeps: which half moves, by which fraction of h, at which fraction of the step."""

    which: Array
    b: Array
    c: Array


@step.register(Partitioned)
def partitioned_step(scheme, dynamics, at, E, Y, tape):
    """Substep i moves one half: y <- y + h b_i f_half(y), eq. (D25)."""
    for i in range(scheme.b.shape[0]):
        F, t = tape.F[i], at.t + scheme.c[i] * at.h
        copy(tape.Y[i], Y)
        fill(F, 0.0)
        half_slope(dynamics, E[at.slots[i]], t, scheme.which[i], Y, F, tape.field[i])
        axpy(Y, at.h * scheme.b[i], F)


@step_adjoint.register(Partitioned)
def partitioned_step_adjoint(scheme, dynamics, at, E, Y, tape, bar):
    """L <- L + J_half^T (h b_i L), in reverse order, eq. (D26)."""
    b, c, h, W = scheme.b, scheme.c, at.h, bar.W
    for i in range(b.shape[0] - 1, -1, -1):
        fill(W, 0.0)
        axpy(W, b[i], bar.L)
        bar.time[1] += inner(W, tape.F[i])
        for r in range(W.shape[0]):
            for s in range(W.shape[1]):
                W[r, s] *= h
        t_bar = half_slope_adjoint(
            dynamics,
            E[at.slots[i]],
            at.t + c[i] * h,
            scheme.which[i],
            tape.Y[i],
            tape.field[i],
            W,
            bar.L,
            bar.E[at.slots[i]],
            bar.scratch,
        )
        bar.time[0] += t_bar
        bar.time[1] += c[i] * t_bar


@undo.register(Partitioned)
def partitioned_undo(scheme, dynamics, at, E, Y, tape):
    """y <- y - h b_i f_half(y) in reverse order: f_half reads the half that stayed, eq. (D27)."""
    for i in range(scheme.b.shape[0] - 1, -1, -1):
        F, t = tape.F[i], at.t + scheme.c[i] * at.h
        fill(F, 0.0)
        half_slope(dynamics, E[at.slots[i]], t, scheme.which[i], Y, F, tape.field[i])
        axpy(Y, -at.h * scheme.b[i], F)
        copy(tape.Y[i], Y)
