"""The shallow network of eq. (2): f(z) = W1 tanh(W0 z + b0) + b1.

With a = tanh(u), s = 1 - a^2 and M_k = sum_i W1[i,k] W0[k,i], the trace of the
Jacobian is sum_k s_k M_k (D4): M costs O(dk) once a weight set, the trace O(k) a
sample. Effective weights: W0, b0, W1, b1, then W0's time column where t is an
input, then M where a trace is asked for.

Twin on the device: refode/cuda/shallow.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refode import _validate
from refode.fields.contract import (
    Array,
    Field,
    check_trace,
    inputs_and_outputs,
    jacobian,
    rhs,
    rhs_adjoint,
    width_of,
)
from refode.fields.input_shallow import InputShallowSpec
from refode.fields.jacobians import pairs
from refode.fields.layer import bias_adjoint
from refode.machine.activations import tanh_rows
from refode.machine.blas import add_outer, add_transposed_product, multiply, multiply_transposed
from refode.machine.blocks import add_column, add_row_sums
from refode.machine.compile import kernel
from refode.machine.registers import at, disjoint, dot, entries, plus, put, rows_of, zeros
from refode.machine.views import matrix, row, segment

NARROW = 3  # the largest d whose adjoint is unrolled, docs/performance.md


class ShallowSpec(NamedTuple):
    """Sizes, and whether t is an input."""

    d: int
    k: int
    time: bool


class NarrowShallowSpec(NamedTuple):
    """The same for a state of few rows, ``axes`` saying how many to the compiler."""

    d: int
    k: int
    time: bool
    axes: tuple[int, ...]


class Shallow(Field):
    """Shallow network, eq. (2), tanh activation.

    Parameters
    ----------
    dim : int
        State dimension d.
    width : int
        Number k of hidden units.
    time : bool, optional
        Append t to the input: W0 is then (k, d+1), its last column the time's.
    inputs : int, optional
        Number q of inputs u(t) that the field reads besides z, after it: W0 is then (k, d+q),
        a column more with time. For `TrajectoryFitting` of observations with inputs alone.
    outputs : int, optional
        Number of rows that the field gives, d by default; others are no z', and for
        ``refode.evaluate`` alone.

    Notes
    -----
    Weights: W0 (k, d), b0 (k,), W1 (d, k), b1 (d,). Value and adjoint cost
    12 d k flops a sample and stage, the trace 4 k more.

    Examples
    --------
    >>> import numpy as np, refode
    >>> field = Shallow(dim=2, width=8)
    >>> ode = refode.NeuralODE(field)
    >>> {name: w.shape for name, w in ode.unpack(ode.initial()).items()}
    {'W0': (1, 8, 2), 'b0': (1, 8), 'W1': (1, 2, 8), 'b1': (1, 2)}
    """

    def __init__(
        self,
        dim: int,
        width: int,
        time: bool = False,
        inputs: int = 0,
        outputs: int | None = None,
    ) -> None:
        d, time = _validate.positive_int("dim", dim), _validate.boolean("time", time)
        self.inputs, self._outputs = inputs_and_outputs(d, inputs, outputs)
        columns, m = d + self.inputs + (1 if time else 0), self._outputs or d
        k = width_of(width, d, columns + m + 1)
        super().__init__(d, {"W0": (k, columns), "b0": (k,), "W1": (m, k), "b1": (m,)}, time)
        self.width = k

    def rows(self, trace: bool) -> tuple[int, int]:
        return self.width, self.width

    def block(self) -> int:
        narrow, large = self.dim <= NARROW, self.dim * self.width >= 2**14
        return 256 if narrow or large else 128  # docs/performance.md

    def description(self) -> Any:
        if not self.square:
            n_time = self.width if self.time else 0
            return InputShallowSpec(self.dim + self.inputs, self.outputs, self.width, n_time)
        sizes = (self.dim, self.width, self.time)
        if self.dim <= NARROW:
            return NarrowShallowSpec(*sizes, tuple(range(self.dim)))
        return ShallowSpec(*sizes)

    def prepare(self, weights: Array, trace: bool) -> Array:
        check_trace(self, trace)
        if not (trace or self.time):
            return weights
        w = self.named(weights)
        W0 = w["W0"][:, :, : self.dim + self.inputs]
        n = len(weights)
        parts = [W0.reshape(n, -1), w["b0"], w["W1"].reshape(n, -1), w["b1"]]
        if self.time:
            parts.append(w["W0"][:, :, -1])
        if trace:
            parts.append(np.einsum("nik,nki->nk", w["W1"], W0))
        return np.concatenate(parts, axis=1)

    def prepare_adjoint(self, weights: Array, trace: bool, e_bar: Array) -> Array:
        if not (trace or self.time):
            return e_bar
        d, k, m, n = self.dim + self.inputs, self.width, self.outputs, len(weights)
        w = self.named(weights)
        ends = np.cumsum([k * d, k, m * k, m, k if self.time else 0])
        W0_bar, b0_bar, W1_bar, b1_bar, time_bar, M_bar = np.split(e_bar, ends, axis=1)
        W0_bar, W1_bar = W0_bar.reshape(n, k, d), W1_bar.reshape(n, m, k)
        if trace:  # M_k = sum_i W1[i,k] W0[k,i]
            W0_bar = W0_bar + M_bar[:, :, None] * w["W1"].transpose(0, 2, 1)
            W1_bar = W1_bar + M_bar[:, None, :] * w["W0"][:, :, :d].transpose(0, 2, 1)
        if self.time:
            W0_bar = np.concatenate([W0_bar, time_bar[:, :, None]], axis=2)
        return np.concatenate(
            [W0_bar.reshape(n, -1), b0_bar, W1_bar.reshape(n, -1), b1_bar], axis=1
        )


@kernel(cache=False)
def _offsets(field):
    """Starts of W0, b0, W1, b1, the time column, M among the effective weights."""
    d, k = field.d, field.k
    b0 = k * d
    W1 = b0 + k
    b1 = W1 + d * k
    w = b1 + d
    return b0, W1, b1, w, w + k if field.time else w


@rhs.register(NarrowShallowSpec)
@rhs.register(ShallowSpec)
def shallow_rhs(field, e, t, Z, F, tr, tape):
    """Eq. (2) and its trace (D4)."""
    d, k = field.d, field.k
    o_b0, o_W1, o_b1, o_w, o_M = _offsets(field)
    multiply(matrix(e, 0, k, d), Z, tape)  # [1] u = W0 z (+ w t)
    if field.time:
        for j in range(k):
            wt = e[o_w + j] * t
            for s in range(tape.shape[1]):
                tape[j, s] += wt
    tanh_rows(tape, e[o_b0:o_W1])  # [2] a = tanh(u + b0)
    multiply(matrix(e, o_W1, d, k), tape, F)  # [3] f = W1 a + b1
    add_column(F, e[o_b1:o_w])
    if tr is not None:  # [4] tr = sum_k (1 - a_k^2) M_k
        _trace(tape, e[o_M : o_M + k], tr)


@jacobian.register(NarrowShallowSpec)
@jacobian.register(ShallowSpec)
def shallow_jacobian(field, e, t, Z, tape, J, scratch):
    """J = W1 diag(1 - a^2) W0, all its entries by one product, (D153)."""
    d, k = field.d, field.k
    for j in range(k):
        for s in range(tape.shape[1]):
            scratch[j, s] = 1.0 - tape[j, s] * tape[j, s]
    P = pairs(matrix(e, _offsets(field)[1], d, k), matrix(e, 0, k, d), 1.0)
    multiply(P, scratch[:k], J)


@rhs_adjoint.register(ShallowSpec)
def shallow_rhs_adjoint(field, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch):
    """Add J^T F_bar and the trace's pull-back, eqs. (D3), (D5)."""
    d, k = field.d, field.k
    o_b0, o_W1, o_b1, o_w, o_M = _offsets(field)
    u_bar = scratch[:k]
    multiply_transposed(matrix(e, o_W1, d, k), F_bar, u_bar)  # [3]^T a_bar = W1^T f_bar
    add_outer(F_bar, tape, matrix(e_bar, o_W1, d, k))  #        W1_bar += f_bar a^T
    add_row_sums(e_bar[o_b1:o_w], F_bar)  #                     b1_bar += f_bar
    w, w_bar = e[o_w:o_M], e_bar[o_w:o_M]
    if tr_bar is not None:  # [4]^T, [2]^T at once
        M, M_bar = e[o_M : o_M + k], e_bar[o_M : o_M + k]
        t_bar = _units_adjoint(tape, M, w, t, tr_bar, u_bar, e_bar[o_b0:o_W1], w_bar, M_bar)
    else:
        _tanh_adjoint(tape, u_bar)  # [2]^T u_bar = (1 - a^2) a_bar
        # [1]^T b0_bar += u_bar, and the time column's and t's share
        t_bar = bias_adjoint(w, t, u_bar, e_bar[o_b0:o_W1], w_bar)
    add_transposed_product(matrix(e, 0, k, d), u_bar, Z_bar)  # [1]^T z_bar += W0^T u_bar
    add_outer(u_bar, Z, matrix(e_bar, 0, k, d))  #              W0_bar += u_bar z^T
    return t_bar


