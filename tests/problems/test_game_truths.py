"""Games against solutions in closed form: potentials that are exact, and trained ones.

The exact ones are affine or quadratic, within the network's reach with w = 0; what is left is
rounding, or the scheme's own error at its order. The trained ones come within a percent.
"""

from __future__ import annotations

import numpy as np
import pytest
import tolerances as tol
from scipy.integrate import simpson
from scipy.stats import norm

import refode
from refode import closed_forms, games
from refode.densities import Gaussian, GaussianMixture

NO_BUMP = games.GaussianBump(0.0, [0.0], 1.0)  # energies of one type share machine code


def quantiles(n, rho):
    """n samples of a one-dimensional Gaussian that stand for equal masses."""
    x = norm.ppf((np.arange(n) + 0.5) / n)
    x *= 1.0 / np.sqrt(np.mean(x**2))
    return rho.mean + np.sqrt(rho.covariance[0, 0]) * x[:, None]


def quadratic_potential(d, Q, b, c):
    """Phi(s) = s . Q s/2 + b . s + c, s = (x, t), by a network with w = 0."""
    field = refode.fields.Potential(d, 2, 2, quadratic="symmetric")
    weights = {n: np.zeros(s) for n, s in field.layout.shapes.items()}
    weights |= {"A": Q, "b": b, "c": np.array(c), "K0": np.ones((2, d + 1))}
    return field, field.layout.pack(weights)


# --- exact ---------------------------------------------------------------------------------------
@pytest.mark.nojit
def test_translation_is_exact():
    """Equal covariances: agents move at one velocity, and every term is right to rounding."""
    alpha, beta, T, S = 1.7, 2.3, 1.4, np.array([[0.8, 0.2], [0.2, 0.5]])
    m0, mY = np.array([0.3, -1.0]), np.array([1.5, 0.7])
    inverse = np.linalg.inv(S)
    # a = beta S^{-1} (m0 - a T/alpha - mY)
    a = np.linalg.solve(np.eye(2) + beta * T / alpha * inverse, beta * inverse @ (m0 - mY))
    m1, by_time = m0 - a * T / alpha, a @ a / (2 * alpha)
    # at T: a . x + by_time T + c = beta (1 + log rho - log rho_Y)
    c = beta * (1 + 0.5 * (mY @ inverse @ mY - m1 @ inverse @ m1)) - by_time * T
    field, theta = quadratic_potential(2, np.zeros((3, 3)), np.append(a, by_time), c)
    game = games.optimal_transport(Gaussian(m0, S), Gaussian(mY, S), alpha, beta)
    x = game.initial.sample(40, seed=0)
    for n_steps in (1, 5):
        problem = refode.MeanFieldGame(field, game, 2.0, 3.0, n_steps=n_steps, t_span=(0.0, T))
        terms = problem.costs(theta, x)
        assert terms["hjb"] <= tol.EXACT_GAME
        assert terms["hjb_terminal"] <= tol.EXACT_GAME
        assert abs(terms["L"] - a @ a / (2 * alpha) * T) <= tol.EXACT_GAME
        assert np.abs(problem.generate(theta, x) - x + a * T / alpha).max() <= tol.EXACT_GAME
        z = problem.generate(theta, x)
        log_rho = Gaussian(m1, S).log_density(z)
        assert np.abs(problem.log_density(theta, z) - log_rho).max() <= tol.EXACT_GAME
        agent = problem.single_agent_cost(theta, x, 0.4)
        phi = problem.value_function(theta, 0.4, x)[0]
        assert np.abs(agent - phi).max() <= tol.EXACT_GAME
    # the closed form has T = 1: alpha/T does the same
    best = closed_forms.relaxed_transport(game.initial, game.target, alpha / T, beta)
    assert np.abs(best.mean - m1).max() <= tol.EXACT_GAME
    assert np.abs(best.covariance - S).max() <= tol.EXACT_GAME


