"""Kernels of the potential network: Phi, grad Phi, dPhi/dt, Laplacian, and their adjoint.

With s = (x, t), sigma = log(2 cosh), layers 0, ..., M and h = 1/M (docs/equations_potential.md):

[1]  (l, v_0) = (A s, K_0 s + b_0),  a_0 = tanh v_0,  u_0 = sigma(v_0)
[2]  v_i = K_i u_{i-1} + b_i,  a_i = tanh v_i,  u_i = u_{i-1} + h sigma(v_i)
[3]  y_{M+1} = w,  y_i = y_{i+1} + h K_i^T (a_i y_{i+1})
[4]  grad Phi = K_0^T (a_0 y_1) + A^T l + S s + b
[5]  J_0 = a_0 C,  T_i = K_i J_{i-1},  R_i = row sums of T_i^2,  J_i = J_{i-1} + h a_i T_i
[6]  Lap Phi = n . (1 - a_0^2) y_1 + h sum_i R_i . (1 - a_i^2) y_{i+1} + trace of the quadratic
[7]  Phi = w . u_M + |l|^2/2 + s . S s/2 + b . s + c

C (m, D) has the rows' inner products of K_0's first d columns, C C^T = K_0 K_0^T, with
D = min(d, m) columns (D92); n is its diagonal. A stands for low rank, S for the symmetric
quadratic; one of them is there.

Twins on the device: refode/cuda/potential.py and refode/cuda/potential_value.py.
"""

from __future__ import annotations

from refode.fields.potential.laplacian import (
    first_term_adjoint,
    laplacian,
    laplacian_adjoint,
    term_adjoint,
)
from refode.fields.potential.layout import PotentialParts, places, step_length, tape_rows
from refode.fields.potential.quadratic import (
    quadratic_gradient,
    quadratic_gradient_adjoint,
    quadratic_value,
    quadratic_value_adjoint,
)
from refode.machine.activations import tanh_and_log_cosh_rows, tanh_rows
from refode.machine.blas import add_outer, add_transposed_product, multiply, multiply_transposed
from refode.machine.blocks import add_column, add_row_sums, copy, fill, row_product, row_sum
from refode.machine.compile import kernel
from refode.machine.parts import Room
from refode.machine.views import band, matrix, segment

POTENTIAL = Room("potential")
PHI, GRADIENT, LAPLACIAN = 1, 2, 4  # what is wanted, added up


@POTENTIAL.function("vsMivMvvM")
def derivatives(f, e, t, Z, want, phi, G, Gt, lap, tape):
    """Phi, grad Phi, dPhi/dt, Lap Phi into phi, (G, Gt), lap, those that are wanted."""


@POTENTIAL.function("vsMMivMvvMvM", "s")
def derivatives_adjoint(
    f, e, t, Z, tape, want, phi_bar, G_bar, Gt_bar, lap_bar, Z_bar, e_bar, scratch
):
    """Add the pull-backs of the cotangents that there are; return that of t, (D94)-(D97)."""


@derivatives.register(PotentialParts)
def potential_derivatives(f, e, t, Z, want, phi, G, Gt, lap, tape):
    """[1] to [7]."""
    _features(f, e, t, Z, want & PHI != 0, tape)
    if want & PHI:
        _value(f, e, t, Z, phi, tape)
    if want & GRADIENT:
        _gradient(f, e, t, Z, G, Gt, tape)
    if want & LAPLACIAN:
        laplacian(f, e, lap, tape)


@derivatives_adjoint.register(PotentialParts)
def potential_derivatives_adjoint(
    f, e, t, Z, tape, want, phi_bar, G_bar, Gt_bar, lap_bar, Z_bar, e_bar, scratch
):
    """[7]^T to [1]^T."""
    o, r, m, n = places(f), f.r, f.m, f.r + f.m
    V_bar = band(scratch, 0, n)  # of l and a_0, later of l and v_0
    u_bar = band(scratch, n + f.M * m, m)
    t_bar = t * 0
    if want & GRADIENT:
        t_bar += _gradient_adjoint(
            f, e, t, Z, tape, want, G_bar, Gt_bar, lap_bar, Z_bar, e_bar, scratch
        )
        if want & LAPLACIAN:
            laplacian_adjoint(f, e, tape, lap_bar, e_bar, scratch)
    else:
        fill(band(scratch, 0, n + f.M * m), 0.0)
    fill(u_bar, 0.0)
    if want & PHI:
        t_bar += _value_adjoint(f, e, t, Z, tape, phi_bar, Z_bar, e_bar, band(V_bar, 0, r), u_bar)
    _features_adjoint(f, e, tape, e_bar, scratch)
    W = matrix(e, o.W, n, f.d)  # [1]^T
    for j in range(n):
        total = row_sum(V_bar[j])
        t_bar += e[o.wt + j] * total
        e_bar[o.wt + j] += t * total
        if j >= r:
            e_bar[o.b + j - r] += total
    add_outer(V_bar, Z, matrix(e_bar, o.W, n, f.d))
    add_transposed_product(W, V_bar, Z_bar)
    return t_bar


