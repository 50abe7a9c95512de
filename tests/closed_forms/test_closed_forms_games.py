"""Linear-quadratic games in closed form, against their equations and against rivals."""

from __future__ import annotations

import re

import numpy as np
import pytest
from closed_form_checks import close, derivative
from scipy.integrate import solve_ivp
from tolerances import (
    CLOSED_FORM,
    CLOSED_FORM_STEP,
    LQ_DIFFERENCE,
    LQ_GAME,
    LQ_HARD,
    LQ_LIMIT,
    LQ_RIVAL,
    LQ_SHOOTING,
)

from refode.closed_forms import (
    bures_distance2,
    lq_game,
    relaxed_transport,
)
from refode.densities import Gaussian

ONE = {
    "alpha": 2.0,
    "entropy": 0.3,
    "stiffness": 1.5,
    "centre": 0.3,
    "terminal": 5.0,
    "mean0": 1.0,
    "deviation0": 0.6,
    "target_mean": -2.0,
    "target_deviation": 0.4,
    "T": 1.4,
}
CASES = {
    "all": ONE,
    "transport": ONE | {"entropy": 0.0, "stiffness": 0.0, "T": 1.0},
    "no entropy": ONE | {"entropy": 0.0},
    "free": ONE | {"stiffness": 0.0, "target_deviation": 1.7},
    "spreading": ONE | {"entropy": 3.0, "terminal": 0.0, "T": 0.7},
    "three": ONE
    | {
        "stiffness": [1.5, 0.0, 0.4],
        "centre": [0.3, 0.0, -1.0],
        "mean0": [1.0, -1.0, 0.0],
        "deviation0": [0.6, 1.0, 2.0],
        "target_mean": [-2.0, 3.0, 0.0],
        "target_deviation": [0.4, 1.3, 2.0],
    },
}
HARD = {
    "layers": ONE | {"stiffness": 1e4, "T": 1.0},
    "narrow": ONE | {"deviation0": 0.02, "entropy": 1.0, "target_deviation": 3.0},
    "sharp target": ONE
    | {
        "alpha": 1e-3,
        "entropy": 0.0,
        "stiffness": 0.0,
        "target_deviation": 0.01,
    },
}
NODES, WEIGHTS = np.polynomial.legendre.leggauss(80)
NORMAL, NORMAL_WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
NORMAL_WEIGHTS = NORMAL_WEIGHTS / NORMAL_WEIGHTS.sum()

cases = pytest.mark.parametrize("case", CASES)
all_cases = pytest.mark.parametrize("case", [*CASES, *HARD])


def solved(case: str):
    return lq_game(**(CASES | HARD)[case])


def points(game, n: int = 4) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((n, game.dim))


# --- the linear-quadratic game -----------------------------------------------------------


@all_cases
def test_starts_where_it_must_and_ends_as_the_terminal_cost_demands(case):
    game, tolerance = solved(case), LQ_GAME if case in CASES else LQ_HARD
    close(game.mean(0.0), game.mean0, CLOSED_FORM, 1.0)
    close(game.deviation(0.0), game.deviation0, CLOSED_FORM)
    end = game.deviation(game.T)
    x = game.mean(game.T) + end * points(game)
    phi, _, _ = game.value_function(game.T, x)
    star = Gaussian(game.target_mean, np.diag(game.target_deviation**2))
    want = game.terminal * (1.0 + game.log_density(game.T, x) - star.log_density(x))
    # the value is as exact as the end times the terminal cost's slope
    slope = game.terminal * np.abs(star.log_density_gradient(x)).max() * np.abs(end).max()
    close(phi, want, tolerance, 1.0 + slope)