@rhs_adjoint.register(NarrowShallowSpec)
def narrow_rhs_adjoint(field, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch):
    """The same with all that concerns a sample in registers, hidden units in pairs."""
    k, axes = field.k, field.axes
    o_b0, o_W1, o_b1, o_w, o_M = _offsets(field)
    add_row_sums(segment(e_bar, o_b1, field.d), F_bar)
    z, f_bar, z_bar = rows_of(Z, axes), rows_of(F_bar, axes), rows_of(Z_bar, axes)
    t_bar = t * 0
    for j in range(0, k, 2):
        i = min(j + 1, k - 1)
        one = _unit(field, e, j, tr_bar)
        two = _unit(field, e, i, tr_bar)
        if i == j:  # a unit alone: its partner has no weights
            two = zeros(two[0]), zeros(two[1]), two[2] * 0
        sums = pair_adjoint(one, two, z, row(tape, j), row(tape, i), f_bar, tr_bar, z_bar)
        t_bar += _add_sums(field, e, t, j, sums[0], tr_bar, e_bar)
        if i > j:
            t_bar += _add_sums(field, e, t, i, sums[1], tr_bar, e_bar)
    return t_bar


@kernel(cache=False)
def _unit(field, e, j, tr_bar):
    """A hidden unit's row of W0, its column of W1, and M_j if there is a trace."""
    o_b0, o_W1, o_b1, o_w, o_M = _offsets(field)
    w, v = entries(e, j * field.d, 1, field.axes), entries(e, o_W1 + j, field.k, field.axes)
    return w, v, e[o_b0] * 0 if tr_bar is None else e[o_M + j]