@kernel(cache=False)
def _features(f, e, t, Z, last, tape):
    """[1], [2]: a_i for all layers, u_i for all but the last, which ``last`` asks for."""
    o, k, r, m, h = places(f), tape_rows(f), f.r, f.m, step_length(f)
    n = r + m
    V = band(tape, k.V, n)
    multiply(matrix(e, o.W, n, f.d), Z, V)
    for j in range(n):
        shift = e[o.wt + j] * t
        for s in range(V.shape[1]):
            V[j, s] += shift
    U = band(tape, k.U, m)
    fill(U, 0.0)
    tanh_and_log_cosh_rows(U, segment(e, o.b, m), band(V, r, m), 1.0, U)
    for i in range(1, f.M + 1):
        a = band(tape, k.V + r + i * m, m)
        b = segment(e, o.b + i * m, m)
        before = band(tape, k.U + (i - 1) * m, m)
        multiply(matrix(e, o.K + (i - 1) * m * m, m, m), before, a)
        if last or i < f.M:
            tanh_and_log_cosh_rows(band(tape, k.U + i * m, m), b, a, h, before)
        else:
            tanh_rows(a, b)


@kernel(cache=False)
def _features_adjoint(f, e, tape, e_bar, scratch):
    """[2]^T and the activation of [1]^T: cotangents of a_i become those of v_i."""
    o, k, r, m, h = places(f), tape_rows(f), f.r, f.m, step_length(f)
    top = r + (f.M + 1) * m
    u_bar = band(scratch, top, m)
    for i in range(f.M, -1, -1):
        a = band(tape, k.V + r + i * m, m)
        v_bar = band(scratch, r + i * m, m)
        _units_adjoint(a, u_bar, h if i > 0 else 1.0, v_bar)
        if i > 0:
            add_row_sums(segment(e_bar, o.b + i * m, m), v_bar)
            K, K_bar = o.K + (i - 1) * m * m, matrix(e_bar, o.K + (i - 1) * m * m, m, m)
            add_outer(v_bar, band(tape, k.U + (i - 1) * m, m), K_bar)
            add_transposed_product(matrix(e, K, m, m), v_bar, u_bar)


@kernel(cache=False)
def _units_adjoint(a, u_bar, h, v_bar):
    """v_bar <- (1 - a^2) a_bar + h a u_bar, with a_bar in v_bar."""
    for j in range(a.shape[0]):
        for s in range(a.shape[1]):
            v_bar[j, s] = (1.0 - a[j, s] * a[j, s]) * v_bar[j, s] + h * a[j, s] * u_bar[j, s]


@kernel(cache=False)
def _value(f, e, t, Z, phi, tape):
    """[7]."""
    o, k, m = places(f), tape_rows(f), f.m
    top = k.U + f.M * m
    for s in range(phi.shape[0]):
        phi[s] = e[o.c] + e[o.bt] * t
    for j in range(m):
        wj = e[o.w + j]
        for s in range(phi.shape[0]):
            phi[s] += wj * tape[top + j, s]
    for j in range(f.r):
        for s in range(phi.shape[0]):
            phi[s] += 0.5 * tape[k.V + j, s] * tape[k.V + j, s]
    for i in range(f.d):
        bi = e[o.bx + i]
        for s in range(phi.shape[0]):
            phi[s] += bi * Z[i, s]
    if f.symmetric:
        quadratic_value(f.quadratic, e, o.S, t, Z, phi)


@kernel(cache=False)
def _value_adjoint(f, e, t, Z, tape, phi_bar, Z_bar, e_bar, l_bar, u_bar):
    """[7]^T; returns the cotangent of t."""
    o, k, m = places(f), tape_rows(f), f.m
    total = row_sum(phi_bar)
    e_bar[o.c] += total
    e_bar[o.bt] += t * total
    t_bar = e[o.bt] * total
    for j in range(m):
        u, wj = tape[k.U + f.M * m + j], e[o.w + j]
        e_bar[o.w + j] += row_product(u, phi_bar)
        for s in range(phi_bar.shape[0]):
            u_bar[j, s] += wj * phi_bar[s]
    for j in range(f.r):
        for s in range(phi_bar.shape[0]):
            l_bar[j, s] += phi_bar[s] * tape[k.V + j, s]
    for i in range(f.d):
        e_bar[o.bx + i] += row_product(Z[i], phi_bar)
        bi = e[o.bx + i]
        for s in range(phi_bar.shape[0]):
            Z_bar[i, s] += bi * phi_bar[s]
    if f.symmetric:
        t_bar += quadratic_value_adjoint(f.quadratic, e, o.S, t, Z, phi_bar, Z_bar, e_bar)
    return t_bar


