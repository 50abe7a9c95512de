"""Small mean field games, each beside the oracle's description of the same game."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import oracle_games as og

import refode
from refode import _seeds
from refode.densities import Empirical, Gaussian, GaussianMixture

Array = np.ndarray


def _spd(d: int, seed: int) -> Array:
    B = np.random.default_rng(seed).standard_normal((d, d))
    return 0.4 * np.eye(d) + 0.15 * B @ B.T


def _gaussian(d: int, seed: int) -> tuple[Gaussian, og.Mixture]:
    mean, S = np.random.default_rng(seed).standard_normal(d), _spd(d, seed)
    return Gaussian(mean, S), og.gaussian(mean, S)


def _mixture(d: int, seed: int) -> tuple[GaussianMixture, og.Mixture]:
    rng = np.random.default_rng(seed)
    w, means = np.array([0.3, 0.7]), rng.standard_normal((2, d))
    S = np.array([_spd(d, seed + 1), _spd(d, seed + 2)])
    return GaussianMixture(w, means, S), og.Mixture(w, means, S)


@dataclass
class GameCase:
    """A problem, the oracle's shape, game and settings, samples."""

    name: str
    shape: og.Shape
    game: Any
    twin: og.OracleGame
    n: int = 3
    y: Array | None = None
    how: dict[str, Any] = field(default_factory=dict)

    def problem(self) -> Any:
        """The problem under test."""
        p, how = self.shape, dict(self.how)
        potential = refode.fields.Potential(p.dim, p.width, p.depth, p.rank, p.quadratic)
        names = {"norm": "hjb_norm"}
        given = {names.get(k, k): v for k, v in how.items()}
        return refode.MeanFieldGame(potential, self.game, **given)

    def theta(self) -> Array:
        """Weights without zeros, small enough for paths to stay near."""
        rng = np.random.default_rng(sum(map(ord, self.name)))
        return 0.4 * rng.standard_normal(og.n_parameters(self.shape))

    def samples(self) -> Array:
        """Some points where the initial density has mass."""
        return self.game.initial.sample(self.n, seed=1)

    def tableau(self) -> Any:
        """The scheme's coefficients, for the oracle."""
        name = self.how.get("scheme", "rk4")
        return refode.tableaus.get(name).propagating().as_floats()

    def oracle(self, theta: Array, x: Array) -> dict[str, Any]:
        """The oracle's weighted terms."""
        how = {k: v for k, v in self.how.items() if k != "scheme"}
        return og.costs(theta, self.shape, self.twin, x, self.y, tableau=self.tableau(), **how)


def _control(both: dict[str, float]) -> list[GameCase]:
    """Games whose terminal cost is an energy: a sum of two, or one with a weight of its own."""
    games, Shape = refode.games, og.Shape
    (g2, o2), (m2, p2) = _gaussian(2, 5), _mixture(2, 9)
    mean, S = np.array([0.4, 0.3]), np.array([[0.8, -0.1], [-0.1, 0.6]])
    obstacle = games.GaussianBump(3.0, mean, S) + games.Quadratic(0.8, 0.3)
    goal = games.GaussianBump(-2.0, mean, S) + games.Quadratic(1.4, -0.2)
    avoided = og.Bump(3.0, mean, S), og.Quadratic(0.8, np.full(2, 0.3))
    sought = og.Bump(-2.0, mean, S), og.Quadratic(1.4, np.full(2, -0.2))
    weighted = games.TerminalEnergy(goal, 0.7)
    return [
        GameCase(
            "control",
            Shape(2, 3, 2, 2),
            games.Game(m2, goal, 1.3, obstacle, 0.2),
            og.OracleGame(p2, None, 1.3, 1.0, "energy", avoided, 0.2, sought),
            n=4,
            how=both | {"n_steps": 2},
        ),
        GameCase(
            "control-squared",
            Shape(2, 2, 2, None, "symmetric"),
            games.Game(g2, weighted, 0.9),
            og.OracleGame(o2, None, 0.9, 0.7, "energy", goal=sought),
            how=both | {"n_steps": 2, "norm": "squared", "scheme": "heun"},
        ),
        GameCase(
            "control-no-penalty",
            Shape(2, 3, 1, 1),
            games.Game(g2, weighted, 1.1, obstacle),
            og.OracleGame(o2, None, 1.1, 0.7, "energy", avoided, goal=sought),
            n=1,
            how={"n_steps": 3},
        ),
    ]


