"""The parabolic field of [HR17]: f(z) = -K^T sigma(K z + b).

Its Jacobian -K^T diag(sigma') K is symmetric negative semidefinite where sigma is
monotone, so paths do not part. The trace is sum_k sigma'_k M_k with M_k = -|K_k|^2.
Effective weights: K, b, the time column where t is an input, M where a trace is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refode import _validate
from refode.fields.contract import (
    Array,
    Field,
    activation_of,
    jacobian,
    rhs,
    rhs_adjoint,
    width_of,
)
from refode.fields.jacobians import pairs
from refode.fields.layer import (
    affine_adjoint,
    layer,
    scale_by,
    weighted_sum,
    weighted_sum_adjoint,
)
from refode.machine.activations import add_curvature
from refode.machine.blas import add_outer, multiply, multiply_transposed
from refode.machine.views import matrix


class ParabolicSpec(NamedTuple):
    """d, k, entries of the time column (k or 0), activation."""

    d: int
    k: int
    n_time: int
    code: int


class Parabolic(Field):
    """Parabolic field f(z) = -K^T sigma(K z + b), [HR17].

    Parameters
    ----------
    dim : int
        State dimension d.
    width : int, optional
        Rows k of K; d by default.
    activation : {"tanh", "softplus", "sine", "identity"}, optional
    time : bool, optional
        Append t to the input: K is then (k, d+1), and only its first d columns
        stand outside sigma.

    Notes
    -----
    Weights: K (k, d), b0 (k,).
    """

    def __init__(
        self, dim: int, width: int | None = None, activation: str = "tanh", time: bool = False
    ) -> None:
        d, time = _validate.positive_int("dim", dim), _validate.boolean("time", time)
        columns = d + 1 if time else d
        k = d if width is None else width_of(width, d, columns + 1)
        super().__init__(d, {"K": (k, columns), "b0": (k,)}, time)
        self.width = k
        self.activation, self._code = activation_of(activation)

    def description(self) -> Any:
        return ParabolicSpec(self.dim, self.width, self.width if self.time else 0, self._code)

    def rows(self, trace: bool) -> tuple[int, int]:
        return 2 * self.width, 2 * self.width

    def prepare(self, weights: Array, trace: bool) -> Array:
        if not (trace or self.time):
            return weights
        w, n, d = self.named(weights), len(weights), self.dim
        K = w["K"][:, :, :d]
        parts = [K.reshape(n, -1), w["b0"], w["K"][:, :, d:].reshape(n, -1)]
        if trace:
            parts.append(-(K * K).sum(axis=2))
        return np.concatenate(parts, axis=1)

    def prepare_adjoint(self, weights: Array, trace: bool, e_bar: Array) -> Array:
        if not (trace or self.time):
            return e_bar
        n, d, k = len(weights), self.dim, self.width
        ends = np.cumsum([k * d, k, k if self.time else 0])
        K_bar, b_bar, w_bar, M_bar = np.split(e_bar, ends, axis=1)
        K_bar = K_bar.reshape(n, k, d)
        if trace:  # M_k = -|K_k|^2
            K_bar = K_bar - 2.0 * M_bar[:, :, None] * self.named(weights)["K"][:, :, :d]
        K_bar = np.concatenate([K_bar, w_bar[:, :, None]], axis=2) if self.time else K_bar
        return np.concatenate([K_bar.reshape(n, -1), b_bar], axis=1)


@rhs.register(ParabolicSpec)
def parabolic_rhs(field, e, t, Z, F, tr, tape):
    """f = -K^T sigma(K z + b + w t); tr = sum_k sigma'_k M_k."""
    d, k = field.d, field.k
    o_b, o_w = k * d, k * d + k
    o_M = o_w + field.n_time
    a, D = tape[:k], tape[k : 2 * k]
    layer(field.code, matrix(e, 0, k, d), e[o_b:o_w], e[o_w:o_M], t, Z, a, D)  # [1]
    multiply_transposed(matrix(e, 0, k, d), a, F)  # [2] f = -K^T a
    for i in range(d):
        for s in range(F.shape[1]):
            F[i, s] = -F[i, s]
    if tr is not None:  # [3]
        weighted_sum(D, e[o_M : o_M + k], tr)


@jacobian.register(ParabolicSpec)
def parabolic_jacobian(field, e, t, Z, tape, J, scratch):
    """J = -K^T diag(sigma') K, (D153)."""
    d, k = field.d, field.k
    K, K_T = matrix(e, 0, k, d), np.empty((d, k), e.dtype)
    for i in range(d):
        for j in range(k):
            K_T[i, j] = K[j, i]
    multiply(pairs(K_T, K, -1.0), tape[k : 2 * k], J)


@rhs_adjoint.register(ParabolicSpec)
def parabolic_rhs_adjoint(field, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch):
    """Eq. (D11)."""
    d, k = field.d, field.k
    o_b, o_w = k * d, k * d + k
    o_M = o_w + field.n_time
    a, D, u_bar, D_bar = tape[:k], tape[k : 2 * k], scratch[:k], scratch[k : 2 * k]
    K, K_bar = matrix(e, 0, k, d), matrix(e_bar, 0, k, d)
    for j in range(k):  # K_bar -= a f_bar^T: D_bar holds -a for the product
        for s in range(D_bar.shape[1]):
            D_bar[j, s] = -a[j, s]
    add_outer(D_bar, F_bar, K_bar)  # [2]^T
    multiply(K, F_bar, u_bar)
    for j in range(k):  # a_bar = -K f_bar;  u_bar = sigma' a_bar
        for s in range(u_bar.shape[1]):
            u_bar[j, s] = -u_bar[j, s]
    scale_by(D, u_bar)  # [1]^T
    if tr_bar is not None:  # [3]^T
        weighted_sum_adjoint(D, e[o_M : o_M + k], tr_bar, D_bar, e_bar[o_M : o_M + k])
        add_curvature(field.code, a, D, D_bar, u_bar)
    return affine_adjoint(K, e[o_w:o_M], t, Z, u_bar, Z_bar, K_bar, e_bar[o_b:o_w], e_bar[o_w:o_M])
