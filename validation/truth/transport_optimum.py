"""The transport game of [ROL+20]: its optimum between two bounds, (D103)-(D109).

The game is the infimum over densities rho of alpha/2 W2^2(rho_0, rho) + beta KL(rho || rho_Y):
eight Gaussians on a circle go to one in its middle, alpha = 2, beta = 5. No closed form is known.
For every smooth convex u, stopping at the gradient of u costs at least the optimum, and the
Legendre transform of u gives a number that the optimum cannot be below; the two differ by Jensen's
inequality alone. u is a tensor product of splines along the radius and cosines around it, found by
Newton's method, and both bounds are integrals over the plane (transport_bounds.py).

Checks: both bounds close in on one number as the grid is refined; a finer quadrature does not move
them; the lower one is found again by discrete Legendre transforms on Cartesian grids, without any
derivative of u; between two Gaussians they enclose the closed form. Controls: a convex u that
nobody has optimised gives bounds that are valid and far apart, and so does the best u scaled a
little.
"""

from __future__ import annotations

import math
import sys
import time
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp
from threadpoolctl import threadpool_limits

from refode.closed_forms import bures_distance2, relaxed_transport
from refode.densities import Gaussian
from refode.verify import observed_order
from validation import common
from validation.truth.transport_bounds import (
    Bounds,
    Points,
    Potential,
    Space,
    TransportGame,
    bounds,
    minimise,
)
from validation.truth.transport_pictures import draw

Array = np.ndarray

alone = threadpool_limits.wrap(limits=1, user_api="blas")  # small products: threads only wait

# The optimum of the game, in every dimension d >= 2; `main` recomputes it
LOWER, UPPER = 10.685978, 10.685981

GRIDS = ((14, 5), (16, 6), (20, 8), (24, 10), (32, 16), (40, 20))  # intervals, cosines
QUICK_GRIDS = GRIDS[:4]
GAUSSIAN_GRIDS = ((16, 6), (20, 8))
LEGENDRE_GRIDS = (80, 160, 320, 640)  # points a side
HALF_SIDES = 9.0, 5.0  # of the squares of x and of y

GAP = 2e-7  # of the optimum, on the finest grid; --quick: QUICK_GAP
QUICK_GAP = 1e-6
QUADRATURE = 1e-9  # of the optimum: change by twice the angles and ten Gauss points for six
MASS = 1e-12  # of rho_0
AGAINST_CLOSED_FORM = 1e-6  # of the optimum between Gaussians
ORDER, ORDER_TOLERANCE, N_JUDGED = 2.0, 0.1, 2
LEGENDRE = 1e-5  # of the optimum: extrapolated, against the lower bound
CONTROL = 1e-3  # of the optimum: distance of the bounds of a u that is not the best


def eight_gaussians() -> tuple[TransportGame, Space]:
    """The published game. Within the inner radius lies 1e-8 of the mass; u is nearly flat there."""
    angles = np.arange(8) * math.pi / 4.0
    means, var = 4.0 * np.stack([np.cos(angles), np.sin(angles)], axis=1), np.full(2, 0.3)
    game = TransportGame(means, var, np.zeros(2), var, 2.0, 5.0, 8, np.zeros(2))
    return game, Space(1.0, 9.0, 3.4, 0.25, 16.0)


def two_gaussians() -> tuple[TransportGame, Space, float]:
    """A game stretched by 1.55 and 0.50 and displaced, and its optimum in closed form."""
    mean, var = np.array([1.0, 0.0]), np.array([0.3, 1.1])
    to, to_var = np.array([-1.2, 0.0]), np.array([0.8, 0.25])
    game = TransportGame(mean[None], var, to, to_var, 2.0, 5.0, 1, mean)
    source, target = Gaussian(mean, np.diag(var)), Gaussian(to, np.diag(to_var))
    end = relaxed_transport(source, target, game.alpha, game.beta)
    ratio = np.diag(end.covariance) / to_var
    divergence = 0.5 * np.sum(ratio - 1.0 - np.log(ratio) + (end.mean - to) ** 2 / to_var)
    best = 0.5 * game.alpha * bures_distance2(source, end) + game.beta * divergence
    return game, Space(0.0, 14.0, 0.0, 1.0, 22.0), float(best)


def optimum(grid: tuple[int, int] | None = None) -> tuple[float, float]:
    """Bounds of the optimum of the published game, any d >= 2: the stored ones, or computed.

    (16, 6) takes half a second and encloses it to 2e-5.
    """
    if grid is None:
        return LOWER, UPPER
    found = study(*eight_gaussians(), grid).bounds
    return found.lower, found.upper