@cases
def test_hamilton_jacobi_bellman_and_continuity(case):
    """By differences: nothing but Phi, log rho and their derivatives is read."""
    game = solved(case)
    for t in (0.1 * game.T, 0.7 * game.T):
        x = points(game)
        phi, gradient, time = game.value_function(t, x)
        assert phi.shape == time.shape == (4,)
        close(derivative(lambda r, x=x: game.value_function(r, x)[0], t), time, LQ_DIFFERENCE, 1.0)
        laplacian, transported = 0.0, derivative(lambda r, x=x: game.log_density(r, x), t)
        for i in range(game.dim):
            e = np.eye(game.dim)[i]
            slope = derivative(lambda r, e=e, t=t, x=x: game.value_function(t, x + r * e)[0], 0.0)
            close(slope, gradient[:, i], LQ_DIFFERENCE, 1.0)
            bend = derivative(lambda r, e=e, t=t, x=x: game.value_function(t, x + r * e)[1], 0.0)
            laplacian += bend[:, i]
            score = derivative(lambda r, e=e, t=t, x=x: game.log_density(t, x + r * e), 0.0)
            transported += game.velocity(t, x)[:, i] * score
        close(laplacian, np.full(4, game.laplacian(t)), LQ_DIFFERENCE, 1.0)
        # log rho_t + v . grad log rho + div v = 0, div v = -Lap Phi/alpha
        close(transported, np.full(4, game.laplacian(t)) / game.alpha, LQ_DIFFERENCE, 1.0)
        Q = 0.5 * np.sum(game.stiffness * (x - game.centre) ** 2, axis=1)
        hamiltonian = np.sum(gradient**2, axis=1) / (2 * game.alpha) - Q
        F = game.entropy * (game.log_density(t, x) + 1.0)
        close(hamiltonian - F, time, CLOSED_FORM, 1.0)


@cases
def test_agents_follow_the_velocity(case):
    game = solved(case)
    x = points(game)
    for t in (0.2, 0.6):
        moved = game.positions(t, x)
        close(
            derivative(lambda r: game.positions(r, x), t),
            game.velocity(t, moved),
            LQ_DIFFERENCE,
            1.0,
        )
        close(derivative(lambda r: game.mean(r), t), game.mean(t, 1), LQ_DIFFERENCE, 1.0)
        close(derivative(lambda r: game.deviation(r), t), game.deviation(t, 1), LQ_DIFFERENCE, 1.0)
    close(game.positions(0.0, x), x, CLOSED_FORM)
    assert game.mean([[0.1, 0.2]]).shape == game.deviation([[0.1, 0.2]]).shape == (1, 2, game.dim)


@all_cases
def test_first_integrals(case):
    """The Hamiltonian of the mean and that of the deviation stay what they are."""
    game, tolerance = solved(case), LQ_GAME if case in CASES else LQ_HARD
    t = np.linspace(0.0, game.T, 7)
    m, m_dot = game.mean(t), game.mean(t, 1)
    s, s_dot = game.deviation(t), game.deviation(t, 1)
    a, k = game.alpha, game.stiffness
    for parts in (
        (a / 2 * m_dot**2, -k / 2 * (m - game.centre) ** 2),
        (a / 2 * s_dot**2, -k / 2 * s**2, game.entropy * np.log(s)),
    ):
        energy, size = sum(parts), max(1.0, *(np.abs(part).max() for part in parts))
        close(energy, np.broadcast_to(energy[0], energy.shape), tolerance, size)


def shared(game, m, m_dot, s, s_dot, at_end):
    """L, F, G of a Gaussian path, (80, d) each at the nodes, (2, d) at the end: by quadrature."""
    w = 0.5 * game.T * WEIGHTS
    L = w @ (game.alpha / 2 * (m_dot**2 + s_dot**2))
    log_rho = -np.log(s) - 0.5 * np.log(2 * np.pi * np.e)  # its mean
    F = w @ (game.stiffness / 2 * ((m - game.centre) ** 2 + s**2) + game.entropy * log_rho)
    m1, s1 = at_end
    star = game.target_deviation
    kl = np.log(star / s1) + (s1**2 + (m1 - game.target_mean) ** 2) / (2 * star**2) - 0.5
    return L, F, game.terminal * kl


@cases
def test_costs_and_the_mean_of_the_value_function(case):
    game = solved(case)
    t = 0.5 * game.T * (NODES + 1)
    paths = (game.mean(t), game.mean(t, 1), game.deviation(t), game.deviation(t, 1))
    L, F, G = shared(game, *paths, (game.mean(game.T), game.deviation(game.T)))
    for got, want in zip((game.L, game.F, game.G), (L, F, G), strict=True):
        close(got, want, LQ_GAME, 1.0)
    assert game.costs == {
        "L": game.L.sum(),
        "F": game.F.sum(),
        "G": game.G.sum(),
        "total": game.total,
    }
    # E Phi(0, .): along one axis at a time, as no product of coordinates occurs in Phi
    mean = middle = game.value_function(0.0, game.mean0[None])[0][0]
    for i in range(game.dim):
        x = game.mean0 + game.deviation0[i] * np.eye(game.dim)[i] * NORMAL[:, None]
        mean += NORMAL_WEIGHTS @ game.value_function(0.0, x)[0] - middle
    close(mean, game.total + game.entropy * game.T + game.terminal, LQ_GAME, 1.0)


