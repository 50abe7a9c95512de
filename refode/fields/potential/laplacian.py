"""The Laplacian of the potential network, its steps [5] and [6], and their adjoint.

A block's J_i and T_i are (m, D S) matrices: row k holds the D derivatives of unit k, one
after another, so that a layer is one product for all samples and directions.

Twin on the device: refode/cuda/potential_laplacian.py.
"""

from __future__ import annotations

from refode.fields.potential.layout import (
    ByColumns,
    ByPairs,
    n_pairs,
    places,
    step_length,
    tape_rows,
)
from refode.machine.blas import add_outer, add_transposed_product, multiply, multiply_transposed
from refode.machine.blocks import row_product
from refode.machine.compile import kernel
from refode.machine.parts import Room
from refode.machine.views import band, joined, matrix

LAPLACIAN = Room("laplacian")


@LAPLACIAN.function("vvM")
def layers_laplacian(by, e, lap, tape):
    """Add the terms of the layers after the first, [5], [6]."""


@LAPLACIAN.function("vMvvM")
def layers_laplacian_adjoint(by, e, tape, lap_bar, e_bar, scratch):
    """[5]^T, once [6]^T has given what a_i and y_i get; adds to those of a_i, K_i and C."""


@kernel
def laplacian(f, e, lap, tape):
    """[5], [6]."""
    o, k, r, m = places(f), tape_rows(f), f.r, f.m
    S = lap.shape[0]
    for s in range(S):
        lap[s] = e[o.trace]
    a, y = band(tape, k.V + r, m), band(tape, k.Y, m)
    for j in range(m):
        nj = e[o.n + j]
        for s in range(S):
            lap[s] += nj * (1.0 - a[j, s] * a[j, s]) * y[j, s]
    if f.M > 0:
        layers_laplacian(f.by, e, lap, tape)


@layers_laplacian.register(ByPairs)
def laplacian_by_pairs(by, e, lap, tape):
    """R_1 = B P with the products P of pairs of units."""
    f, h = by.f, 1.0
    o, k, r, m = places(f), tape_rows(f), f.r, f.m
    P, R = band(tape, k.J, n_pairs(f)), band(tape, k.R, m)
    _pairs(band(tape, k.V + r, m), P)
    multiply(matrix(e, o.C, m, n_pairs(f)), P, R)
    _add_term(h, band(tape, k.V + r + m, m), band(tape, k.Y + m, m), R, lap)


@layers_laplacian.register(ByColumns)
def laplacian_by_columns(by, e, lap, tape):
    """The Jacobians J_i and T_i, layer by layer."""
    f, S = by.f, lap.shape[0]
    o, k, r, m, D, h = places(f), tape_rows(f), f.r, f.m, f.D, step_length(f)
    a = band(tape, k.V + r, m)
    _first_jacobian(a, matrix(e, o.C, m, D), band(tape, k.J, m * D))
    for i in range(1, f.M + 1):
        J = band(tape, k.J + (i - 1) * m * D, m * D)
        T = band(tape, k.T + (i - 1) * m * D, m * D)
        multiply(
            matrix(e, o.K + (i - 1) * m * m, m, m),
            joined(J, 0, m, D * S),
            joined(T, 0, m, D * S),
        )
        a = band(tape, k.V + r + i * m, m)
        y = band(tape, k.Y + i * m, m)
        R = band(tape, k.R + (i - 1) * m, m)
        _square_sums(T, R)
        _add_term(h, a, y, R, lap)
        if i < f.M:
            _next_jacobian(h, a, T, J, band(tape, k.J + i * m * D, m * D))


@kernel(cache=False)
def _add_term(h, a, y, R, lap):
    """lap += h R . (1 - a^2) y."""
    for j in range(a.shape[0]):
        for s in range(a.shape[1]):
            lap[s] += h * R[j, s] * (1.0 - a[j, s] * a[j, s]) * y[j, s]


