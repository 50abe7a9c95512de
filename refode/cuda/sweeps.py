"""The sweeps on the device: twin of refode/sweeps/sweep.py.

``walk`` takes samples all the way forward and all the way back. In a tile it is a function that
a block of threads runs for its tiles in turn, which block takes which being fixed; staged, it is
Python, and its samples are a whole slice. Each block adds into sums of its own; a second kernel
adds these in fixed order.

A block works in two arrays of rows of samples. ``near`` holds what every stage needs: Y, L, W,
the stages' Z_bars, work space. ``far`` is the tape: every stage of every step, or the starts of
the steps and the stages of one of them. In tiles a row has one number more than there are samples:
threads that read the same sample of neighbouring rows then ask different banks of shared memory.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from numba import cuda

from refode.cuda.contract import CostBodies, DynamicsBodies
from refode.cuda.linalg import linalg
from refode.cuda.ops import Ops, counted, launched, place, tile
from refode.cuda.schemes import runge_kutta
from refode.cuda.views import view

#: Columns and rows of threads that add blocks' sums; few where threads are Python's.
ADDING, SIMULATED_ADDING = (32, 8), (2, 2)


class Shape(NamedTuple):
    """Rows of the state, and of a stage's tape with Y_i and F_i."""

    rows: int
    length: int


def even(n: int) -> int:
    """The next even number: pairs of weights can then be read at once."""
    return n + n % 2


def table_size(n_stages: int) -> int:
    """Numbers of a tableau, in shared memory before everything else."""
    return even((n_stages + 2) * n_stages)


class Placed(NamedTuple):
    """A tile's sizes, all known to the compiler, and what of it lies in shared memory."""

    S: int
    threads: int
    n_stages: int
    near: int  # rows
    far: int
    slots: int  # E is (slots, q); 0 on the way forward
    q: int
    n_cost: int
    near_shared: bool
    weights_shared: bool  # E and its cotangent
    far_shared: bool
    dtype: Any
    registers: int

    def starts(self) -> tuple[int, int, int, int]:
        """Where E, E's cotangent, near and far begin, in shared memory or in a block's buffer."""
        both = even(self.slots * self.q)
        E = table_size(self.n_stages)
        near = E + 2 * both if self.weights_shared else E
        near_at = near if self.near_shared else 0
        rows = self.near * (self.S + 1)
        after = near + rows if self.near_shared else rows
        far_at = after if self.far_shared == self.near_shared else 0
        return E, E + both, near_at, far_at

    def shared(self) -> int:
        """Numbers in shared memory."""
        length, both = self.S + 1, even(self.slots * self.q)
        rows = self.near * self.near_shared + self.far * self.far_shared
        return table_size(self.n_stages) + 2 * both * self.weights_shared + rows * length

    def global_numbers(self) -> int:
        """Numbers of a block in global memory."""
        length = self.S + 1
        return length * (self.near * (not self.near_shared) + self.far * (not self.far_shared))


