"""The multilayer perceptron of eq. (1) as a field, any depth, with its exact trace.

a_0 = z, u_l = W_{l-1} a_{l-1} + b_{l-1}, a_l = sigma_l(u_l) for the hidden layers
l = 1, ..., L-1, and f = W_{L-1} a_{L-1} + b_{L-1}. The trace propagates one column
of the Jacobian at a time, J_l = diag(sigma'_l) W_{l-1} J_{l-1}: d further passes
through the layers, so a traced evaluation costs d + 1 plain ones (and its adjoint
likewise). ``Shallow`` is the field to take where one hidden layer is enough: its
trace costs next to nothing.

Effective weights: W_0, b_0, ..., W_{L-1}, b_{L-1}, then W_0's time column.

Twin on the device: refode/cuda/mlp.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from refode import _validate
from refode._fixed import read_only
from refode._shown import as_called
from refode.fields.contract import (
    Array,
    Field,
    activation_of,
    check_trace,
    inputs_and_outputs,
    jacobian,
    rhs,
    rhs_adjoint,
)
from refode.fields.layer import affine_adjoint, layer, scale_by
from refode.machine.activations import add_curvature
from refode.machine.blas import add_outer, multiply, multiply_transposed
from refode.machine.blocks import add_column, add_row_sums, copy, fill, row_sum
from refode.machine.compile import kernel
from refode.machine.views import matrix


class MLPSpec(NamedTuple):
    """Rows of layers (d + q, w_1, ..., m), starts of W_l, of tape rows; codes; time column."""

    widths: Array
    starts: Array  # of W_l among the effective weights; the last one is their end
    places: Array  # of (a_l, sigma'_l) in the tape, by hidden layer, in units of rows/2
    codes: Array
    n_time: int
    widest: int


class MLP(Field):
    """Multilayer perceptron, eq. (1), as a field.

    Parameters
    ----------
    dim : int
        State dimension d.
    widths : sequence of int
        Widths of the hidden layers, any number of them.
    activation : str or sequence of str, optional
        "tanh", "softplus", "sine" or "identity": one for all hidden layers, or one
        each. The last layer is affine.
    time : bool, optional
        Append t to the input: W0 has then d+1 columns, the last the time's.
    inputs : int, optional
        Number q of inputs u(t) that the field reads besides z, after it: W0 has then d+q columns,
        and the time's. For `TrajectoryFitting` of observations with inputs alone.
    outputs : int, optional
        Number of rows that the field gives, d by default; others are no z', and for
        ``refode.evaluate`` alone.

    Notes
    -----
    Weights: W0, b0, W1, b1, ... The exact trace costs d further passes.
    """

    def __init__(
        self,
        dim: int,
        widths: Sequence[int] = (32, 32),
        activation: str | Sequence[str] = "tanh",
        time: bool = False,
        inputs: int = 0,
        outputs: int | None = None,
    ) -> None:
        d, time = _validate.positive_int("dim", dim), _validate.boolean("time", time)
        hidden = [
            _validate.positive_int(f"widths[{i}]", w)
            for i, w in enumerate(_validate.sequence("widths", widths, "ints"))
        ]
        one = _validate.is_text(activation)
        given: Any = (activation,) * len(hidden) if one else activation
        names = _validate.sequence("activation", given, "names")
        if len(names) != len(hidden):
            raise ValueError(
                f"activation: got {len(names)} names, wanted one, or one for each of the "
                f"{len(hidden)} hidden layers"
            )
        known = [activation_of(name) for name in names]
        self._codes = read_only(np.array([code for _, code in known], dtype=np.int64))
        self.widths, self.activation = tuple(hidden), tuple(name for name, _ in known)
        self.inputs, self._outputs = inputs_and_outputs(d, inputs, outputs)
        ends = d + self.inputs, self._outputs or d
        self._all = read_only(np.array([ends[0], *hidden, ends[1]], dtype=np.int64))
        shapes: dict[str, tuple[int, ...]] = {}
        for i in range(len(hidden) + 1):
            columns = self._all[i] + (1 if time and i == 0 else 0)
            shapes[f"W{i}"] = (int(self._all[i + 1]), int(columns))
            shapes[f"b{i}"] = (int(self._all[i + 1]),)
        if max(hidden, default=0) > d:  # else dim is to be named, as by Field
            _validate.affordable("widths", widths, 8 * sum(map(math.prod, shapes.values())))
        super().__init__(d, shapes, time)

    def __repr__(self) -> str:
        """One name for all layers where they have the same."""
        names: Any = self.activation
        if len(set(names)) == 1:
            names = names[0]
        return as_called(
            self,
            dim=self.dim,
            widths=self.widths,
            activation=names,
            time=self.time,
            inputs=self.inputs,
            outputs=self._outputs,
        )

    def description(self) -> Any:
        w = self._all
        starts = np.concatenate([[0], np.cumsum(w[1:] * (w[:-1] + 1))])
        places = np.concatenate([[0], np.cumsum(w[1:-1])])
        return MLPSpec(w, starts, places, self._codes, int(w[1]) if self.time else 0, int(w.max()))

    def rows(self, trace: bool) -> tuple[int, int]:
        total, widest = sum(self.widths), int(self._all.max())
        if not trace:
            return 2 * total, 2 * widest
        return 2 * total + 2 * widest, 2 * total + 2 * widest

    def prepare(self, weights: Array, trace: bool) -> Array:
        check_trace(self, trace)
        if not self.time:
            return weights
        n, d = len(weights), self.dim + self.inputs
        W0 = self.named(weights)["W0"]
        rest = weights[:, self.layout.sizes["W0"] :]
        return np.concatenate([W0[:, :, :d].reshape(n, -1), rest, W0[:, :, d]], axis=1)

    def prepare_adjoint(self, weights: Array, trace: bool, e_bar: Array) -> Array:
        if not self.time:
            return e_bar
        n, d, k = len(weights), self.dim + self.inputs, int(self._all[1])
        W0_bar = np.concatenate([e_bar[:, : k * d].reshape(n, k, d), e_bar[:, -k:, None]], axis=2)
        return np.concatenate([W0_bar.reshape(n, -1), e_bar[:, k * d : -k]], axis=1)


@kernel(cache=False)
def _weights(field, e, i):
    """W_i of the effective weights (or of their cotangents)."""
    return matrix(e, field.starts[i], field.widths[i + 1], field.widths[i])


@kernel(cache=False)
def _bias(field, e, i):
    """b_i of the effective weights (or of their cotangents)."""
    return e[field.starts[i + 1] - field.widths[i + 1] : field.starts[i + 1]]


@kernel(cache=False)
def _time_column(field, e, i):
    """The time column, empty but for the first layer."""
    end = field.starts[field.widths.shape[0] - 1]
    return e[end : end + (field.n_time if i == 0 else 0)]


@kernel(cache=False)
def _activated(field, tape, i):
    """(a, sigma') of hidden layer i = 0, 1, ..."""
    w, start = field.widths[i + 1], 2 * field.places[i]
    return tape[start : start + w], tape[start + w : start + 2 * w]


@rhs.register(MLPSpec)
def mlp_rhs(field, e, t, Z, F, tr, tape):
    """Eq. (1), trace by columns of the Jacobian."""
    n_hidden = field.codes.shape[0]
    source = Z
    for i in range(n_hidden):
        a, D = _activated(field, tape, i)
        layer(
            field.codes[i],
            _weights(field, e, i),
            _bias(field, e, i),
            _time_column(field, e, i),
            t,
            source,
            a,
            D,
        )
        source = a
    multiply(_weights(field, e, n_hidden), source, F)
    add_column(F, _bias(field, e, n_hidden))
    if n_hidden == 0:
        for j in range(field.n_time):
            for s in range(F.shape[1]):
                F[j, s] += _time_column(field, e, 0)[j] * t
    if tr is not None:
        free = 2 * field.places[n_hidden]
        _trace(field, e, tape, tr, tape[free : free + 2 * field.widest])


@kernel(cache=False)
def _trace(field, e, tape, tr, work):
    """tr[s] = sum_i e_i^T J e_i, one direction e_i at a time."""
    n_hidden, widest = field.codes.shape[0], field.widest
    last = _weights(field, e, n_hidden)
    for s in range(tr.shape[0]):
        tr[s] = 0
    for i in range(last.shape[0]):
        if n_hidden == 0:
            for s in range(tr.shape[0]):
                tr[s] += last[i, i]
        else:
            here = _tangent(field, e, tape, i, work[:widest], work[widest:])
            for j in range(last.shape[1]):
                for s in range(tr.shape[0]):
                    tr[s] += last[i, j] * here[j, s]


@kernel(cache=False)
def _tangent(field, e, tape, i, one, other):
    """Tangent of the last hidden layer in direction e_i; ``one`` and ``other`` take turns."""
    a, D = _activated(field, tape, 0)
    W = _weights(field, e, 0)
    here = one[: D.shape[0]]
    for j in range(D.shape[0]):
        for s in range(D.shape[1]):
            here[j, s] = D[j, s] * W[j, i]
    for layer_ in range(1, field.codes.shape[0]):
        one, other = other, one
        a, D = _activated(field, tape, layer_)
        following = one[: D.shape[0]]
        multiply(_weights(field, e, layer_), here, following)
        scale_by(D, following)
        here = following
    return here


@jacobian.register(MLPSpec)
def mlp_jacobian(field, e, t, Z, tape, J, scratch):
    """Column after column, as the trace's, (D153)."""
    n_hidden, widest = field.codes.shape[0], field.widest
    last = _weights(field, e, n_hidden)
    d = last.shape[0]
    column = np.empty((d, J.shape[1]), e.dtype)
    for j in range(d):
        if n_hidden == 0:
            for i in range(d):
                for s in range(J.shape[1]):
                    column[i, s] = last[i, j]
        else:
            one, other = scratch[:widest], scratch[widest : 2 * widest]
            multiply(last, _tangent(field, e, tape, j, one, other), column)
        for i in range(d):
            for s in range(J.shape[1]):
                J[i * d + j, s] = column[i, s]


@rhs_adjoint.register(MLPSpec)
def mlp_rhs_adjoint(field, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch):
    """Eqs. (D15), (D17)."""
    n_hidden, widest = field.codes.shape[0], field.widest
    total = field.places[n_hidden]
    one, other = scratch[:widest], scratch[widest : 2 * widest]
    if tr_bar is not None:
        D_bars = scratch[2 * widest : 2 * widest + total]
        fill(D_bars, 0.0)
        _trace_adjoint(field, e, tape, tr_bar, e_bar, D_bars, one, other, scratch)
    if n_hidden == 0:
        return affine_adjoint(
            _weights(field, e, 0),
            _time_column(field, e, 0),
            t,
            Z,
            F_bar,
            Z_bar,
            _weights(field, e_bar, 0),
            _bias(field, e_bar, 0),
            _time_column(field, e_bar, 0),
        )
    a, D = _activated(field, tape, n_hidden - 1)
    u_bar = one[: a.shape[0]]
    multiply_transposed(_weights(field, e, n_hidden), F_bar, u_bar)
    add_outer(F_bar, a, _weights(field, e_bar, n_hidden))
    add_row_sums(_bias(field, e_bar, n_hidden), F_bar)
    for i in range(n_hidden - 1, -1, -1):
        a, D = _activated(field, tape, i)
        scale_by(D, u_bar)
        if tr_bar is not None:
            D_bar = D_bars[field.places[i] : field.places[i + 1]]
            add_curvature(field.codes[i], a, D, D_bar, u_bar)
        if i > 0:
            source = _activated(field, tape, i - 1)[0]
            below = other[: source.shape[0]]
            fill(below, 0.0)
        else:
            source, below = Z, Z_bar
        t_bar = affine_adjoint(
            _weights(field, e, i),
            _time_column(field, e, i),
            t,
            source,
            u_bar,
            below,
            _weights(field, e_bar, i),
            _bias(field, e_bar, i),
            _time_column(field, e_bar, i),
        )
        u_bar = below
        one, other = other, one
    return t_bar


@kernel(cache=False)
def _trace_adjoint(field, e, tape, tr_bar, e_bar, D_bars, one, other, scratch):
    """Pull tr_bar back through every column of the Jacobian, eq. (D17).

    Adds to the matrices' cotangents and to those of sigma' (D_bars).
    """
    n_hidden, total = field.codes.shape[0], field.places[field.codes.shape[0]]
    last, last_bar = _weights(field, e, n_hidden), _weights(field, e_bar, n_hidden)
    start = 2 * field.widest + total
    u_dots = scratch[start : start + total]
    for i in range(last.shape[0]):
        if n_hidden == 0:
            last_bar[i, i] += row_sum(tr_bar)
        else:
            a_dot = _column(field, e, tape, i, u_dots, other)
            g = one[: a_dot.shape[0]]
            for j in range(g.shape[0]):  # tr += W_{L-1}[i] . a_dot
                for s in range(g.shape[1]):
                    g[j, s] = last[i, j] * tr_bar[s]
                    a_dot[j, s] *= tr_bar[s]
                last_bar[i, j] += row_sum(a_dot[j])
            _column_adjoint(field, e, tape, i, u_dots, e_bar, D_bars, one, other)


@kernel(cache=False)
def _column(field, e, tape, i, u_dots, work):
    """Tangents u_dot of all hidden layers in direction e_i; returns a_dot of the last."""
    W = _weights(field, e, 0)
    for j in range(W.shape[0]):
        for s in range(u_dots.shape[1]):
            u_dots[j, s] = W[j, i]
    a_dot = _a_dot(field, tape, 0, u_dots, work)
    for i_layer in range(1, field.codes.shape[0]):
        u_dot = u_dots[field.places[i_layer] : field.places[i_layer + 1]]
        multiply(_weights(field, e, i_layer), a_dot, u_dot)
        a_dot = _a_dot(field, tape, i_layer, u_dots, work)
    return a_dot


@kernel(cache=False)
def _a_dot(field, tape, i_layer, u_dots, work):
    """a_dot = sigma' u_dot of one hidden layer, in ``work``."""
    D = _activated(field, tape, i_layer)[1]
    a_dot = work[: D.shape[0]]
    copy(a_dot, u_dots[field.places[i_layer] : field.places[i_layer + 1]])
    scale_by(D, a_dot)
    return a_dot


@kernel(cache=False)
def _column_adjoint(field, e, tape, i, u_dots, e_bar, D_bars, one, other):
    """From ``one``, the cotangent of the last a_dot, down to W_0's column i."""
    for i_layer in range(field.codes.shape[0] - 1, -1, -1):
        D = _activated(field, tape, i_layer)[1]
        g, begin = one[: D.shape[0]], field.places[i_layer]
        for j in range(D.shape[0]):  # a_dot = sigma' u_dot
            for s in range(D.shape[1]):
                D_bars[begin + j, s] += g[j, s] * u_dots[begin + j, s]
                g[j, s] *= D[j, s]
        if i_layer > 0:  # u_dot = W a_dot of the layer below
            a_dot = _a_dot(field, tape, i_layer - 1, u_dots, other)
            add_outer(g, a_dot, _weights(field, e_bar, i_layer))
            multiply_transposed(_weights(field, e, i_layer), g, a_dot)
            one, other = other, one
        else:
            W_bar = _weights(field, e_bar, 0)
            for j in range(g.shape[0]):
                W_bar[j, i] += row_sum(g[j])