@kernel(cache=False)
def _add_sums(field, e, t, j, sums, tr_bar, e_bar):
    """Add a unit's sums over the samples to the cotangents of its weights; return t's."""
    o_b0, o_W1, o_b1, o_w, o_M = _offsets(field)
    u_bar, W0_bar, W1_bar, M_bar = sums
    for i in range(field.d):
        e_bar[j * field.d + i] += W0_bar[i]
        e_bar[o_W1 + i * field.k + j] += W1_bar[i]
    e_bar[o_b0 + j] += u_bar
    if tr_bar is not None:
        e_bar[o_M + j] += M_bar
    if not field.time:
        return u_bar * 0
    e_bar[o_w + j] += t * u_bar
    return e[o_w + j] * u_bar


@kernel(cache=False, reassociate=True)
def pair_adjoint(one, two, z, a1, a2, f_bar, tr_bar, z_bar):
    """Eqs. (D3), (D5) for two hidden units u, v; sums of u_bar, u_bar z, f_bar a and M's."""
    disjoint()
    w1, v1, M1 = one
    w2, v2, M2 = two
    b1, W0_1, W1_1, m1 = M1 * 0, zeros(w1), zeros(w1), M1 * 0
    b2, W0_2, W1_2, m2 = M2 * 0, zeros(w2), zeros(w2), M2 * 0
    for s in range(a1.shape[0]):
        zs, fs, h1, h2 = at(z, s), at(f_bar, s), a1[s], a2[s]
        g1, g2 = 1.0 - h1 * h1, 1.0 - h2 * h2
        u1, u2 = dot(v1, fs), dot(v2, fs)  # a_bar = W1^T f_bar
        if tr_bar is not None:
            u1 -= 2.0 * M1 * h1 * tr_bar[s]
            u2 -= 2.0 * M2 * h2 * tr_bar[s]
            m1 += g1 * tr_bar[s]
            m2 += g2 * tr_bar[s]
        u1, u2 = g1 * u1, g2 * u2
        b1, b2 = b1 + u1, b2 + u2
        W0_1, W0_2 = plus(W0_1, u1, zs), plus(W0_2, u2, zs)
        W1_1, W1_2 = plus(W1_1, h1, fs), plus(W1_2, h2, fs)
        put(z_bar, s, plus(plus(at(z_bar, s), u1, w1), u2, w2))
    return (b1, W0_1, W1_1, m1), (b2, W0_2, W1_2, m2)


