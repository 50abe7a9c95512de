"""The whole trajectory in one kernel: twin of refode/solvers/sweeps.py.

A block of threads takes a tile of S samples all the way forward, keeping every stage, and
all the way back; then tile + blocks, and so on: which block takes which tile is fixed. Each
block adds into a row of ``sums`` of its own; a tree of fixed shape adds the rows.
"""

from __future__ import annotations

from numba import cuda

from refode.cuda.losses import terminal
from refode.cuda.runge_kutta import step, step_adjoint


@cuda.jit(device=True)
def load(X, first, n, Y):
    """Samples first, first+1, ... into the columns of Y, the first one again beyond n."""
    S = Y.shape[1]
    for q in range(cuda.threadIdx.x, Y.shape[0] * S, cuda.blockDim.x):
        i, s = q // S, q % S
        row = first + s if s < n else first
        Y[i, s] = X[row, i] if i < X.shape[1] else 0.0  # augmentation, eq. (5)
    cuda.syncthreads()


@cuda.jit
def gradient_tiles(
    A, b, c, t, h, slots, E, time, loss, readout, m, targets, labels, scale, X,
    states, Fs, Z_bars, Ys, tapes, u_bars, Vs, values, sums,
):  # fmt: skip
    """Each block's sums of E_bar, the readout's cotangent and the value, in this order.

    ``Ys`` (blocks, n_steps, n_stages, d, S) and ``tapes`` (..., k, S) are the tape;
    ``states`` (blocks, 3, d, S) holds Y, L and W. ``sums`` (blocks, .) is zero beforehand.
    """
    block, S, n_steps = cuda.blockIdx.x, states.shape[3], t.shape[0]
    Y, L, W = states[block, 0], states[block, 1], states[block, 2]
    last, n_E = sums.shape[1] - 1, E.shape[0] * E.shape[1]
    E_bar, cost_bar = sums[block, :n_E], sums[block, n_E:last]
    for tile in range(block, (X.shape[0] + S - 1) // S, cuda.gridDim.x):
        first = tile * S
        there = min(S, X.shape[0] - first)
        load(X, first, there, Y)
        for n in range(n_steps):
            step(
                A, b, c, t[n], h[n], slots[n], E, time,
                Y, Ys[block, n], Fs[block], tapes[block, n],
            )  # fmt: skip
        terminal(
            loss, readout, m, targets, labels, scale, first, there,
            Y, Vs[block], L, cost_bar, values[block],
        )  # fmt: skip
        if cuda.threadIdx.x == 0:
            total = 0.0
            for s in range(S):
                total += values[block, s]
            sums[block, last] += total
        cuda.syncthreads()
        for n in range(n_steps - 1, -1, -1):
            step_adjoint(
                A, b, c, t[n], h[n], slots[n], E, time, Ys[block, n], tapes[block, n],
                L, W, Z_bars[block], E_bar, u_bars[block],
            )  # fmt: skip


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
