"""A field driven by samples' own inputs u(t), cubic in time between knots, (D142).

z' = f(z, u(t)) is run as an ordinary field of one dimension more: the last row of the state is
the sample's number, whose slope is 0 and which steps keep exactly. So sweeps that have no
inputs are as they were, and those that have some get all that fields get. No twin on the device.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refode.fields.contract import FIELD, Array, Field, jacobian, rhs, rhs_adjoint
from refode.machine.blocks import fill
from refode.machine.compile import kernel
from refode.machine.parts import Member, members


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

    def __init__(self, field: Field, knots: Array, u: Array) -> None:
        super().__init__(field.dim + 1, field.layout.shapes, True)
        self.field, self.knots, self.u = field, knots, np.ascontiguousarray(u)
        self._slopes = np.ascontiguousarray(hermite_slopes(knots, u))

    def description(self) -> Any:
        q = self.field.inputs
        return DrivenSpec(self.field.description(), q, self.knots, self.u, self._slopes)

    def rows(self, trace: bool) -> tuple[int, int]:
        return self.field.rows(trace)

    def block(self) -> int:
        return self.field.block()

    def prepare(self, weights: Array, trace: bool) -> Array:
        return self.field.prepare(weights, trace)

    def prepare_adjoint(self, weights: Array, trace: bool, e_bar: Array) -> Array:
        return self.field.prepare_adjoint(weights, trace, e_bar)

    def start(self, x: Array) -> Array:
        """States (N, d) with the samples' numbers in a last column."""
        return np.concatenate([x, np.arange(len(x), dtype=x.dtype)[:, None]], axis=1)


@kernel(cache=False)
def _cell(knots, t):
    """The cell that t is in, the ends' beyond them, its length, and t's place in it."""
    c, end = 0, knots.shape[0] - 1  # knots[c] <= t < knots[end]
    while end - c > 1:
        middle = (c + end) // 2
        if t.real >= knots[middle].real:
            c = middle
        else:
            end = middle
    h = knots[c + 1] - knots[c]
    return c, h, (t - knots[c]) / h


@kernel(cache=False)
def _number(field, y):
    """A sample's number; 0 where a state that nobody could solve has lost it."""
    return int(y.real) if 0.0 <= y.real < field.u.shape[0] else 0


@kernel(cache=False)
def _with_inputs(field, t, Y):
    """(z, u(t)) of every sample, (D142)."""
    d, q, S = Y.shape[0] - 1, field.q, Y.shape[1]
    c, h, a = _cell(field.knots, t)
    b = 1.0 - a
    first, last = (1.0 + 2.0 * a) * b * b, a * a * (3.0 - 2.0 * a)
    Z = np.empty((d + q, S), Y.dtype)
    Z[:d] = Y[:d]
    for s in range(S):
        n = _number(field, Y[d, s])
        for i in range(q):
            m0, m1 = field.slopes[n, c, i], field.slopes[n, c + 1, i]
            ends = first * field.u[n, c, i] + last * field.u[n, c + 1, i]
            Z[d + i, s] = ends + h * a * b * (b * m0 - a * m1)
    return Z


@rhs.register(DrivenSpec)
def driven_rhs(field, e, t, Z, F, tr, tape):
    """F = (f(z, u(t)), 0)."""
    d = Z.shape[0] - 1
    rhs(field.field, e, t, _with_inputs(field, t, Z), F[:d], None, tape)
    for s in range(Z.shape[1]):
        F[d, s] = 0.0


@jacobian.register(DrivenSpec)
def driven_jacobian(field, e, t, Z, tape, J, scratch):
    """The field's own by z; the number's row and column are 0."""
    D, S = Z.shape
    d = D - 1
    own = np.empty((d * d, S), e.dtype)
    jacobian(field.field, e, t, _with_inputs(field, t, Z), tape, own, scratch)
    fill(J, 0.0)
    for i in range(d):
        for j in range(d):
            for s in range(S):
                J[i * D + j, s] = own[i * d + j, s]


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
        n = _number(field, Z[d, s])
        for i in range(q):
            rise = (field.u[n, c + 1, i] - field.u[n, c, i]) / h
            m0, m1 = field.slopes[n, c, i], field.slopes[n, c + 1, i]
            rate = 6.0 * a * (1.0 - a) * rise + (1.0 - 4.0 * a + 3.0 * a * a) * m0
            t_bar += bar[d + i, s] * (rate + (3.0 * a * a - 2.0 * a) * m1)
    return t_bar
