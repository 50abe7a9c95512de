"""The affine field f(z) = A z + c, whose solution is known: z(t) = expm(tA) (...).

Its trace is tr A, for every sample the same. Effective weights: A, c, the time
column where t is an input, then tr A where a trace is asked for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refode import _validate
from refode.fields.contract import Array, Field, jacobian, rhs, rhs_adjoint
from refode.fields.layer import affine, affine_adjoint
from refode.machine.blocks import row_sum
from refode.machine.views import matrix


class AffineSpec(NamedTuple):
    """d, and the number of entries of the time column (d or 0)."""

    d: int
    n_time: int


class Affine(Field):
    """Affine field f(z) = A z + c.

    Parameters
    ----------
    dim : int
        State dimension d.
    time : bool, optional
        Append t to the input: A is then (d, d+1), its last column the time's.

    Notes
    -----
    Weights: A (d, d), c (d,). The initial A is N(0, 1/columns).
    """

    def __init__(self, dim: int, time: bool = False) -> None:
        d, time = _validate.positive_int("dim", dim), _validate.boolean("time", time)
        super().__init__(d, {"A": (d, d + 1 if time else d), "c": (d,)}, time)

    def description(self) -> Any:
        return AffineSpec(self.dim, self.dim if self.time else 0)

    def rows(self, trace: bool) -> tuple[int, int]:
        return 0, 0

    def prepare(self, weights: Array, trace: bool) -> Array:
        if not (trace or self.time):
            return weights
        w, n, d = self.named(weights), len(weights), self.dim
        A = w["A"][:, :, :d]
        parts = [A.reshape(n, -1), w["c"], w["A"][:, :, d:].reshape(n, -1)]
        if trace:
            parts.append(np.trace(A, axis1=1, axis2=2)[:, None])
        return np.concatenate(parts, axis=1)

    def prepare_adjoint(self, weights: Array, trace: bool, e_bar: Array) -> Array:
        if not (trace or self.time):
            return e_bar
        n, d = len(weights), self.dim
        ends = np.cumsum([d * d, d, d if self.time else 0])
        A_bar, c_bar, w_bar, trace_bar = np.split(e_bar, ends, axis=1)
        A_bar = A_bar.reshape(n, d, d)
        if trace:
            A_bar = A_bar + trace_bar[:, :, None] * np.eye(d)
        A_bar = np.concatenate([A_bar, w_bar[:, :, None]], axis=2) if self.time else A_bar
        return np.concatenate([A_bar.reshape(n, -1), c_bar], axis=1)


@rhs.register(AffineSpec)
def affine_rhs(field, e, t, Z, F, tr, tape):
    """f = A z + c (+ w t); tr = tr A."""
    d = field.d
    o_w = d * d + d
    o_M = o_w + field.n_time
    affine(matrix(e, 0, d, d), e[d * d : o_w], e[o_w:o_M], t, Z, F)  # [1]
    if tr is not None:  # [2]
        for s in range(tr.shape[0]):
            tr[s] = e[o_M]


@jacobian.register(AffineSpec)
def affine_jacobian(field, e, t, Z, tape, J, scratch):
    """J = A."""
    for i in range(J.shape[0]):
        for s in range(J.shape[1]):
            J[i, s] = e[i]


@rhs_adjoint.register(AffineSpec)
def affine_rhs_adjoint(field, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch):
    """Eq. (D7)."""
    d = field.d
    o_w = d * d + d
    o_M = o_w + field.n_time
    if tr_bar is not None:  # [2]^T
        e_bar[o_M] += row_sum(tr_bar)
    return affine_adjoint(  # [1]^T
        matrix(e, 0, d, d),
        e[o_w:o_M],
        t,
        Z,
        F_bar,
        Z_bar,
        matrix(e_bar, 0, d, d),
        e_bar[d * d : o_w],
        e_bar[o_w:o_M],
    )
