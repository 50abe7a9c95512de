"""The survey's Figure 3: two games on the line that reach one target by different dynamics.

From the standard Gaussian to a mixture of two, by relaxed dynamic optimal transport and by crowd
motion with an obstacle where the two parts of the target come together. The potential networks
are of one size, start from the same weights, and are trained alike.

Why these numbers. On the line the optimal map is monotone, and its slope in the middle is the
ratio of the two densities there: 9.5 for parts at +-1.6 of deviation 0.7, steep enough to part the
crowd, smooth enough for a small network (parts at +-1.5 of deviation 0.5 have 45). The terminal
weight 10 lets the end be off by a relative entropy of some thousandths; a larger one only slows
the training. The obstacle's peak is six times what an agent spends on motion: it pays to leave
early and to come back. With 4/3 of it some starts ended in poorer states. The samples are
quantiles, not draws: on the line that is a quadrature. In a crowd like this with 8 steps, L-BFGS
found weights whose discrete value was 3.2 below zero, while by fine steps it was 15 above; hence
16, both penalties of the HJB equation, and every number by fine steps. K_i of N(0, 0.01^2), as in
[ROL+20], start next to a stationary point where the crowd does not part; hence the larger ones of
`start`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import simpson
from scipy.special import ndtri

from refode import _files, densities, games, plotting
from refode.closed_forms import line as closed_forms_line
from refode.fields import Potential
from refode.problems.game import MeanFieldGame
from refode.reports import outputs, tables
from refode.reports.figures import figure3_plots
from refode.training import INTERRUPTED, train

Array = np.ndarray
# the games; validation compares with them, so they are read from here
MODES, DEVIATION = (-1.6, 1.6), 0.7
ALPHA, TERMINAL, ENTROPY = 1.0, 10.0, 0.01
HEIGHT, CENTRE, SPREAD = 3.0, 0.0, 0.5  # of the obstacle: HEIGHT times N(CENTRE, SPREAD^2)
# the training
WIDTH, DEPTH, N_STEPS, N_TRAIN, MAX_ITER = 20, 2, 16, 256, 400
HJB, HJB_TERMINAL, START = 0.1, 0.002, 0.5
# the measurements
FINE, N_TEST = 128, 4000
GRID = np.linspace(-8.0, 8.0, 3201)[:, None]
MINUTES = 5.0  # with compilation, on a machine that has other work
# The crowd's value function bends sharply where it parts, in the middle of the obstacle: two
# thirds of the mean square come from the sixth of the agents that start there.
RESIDUAL = {"transport": 0.2, "crowd": 0.5}


class Fit(NamedTuple):
    """A trained game and what is measured of it, all by fine steps."""

    name: str
    problem: MeanFieldGame
    theta: Array
    costs: dict[str, float]  # without the penalties: L, F, G, total
    coarse: float  # total by the steps of the training
    kl: float  # of the density at T to the target, on a grid
    mass: float  # of the density at T
    length: tuple[float, float]  # of a path in (x, t) over that of its chord: mean, largest
    energy: float  # E int |v|^2 over E |F(x) - x|^2; 1 for straight paths of constant speed
    obstacle: float  # E int Q(z) dt, charged or not
    map_error: float  # root mean square of F(x) - the monotone map to the target
    hjb: float  # root mean square of the HJB residual over that of dPhi/dt
    iterations: int
    seconds: float


def initial() -> densities.Gaussian:
    """The standard Gaussian."""
    return densities.Gaussian([0.0], 1.0)


def target() -> densities.GaussianMixture:
    """Two parts of one weight."""
    weights = np.full(len(MODES), 1.0 / len(MODES))
    return densities.GaussianMixture(weights, np.reshape(MODES, (-1, 1)), DEVIATION**2)


def obstacle() -> games.GaussianBump:
    """Q."""
    return games.GaussianBump(HEIGHT, [CENTRE], SPREAD**2)


def transport_game() -> games.Game:
    """Relaxed dynamic optimal transport."""
    return games.optimal_transport(initial(), target(), ALPHA, TERMINAL)


def crowd_game() -> games.Game:
    """Crowd motion past the obstacle, with a little entropy."""
    return games.crowd_motion(initial(), target(), ALPHA, obstacle(), ENTROPY, TERMINAL)


def problem_for(game: games.Game) -> MeanFieldGame:
    """The network and the penalties, the same for both."""
    potential = Potential(1, WIDTH, DEPTH)
    return MeanFieldGame(potential, game, HJB, HJB_TERMINAL, "squared", n_steps=N_STEPS)


def quantiles(n: int) -> Array:
    """The middles of n equal parts of the standard Gaussian's mass, (n, 1)."""
    return ndtri((np.arange(n) + 0.5) / n)[:, None]


def start(problem: MeanFieldGame, seed: int = 0) -> Array:
    """Weights whose units bend inside the data, with next to no control."""
    rng, named = np.random.default_rng(seed), problem.unpack(problem.initial(seed).copy())
    for name, array in named.items():
        if name[0] in "Kb" and name != "b":
            inputs = array.shape[1] if name[0] == "K" and name != "K0" else 1
            array[...] = START * rng.standard_normal(array.shape) / np.sqrt(inputs)
    named["w"][...] = 0.1 * rng.standard_normal(WIDTH) / np.sqrt(WIDTH)
    return problem.pack(named)


