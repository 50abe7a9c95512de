"""Bounds of relaxed transport in the plane from one convex function, (D103)-(D108).

`bounds` takes a potential u to a lower and an upper bound of the infimum over densities rho of
alpha/2 W2^2(rho_0, rho) + beta KL(rho || rho_Y); `minimise` finds a u whose bounds are close. Used
by transport_optimum.py; it shares no code with refode.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy.interpolate import BSpline
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit, logsumexp, spence

Array = np.ndarray

DEGREE = 5
BARRIERS = tuple(10.0**-k for k in range(3, 9))  # weights of -log det beside rho_0, in turn
MOST_STEPS = 60  # with each of them


class TransportGame(NamedTuple):
    """A mixture of equal Gaussians, a Gaussian target, diagonal covariances, and the weights.

    Everything is unchanged by `fold` rotations about the centre and by a reflection at the first
    axis through it.
    """

    means: Array  # (k, 2)
    variances: Array  # (2,)
    target_mean: Array  # (2,)
    target_variances: Array  # (2,)
    alpha: float
    beta: float
    fold: int
    centre: Array  # (2,)

    def log_source(self, x: Array) -> Array:
        """log rho_0 at x (2, ...)."""
        each = [_log_normal(x, mean, self.variances) for mean in self.means]
        return logsumexp(each, axis=0) - math.log(len(each))

    def log_target(self, y: Array) -> Array:
        """log rho_Y at y (2, ...)."""
        return _log_normal(y, self.target_mean, self.target_variances)


def _log_normal(x: Array, mean: Array, variances: Array) -> Array:
    square = sum((x[i] - mean[i]) ** 2 / variances[i] for i in range(2))
    return -0.5 * square - math.log(2.0 * math.pi) - 0.5 * math.log(variances[0] * variances[1])


class Space(NamedTuple):
    """u = base + splines between two radii; base'(r) goes from 0 to r - shift around r = shift."""

    inner: float
    outer: float
    shift: float
    width: float
    far: float  # integrals end there


# --- the potential u -----------------------------------------------------------------------


class Fields(NamedTuple):
    """u with its first and second derivatives along the radius and across it."""

    u: Array
    along: Array
    across: Array
    aa: Array
    ac: Array
    cc: Array


class Potential:
    """The space of u: which spline goes with which cosine, and their values."""

    def __init__(self, game: TransportGame, space: Space, grid: tuple[int, int]) -> None:
        self.game, self.space, self.grid = game, space, grid
        n, n_modes = grid
        self.breaks = np.linspace(space.inner, space.outer, n + 1)
        knots = np.r_[[space.inner] * DEGREE, self.breaks, [space.outer] * DEGREE]
        # spline i starts like (r - inner)^i; leaving out the last ones joins to the base with
        # DEGREE - 1 derivatives. The first `tied` go together: 1 at the inner end, and flat there
        tied = DEGREE if space.inner > 0.0 else 2
        first = DEGREE if space.inner > 0.0 else 1
        eye = np.eye(n + DEGREE)[:, :n]
        self.splines = BSpline(knots, np.c_[eye[:, :tied].sum(axis=1), eye[:, first:]], DEGREE)
        self.frequencies = game.fold * np.arange(n_modes + 1)
        powers = np.r_[0, np.arange(first, n)]
        start = (
            np.minimum(self.frequencies, DEGREE)
            if space.inner == 0.0
            else np.full_like(self.frequencies, DEGREE)
        )
        self.allowed = powers[:, None] >= start  # else u has no second derivatives at the centre
        self.allowed[:, 0] = (powers == 0) | (powers >= tied)
        self.allowed[0, 1:] = False
        self.n_unknowns = int(self.allowed.sum())
        self.index = np.full(self.allowed.shape, -1)
        self.index[self.allowed] = np.arange(self.n_unknowns)

    def radial(self, r: Array) -> list[Array]:
        """Splines and their first two derivatives at r (G,): three (G, splines)."""
        s, between = self.space, (r > self.space.inner) & (r < self.space.outer)
        held = np.clip(r, s.inner, s.outer)
        values = [self.splines(held) * (r < s.outer)[:, None]]
        values += [self.splines(held, nu) * between[:, None] for nu in (1, 2)]
        return values

    def angular(self, theta: Array) -> list[Array]:
        """Cosines and their first two derivatives at theta (A,): three (A, cosines)."""
        k = self.frequencies
        c, s = np.cos(np.outer(theta, k)), np.sin(np.outer(theta, k))
        return [c, -k * s, -k * k * c]

    def base(self, r: Array) -> list[Array]:
        """The part that is there without splines, with two derivatives."""
        a, w = self.space.shift, self.space.width
        p, m = (r - a) / w, (-r - a) / w
        value = -w * w * (spence(1.0 + np.exp(p)) + spence(1.0 + np.exp(m)))
        return [value, w * (np.logaddexp(0.0, p) - np.logaddexp(0.0, m)), expit(p) + expit(m)]

    def fields(self, c: Array, r: Array, theta: Array, tables: Any = None) -> Fields:
        """At every r (G,) with every theta (A,), (G, A); or at pairs, both (Q, 1)."""
        full = np.zeros(self.allowed.shape)
        full[self.allowed] = c
        pairs = theta.ndim == 2
        radial, angular = tables or (self.radial(r.ravel()), self.angular(theta.ravel()))

        def of(i: int, j: int) -> Array:
            left = radial[i] @ full
            return (left * angular[j]).sum(1)[:, None] if pairs else left @ angular[j].T

        column = r.reshape(-1, 1)
        base = self.base(column)
        along, across = base[1] + of(1, 0), of(0, 1) / column
        return Fields(
            base[0] + of(0, 0),
            along,
            across,
            base[2] + of(2, 0),
            (of(1, 1) - across) / column,
            (along + of(0, 2) / column) / column,
        )

    def moved(self, f: Fields, theta: Array) -> Array:
        """The gradient of u, where a sample stops, (2, ...)."""
        e, centre = (np.cos(theta), np.sin(theta)), self.game.centre
        return np.stack(
            [
                centre[0] + f.along * e[0] - f.across * e[1],
                centre[1] + f.along * e[1] + f.across * e[0],
            ]
        )


