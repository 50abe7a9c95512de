"""Data sets: the synthetic ones of the papers, and a few real ones.

The synthetic classification problems share one form, ``name(n, seed=0, ...) -> (x, y)`` with
points ``(n, d)`` in float64 and labels ``(n,)`` in int64; `names` lists them and `get` finds
one by its name. `digits` and `breast_cancer` return a `Split` and need scikit-learn, the
extra ``data``.

Densities to estimate have no labels: `toy_density` draws from those of the plane that
`TOY_DENSITIES` names, `wine_density` and `breast_cancer_density` (extra ``data``) return
three parts of real data.
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
from refode.datasets.real import (
    Split,
    breast_cancer,
    breast_cancer_density,
    digits,
    wine_density,
)
from refode.datasets.spheres import annuli, anode_1d, g
from refode.datasets.toy_densities import TOY_DENSITIES, toy_density

__all__ = [
    "TOY_DENSITIES",
    "Split",
    "Synthetic",
    "annuli",
    "anode_1d",
    "breast_cancer",
    "breast_cancer_density",
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
    "toy_density",
    "two_moons",
    "wine_density",
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