def cases() -> list[GameCase]:
    """All kinds of games, norms, quadratics, depths and ways to know the target."""
    games, Shape = refode.games, og.Shape
    (g1, o1), (g2, o2), (m2, p2) = _gaussian(2, 0), _gaussian(2, 5), _mixture(2, 9)
    (m1, q1), (n1, r1) = _mixture(1, 3), _gaussian(1, 4)
    (g5, o5), (h5, k5) = _gaussian(5, 1), _gaussian(5, 2)
    both = {"hjb": 1.7, "hjb_terminal": 0.6}
    found = []
    found.append(
        GameCase(
            "transport",
            Shape(2, 3, 2, None, "symmetric"),
            games.optimal_transport(g1, m2, alpha=2.0, terminal=5.0),
            og.OracleGame(o1, p2, alpha=2.0, terminal=5.0),
            how=both | {"n_steps": 2},
        )
    )
    found.append(
        GameCase(
            "transport-no-penalty",
            Shape(1, 2, 1),
            games.optimal_transport(n1, m1, alpha=0.7),
            og.OracleGame(r1, q1, alpha=0.7, terminal=games.optimal_transport(n1, m1).terminal),
            n=1,
            how={"n_steps": 3, "scheme": "heun"},
        )
    )
    bump_mean, bump_S = np.array([0.2, -0.1]), np.array([[1.0, 0.2], [0.2, 0.5]])
    # one sum of energies for all, so that they share machine code
    bump = games.GaussianBump(3.0, bump_mean, bump_S) + games.Quadratic(0.8, 0.3)
    obump = og.Bump(3.0, bump_mean, bump_S)
    bowl, bowl5 = og.Quadratic(0.8, np.full(2, 0.3)), og.Quadratic(0.8, np.full(5, 0.3))
    found.append(
        GameCase(
            "crowd",
            Shape(2, 3, 2, 2),
            games.crowd_motion(m2, g2, alpha=1.3, obstacle=bump, entropy=0.2, terminal=2.0),
            og.OracleGame(p2, o2, 1.3, 2.0, "kl", (obump, bowl), 0.2),
            n=4,
            how=both | {"n_steps": 2},
        )
    )
    found.append(
        GameCase(
            "crowd-squared",
            Shape(5, 2, 3, 2),
            games.crowd_motion(g5, h5, alpha=1.0, obstacle=bump, entropy=0.3, terminal=1.5),
            og.OracleGame(o5, k5, 1.0, 1.5, "kl", (obump, bowl5), 0.3),
            n=2,
            how=both | {"n_steps": 1, "norm": "squared", "scheme": "rk4_38"},
        )
    )
    found.append(
        GameCase(
            "crowd-later",
            Shape(2, 2, 2, 1),
            games.crowd_motion(g1, g2, alpha=2.0, obstacle=bump, entropy=0.0, terminal=1.0),
            og.OracleGame(o1, o2, 2.0, 1.0, "kl", (obump, bowl), 0.0),
            n=2,
            how=both | {"n_steps": 2, "t_span": (0.5, 2.0), "norm": "squared"},
        )
    )
    found += _control(both)
    y = np.random.default_rng(2).standard_normal((5, 2))
    found.append(
        GameCase(
            "flow",
            Shape(2, 3, 2),
            games.normalizing_flow(g1, Empirical(y)),
            og.OracleGame(o1, None, 0.0, 1.0, "cross_entropy"),
            y=y,
            how={"n_steps": 2},
        )
    )
    found.append(
        GameCase(
            "flow-transport",
            Shape(2, 3, 2, 1),
            games.normalizing_flow(m2, Empirical(y), alpha=0.6, terminal=2.0),
            og.OracleGame(p2, None, 0.6, 2.0, "cross_entropy"),
            y=y,
            how={"n_steps": 2, "hjb": 0.8},
        )
    )
    found.append(
        GameCase(
            "flow-density",
            Shape(2, 2, 2, 1),
            games.normalizing_flow(m2, g2, alpha=0.9, terminal=1.2),
            og.OracleGame(p2, o2, 0.9, 1.2, "cross_entropy"),
            y=g2.sample(3, seed=_seeds.number("target of the cross-entropy")),
            how=both | {"n_steps": 1},
        )
    )
    return found


CASES = cases()
