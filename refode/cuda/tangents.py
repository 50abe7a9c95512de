"""Tangents J v of fields and their adjoints, for Hutchinson's estimate of the trace.

The CPU takes them from the fields' bodies in complex numbers, (D46), (D47); here they are
written out, in real ones, (D122), (D123). v is a constant.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from refode.cuda.linalg import linalg
from refode.cuda.ops import Ops


@functools.cache
def shallow_tangents(ops: Ops) -> tuple[Any, Any, Any]:
    """Of eq. (2); the tape of a stage is a, u_dot, a_dot, k rows each."""
    la = linalg(ops)
    product, product_transposed = la.product, la.product_transposed
    outer_add, row_sums, add_column = la.outer_add, la.row_sums, la.add_column
    units, units_adjoint = _units(ops)

    @ops.body
    def tangent(f, e, t, Z, V, F, FV, tape):
        """F <- W1 tanh(W0 z + b0) + b1, FV <- J v, (D122)."""
        d, k = f.d, f.k
        o_W1 = k * d + k
        o_b1 = o_W1 + d * k
        a, u_dot, a_dot = tape[0:k], tape[k : 2 * k], tape[2 * k : 3 * k]
        product(e, 0, 1, Z, a, False)  # [1] u = W0 z (+ w t), u_dot = W0 v
        product(e, 0, 1, V, u_dot, False)
        # [2] a = tanh(u + b0), a_dot = (1 - a^2) u_dot
        units(a, e, k * d, o_b1 + d, f.time, t, u_dot, a_dot)
        product(e, o_W1, 1, a, F, False)  # [3] f = W1 a + b1, J v = W1 a_dot
        add_column(F, e, o_b1)
        product(e, o_W1, 1, a_dot, FV, False)

    @ops.body
    def tangent_adjoint(f, e, t, Z, V, tape, F_bar, FV_bar, Z_bar, e_bar, scratch):
        """Add the pull-back of both, (D123)."""
        d, k = f.d, f.k
        o_W1 = k * d + k
        o_b1 = o_W1 + d * k
        a, u_dot, a_dot = tape[0:k], tape[k : 2 * k], tape[2 * k : 3 * k]
        u_bar, u_dot_bar = scratch[0:k], scratch[k : 2 * k]
        # [3]^T a_bar = W1^T f_bar, a_dot_bar = W1^T (J v)_bar
        product_transposed(e, o_W1, 1, F_bar, u_bar, False)
        product_transposed(e, o_W1, 1, FV_bar, u_dot_bar, False)
        outer_add(F_bar, a, 1, e_bar, o_W1)  # W1_bar += f_bar a^T + (J v)_bar a_dot^T
        outer_add(FV_bar, a_dot, 1, e_bar, o_W1)
        row_sums(e_bar, o_b1, F_bar, 1.0)  # b1_bar += f_bar
        units_adjoint(a, u_dot, u_bar, u_dot_bar)  # [2]^T
        row_sums(e_bar, k * d, u_bar, 1.0)  # b0_bar += u_bar
        if f.time:
            row_sums(e_bar, o_b1 + d, u_bar, t)  # w_bar += t u_bar
        product_transposed(e, 0, 1, u_bar, Z_bar, True)  # [1]^T z_bar += W0^T u_bar
        outer_add(u_bar, Z, 1, e_bar, 0)  #                W0_bar += u_bar z^T + u_dot_bar v^T
        outer_add(u_dot_bar, V, 1, e_bar, 0)

    def rows(f):
        """Rows of a stage's tape and of the adjoint's work space."""
        return 3 * f.k, 2 * f.k

    return tangent, tangent_adjoint, rows


@functools.cache
def _units(ops: Ops) -> tuple[Any, Any]:
    @ops.entries
    def units(j, s, u, e, o_b0, o_w, time, t, u_dot, a_dot):
        """u <- a = tanh(u + b0 (+ w t)), a_dot <- (1 - a^2) u_dot."""
        shift = e[o_b0 + j]
        if time:
            shift += e[o_w + j] * t
        a = math.tanh(u[j, s] + shift)
        u[j, s] = a
        a_dot[j, s] = (1.0 - a * a) * u_dot[j, s]

    @ops.entries
    def units_adjoint(j, s, a, u_dot, u_bar, u_dot_bar):
        """u_bar <- (1 - a^2) (a_bar - 2 a u_dot a_dot_bar), u_dot_bar <- (1 - a^2) a_dot_bar."""
        slope = 1.0 - a[j, s] * a[j, s]
        bar = u_bar[j, s] - 2.0 * a[j, s] * u_dot[j, s] * u_dot_bar[j, s]
        u_bar[j, s] = slope * bar
        u_dot_bar[j, s] *= slope

    return units, units_adjoint


@functools.cache
def mlp_tangents(ops: Ops, passes: Any) -> tuple[Any, Any, Any]:
    """Of eq. (1), by the passes of mlp.py; the tape also keeps u_dot of every hidden layer."""
    la = linalg(ops)
    product, product_transposed = la.product, la.product_transposed
    outer_add, fill = la.outer_add, la.fill
    values, values_adjoint = passes.values, passes.values_adjoint
    tangents, tangents_adjoint = passes.tangents, passes.tangents_adjoint

    @ops.body
    def tangent(f, e, t, Z, V, F, FV, tape):
        """F <- f(z), FV <- J v, (D122)."""
        n = f.widths.shape[0] - 2
        total, w = f.places[n], f.widths[n]
        values(f, e, t, Z, F, tape)  # [1]
        if n == 0:
            product(e, 0, 1, V, FV, False)
        else:
            u_dots, a_dot = tape[2 * total : 3 * total], tape[3 * total : 3 * total + f.widest]
            product(e, 0, 1, V, u_dots[: f.widths[1]], False)  # [2] u_dot = W_0 v, ...
            tangents(f, e, tape, u_dots, a_dot)
            product(e, f.starts[n], 1, a_dot[:w], FV, False)  # [3] J v = W_n a_dot

    @ops.body
    def tangent_adjoint(f, e, t, Z, V, tape, F_bar, FV_bar, Z_bar, e_bar, scratch):
        """Add the pull-back of both, (D123)."""
        n, widest = f.widths.shape[0] - 2, f.widest
        total, w = f.places[n], f.widths[n]
        one, other = scratch[0:widest], scratch[widest : 2 * widest]
        if n == 0:
            outer_add(FV_bar, V, 1, e_bar, 0)
            values_adjoint(f, e, t, Z, tape, F_bar, None, Z_bar, e_bar, one, other)
        else:
            u_dots, a_dot = tape[2 * total : 3 * total], tape[3 * total : 3 * total + widest]
            D_bars = scratch[2 * widest : 2 * widest + total]
            fill(D_bars, 0.0)
            outer_add(FV_bar, a_dot[:w], 1, e_bar, f.starts[n])  # [3]^T
            product_transposed(e, f.starts[n], 1, FV_bar, one[:w], False)
            tangents_adjoint(f, e, tape, u_dots, e_bar, D_bars, one, other)  # [2]^T
            outer_add(u_dots[: f.widths[1]], V, 1, e_bar, 0)  # W_0_bar += u_dot_bar v^T
            values_adjoint(f, e, t, Z, tape, F_bar, D_bars, Z_bar, e_bar, one, other)  # [1]^T

    def rows(f):
        """Rows of a stage's tape and of the adjoint's work space."""
        total = int(f.places[-1])
        return 3 * total + f.widest, total + 2 * f.widest

    return tangent, tangent_adjoint, rows
