"""Sizes that rounding is relative to: those of what a quantity is made of, (D120).

Where parts nearly cancel, what is left is small, and the parts were rounded all the same. Moving a
case's numbers does not show it where the parts move together, or hold constants that stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Quantities with a block for every array of weights.
OF_WEIGHTS = ("theta_bar", "gradient", "hessian_vector")


def largest(a: Array) -> float:
    """The largest absolute entry."""
    return float(np.abs(a).max(initial=0.0))


def sizes(problem: Mapping[str, Any], values: Mapping[str, Array]) -> dict[str, float]:
    """The size of every quantity, at least that of its largest entry.

    Parameters
    ----------
    problem : dict
        Settings of a case, as in its document.
    values : dict of arrays
        Right results by quantity and block.

    Returns
    -------
    dict of float
        Of gradients, the size of all blocks together; of terms of the objective, that of the
        outputs, or of the log-densities, they are the differences of; of the total, that of its
        largest term. Where densities enter by their ratio exp(log rho_Y - log rho), everything
        that reads it has log rho times its size: this is how far rounding moves an exponential.
        What is 0 altogether counts as of size 1, the size of the cases' numbers.
    """
    by_name = {name: largest(v) for name, v in values.items()}
    for quantity in OF_WEIGHTS:
        blocks = [name for name in by_name if name.startswith(f"{quantity}/")]
        by_name |= dict.fromkeys(blocks, max((by_name[b] for b in blocks), default=0.0))
    if problem["type"] == "supervised":
        _at_least(by_name, "terms/loss", by_name.get("outputs", 0.0))
    if problem["type"] == "flow":
        _at_least(by_name, "terms/likelihood", by_name.get("log_density", 0.0))
    if problem["type"] == "game":
        _game(problem, by_name)
    terms = [name for name in by_name if name.startswith("terms/")]
    _at_least(by_name, "total", max((by_name[name] for name in terms), default=0.0))
    return {name: size or 1.0 for name, size in by_name.items()}


def _game(problem: Mapping[str, Any], found: dict[str, float]) -> None:
    along = max(found.get("log_density_path", 0.0), found.get("log_density", 0.0))
    weight = {k: abs(float(Fraction(problem[k]))) for k in ("terminal", "entropy", "hjb_terminal")}
    _at_least(found, "terms/F", weight["entropy"] * along)
    if problem["kind"] == "energy":  # which reads no density
        return
    _at_least(found, "terms/G", weight["terminal"] * along)
    if weight["hjb_terminal"] == 0.0:
        return
    if problem["kind"] == "cross_entropy":
        read = [n for n in found if n.partition("/")[0] in ("gradient", "hessian_vector")]
        for name in ("terms/hjb_terminal", *read):
            if name in found:
                found[name] *= max(1.0, along)
        return
    size = weight["hjb_terminal"] * weight["terminal"] * along
    if problem["hjb_norm"] == "squared":  # r^2 moves by 2 r times what r does
        of_r = (found.get("terms/hjb_terminal", 0.0) / weight["hjb_terminal"]) ** 0.5
        size *= 2.0 * of_r
    _at_least(found, "terms/hjb_terminal", size)


def _at_least(found: dict[str, float], name: str, size: float) -> None:
    if name in found:
        found[name] = max(found[name], size)
