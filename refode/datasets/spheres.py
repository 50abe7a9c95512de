"""Functions that no unaugmented neural ODE represents [DDT19], and samples of them.

References
----------
.. [DDT19] E. Dupont, A. Doucet, Y. W. Teh, "Augmented neural ODEs", Advances in Neural
   Information Processing Systems 32 (2019), arXiv:1904.01681.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refode import _validate
from refode._quiet import quietly
from refode.datasets._sampling import Float64, Labelled, halves, label, start

__all__ = ["annuli", "anode_1d", "g"]


@quietly()
def annuli(
    n: int, seed: int = 0, *, dim: int = 2, r1: float = 0.5, r2: float = 1.0, r3: float = 1.5
) -> Labelled:
    """Draw the concentric spheres of [DDT19]: a ball (0) within a spherical shell (1).

    Class 0 is uniform in the ball \\|x\\| <= r1, class 1 uniform in the shell
    r2 <= \\|x\\| <= r3, so that ``g(x, r1, r2, r3) == 2 * y - 1`` for every sample. In one
    dimension the ball is an interval, and the shell an interval on either side.

    The radii are those of the published experiments. The published code draws the shell's
    radius as r2 + (r3 - r2) U**(1/dim), which is only nearly uniform; here it is
    (r2**dim + U (r3**dim - r2**dim))**(1/dim).

    Parameters
    ----------
    n : int
        Number of samples.
    seed : int
        Seed of the generator.
    dim : int
        Dimension of the space.
    r1, r2, r3 : float
        Radius of the ball, and inner and outer radius of the shell; 0 < r1 < r2 < r3.

    Returns
    -------
    x : ndarray, shape (n, d)
        Points.
    y : ndarray of int64, shape (n,)
        Labels 0 and 1.

    Raises
    ------
    TypeError, ValueError
        `n` or `dim` is no int >= 1, `seed` no int >= 0, or the radii are no finite numbers
        with 0 < r1 < r2 < r3.
    """
    n, rng = start(n, seed)
    dim = _validate.positive_int("dim", dim)
    _validate.affordable("dim", dim, 32 * n * dim)
    r1, r2, r3 = _ordered(r1, r2, r3)
    n0, n1 = halves(n)
    direction = rng.standard_normal((n, dim))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    # scaled by r3, lest r3**dim overflows; the sum of squares in a norm may round outwards
    # by dim ulp, so the radii stay that far inside
    inner = r1 * rng.random(n0) ** (1.0 / dim)
    hole = (r2 / r3) ** dim
    outer = r3 * (hole + (1.0 - hole) * rng.random(n1)) ** (1.0 / dim)
    slack = (dim + 8) * np.finfo(np.float64).eps
    np.minimum(inner, r1 * (1.0 - slack), out=inner)
    np.clip(outer, r2 * (1.0 + slack), r3 * (1.0 - slack), out=outer)
    x = direction * np.concatenate((inner, outer))[:, None]
    return label(rng, (x[:n0], x[n0:]))


@quietly()
def g(x: Any, r1: float = 0.5, r2: float = 1.0, r3: float = 1.5) -> Float64:
    """Evaluate the function g of [DDT19], -1 on a ball and +1 on a shell around it.

    g(x) = -1 where \\|x\\| <= r1 and +1 where r2 <= \\|x\\| <= r3, with 0 < r1 < r2 < r3. It
    is not defined elsewhere, and NaN stands there.

    Parameters
    ----------
    x : array_like, shape (N, d)
        Points, in any dimension.
    r1, r2, r3 : float
        Radius of the ball, and inner and outer radius of the shell.

    Returns
    -------
    ndarray, shape (N,)
        -1, +1 or NaN.

    Raises
    ------
    TypeError, ValueError
        `x` is no finite real array of two dimensions with entries, or the radii are no
        finite numbers with 0 < r1 < r2 < r3.
    """
    x = _validate.real_array("x", x, ("N", "dim"))
    r1, r2, r3 = _ordered(r1, r2, r3)
    r = np.linalg.norm(x, axis=1)
    return np.where(r <= r1, -1.0, np.where((r >= r2) & (r <= r3), 1.0, np.nan))


def anode_1d() -> tuple[Float64, Float64]:
    """Return the two points of g_1d in [DDT19], x = -1 -> +1 and x = +1 -> -1.

    A flow of the line keeps the order of points, and this target reverses it: no neural ODE
    in one dimension reaches it, with however many steps of whatever field. With one
    coordinate of zeros appended the points can turn around one another.

    Returns
    -------
    x : ndarray, shape (2, 1)
        The points.
    y : ndarray, shape (2, 1)
        The regression target, g_1d(x) = -x.
    """
    x = np.array([[-1.0], [1.0]])
    return x, -x


def _ordered(r1: float, r2: float, r3: float) -> tuple[float, float, float]:
    r1, r2, r3 = (
        _validate.real_number(name, r) for name, r in (("r1", r1), ("r2", r2), ("r3", r3))
    )
    if not 0.0 < r1 < r2 < r3:
        raise ValueError(f"r1, r2, r3: got {r1}, {r2}, {r3}, wanted 0 < r1 < r2 < r3")
    return r1, r2, r3
