"""One step of an explicit tableau and its adjoint: twin of refode/solvers/schemes.py.

Ys (n_stages, d, S) and tapes (n_stages, k, S) are the step's part of the tape; Fs and Z_bars
(n_stages, d, S) are room for one step, used again by the next.
"""

from __future__ import annotations

from numba import cuda

from refode.cuda import shallow


@cuda.jit(device=True)
def step(A, b, c, t, h, slots, E, time, Y, Ys, Fs, tapes):
    """Eq. (D20)."""
    for i in range(b.shape[0]):
        _stage(Ys[i], Y, h, A[i], i, Fs)  # [1] Y_i = y + h sum_{j<i} a_ij k_j
        t_i = t + c[i] * h
        shallow.value(E[slots[i]], time, t_i, Ys[i], Fs[i], tapes[i])  # [2] k_i
    _stage(Y, Y, h, b, b.shape[0], Fs)  # [3] y+ = y + h sum_i b_i k_i


@cuda.jit(device=True)
def step_adjoint(A, b, c, t, h, slots, E, time, Ys, tapes, L, W, Z_bars, E_bar, u_bar):
    """Eq. (D21): L <- S^T L, E_bar (flat) += the slots' shares."""
    n = E.shape[1]
    for i in range(b.shape[0] - 1, -1, -1):
        # [3]^T, [1]^T  w_i = h (b_i lambda + sum_{j>i} a_ji zbar_j)
        _stage_adjoint(W, L, h, b[i], A, i, Z_bars)
        e_bar = E_bar[slots[i] * n : (slots[i] + 1) * n]
        t_i = t + c[i] * h
        shallow.adjoint(  # [2]^T  zbar_i = J_i^T w_i
            E[slots[i]], time, t_i, Ys[i], tapes[i], W, Z_bars[i], e_bar, u_bar
        )
    _add_all(L, Z_bars)  # lambda <- lambda + sum_i zbar_i


@cuda.jit(device=True)
def _stage(Y, start, h, weights, n, Fs):
    """Y <- start + h sum_{j<n} weights[j] Fs[j]."""
    S = Y.shape[1]
    for q in range(cuda.threadIdx.x, Y.shape[0] * S, cuda.blockDim.x):
        r, s = q // S, q % S
        total = start[r, s]
        for j in range(n):
            if weights[j] != 0.0:
                total += h * weights[j] * Fs[j, r, s]
        Y[r, s] = total
    cuda.syncthreads()


@cuda.jit(device=True)
def _stage_adjoint(W, L, h, b_i, A, i, Z_bars):
    """W <- h (b_i L + sum_{j>i} A[j, i] Z_bars[j])."""
    S = W.shape[1]
    for q in range(cuda.threadIdx.x, W.shape[0] * S, cuda.blockDim.x):
        r, s = q // S, q % S
        total = h * b_i * L[r, s]
        for j in range(i + 1, A.shape[0]):
            if A[j, i] != 0.0:
                total += h * A[j, i] * Z_bars[j, r, s]
        W[r, s] = total
    cuda.syncthreads()


@cuda.jit(device=True)
def _add_all(L, Z_bars):
    """L += sum_i Z_bars[i]."""
    S = L.shape[1]
    for q in range(cuda.threadIdx.x, L.shape[0] * S, cuda.blockDim.x):
        r, s = q // S, q % S
        total = L[r, s]
        for i in range(Z_bars.shape[0]):
            total += Z_bars[i, r, s]
        L[r, s] = total
    cuda.syncthreads()
