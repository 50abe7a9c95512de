"""The potential network of [OFLR21]: a scalar Phi(x, t) whose control is -grad Phi.

Value, gradient, time derivative and Laplacian in closed form and the adjoint of all four:
docs/equations_potential.md, (D90)-(D97); the kernels are in kernels.py.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from refode import _validate
from refode._blas import one_thread
from refode._shown import as_called
from refode.fields.contract import Array, Field, rhs, rhs_adjoint, width_of
from refode.fields.potential.kernels import GRADIENT, LAPLACIAN, derivatives, derivatives_adjoint
from refode.fields.potential.layout import PotentialParts, PotentialSpec, count_pairs, place_rows
from refode.machine.compile import kernel
from refode.machine.views import row

QUADRATICS = ("lowrank", "symmetric")
DEPENDENT = 1e8  # condition number from which rows count as dependent


class Potential(Field):
    """Scalar network Phi of (x, t), [OFLR21]; as a field of ODEs it is f = -grad_x Phi.

    With s = (x, t), sigma = log(2 cosh), u_0 = sigma(K0 s + b0) and
    u_i = u_{i-1} + h sigma(K_i u_{i-1} + b_i), h = 1/(depth - 1):

    Phi(s) = w . u + q(s) + b . s + c,  q(s) = |A s|^2/2 or s . (A + A^T) s/4.

    Parameters
    ----------
    dim : int
        d, the dimension of x.
    width : int
        Number m of hidden units.
    depth : int, optional
        Number of layers, K0 and depth - 1 residual ones.
    rank : int, optional
        Rows r of A, by default min(10, d + 1); for the low-rank quadratic alone.
    quadratic : {"lowrank", "symmetric"}, optional
        |A s|^2/2, which is convex, or [ROL+20]'s s . (A + A^T) s/4 with a square A.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted.

    Notes
    -----
    Weights, in this order: K0 (m, d+1), b0 (m,), K1 (m, m), b1 (m,), ..., w (m,),
    A (r, d+1) or (d+1, d+1), b (d+1,), c (); the last column belongs to t.

    With D = d, or m where d > 2 m, the Laplacian takes 2 m^2 D (depth - 1) flops a sample, or
    m^2 (m + 1) with two layers and D >= 3 (m + 1)/4; there is no loop over the d dimensions.
    Gradient and adjoint take about 12 times the entries of K0, K1, ... and A.
    """

    def __init__(
        self,
        dim: int,
        width: int,
        depth: int = 2,
        rank: int | None = None,
        quadratic: str = "lowrank",
    ) -> None:
        d = _validate.positive_int("dim", dim)
        self.depth = _validate.positive_int("depth", depth)
        _validate.affordable("depth", depth, 256 * self.depth)
        m = width_of(width, d, d + self.depth + 2, self.depth - 1)
        self.quadratic = _validate.choice("quadratic", quadratic, QUADRATICS)
        symmetric = self.quadratic == "symmetric"
        if symmetric and rank is not None:
            raise ValueError(
                f"rank: got {_validate.shown(rank)} with quadratic='symmetric', wanted None"
            )
        self.rank = min(10, d + 1) if rank is None else _validate.positive_int("rank", rank)
        if self.rank > d + 1:
            _validate.affordable("rank", rank, 8 * self.rank * (d + 1))
        shapes: dict[str, tuple[int, ...]] = {"K0": (m, d + 1), "b0": (m,)}
        for i in range(1, self.depth):
            shapes |= {f"K{i}": (m, m), f"b{i}": (m,)}
        rows = d + 1 if symmetric else self.rank
        shapes |= {"w": (m,), "A": (rows, d + 1), "b": (d + 1,), "c": ()}
        super().__init__(d, shapes, True)
        self.width = m

    def __repr__(self) -> str:
        """The rank is none of a symmetric potential's arguments."""
        sizes = {"dim": self.dim, "width": self.width, "depth": self.depth}
        symmetric = self.quadratic == "symmetric"
        rank = {} if symmetric or self.rank == min(10, self.dim + 1) else {"rank": self.rank}
        return as_called(self, **sizes, **rank, quadratic=self.quadratic)

    @property
    def spec(self) -> PotentialSpec:
        """Sizes that the kernels dispatch on."""
        symmetric = self.quadratic == "symmetric"
        r = 0 if symmetric else self.rank
        sizes = (self.dim, self.width, self.depth - 1, r, self._columns)
        return PotentialSpec(*sizes, symmetric, self._pairs)

    def description(self) -> Any:
        return self.spec

    def rows(self, trace: bool) -> tuple[int, int]:
        f = self.spec
        tape = place_rows(f)
        laplacian = f.m + count_pairs(f) if f.pairs else 2 * f.m * f.D
        scratch = f.r + (f.M + 4) * f.m + (laplacian if trace else 0) + 1
        return (tape.end if trace else tape.R), scratch

    def block(self) -> int:
        return 64  # docs/performance.md

    def prepare(self, weights: Array, trace: bool) -> Array:
        d, n = self.dim, len(weights)
        v = self.named(weights)
        symmetric = self.quadratic == "symmetric"
        K0 = v["K0"]
        stacked = K0 if symmetric else np.concatenate([v["A"], K0], axis=1)
        layers = range(1, self.depth)
        parts = [stacked[:, :, :d], stacked[:, :, d], *(v[f"K{i}"] for i in layers)]
        parts += [v[f"b{i}"] for i in range(self.depth)]
        parts += [v["w"], v["b"], v["c"]]
        if symmetric:
            S = 0.5 * (v["A"] + v["A"].transpose(0, 2, 1))
            parts += [S[:, :d, :d], S[:, :d, d], S[:, d, d]]
        if trace:
            A = v["A"]
            trace_of = (
                np.trace(A[:, :d, :d], axis1=1, axis2=2)
                if symmetric
                else (np.sum(A[:, :, :d] ** 2, axis=(1, 2)))
            )
            parts += [*self._row_products(weights), trace_of]
        return np.concatenate([part.reshape(n, -1) for part in parts], axis=1)

    def prepare_adjoint(self, weights: Array, trace: bool, e_bar: Array) -> Array:
        d, m, n = self.dim, self.width, len(weights)
        v, symmetric = self.named(weights), self.quadratic == "symmetric"
        r, M = (0 if symmetric else self.rank), self.depth - 1
        sizes = [(r + m) * d, r + m, M * m * m, (M + 1) * m, m, d + 1, 1]
        sizes += [d * d, d, 1] if symmetric else [0, 0, 0]
        columns = m * (m + 1) // 2 if self._pairs else self._columns
        sizes += [m * columns, m, 1] if trace else [0, 0, 0]
        ends = np.cumsum(sizes)[:-1]
        W, wt, K, b, w, bx, c, Sxx, Sxt, Stt, C, square, tr = np.split(e_bar, ends, axis=1)
        W = np.concatenate([W.reshape(n, r + m, d), wt[:, :, None]], axis=2)
        A, K0 = W[:, :r].copy(), W[:, r:].copy()
        if symmetric:
            S = np.zeros((n, d + 1, d + 1), e_bar.dtype)
            S[:, :d, :d], S[:, :d, d], S[:, d, d] = Sxx.reshape(n, d, d), Sxt, Stt[:, 0]
            A = 0.5 * (S + S.transpose(0, 2, 1))
        if trace:
            K0_bar, K1_bar = self._row_products_adjoint(weights, C.reshape(n, m, columns), square)
            K0[:, :, :d] += K0_bar
            if self._pairs:
                K = K + K1_bar
            if symmetric:
                A[:, np.arange(d), np.arange(d)] += tr
            else:
                A[:, :, :d] += 2.0 * tr[:, :, None] * v["A"][:, :, :d]
        parts = [K0, b[:, :m]]
        for i in range(1, self.depth):
            parts += [K[:, (i - 1) * m * m : i * m * m], b[:, i * m : (i + 1) * m]]
        parts += [w, A, bx, c]
        return np.concatenate([part.reshape(n, -1) for part in parts], axis=1)

    @property
    def _pairs(self) -> bool:
        """Whether the Laplacian goes by products of pairs of units, (D93b): where that is less."""
        return self.depth == 2 and 4 * self._columns >= 3 * (self.width + 1)

    @one_thread
    def _row_products(self, weights: Array) -> tuple[Array, Array]:
        """C, or B of (D93b); and n, the squared norms of K0's rows."""
        v = self.named(weights)
        K0 = v["K0"][:, :, : self.dim]
        if not self._pairs:
            C = K0 @ self._directions(weights)
            return C, np.sum(C**2, axis=2)
        G = K0 @ K0.transpose(0, 2, 1)
        k, l, twice = _pairs_of(self.width)  # noqa: E741
        K1 = v["K1"]
        B = K1[:, :, k] * K1[:, :, l] * (twice * G[:, k, l])[:, None, :]
        return B, np.diagonal(G, axis1=1, axis2=2)

    @one_thread
    def _row_products_adjoint(
        self, weights: Array, C_bar: Array, n_bar: Array
    ) -> tuple[Array, Array | float]:
        """Cotangents of K0's x part and of K1 (flat) from those of C or B, and n."""
        v = self.named(weights)
        K0 = v["K0"][:, :, : self.dim]
        if not self._pairs:
            rotation = self._directions(weights)
            C = K0 @ rotation
            C_bar = C_bar + 2.0 * n_bar[:, :, None] * C
            back = rotation.transpose(0, 2, 1)
            if self.dim > self._columns and np.iscomplexobj(weights):
                back = back + self._outside(weights, rotation, C)
            return C_bar @ back, 0.0
        G, K1 = K0 @ K0.transpose(0, 2, 1), v["K1"]
        k, l, twice = _pairs_of(self.width)  # noqa: E741
        U = np.zeros((len(weights), self.width, self.width, self.width), C_bar.dtype)
        U[:, :, k, l] = twice * C_bar
        U += U.transpose(0, 1, 3, 2)  # by both orders of a pair
        K1_bar = np.einsum("njkl,nkl,njl->njk", U, G, K1)
        G_bar = 0.5 * np.einsum("njkl,njk,njl->nkl", U, K1, K1)
        G_bar[:, np.arange(self.width), np.arange(self.width)] += n_bar
        return 2.0 * G_bar @ K0, K1_bar.reshape(len(weights), -1)

    @property
    def _columns(self) -> int:
        """D: the columns of C, d unless that is much more than the m rows can need."""
        return self.dim if self.dim <= 2 * self.width else self.width

    def _directions(self, weights: Array) -> Array:
        """O (n, d, D) with orthonormal columns that span the rows of K0's x part, (D92).

        From the real parts: the imaginary part of a complex step is of first order, and what
        it has outside this span is orthogonal to what is within.
        """
        if self._columns == self.dim:
            return np.broadcast_to(np.eye(self.dim), (len(weights), self.dim, self.dim))
        K0 = self.named(weights)["K0"].real[:, :, : self.dim]
        return np.linalg.qr(K0.transpose(0, 2, 1))[0]

    def _outside(self, weights: Array, rotation: Array, C: Array) -> Array:
        """C^{-1} K0 (I - O O^T): what the complex step of a *gradient* has outside O, (D93a)."""
        K0 = self.named(weights)["K0"].imag[:, :, : self.dim]
        beyond = K0 - K0 @ rotation @ rotation.transpose(0, 2, 1)
        if np.linalg.cond(C.real).max() > DEPENDENT:
            raise ValueError(
                "theta: got a K0 with linearly dependent rows, wanted independent ones "
                "(second derivatives need them where dim > 2 width)"
            )
        return 1j * np.linalg.solve(C.real, beyond)

    def initial(self, rng: np.random.Generator) -> dict[str, Array]:
        """One random weight set, small as in [ROL+20]: the control starts close to zero.

        K_i ~ N(0, 0.01^2), b_i ~ N(0, 0.1^2), w = 1, b = c = 0. A is 0 where it enters
        linearly; the low-rank A ~ N(0, 0.01/(d+1)), since at 0 its gradient would vanish.
        """
        drawn = {}
        for name, shape in self.layout.shapes.items():
            scale = {"K": 0.01, "b": 0.1}.get(name[0], 0.0) if name[1:] else 0.0
            drawn[name] = scale * rng.standard_normal(shape)
        drawn["w"] = np.ones(self.width)
        if self.quadratic == "lowrank":
            A = rng.standard_normal(self.layout.shapes["A"])
            drawn["A"] = 0.1 / np.sqrt(self.dim + 1) * A
        return drawn