@kernel(cache=False)
def _pairs(a, P):
    """The products a_k a_l, k <= l, row by row."""
    row = 0
    for k in range(a.shape[0]):
        for l in range(k, a.shape[0]):  # noqa: E741
            for s in range(a.shape[1]):
                P[row, s] = a[k, s] * a[l, s]
            row += 1


@kernel(cache=False)
def _pairs_adjoint(a, P_bar, a_bar):
    """Add to the cotangent of a."""
    row = 0
    for k in range(a.shape[0]):
        for l in range(k, a.shape[0]):  # noqa: E741
            for s in range(a.shape[1]):
                a_bar[k, s] += P_bar[row, s] * a[l, s]
                a_bar[l, s] += P_bar[row, s] * a[k, s]
            row += 1


@kernel(cache=False)
def _first_jacobian(a, C, J):
    """J_0 <- a_0 C."""
    D = C.shape[1]
    for k in range(C.shape[0]):
        for i in range(D):
            c = C[k, i]
            for s in range(a.shape[1]):
                J[k * D + i, s] = a[k, s] * c


@kernel(cache=False)
def _square_sums(T, R):
    """R[k] <- sum_i T[k, i]^2."""
    D = T.shape[0] // R.shape[0]
    for k in range(R.shape[0]):
        for s in range(R.shape[1]):
            R[k, s] = T[k * D, s] * T[k * D, s]
        for i in range(1, D):
            for s in range(R.shape[1]):
                R[k, s] += T[k * D + i, s] * T[k * D + i, s]


@kernel(cache=False)
def _next_jacobian(h, a, T, J, J_next):
    """J_i <- J_{i-1} + h a_i T_i."""
    D = J.shape[0] // a.shape[0]
    for k in range(a.shape[0]):
        for i in range(k * D, (k + 1) * D):
            for s in range(a.shape[1]):
                J_next[i, s] = J[i, s] + h * a[k, s] * T[i, s]


@kernel(cache=False)
def first_term_adjoint(n, a, y, lap_bar, a_bar, y_bar, n_bar):
    """[6]^T, n . (1 - a^2) y: add to the cotangents of a_0, y_1 and n."""
    for j in range(a.shape[0]):
        nj, total = n[j], n[j] * 0
        for s in range(a.shape[1]):
            slope = (1.0 - a[j, s] * a[j, s]) * lap_bar[s]
            y_bar[j, s] += nj * slope
            a_bar[j, s] -= 2.0 * nj * a[j, s] * y[j, s] * lap_bar[s]
        for s in range(a.shape[1]):
            total += (1.0 - a[j, s] * a[j, s]) * y[j, s] * lap_bar[s]
        n_bar[j] += total


@kernel(cache=False)
def term_adjoint(h, a, y, R, lap_bar, a_bar, y_bar):
    """[6]^T, h R . (1 - a^2) y: add to the cotangents of a_i and y_{i+1}."""
    for j in range(a.shape[0]):
        for s in range(a.shape[1]):
            weight = h * R[j, s] * lap_bar[s]
            y_bar[j, s] += (1.0 - a[j, s] * a[j, s]) * weight
            a_bar[j, s] -= 2.0 * a[j, s] * y[j, s] * weight


@kernel
def laplacian_adjoint(f, e, tape, lap_bar, e_bar, scratch):
    """[5]^T."""
    if f.M > 0:
        layers_laplacian_adjoint(f.by, e, tape, lap_bar, e_bar, scratch)