class Points:
    """Gauss points between the radii, equidistant angles in one of the equal sectors."""

    def __init__(self, of: Potential, n_gauss: int = 6, finer: int = 1) -> None:
        s, fold = of.space, of.game.fold
        inside = np.linspace(0.0, s.inner, 3)[:-1] if s.inner > 0.0 else []
        ends = np.r_[inside, of.breaks, np.linspace(s.outer, s.far, 9)[1:]]
        x, w = leggauss(n_gauss)
        half = 0.5 * np.diff(ends)[:, None]
        self.of, self.n_gauss = of, n_gauss
        self.r = (ends[:-1, None] + half * (1.0 + x)).ravel()
        n_angles = finer * max(24, 4 * of.grid[1])
        self.theta = (np.arange(n_angles) + 0.5) * math.pi / (fold * n_angles)
        share = np.full(n_angles, 2.0 * math.pi / n_angles)
        self.weights = np.outer((half * w).ravel() * self.r, share)
        unit = np.stack([np.cos(self.theta), np.sin(self.theta)])
        self.x = of.game.centre[:, None, None] + self.r[:, None] * unit[:, None, :]
        self.log_source = of.game.log_source(self.x)
        self.mass = self.weights * np.exp(self.log_source)
        self.tables = (of.radial(self.r), of.angular(self.theta))
        self.splined = (self.r > s.inner) & (self.r < s.outer)

    def fields(self, c: Array) -> Fields:
        """u and its derivatives at all points."""
        return self.of.fields(c, self.r, self.theta, self.tables)


# --- bounds --------------------------------------------------------------------------------


class Bounds(NamedTuple):
    """What a u proves, and the parts of the upper bound."""

    lower: float
    upper: float
    transport: float
    divergence: float
    spread: float  # standard deviation of log R: 0 at the optimum
    folded: int  # points where u is not convex
    log_mass: float  # log of the integral of R rho_0

    @property
    def gap(self) -> float:
        """Distance, relative to the upper bound."""
        return (self.upper - self.lower) / self.upper


def log_jacobian(f: Fields) -> tuple[Array, Array]:
    """log det of the Hessian of u, and where it is positive definite."""
    det = f.aa * f.cc - f.ac**2
    convex = (det > 0.0) & (f.aa > 0.0)
    return np.log(np.where(convex, det, 1.0)), convex


def bounds(at: Points, c: Array) -> Bounds:
    """(D105), (D106): the lower bound holds for every u, the upper one where u is convex."""
    game, f = at.of.game, at.fields(c)
    y = at.of.moved(f, at.theta)
    log_det, convex = log_jacobian(f)
    r, square = at.r[:, None], f.along**2 + f.across**2
    late = game.alpha * (r * f.along - f.u - 0.5 * square)  # psi at y, about the centre
    early = game.alpha * (0.5 * r * r - f.u)
    log_R = late / game.beta + game.log_target(y) + log_det - at.log_source
    log_R = np.where(convex, log_R, -np.inf)
    log_mass = float(logsumexp(log_R + at.log_source, b=at.weights))
    transport = 0.5 * game.alpha * np.sum(at.mass * ((at.x - y) ** 2).sum(axis=0))
    divergence = game.beta * np.sum(at.mass * (at.log_source - log_det - game.log_target(y)))
    folded, upper, spread = int((~convex).sum()), transport + divergence, 0.0
    if folded:
        upper = spread = math.inf
    else:
        spread = math.sqrt(np.sum(at.mass * (log_R - np.sum(at.mass * log_R)) ** 2))
    lower = np.sum(at.mass * early) - game.beta * log_mass
    parts = (float(lower), float(upper), float(transport), float(divergence))
    return Bounds(*parts, spread, folded, log_mass)


# --- Newton's method -----------------------------------------------------------------------


