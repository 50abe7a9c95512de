"""Classification problems in the plane.

Each generator returns ``(x, y)``: points ``(n, 2)`` in float64 and labels ``(n,)`` in int64,
in shuffled order, the classes as even as possible (class 0 takes the odd sample), everything
drawn from ``numpy.random.default_rng(seed)``. All quantities are dimensionless.

References
----------
.. [HR17] E. Haber and L. Ruthotto, "Stable architectures for deep neural networks",
   Inverse Problems 34 (2018) 014004, arXiv:1705.03341.
.. [BCEOS19] M. Benning, E. Celledoni, M. J. Ehrhardt, B. Owren, C.-B. Schönlieb, "Deep
   learning as optimal control problems: models and numerical methods", Journal of
   Computational Dynamics 6 (2019) 171-198, arXiv:1904.05657, and its published code.
"""

from __future__ import annotations

import numpy as np

from refode import _validate
from refode._quiet import quietly
from refode.datasets._sampling import (
    SPACINGS,
    Float64,
    Labelled,
    along,
    angles,
    halves,
    label,
    polar,
    start,
)

__all__ = ["donut1d", "donut2d", "ellipses", "spiral", "squares", "swiss_roll", "two_moons"]

# [BCEOS19] gives both the disc and the ring of its donuts this standard deviation, and
# centres the ring on this radius.
_DONUT_SIGMA = 0.1
_DONUT_RADIUS = 0.5


@quietly()
def ellipses(n: int, seed: int = 0, *, gap: float = 0.0) -> Labelled:
    """Draw an ellipse (0) and the elliptic ring around it (1), as in [HR17].

    The points are ``(r cos phi, 0.4 r sin phi)`` with phi uniform in [0, 2 pi), and r
    uniform in [0, 1) for class 0, in [1 + gap, 2 + gap) for class 1. So the label is a
    function of the position: it is 1 where ``x1**2 + (x2 / 0.4)**2 >= 1``.

    The region of class 1 surrounds that of class 0. A flow of the plane is a homeomorphism,
    so it cannot make the two linearly separable; with one coordinate of zeros appended it
    can (Figure 1).

    Parameters
    ----------
    n : int
        Number of samples.
    seed : int
        Seed of the generator.
    gap : float
        Distance in r between the classes; 0 as published, where they touch.

    Returns
    -------
    x : ndarray, shape (n, 2)
        Points.
    y : ndarray of int64, shape (n,)
        Labels 0 and 1.

    Raises
    ------
    TypeError, ValueError
        `n` is no int >= 1, `seed` no int >= 0 or `gap` no finite number >= 0.
    """
    n, rng = start(n, seed)
    gap = _validate.nonnegative("gap", gap)
    n0, n1 = halves(n)
    r = np.concatenate((rng.random(n0), 1.0 + gap + rng.random(n1)))
    x = polar(r, angles(rng, n)) * (1.0, 0.4)
    return label(rng, (x[:n0], x[n0:]))


@quietly()
def swiss_roll(n: int, seed: int = 0, *, noise: float = 0.0, spacing: str = "random") -> Labelled:
    """Draw two parallel spiral arms, the Swiss roll of [HR17].

    With t in [0, 1] and theta = 4 pi t the arms are ``t (cos theta, sin theta)`` (0) and
    ``(t + 0.2) (cos theta, sin theta)`` (1): two turns, and nowhere closer than 0.2 along
    a ray from the origin.

    [HR17] takes t from a regular grid, 513 points an arm, and tests on every other one.
    ``spacing="regular"`` gives such grids. Without noise they hold the same points for
    every seed, so a test set from another seed would be the training set again: hence
    random t by default.

    Parameters
    ----------
    n : int
        Number of samples.
    seed : int
        Seed of the generator.
    noise : float
        Standard deviation of normal noise added to both coordinates.
    spacing : {"random", "regular"}
        Whether t is uniformly random or equally spaced, ends included.

    Returns
    -------
    x : ndarray, shape (n, 2)
        Points.
    y : ndarray of int64, shape (n,)
        Labels 0 and 1.

    Raises
    ------
    TypeError, ValueError
        `n` is no int >= 1, `seed` no int >= 0, `noise` no finite number >= 0, or
        `spacing` unknown.
    """
    n, rng = start(n, seed)
    noise = _validate.nonnegative("noise", noise)
    spacing = _validate.choice("spacing", spacing, SPACINGS)
    arms = []
    for size, offset in zip(halves(n), (0.0, 0.2), strict=True):
        t = along(rng, size, spacing)
        arms.append(polar(t + offset, 4.0 * np.pi * t))
    return label(rng, arms, noise)