def stationary(alpha=1.3, stiffness=0.9, beta=2.0, s0=0.8):
    """L = alpha/2 v^2 + k/2 x^2 with Phi = alpha omega x^2/2 + c at all times, MATH 6.4.

    The target is the Gaussian for which the terminal condition holds.
    """
    omega = np.sqrt(stiffness / alpha)
    P, s1 = alpha * omega, s0 * np.exp(-omega)
    sY = 1.0 / np.sqrt(P / beta + 1.0 / s1**2)
    c = beta * (1 + np.log(sY / s1))
    field, theta = quadratic_potential(1, np.diag([P, 0.0]), np.zeros(2), c)
    game = games.crowd_motion(
        Gaussian([0.0], s0**2),
        Gaussian([0.0], sY**2),
        alpha=alpha,
        terminal=beta,
        obstacle=NO_BUMP + games.Quadratic(stiffness, 0.0),
    )
    return field, theta, game, omega, s0, s1, sY


def test_stationary_value_function():
    """r = 0 to rounding on any path; the rest is the scheme's error, of order 4."""
    field, theta, game, omega, s0, s1, sY = stationary()
    x = quantiles(60, game.initial)
    alpha, stiffness = game.alpha, 0.9
    area = (s0**2 - s1**2) / (2 * omega)  # int s^2 dt
    L, F = 0.5 * alpha * omega**2 * area, 0.5 * stiffness * area
    G = game.terminal * (np.log(sY / s1) + 0.5 * (s1**2 / sY**2 - 1))
    errors = {"L": [], "F": [], "G": [], "hjb_terminal": []}
    for n_steps in (8, 16, 32, 64):
        terms = refode.MeanFieldGame(field, game, 1.0, 1.0, n_steps=n_steps).costs(theta, x)
        assert terms["hjb"] <= tol.EXACT_GAME
        wanted = {"L": L, "F": F, "G": G, "hjb_terminal": 0.0}
        for name, value in wanted.items():
            errors[name].append(abs(terms[name] - value))
    # the log-density of quantiles is not a mean over the density: only its part in z is exact
    for name in ("L", "F", "hjb_terminal"):
        e = np.array(errors[name])
        order = np.log2(e[:-1] / e[1:])
        assert np.abs(order - 4.0).max() <= tol.GAME_ORDER, (name, order)
    problem = refode.MeanFieldGame(field, game, n_steps=128)
    for t in (0.0, 0.3, 1.0):
        agent = problem.single_agent_cost(theta, x, t)
        phi = problem.value_function(theta, t, x)[0]
        assert np.abs(agent - phi).max() <= tol.FINE_STEPS
    truth = closed_forms.lq_value_function(alpha, stiffness, alpha * omega, 0.3, x)
    phi = problem.value_function(theta, 0.3, x)[0]
    assert np.abs(phi - theta[-1] - truth[0]).max() <= tol.EXACT_GAME


def control(alpha, stiffness, S, initial):
    """Linear-quadratic control: S/2 |z(T)|^2 at the end, no target anywhere."""
    running = NO_BUMP + games.Quadratic(stiffness)
    return games.Game(initial, NO_BUMP + games.Quadratic(S), alpha, running)


def test_stationary_control():
    """With S = alpha omega the value function is alpha omega |x|^2/2 at all times, (D74), (D87)."""
    alpha, stiffness = 1.3, 0.9
    omega = np.sqrt(stiffness / alpha)
    P = alpha * omega
    game = control(alpha, stiffness, P, Gaussian([0.4, -0.3], 0.5))
    field, theta = quadratic_potential(2, np.diag([P, P, 0.0]), np.zeros(3), 0.0)
    x = game.initial.sample(30, seed=2)
    size, errors = np.mean(np.sum(x**2, axis=1)), []
    for n_steps in (8, 16, 32, 64):
        terms = refode.MeanFieldGame(field, game, 2.0, 3.0, n_steps=n_steps).costs(theta, x)
        assert terms["hjb"] <= tol.EXACT_GAME
        assert terms["hjb_terminal"] <= tol.EXACT_GAME
        errors.append(abs(terms["G"] - 0.5 * P * np.exp(-2.0 * omega) * size))
    assert np.abs(np.log2(np.array(errors[:-1]) / errors[1:]) - 4.0).max() <= tol.GAME_ORDER
    problem = refode.MeanFieldGame(field, game, n_steps=128)
    for t in (0.0, 0.3, 1.0):
        phi, gradient, by_time = closed_forms.lq_value_function(alpha, stiffness, P, t, x)
        agent = problem.single_agent_cost(theta, x, t)
        assert np.abs(agent - phi).max() <= tol.FINE_STEPS
        for got, want in zip(
            problem.value_function(theta, t, x), (phi, gradient, by_time), strict=True
        ):
            assert np.abs(got - want).max() <= tol.EXACT_GAME


