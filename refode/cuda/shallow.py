"""The shallow network of eq. (2) on the device: twin of refode/fields/shallow.py.

Effective weights e: W0 (k, d), b0, W1 (d, k), b1, the time's column where t is an input, then M
of the trace (D4). The tape of a stage is a = tanh(W0 z + b0), (k, S).
"""

from __future__ import annotations

import functools
import math

from refode.cuda.contract import FieldBodies
from refode.cuda.linalg import linalg
from refode.cuda.ops import Ops
from refode.cuda.tangents import shallow_tangents


@functools.cache
def shallow(ops: Ops) -> FieldBodies:
    """Value, trace and their adjoint; tangent and its adjoint."""
    la = linalg(ops)
    product, product_transposed = la.product, la.product_transposed
    outer_add, row_sums, add_column = la.outer_add, la.row_sums, la.add_column

    @ops.body
    def rhs(f, e, t, Z, F, tr, tape):
        """Eq. (2): F <- W1 tanh(W0 z + b0) + b1; tr <- its trace (D4)."""
        d, k = f.d, f.k
        o_W1 = k * d + k
        o_b1 = o_W1 + d * k
        a = tape[0:k]
        product(e, 0, 1, Z, a, False)  # [1] u = W0 z (+ w t)
        tanh(a, e, k * d, o_b1 + d, f.time, t)  # [2] a = tanh(u + b0)
        product(e, o_W1, 1, a, F, False)  # [3] f = W1 a + b1
        add_column(F, e, o_b1)
        if tr is not None:  # [4] tr = sum_k (1 - a_k^2) M_k
            trace(tr, a, e, o_b1 + d + (k if f.time else 0))

    @ops.body
    def rhs_adjoint(f, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch):
        """Add J^T F_bar and the trace's pull-back, eqs. (D3), (D5)."""
        d, k = f.d, f.k
        o_W1 = k * d + k
        o_b1 = o_W1 + d * k
        o_w = o_b1 + d
        o_M = o_w + (k if f.time else 0)
        a, u_bar = tape[0:k], scratch[0:k]
        product_transposed(e, o_W1, 1, F_bar, u_bar, False)  # [3]^T a_bar = W1^T f_bar
        outer_add(F_bar, a, 1, e_bar, o_W1)  #                 W1_bar += f_bar a^T
        row_sums(e_bar, o_b1, F_bar, 1.0)  #                   b1_bar += f_bar
        if tr_bar is not None:  # [4]^T, the terms of M_bar = sum_s (1 - a^2) tr_bar
            write_slopes(a, tr_bar, scratch[k : 2 * k])
            row_sums(e_bar, o_M, scratch[k : 2 * k], 1.0)
            units_adjoint(a, e, o_M, tr_bar, u_bar)  # [4]^T, [2]^T
        else:
            tanh_adjoint(a, u_bar)  # [2]^T u_bar = (1 - a^2) a_bar
        row_sums(e_bar, k * d, u_bar, 1.0)  # [1]^T b0_bar += u_bar
        if f.time:
            row_sums(e_bar, o_w, u_bar, t)  #       w_bar += t u_bar
        product_transposed(e, 0, 1, u_bar, Z_bar, True)  # z_bar += W0^T u_bar
        outer_add(u_bar, Z, 1, e_bar, 0)  #                W0_bar += u_bar z^T

    @ops.entries
    def tanh(j, s, u, e, o_b0, o_w, time, t):
        """u <- tanh(u + b0 (+ w t))."""
        shift = e[o_b0 + j]
        if time:
            shift += e[o_w + j] * t
        u[j, s] = math.tanh(u[j, s] + shift)

    @ops.entries
    def tanh_adjoint(j, s, a, u_bar):
        """u_bar <- (1 - a^2) u_bar."""
        u_bar[j, s] *= 1.0 - a[j, s] * a[j, s]

    @ops.each
    def trace(s, tr, a, e, o_M):
        """tr <- sum_k (1 - a_k^2) M_k."""
        total = 0.0
        for j in range(a.shape[0]):
            total += (1.0 - a[j, s] * a[j, s]) * e[o_M + j]
        tr[s] = total

    @ops.entries
    def write_slopes(j, s, a, tr_bar, out):
        """out <- (1 - a^2) tr_bar."""
        out[j, s] = (1.0 - a[j, s] * a[j, s]) * tr_bar[s]

    @ops.entries
    def units_adjoint(j, s, a, e, o_M, tr_bar, u_bar):
        """u_bar <- (1 - a^2) (a_bar - 2 a M tr_bar)."""
        bar = u_bar[j, s] - 2.0 * a[j, s] * e[o_M + j] * tr_bar[s]
        u_bar[j, s] = (1.0 - a[j, s] * a[j, s]) * bar

    def rows(f, trace):
        """Rows of a stage's tape and of the adjoint's work space."""
        return f.k, 2 * f.k if trace else f.k

    return FieldBodies(rhs, rhs_adjoint, rows, *shallow_tangents(ops))
