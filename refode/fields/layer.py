"""One layer u = W z + w t + b, a = sigma(u), and its adjoint: the brick of most fields."""

from __future__ import annotations

from refode.machine.activations import activate
from refode.machine.blas import add_outer, add_transposed_product, multiply
from refode.machine.blocks import add_column, row_sum
from refode.machine.compile import kernel


@kernel(cache=False)
def affine(W, b, w, t, Z, U):
    """U <- W Z + b (+ w t, where w has entries)."""
    multiply(W, Z, U)
    add_column(U, b)
    for j in range(w.shape[0]):
        shift = w[j] * t
        for s in range(U.shape[1]):
            U[j, s] += shift


@kernel(cache=False)
def affine_adjoint(W, w, t, Z, U_bar, Z_bar, W_bar, b_bar, w_bar):
    """Add to the cotangents of Z, W, b, w; return that of t."""
    add_transposed_product(W, U_bar, Z_bar)  # z_bar += W^T u_bar
    add_outer(U_bar, Z, W_bar)  #              W_bar += u_bar z^T
    return bias_adjoint(w, t, U_bar, b_bar, w_bar)


@kernel(cache=False)
def bias_adjoint(w, t, U_bar, b_bar, w_bar):
    """b_bar += u_bar, w_bar += t u_bar; return t_bar = w . u_bar."""
    t_bar = t * 0
    for j in range(U_bar.shape[0]):
        total = row_sum(U_bar[j])
        b_bar[j] += total
        if w.shape[0]:
            w_bar[j] += t * total
            t_bar += w[j] * total
    return t_bar


@kernel(cache=False)
def layer(code, W, b, w, t, Z, A, D):
    """A <- sigma(W Z + b + w t), D <- sigma' there."""
    multiply(W, Z, A)
    for j in range(w.shape[0]):
        shift = w[j] * t
        for s in range(A.shape[1]):
            A[j, s] += shift
    activate(code, A, b, D)


@kernel(cache=False)
def scale_by(D, U_bar):
    """U_bar <- D * U_bar, entry by entry."""
    for j in range(D.shape[0]):
        for s in range(D.shape[1]):
            U_bar[j, s] *= D[j, s]


@kernel(cache=False)
def weighted_sum(D, M, tr):
    """tr[s] <- sum_j D[j, s] M[j]."""
    for s in range(tr.shape[0]):
        tr[s] = 0
    for j in range(D.shape[0]):
        m = M[j]
        for s in range(tr.shape[0]):
            tr[s] += D[j, s] * m


@kernel(cache=False, reassociate=True)
def weighted_sum_adjoint(D, M, tr_bar, D_bar, M_bar):
    """D_bar <- M tr_bar; M_bar += sum_s D tr_bar."""
    for j in range(D.shape[0]):
        m, total = M[j], M[j] * 0
        for s in range(tr_bar.shape[0]):
            D_bar[j, s] = m * tr_bar[s]
            total += D[j, s] * tr_bar[s]
        M_bar[j] += total
