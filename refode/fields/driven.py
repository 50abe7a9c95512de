"""A field driven by samples' own inputs u(t), cubic in time between knots, (D142).

z' = f(z, u(t)) is run as an ordinary field of one dimension more: the last row of the state is
the sample's number, whose slope is 0 and which steps keep exactly. So sweeps that have no
inputs are as they were, and those that have some get all that fields get.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refode.fields.contract import FIELD, Array, Field, rhs, rhs_adjoint
from refode.fields.layer import affine, affine_adjoint
from refode.machine.activations import tanh_rows
from refode.machine.blas import add_outer, multiply, multiply_transposed
from refode.machine.blocks import add_column, add_row_sums
from refode.machine.compile import kernel
from refode.machine.parts import Member, members
from refode.machine.views import matrix


class InputShallowSpec(NamedTuple):
    """Rows read and given, hidden units, and entries of the time column (k or 0)."""

    n_in: int
    n_out: int
    k: int
    n_time: int


class DrivenSpec(NamedTuple):
    """The field within, knots (K,), and u and u' there, (N, K, q)."""

    field: tuple
    q: int
    knots: Array
    u: Array
    slopes: Array


members(DrivenSpec, field=Member(room=FIELD))


def hermite_slopes(knots: Array, u: Array) -> Array:
    """u' at the knots by the parabola through three neighbours, at the ends too, (D142)."""
    h = np.diff(knots)
    secants = np.diff(u, axis=1) / h[:, None]
    if len(h) == 1:
        return np.repeat(secants, 2, axis=1)
    left, right = h[:-1, None], h[1:, None]
    inner = (right * secants[:, :-1] + left * secants[:, 1:]) / (left + right)
    first = 2.0 * secants[:, :1] - inner[:, :1]
    last = 2.0 * secants[:, -1:] - inner[:, -1:]
    return np.concatenate([first, inner, last], axis=1)


class Driven(Field):
    """z' = f(z, u(t)) for given inputs, state (z, number of the sample).

    Parameters
    ----------
    field : Field
        One with ``inputs`` q and as many ``outputs`` as ``dim``.
    knots : (K,) ndarray
    u : (N, K, q) ndarray
    """

    def __init__(self, field: Any, knots: Array, u: Array) -> None:
        super().__init__(field.dim + 1, field.layout.shapes, True)
        self.field, self.knots, self.u = field, knots, np.ascontiguousarray(u)
        self._slopes = np.ascontiguousarray(hermite_slopes(knots, u))

    def description(self) -> Any:
        return DrivenSpec(
            self.field.description(), self.field.inputs, self.knots, self.u, self._slopes
        )

    def rows(self, trace: bool) -> tuple[int, int]:
        rows: tuple[int, int] = self.field.rows(trace)
        return rows

    def prepare(self, weights: Array, trace: bool) -> Array:
        if trace:
            raise ValueError("trace: got True with inputs, wanted a field without inputs")
        prepared: Array = self.field._prepared(weights, trace)
        return prepared

    def prepare_adjoint(self, weights: Array, trace: bool, e_bar: Array) -> Array:
        weights_bar: Array = self.field.prepare_adjoint(weights, trace, e_bar)
        return weights_bar


@kernel(cache=False)
def _cell(knots, t):
    """The cell that t is in, the ends' beyond them, its length, and t's place in it."""
    c = 0
    while c < knots.shape[0] - 2 and t.real >= knots[c + 1].real:
        c += 1
    h = knots[c + 1] - knots[c]
    return c, h, (t - knots[c]) / h


@kernel(cache=False)
def _with_inputs(field, t, Y):
    """(z, u(t)) of every sample, (D142)."""
    d, q, S = Y.shape[0] - 1, field.q, Y.shape[1]
    c, h, a = _cell(field.knots, t)
    b = 1.0 - a
    Z = np.empty((d + q, S), Y.dtype)
    Z[:d] = Y[:d]
    for s in range(S):
        n = int(Y[d, s].real)
        for i in range(q):
            u0, u1 = field.u[n, c, i], field.u[n, c + 1, i]
            m0, m1 = field.slopes[n, c, i], field.slopes[n, c + 1, i]
            ends = (1.0 + 2.0 * a) * b * b * u0 + a * a * (3.0 - 2.0 * a) * u1
            Z[d + i, s] = ends + h * a * b * (b * m0 - a * m1)
    return Z


@rhs.register(DrivenSpec)
def driven_rhs(field, e, t, Z, F, tr, tape):
    """F = (f(z, u(t)), 0)."""
    d = Z.shape[0] - 1
    rhs(field.field, e, t, _with_inputs(field, t, Z), F[:d], None, tape)
    for s in range(Z.shape[1]):
        F[d, s] = 0.0


@rhs_adjoint.register(DrivenSpec)
def driven_rhs_adjoint(field, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch):
    """The field's own adjoint; t gets u_bar . u'(t) besides."""
    d, q, S = Z.shape[0] - 1, field.q, Z.shape[1]
    ZU = _with_inputs(field, t, Z)
    bar = np.zeros_like(ZU)
    t_bar = rhs_adjoint(field.field, e, t, ZU, tape, F_bar[:d], None, bar, e_bar, scratch)
    c, h, a = _cell(field.knots, t)
    for i in range(d):
        for s in range(S):
            Z_bar[i, s] += bar[i, s]
    for s in range(S):
        n = int(Z[d, s].real)
        for i in range(q):
            rise = (field.u[n, c + 1, i] - field.u[n, c, i]) / h
            m0, m1 = field.slopes[n, c, i], field.slopes[n, c + 1, i]
            rate = 6.0 * a * (1.0 - a) * rise + (1.0 - 4.0 * a + 3.0 * a * a) * m0
            t_bar += bar[d + i, s] * (rate + (3.0 * a * a - 2.0 * a) * m1)
    return t_bar


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
