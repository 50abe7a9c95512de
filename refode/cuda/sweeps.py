"""The sweeps on the device: twin of refode/solvers/sweeps.py.

``walk`` takes samples all the way forward and all the way back. In a tile it is a function that
a block of threads runs for its tiles in turn, which block takes which being fixed; staged, it is
Python, and its samples are a whole slice. Each block adds into rows of its own of ``E_bars`` and
``cost_bars``; a tree of fixed shape adds the rows.

A block works in two arrays of rows of S numbers. ``near`` holds what every stage needs: Y, L, W,
the stages' Z_bars, work space. ``far`` is the tape: every stage of every step, or the starts of
the steps and the stages of one of them.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from numba import cuda

from refode.cuda.contract import CostBodies, DynamicsBodies
from refode.cuda.linalg import linalg
from refode.cuda.ops import Ops, tile
from refode.cuda.schemes import runge_kutta


class Shape(NamedTuple):
    """Sizes that the bodies read: rows of the state, of a stage's tape with Y_i and F_i."""

    rows: int
    length: int


class Placed(NamedTuple):
    """What lies in shared memory, whose sizes the compiler must know.

    ``near`` and ``far`` rows of ``S`` numbers, 0 where they lie in global memory; ``slots`` rows of
    ``q`` weights, twice: E and its cotangent, 0 likewise. The tape comes last, after the weights.
    """

    S: int
    near: int
    far: int
    slots: int
    q: int
    dtype: Any


@functools.cache
def walks(
    ops: Ops, dynamics: DynamicsBodies, cost_bodies: CostBodies | None, store: bool = True
) -> tuple[Any, Any]:
    """``forward`` and ``gradient`` of samples that go together.

    ``store`` is known to the compiler: the stages are kept, and not computed twice.
    """
    first_, stride, barrier = ops.first, ops.stride, ops.barrier
    step, step_adjoint = runge_kutta(ops, dynamics)
    copy = linalg(ops).copy

    @ops.loop
    def load(X, first, m, Y):
        """Samples first, first+1, ... into the columns of Y, the first one again beyond m."""
        S = Y.shape[1]
        for q in range(first_(), Y.shape[0] * S, stride()):
            i, s = q // S, q % S
            row = first + s if s < m else first
            Y[i, s] = X[row, i] if i < X.shape[1] else 0.0  # augmentation, eq. (5)
        barrier()

    @ops.loop
    def unload(Y, m, first, X):
        """Columns of Y back into the rows of X, as many rows as X has columns."""
        S = Y.shape[1]
        for q in range(first_(), X.shape[1] * S, stride()):
            i, s = q // S, q % S
            if s < m:
                X[first + s, i] = Y[i, s]
        barrier()

    @ops.body
    def forward(A, b, c, t, h, slots, dyn, E, X, first, m, shape, near, out):
        """``out`` (1, N, .) gets the end, (n_steps + 1, N, .) every point of the grid."""
        n_steps = t.shape[0]
        Y, tape = near[0 : shape.rows], near[shape.rows :]
        load(X, first, m, Y)
        whole = out.shape[0] > 1
        for n in range(n_steps):
            if whole:
                unload(Y, m, first, out[n])
            step(A, b, c, dyn, t[n], h[n], slots[n], E, Y, tape, shape.length)
        unload(Y, m, first, out[n_steps if whole else 0])

    if cost_bodies is None:
        return forward, None
    terminal, jump = cost_bodies.terminal, cost_bodies.jump

    @ops.body
    def gradient(
        A, b, c, t, h, slots, dyn, cost, E, X, first, m, shape, near, far,
        E_bar, cost_bar, want_x, X_bar,
    ):  # fmt: skip
        """Value and cotangents; the last entry of ``cost_bar`` is the value's."""
        rows, n_steps, n_stages = shape.rows, t.shape[0], b.shape[0]
        a_step = n_stages * shape.length
        Y, L, W = near[0:rows], near[rows : 2 * rows], near[2 * rows : 3 * rows]
        Z_bars = near[3 * rows : (3 + n_stages) * rows]
        scratch = near[(3 + n_stages) * rows :]
        stages_at = 0 if store else n_steps * rows
        load(X, first, m, Y)
        for n in range(n_steps):
            at = stages_at
            if store:
                at += n * a_step
            else:
                copy(far[n * rows : (n + 1) * rows], Y)
            kept = far[at : at + a_step]
            step(A, b, c, dyn, t[n], h[n], slots[n], E, Y, kept, shape.length)
        terminal(cost, Y, first, m, L, cost_bar, cost_bar.shape[0] - 1, scratch)
        for n in range(n_steps - 1, -1, -1):
            at = stages_at
            if store:
                at += n * a_step
            kept = far[at : at + a_step]
            if not store:  # the stages once more, from the step's start
                copy(Y, far[n * rows : (n + 1) * rows])
                step(A, b, c, dyn, t[n], h[n], slots[n], E, Y, kept, shape.length)
            step_adjoint(
                A, b, c, dyn, t[n], h[n], slots[n], E, kept, shape.length,
                L, W, Z_bars, E_bar, scratch,
            )  # fmt: skip
            jump(cost, n, first, m, L)
        if want_x:
            unload(L, m, first, X_bar)

    return forward, gradient