@functools.cache
def walks(
    ops: Ops,
    dynamics: DynamicsBodies,
    cost_bodies: CostBodies | None,
    shape: Shape,
    store: bool = True,
) -> tuple[Any, Any]:
    """``forward`` and ``gradient`` of samples that go together.

    ``store`` is known to the compiler: the stages are kept, and not computed twice.
    """
    step, step_adjoint = runge_kutta(ops, dynamics)
    rows, length = shape
    copy = linalg(ops).copy

    @ops.entries
    def load(i, s, Y, X, first, m):
        """Samples first, first+1, ... into the columns of Y, the first one again beyond m."""
        row = first + s if s < m else first
        Y[i, s] = X[row, i] if i < X.shape[1] else 0.0  # augmentation, eq. (5)

    @ops.entries
    def unload(i, s, Y, m, first, X):
        """Columns of Y back into the rows of X, as many rows as X has columns."""
        if s < m:
            X[first + s, i] = Y[i, s]

    @ops.body
    def forward(A, b, c, t, h, slots, dyn, E, X, first, m, near, out):
        """``out`` (1, N, .) gets the end, (n_steps + 1, N, .) every point of the grid."""
        n_steps = t.shape[0]
        Y, tape = near[0:rows], near[rows:]
        load(Y, X, first, m)
        whole = out.shape[0] > 1
        for n in range(n_steps):
            if whole:
                unload(Y, m, first, out[n])
            step(A, b, c, dyn, t[n], h[n], slots[n], E, Y, tape, length)
        unload(Y, m, first, out[n_steps if whole else 0])

    if cost_bodies is None:
        return forward, None
    terminal, jump = cost_bodies.terminal, cost_bodies.jump

    @ops.body
    def gradient(
        A,
        b,
        c,
        t,
        h,
        slots,
        dyn,
        cost,
        E,
        X,
        first,
        m,
        near,
        far,
        E_bar,
        cost_bar,
        want_x,
        X_bar,
    ):
        """Value and cotangents; the last entry of ``cost_bar`` is the value's."""
        n_steps, n_stages = t.shape[0], b.shape[0]
        a_step = n_stages * length
        Y, L, W = near[0:rows], near[rows : 2 * rows], near[2 * rows : 3 * rows]
        Z_bars = near[3 * rows : (3 + n_stages) * rows]
        scratch = near[(3 + n_stages) * rows :]
        stages_at = 0 if store else n_steps * rows
        load(Y, X, first, m)
        for n in range(n_steps):
            at = stages_at
            if store:
                at += n * a_step
            else:
                copy(far[n * rows : (n + 1) * rows], Y)
            kept = far[at : at + a_step]
            step(A, b, c, dyn, t[n], h[n], slots[n], E, Y, kept, length)
        terminal(cost, Y, first, m, L, cost_bar, cost_bar.shape[0] - 1, scratch)
        for n in range(n_steps - 1, -1, -1):
            at = stages_at
            if store:
                at += n * a_step
            kept = far[at : at + a_step]
            if not store:  # the stages once more, from the step's start
                copy(Y, far[n * rows : (n + 1) * rows])
                step(A, b, c, dyn, t[n], h[n], slots[n], E, Y, kept, length)
            step_adjoint(
                A,
                b,
                c,
                dyn,
                t[n],
                h[n],
                slots[n],
                E,
                kept,
                length,
                L,
                W,
                Z_bars,
                E_bar,
                scratch,
            )
            jump(cost, n, first, m, L)
        if want_x:
            unload(L[: X_bar.shape[1]], m, first, X_bar)

    return forward, gradient