def test_paths_and_momentum():
    """z(t) in closed form, and p = grad Phi(t, z(t)) obeys p' = -grad Q along it."""
    alpha, stiffness, n, a = 1.3, 0.9, 50, 0.7
    omega, q = np.sqrt(stiffness / alpha), np.array([0.4, -0.6])
    bowl = NO_BUMP + games.Quadratic(stiffness, q)
    game = games.crowd_motion(Gaussian([0.0, 0.0], 1.0), Gaussian([0.0, 0.0], 1.0), alpha, bowl)
    P = alpha * omega  # Phi = P/2 |x - q|^2 - a t: the constant part of H is a
    field, theta = quadratic_potential(
        2, np.diag([P, P, 0.0]), np.append(-P * q, -a), 0.5 * P * q @ q
    )
    problem = refode.MeanFieldGame(field, game, n_steps=n)
    x = game.initial.sample(7, seed=3)
    paths, times = problem.trajectory(theta, x), np.linspace(0.0, 1.0, n + 1)
    exact = q + (x - q) * np.exp(-omega * times)[:, None, None]
    assert np.abs(paths - exact).max() <= tol.FINE_STEPS
    p = np.array(
        [problem.value_function(theta, t, z)[1] for t, z in zip(times, paths, strict=True)]
    )
    force = -stiffness * (paths - q)
    gained = simpson(force, x=times, axis=0)
    assert np.abs(p[-1] - p[0] - gained).max() <= tol.FINE_STEPS
    # (24) holds but for a: along a path R gathers |a| to rounding
    assert np.abs(problem.states(theta, x)[-1, :, -1] - a).max() <= tol.EXACT_GAME


# --- trained -------------------------------------------------------------------------------------
def trained(problem, x, max_iter, theta0=None):
    return refode.train(problem, x, theta0=theta0, max_iter=max_iter, progress=False).x


def test_lq_game_with_entropy():
    """Cost, mean and deviation within 1 %, Phi within a few percent of its range, (D85)."""
    alpha, entropy, k, q, beta = 1.0, 0.3, 0.8, 0.5, 2.0
    truth = closed_forms.lq_game(alpha, entropy, k, q, beta, -1.0, 0.8, 1.0, 0.5)
    game = games.crowd_motion(
        Gaussian([-1.0], 0.64),
        Gaussian([1.0], 0.25),
        alpha,
        NO_BUMP + games.Quadratic(k, q),
        entropy,
        beta,
    )
    field = refode.fields.Potential(1, 12, 2, quadratic="symmetric")
    problem = refode.MeanFieldGame(field, game, 1.0, 1.0, "squared", n_steps=8)
    x = quantiles(200, game.initial)
    theta = trained(problem, x, 500)
    fine = problem.costs(theta, x, n_steps=64)
    J = fine["L"] + fine["F"] + fine["G"]
    # quantiles have the exact mean and variance, and nearly the density's entropy
    gap = np.mean(game.initial.log_density(x)) - (-0.5 * np.log(2 * np.pi * 0.64) - 0.5)
    assert abs(gap) <= tol.ROUNDED_QUANTILES
    assert abs(J / truth.total - 1) <= tol.TRAINED_COST
    z = problem.generate(theta, x, n_steps=64)[:, 0]
    assert abs(z.mean() - truth.mean(1.0)[0]) <= tol.TRAINED_MOMENT * truth.deviation(1.0)[0]
    assert abs(z.std() / truth.deviation(1.0)[0] - 1) <= tol.TRAINED_MOMENT
    phi = problem.value_function(theta, 0.0, x)[0]
    exact = truth.value_function(0.0, x)[0]
    assert abs(phi.mean() / (truth.total + entropy + beta) - 1) <= tol.TRAINED_VALUE
    off = phi - exact
    assert np.abs(off - off.mean()).max() <= tol.TRAINED_VALUE * np.ptp(exact)


