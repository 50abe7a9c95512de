"""What the checks of games run on, and games whose solution a network holds exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refode import games
from refode.densities import Gaussian, GaussianMixture
from refode.fields import Potential
from refode.problems.game import MeanFieldGame
from refode.reports.proofs.games_independent import Normals, Setting

Array = np.ndarray

SPAN = (-0.2, 1.3)  # neither from 0 nor of length 1
N_SAMPLES, N_STEPS = 5, 3
# one type of energies and of targets for all, so that they share machine code
BUMP = (2.0, np.array([0.3, -0.2]), np.array([[0.6, 0.1], [0.1, 0.4]]))
BOWL = (0.8, 0.2)


@dataclass(frozen=True)
class GameCase:
    """A game with weights (p,), starts x (N, d) and, for the cross-entropy, data y (M, d)."""

    name: str
    problem: MeanFieldGame
    theta: Array
    x: Array
    y: Array | None
    energetic: bool  # whether Q is there

    @property
    def samples(self) -> tuple[Array, ...]:
        """What the objective takes after theta."""
        return (self.x,) if self.y is None else (self.x, self.y)


def covariance(d: int, seed: int) -> Array:
    """A positive definite matrix that is not diagonal."""
    B = np.random.default_rng(seed).standard_normal((d, d))
    return 0.4 * np.eye(d) + 0.2 / d * B @ B.T + (0.02 if d > 1 else 0.0)


def densities(d: int) -> tuple[Gaussian, GaussianMixture]:
    """Where agents start, and what they are to become."""
    rng = np.random.default_rng(d)
    means = 0.7 * rng.standard_normal((2, d))
    pair = np.array([covariance(d, 1), covariance(d, 2)])
    start = Gaussian(0.3 * rng.standard_normal(d), covariance(d, 3))
    return start, GaussianMixture([0.4, 0.6], means, pair)


def energy(height: float = BUMP[0], k: float = BOWL[0]) -> games.Energy:
    """A bump on two coordinates and a bowl on all."""
    return games.GaussianBump(height, BUMP[1], BUMP[2]) + games.Quadratic(k, BOWL[1])


def game(kind: str, d: int = 2) -> games.Game:
    """transport, crowd or flow; the first and the last without energy but in the same code."""
    start, target = densities(d)
    if kind == "flow":
        cost: Any = games.CrossEntropy(target, 1.5)
        return games.Game(start, cost, 0.7, energy(0.0, 0.0))
    if kind == "transport":
        return games.Game(start, games.KullbackLeibler(target, 2.5), 1.6, energy(0.0, 0.0))
    return games.crowd_motion(start, target, 1.3, energy(), 0.3, 2.0)


def make(
    kind: str,
    quadratic: str,
    norm: str,
    d: int = 2,
    depth: int = 2,
    scheme: str = "rk4",
    n_steps: int = N_STEPS,
) -> GameCase:
    """A case with both penalties, and weights that move agents by about one."""
    field = Potential(d, 4, depth, quadratic=quadratic)
    problem = MeanFieldGame(field, game(kind, d), 1.7, 0.6, norm, scheme, n_steps, SPAN)
    theta = 0.4 * np.random.default_rng((d, depth)).standard_normal(problem.n_parameters)
    x = problem.game.initial.sample(N_SAMPLES, seed=1)
    y = problem.game.target.sample(N_SAMPLES - 1, seed=2) if kind == "flow" else None
    return GameCase(
        f"{kind}, {quadratic}, {norm}, d = {d}, {depth} layers",
        problem,
        theta,
        x,
        y,
        kind == "crowd",
    )


def cases(quick: bool) -> list[GameCase]:
    """Quick: three; full: games, quadratics and norms in all pairs, more layers, d above 2 m."""
    if quick:
        return [
            make("transport", "symmetric", "absolute"),
            make("crowd", "lowrank", "squared", 3, 3),
            make("flow", "lowrank", "squared"),
        ]
    chosen = [
        make(kind, quadratic, norm)
        for kind in ("transport", "crowd", "flow")
        for quadratic in ("lowrank", "symmetric")
        for norm in ("absolute", "squared")
    ]
    return chosen + [
        make("crowd", "lowrank", "squared", 3, 4),
        make("crowd", "symmetric", "squared", 10),
        make("crowd", "lowrank", "absolute", 2, 1),
    ]


def setting(case: GameCase) -> Setting:
    """The same game for the second opinion, of which it knows numbers alone."""
    p = case.problem
    g, start, target = p.game, p.game.initial, p.game.target
    assert isinstance(start, Gaussian)
    assert isinstance(target, GaussianMixture)
    factor = float(case.energetic)
    return Setting(
        Normals(np.ones(1), start.mean[None], start.covariance[None]),
        Normals(target.weights, target.means, target.covariances),
        g.alpha,
        (factor * BUMP[0], BUMP[1], BUMP[2]),
        (factor * BOWL[0], BOWL[1]),
        g.entropy,
        g.terminal,
        case.y is not None,
        p.hjb,
        p.hjb_terminal,
        p.t_span,
        p.potential.quadratic == "symmetric",
    )


# --- exact ---------------------------------------------------------------------------------------
def quadratic_potential(S: Array, b: Array, c: float) -> tuple[Potential, Array]:
    """Phi = s . S s/2 + b . s + c with s = (x, t), by a network whose w is 0."""
    field = Potential(len(b) - 1, 2, quadratic="symmetric")
    weights = {name: np.zeros(shape) for name, shape in field.layout.shapes.items()}
    weights |= {"A": S, "b": b, "c": np.array(c), "K0": np.ones((2, len(b)))}
    return field, field.layout.pack(weights)


@dataclass(frozen=True)
class Exact:
    """A game with theta of its solution and what that costs; the density that agents end with."""

    problem: MeanFieldGame
    theta: Array
    L: float
    F: float
    end: Gaussian


def translation(n_steps: int) -> Exact:
    """Equal covariances: agents keep their velocity, every scheme is exact."""
    alpha, beta, T = 1.7, 2.3, 1.4
    S = np.array([[0.8, 0.2], [0.2, 0.5]])
    m0, mY, inverse = np.array([0.3, -1.0]), np.array([1.5, 0.7]), np.linalg.inv(S)
    a = np.linalg.solve(np.eye(2) + beta * T / alpha * inverse, beta * inverse @ (m0 - mY))
    m1, by_time = m0 - a * T / alpha, a @ a / (2 * alpha)
    c = beta * (1 + 0.5 * (mY @ inverse @ mY - m1 @ inverse @ m1)) - by_time * T
    field, theta = quadratic_potential(np.zeros((3, 3)), np.append(a, by_time), c)
    cost = games.KullbackLeibler(Gaussian(mY, S), beta)
    played = games.Game(Gaussian(m0, S), cost, alpha, energy(0.0, 0.0))
    problem = MeanFieldGame(field, played, 2.0, 3.0, n_steps=n_steps, t_span=(0.0, T))
    return Exact(problem, theta, float(by_time * T), 0.0, Gaussian(m1, S))


def stationary(n_steps: int) -> Exact:
    """L = alpha/2 |v|^2 + k/2 x^2 with Phi = alpha omega x^2/2 + c at all times."""
    alpha, k, beta, s0 = 1.3, 0.9, 2.0, 0.8
    omega = np.sqrt(k / alpha)
    P, s1 = alpha * omega, s0 * np.exp(-omega)
    sY = 1.0 / np.sqrt(P / beta + 1.0 / s1**2)
    field, theta = quadratic_potential(np.diag([P, 0.0]), np.zeros(2), beta * (1 + np.log(sY / s1)))
    played = games.crowd_motion(
        Gaussian([0.0], s0**2),
        Gaussian([0.0], sY**2),
        alpha,
        games.GaussianBump(0.0, [0.0], 1.0) + games.Quadratic(k),
        0.0,
        beta,
    )
    problem = MeanFieldGame(field, played, 1.0, 1.0, n_steps=n_steps)
    area = (s0**2 - s1**2) / (2 * omega)  # int s^2 dt
    L, F = 0.5 * alpha * omega**2 * area, 0.5 * k * area
    return Exact(problem, theta, L, F, Gaussian([0.0], s1**2))
