"""The two fields of [HR17] that split into halves, for symplectic schemes.

``Hamiltonian``: y=(Y, Z), Y' = sigma(K Z + b), Z' = -sigma(K^T Y + b).
``Leapfrog``: Y'' = -K^T sigma(K Y + b), as y=(Y, V) with Y' = V.

Each half's slope depends on the other half alone: the flow is divergence-free
(trace 0), a substep that moves one half is undone by the same substep backwards,
and [HR17]'s Verlet and leapfrog recursions are such substeps in turn, eq. (D25).
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from refode import _validate
from refode.fields.contract import (
    Field,
    activation_of,
    half,
    half_adjoint,
    rhs,
    rhs_adjoint,
    width_of,
)
from refode.fields.layer import affine_adjoint, bias_adjoint, layer, scale_by
from refode.machine.activations import activate
from refode.machine.blas import add_outer, add_product, multiply, multiply_transposed
from refode.machine.blocks import axpy, copy
from refode.machine.views import matrix


class HamiltonianSpec(NamedTuple):
    """n, entries of tau (n or 0), activation."""

    n: int
    n_time: int
    code: int


class LeapfrogSpec(NamedTuple):
    """n, k, entries of tau (k or 0), activation."""

    n: int
    k: int
    n_time: int
    code: int


def _half_dimension(dim: int) -> int:
    d = _validate.positive_int("dim", dim)
    if d % 2:
        raise ValueError(f"dim: got {dim}, wanted an even number (two halves of equal size)")
    return d // 2


class Hamiltonian(Field):
    """Hamiltonian-inspired field Y' = sigma(K Z + b), Z' = -sigma(K^T Y + b), [HR17].

    Parameters
    ----------
    dim : int
        State dimension d = 2n, even; z = (Y, Z).
    activation : {"tanh", "softplus", "sine", "identity"}, optional
    time : bool, optional
        t as an input: a vector tau (n,) enters as b + tau t.

    Notes
    -----
    Weights: K (n, n), b0 (n,), tau (n,) if ``time``. Scheme "verlet" is [HR17]'s.
    """

    partitioned: ClassVar[bool] = True
    divergence_free: ClassVar[bool] = True

    def __init__(self, dim: int, activation: str = "tanh", time: bool = False) -> None:
        n, time = _half_dimension(dim), _validate.boolean("time", time)
        shapes: dict[str, tuple[int, ...]] = {"K": (n, n), "b0": (n,)}
        super().__init__(2 * n, shapes | ({"tau": (n,)} if time else {}), time)
        self.activation, self._code = activation_of(activation)

    def description(self) -> Any:
        n = self.dim // 2
        return HamiltonianSpec(n, n if self.time else 0, self._code)

    def rows(self, trace: bool) -> tuple[int, int]:
        return 2 * self.dim, self.dim // 2


class Leapfrog(Field):
    """Second-order field Y'' = -K^T sigma(K Y + b) as Y' = V, V' = ..., [HR17].

    Parameters
    ----------
    dim : int
        State dimension d = 2n, even; z = (Y, V).
    width : int, optional
        Rows k of K; n by default.
    activation : {"tanh", "softplus", "sine", "identity"}, optional
    time : bool, optional
        t as an input: a vector tau (k,) enters as b + tau t.

    Notes
    -----
    Weights: K (k, n), b0 (k,), tau (k,) if ``time``. Scheme "verlet" is [HR17]'s
    leapfrog Y+ = 2Y - Y- - h^2 K^T sigma(K Y + b), with h V = Y - Y-.
    """

    partitioned: ClassVar[bool] = True
    divergence_free: ClassVar[bool] = True

    def __init__(
        self, dim: int, width: int | None = None, activation: str = "tanh", time: bool = False
    ) -> None:
        n, time = _half_dimension(dim), _validate.boolean("time", time)
        k = n if width is None else width_of(width, n, n + (2 if time else 1))
        shapes: dict[str, tuple[int, ...]] = {"K": (k, n), "b0": (k,)}
        super().__init__(2 * n, shapes | ({"tau": (k,)} if time else {}), time)
        self.width = k
        self.activation, self._code = activation_of(activation)

    def description(self) -> Any:
        return LeapfrogSpec(self.dim // 2, self.width, self.width if self.time else 0, self._code)

    def rows(self, trace: bool) -> tuple[int, int]:
        return 2 * self.width, 2 * self.width


@half.register(HamiltonianSpec)
def hamiltonian_half(field, e, t, which, Z, F, tape):
    """Y' = sigma(K Z + b) (which = 0) or Z' = -sigma(K^T Y + b) (which = 1)."""
    n = field.n
    K, b, w = matrix(e, 0, n, n), e[n * n : n * n + n], e[n * n + n : n * n + n + field.n_time]
    if which == 0:
        a, D = tape[:n], tape[n : 2 * n]
        layer(field.code, K, b, w, t, Z[n:], a, D)  # [1]
        copy(F[:n], a)
    else:
        a, D = tape[2 * n : 3 * n], tape[3 * n : 4 * n]
        multiply_transposed(K, Z[:n], a)  # [2]
        for j in range(w.shape[0]):
            for s in range(a.shape[1]):
                a[j, s] += w[j] * t
        activate(field.code, a, b, D)
        for j in range(n):
            for s in range(a.shape[1]):
                F[n + j, s] = -a[j, s]


@half_adjoint.register(HamiltonianSpec)
def hamiltonian_half_adjoint(field, e, t, which, Z, tape, F_bar, Z_bar, e_bar, scratch):
    """Eq. (D13)."""
    n = field.n
    o_w = n * n + n
    o_z = o_w + field.n_time
    K, K_bar, u_bar = matrix(e, 0, n, n), matrix(e_bar, 0, n, n), scratch[:n]
    b_bar, w, w_bar = e_bar[n * n : o_w], e[o_w:o_z], e_bar[o_w:o_z]
    if which == 0:  # [1]^T u_bar = sigma' f_bar
        copy(u_bar, F_bar[:n])
        scale_by(tape[n : 2 * n], u_bar)
        return affine_adjoint(K, w, t, Z[n:], u_bar, Z_bar[n:], K_bar, b_bar, w_bar)
    for j in range(n):  # [2]^T u_bar = -sigma' f_bar
        for s in range(u_bar.shape[1]):
            u_bar[j, s] = -tape[3 * n + j, s] * F_bar[n + j, s]
    add_product(K, u_bar, Z_bar[:n])  # y_bar += K u_bar
    add_outer(Z[:n], u_bar, K_bar)  # K_bar += y u_bar^T
    return bias_adjoint(w, t, u_bar, b_bar, w_bar)


@half.register(LeapfrogSpec)
def leapfrog_half(field, e, t, which, Z, F, tape):
    """Y' = V (which = 0) or V' = -K^T sigma(K Y + b) (which = 1)."""
    n, k = field.n, field.k
    if which == 0:
        copy(F[:n], Z[n:])
    else:
        K, o_w = matrix(e, 0, k, n), k * n + k
        layer(
            field.code,
            K,
            e[k * n : o_w],
            e[o_w : o_w + field.n_time],
            t,
            Z[:n],
            tape[:k],
            tape[k : 2 * k],
        )
        multiply_transposed(K, tape[:k], F[n:])  # [2] v' = -K^T a
        for j in range(n, 2 * n):
            for s in range(F.shape[1]):
                F[j, s] = -F[j, s]


@half_adjoint.register(LeapfrogSpec)
def leapfrog_half_adjoint(field, e, t, which, Z, tape, F_bar, Z_bar, e_bar, scratch):
    """Eq. (D14)."""
    n, k = field.n, field.k
    if which == 0:
        axpy(Z_bar[n:], 1.0, F_bar[:n])
        return t * 0
    o_w = k * n + k
    o_z = o_w + field.n_time
    K, K_bar, u_bar, minus_a = (
        matrix(e, 0, k, n),
        matrix(e_bar, 0, k, n),
        scratch[:k],
        scratch[k : 2 * k],
    )
    for j in range(k):
        for s in range(minus_a.shape[1]):
            minus_a[j, s] = -tape[j, s]
    add_outer(minus_a, F_bar[n:], K_bar)  # [2]^T K_bar -= a f_bar^T
    multiply(K, F_bar[n:], u_bar)  #             a_bar = -K f_bar
    for j in range(k):  # [1]^T u_bar = sigma' a_bar
        for s in range(u_bar.shape[1]):
            u_bar[j, s] *= -tape[k + j, s]
    return affine_adjoint(
        K, e[o_w:o_z], t, Z[:n], u_bar, Z_bar[:n], K_bar, e_bar[k * n : o_w], e_bar[o_w:o_z]
    )


def _whole(spec: type) -> None:
    """Register the whole field as its two halves, with trace zero."""

    def both_halves(field, e, t, Z, F, tr, tape):
        half(field, e, t, 0, Z, F, tape)
        half(field, e, t, 1, Z, F, tape)
        if tr is not None:
            for s in range(tr.shape[0]):
                tr[s] = 0

    def both_halves_adjoint(field, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch):
        t_bar = half_adjoint(field, e, t, 0, Z, tape, F_bar, Z_bar, e_bar, scratch)
        return t_bar + half_adjoint(field, e, t, 1, Z, tape, F_bar, Z_bar, e_bar, scratch)

    rhs.register(spec)(both_halves)
    rhs_adjoint.register(spec)(both_halves_adjoint)


_whole(HamiltonianSpec)
_whole(LeapfrogSpec)