@functools.cache
def forward_kernel(dynamics: DynamicsBodies, shape: Shape, placed: Placed) -> Any:
    """A launch of ``forward`` over tiles."""
    forward, _ = walks(tile(placed.S, placed.threads), dynamics, None, shape)
    prepare, room_size = _prepare(placed), placed.global_numbers()
    S, length, n_near, n_stages = placed.S, placed.S + 1, placed.near, placed.n_stages
    near_shared, near_at, kind = placed.near_shared, placed.starts()[2], placed.dtype

    @launched(placed.registers)
    def kernel(table_sent, times, slots, dyn, E, X, rooms, out):
        shared = cuda.shared.array(0, kind)
        block = cuda.blockIdx.x
        table = view(shared, 0, n_stages + 2, n_stages)
        at = near_at if near_shared else block * room_size + near_at
        near = view(shared if near_shared else rooms, at, n_near, length)
        prepare(table, table_sent)
        for i in range(block, (X.shape[0] + S - 1) // S, cuda.gridDim.x):
            m = min(S, X.shape[0] - i * S)
            forward(
                table[:n_stages],
                table[n_stages],
                table[n_stages + 1],
                times[0],
                times[1],
                slots,
                dyn,
                E,
                X,
                i * S,
                m,
                near,
                out,
            )

    return kernel


@functools.cache
def gradient_kernel(
    dynamics: DynamicsBodies,
    cost_bodies: CostBodies,
    shape: Shape,
    store: bool,
    wide: bool,
    placed: Placed,
) -> Any:
    """A launch of ``gradient`` over tiles; a block's sums are E_bar, the cost's, the value."""
    _, gradient = walks(tile(placed.S, placed.threads, wide), dynamics, cost_bodies, shape, store)
    S, length, n_near, n_far, n_stages = (
        placed.S,
        placed.S + 1,
        placed.near,
        placed.far,
        placed.n_stages,
    )
    n_slots, q, kind = placed.slots, placed.q, placed.dtype
    near_shared, weights_shared, far_shared = placed[8:11]
    E_at, E_bar_at, near_at, far_at = placed.starts()
    room_size, n_weights = placed.global_numbers(), n_slots * q
    size = n_weights + placed.n_cost + 1
    prepare, load_weights, keep_weights = _prepare(placed), *_weights(placed)

    @launched(placed.registers)
    def kernel(table_sent, times, slots, dyn, cost, E, X, rooms, sums, want_x, X_bar):
        shared = cuda.shared.array(0, kind)
        block = cuda.blockIdx.x
        table = view(shared, 0, n_stages + 2, n_stages)
        at = near_at if near_shared else block * room_size + near_at
        near = view(shared if near_shared else rooms, at, n_near, length)
        at = far_at if far_shared else block * room_size + far_at
        far = view(shared if far_shared else rooms, at, n_far, length)
        mine = sums[block * size : (block + 1) * size]
        if weights_shared:
            weights = view(shared, E_at, n_slots, q)
            weights_bar = view(shared, E_bar_at, n_slots, q)
        else:
            weights = E
            weights_bar = view(sums, block * size, n_slots, q)
        load_weights(weights, E, weights_bar, mine)
        prepare(table, table_sent)
        for i in range(block, (X.shape[0] + S - 1) // S, cuda.gridDim.x):
            m = min(S, X.shape[0] - i * S)
            gradient(
                table[:n_stages],
                table[n_stages],
                table[n_stages + 1],
                times[0],
                times[1],
                slots,
                dyn,
                cost,
                weights,
                X,
                i * S,
                m,
                near,
                far,
                weights_bar,
                mine[n_weights:],
                want_x,
                X_bar,
            )
        keep_weights(mine, weights_bar)

    return kernel


def _prepare(placed: Placed) -> Any:
    """The tableau into shared memory."""
    n_stages, stride = placed.n_stages, counted(placed.threads)
    columns, size = counted(n_stages), counted((n_stages + 2) * n_stages)

    @cuda.jit(device=True)
    def prepare(table, sent):
        k = place(cuda.threadIdx.x)
        while k < size:
            table[k // columns, k % columns] = sent[k // columns, k % columns]
            k += stride
        cuda.syncthreads()

    return prepare


def _weights(placed: Placed) -> tuple[Any, Any]:
    """Weights into shared memory, their cotangents from zero and out of it."""
    stride, q, shared = counted(placed.threads), counted(placed.q), placed.weights_shared
    size, all_sums = counted(placed.slots * placed.q), placed.slots * placed.q + placed.n_cost + 1
    everything = counted(all_sums)

    @cuda.jit(device=True)
    def load_weights(weights, E, weights_bar, sums):
        k = place(cuda.threadIdx.x)
        while k < everything:
            sums[k] = 0.0
            if shared and k < size:
                weights[k // q, k % q] = E[k // q, k % q]
                weights_bar[k // q, k % q] = 0.0
            k += stride

    @cuda.jit(device=True)
    def keep_weights(sums, weights_bar):
        if shared:
            k = place(cuda.threadIdx.x)
            while k < size:
                sums[k] = weights_bar[k // q, k % q]
                k += stride

    return load_weights, keep_weights


@functools.cache
def add_blocks(across: int, down: int) -> Any:
    """out <- the blocks' sums: ``down`` threads add every down-th block, the first these."""
    shape = (down, across)

    @cuda.jit
    def kernel(sums, blocks, size, out):
        parts = cuda.shared.array(shape, out.dtype)
        x, y = cuda.threadIdx.x, cuda.threadIdx.y
        q = cuda.blockIdx.x * across + x
        total = 0.0
        if q < size:
            for block in range(y, blocks, down):
                total += sums[block * size + q]
        parts[y, x] = total
        cuda.syncthreads()
        if y == 0 and q < size:
            total = 0.0
            for k in range(down):
                total += parts[k, x]
            out[q] = total

    return kernel
