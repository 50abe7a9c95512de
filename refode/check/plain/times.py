"""theta(t) as a combination of coefficients, and int |theta'|^2 of it.

Times are fractions, so that it is exact which cell a border belongs to.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.interpolate import BSpline

Array = NDArray[Any]


def combination(kind: str, J: int, s: Fraction, middle: Fraction, right: bool = False) -> Array:
    """p_j(s), (J,), for s in [0, 1].

    Parameters
    ----------
    kind : str
        "Constant", "PiecewiseConstant", "PiecewiseLinear", "Legendre" or "BSpline".
    J : int
    s, middle : Fraction
        The time, and the step's middle, which cells go by.
    right : bool, optional
        A border belongs to the later cell, a mistake.
    """
    if kind in ("Constant", "PiecewiseConstant"):
        cell = math.floor(middle * J) if right else math.ceil(middle * J) - 1
        return np.eye(J)[min(max(cell, 0), J - 1)]
    if kind == "PiecewiseLinear":
        return np.array([max(0.0, float(1 - abs(s * (J - 1) - j))) for j in range(J)])
    if kind == "Legendre":
        return legendre.legvander([float(2 * s - 1)], J - 1)[0]
    return np.array([p(float(s)) for p in _splines(J)])


def other_combination(how: str, J: int, s: Fraction) -> Array:
    """Legendre polynomials of norm 1, powers of 2s - 1, or B-splines with simple end knots."""
    x = float(2 * s - 1)
    if how == "powers":
        return x ** np.arange(J)
    if how == "orthonormal":
        return np.sqrt(2.0 * np.arange(J) + 1.0) * legendre.legvander([x], J - 1)[0]
    knots = np.arange(-3.0, J + 1.0) / (J - 3)
    return BSpline(knots, np.eye(J), 3)(float(s))


@lru_cache(maxsize=16)
def _splines(J: int) -> tuple[Any, ...]:
    """Cubic B-splines with fourfold knots at the ends."""
    knots = np.concatenate([np.zeros(3), np.linspace(0.0, 1.0, J - 2), np.ones(3)])
    return tuple(BSpline(knots, np.eye(J)[j], 3) for j in range(J))


@lru_cache(maxsize=64)
def stiffness(kind: str, J: int) -> Array:
    """int_0^1 p_i' p_j' ds, (J, J); J times squared differences for cells."""
    if kind in ("Constant", "PiecewiseConstant"):
        return J * differences(J)
    nodes, weights = np.polynomial.legendre.leggauss(J + 2)  # exact on every piece
    pieces = {"PiecewiseLinear": J - 1, "Legendre": 1, "BSpline": J - 3}[kind]
    total = np.zeros((J, J))
    for piece in range(pieces):
        for node, weight in zip(nodes, weights, strict=True):
            slopes = _slopes(kind, J, (piece + 0.5 + 0.5 * node) / pieces)
            total += 0.5 * weight / pieces * np.outer(slopes, slopes)
    return total


def differences(J: int) -> Array:
    """sum_j (theta_{j+1} - theta_j)^2 as a matrix."""
    D = np.diff(np.eye(J), axis=0)
    return D.T @ D


def _slopes(kind: str, J: int, s: float) -> Array:
    if kind == "PiecewiseLinear":
        cell = min(int(s * (J - 1)), J - 2)
        return (J - 1.0) * (np.eye(J)[cell + 1] - np.eye(J)[cell])
    if kind == "Legendre":
        return np.array(
            [2.0 * legendre.legval(2.0 * s - 1.0, legendre.legder(row)) for row in np.eye(J)]
        )
    return np.array([p(s, 1) for p in _splines(J)])