class Study(NamedTuple):
    """What a grid gives: u, its bounds by a fine quadrature, and how far a coarser one is off."""

    of: Potential
    c: Array
    bounds: Bounds
    quadrature: float
    mass: float
    steps: int
    seconds: float


@alone
def study(game: TransportGame, space: Space, grid: tuple[int, int]) -> Study:
    """Solve on a grid."""
    begin = time.perf_counter()
    of = Potential(game, space, grid)
    at, fine = Points(of), Points(of, n_gauss=10, finer=2)
    c, steps = minimise(at)
    found, rough = bounds(fine, c), bounds(at, c)
    change = max(abs(rough.lower - found.lower), abs(rough.upper - found.upper)) / found.lower
    mass = abs(float(fine.mass.sum()) - 1.0)
    return Study(of, c, found, change, mass, steps, time.perf_counter() - begin)


# --- the lower bound once more -------------------------------------------------------------


def by_legendre(of: Potential, c: Array, n: int) -> float:
    """(D104) with u* the largest of x.y - u(x) over the points x of a grid: no derivatives."""
    game = of.game
    (x, h), (y, k) = ((_centres(side, n), 2.0 * side / n) for side in HALF_SIDES)
    half = x[n // 2 :]
    points = np.stack([g.ravel() for g in np.meshgrid(half, half, indexing="ij")])
    polar = np.hypot(*points)[:, None], np.arctan2(points[1], points[0])[:, None]
    u = of.fields(c, *polar).u.reshape(n // 2, n // 2)
    u = np.block([[u[::-1, ::-1], u[::-1]], [u[:, ::-1], u]])
    inner = np.stack([np.max(x[:, None] * y - row[:, None], axis=0) for row in u])
    star = np.stack([np.max(x[:, None] * yi + inner, axis=0) for yi in y])
    x_squared, y_squared = x[:, None] ** 2 + x**2, y[:, None] ** 2 + y**2
    xs, ys = (np.stack(np.meshgrid(z, z, indexing="ij")) for z in (x, y))
    early = game.alpha * (0.5 * x_squared - u)
    late = game.alpha * (star - 0.5 * y_squared)
    log_mass = logsumexp(late / game.beta + game.log_target(ys)) + 2.0 * math.log(k)
    return float(np.sum(np.exp(game.log_source(xs)) * early) * h * h - game.beta * log_mass)


def _centres(side: float, n: int) -> Array:
    return side * (2.0 * np.arange(n) + 1.0 - n) / n


# --- checks --------------------------------------------------------------------------------


def show(title: str, studies: list[Study], best: float | None = None) -> None:
    """The table of a game."""
    columns = (
        "intervals x cosines",
        "unknowns",
        "steps",
        "s",
        "lower",
        "upper",
        "gap",
        "quadrature",
        "std log R",
    )
    rows = [
        (
            f"{s.of.grid[0]} x {s.of.grid[1]}",
            str(s.of.n_unknowns),
            str(s.steps),
            f"{s.seconds:.1f}",
            f"{s.bounds.lower:.8f}",
            f"{s.bounds.upper:.8f}",
            f"{s.bounds.gap:.1e}",
            f"{s.quadrature:.0e}",
            f"{s.bounds.spread:.1e}",
        )
        for s in studies
    ]
    title = title if best is None else f"{title}, closed form {best:.8f}"
    common.print_table(title, columns, rows)


def judge(report: common.Report, name: str, studies: list[Study], gap: float) -> None:
    """What holds for either game."""
    finest = studies[-1]
    report.at_most(f"{name}: gap on the finest grid", finest.bounds.gap, gap)
    gaps = [s.bounds.gap for s in studies]
    report.at_most(
        f"{name}: gap over the one on the grid before, largest",
        max(b / a for a, b in zip(gaps, gaps[1:], strict=False)),
        1.0,
    )
    highest, lowest = max(s.bounds.lower for s in studies), min(s.bounds.upper for s in studies)
    report.at_most(f"{name}: highest lower bound less lowest upper", highest - lowest, 0.0)
    report.at_most(f"{name}: change by a finer quadrature", finest.quadrature, QUADRATURE)
    report.at_most(f"{name}: mass of rho_0 - 1", max(s.mass for s in studies), MASS)
    report.at_most(
        f"{name}: points where u is not convex", sum(s.bounds.folded for s in studies), 0
    )


def judge_stored(report: common.Report, found: Bounds, quick: bool) -> None:
    """The finest grid proves the stored bounds; a coarser one must not contradict them."""
    below, above = (found.upper, found.lower) if quick else (found.lower, found.upper)
    of = ("upper", "lower") if quick else ("lower", "upper")
    report.at_most(f"stored lower bound less the computed {of[0]} one", LOWER - below, 0.0)
    report.at_least(f"stored upper bound less the computed {of[1]} one", UPPER - above, 0.0)


def judge_legendre(report: common.Report, finest: Study, grids: tuple[int, ...]) -> list[float]:
    """The discrete Legendre transform is of order 2, and its limit the lower bound."""
    values = [by_legendre(finest.of, finest.c, n) for n in grids]
    errors = [abs(v - finest.bounds.lower) for v in values]
    slopes = observed_order(errors, [1.0 / n for n in grids]).slopes
    limit = values[-1] + (values[-1] - values[-2]) / 3.0
    common.print_table(
        "The lower bound by discrete Legendre transforms",
        ("points", "value", "error", "order"),
        [
            (f"{n} x {n}", f"{v:.7f}", f"{e:.1e}", f"{slopes[i - 1]:.3f}" if i else "-")
            for i, (n, v, e) in enumerate(zip(grids, values, errors, strict=True))
        ],
    )
    for slope, n in zip(slopes[-N_JUDGED:], grids[-N_JUDGED:], strict=True):
        report.within(
            f"discrete Legendre transform: order, {n} points", float(slope), ORDER, ORDER_TOLERANCE
        )
    report.at_most(
        "discrete Legendre transform, extrapolated, against the lower bound",
        abs(limit / finest.bounds.lower - 1.0),
        LEGENDRE,
    )
    return errors


def judge_controls(report: common.Report, finest: Study) -> None:
    """Other potentials: their bounds hold, and lie apart."""
    fine = Points(finest.of, n_gauss=10, finer=2)
    for what, factor in (("no splines", 0.0), ("splines scaled by 0.9", 0.9)):
        other = bounds(fine, factor * finest.c)
        report.at_least(f"{what}: gap", other.gap, CONTROL)
        report.at_most(
            f"{what}: lower bound less the best upper", other.lower - finest.bounds.upper, 0.0
        )
        report.at_least(
            f"{what}: upper bound less the best lower", other.upper - finest.bounds.lower, 0.0
        )


@alone
def main() -> int:
    """Solve, compare, draw."""
    args = common.arguments(__doc__, "transport_optimum").parse_args()
    report = common.Report(args.out)
    game, space, best = two_gaussians()
    known = [study(game, space, grid) for grid in GAUSSIAN_GRIDS]
    show("Two Gaussians", known, best)
    judge(report, "Gaussians", known, AGAINST_CLOSED_FORM)
    for s in known:
        off = max(s.bounds.lower - best, best - s.bounds.upper)
        report.at_most(f"Gaussians, {s.of.grid}: closed form outside the bounds by", off, 0.0)

    studies = []
    for grid in QUICK_GRIDS if args.quick else GRIDS:
        studies.append(study(*eight_gaussians(), grid))
        print(f"  {grid}: {studies[-1].seconds:.1f} s", flush=True)
    finest = studies[-1]
    show("Eight Gaussians", studies)
    judge(report, "eight", studies, QUICK_GAP if args.quick else GAP)
    judge_stored(report, finest.bounds, args.quick)
    errors = judge_legendre(report, finest, LEGENDRE_GRIDS[: -1 if args.quick else None])
    judge_controls(report, finest)
    report.json(
        "transport_optimum.json",
        {
            "stored": [LOWER, UPPER],
            "closed_form": best,
            **{
                name: [
                    {
                        "grid": s.of.grid,
                        "steps": s.steps,
                        "seconds": s.seconds,
                        "quadrature": s.quadrature,
                        **s.bounds._asdict(),
                    }
                    for s in group
                ]
                for name, group in (("gaussians", known), ("eight", studies))
            },
        },
    )
    spacings = [2.0 * HALF_SIDES[0] / k for k in LEGENDRE_GRIDS[: len(errors)]]
    report.files += draw(studies, spacings, errors, args.out)
    return report.finish()


# --- picture -------------------------------------------------------------------------------


if __name__ == "__main__":
    sys.exit(main())