@kernel(cache=False)
def _tanh_adjoint(a, u_bar):
    """u_bar <- (1 - a^2) u_bar."""
    for j in range(a.shape[0]):
        for s in range(a.shape[1]):
            u_bar[j, s] *= 1.0 - a[j, s] * a[j, s]


@kernel(cache=False)
def _trace(a, M, tr):
    """tr <- sum_k (1 - a_k^2) M_k, four units a pass over tr."""
    k = a.shape[0]
    for s in range(tr.shape[0]):
        tr[s] = 0
    for j in range(0, k - 3, 4):
        a0, a1, a2, a3 = a[j], a[j + 1], a[j + 2], a[j + 3]
        M0, M1, M2, M3 = M[j], M[j + 1], M[j + 2], M[j + 3]
        for s in range(tr.shape[0]):
            tr[s] += ((1.0 - a0[s] * a0[s]) * M0 + (1.0 - a1[s] * a1[s]) * M1) + (
                (1.0 - a2[s] * a2[s]) * M2 + (1.0 - a3[s] * a3[s]) * M3
            )
    for j in range(k - k % 4, k):
        for s in range(tr.shape[0]):
            tr[s] += (1.0 - a[j, s] * a[j, s]) * M[j]


@kernel(cache=False)
def _units_adjoint(a, M, w, t, tr_bar, u_bar, b_bar, w_bar, M_bar):
    """Pull-back of tanh and trace, and of bias and time column; returns t_bar."""
    t_bar = t * 0
    for j in range(a.shape[0]):
        total, M_total = _unit_adjoint(a[j], M[j], tr_bar, u_bar[j])
        b_bar[j] += total
        M_bar[j] += M_total
        if w.shape[0]:
            w_bar[j] += t * total
            t_bar += w[j] * total
    return t_bar


@kernel(cache=False, reassociate=True)
def _unit_adjoint(a, M, tr_bar, u_bar):
    """u_bar <- (1 - a^2) (a_bar - 2 a M tr_bar) for one unit; sums of u_bar and of M's."""
    total, M_total = M * 0, M * 0
    twice = 2.0 * M
    for s in range(a.shape[0]):
        slope = 1.0 - a[s] * a[s]
        u_bar[s] = slope * (u_bar[s] - twice * a[s] * tr_bar[s])
        total += u_bar[s]
        M_total += slope * tr_bar[s]
    return total, M_total
