"""What the diagnosis works on: wrong arrays beside the right ones, and candidates for a cause."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode.check.sizes import largest

Array = NDArray[np.float64]
Document = dict[str, Any]
Key = tuple[str, str]

#: Wrong factors that are the same number in every case.
FIXED = {"-1": -1.0, "1/2": 0.5, "2": 2.0, "-1/2": -0.5, "-2": -2.0}


@dataclass(frozen=True)
class Cell:
    """A wrong array.

    Attributes
    ----------
    document : dict
        Its case.
    quantity : str
        With its block.
    got, right : array
    tolerance : float
        What rounding explains at the precision asked for.
    siblings : dict of arrays
        All that is right for the case, by quantity and block.
    allowed : dict of float
        What rounding explains, by precision.
    """

    document: Document
    quantity: str
    got: Array
    right: Array
    tolerance: float
    siblings: dict[str, Array] = field(default_factory=dict, repr=False)
    allowed: dict[str, float] = field(default_factory=dict, repr=False)

    @property
    def key(self) -> Key:
        """Case and quantity."""
        return self.document["name"], self.quantity

    @property
    def name(self) -> str:
        """The quantity without its block."""
        return self.quantity.partition("/")[0]

    def met_by(self, other: Array, slack: float = 0.0) -> bool:
        """Whether the wrong array is this other one, which is not the right one.

        ``slack`` is what `other` itself may be off by, relative to its size. At coarse
        precisions an alternative must also be much nearer than what is right.
        """
        if other.shape != self.got.shape or not np.isfinite(other).all():
            return False
        allowed = self.tolerance + slack * largest(other)
        distance = largest(self.got - other)
        apart = largest(self.got - self.right)
        return distance <= allowed and distance <= 0.2 * apart


@dataclass
class Candidate:
    """A possible cause and the cells it explains.

    Attributes
    ----------
    key, sentence : str
    explained : set of (str, str)
    rank : float
        Among causes that explain as much, the lower comes first.
    certain : bool
    against : int
        Right arrays that would have to be wrong.
    """

    key: str
    sentence: str
    explained: set[Key] = field(default_factory=set)
    rank: float = 1.0
    certain: bool = True
    against: int = 0


def numbers(document: Document) -> dict[str, float]:
    """Numbers of a case that wrong factors and constants tend to be made of, by name."""
    shape = document["inputs"]["x"]["shape"]
    problem, scheme = document["problem"], document["scheme"]
    first, last = (float(Fraction(t)) for t in document["along"])
    start = float(Fraction(document["t_span"][0]))
    by_name = {
        "N (the number of samples)": float(shape[0]),
        "d (the dimension)": float(document["field"]["dim"]),
        "the number of steps": float(document["n_steps"]),
        "h (the step)": (last - first) / document["n_steps"],
        "|h|": abs(last - first) / document["n_steps"],
        "the interval's length": abs(last - first),
        "the number of stages": float(len(scheme["b"])),
        "J (the number of coefficients in time)": float(document["basis"]["J"]),
        "t0": start,
        "the time at which integration begins": first,
        "the time at which integration ends": last,
    }
    if "y" in document["inputs"]:
        by_name["the number of targets"] = float(document["inputs"]["y"]["shape"][0])
    if "n_outputs" in problem:
        by_name["the number of outputs"] = float(problem["n_outputs"])
    for name in (
        "alpha",
        "terminal",
        "entropy",
        "hjb",
        "hjb_terminal",
        "transport",
        "tikhonov",
        "smoothness",
    ):
        if name in problem:
            by_name[f"the weight {name}"] = float(Fraction(problem[name]))
    return by_name


def factors(document: Document) -> dict[str, float]:
    """Wrong factors that are likely in this case, by name, the likeliest first."""
    named = dict(FIXED)
    for name, value in numbers(document).items():
        if value and not name.startswith(("t0", "the time")):
            named[name] = value
            named[f"1 / {name}"] = 1.0 / value
            named[f"minus {name}"] = -value
    if {"N (the number of samples)", "d (the dimension)"} <= set(named):
        product = named["N (the number of samples)"] * named["d (the dimension)"]
        named["N d (the number of entries)"], named["1 / (N d)"] = product, 1.0 / product
    return named


def constants(document: Document) -> dict[str, float]:
    """Constants that are likely to be missing or added in this case, by name."""
    d, signed = document["field"]["dim"], {}
    gauss = 0.5 * d * math.log(2.0 * math.pi)
    named = {"d/2 log(2 pi)": gauss, "1/2 log(2 pi)": 0.5 * math.log(2.0 * math.pi), "1": 1.0}
    named |= {k: v for k, v in numbers(document).items() if v}
    n = float(document["inputs"]["x"]["shape"][0])
    if n > 1:
        named["log N"] = math.log(n)
    for name, value in named.items():
        signed[f"plus {name}"], signed[f"minus {name}"] = value, -value
    return signed
