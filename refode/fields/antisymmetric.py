"""The antisymmetric field of [HR17]: f(z) = sigma((K - K^T - gamma I) z + b).

Effective weights: A = K - K^T - gamma I, b, and tau where t is an input. The
eigenvalues of A have real part -gamma, which keeps the forward problem stable.
The trace is sum_i sigma'_i A_ii = -gamma sum_i sigma'_i; A_ii does not depend on K.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refode import _validate
from refode.fields.contract import Array, Field, activation_of, jacobian, rhs, rhs_adjoint
from refode.fields.layer import affine_adjoint, layer
from refode.machine.activations import add_curvature
from refode.machine.blocks import copy
from refode.machine.views import matrix


class AntisymmetricSpec(NamedTuple):
    """d, entries of tau (d or 0), activation, gamma."""

    d: int
    n_time: int
    code: int
    gamma: float


class Antisymmetric(Field):
    """Antisymmetric field f(z) = sigma((K - K^T - gamma I) z + b), [HR17].

    Parameters
    ----------
    dim : int
        State dimension d.
    gamma : float, optional
        Damping, >= 0.
    activation : {"tanh", "softplus", "sine", "identity"}, optional
    time : bool, optional
        t as an input: a vector tau (d,) enters as b + tau t.

    Notes
    -----
    Weights: K (d, d), b0 (d,), tau (d,) if ``time``. K's diagonal has no effect.
    """

    def __init__(
        self, dim: int, gamma: float = 0.0, activation: str = "tanh", time: bool = False
    ) -> None:
        d, time = _validate.positive_int("dim", dim), _validate.boolean("time", time)
        shapes: dict[str, tuple[int, ...]] = {"K": (d, d), "b0": (d,)}
        super().__init__(d, shapes | ({"tau": (d,)} if time else {}), time)
        self.gamma = _validate.nonnegative("gamma", gamma)
        self.activation, self._code = activation_of(activation)

    def description(self) -> Any:
        return AntisymmetricSpec(self.dim, self.dim if self.time else 0, self._code, self.gamma)

    def rows(self, trace: bool) -> tuple[int, int]:
        return 2 * self.dim, 2 * self.dim

    def prepare(self, weights: Array, trace: bool) -> Array:
        n, d = len(weights), self.dim
        K = self.named(weights)["K"]
        A = K - K.transpose(0, 2, 1) - self.gamma * np.eye(d)
        return np.concatenate([A.reshape(n, -1), weights[:, d * d :]], axis=1)

    def prepare_adjoint(self, weights: Array, trace: bool, e_bar: Array) -> Array:
        n, d = len(weights), self.dim
        A_bar = e_bar[:, : d * d].reshape(n, d, d)
        K_bar = A_bar - A_bar.transpose(0, 2, 1)
        return np.concatenate([K_bar.reshape(n, -1), e_bar[:, d * d :]], axis=1)


@rhs.register(AntisymmetricSpec)
def antisymmetric_rhs(field, e, t, Z, F, tr, tape):
    """f = sigma(A z + b + tau t); tr = -gamma sum sigma'."""
    d = field.d
    o_w = d * d + d
    a, D = tape[:d], tape[d : 2 * d]
    layer(field.code, matrix(e, 0, d, d), e[d * d : o_w], e[o_w : o_w + field.n_time], t, Z, a, D)
    copy(F, a)  # [1]
    if tr is not None:  # [2]
        for s in range(tr.shape[0]):
            tr[s] = 0
        for i in range(d):
            for s in range(tr.shape[0]):
                tr[s] -= field.gamma * D[i, s]


@jacobian.register(AntisymmetricSpec)
def antisymmetric_jacobian(field, e, t, Z, tape, J, scratch):
    """J = diag(sigma') A."""
    d = field.d
    D = tape[d : 2 * d]
    for i in range(d):
        for j in range(d):
            for s in range(J.shape[1]):
                J[i * d + j, s] = D[i, s] * e[i * d + j]


@rhs_adjoint.register(AntisymmetricSpec)
def antisymmetric_rhs_adjoint(field, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch):
    """Eq. (D9)."""
    d = field.d
    o_w = d * d + d
    o_z = o_w + field.n_time
    a, D, u_bar, D_bar = tape[:d], tape[d : 2 * d], scratch[:d], scratch[d : 2 * d]
    for i in range(d):  # [1]^T u_bar = sigma' f_bar
        for s in range(u_bar.shape[1]):
            u_bar[i, s] = D[i, s] * F_bar[i, s]
    if tr_bar is not None:  # [2]^T u_bar -= gamma sigma'' tr_bar
        for i in range(d):
            for s in range(u_bar.shape[1]):
                D_bar[i, s] = -field.gamma * tr_bar[s]
        add_curvature(field.code, a, D, D_bar, u_bar)
    return affine_adjoint(
        matrix(e, 0, d, d),
        e[o_w:o_z],
        t,
        Z,
        u_bar,
        Z_bar,
        matrix(e_bar, 0, d, d),
        e_bar[d * d : o_w],
        e_bar[o_w:o_z],
    )
