"""The published games of [ROL+20] in the plane: transport from eight Gaussians, and a crowd.

Both are trained as published (network, weights of the costs, number of samples), then judged with
more steps and samples that training has not seen: few steps flatter a value function that was
trained with them. The optimum of the transport game is known (docs/equations_optimum.md).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from refode import plotting
from refode.problems.game import MeanFieldGame
from refode.reports import outputs, tables
from refode.reports.figures import games_plots
from refode.reports.figures.games_plots import grid_points
from refode.reports.figures.games_setups import WIDTH, Setup, crowd, transport
from refode.training import INTERRUPTED, train_resampled

Array = np.ndarray

#: Middle of the two bounds of the transport game's optimum, which are 3e-6 apart, and its part G.
OPTIMUM, OPTIMUM_TERMINAL = 10.68598, 0.6271
FINE, EVERY = 16, 50
N_JUDGED, N_GRID = 20_000, 201
SEED_JUDGED = 1_000_003
SMALL = 1e-12

# what the trained games must reach
GAP, TERMINAL, MASS, BALANCE = 0.015, 0.15, 0.01, 0.02
BEND, THERE_AND_BACK = 0.01, 1e-3
RESIDUAL = {"transport": 0.06, "crowd": 0.015}
END_RESIDUAL = {"transport": 0.3, "crowd": 0.15}
# Going all the way around costs more than Q does, so agents bend their paths a little; a quadratic
# Phi, which takes them straight through, has 0.89
OBSTACLE, CROWD_KL = 0.85, 0.25


# --- what a trained game comes to ----------------------------------------------------------


class Cost(NamedTuple):
    """J = L + F + G by samples, its standard error, and its parts."""

    J: float
    error: float
    L: float
    F: float
    G: float


def cost(setup: Setup, theta: Array, x: Array, n_steps: int = FINE) -> Cost:
    """The cost of the agents' own, penalties left out.

    J is the intercept of a fit by functions of known mean 0 (control variates): what the draw of
    x happens to have more of does not count, which makes the error several times smaller.
    """
    problem, d = setup.problem(), setup.game.dim
    end = problem.states(theta, x, n_steps)[-1]
    z, log_rho = np.ascontiguousarray(end[:, :d]), end[:, d]
    G = _terminal(setup, z, log_rho) - setup.game.terminal
    parts = end[:, d + 1], end[:, d + 2], G
    design = np.column_stack([np.ones(len(x)), setup.controls(x)])
    total = sum(parts)
    fit = np.linalg.lstsq(design, total, rcond=None)[0]
    error = float(np.std(total - design @ fit)) / len(x) ** 0.5
    means = (float(np.mean(part)) for part in parts)
    return Cost(float(fit[0]), error, *means)


def _terminal(setup: Setup, z: Array, log_rho: Array) -> Array:
    """L2 derivative of the terminal cost where agents end."""
    terminal: Any = setup.game.terminal_cost
    return terminal.derivative(z, log_rho)


class Paths(NamedTuple):
    """Shape of paths: length over chord, Q along them, and along straight lines to their ends."""

    bend: float
    energy: float
    energy_straight: float
    kinetic: float
    kinetic_straight: float


def paths(setup: Setup, theta: Array, x: Array, n_steps: int = 4 * FINE) -> Paths:
    """How agents go, by fine steps and the trapezoidal rule."""
    game, problem = setup.game, setup.problem()
    path = problem.trajectory(theta, x, n_steps)
    steps = np.diff(path, axis=0)
    length = np.linalg.norm(steps, axis=2).sum(axis=0)
    chord = np.linalg.norm(path[-1] - path[0], axis=1)
    s = np.linspace(0.0, 1.0, n_steps + 1)[:, None, None]
    straight = (1.0 - s) * path[0] + s * path[-1]

    def energy(points: Array) -> float:
        Q = game.energy.value(points.reshape(-1, game.dim)).reshape(points.shape[:2])
        return float((Q[1:] + Q[:-1]).mean() / 2.0)

    kinetic = 0.5 * game.alpha * float((steps**2).sum(axis=2).sum(axis=0).mean()) * n_steps
    lowest = 0.5 * game.alpha * float((chord**2).mean())
    bend = float(length.mean() / max(chord.mean(), SMALL))
    return Paths(bend, energy(path), energy(straight), kinetic, lowest)


class Residuals(NamedTuple):
    """How far Phi is from its equations, each relative to the size of what is equated."""

    hjb: float  # int |r| dt over int H dt
    terminal: float  # |Phi - G| at the end over |G - E G| there
    balance: float  # E Phi(0, x) against J + entropy + terminal, over J
    inverse: float  # mean |x - F^{-1}(F(x))|


def residuals(setup: Setup, theta: Array, x: Array, J: float) -> Residuals:
    """HJB equation along paths and at their ends, and the value function's mean."""
    problem, game, d = setup.problem(), setup.game, setup.game.dim
    end = problem.states(theta, x, FINE)[-1]
    z = np.ascontiguousarray(end[:, :d])
    G = _terminal(setup, z, end[:, d])
    last = problem.value_function(theta, 1.0, z)[0]
    first = problem.value_function(theta, 0.0, x)[0]
    design = np.column_stack([np.ones(len(x)), setup.controls(x)])
    mean = float(np.linalg.lstsq(design, first, rcond=None)[0][0])
    kinetic, R = float(end[:, d + 1].mean()), float(end[:, d + 3].mean())
    back = problem.inverse(theta, z, FINE)[0]
    return Residuals(
        R / max(kinetic, SMALL),
        float(np.abs(last - G).mean() / np.abs(G - G.mean()).mean()),
        (mean - J - game.entropy - game.terminal) / J,
        float(np.linalg.norm(back - x, axis=1).mean()),
    )


