"""The mean field games among the cases with stored values; see stored_cases.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from stored_case import MANY, Draw, Found, case, prefixed, thinned

import refode
from refode import fields, games
from refode.densities import Empirical, Gaussian, GaussianMixture


def density(rng: Draw, d: int, n: int = 1) -> Any:
    """A Gaussian or a mixture of n with full covariances."""
    means, B = rng.standard_normal((n, d)), rng.standard_normal((n, d, d))
    S = 0.5 * np.eye(d) + 0.1 * B @ B.transpose(0, 2, 1)
    return Gaussian(means[0], S[0]) if n == 1 else GaussianMixture(np.full(n, 1.0 / n), means, S)


def played(
    rng: Draw, network: tuple[Any, ...], game: Any, n: int, second: bool = True, **how: Any
) -> Found:
    """Objective, its terms and gradient, second derivatives, value function and densities."""
    field = fields.Potential(*network)
    problem = refode.MeanFieldGame(field, game, **how)
    theta, v = (0.3 * rng.standard_normal(problem.n_parameters) for _ in range(2))
    x = rng.standard_normal((n, problem.dim))
    # as many samples of a known target as were drawn when values were stored
    crossed = isinstance(game.terminal_cost, games.CrossEntropy)
    drawn = crossed and not isinstance(game.target, Empirical)
    y = (game.target.sample(n, seed=0),) if drawn else ()
    both = problem.value_and_gradient(theta, x, *y)
    terms = problem.costs(theta, x, *y)
    found = {"objective": np.array(both[0]), "gradient": both[1]}
    found |= {"costs": np.array([terms[k] for k in sorted(terms)])}
    found |= {"value": np.array(problem.value(theta, x, *y))}
    if second:
        found["hessian"] = problem.hessian_vector(theta, v, x, *y)
    phi, gradient, by_time = problem.value_function(theta, 0.7, x)
    found |= {"phi": thinned(phi, n), "grad phi": thinned(gradient, n)}
    found |= {"dphi/dt": thinned(by_time, n), "generate": thinned(problem.generate(theta, x), n)}
    found["log_density"] = thinned(problem.log_density(theta, x, t=0.8), n)
    given = " ".join(f"{k}={a}" for k, a in how.items())
    return prefixed(f"{network} {n} {given}", found)


BOTH = {"hjb": 1.7, "hjb_terminal": 0.6}


@case("GameSpec-transport")
def transport(rng: Draw) -> Found:
    """Both quadratics, d above and below twice the width, depth 1 to 3, one sample and many."""
    line = games.optimal_transport(density(rng, 1), density(rng, 1, 2), alpha=0.7)
    plane = games.optimal_transport(density(rng, 2), density(rng, 2, 2), alpha=2.0, terminal=5.0)
    seven = games.optimal_transport(density(rng, 7), density(rng, 7), alpha=1.5, terminal=2.0)
    return (
        played(rng, (1, 2, 1), line, 1, n_steps=3, scheme="heun")
        | played(rng, (2, 3, 2, None, "symmetric"), plane, MANY, n_steps=2, **BOTH)
        | played(rng, (7, 3, 2, 2), seven, 21, hjb_norm="squared", **BOTH)
        | played(rng, (7, 2, 3, None, "symmetric"), seven, 5, second=False, **BOTH)
    )


@case("GameSpec-transport-diagonal")
def diagonal_transport(rng: Draw) -> Found:
    """The published games' own kind: variances along the axes."""
    initial, target = (
        Gaussian(np.zeros(2), 0.3),
        GaussianMixture(np.array([0.4, 0.6]), rng.standard_normal((2, 2)), 0.3),
    )
    game = games.optimal_transport(initial, target, alpha=2.0, terminal=5.0)
    return played(rng, (2, 16, 2, None, "symmetric"), game, 200, second=False, **BOTH)


@case("GameSpec-crowd")
def crowd(rng: Draw) -> Found:
    """An obstacle of two parts and an entropy, in both norms."""
    bump = games.GaussianBump(3.0, np.array([0.2, -0.1]), np.array([[1.0, 0.2], [0.2, 0.5]]))
    obstacle = bump + games.Quadratic(0.8, 0.3)
    found: Found = {}
    for d, network, n, how in (
        (2, (2, 4, 2, 2), 130, {"n_steps": 2}),
        (5, (5, 2, 3, 2), 5, {"n_steps": 1, "hjb_norm": "squared", "scheme": "dopri5"}),
    ):
        game = games.crowd_motion(density(rng, d, 2), density(rng, d), 1.3, obstacle, 0.2, 2.0)
        found |= played(rng, network, game, n, **BOTH, **how)
    return found


@case("GameSpec-flow")
def game_flow(rng: Draw) -> Found:
    """The cross-entropy by samples alone, with a running cost, and with the target's density."""
    data = Empirical(rng.standard_normal((130, 2)))
    alone = games.normalizing_flow(density(rng, 2), data)
    running = games.normalizing_flow(density(rng, 2, 2), data, alpha=0.6, terminal=2.0)
    known = games.normalizing_flow(density(rng, 2, 2), density(rng, 2), alpha=0.9, terminal=1.2)
    return (
        played(rng, (2, 3, 2), alone, 3)
        | played(rng, (2, 3, 2, 1), running, 13, second=False, hjb=0.8)
        | played(rng, (2, 2, 2, 1), known, 9, second=False, n_steps=1, **BOTH)
    )