@all_cases
def test_no_other_gaussian_path_costs_less(case):
    game, rng = solved(case), np.random.default_rng(2)
    t = 0.5 * game.T * (NODES + 1)
    r, dr = t[:, None] / game.T, 1.0 / game.T
    m, m_dot, s, s_dot = game.mean(t), game.mean(t, 1), game.deviation(t), game.deviation(t, 1)

    def total(e, move, spread):
        bend = 1.0 + e * spread * r**2
        end = (game.mean(game.T) + e * move, game.deviation(game.T) * (1.0 + e * spread))
        terms = shared(
            game,
            m + e * move * r,
            m_dot + e * move * dr,
            s * bend,
            s_dot * bend + s * e * spread * 2 * r * dr,
            end,
        )
        return sum(float(np.sum(term)) for term in terms)

    least = total(0.0, 0.0, 0.0)
    for _ in range(3):
        move, spread = 0.3 * rng.standard_normal((2, game.dim))
        up, down = (total(e, move, spread) for e in (CLOSED_FORM_STEP, -CLOSED_FORM_STEP))
        assert min(up, down) > least
        assert abs(up - down) / (up + down - 2 * least) < LQ_RIVAL / CLOSED_FORM_STEP


@pytest.mark.parametrize("case", [c for c in CASES if c != "three"])
def test_no_other_density_costs_less(case):
    """Agents at m + s z + e p(z) g(t), which is not Gaussian: the density in z by x'(z)."""
    game = solved(case)
    t, w = 0.5 * game.T * (NODES + 1), 0.5 * game.T * WEIGHTS
    z = NORMAL[:, None]
    m, m_dot, s, s_dot = (
        a[:, 0] for a in (game.mean(t), game.mean(t, 1), game.deviation(t), game.deviation(t, 1))
    )
    log_normal = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    star = Gaussian(game.target_mean, game.target_deviation[0] ** 2)

    def total(e):
        bump, slope = np.sin(1.3 * z + 0.4), 1.3 * np.cos(1.3 * z + 0.4)
        g, g_dot = t / game.T, np.full_like(t, 1 / game.T)
        x, v = m + s * z + e * bump * g, m_dot + s_dot * z + e * bump * g_dot
        log_rho = log_normal - np.log(s + e * slope * g)
        Q = game.stiffness[0] / 2 * (x - game.centre[0]) ** 2
        running = NORMAL_WEIGHTS @ (game.alpha / 2 * v**2 + Q + game.entropy * log_rho) @ w
        s1, m1 = game.deviation(game.T)[0], game.mean(game.T)[0]
        end = (m1 + s1 * z + e * bump)[:, 0]
        log_end = log_normal[:, 0] - np.log(s1 + e * slope[:, 0])
        gap = log_end - star.log_density(end[:, None])
        return running + game.terminal * NORMAL_WEIGHTS @ gap

    least = total(0.0)
    close(least, game.total, LQ_GAME, 1.0)
    up, down = total(CLOSED_FORM_STEP), total(-CLOSED_FORM_STEP)
    assert min(up, down) > least
    assert abs(up - down) / (up + down - 2 * least) < LQ_RIVAL / CLOSED_FORM_STEP


@pytest.mark.parametrize("case", ["all", "spreading", "narrow"])
def test_deviation_by_shooting(case):
    """alpha s'' = k s - lambda/s from the start: it must arrive at the end."""
    game = solved(case)
    k, e, a = game.stiffness[0], game.entropy, game.alpha
    start = [game.deviation(0.0)[0], game.deviation(0.0, 1)[0]]
    path = solve_ivp(
        lambda _, y: [y[1], (k * y[0] - e / y[0]) / a],
        (0.0, game.T),
        start,
        method="DOP853",
        rtol=1e-13,
        atol=1e-14,
    ).y[:, -1]
    close(path, [game.deviation(game.T)[0], game.deviation(game.T, 1)[0]], LQ_SHOOTING)
    slope = game.terminal * (1 / path[0] - path[0] / game.target_deviation[0] ** 2)
    close(a * path[1], slope, LQ_SHOOTING, a * abs(start[1]))


