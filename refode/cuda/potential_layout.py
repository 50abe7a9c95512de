"""Where the potential keeps what, by the formulas of its twin refode/fields/potential/layout.py.

And what the potential's files need beside linalg.py.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from refode.cuda.ops import Ops
from refode.fields.potential.layout import count_pairs, length_of_step, place_rows, place_weights


class Layout(NamedTuple):
    """Starts of the effective weights and of the tape's parts; pairs of units; h."""

    places: Any
    tape_rows: Any
    n_pairs: Any
    step_length: Any


class RowSums(NamedTuple):
    """Columns of weights times numbers of the samples, and sums over rows."""

    add_shift: Any
    add_multiples: Any
    add_products: Any


@functools.cache
def layout(ops: Ops) -> Layout:
    """The functions of one way to run; on the host, those of ``staged``."""

    formulas = place_weights, place_rows, count_pairs, length_of_step
    return Layout(*(ops.body(formula) for formula in formulas))


@functools.cache
def row_sums_of(ops: Ops) -> RowSums:
    """The operations of one way to run."""

    @ops.entries
    def add_shift(j, s, Y, t, e, at):
        """Y += t times the column e[at:], for every sample."""
        Y[j, s] += t * e[at + j]

    @ops.entries
    def add_multiples(j, s, Y, e, at, v):
        """Y += the column e[at:] times the row v."""
        Y[j, s] += e[at + j] * v[s]

    @ops.each
    def add_products(s, v, factor, X, Y):
        """v += factor times the sum over the rows of X Y."""
        total = 0.0
        for i in range(X.shape[0]):
            total += X[i, s] * Y[i, s]
        v[s] += factor * total

    return RowSums(add_shift, add_multiples, add_products)
