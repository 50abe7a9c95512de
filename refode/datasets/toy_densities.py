"""The eight toy densities of the plane that papers on normalizing flows fit.

`toy_density` draws from each by its name in `TOY_DENSITIES`. The definitions are those of
[GCB19]'s published code and of its descendants, which [OFLR21] uses too. "swissroll" is
another set than `refode.datasets.swiss_roll`, the two arms that [HR17] classifies.

References
----------
.. [GCB19] W. Grathwohl, R. T. Q. Chen, J. Bettencourt, I. Sutskever, D. Duvenaud, "FFJORD:
   Free-form continuous dynamics for scalable reversible generative models", International
   Conference on Learning Representations (2019), arXiv:1810.01367.
.. [OFLR21] D. Onken, S. Wu Fung, X. Li, L. Ruthotto, "OT-Flow: Fast and accurate continuous
   normalizing flows via optimal transport", AAAI Conference on Artificial Intelligence 35
   (2021) 9223-9232, arXiv:2006.00104.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refode import _validate
from refode._quiet import quietly
from refode.datasets._sampling import Float64, angles, polar, start

__all__ = ["TOY_DENSITIES", "toy_density"]


@quietly()
def toy_density(name: str, n: int, seed: int = 0) -> Float64:
    """Draw from a toy density of the plane, as published with FFJORD.

    U is uniform in [0, 1), I a fair choice of an integer, N a standard normal vector of the
    plane; each is drawn anew wherever it stands.

    "8gaussians"
        (c_I + 0.5 N) / 1.414, the eight c_i equally spaced on the circle of radius 4, one of
        them (4, 0).
    "checkerboard"
        2 (a, b) with a = 4 U - 2 and b = U - 2 I + (floor(a) mod 2), I in {0, 1}: uniform on
        every other one of the squares of side 2 in [-4, 4]^2.
    "swissroll"
        (t (cos t, sin t) + N) / 5 with t = 3 pi (U + 1/2): one spiral, not the two of
        `refode.datasets.swiss_roll`.
    "circles"
        3 (r_I (cos t, sin t) + 0.08 N) with t = 2 pi U and r in (1, 0.5).
    "moons"
        2 (m + 0.1 N) - (1, 0.2), where m is (cos t, sin t) or (1 - cos t, 0.5 - sin t), each
        with probability 1/2, and t = pi U.
    "pinwheel"
        2 (u cos t + v sin t, v cos t - u sin t) with (u, v) = (1 + 0.3 N_1, 0.1 N_2) and
        t = 2 pi I / 5 + 0.25 exp(u): five arms, the further out the more turned.
    "2spirals"
        (-1)^I (t (-cos t, sin t) + 0.5 (U, U)) / 3 + 0.1 N with t = 3 pi sqrt(U).
    "rings"
        3 r_I (cos t, sin t) + 0.08 N with t = 2 pi U and r in (1, 0.75, 0.5, 0.25).

    All samples are independent, as maximum likelihood takes them to be. The published code
    lays circles, moons and rings on regular grids, takes the same number of samples from
    every arm of the pinwheel, and mirrors one arm of the spirals into the other; the density
    of a single sample is the same.

    Parameters
    ----------
    name : str
        One of `TOY_DENSITIES`.
    n : int
        Number of samples.
    seed : int
        Seed of the generator, ``numpy.random.default_rng(seed)``.

    Returns
    -------
    ndarray, shape (n, 2)
        Points, dimensionless.

    Raises
    ------
    TypeError, ValueError
        `name` is no str or unknown (the message lists the known ones), `n` is no int >= 1 or
        `seed` no int >= 0.
    """
    draw = _DRAW[_validate.choice("name", name, TOY_DENSITIES)]
    n, rng = start(n, seed)
    return draw(rng, n)


def _eight_gaussians(rng: np.random.Generator, n: int) -> Float64:
    t = np.linspace(0.0, 2.0 * np.pi, 8, endpoint=False)[rng.integers(8, size=n)]
    return (polar(np.full(n, 4.0), t) + 0.5 * rng.standard_normal((n, 2))) / 1.414


def _checkerboard(rng: np.random.Generator, n: int) -> Float64:
    a = 4.0 * rng.random(n) - 2.0
    b = rng.random(n) - 2.0 * rng.integers(2, size=n) + np.floor(a) % 2.0
    return 2.0 * np.column_stack((a, b))


def _swissroll(rng: np.random.Generator, n: int) -> Float64:
    t = 3.0 * np.pi * (rng.random(n) + 0.5)
    return (polar(t, t) + rng.standard_normal((n, 2))) / 5.0


def _circles(rng: np.random.Generator, n: int) -> Float64:
    r = rng.choice((1.0, 0.5), n)
    return 3.0 * (polar(r, angles(rng, n)) + 0.08 * rng.standard_normal((n, 2)))


def _moons(rng: np.random.Generator, n: int) -> Float64:
    upper = polar(np.ones(n), rng.uniform(0.0, np.pi, n))
    moon = np.where(rng.integers(2, size=(n, 1)) == 0, upper, (1.0, 0.5) - upper)
    return 2.0 * (moon + 0.1 * rng.standard_normal((n, 2))) - (1.0, 0.2)


def _pinwheel(rng: np.random.Generator, n: int) -> Float64:
    u, v = (rng.standard_normal((n, 2)) * (0.3, 0.1) + (1.0, 0.0)).T
    t = 0.4 * np.pi * rng.integers(5, size=n) + 0.25 * np.exp(u)
    cos, sin = np.cos(t), np.sin(t)
    return 2.0 * np.column_stack((u * cos + v * sin, v * cos - u * sin))


def _two_spirals(rng: np.random.Generator, n: int) -> Float64:
    t = 3.0 * np.pi * np.sqrt(rng.random(n))
    arm = polar(t, t) * (-1.0, 1.0) + 0.5 * rng.random((n, 2))
    return rng.choice((-1.0, 1.0), (n, 1)) * arm / 3.0 + 0.1 * rng.standard_normal((n, 2))


def _rings(rng: np.random.Generator, n: int) -> Float64:
    r = 3.0 * rng.choice((1.0, 0.75, 0.5, 0.25), n)
    return polar(r, angles(rng, n)) + 0.08 * rng.standard_normal((n, 2))


_DRAW: dict[str, Callable[[np.random.Generator, int], Float64]] = {
    "8gaussians": _eight_gaussians,
    "checkerboard": _checkerboard,
    "swissroll": _swissroll,
    "circles": _circles,
    "moons": _moons,
    "pinwheel": _pinwheel,
    "2spirals": _two_spirals,
    "rings": _rings,
}

#: The names that `toy_density` knows.
TOY_DENSITIES: tuple[str, ...] = tuple(_DRAW)