def fit(name: str, game: games.Game, max_iter: int, progress: bool) -> Fit:
    """Train one game and measure it."""
    problem = problem_for(game)
    if progress:
        print(name, flush=True)
    began = time.perf_counter()
    result = train(
        problem, quantiles(N_TRAIN), theta0=start(problem), max_iter=max_iter, progress=progress
    )
    if result.status == INTERRUPTED:
        raise KeyboardInterrupt
    return measured(name, problem, result.x, int(result.nit), time.perf_counter() - began)


def measured(
    name: str, problem: MeanFieldGame, theta: Array, iterations: int, seconds: float
) -> Fit:
    """Everything the table says of one game."""
    x = quantiles(N_TEST)
    path = problem.trajectory(theta, x, FINE)[:, :, 0]
    costs = paid(problem, theta, x, FINE)
    log_rho, step = problem.log_density(theta, GRID, FINE), GRID[1, 0] - GRID[0, 0]
    density, ratio = np.exp(log_rho), log_rho - target().log_density(GRID)
    moved = path[-1] - path[0]
    length = np.hypot(np.diff(path, axis=0), 1.0 / FINE).sum(axis=0) / np.hypot(moved, 1.0)
    exact = closed_forms_line.monotone_map(initial(), target(), x)[:, 0]
    charge = np.array([obstacle().value(z[:, None]).mean() for z in path])
    return Fit(
        name,
        problem,
        theta,
        costs,
        paid(problem, theta, x, N_STEPS)["total"],
        float((density * ratio).sum() * step),
        float(density.sum() * step),
        (float(length.mean()), float(length.max())),
        float(2.0 * costs["L"] / ALPHA / np.mean(moved**2)),
        float(simpson(charge, dx=1.0 / FINE)),
        float(np.sqrt(np.mean((path[-1] - exact) ** 2))),
        relative_residual(problem, theta, x),
        iterations,
        seconds,
    )


def paid(problem: MeanFieldGame, theta: Array, x: Array, n_steps: int) -> dict[str, float]:
    """The game's own costs, without penalties."""
    costs = problem.costs(theta, x, n_steps=n_steps)
    terms = {name: costs[name] for name in ("L", "F", "G")}
    return {**terms, "total": sum(terms.values())}


def relative_residual(problem: MeanFieldGame, theta: Array, x: Array) -> float:
    """Root mean square of r of (24) over that of dPhi/dt, along the paths."""
    states = problem.states(theta, x, FINE)
    squares = [
        np.mean(problem.value_function(theta, k / FINE, z[:, :1])[2] ** 2)
        for k, z in enumerate(states)
    ]
    return float(np.sqrt(states[-1, :, -1].mean() / np.mean(squares)))