@kernel(cache=False)
def _gradient(f, e, t, Z, G, Gt, tape):
    """[3], [4]."""
    o, k, r, m, h = places(f), tape_rows(f), f.r, f.m, step_length(f)
    n, q = r + m, band(tape, k.P + r, m)
    y = band(tape, k.Y + f.M * m, m)
    for j in range(m):
        wj = e[o.w + j]
        for s in range(y.shape[1]):
            y[j, s] = wj
    for i in range(f.M, 0, -1):
        y_next = band(tape, k.Y + i * m, m)
        y = band(tape, k.Y + (i - 1) * m, m)
        _scaled_product(h, band(tape, k.V + r + i * m, m), y_next, q)
        copy(y, y_next)
        add_transposed_product(matrix(e, o.K + (i - 1) * m * m, m, m), q, y)
    P = band(tape, k.P, n)
    copy(band(P, 0, r), band(tape, k.V, r))
    _scaled_product(1.0, band(tape, k.V + r, m), band(tape, k.Y, m), q)
    multiply_transposed(matrix(e, o.W, n, f.d), P, G)
    add_column(G, segment(e, o.bx, f.d))
    for s in range(Gt.shape[0]):
        Gt[s] = e[o.bt]
    for j in range(n):
        wj = e[o.wt + j]
        for s in range(Gt.shape[0]):
            Gt[s] += wj * P[j, s]
    if f.symmetric:
        quadratic_gradient(f.quadratic, e, o.S, t, Z, G, Gt)


@kernel(cache=False)
def _scaled_product(h, x, y, out):
    """out <- h x y, entry by entry."""
    for j in range(x.shape[0]):
        for s in range(x.shape[1]):
            out[j, s] = h * x[j, s] * y[j, s]


@kernel(cache=False)
def _gradient_adjoint(f, e, t, Z, tape, want, G_bar, Gt_bar, lap_bar, Z_bar, e_bar, scratch):
    """[4]^T, [3]^T, and of [6] the cotangents of y_i and a_i; returns that of t.

    Leaves the cotangents of l, a_0, ..., a_M in the first rows of ``scratch``.
    """
    o, k, r, m, h = places(f), tape_rows(f), f.r, f.m, step_length(f)
    n = r + m
    V_bar, at = band(scratch, 0, n), n + f.M * m
    y_bar, q_bar, q = (
        band(scratch, at, m),
        band(scratch, at + m, m),
        band(scratch, at + 2 * m, m),
    )
    P = band(tape, k.P, n)
    multiply(matrix(e, o.W, n, f.d), G_bar, V_bar)  # cotangent of P, so far
    add_outer(P, G_bar, matrix(e_bar, o.W, n, f.d))
    add_row_sums(segment(e_bar, o.bx, f.d), G_bar)
    e_bar[o.bt] += row_sum(Gt_bar)
    for j in range(n):
        wj = e[o.wt + j]
        e_bar[o.wt + j] += row_product(P[j], Gt_bar)
        for s in range(Gt_bar.shape[0]):
            V_bar[j, s] += wj * Gt_bar[s]
    t_bar = t * 0
    if f.symmetric:
        t_bar += quadratic_gradient_adjoint(f.quadratic, e, o.S, t, Z, G_bar, Gt_bar, Z_bar, e_bar)
    _pair_adjoint(1.0, band(tape, k.V + r, m), band(tape, k.Y, m), band(V_bar, r, m), y_bar, False)
    if want & LAPLACIAN:
        e_bar[o.trace] += row_sum(lap_bar)
        first_term_adjoint(
            segment(e, o.n, m),
            band(tape, k.V + r, m),
            band(tape, k.Y, m),
            lap_bar,
            band(V_bar, r, m),
            y_bar,
            segment(e_bar, o.n, m),
        )
    for i in range(1, f.M + 1):
        a = band(tape, k.V + r + i * m, m)
        y = band(tape, k.Y + i * m, m)
        K = o.K + (i - 1) * m * m
        multiply(matrix(e, K, m, m), y_bar, q_bar)
        _scaled_product(h, a, y, q)
        add_outer(q, y_bar, matrix(e_bar, K, m, m))
        a_bar = band(scratch, r + i * m, m)
        copy(a_bar, q_bar)
        _pair_adjoint(h, a, y, a_bar, y_bar, True)
        if want & LAPLACIAN:
            term_adjoint(h, a, y, band(tape, k.R + (i - 1) * m, m), lap_bar, a_bar, y_bar)
    add_row_sums(segment(e_bar, o.w, m), y_bar)
    return t_bar


@kernel(cache=False)
def _pair_adjoint(h, a, y, a_bar, y_bar, more):
    """q = h a y: with q_bar in a_bar, y_bar (+)= h a q_bar, then a_bar <- h y q_bar."""
    for j in range(a.shape[0]):
        for s in range(a.shape[1]):
            q_bar = h * a_bar[j, s]
            y_bar[j, s] = (y_bar[j, s] if more else 0.0) + a[j, s] * q_bar
            a_bar[j, s] = y[j, s] * q_bar
