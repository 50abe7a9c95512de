"""How far the kernels are from the proven digits: in ulp, and against what the case allows.

The error of a quantity is the largest over its array's entries. It is stated in units in the
last place of the array's largest entry, and in units of its condition: eps times the relative
change of the quantity per relative change of the inputs, estimated by perturbing every input at
random. An error of about 1 such unit is what rounding the inputs alone would bring.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from refode.reference import kernels
from refode.reference.files import arrays, case, names, stored

EPS = float(np.finfo(np.float64).eps)
#: Relative size of the perturbations: the square root of eps balances curvature and rounding.
STEP = 2.0**-26
DRAWS = 4


class Error(NamedTuple):
    """Errors of one quantity of one case.

    Attributes
    ----------
    case, quantity : str
    absolute : float
        Largest error of an entry.
    ulp : float
        The same in units in the last place of the largest entry.
    condition : float
        Estimated condition number, at least 1.
    units : float
        Relative error over eps times the condition number.
    """

    case: str
    quantity: str
    absolute: float
    ulp: float
    condition: float
    units: float


def errors(name: str, condition: bool = True) -> list[Error]:
    """Errors of refode's kernels on one golden case, a row for every quantity.

    Parameters
    ----------
    name : str
        One of `refode.reference.names`.
    condition : bool, optional
        Estimate the condition numbers, which takes four more evaluations; 1 otherwise.

    Raises
    ------
    ValueError
        No such case; a quantity of the case that the kernels do not give, or not in its shape.
    """
    document = case(name)
    results = kernels.results(document)
    inputs = arrays(document, "inputs")
    moved = _conditions(document, inputs, results) if condition else dict.fromkeys(results, 1.0)
    rows = []
    for quantity, truth in stored(document["results"]):
        got = results.get(quantity)
        if got is None or list(got.shape) != truth["shape"]:
            what = "nothing" if got is None else f"shape {got.shape}"
            raise ValueError(f"{name}: got {what} for {quantity}, wanted shape {truth['shape']}")
        absolute = _distance(got, truth["data"])
        size = max(abs(float(d)) for d in truth["data"])
        relative = absolute / size if size else (0.0 if absolute == 0.0 else np.inf)
        ulp = absolute / float(np.spacing(size)) if size else relative
        units = relative / (EPS * moved[quantity])
        rows.append(Error(name, quantity, absolute, ulp, moved[quantity], units))
    return rows


def table(condition: bool = True) -> list[Error]:
    """`errors` of all golden cases."""
    return [row for name in names() for row in errors(name, condition)]


def _distance(got: Any, digits: list[str]) -> float:
    """Largest difference, subtracted exactly: the digits are more than a double holds.

    It is inf where a number that was got is not finite.
    """
    if not np.isfinite(got).all():
        return np.inf
    pairs = zip(np.ravel(got).tolist(), digits, strict=True)
    return max((float(abs(Fraction(a) - Fraction(d))) for a, d in pairs), default=0.0)


def _conditions(document: Any, inputs: Any, at: Any) -> dict[str, float]:
    """Largest relative change of each quantity per relative change of the inputs."""
    rng, found = np.random.default_rng(0), dict.fromkeys(at, 1.0)
    labels = document["problem"].get("loss") in ("logistic", "softmax")
    for _ in range(DRAWS):
        moved = {
            k: a if k == "y" and labels else a * (1.0 + STEP * rng.choice([-1.0, 1.0], a.shape))
            for k, a in inputs.items()
        }
        for name, value in kernels.results(document, moved).items():
            size = np.abs(at[name]).max()
            if size:
                change = np.abs(value - at[name]).max() / size / STEP
                found[name] = max(found[name], float(change))
    return found


def summary(rows: list[Error]) -> list[tuple[str, int, Error, Error]]:
    """Per quantity, blocks and terms together: its cases, the worst in ulp, and in units."""
    groups: dict[str, list[Error]] = {}
    for row in rows:
        groups.setdefault(row.quantity.partition("/")[0], []).append(row)
    return [
        (name, len({r.case for r in g}), max(g, key=lambda r: r.ulp), max(g, key=lambda r: r.units))
        for name, g in sorted(groups.items())
    ]