def transport_bound(fit: Fit) -> float:
    """A lower bound of the transport game's value from the trained Phi(T, .), by duality.

    For any g, with the formula of Hopf and Lax and that of Donsker and Varadhan::

        min_rho alpha/2 W2^2(rho_0, rho) + beta KL(rho, rho_Y)
            >= E_x min_y [g(y) + alpha/2 (y - x)^2] - beta log E_Y exp(g/beta)
    """

    def end(y: Array) -> Array:
        return fit.problem.value_function(fit.theta, 1.0, y)[0]

    phi, _ = closed_forms_line.hopf_lax(end, ALPHA, 0.0, quantiles(N_TEST // 4), GRID[::4, 0])
    weight, step = target().log_density(GRID) + end(GRID) / TERMINAL, GRID[1, 0] - GRID[0, 0]
    return float(phi.mean() - TERMINAL * np.log(np.exp(weight).sum() * step))


def distance(transport: Fit, crowd: Fit) -> float:
    """Root mean square of the difference of the two maps."""
    x = quantiles(N_TEST)
    ends = [f.problem.generate(f.theta, x, FINE) for f in (transport, crowd)]
    return float(np.sqrt(np.mean((ends[0] - ends[1]) ** 2)))


def checks_of(transport: Fit, crowd: Fit) -> list[tuple[str, bool]]:
    """What must hold."""
    x, best, bound = quantiles(N_TEST), transport.costs["total"], transport_bound(transport)
    exact = 0.5 * ALPHA * closed_forms_line.monotone_distance2(initial(), target())
    checks = []
    for f, other in ((transport, crowd), (crowd, transport)):
        rival, own = paid(f.problem, other.theta, x, FINE)["total"], f.costs["total"]
        checks += [
            (f"{f.name}: KL to the target below 0.005 ({f.kl:.4f})", 0.0 <= f.kl < 0.005),
            (f"{f.name}: mass at T within 1e-3 of 1", abs(f.mass - 1.0) < 1e-3),
            (f"{f.name}: few steps and fine ones agree within 1 %", abs(f.coarse / own - 1) < 0.01),
            (
                f"{f.name}: HJB residual below {RESIDUAL[f.name]} of dPhi/dt ({f.hjb:.3f})",
                f.hjb < RESIDUAL[f.name],
            ),
            (f"{f.name}: map within 0.1 of the monotone one, rms", f.map_error < 0.1),
            (f"{f.name}: pays less than the other's control would ({rival:.3f})", own < rival),
        ]
    return [
        *checks,
        (f"transport: at most 1 % above its lower bound {bound:.4f}", bound < best < 1.01 * bound),
        (f"transport: no more than to end at the target exactly ({exact:.4f})", best < exact),
        ("transport: paths straight, length/chord below 1.005", transport.length[1] < 1.005),
        ("transport: steady, energy at most 1 % above its least", transport.energy < 1.01),
        ("crowd: paths curved, mean length/chord above 1.02", crowd.length[0] > 1.02),
        ("crowd: unsteady, energy 10 % above its least", crowd.energy > 1.1),
        (
            "crowd: pays the obstacle 20 % less than straight paths would",
            crowd.obstacle < 0.8 * transport.obstacle,
        ),
        (
            f"one map by different dynamics: within 0.1, rms ({distance(transport, crowd):.3f})",
            distance(transport, crowd) < 0.1,
        ),
    ]


def run(out: str | Path, progress: bool = True, max_iter: int = MAX_ITER) -> bool:
    """Train both games, print the table, save figure and numbers; False where a check fails."""
    folder = outputs.folder("figure3", out)
    with tables.keeping("figure3", folder) as kept:
        straight = fit("transport", transport_game(), max_iter, progress)
        kept.add(straight.name, _numbers(straight) | {"theta": straight.theta})
        fits = (straight, fit("crowd", crowd_game(), max_iter, progress))
    views = [figure3_plots.view(f.problem, f.theta) for f in fits]
    plotting.save(figure3_plots.draw(views, target(), obstacle()), folder, "figure3")
    show(fits)
    seconds = sum(f.seconds for f in fits)
    checks = checks_of(*fits)
    checks.append(
        (f"both trainings in {MINUTES:g} minutes ({seconds:.0f} s)", seconds < 60 * MINUTES)
    )
    arrays = {f"{f.name}_theta": f.theta for f in fits}
    for f, view in zip(fits, views, strict=True):
        arrays |= {f"{f.name}_{name}": value for name, value in view._asdict().items()}
    with _files.replacing(folder / "figure3.npz") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    numbers: dict[str, Any] = {
        "modes": MODES,
        "deviation": DEVIATION,
        "alpha": ALPHA,
        "terminal": TERMINAL,
        "entropy": ENTROPY,
        "obstacle": {"height": HEIGHT, "centre": CENTRE, "spread": SPREAD},
        "width": WIDTH,
        "depth": DEPTH,
        "steps": N_STEPS,
        "fine_steps": FINE,
        "samples": N_TRAIN,
        "hjb": HJB,
        "hjb_terminal": HJB_TERMINAL,
        "max_iter": max_iter,
        "seconds": seconds,
        "transport_bound": transport_bound(fits[0]),
        "maps_apart": distance(*fits),
        "fits": [_numbers(f) for f in fits],
    }
    return tables.finish("figure3", folder, checks, numbers)


def _numbers(of: Fit) -> dict[str, Any]:
    return {k: v for k, v in of._asdict().items() if k not in ("problem", "theta")}


def show(fits: tuple[Fit, Fit]) -> None:
    """The table, a game a column."""
    rows = [
        ("L, motion", *(f"{f.costs['L']:.4f}" for f in fits)),
        ("F, obstacle and entropy", *(f"{f.costs['F']:.4f}" for f in fits)),
        ("G, terminal cost", *(f"{f.costs['G']:.4f}" for f in fits)),
        ("L + F + G", *(f"{f.costs['total']:.4f}" for f in fits)),
        (f"the same by {N_STEPS} steps", *(f"{f.coarse:.4f}" for f in fits)),
        ("KL to the target", *(f"{f.kl:.5f}" for f in fits)),
        ("1 - mass at T", *(f"{1 - f.mass:.0e}" for f in fits)),
        ("length/chord in (x, t), mean", *(f"{f.length[0]:.4f}" for f in fits)),
        ("length/chord in (x, t), largest", *(f"{f.length[1]:.4f}" for f in fits)),
        ("energy over the least for the map", *(f"{f.energy:.4f}" for f in fits)),
        ("obstacle on the way, charged or not", *(f"{f.obstacle:.4f}" for f in fits)),
        ("distance from the monotone map, rms", *(f"{f.map_error:.4f}" for f in fits)),
        ("HJB residual over dPhi/dt, rms", *(f"{f.hjb:.4f}" for f in fits)),
        ("iterations", *(f"{f.iterations}" for f in fits)),
        ("seconds", *(f"{f.seconds:.1f}" for f in fits)),
    ]
    tables.show(
        f"Figure 3: {N_TEST} quantiles, {FINE} steps of RK4",
        ["of agents on average", *(f.name for f in fits)],
        rows,
    )
