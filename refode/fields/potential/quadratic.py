"""The symmetric quadratic s . S s/2 of the potential network, s = (x, t), and its adjoint.

S lies among the effective weights in three parts: S_xx (d, d), S_xt (d,) and S_tt. It is
symmetric; cotangents are those of S_xx as a full matrix and of 2 S_xt, S_tt as they enter.

Twin on the device: refode/cuda/potential_quadratic.py.
"""

from __future__ import annotations

from refode.fields.potential.layout import LowRank, Symmetric
from refode.machine.blas import add_outer, add_product
from refode.machine.blocks import row_product, row_sum
from refode.machine.compile import kernel
from refode.machine.parts import Room
from refode.machine.views import matrix

QUADRATIC = Room("quadratic")
QUADRATIC.classes.add(LowRank)


@QUADRATIC.function("visMMv")
def quadratic_gradient(q, e, at, t, Z, G, Gt):
    """Add to G and Gt; S begins at e[at]."""


@QUADRATIC.function("visMMvMv", "s")
def quadratic_gradient_adjoint(q, e, at, t, Z, G_bar, Gt_bar, Z_bar, e_bar):
    """Add to the cotangents of x and S; return that of t."""


@QUADRATIC.function("visMv")
def quadratic_value(q, e, at, t, Z, phi):
    """Add to phi."""


@QUADRATIC.function("visMvMv", "s")
def quadratic_value_adjoint(q, e, at, t, Z, phi_bar, Z_bar, e_bar):
    """Add to the cotangents of x and S; return that of t."""


@quadratic_gradient.register(Symmetric)
def symmetric_gradient(q, e, at, t, Z, G, Gt):
    """G += S_xx x + t S_xt, Gt += S_xt . x + t S_tt."""
    d = q.d
    add_product(matrix(e, at, d, d), Z, G)
    xt, tt = at + d * d, e[at + d * d + d]
    for s in range(Gt.shape[0]):
        Gt[s] += tt * t
    for i in range(d):
        w = e[xt + i]
        shift = w * t
        for s in range(Gt.shape[0]):
            G[i, s] += shift
            Gt[s] += w * Z[i, s]


@quadratic_gradient_adjoint.register(Symmetric)
def symmetric_gradient_adjoint(q, e, at, t, Z, G_bar, Gt_bar, Z_bar, e_bar):
    """Add to the cotangents of x and S; return that of t."""
    d = q.d
    add_product(matrix(e, at, d, d), G_bar, Z_bar)  # S_xx is symmetric
    add_outer(G_bar, Z, matrix(e_bar, at, d, d))
    xt, tt = at + d * d, at + d * d + d
    total = row_sum(Gt_bar)
    e_bar[tt] += t * total
    t_bar = e[tt] * total
    for i in range(d):
        G_total, w = row_sum(G_bar[i]), e[xt + i]
        t_bar += w * G_total
        e_bar[xt + i] += t * G_total + row_product(Z[i], Gt_bar)
        for s in range(Gt_bar.shape[0]):
            Z_bar[i, s] += w * Gt_bar[s]
    return t_bar


@quadratic_value.register(Symmetric)
def symmetric_value(q, e, at, t, Z, phi):
    """phi += x . S_xx x/2 + t S_xt . x + t^2 S_tt/2."""
    d = q.d
    xt, constant = at + d * d, 0.5 * t * t * e[at + d * d + d]
    for s in range(phi.shape[0]):
        phi[s] += constant
    for i in range(d):
        shift = t * e[xt + i]
        for s in range(phi.shape[0]):
            phi[s] += shift * Z[i, s]
        for j in range(d):
            half = 0.5 * e[at + i * d + j]
            for s in range(phi.shape[0]):
                phi[s] += half * Z[i, s] * Z[j, s]


@quadratic_value_adjoint.register(Symmetric)
def symmetric_value_adjoint(q, e, at, t, Z, phi_bar, Z_bar, e_bar):
    """Add to the cotangents of x and S; return that of t."""
    d = q.d
    xt, tt = at + d * d, at + d * d + d
    total = row_sum(phi_bar)
    e_bar[tt] += 0.5 * t * t * total
    t_bar = t * e[tt] * total
    for i in range(d):
        w, x_total = e[xt + i], row_product(Z[i], phi_bar)
        e_bar[xt + i] += t * x_total
        t_bar += w * x_total
        shift = t * w
        for s in range(phi_bar.shape[0]):
            Z_bar[i, s] += shift * phi_bar[s]
        for j in range(d):
            Sij = e[at + i * d + j]
            e_bar[at + i * d + j] += 0.5 * _row_triple(Z[i], Z[j], phi_bar)
            for s in range(phi_bar.shape[0]):
                Z_bar[i, s] += Sij * phi_bar[s] * Z[j, s]
    return t_bar


@kernel(cache=False, reassociate=True)
def _row_triple(x, y, z):
    """Sum of x y z over samples."""
    total = x[0] * 0
    for s in range(x.shape[0]):
        total += x[s] * y[s] * z[s]
    return total
