"""Games whose solution is known: exact potentials, a short training, what paths conserve."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import norm

from refode import fields, games, training, verify
from refode.closed_forms import games as closed_forms_games
from refode.densities import Gaussian
from refode.problems.game import MeanFieldGame
from refode.reports.proofs.game_cases import Exact, make, stationary, translation
from refode.reports.section import Section

Array = np.ndarray

EXACT = 1e-12  # what a network holds exactly: rounding of numbers of order one to ten
STATIONARY = 1e-8  # 128 steps of RK4 at rates of order one: (1/128)^4 = 4e-9
COST, MOMENT, PHI = 0.01, 0.01, 0.02  # a trained game: relative, Phi to its range over the agents
MASS = 1e-5


def _terms_of(truth: Exact) -> dict[str, float]:
    """Distances of everything a problem computes from the solution."""
    p, theta = truth.problem, truth.theta
    x = p.game.initial.sample(40, seed=0)
    terms, z = p.costs(theta, x), p.generate(theta, x)
    t = 0.3 * p.t_span[1]
    agent, phi = p.single_agent_cost(theta, x, t), p.value_function(theta, t, x)[0]
    log_rho = truth.end.log_density(z)
    return {
        "residual": terms["hjb"],
        "terminal condition": terms["hjb_terminal"],
        "log rho": float(np.abs(p.states(theta, x)[-1, :, p.dim] - log_rho).max()),
        "log rho from T": float(np.abs(p.log_density(theta, z) - log_rho).max()),
        "single agents pay Phi": float(np.abs(agent - phi).max()),
    }


def closed_forms(section: Section) -> None:
    truth = translation(2)
    x = truth.problem.game.initial.sample(40, seed=0)
    terms = _terms_of(truth)
    terms["L"] = abs(truth.problem.costs(truth.theta, x)["L"] - truth.L)
    _all_below(section, "transport by translation, 2 steps", terms, EXACT)
    truth = stationary(128)
    terms = _terms_of(truth)
    _all_below(section, "stationary linear-quadratic game, 128 steps", terms, STATIONARY)
    x = quantiles(60, 0.0, 0.8)
    steps = 2 ** np.arange(3, 7)
    for name, exact in (("L", truth.L), ("F", truth.F)):
        errors = []
        for n in steps:
            other = stationary(int(n))
            errors.append(abs(other.problem.costs(other.theta, x)[name] - exact))
        report = verify.observed_order(errors, 1.0 / steps, expected=4.0)
        section.add(
            f"stationary game: {name} tends to the closed form",
            report,
            f"order {report.order:.3f}",
            "4 ± 0.1, 3 halvings",
        )


def _all_below(section: Section, name: str, found: dict[str, float], bound: float) -> None:
    worst = max(found, key=lambda key: found[key])
    section.add(name, found[worst] < bound, f"{found[worst]:.1e} off, {worst}", f"< {bound:.0e}")
    section.numbers[name] = found


def quantiles(n: int, mean: float, deviation: float) -> Array:
    """n samples (n, 1) of equal masses with the exact mean and variance."""
    x = norm.ppf((np.arange(n) + 0.5) / n)
    return mean + deviation * (x / np.sqrt(np.mean(x**2)))[:, None]


def linear_quadratic(width: int = 12) -> tuple[Any, MeanFieldGame, Array]:
    """The game with entropy in closed form, the problem and its samples."""
    alpha, entropy, k, q, beta = 1.0, 0.3, 0.8, 0.5, 2.0
    truth = closed_forms_games.lq_game(alpha, entropy, k, q, beta, -1.0, 0.8, 1.0, 0.5)
    played = games.crowd_motion(
        Gaussian([-1.0], 0.64),
        Gaussian([1.0], 0.25),
        alpha,
        games.GaussianBump(0.0, [0.0], 1.0) + games.Quadratic(k, q),
        entropy,
        beta,
    )
    field = fields.Potential(1, width, 2, quadratic="symmetric")
    problem = MeanFieldGame(field, played, 1.0, 1.0, "squared", n_steps=8)
    return truth, problem, quantiles(200, -1.0, 0.8)


def trained(section: Section, max_iter: int = 500) -> dict[str, Any]:
    truth, problem, x = linear_quadratic()
    theta = training.train(problem, x, max_iter=max_iter, progress=False).x
    terms = problem.costs(theta, x, n_steps=64)
    z = problem.generate(theta, x, n_steps=64)[:, 0]
    phi, exact = problem.value_function(theta, 0.0, x)[0], truth.value_function(0.0, x)[0]
    mean, deviation = truth.mean(1.0)[0], truth.deviation(1.0)[0]
    off, game = phi - exact, problem.game
    at_once = truth.total + game.entropy + game.terminal  # E Phi(0, x)
    found = {
        "cost": (terms["L"] + terms["F"] + terms["G"]) / truth.total - 1.0,
        "mean": (z.mean() - mean) / deviation,
        "deviation": z.std() / deviation - 1.0,
        "mean of Phi": phi.mean() / at_once - 1.0,
        "Phi up to a constant": np.abs(off - off.mean()).max() / np.ptp(exact),
    }
    for name, value in found.items():
        bound = PHI if "Phi" in name else MOMENT if name in ("mean", "deviation") else COST
        section.add(
            f"trained game with entropy: {name}",
            abs(value) < bound,
            f"{100 * abs(value):.2f} % off",
            f"< {100 * bound:.0f} %",
        )
    section.numbers["trained"] = found
    return {"truth": truth, "problem": problem, "theta": theta}


def conservation(section: Section) -> None:
    """H is constant along a path, so that L - F grows as H t; densities integrate to 1.

    Agents come to rest in a bowl, where H = 0. (Along the exact potential's *values* H is
    constant on any path: the quadratures L and F are those of the path that was taken.)
    """
    truth = stationary(32)
    p, x = truth.problem, truth.problem.game.initial.sample(9, seed=3)
    states, times = p.states(truth.theta, x), np.linspace(0.0, 1.0, 33)[:, None]
    omega = np.sqrt(0.9 / p.game.alpha)
    differences = {
        "Hamiltonian along a path": (states[..., 2] - states[..., 3], EXACT),
        "path into a bowl": (states[..., 0] - x[:, 0] * np.exp(-omega * times), STATIONARY),
    }
    for name, (difference, bound) in differences.items():
        worst = float(np.abs(difference).max())
        section.add(name, worst < bound, f"{worst:.1e} off", f"< {bound:.0e}")
    for quadratic in ("lowrank", "symmetric"):
        case = make("crowd", quadratic, "squared", n_steps=32)
        axis = np.linspace(-9.0, 9.0, 121)
        points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        rho = np.exp(case.problem.log_density(case.theta, points))
        off = abs(float(rho.sum() * (axis[1] - axis[0]) ** 2) - 1.0)
        section.add(
            f"integral of the density, {quadratic}", off < MASS, f"{off:.1e} off 1", f"< {MASS:.0e}"
        )
