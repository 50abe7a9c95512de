"""Crowd games on the line by convex minimisation on a grid: the solver of grid_game.py.

In one dimension density and flux are derivatives of one function: the mass to the left of x,
psi(t, x), has psi_x = rho and psi_t = -rho v, and the continuity equation holds by itself. The
cost of the potential game is then a convex functional of psi alone,

    int int alpha psi_t^2/(2 psi_x) + Q psi_x + entropy psi_x log psi_x dx dt
    + terminal KL(psi_x(T) | target),        psi(0, .) and the values at the ends of the box given.

It is minimised over continuous functions that are linear on triangles, on which rho and rho v
are constant, and averaged over both ways of halving every rectangle. Kinetic energy, potential
and entropy are then exact integrals; KL compares the cells' masses with the target's, which is
0 where they agree. The cost approaches the least one like h^2. The minimum of the convex function
is found by an interior point method, Newton with a sparse factorisation. There are no agents, no
network, no value function and no random numbers, and nothing of refode.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import legendre
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import splu
from scipy.special import logsumexp, ndtr

Array = np.ndarray
Potential = Callable[[Array], Array]  # Q at points (N,)

REACH = 5.5  # half the box beyond the means, in deviations: 4e-8 of the mass is outside
# Of -barrier (int int log rho dx dt + int log rho(T) dx), which keeps rho > 0 where it would be
# below rounding; the cost is at most barrier times the box's measure from the least one.
BARRIERS = 10.0 ** -np.arange(1, 9)
WARM = 1e-6  # the first barrier that a coarser grid's solution meets
DECREMENT = 1e-11  # of Newton's method, relative to the cost
MAX_NEWTON = 200
COARSEST = 24  # cells in x of the first grid of the nested iteration


class Line(NamedTuple):
    """A mixture of normal densities on the line: weights, means, deviations."""

    weights: Array
    means: Array
    deviations: Array

    @classmethod
    def of(cls, density: Any) -> Line:
        """From a Line, or a one-dimensional Gaussian or GaussianMixture of refode."""
        if isinstance(density, cls):
            return density
        if hasattr(density, "means"):
            s = np.sqrt(density.covariances[:, 0, 0])
            return cls(density.weights, density.means[:, 0], s)
        return cls(np.ones(1), density.mean, np.sqrt(density.covariance[0]))

    def mass_below(self, x: Array) -> Array:
        """Distribution function."""
        return ndtr((x[..., None] - self.means) / self.deviations) @ self.weights

    def log_density(self, x: Array) -> Array:
        """log rho."""
        y = (x[..., None] - self.means) / self.deviations
        peaks = np.log(self.weights / self.deviations) - 0.5 * np.log(2.0 * np.pi)
        return logsumexp(peaks - 0.5 * y * y, axis=-1)


def normal(mean: float, deviation: float) -> Line:
    """One component."""
    return Line(np.ones(1), np.array([mean]), np.array([deviation]))


def bump(height: float, mean: float, deviation: float) -> Potential:
    """An obstacle: height times a normal density."""
    return lambda x: height * np.exp(normal(mean, deviation).log_density(x))


@dataclass
class Grid:
    """Nodes and the data of a game on them."""

    x: Array  # (n_x + 1,)
    t: Array  # (n_t + 1,)
    alpha: float
    entropy: float
    terminal: float
    Q: Array  # (n_x,), means over cells
    log_target: Array  # (n_x,), logarithms of means over cells
    start: Array  # (n_x + 1,), psi at t = 0

    def __post_init__(self) -> None:
        self.h, self.dt = self.x[1] - self.x[0], self.t[1] - self.t[0]
        # trapezoids: every rho (n, j + 1/2) belongs to triangles below and above
        self.w = np.full(len(self.t), self.dt)
        self.w[[0, -1]] *= 0.5
        self.free = np.zeros((len(self.t), len(self.x)), dtype=bool)
        self.free[1 : -1 if self.exact else None, 1:-1] = True
        self.number = np.where(self.free, np.cumsum(self.free).reshape(self.free.shape) - 1, -1)

    @property
    def exact(self) -> bool:
        """Whether the target is a constraint."""
        return self.terminal == math.inf

    def rho_flux(self, psi: Array) -> tuple[Array, Array]:
        """rho (n_t + 1, n_x) on edges along x, m = rho v (n_t, n_x + 1) on edges along t."""
        return np.diff(psi, axis=1) / self.h, -np.diff(psi, axis=0) / self.dt

    def terms(self, psi: Array) -> dict[str, float]:
        """L, F, G and their sum."""
        e = self.entropy
        rho, m = self.rho_flux(psi)
        # every rectangle has four triangles of weight 1/4 each: rho of one edge, m of another
        inverse, square = 1.0 / rho[:-1] + 1.0 / rho[1:], m * m
        L = 0.125 * self.alpha * np.sum(inverse * (square[:, :-1] + square[:, 1:]))
        log_rho = np.log(rho)
        F = self.w @ (rho * (self.Q + e * log_rho)).sum(axis=1)
        gap = np.sum(rho[-1] * (log_rho[-1] - self.log_target))
        G = 0.0 if self.exact else self.terminal * gap
        L, F, G = float(L * self.h * self.dt), float(F * self.h), float(G * self.h)
        return {"L": L, "F": F, "G": G, "total": L + F + G}

    def objective(self, psi: Array, barrier: float) -> float:
        """The cost with its barrier."""
        logs = np.log(self.rho_flux(psi)[0]).sum(axis=1)
        return self.terms(psi)["total"] - barrier * self.h * float(self.w @ logs + logs[-1])

    def newton(self, psi: Array, barrier: float) -> tuple[Array, Any]:
        """Gradient of the objective by psi[free], and the sparse Hessian."""
        e, (rho, m) = self.entropy, self.rho_flux(psi)
        n_t, n_x = m.shape[0], rho.shape[1]
        gradient = np.zeros_like(psi)
        one = self.w[:, None] * (self.Q + e * (np.log(rho) + 1.0) - barrier / rho)
        two = self.w[:, None] * (e + barrier / rho) / rho
        if not self.exact:
            end = rho[-1]
            one[-1] += self.terminal * (np.log(end) + 1.0 - self.log_target) - barrier / end
            two[-1] += (self.terminal + barrier / end) / end
        gradient[:, 1:] += one
        gradient[:, :-1] -= one
        left, right, number = np.s_[:, :-1], np.s_[:, 1:], self.number
        entries = _pairs((number[left], number[right]), (-1.0, 1.0), two / self.h)
        c = 0.25 * self.h * self.dt * self.alpha
        for a in (0, 1):  # triangles with the edge along x at n + a, the edge along t at j + b
            for b in (0, 1):
                r, f = rho[a : n_t + a], m[:, b : n_x + b]
                v = f / r
                by_rho, by_m = -0.5 * c * v * v / self.h, -c * v / self.dt
                corners = _corners(a, b, n_t, n_x)
                gradient[corners[0]] -= by_rho
                gradient[corners[1]] += by_rho
                gradient[corners[2]] -= by_m
                gradient[corners[3]] += by_m
                # c (dm - v drho)^2/rho is the second derivative
                at = [number[k] for k in corners]
                slopes = [v / self.h, -v / self.h, 1.0 / self.dt, -1.0 / self.dt]
                entries += _pairs(at, slopes, c / r)
        size = int(self.free.sum())
        i, j, values = (np.concatenate(part) for part in zip(*entries, strict=True))
        H = coo_matrix((values, (i, j)), shape=(size, size)).tocsc()
        return gradient[self.free], H


def _corners(a: int, b: int, n_t: int, n_x: int) -> tuple[Any, ...]:
    """Ends of the edge along x, then of the edge along t, for all rectangles."""
    n, j = np.s_[a : n_t + a], np.s_[b : n_x + b]
    first, second = np.s_[0:n_t], np.s_[1 : n_t + 1]
    return ((n, np.s_[0:n_x]), (n, np.s_[1 : n_x + 1]), (first, j), (second, j))


def _pairs(at: Any, slopes: Any, weight: Array) -> list[tuple[Array, Array, Array]]:
    """Entries of sum weight (sum_k slopes_k psi[at_k])^2, half its second derivative doubled."""
    found = []
    for i, p in zip(at, slopes, strict=True):
        for j, q in zip(at, slopes, strict=True):
            free = (i >= 0) & (j >= 0)
            values = np.broadcast_to(weight * p * q, i.shape)
            found.append((i[free], j[free], values[free]))
    return found


@dataclass
class Solution:
    """Least cost of a game on a grid.

    L, F, G, total : the cost's terms; x (n_x + 1,), t (n_t + 1,) : nodes; psi (n_t + 1, n_x + 1) :
    mass to the left; rho (n_t + 1, n_x) at the cells' centres; v (n_t, n_x) at the rectangles'.
    """

    grid: Grid
    psi: Array
    terms: dict[str, float]
    iterations: int
    seconds: float

    L = property(lambda self: self.terms["L"])
    F = property(lambda self: self.terms["F"])
    G = property(lambda self: self.terms["G"])
    total = property(lambda self: self.terms["total"])
    x = property(lambda self: self.grid.x)
    t = property(lambda self: self.grid.t)

    @property
    def centres(self) -> Array:
        """Centres of the cells, (n_x,)."""
        return 0.5 * (self.x[1:] + self.x[:-1])

    @property
    def rho(self) -> Array:
        """Densities, (n_t + 1, n_x)."""
        return self.grid.rho_flux(self.psi)[0]

    @property
    def v(self) -> Array:
        """Velocities at the centres of the rectangles, (n_t, n_x)."""
        rho, m = self.grid.rho_flux(self.psi)
        return (m[:, 1:] + m[:, :-1]) / (rho[1:] + rho[:-1])

    def paths(self, x: Array) -> Array:
        """Where agents who start at x (N,) are at all times, (n_t + 1, N): equal psi."""
        mass = np.interp(x, self.x, self.psi[0])
        return np.stack([np.interp(mass, row, self.x) for row in self.psi])


def solve(
    initial: Any,
    target: Any,
    alpha: float,
    obstacle: Potential | None,
    entropy: float,
    terminal: float,
    n_x: int,
    n_t: int,
    T: float = 1.0,
    box: tuple[float, float] | None = None,
) -> Solution:
    """Minimise the cost of a crowd game on the line.

    initial, target: one-dimensional Gaussian, GaussianMixture or Line; obstacle: Q as a function
    of points (N,), or None; terminal: weight of KL, inf for a target that must be met; box: ends
    of the line, by default REACH deviations beyond all means. Coarser grids start finer ones.
    """
    began = time.perf_counter()
    p, q = Line.of(initial), Line.of(target)
    low = min(float(np.min(d.means - REACH * d.deviations)) for d in (p, q))
    high = max(float(np.max(d.means + REACH * d.deviations)) for d in (p, q))
    ends = (low, high) if box is None else box
    levels = 0
    while n_x % 2 == n_t % 2 == 0 and n_x // 2 >= COARSEST and n_t // 2 >= 4:
        n_x, n_t, levels = n_x // 2, n_t // 2, levels + 1
    psi: Array | None = None
    for level in range(levels + 1):
        grid = _grid(p, q, alpha, obstacle, entropy, terminal, n_x << level, n_t << level, T, ends)
        if psi is None:
            psi, iterations = _minimised(grid, _first(grid, q), BARRIERS[0])
        else:
            psi, iterations = _minimised(grid, _finer(grid, psi, q), WARM)
    return Solution(grid, psi, grid.terms(psi), iterations, time.perf_counter() - began)


def _grid(
    p: Line,
    q: Line,
    alpha: float,
    Q: Potential | None,
    entropy: float,
    terminal: float,
    n_x: int,
    n_t: int,
    T: float,
    ends: tuple[float, float],
) -> Grid:
    x = np.linspace(*ends, n_x + 1)
    nodes, weights = legendre.leggauss(6)
    points = 0.5 * (x[1:] + x[:-1])[:, None] + 0.5 * (x[1] - x[0]) * nodes
    # the largest is taken out: far from the target every density there is 0 in float64
    logs = q.log_density(points)
    top = logs.max(axis=1)
    log_target = top + np.log(np.exp(logs - top[:, None]) @ weights / 2.0)
    means = np.zeros(n_x) if Q is None else Q(points.ravel()).reshape(points.shape) @ weights / 2.0
    t = np.linspace(0.0, T, n_t + 1)
    return Grid(x, t, alpha, entropy, terminal, means, log_target, _mass(p, x))


def _mass(p: Line, x: Array) -> Array:
    """Mass to the left of x within the box."""
    below = p.mass_below(x)
    return (below - below[0]) / (below[-1] - below[0])


def _first(grid: Grid, q: Line) -> Array:
    """Mass that moves from the start to the target by fading."""
    s = (grid.t / grid.t[-1])[:, None]
    spread = 0.0 if grid.exact else 0.1
    even = np.linspace(0.0, 1.0, len(grid.x))
    return (1.0 - s) * grid.start + s * ((1.0 - spread) * _mass(q, grid.x) + spread * even)


def _finer(grid: Grid, psi: Array, q: Line) -> Array:
    """Twice as many cells, each cell's mass shared by its halves as its neighbours suggest."""
    halves = np.log(np.diff(psi, axis=1))
    slope = np.clip(np.gradient(halves, axis=1), -4.0, 4.0)
    share = 1.0 / (1.0 + np.exp(0.5 * slope))  # of the left half
    fine = np.empty((len(psi), len(grid.x)))
    fine[:, ::2] = psi
    fine[:, 1::2] = psi[:, :-1] + share * np.diff(psi, axis=1)
    found = np.empty((len(grid.t), len(grid.x)))
    found[::2], found[1::2] = fine, 0.5 * (fine[1:] + fine[:-1])
    found[0] = grid.start
    if grid.exact:
        found[-1] = _mass(q, grid.x)
    return found


