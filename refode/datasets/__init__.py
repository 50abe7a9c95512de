"""Data sets: the synthetic ones of the papers, and two real ones.

The synthetic classification problems share one form, ``name(n, seed=0, ...) -> (x, y)`` with
points ``(n, d)`` in float64 and labels ``(n,)`` in int64; `names` lists them and `get` finds
one by its name. `digits` and `breast_cancer` return a `Split` and need scikit-learn, the
extra ``data``.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from refode import _validate
from refode.datasets.planar import (
    donut1d,
    donut2d,
    ellipses,
    spiral,
    squares,
    swiss_roll,
    two_moons,
)
from refode.datasets.real import Split, breast_cancer, digits
from refode.datasets.spheres import annuli, anode_1d, g

__all__ = [
    "Split",
    "Synthetic",
    "annuli",
    "anode_1d",
    "breast_cancer",
    "digits",
    "donut1d",
    "donut2d",
    "ellipses",
    "g",
    "get",
    "names",
    "spiral",
    "squares",
    "swiss_roll",
    "two_moons",
]


class Synthetic(Protocol):
    """What `get` returns: a generator of a synthetic classification problem."""

    def __call__(
        self, n: int, seed: int = 0, **options: Any
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Draw `n` samples ``(n, d)`` and their labels ``(n,)``."""
        ...


_SYNTHETIC: dict[str, Any] = {
    f.__name__: f
    for f in (annuli, donut1d, donut2d, ellipses, spiral, squares, swiss_roll, two_moons)
}


def names() -> tuple[str, ...]:
    """Return the names of the synthetic classification problems."""
    return tuple(_SYNTHETIC)


def get(name: str) -> Synthetic:
    """Return the generator of the synthetic classification problem `name`.

    Raises
    ------
    TypeError
        `name` is no str.
    ValueError
        `name` is unknown; the message lists the known ones.
    """
    generator: Synthetic = _SYNTHETIC[_validate.choice("name", name, _SYNTHETIC)]
    return generator
