"""Effective weights that move in time, as kernels make them while a grid is planned."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refode._products import product
from refode.adaptation.course import Course

Array = np.ndarray

#: At most so many numbers at the nodes: beyond, steps take so long that Python may make weights.
MOST = 2**22
#: How far from the weights themselves, relative to their size, such ones may be.
CLOSE = 1e-11
#: Where that is looked at: irrational numbers, far from all nodes.
PROBES = np.modf(np.arange(1, 8) * (0.5 * np.sqrt(5.0) - 0.5))[0]


class Moving(NamedTuple):
    """Polynomials on equal cells, by their values at nodes; no values where there are none."""

    values: Array  # (cells*nodes, q)
    nodes: Array  # (nodes,), in (0, 1)
    barycentric: Array  # (nodes,)
    home: Array  # (2,), where the cells begin, and how long all of them are

    def at(self, s: Array) -> Array:
        """The weights at normalised times."""
        n = len(self.nodes)
        along = s * (len(self.values) // n)
        cell = np.minimum(along.astype(int), len(self.values) // n - 1)
        factors = self.barycentric / ((along - cell)[:, None] - self.nodes)
        values = self.values.reshape(-1, n, self.values.shape[1])[cell]
        return np.einsum("im,imq->iq", factors, values) / factors.sum(axis=1)[:, None]


def nothing() -> Moving:
    """No weights that move."""
    return Moving(np.empty((0, 0)), np.empty(0), np.empty(0), np.zeros(2))


def moving_of(course: Course, coefficients: Array) -> Moving | None:
    """A course's weights, at Chebyshev's points of the basis's cells.

    None where they are no polynomials there: by a basis of one's own, or by a field whose effective
    weights are products, as those of a trace.
    """
    basis, (start, end) = course.ode.basis, course.home
    pieces = basis._pieces()
    if pieces is None:
        return None
    cells, degree = pieces
    n = degree + 1
    if cells * n * coefficients.shape[1] > MOST:
        return None
    angles = (2 * np.arange(n) + 1) * np.pi / (2 * n)
    nodes = 0.5 - 0.5 * np.cos(angles)
    s = ((np.arange(cells)[:, None] + nodes) / cells).ravel()

    there = product(basis._dense(np.concatenate([s, PROBES])), coefficients)
    weights = np.ascontiguousarray(course.effective(there))
    signs = np.where(np.arange(n) % 2, -1.0, 1.0)
    values = weights[: len(s)]
    found = Moving(values, nodes, signs * np.sin(angles), np.array([start, end - start]))
    apart = np.abs(found.at(PROBES) - weights[len(s) :]).max()
    return found if apart <= CLOSE * np.abs(values).max() else None