def density_on_grid(problem: MeanFieldGame, theta: Array, axes: tuple[Array, Array]) -> Array:
    """rho(1, .) at the points of a grid of the plane, (len(x), len(y))."""
    shape, points = (len(axes[0]), len(axes[1])), grid_points(axes)
    return np.exp(problem.log_density(theta, points, FINE)).reshape(shape)


def pull_back(problem: MeanFieldGame, theta: Array, axes: tuple[Array, Array]) -> Array:
    """Density of F^{-1}(y), y ~ rho_Y: rho_Y(F(x)) |det grad F(x)|, on the same grid."""
    shape, points = (len(axes[0]), len(axes[1])), grid_points(axes)
    game, end = problem.game, problem.states(theta, points, FINE)[-1]
    log_det = game.initial.log_density(points) - end[:, 2]
    z = np.ascontiguousarray(end[:, :2])
    return np.exp(game.target.log_density(z) + log_det).reshape(shape)


# --- the report ----------------------------------------------------------------------------


class Solved(NamedTuple):
    """A trained game in the plane, its samples, its fields on a grid, and what it comes to."""

    setup: Setup
    problem: MeanFieldGame
    theta: Array
    x: Array
    axes: tuple[Array, Array]
    pushed: Array
    pulled: Array
    few: Cost  # by the steps of the training
    cost: Cost
    paths: Paths
    residuals: Residuals
    mass: float
    mass_pulled: float
    seconds: float


def solve(setup: Setup, max_iter: int, progress: bool) -> Solved:
    """Train a game, and measure it."""
    problem = setup.problem()
    if progress:
        print(f"{setup.name}: {problem!r}", flush=True)
    began = time.perf_counter()
    result = train_resampled(
        problem,
        n_samples=setup.n_samples,
        every=EVERY,
        theta0=setup.start(),
        max_iter=min(max_iter, setup.iterations),
        progress=progress,
    )
    if result.status == INTERRUPTED:
        raise KeyboardInterrupt
    return measure(setup, result.x, time.perf_counter() - began)


def measure(setup: Setup, theta: Array, seconds: float) -> Solved:
    """Everything that the report says of a trained game."""
    problem = setup.problem()
    x = setup.game.initial.sample(N_JUDGED, seed=SEED_JUDGED)
    side = np.linspace(-7.0, 7.0, N_GRID)
    axes = (side, side)
    pushed, pulled = density_on_grid(problem, theta, axes), pull_back(problem, theta, axes)
    cell = (side[1] - side[0]) ** 2
    fine = cost(setup, theta, x)
    return Solved(
        setup,
        problem,
        theta,
        x,
        axes,
        pushed,
        pulled,
        cost(setup, theta, x, setup.n_steps),
        fine,
        paths(setup, theta, x[:2000]),
        residuals(setup, theta, x, fine.J),
        float(pushed.sum() * cell),
        float(pulled.sum() * cell),
        seconds,
    )


Check = tuple[str, bool]


