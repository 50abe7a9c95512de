"""What every framework's adapters share: the time grid, quadrature and densities' constants.

Plain numbers, made once in double precision; nothing here is differentiated.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np


class Step(NamedTuple):
    """A step from ``t`` to ``t + h``; ``cell`` holds its middle, for cells of constant weights."""

    t: float
    h: float
    cell: int


def steps(case: Any, along: tuple[float, float] | None = None) -> list[Step]:
    """The equal steps of a case, cells from exact fractions: a border is the earlier cell's."""
    first, last = (Fraction(t) for t in along or case.along)
    start, end = (Fraction(t) for t in case.t_span)
    h, J, found = (last - first) / case.n_steps, case.basis["J"], []
    for n in range(case.n_steps):
        s = (first + (n + Fraction(1, 2)) * h - start) / (end - start)
        cell = min(max(math.ceil(s * J) - 1, 0), J - 1)
        found.append(Step(float(first + n * h), float(h), cell))
    return found


def jumps(case: Any) -> bool:
    """Whether theta(t) jumps, so that a solver has to stop at the borders."""
    return case.basis["type"] == "PiecewiseConstant" and case.basis["J"] > 1


def field_blocks(case: Any, theta: dict[str, Any]) -> dict[str, Any]:
    """Blocks of theta(t), the readout's left out."""
    readout = ("W", "b") if case.problem.get("readout") else ()
    return {name: block for name, block in theta.items() if name not in readout}


def quadrature(basis: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Gauss nodes and weights on [0, 1], exact for squares of the basis's derivatives."""
    n_cells = {"PiecewiseLinear": basis["J"] - 1, "BSpline": basis["J"] - 3}
    n = n_cells.get(basis["type"], 1)
    nodes, weights = np.polynomial.legendre.leggauss(max(basis["J"], 4))
    left = np.arange(n)[:, None]
    return ((left + 0.5 * (nodes + 1.0)) / n).ravel(), np.tile(0.5 * weights / n, n)


class Normal(NamedTuple):
    """log N(x) = constant - |L^{-1} (x - mean)|^2 / 2, with ``whiten`` = L^{-1}."""

    mean: np.ndarray
    whiten: np.ndarray
    constant: float

    @classmethod
    def of(cls, mean: np.ndarray, covariance: np.ndarray) -> Normal:
        """From mean and covariance L L^T."""
        L = np.linalg.cholesky(covariance)
        constant = -np.log(np.diag(L)).sum() - 0.5 * len(mean) * math.log(2.0 * math.pi)
        return cls(mean, np.linalg.inv(L), float(constant))


def components(rho: dict[str, Any]) -> list[tuple[float, Normal]]:
    """(log weight, component) of a mixture."""
    parts = zip(rho["weights"], rho["means"], rho["covariances"], strict=True)
    return [(math.log(a), Normal.of(m, S)) for a, m, S in parts]