@layers_laplacian_adjoint.register(ByColumns)
def laplacian_by_columns_adjoint(by, e, tape, lap_bar, e_bar, scratch):
    """From the last layer's T to the first one's J and C."""
    f, S = by.f, lap_bar.shape[0]
    o, k, r, m, D, h = places(f), tape_rows(f), f.r, f.m, f.D, step_length(f)
    at = r + (f.M + 1) * m + 3 * m
    J_bar, T_bar = band(scratch, at, m * D), band(scratch, at + m * D, m * D)
    J_flat, T_flat = joined(J_bar, 0, m, D * S), joined(T_bar, 0, m, D * S)
    for i in range(f.M, 0, -1):
        J = band(tape, k.J + (i - 1) * m * D, m * D)
        T = band(tape, k.T + (i - 1) * m * D, m * D)
        a = band(tape, k.V + r + i * m, m)
        y = band(tape, k.Y + i * m, m)
        _square_sums_adjoint(h, a, y, T, lap_bar, T_bar)
        if i < f.M:
            _next_jacobian_adjoint(h, a, T, J_bar, T_bar, band(scratch, r + i * m, m))
        K = o.K + (i - 1) * m * m
        add_outer(T_flat, joined(J, 0, m, D * S), matrix(e_bar, K, m, m))
        if i == f.M:
            multiply_transposed(matrix(e, K, m, m), T_flat, J_flat)
        else:
            add_transposed_product(matrix(e, K, m, m), T_flat, J_flat)
    _first_jacobian_adjoint(
        band(tape, k.V + r, m),
        matrix(e, o.C, m, D),
        J_bar,
        band(scratch, r, m),
        matrix(e_bar, o.C, m, D),
    )


@layers_laplacian_adjoint.register(ByPairs)
def laplacian_by_pairs_adjoint(by, e, tape, lap_bar, e_bar, scratch):
    """R_1 = B P with the products P of pairs: add to the cotangents of a_0 and B."""
    f = by.f
    o, k, r, m, n = places(f), tape_rows(f), f.r, f.m, n_pairs(f)
    at = r + (f.M + 1) * m + 3 * m
    P, R_bar, P_bar = band(tape, k.J, n), band(scratch, at, m), band(scratch, at + m, n)
    a, y = band(tape, k.V + r + m, m), band(tape, k.Y + m, m)
    for j in range(m):  # h = 1
        for s in range(lap_bar.shape[0]):
            R_bar[j, s] = (1.0 - a[j, s] * a[j, s]) * y[j, s] * lap_bar[s]
    multiply_transposed(matrix(e, o.C, m, n), R_bar, P_bar)
    add_outer(R_bar, P, matrix(e_bar, o.C, m, n))
    _pairs_adjoint(band(tape, k.V + r, m), P_bar, band(scratch, r, m))


@kernel(cache=False)
def _square_sums_adjoint(h, a, y, T, lap_bar, T_bar):
    """T_bar <- 2 R_bar T with R_bar = h (1 - a^2) y lap_bar."""
    D = T.shape[0] // a.shape[0]
    for k in range(a.shape[0]):
        for i in range(k * D, (k + 1) * D):
            for s in range(a.shape[1]):
                slope = 1.0 - a[k, s] * a[k, s]
                T_bar[i, s] = (2.0 * h) * slope * y[k, s] * lap_bar[s] * T[i, s]


@kernel(cache=False)
def _next_jacobian_adjoint(h, a, T, J_bar, T_bar, a_bar):
    """J_i = J_{i-1} + h a_i T_i: add to the cotangents of T_i and a_i."""
    D = T.shape[0] // a.shape[0]
    for k in range(a.shape[0]):
        for i in range(k * D, (k + 1) * D):
            for s in range(a.shape[1]):
                T_bar[i, s] += h * a[k, s] * J_bar[i, s]
                a_bar[k, s] += h * T[i, s] * J_bar[i, s]


@kernel(cache=False)
def _first_jacobian_adjoint(a, C, J_bar, a_bar, C_bar):
    """J_0 = a_0 C: add to the cotangents of a_0 and C."""
    D = C.shape[1]
    for k in range(C.shape[0]):
        for i in range(D):
            c = C[k, i]
            for s in range(a.shape[1]):
                a_bar[k, s] += c * J_bar[k * D + i, s]
            C_bar[k, i] += row_product(a[k], J_bar[k * D + i])
