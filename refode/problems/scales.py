"""Samples whose scale is in the way of training are pointed out."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from refode.ode.placement import hosted
from refode.problems.contract import Problem, WithODE

#: Samples beyond it saturate activations of random weights, and line searches fail.
LARGE = 1e3


def warn_of_scales(problem: Problem, data: tuple[Any, ...]) -> None:
    """Say so where samples are too large for weights of order one, and nothing scales them."""
    if (
        not isinstance(problem, WithODE)
        or getattr(problem, "scalings", None)
        or not data
        or data[0] is None
    ):
        return
    x = np.asarray(hosted(data[0]))
    largest = max(-float(x.min()), float(x.max()))
    if largest > LARGE:
        remedy = "other units" if problem.sampler else "problem.standardized(x)"
        warnings.warn(
            f"x: got values up to {largest:.3g} in magnitude, and training that starts with any "
            f"beyond {LARGE:g} seldom succeeds; {remedy} would bring them to order one",
            RuntimeWarning,
            stacklevel=4,
        )