def test_trained_control():
    """Any S: the cost and the value function in closed form, within a percent, (D74)."""
    alpha, stiffness, S = 1.0, 0.8, 2.5
    game = control(alpha, stiffness, S, Gaussian([0.5], 0.64))
    field = refode.fields.Potential(1, 12, 2, quadratic="symmetric")
    problem = refode.MeanFieldGame(field, game, 1.0, 1.0, "squared", n_steps=8)
    x = quantiles(200, game.initial)
    theta = trained(problem, x, 400)
    fine = problem.costs(theta, x, n_steps=64)
    exact = closed_forms.lq_value_function(alpha, stiffness, S, 0.0, x)[0]
    assert abs((fine["L"] + fine["F"] + fine["G"]) / exact.mean() - 1) <= tol.TRAINED_COST
    phi = problem.value_function(theta, 0.0, x)[0]
    assert np.abs(phi - exact).max() <= tol.TRAINED_VALUE * np.ptp(exact)


def test_gaussian_transport():
    """Map and cost of relaxed transport; int L = W2^2/2 to the law that is reached."""
    S0, S1 = np.array([[0.6, 0.2], [0.2, 0.4]]), np.array([[0.3, -0.1], [-0.1, 0.5]])
    source, target = Gaussian([0.0, 0.0], S0), Gaussian([1.0, -0.5], S1)
    alpha, beta = 1.0, 3.0
    game = games.crowd_motion(source, target, alpha, NO_BUMP + games.Quadratic(0.0), 0.0, beta)
    problem = refode.MeanFieldGame(
        refode.fields.Potential(2, 12, 2, quadratic="symmetric"), game, 0.3, 0.3, n_steps=4
    )
    x = source.sample(600, seed=0)
    x = (x - x.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T, bias=True))).T
    x = x @ source.cholesky.T  # the exact first two moments
    theta = trained(problem, x, 400)
    best = closed_forms.relaxed_transport(source, target, alpha, beta)
    A = closed_forms.bures_map(source, best)
    z = problem.generate(theta, x, n_steps=32)
    wanted = best.mean + (x - source.mean) @ A.T
    assert np.sqrt(np.mean((z - wanted) ** 2)) <= tol.TRAINED_MAP
    fine = problem.costs(theta, x, n_steps=32)
    cost = 0.5 * alpha * closed_forms.bures_distance2(source, best)
    assert abs(fine["L"] / cost - 1) <= tol.TRAINED_COST
    paths = problem.trajectory(theta, x, n_steps=32)
    length = np.linalg.norm(np.diff(paths, axis=0), axis=2).sum(axis=0)
    chord = np.linalg.norm(paths[-1] - paths[0], axis=1)
    assert np.mean(length) / np.mean(chord) - 1 <= tol.TRAINED_COST


def test_transport_on_the_line():
    """The trained map is the monotone map to the law that it reaches, and the mass is 1."""
    source = Gaussian([0.0], 1.0)
    target = GaussianMixture([0.4, 0.6], [[-1.5], [1.2]], [0.2, 0.3])
    game = games.crowd_motion(source, target, 1.0, NO_BUMP + games.Quadratic(0.0), 0.0, 20.0)
    problem = refode.MeanFieldGame(
        refode.fields.Potential(1, 20, 2, quadratic="symmetric"), game, 0.5, 0.1, n_steps=8
    )
    x = quantiles(200, source)
    theta = trained(problem, x, 600)
    z = problem.generate(theta, x, n_steps=64)
    assert np.all(np.diff(z[:, 0]) > 0)
    middle = slice(10, 190)  # beta is finite: the tails stay short of the target
    exact = closed_forms.monotone_map(source, target, x)
    off = np.ravel(z - exact.reshape(z.shape))[middle]
    assert np.sqrt(np.mean(off**2)) <= tol.TRAINED_LINE
    grid = np.linspace(-6.0, 6.0, 2401)[:, None]
    rho = np.exp(problem.log_density(theta, grid, n_steps=64))
    assert abs(np.sum(rho) * (grid[1, 0] - grid[0, 0]) - 1) <= tol.MASS