@quietly()
def donut1d(n: int, seed: int = 0, *, noise: float = 0.1) -> Labelled:
    """Draw the 1-D donut of [BCEOS19]: a middle (1) between two ends (0), along a line.

    The first coordinate has the density exp(-z**2 / (2 sigma**2)) for label 1 and
    exp(-(|z| - 0.5)**2 / (2 sigma**2)) on [-1, 1] for label 0, up to constants and with
    sigma = 0.1; the second is 0. Then comes the noise, so the classes overlap a little.

    The published code draws from these densities on a grid of 100 cells, and gives label 1
    only a third of the samples; here they are continuous and the classes even.

    Parameters
    ----------
    n : int
        Number of samples.
    seed : int
        Seed of the generator.
    noise : float
        Standard deviation of normal noise added to both coordinates; 0.1 as published.

    Returns
    -------
    x : ndarray, shape (n, 2)
        Points.
    y : ndarray of int64, shape (n,)
        Labels 0 and 1.

    Raises
    ------
    TypeError, ValueError
        `n` is no int >= 1, `seed` no int >= 0 or `noise` no finite number >= 0.
    """
    n, rng = start(n, seed)
    noise = _validate.nonnegative("noise", noise)
    n0, n1 = halves(n)
    ends = _ring_radii(rng, n0, power=0) * rng.choice((-1.0, 1.0), n0)
    middle = _DONUT_SIGMA * rng.standard_normal(n1)
    x = np.column_stack((np.concatenate((ends, middle)), np.zeros(n)))
    return label(rng, (x[:n0], x[n0:]), noise)


@quietly()
def donut2d(n: int, seed: int = 0, *, noise: float = 0.1) -> Labelled:
    """Draw the 2-D donut of [BCEOS19]: a disc (1) within a ring (0).

    The density of the plane is exp(-r**2 / (2 sigma**2)) for label 1 and
    exp(-(r - 0.5)**2 / (2 sigma**2)) on r <= 1 for label 0, up to constants and with
    sigma = 0.1. Then comes the noise, so the classes overlap a little.

    The published code draws from these densities on a grid of 100 by 100 cells of
    [-1, 1]**2; here they are continuous, and the ring ends at r = 1, five sigma out.

    Parameters
    ----------
    n : int
        Number of samples.
    seed : int
        Seed of the generator.
    noise : float
        Standard deviation of normal noise added to both coordinates; 0.1 as published.

    Returns
    -------
    x : ndarray, shape (n, 2)
        Points.
    y : ndarray of int64, shape (n,)
        Labels 0 and 1.

    Raises
    ------
    TypeError, ValueError
        `n` is no int >= 1, `seed` no int >= 0 or `noise` no finite number >= 0.
    """
    n, rng = start(n, seed)
    noise = _validate.nonnegative("noise", noise)
    n0, n1 = halves(n)
    ring = polar(_ring_radii(rng, n0, power=1), angles(rng, n0))
    disc = _DONUT_SIGMA * rng.standard_normal((n1, 2))
    return label(rng, (ring, disc), noise)


def _ring_radii(rng: np.random.Generator, n: int, power: int) -> Float64:
    """Draw radii in [0, 1] with density ~ r**power exp(-(r - radius)**2 / (2 sigma**2)).

    By rejection from the normal density: a proposal r in [0, 1] is kept with probability
    r**power, which is at most 1 there. `power` is the dimension less one, since a ring of
    the plane has area proportional to r.
    """
    kept = np.empty(0)
    while len(kept) < n:
        r = rng.normal(_DONUT_RADIUS, _DONUT_SIGMA, 4 * n)
        keep = (r >= 0.0) & (r <= 1.0) & (rng.random(4 * n) < r**power)
        kept = np.concatenate((kept, r[keep]))
    return kept[:n]