def test_without_potential_and_entropy_it_is_relaxed_transport():
    for T in (1.0, 2.5):
        game = lq_game(**(CASES["three"] | {"entropy": 0.0, "stiffness": 0.0, "T": T}))
        source = Gaussian(game.mean0, np.diag(game.deviation0**2))
        star = Gaussian(game.target_mean, np.diag(game.target_deviation**2))
        end = relaxed_transport(source, star, game.alpha / T, game.terminal)
        close(game.mean(T), end.mean, CLOSED_FORM, 1.0)
        close(game.deviation(T), np.sqrt(np.diag(end.covariance)), CLOSED_FORM)
        half = (game.deviation0 + game.deviation(T)) / 2
        close(game.deviation(T / 2), half, CLOSED_FORM)
        close(game.L.sum(), game.alpha / (2 * T) * bures_distance2(source, end), CLOSED_FORM)
    nearly = lq_game(**(CASES["three"] | {"entropy": 1e-9, "stiffness": 1e-9, "T": 2.5}))
    close(nearly.total, game.total, LQ_LIMIT)
    close(nearly.deviation(1.0), game.deviation(1.0), LQ_LIMIT)


def test_other_limits():
    still = lq_game(**(CASES["three"] | {"entropy": 0.0, "stiffness": 0.0, "terminal": 0.0}))
    assert abs(still.total) < CLOSED_FORM**2
    close(still.deviation(0.9), still.deviation0, CLOSED_FORM)
    close(still.mean(0.9), still.mean0, CLOSED_FORM)
    arrives = lq_game(**(ONE | {"terminal": 1e9}))
    close(arrives.deviation(1.4), arrives.target_deviation, LQ_LIMIT)
    close(arrives.mean(1.4), arrives.target_mean, LQ_LIMIT)


def test_coordinates_add_up():
    game = solved("three")
    singles = [
        lq_game(**{n: v[i] if isinstance(v, list) else v for n, v in CASES["three"].items()})
        for i in range(3)
    ]
    x, t = points(game), 0.6
    for name in ("L", "F", "G"):
        close(getattr(game, name), np.concatenate([getattr(g, name) for g in singles]), CLOSED_FORM)
    each = [g.value_function(t, x[:, i : i + 1]) for i, g in enumerate(singles)]
    # beta (1 + log rho - log rho_Y) and lambda (log rho + 1) have their ones once, not thrice
    ones = 2 * (game.terminal + game.entropy * (game.T - t))
    phi, gradient, time = game.value_function(t, x)
    close(phi, sum(e[0] for e in each) - ones, LQ_GAME)
    close(gradient, np.concatenate([e[1] for e in each], axis=1), LQ_GAME)
    close(time, sum(e[2] for e in each) + 2 * game.entropy, LQ_GAME)


# --- bad input ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"alpha": 0.0}, ValueError, "alpha: got 0.0, wanted a number > 0"),
        ({"alpha": "2"}, TypeError, "alpha: got '2'"),
        ({"entropy": -1.0}, ValueError, "entropy: got -1.0"),
        ({"terminal": np.nan}, ValueError, "terminal: got nan"),
        ({"stiffness": [1.0, -2.0]}, ValueError, "stiffness: got -2.0"),
        ({"deviation0": 0.0}, ValueError, "deviation0: got 0.0, wanted a number > 0"),
        ({"target_deviation": [-1.0]}, ValueError, "target_deviation: got -1.0"),
        ({"T": 0.0}, ValueError, "T: got 0.0"),
        (
            {"centre": [0.0, 1.0], "mean0": [1.0]},
            ValueError,
            "mean0: got an array of shape (1,), wanted (2,)",
        ),
        ({"stiffness": 1e12}, ValueError, "stiffness, entropy, terminal: got [1.e+12], 0.3, 5.0"),
    ],
)
def test_bad_games(change, error, message):
    with pytest.raises(error, match="^" + re.escape(message)):
        lq_game(**(ONE | change))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda g: g.mean(1.5), ValueError, "t: got times in [1.5, 1.5], wanted times in [0, 1.4]"),
        (lambda g: g.deviation(-0.1), ValueError, "t: got times in"),
        (lambda g: g.mean(0.1, 2), ValueError, "derivative: got 2, wanted 0 or 1"),
        (
            lambda g: g.value_function(2.0, [[0.0]]),
            ValueError,
            "t: got 2.0, wanted a time in [0, 1.4]",
        ),
        (lambda g: g.value_function(1.0, [0.0]), ValueError, "x: got an array of shape (1,)"),
        (lambda g: g.log_density("0", [[0.0]]), TypeError, "t: got '0'"),
    ],
)
def test_bad_questions(call, error, message):
    with pytest.raises(error, match="^" + re.escape(message)):
        call(solved("all"))