def _minimised(grid: Grid, psi: Array, first: float) -> tuple[Array, int]:
    """An interior point method: Newton for falling barriers, each started by the one before."""
    iterations = 0
    for barrier in (b for b in BARRIERS if b <= 1.01 * first):
        last = barrier == BARRIERS[-1]
        cost = grid.objective(psi, barrier)
        for _ in range(MAX_NEWTON):
            gradient, H = grid.newton(psi, barrier)
            step = np.zeros_like(psi)
            solved = splu(
                H,
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            ).solve(-gradient)
            step[grid.free] = solved
            decrement = -float(solved @ gradient)
            mass, change = np.diff(psi, axis=1), np.diff(step, axis=1)
            length = min(1.0, 0.95 / max(float(np.max(-change / mass)), 1e-300))
            iterations += 1
            small = DECREMENT * abs(cost) if last else 0.1 * barrier
            if decrement <= small:
                psi = psi + length * step
                break
            while True:
                trial = psi + length * step
                value = grid.objective(trial, barrier)
                if value <= cost - 1e-4 * length * decrement:
                    break
                length *= 0.5
                if length < 1e-12:
                    raise RuntimeError(f"no step lowers the cost {cost} ({decrement=})")
            psi, cost = trial, value
        else:
            raise RuntimeError(f"{MAX_NEWTON} steps of Newton's method did not find the minimum")
    return psi, iterations
