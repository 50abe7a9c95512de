"""A case as an adapter sees it: settings and arrays as plain doubles, its results left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode.reference.files import arrays, without_results

Array = NDArray[np.float64]
Document = dict[str, Any]

#: Numbers among a case's settings, stored as decimals, and arrays of such.
NUMBERS = (
    "tikhonov",
    "smoothness",
    "transport",
    "alpha",
    "terminal",
    "entropy",
    "hjb",
    "hjb_terminal",
    "height",
    "stiffness",
    "gamma",
)
ARRAYS = ("weights", "means", "covariances", "mean", "covariance", "centre")


@dataclass(frozen=True)
class Scheme:
    """Coefficients of a scheme.

    Attributes
    ----------
    name : str
    A : (s, s)
        Strictly lower triangular; empty for symplectic schemes.
    b, c : (s,)
    half : (s,) of int
        Of symplectic schemes: which half of the state the substep moves, by ``b`` times h at
        time ``t + c h``; empty for Runge-Kutta schemes.
    """

    name: str
    A: Array
    b: Array
    c: Array
    half: tuple[int, ...] = ()

    @property
    def symplectic(self) -> bool:
        """Whether it is a partitioned scheme."""
        return bool(self.half)


@dataclass(frozen=True)
class Case:
    """One case, docs/reference.md: what to compute and from which numbers.

    Attributes
    ----------
    name, about : str
    kind : {"ode", "supervised", "flow", "game"}
    field, problem, basis : dict
        As in the document, numbers as floats and matrices as arrays.
    scheme : Scheme
    n_steps : int
    t_span, along : (float, float)
        Interval of theta(t), and the one integrated over, from first to last.
    theta, direction : dict of arrays
        Weights by name, and a direction in them.
    x : (N, d)
    y, x_direction, z_bar, l_bar, path_bar, noise : array or None
        Other inputs, where the case has them.
    document : dict
        The case as it is stored, without its results.
    """

    name: str
    about: str
    kind: str
    field: dict[str, Any]
    problem: dict[str, Any]
    basis: dict[str, Any]
    scheme: Scheme
    n_steps: int
    t_span: tuple[float, float]
    along: tuple[float, float]
    theta: dict[str, Array]
    direction: dict[str, Array]
    x: Array
    y: Array | None = None
    x_direction: Array | None = None
    z_bar: Array | None = None
    l_bar: Array | None = None
    path_bar: Array | None = None
    noise: Array | None = None
    document: Document = dataclasses.field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, document: Document) -> Case:
        """The case of a document, as `refode.reference.case` returns it."""
        given = arrays(document, "inputs")
        blocks: dict[str, dict[str, Array]] = {"theta": {}, "direction": {}}
        alone: dict[str, Any] = {}
        for name, value in given.items():
            part, _, block = name.partition("/")
            if block:
                blocks[part][block] = value
            else:
                alone[name] = value
        start, end = (float(Fraction(t)) for t in document["t_span"])
        first, last = (float(Fraction(t)) for t in document["along"])
        return cls(
            document["name"],
            document["about"],
            document["problem"]["type"],
            _settings(document["field"]),
            _settings(document["problem"]),
            dict(document["basis"]),
            _scheme(document["scheme"]),
            document["n_steps"],
            (start, end),
            (first, last),
            blocks["theta"],
            blocks["direction"],
            **alone,
            document=without_results(document),
        )

    @property
    def h(self) -> float:
        """The step, negative backwards in time."""
        return (self.along[1] - self.along[0]) / self.n_steps

    @property
    def times(self) -> Array:
        """Times of the states, (n_steps+1,)."""
        return np.linspace(self.along[0], self.along[1], self.n_steps + 1)


def _scheme(s: Mapping[str, Any]) -> Scheme:
    def numbers(row: Any) -> Array:
        return np.array([_number(a) for a in row])

    b, c = numbers(s["b"]), numbers(s["c"])
    if "half" in s:
        return Scheme(s["name"], np.zeros((0, 0)), b, c, tuple(s["half"]))
    return Scheme(s["name"], np.array([numbers(row) for row in s["A"]]), b, c)


@lru_cache(maxsize=4096)
def _number(text: str) -> float:
    return float(Fraction(text))


def _settings(value: Any, key: str = "") -> Any:
    """Decimals as floats, vectors and matrices as arrays, all else as it is."""
    if isinstance(value, dict):
        return {k: _settings(v, k) for k, v in value.items()}
    if key in NUMBERS:
        return _number(value)
    if key in ARRAYS:
        return np.array(value, dtype=np.float64)  # text is read as decimals
    if isinstance(value, list):
        return [_settings(v) for v in value]
    return value
