"""Where the potential network's effective weights and a stage's tape keep what.

Twin on the device: refode/cuda/potential_layout.py.
"""

from __future__ import annotations

from typing import NamedTuple

from refode.machine.compile import kernel
from refode.machine.parts import Member, formed, members


class PotentialSpec(NamedTuple):
    """Sizes: dimension, width, residual layers, rank, columns of C; which quadratic."""

    d: int
    m: int
    M: int
    r: int
    D: int
    symmetric: bool
    pairs: bool


class LowRank(NamedTuple):
    """No quadratic besides |l|^2/2."""

    none: int = 0


class Symmetric(NamedTuple):
    """The quadratic s . S s/2."""

    d: int


class ByColumns(NamedTuple):
    """The Laplacian by the columns of C, (D93)."""

    f: PotentialSpec


class ByPairs(NamedTuple):
    """The Laplacian by products of pairs of units, (D93b)."""

    f: PotentialSpec


class PotentialParts(NamedTuple):
    """What kernels get: the sizes, and the parts of which a network needs one of two."""

    d: int
    m: int
    M: int
    r: int
    D: int
    symmetric: bool
    pairs: bool
    quadratic: tuple
    by: tuple


@formed(PotentialSpec)
def with_parts(f: PotentialSpec) -> PotentialParts:
    """The form of a potential's description for kernels."""
    quadratic = Symmetric(f.d) if f.symmetric else LowRank()
    return PotentialParts(*f, quadratic, ByPairs(f) if f.pairs else ByColumns(f))


members(PotentialParts, quadratic=Member(partial=True), by=Member(partial=True))
members(ByColumns, f=Member(inline=True))
members(ByPairs, f=Member(inline=True))


class Weights(NamedTuple):
    """Starts of the effective weights."""

    W: int  # (r + m, d): A and K_0, the columns of x
    wt: int  # (r + m,): their column of t
    K: int  # (M, m, m)
    b: int  # (M + 1, m)
    w: int  # (m,)
    bx: int  # (d,)
    bt: int
    c: int
    S: int  # (d, d), (d,), (): the symmetric quadratic's parts, x x, x t, t t
    C: int  # (m, D); or B (m, m (m + 1)/2) of the products of pairs, (D93b)
    n: int  # (m,)
    trace: int


class Rows(NamedTuple):
    """Starts of the parts of a stage's tape; rows 0 and 1 are the dynamics'."""

    V: int  # l, a_0, a_1, ..., a_M
    P: int  # l, a_0 y_1
    U: int  # u_0, ..., u_M
    Y: int  # y_1, ..., y_{M+1}
    R: int  # R_1, ..., R_M
    J: int  # J_0, ..., J_{M-1}; or the products of pairs
    T: int  # T_1, ..., T_M
    end: int


# As Python, so that other compilers may take them too (refode/cuda): none calls another.
def count_pairs(f):
    """Pairs (k, l) of units with k <= l."""
    return f.m * (f.m + 1) // 2


def place_weights(f):
    """Starts of the effective weights."""
    d, m, M, n = f.d, f.m, f.M, f.r + f.m
    K = n * d + n
    w = K + M * m * m + (M + 1) * m
    S = w + m + d + 2
    C = S + ((d + 1) * d + 1 if f.symmetric else 0)
    columns = m * (m + 1) // 2 if f.pairs else f.D
    return Weights(
        0,
        n * d,
        K,
        K + M * m * m,
        w,
        w + m,
        w + m + d,
        w + m + d + 1,
        S,
        C,
        C + m * columns,
        C + m * columns + m,
    )


def place_rows(f):
    """Starts of the parts of a tape."""
    m, M, n = f.m, f.M, f.r + f.m
    P = 2 + n + M * m
    U = P + n
    Y = U + (M + 1) * m
    R = Y + (M + 1) * m
    J = R + M * m
    if f.pairs:
        return Rows(2, P, U, Y, R, J, J, J + m * (m + 1) // 2)
    T = J + M * m * f.D
    return Rows(2, P, U, Y, R, J, T, T + M * m * f.D)


def length_of_step(f):
    """h = 1/M; with a single layer there is none to weigh."""
    return 1.0 / f.M if f.M > 0 else 0.0


n_pairs = kernel(cache=False)(count_pairs)
places = kernel(cache=False)(place_weights)
tape_rows = kernel(cache=False)(place_rows)
step_length = kernel(cache=False)(length_of_step)