def _size(rows: int, columns: int) -> tuple[int, int]:
    """Of an array in shared memory, which has no empty ones."""
    return (rows, columns) if rows else (1, 1)


@functools.cache
def forward_kernel(dynamics: DynamicsBodies, placed: Placed) -> Any:
    """A launch of ``forward`` over tiles."""
    forward, _ = walks(tile, dynamics, None)
    S, n_near, kind = placed.S, placed.near, placed.dtype
    shape_near = _size(n_near, S)

    @cuda.jit
    def kernel(A, b, c, t, h, slots, dyn, E, X, shape, nears, out):
        shared = cuda.shared.array(shape_near, kind)
        near = shared if n_near else nears[cuda.blockIdx.x]
        for i in range(cuda.blockIdx.x, (X.shape[0] + S - 1) // S, cuda.gridDim.x):
            m = min(S, X.shape[0] - i * S)
            forward(A, b, c, t, h, slots, dyn, E, X, i * S, m, shape, near, out)

    return kernel


@functools.cache
def gradient_kernel(
    dynamics: DynamicsBodies, cost_bodies: CostBodies, store: bool, placed: Placed
) -> Any:
    """A launch of ``gradient`` over tiles.

    What is not placed in shared memory has one number there that nobody reads: arrays must be
    declared where the kernel begins, whether they are wanted or not.
    """
    _, gradient = walks(tile, dynamics, cost_bodies, store)
    S, n_near, n_far, n_slots, q, kind = placed
    first, stride, barrier = tile.first, tile.stride, tile.barrier
    shape_near, shape_far, shape_E = _size(n_near, S), _size(n_far, S), _size(n_slots, q)

    @cuda.jit(device=True)
    def copied(Y, X):
        for k in range(first(), n_slots * q, stride()):
            Y[k // q, k % q] = X[k // q, k % q]
        barrier()

    @cuda.jit
    def kernel(
        A, b, c, t, h, slots, dyn, cost, E, X, shape, nears, fars, E_bars, cost_bars, want_x, X_bar
    ):
        block = cuda.blockIdx.x
        shared_near = cuda.shared.array(shape_near, kind)
        shared_far = cuda.shared.array(shape_far, kind)
        shared_E = cuda.shared.array(shape_E, kind)
        shared_E_bar = cuda.shared.array(shape_E, kind)
        copied(shared_E, E)
        copied(shared_E_bar, E_bars[block])
        near = shared_near if n_near else nears[block]
        far = shared_far if n_far else fars[block]
        weights = shared_E if n_slots else E
        weights_bar = shared_E_bar if n_slots else E_bars[block]
        for i in range(block, (X.shape[0] + S - 1) // S, cuda.gridDim.x):
            m = min(S, X.shape[0] - i * S)
            gradient(
                A, b, c, t, h, slots, dyn, cost, weights, X, i * S, m, shape, near, far,
                weights_bar, cost_bars[block], want_x, X_bar,
            )  # fmt: skip
        copied(E_bars[block], shared_E_bar)

    return kernel


@cuda.jit
def add_blocks(sums):
    """sums[0] <- the sum of the rows, neighbours first: ((0 + 1) + (2 + 3)) + ..."""
    start = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    for q in range(start, sums.shape[1], cuda.gridDim.x * cuda.blockDim.x):
        apart = 1
        while apart < sums.shape[0]:
            for row in range(0, sums.shape[0] - apart, 2 * apart):
                sums[row, q] += sums[row + apart, q]
            apart *= 2