@functools.cache
def _pairs_of(m: int) -> tuple[Array, Array, Array]:
    """Indices k <= l of pairs, and 2 where they differ."""
    k, l = np.triu_indices(m)  # noqa: E741
    return k, l, np.where(k == l, 1.0, 2.0)


@rhs.register(PotentialParts)
def potential_rhs(field, e, t, Z, F, tr, tape):
    """f = -grad_x Phi and its trace, -Lap Phi."""
    spare = row(tape, 0)  # dPhi/dt, which nobody asks for
    if tr is None:
        derivatives(field, e, t, Z, GRADIENT, spare, F, spare, spare, tape)
    else:
        derivatives(field, e, t, Z, GRADIENT | LAPLACIAN, spare, F, spare, tr, tape)
        for s in range(tr.shape[0]):
            tr[s] = -tr[s]
    _negate(F)


@rhs_adjoint.register(PotentialParts)
def potential_rhs_adjoint(field, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch):
    """The adjoint of gradient and Laplacian with both cotangents negated."""
    G_bar = -F_bar
    Gt_bar = row(scratch, scratch.shape[0] - 1)  # beyond what the adjoint below works in
    for s in range(Gt_bar.shape[0]):
        Gt_bar[s] = 0.0
    if tr_bar is None:
        return derivatives_adjoint(
            field, e, t, Z, tape, GRADIENT, Gt_bar, G_bar, Gt_bar, Gt_bar, Z_bar, e_bar, scratch
        )
    want, lap_bar = GRADIENT | LAPLACIAN, -tr_bar
    return derivatives_adjoint(
        field, e, t, Z, tape, want, Gt_bar, G_bar, Gt_bar, lap_bar, Z_bar, e_bar, scratch
    )


@kernel(cache=False)
def _negate(F):
    """F <- -F."""
    for i in range(F.shape[0]):
        for s in range(F.shape[1]):
            F[i, s] = -F[i, s]