@quietly()
def squares(n: int, seed: int = 0, *, noise: float = 0.1) -> Labelled:
    """Draw the four squares of [BCEOS19], a 2 by 2 checkerboard.

    The points are uniform in [-0.7, 0.7]**2, and the label is 1 where x1 x2 > 0. Then comes
    the noise, so the classes overlap along the axes.

    The published code draws the points first and takes the classes as they come; here each
    class is uniform on its two squares, and the classes are even.

    Parameters
    ----------
    n : int
        Number of samples.
    seed : int
        Seed of the generator.
    noise : float
        Standard deviation of normal noise added to both coordinates; 0.1 as published.

    Returns
    -------
    x : ndarray, shape (n, 2)
        Points.
    y : ndarray of int64, shape (n,)
        Labels 0 and 1.

    Raises
    ------
    TypeError, ValueError
        `n` is no int >= 1, `seed` no int >= 0 or `noise` no finite number >= 0.
    """
    n, rng = start(n, seed)
    noise = _validate.nonnegative("noise", noise)
    n0, n1 = halves(n)
    # 1 - U lies in (0, 1], so that no point lies on an axis, where the label would be 0
    x = 0.7 * (1.0 - rng.random((n, 2)))
    sign = rng.choice((-1.0, 1.0), n)
    x[:, 0] *= sign
    x[:, 1] *= np.where(np.arange(n) < n0, -sign, sign)
    return label(rng, (x[:n0], x[n0:]), noise)


@quietly()
def spiral(n: int, seed: int = 0, *, noise: float = 0.05, spacing: str = "regular") -> Labelled:
    """Draw the two-arm spiral of [BCEOS19].

    With t in [0, 1], r = 0.1 + 0.9 t and a = 0.1 + (2 pi - 0.1) t the arms are
    ``r (cos a, sin a)`` (0) and its reflection ``-r (cos a, sin a)`` (1): one turn. Then
    comes the noise.

    Parameters
    ----------
    n : int
        Number of samples.
    seed : int
        Seed of the generator.
    noise : float
        Standard deviation of normal noise added to both coordinates; 0.05 as published.
    spacing : {"regular", "random"}
        Whether t is equally spaced, ends included, as published, or uniformly random.

    Returns
    -------
    x : ndarray, shape (n, 2)
        Points.
    y : ndarray of int64, shape (n,)
        Labels 0 and 1.

    Raises
    ------
    TypeError, ValueError
        `n` is no int >= 1, `seed` no int >= 0, `noise` no finite number >= 0, or
        `spacing` unknown.

    Examples
    --------
    >>> x, y = spiral(100, seed=0)
    >>> x.shape, int(y.sum())
    ((100, 2), 50)
    """
    n, rng = start(n, seed)
    noise = _validate.nonnegative("noise", noise)
    spacing = _validate.choice("spacing", spacing, SPACINGS)
    arms = []
    for size, side in zip(halves(n), (1.0, -1.0), strict=True):
        t = along(rng, size, spacing)
        arms.append(side * polar(0.1 + 0.9 * t, 0.1 + (2.0 * np.pi - 0.1) * t))
    return label(rng, arms, noise)


@quietly()
def two_moons(n: int, seed: int = 0, *, noise: float = 0.1) -> Labelled:
    """Draw two interleaving half circles.

    With t uniform in [0, pi] the moons are ``(cos t, sin t)`` (0) and
    ``(1 - cos t, 1/2 - sin t)`` (1), the common definition, to which noise is added.

    Parameters
    ----------
    n : int
        Number of samples.
    seed : int
        Seed of the generator.
    noise : float
        Standard deviation of normal noise added to both coordinates.

    Returns
    -------
    x : ndarray, shape (n, 2)
        Points.
    y : ndarray of int64, shape (n,)
        Labels 0 and 1.

    Raises
    ------
    TypeError, ValueError
        `n` is no int >= 1, `seed` no int >= 0 or `noise` no finite number >= 0.

    Examples
    --------
    >>> x, y = two_moons(200, seed=0)
    >>> x.shape, sorted(set(y.tolist()))
    ((200, 2), [0, 1])
    """
    n, rng = start(n, seed)
    noise = _validate.nonnegative("noise", noise)
    n0, n1 = halves(n)
    upper = polar(np.ones(n0), rng.uniform(0.0, np.pi, n0))
    lower = (1.0, 0.5) - polar(np.ones(n1), rng.uniform(0.0, np.pi, n1))
    return label(rng, (upper, lower), noise)
