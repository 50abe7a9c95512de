"""Order conditions of Runge-Kutta methods by rooted trees [But63], [HNW93, II.2].

A method (A, b, c) with c = A 1 has order p exactly where, for every rooted tree tau with at most
p nodes, its elementary weight equals the reciprocal of the tree's density:

    sum_i b_i phi_i(tau) = 1 / gamma(tau).

A Rosenbrock method (A, G, b) with the exact Jacobian has the same conditions with A + G in place of
A below every node that has one child alone [HW96, IV.7].

A tree is written as the sorted tuple of its root's subtrees, so `()` is the single node and
`((),)` the chain of two. With Fractions every residual is exact; floats work as well.

References
----------
[But63] J. C. Butcher, Coefficients for the study of Runge-Kutta integration processes, J. Austral.
Math. Soc. 3 (1963), 185-201. [HNW93] E. Hairer, S. P. Norsett, G. Wanner, Solving Ordinary
Differential Equations I, 2nd ed., Springer, 1993. [HW96] E. Hairer, G. Wanner, Solving Ordinary
Differential Equations II, 2nd ed., Springer, 1996.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from math import prod
from typing import Any

from refode._quiet import quietly

__all__ = [
    "MAX_ORDER",
    "consistency",
    "density",
    "elementary_weight",
    "order_of",
    "residuals",
    "rooted_trees",
]

Tree = tuple[Any, ...]
Number = Any  # Fraction or float: whatever the caller's tableau holds

#: rooted trees are listed up to this many nodes (286 trees of nine)
MAX_ORDER = 9


def _with_leaf(tree: Tree) -> set[Tree]:
    """All trees that arise from attaching one leaf to one node of `tree`."""
    grown = {tuple(sorted((*tree, ())))}
    for index, child in enumerate(tree):
        rest = tree[:index] + tree[index + 1 :]
        grown |= {tuple(sorted((*rest, taller))) for taller in _with_leaf(child)}
    return grown


@cache
def rooted_trees(order: int) -> tuple[Tree, ...]:
    """All rooted trees with exactly `order` nodes, 1 <= order <= 9.

    Raises
    ------
    ValueError
        `order` is not an integer from 1 to 9.
    """
    if isinstance(order, bool) or not isinstance(order, int) or not 1 <= order <= MAX_ORDER:
        raise ValueError(f"order: got {order!r}, wanted an int from 1 to {MAX_ORDER}")
    if order == 1:
        return ((),)
    return tuple(sorted(set().union(*(_with_leaf(tree) for tree in rooted_trees(order - 1)))))


def n_nodes(tree: Tree) -> int:
    """Number of nodes of a tree."""
    return 1 + sum(n_nodes(child) for child in tree)


def density(tree: Tree) -> int:
    """gamma(tau): the product over all nodes of the size of the subtree that hangs there."""
    return n_nodes(tree) * prod(density(child) for child in tree)


Matrix = Sequence[Sequence[Number]]


def _added(A: Matrix, G: Matrix | None) -> Matrix:
    """A + G, which stands below nodes with one child; A where there is no G."""
    if G is None:
        return A
    if len(G) != len(A) or any(len(row) != len(A) for row in G):
        raise ValueError(
            f"G: got rows of lengths {[len(row) for row in G]}, wanted {len(A)} of {len(A)} each"
        )
    return [[a + g for a, g in zip(*rows, strict=True)] for rows in zip(A, G, strict=True)]


def _stage_weights(
    A: Matrix, tree: Tree, known: dict[Tree, list[Number]], single: Matrix
) -> list[Number]:
    """phi_i(tau) = prod over the root's subtrees of (A phi(subtree))_i, remembered in `known`."""
    if tree not in known:
        phi = [Fraction(1)] * len(A)
        for child in tree:
            below = _stage_weights(A, child, known, single)
            phi = [
                phi_i * sum(a * x for a, x in zip(row, below, strict=True) if a)
                for phi_i, row in zip(phi, single if len(tree) == 1 else A, strict=True)
            ]
        known[tree] = phi
    return known[tree]