def checks_of(of: Solved) -> list[Check]:
    """What must hold for both games, and then for each."""
    name, r = of.setup.name, of.residuals
    checks = [
        (
            f"{name}: rho(1, .) and the pull-back integrate to 1 within {MASS:g} "
            f"({of.mass:.4f}, {of.mass_pulled:.4f})",
            max(abs(of.mass - 1.0), abs(of.mass_pulled - 1.0)) < MASS,
        ),
        (
            f"{name}: HJB residual below {100 * RESIDUAL[name]:g} % of the kinetic energy "
            f"({100 * r.hjb:.1f} %)",
            r.hjb < RESIDUAL[name],
        ),
        (
            f"{name}: Phi = G at the end within {100 * END_RESIDUAL[name]:g} % of G's spread "
            f"({100 * r.terminal:.1f} %)",
            r.terminal < END_RESIDUAL[name],
        ),
        (
            f"{name}: E Phi(0, .) = J + lambda + beta within {100 * BALANCE:g} % of J "
            f"({100 * r.balance:+.2f} %)",
            abs(r.balance) < BALANCE,
        ),
        (
            f"{name}: paths there and back meet within {THERE_AND_BACK:g} ({r.inverse:.0e})",
            r.inverse < THERE_AND_BACK,
        ),
    ]
    return checks + (_transport_checks(of) if name == "transport" else _crowd_checks(of))


def _transport_checks(of: Solved) -> list[Check]:
    gap, bend = of.cost.J / OPTIMUM - 1.0, of.paths.bend - 1.0
    off = of.cost.G / OPTIMUM_TERMINAL - 1.0
    noise = 4.0 * of.cost.error / OPTIMUM
    return [
        (
            f"transport: J within {100 * GAP:g} % of the optimum {OPTIMUM:.3f} "
            f"({100 * gap:+.2f} %), not below",
            -noise < gap < GAP,
        ),
        (
            f"transport: KL to the target within {100 * TERMINAL:g} % of the optimum's "
            f"{OPTIMUM_TERMINAL / 5.0:.4f} ({100 * off:+.1f} %)",
            abs(off) < TERMINAL,
        ),
        (
            f"transport: paths at most {100 * BEND:g} % longer than straight ({100 * bend:.2f} %)",
            abs(bend) < BEND,
        ),
    ]


def _crowd_checks(of: Solved) -> list[Check]:
    p, divergence = of.paths, of.cost.G / of.setup.game.terminal
    ratio = p.energy / p.energy_straight
    detour = p.kinetic + p.energy
    straight = p.kinetic_straight + p.energy_straight
    return [
        (
            f"crowd: Q on the paths below {OBSTACLE:g} of Q on straight lines ({ratio:.2f})",
            ratio < OBSTACLE,
        ),
        (
            f"crowd: the paths, {detour:.2f}, cost less than straight lines, {straight:.2f}",
            detour < straight,
        ),
        (f"crowd: KL to the target below {CROWD_KL:g} ({divergence:.3f})", divergence < CROWD_KL),
    ]


def run(out: str | Path, progress: bool = True, max_iter: int = 1000) -> bool:
    """Solve both games, print their tables, save pictures and numbers; False where one fails."""
    folder = outputs.folder("games", out)
    solved = []
    with tables.keeping("games", folder) as kept:
        for setup in (transport(), crowd()):
            of = solve(setup, max_iter, progress)
            kept.add(setup.name, _numbers(of) | {"theta": of.theta})
            solved.append(of)
    for of in solved:
        plotting.save(games_plots.draw(of), folder, of.setup.name)
    show(solved)
    checks = [check for of in solved for check in checks_of(of)]
    numbers: dict[str, Any] = {
        "width": WIDTH,
        "optimum_of_transport": OPTIMUM,
        "games": {of.setup.name: _numbers(of) for of in solved},
    }
    return tables.finish("games", folder, checks, numbers)


def _numbers(of: Solved) -> dict[str, Any]:
    named = ("few", "cost", "paths", "residuals")
    numbers = {key: getattr(of, key) for key in ("mass", "mass_pulled", "seconds")}
    return numbers | {key: getattr(of, key)._asdict() for key in named}


def show(solved: list[Solved]) -> None:
    """The table: a game a row for each number of steps."""
    tables.show(
        f"Games of [ROL+20] in the plane, {N_JUDGED} fresh samples; J = L + F + G",
        ["game", "steps", "J", "+-", "L", "F", "G", "length/chord", "seconds"],
        [
            [
                of.setup.name,
                n,
                f"{c.J:.3f}",
                f"{c.error:.3f}",
                f"{c.L:.3f}",
                f"{c.F:.3f}",
                f"{c.G:.3f}",
                f"{of.paths.bend:.4f}",
                f"{of.seconds:.1f}",
            ]
            for of in solved
            for n, c in ((of.setup.n_steps, of.few), (FINE, of.cost))
        ],
    )
