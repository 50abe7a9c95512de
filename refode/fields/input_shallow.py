"""Bodies of a shallow network that reads inputs besides z, or gives other rows than z'.

Effective weights: W0 (k, d + q), b0, W1 (m, k), b1, then W0's time column. No trace, and no twin on
the device.
"""

from __future__ import annotations

from typing import NamedTuple

from refode.fields.contract import jacobian, rhs, rhs_adjoint
from refode.fields.jacobians import pairs
from refode.fields.layer import affine, affine_adjoint
from refode.machine.activations import tanh_rows
from refode.machine.blas import add_outer, multiply, multiply_transposed
from refode.machine.blocks import add_column, add_row_sums
from refode.machine.views import matrix


class InputShallowSpec(NamedTuple):
    """Rows read and given, hidden units, and entries of the time column (k or 0)."""

    n_in: int
    n_out: int
    k: int
    n_time: int


@rhs.register(InputShallowSpec)
def input_shallow_rhs(field, e, t, Z, F, tr, tape):
    """Eq. (2) with W0 (k, d + q)."""
    n, k, o = field.n_in, field.k, field.n_out
    o_b0, o_W1 = k * n, k * n + k
    o_b1 = o_W1 + o * k
    o_w = o_b1 + o
    zero = e[o_b0:o_W1] * 0
    affine(matrix(e, 0, k, n), zero, e[o_w : o_w + field.n_time], t, Z, tape)
    tanh_rows(tape, e[o_b0:o_W1])
    multiply(matrix(e, o_W1, o, k), tape, F)
    add_column(F, e[o_b1:o_w])


@rhs_adjoint.register(InputShallowSpec)
def input_shallow_rhs_adjoint(field, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch):
    """(D3), its z being (z, u)."""
    n, k, o = field.n_in, field.k, field.n_out
    o_b0, o_W1 = k * n, k * n + k
    o_b1 = o_W1 + o * k
    o_w = o_b1 + o
    u_bar, w = scratch[:k], slice(o_w, o_w + field.n_time)
    multiply_transposed(matrix(e, o_W1, o, k), F_bar, u_bar)
    add_outer(F_bar, tape, matrix(e_bar, o_W1, o, k))
    add_row_sums(e_bar[o_b1:o_w], F_bar)
    for j in range(k):
        for s in range(tape.shape[1]):
            u_bar[j, s] *= 1.0 - tape[j, s] * tape[j, s]
    W, W_bar, b_bar = matrix(e, 0, k, n), matrix(e_bar, 0, k, n), e_bar[o_b0:o_W1]
    return affine_adjoint(W, e[w], t, Z, u_bar, Z_bar, W_bar, b_bar, e_bar[w])


@jacobian.register(InputShallowSpec)
def input_shallow_jacobian(field, e, t, Z, tape, J, scratch):
    """J = W1 diag(1 - a^2) W0 by z alone: as many columns of W0 as there are outputs, (D153)."""
    n, k, o = field.n_in, field.k, field.n_out
    for j in range(k):
        for s in range(tape.shape[1]):
            scratch[j, s] = 1.0 - tape[j, s] * tape[j, s]
    multiply(pairs(matrix(e, k * n + k, o, k), matrix(e, 0, k, n), 1.0), scratch[:k], J)