def elementary_weight(A: Sequence[Sequence[Number]], b: Sequence[Number], tree: Tree) -> Number:
    """sum_i b_i phi_i(tau), the elementary weight of the method (A, b) for one tree."""
    return sum(
        b_i * phi_i for b_i, phi_i in zip(b, _stage_weights(A, tree, {}, A), strict=True) if b_i
    )


def _residuals_at(
    A: Matrix, b: Sequence[Number], order: int, known: dict[Tree, list[Number]], single: Matrix
) -> dict[Tree, Number]:
    residuals_of = {}
    for tree in rooted_trees(order):
        phi = _stage_weights(A, tree, known, single)
        weight = sum(b_i * phi_i for b_i, phi_i in zip(b, phi, strict=True) if b_i)
        residuals_of[tree] = weight - Fraction(1, density(tree))
    return residuals_of


@quietly()
def residuals(
    A: Sequence[Sequence[Number]],
    b: Sequence[Number],
    order: int,
    G: Sequence[Sequence[Number]] | None = None,
) -> dict[Tree, Number]:
    """Elementary weight minus 1/gamma for every rooted tree with at most `order` nodes.

    Parameters
    ----------
    A, b : sequences of Fraction or float, shapes (s, s) and (s,)
    order : int, 1 to 9
    G : (s, s), optional
        Of a Rosenbrock method: what multiplies the Jacobian.

    Returns
    -------
    dict from tree to residual; exact where A and b are Fractions

    Raises
    ------
    ValueError
        `order` out of range; shapes of A and b that do not match.
    """
    _check_shapes(A, b)
    known: dict[Tree, list[Number]] = {}
    single = _added(A, G)
    rooted_trees(order)  # refuses a bad order before any work
    return {
        tree: residual
        for nodes in range(1, order + 1)
        for tree, residual in _residuals_at(A, b, nodes, known, single).items()
    }


@quietly()
def consistency(A: Sequence[Sequence[Number]], c: Sequence[Number]) -> list[Number]:
    """c_i - sum_j a_ij for every stage; the tree conditions assume that all are zero."""
    _check_shapes(A, c, "c")
    return [c_i - sum(row) for row, c_i in zip(A, c, strict=True)]


@quietly()
def order_of(
    A: Sequence[Sequence[Number]],
    b: Sequence[Number],
    c: Sequence[Number],
    up_to: int = MAX_ORDER,
    tolerance: float | Fraction = 0,
    G: Sequence[Sequence[Number]] | None = None,
) -> int:
    """The largest p <= `up_to` whose conditions all hold to `tolerance`; 0 where sum b != 1.

    G is a Rosenbrock method's, as for `residuals`.

    Raises
    ------
    ValueError
        Shapes that do not match, `up_to` out of range, or c that differs from the row sums of A
        by more than `tolerance` (the tree conditions do not decide the order of such a method).
    """
    _check_shapes(A, b)
    rooted_trees(up_to)
    off = consistency(A, c)
    for i, difference in enumerate(off):
        if not abs(difference) <= tolerance:
            raise ValueError(
                f"c: got c[{i}] = {c[i]}, off by {float(difference):.3g}, wanted the row sums of A"
            )
    known: dict[Tree, list[Number]] = {}
    single = _added(A, G)
    for order in range(1, up_to + 1):
        # "not <=" rather than ">", so that a NaN never counts as satisfied
        if any(not abs(r) <= tolerance for r in _residuals_at(A, b, order, known, single).values()):
            return order - 1
    return up_to


def _check_shapes(A: Sequence[Sequence[Number]], b: Sequence[Number], name: str = "b") -> None:
    if len(A) == 0 or any(len(row) != len(A) for row in A):
        raise ValueError(
            f"A: got rows of lengths {[len(row) for row in A]}, wanted a square "
            "matrix with at least one stage"
        )
    if len(b) != len(A):
        raise ValueError(f"{name}: got {len(b)} entries, wanted {len(A)}, one a stage")