def objective(at: Points, c: Array, weights: Array) -> tuple[float, Fields]:
    """The upper bound less E log rho_0, (D107), with these weights of -log det."""
    game, f, on = at.of.game, at.fields(c), at.splined
    log_det, convex = log_jacobian(f)
    if not convex[on].all():
        return math.inf, f
    y = at.of.moved(f, at.theta)
    cost = 0.5 * game.alpha * ((at.x - y) ** 2).sum(axis=0) - game.beta * game.log_target(y)
    return float(np.sum((at.mass * cost - game.beta * weights * log_det)[on])), f


def newton_system(at: Points, f: Fields, weights: Array) -> tuple[Array, Array]:
    """Gradient and Hessian of the objective, one interval of the radius after the other."""
    n = at.of.n_unknowns
    gradient, hessian = np.zeros(n), np.zeros((n, n))
    for start in np.flatnonzero(at.splined)[:: at.n_gauss]:
        part = slice(start, start + at.n_gauss)
        residual, matrix, unknowns = _rows(at, f, part, weights)
        gradient[unknowns] += matrix.T @ residual
        hessian[np.ix_(unknowns, unknowns)] += matrix.T @ matrix
    return gradient, hessian


def _rows(at: Points, f: Fields, part: slice, weights: Array) -> tuple[Array, Array, Array]:
    """Residuals e and rows A of an interval's points: gradient A^T e, Hessian A^T A; unknowns.

    With H = L L^T and D the second derivatives of a basis function, -log det H has the slope
    -tr(L^-1 D L^-T) and the curvature |L^-1 D L^-T|^2.
    """
    of, game = at.of, at.of.game
    active = np.abs(at.tables[0][2][part]).max(axis=0) > 0.0
    spline, mode = np.nonzero(of.allowed & active[:, None])
    radial = [table[part][:, spline] for table in at.tables[0]]
    angular = [table[:, mode] for table in at.tables[1]]

    def product(i: int, j: int) -> Array:
        return (radial[i][:, None] * angular[j][None]).reshape(-1, len(spline))

    def flat(values: Array) -> Array:
        return values[part].reshape(-1, 1)

    r = flat(np.broadcast_to(at.r[:, None], at.mass.shape))
    e = [flat(np.broadcast_to(v, at.mass.shape)) for v in (np.cos(at.theta), np.sin(at.theta))]
    along, across = product(1, 0), product(0, 1) / r
    y, matrix, residual = of.moved(f, at.theta), [], []
    for i, moved in enumerate((along * e[0] - across * e[1], along * e[1] + across * e[0])):
        curvature = game.alpha + game.beta / game.target_variances[i]
        pull = game.alpha * (y[i] - at.x[i])
        pull += game.beta * (y[i] - game.target_mean[i]) / game.target_variances[i]
        root = np.sqrt(flat(at.mass) * curvature)
        matrix.append(root * moved)
        residual.append(root * flat(pull) / curvature)
    aa, ac = product(2, 0), (product(1, 1) - across) / r
    cc = (along + product(0, 2) / r) / r
    l1 = np.sqrt(flat(f.aa))
    l2 = flat(f.ac) / l1
    l3 = np.sqrt(flat(f.cc) - l2 * l2)
    low, left = (ac - l2 / l1 * aa) / l3, aa / l1
    corner = (low / l1, ((cc - l2 / l1 * ac) / l3 - l2 * low / l1) / l3)
    root = np.sqrt(game.beta * flat(weights))
    matrix += [root * left / l1, math.sqrt(2.0) * root * corner[0], root * corner[1]]
    residual += [-root, 0.0 * root, -root]
    return np.concatenate(residual)[:, 0], np.concatenate(matrix), of.index[spline, mode]


def minimise(at: Points) -> tuple[Array, int]:
    """Coefficients of a u that nearly minimises the upper bound, and Newton's steps.

    Raises
    ------
    RuntimeError
        A barrier takes more than `MOST_STEPS` steps.
    """
    c, n_steps = np.zeros(at.of.n_unknowns), 0
    for barrier in BARRIERS:
        weights = at.mass + barrier * at.weights
        value, f = objective(at, c, weights)
        for _ in range(MOST_STEPS):
            step, decrement = _newton_step(*newton_system(at, f, weights))
            if decrement < barrier:  # twice what is left to gain
                break
            length = 1.0
            new, f = objective(at, c + step, weights)
            while not new <= value - 1e-4 * length * decrement and length > 1e-9:
                length *= 0.5
                new, f = objective(at, c + length * step, weights)
            c, value, n_steps = c + length * step, new, n_steps + 1
        else:
            raise RuntimeError(f"decrement {decrement:.1e} after {MOST_STEPS} steps")
    return c, n_steps


def _newton_step(gradient: Array, hessian: Array) -> tuple[Array, float]:
    """The step and its squared length. Cosines hardly move u where there is no mass: scale."""
    scale = 1.0 / np.sqrt(hessian.diagonal())
    scaled = hessian * scale[:, None] * scale
    scaled[np.diag_indices_from(scaled)] += 1e-13
    step = -scale * cho_solve(cho_factor(scaled), scale * gradient)
    return step, -float(gradient @ step)
