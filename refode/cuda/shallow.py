"""The shallow network of eq. (2) on the device: twin of refode/fields/shallow.py.

Effective weights e: W0 (k, d), b0, W1 (d, k), b1, then the time's column where t is an input.
The tape of a stage is a = tanh(W0 z + b0), (k, S).
"""

from __future__ import annotations

import math

from numba import cuda

from refode.cuda.linalg import add_column, outer_add, product, product_transposed, row_sums


@cuda.jit(device=True)
def value(e, time, t, Z, F, tape):
    """Eq. (2): F <- W1 tanh(W0 z + b0) + b1."""
    d, k = Z.shape[0], tape.shape[0]
    o_W1 = k * d + k
    o_w = o_W1 + d * k + d
    product(e, 0, Z, tape)  # [1] u = W0 z (+ w t)
    _tanh(e, k * d, o_w, time, t, tape)  # [2] a = tanh(u + b0)
    product(e, o_W1, tape, F)  # [3] f = W1 a + b1
    add_column(F, e, o_W1 + d * k)


@cuda.jit(device=True)
def adjoint(e, time, t, Z, tape, F_bar, Z_bar, e_bar, u_bar):
    """Z_bar <- J^T F_bar, e_bar += the weights' share, eq. (D3)."""
    d, k = Z.shape[0], tape.shape[0]
    o_W1 = k * d + k
    o_w = o_W1 + d * k + d
    product_transposed(e, o_W1, F_bar, u_bar)  # [3]^T a_bar = W1^T f_bar
    outer_add(F_bar, tape, e_bar, o_W1)  #             W1_bar += f_bar a^T
    row_sums(e_bar, o_W1 + d * k, F_bar, 1.0)  #       b1_bar += f_bar
    _tanh_adjoint(tape, u_bar)  # [2]^T u_bar = (1 - a^2) a_bar
    row_sums(e_bar, k * d, u_bar, 1.0)  # [1]^T b0_bar += u_bar
    if time:
        row_sums(e_bar, o_w, u_bar, t)  #       w_bar += t u_bar
    product_transposed(e, 0, u_bar, Z_bar)  #   z_bar = W0^T u_bar
    outer_add(u_bar, Z, e_bar, 0)  #            W0_bar += u_bar z^T


@cuda.jit(device=True)
def _tanh(e, o_b0, o_w, time, t, u):
    """u <- tanh(u + b0 (+ w t))."""
    S = u.shape[1]
    for q in range(cuda.threadIdx.x, u.shape[0] * S, cuda.blockDim.x):
        j, s = q // S, q % S
        shift = e[o_b0 + j]
        if time:
            shift += e[o_w + j] * t
        u[j, s] = math.tanh(u[j, s] + shift)
    cuda.syncthreads()


@cuda.jit(device=True)
def _tanh_adjoint(a, u_bar):
    """u_bar <- (1 - a^2) u_bar."""
    S = a.shape[1]
    for q in range(cuda.threadIdx.x, a.shape[0] * S, cuda.blockDim.x):
        j, s = q // S, q % S
        u_bar[j, s] *= 1.0 - a[j, s] * a[j, s]
    cuda.syncthreads()
