"""Games and transport on the line in closed form, against their equations and against rivals."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import ndtr, ndtri
from tolerances import (
    CLOSED_FORM,
    CLOSED_FORM_STEP,
    LINE_DISTANCE,
    LINE_HOPF_LAX_END,
    LINE_MAP,
    LINE_SAMPLED,
    LINE_STEP,
    LQ_DIFFERENCE,
    LQ_DIFFERENCE_STEP,
    LQ_GAME,
    LQ_HARD,
    LQ_LIMIT,
    LQ_RIVAL,
    LQ_SHOOTING,
)

from refode.closed_forms import (
    bures_distance2,
    bures_map,
    hopf_lax,
    lq_game,
    lq_value_function,
    monotone_distance2,
    monotone_map,
    relaxed_transport,
)
from refode.densities import Empirical, Gaussian, GaussianMixture

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


def derivative(fun, at, h=LQ_DIFFERENCE_STEP):
    """Central differences, extrapolated once."""
    once, half = ((fun(at + e) - fun(at - e)) / (2 * e) for e in (h, h / 2))
    return (4 * half - once) / 3


def close(got, want, tolerance: float, scale: float = 0.0) -> None:
    assert np.shape(got) == np.shape(want)
    size = max(scale, float(np.abs(want).max()))
    assert np.abs(np.asarray(got) - want).max() <= tolerance * size


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


# --- the control problem -----------------------------------------------------------------


@pytest.mark.parametrize("kappa", [0.0, 1e-12, 0.7, 400.0])
@pytest.mark.parametrize("S", [0.0, 3.0])
def test_value_function_of_the_control_problem(kappa, S):
    alpha, T, t, x = 2.0, 1.5, 0.4, np.array([[0.3, -1.0], [2.0, 0.5]])

    def phi(t, x):
        return lq_value_function(alpha, kappa, S, t, x, T)

    close(phi(T, x)[0], S / 2 * np.sum(x**2, axis=1), CLOSED_FORM, 1.0)
    value, gradient, time = phi(t, x)
    hamiltonian = np.sum(gradient**2, axis=1) / (2 * alpha) - kappa / 2 * np.sum(x**2, axis=1)
    close(time, hamiltonian, CLOSED_FORM, 1.0)
    close(derivative(lambda r: phi(r, x)[0], t), time, LQ_DIFFERENCE, 1.0)
    for i, e in enumerate(np.eye(2)):
        slope = derivative(lambda r, e=e: phi(t, x + r * e)[0], 0.0)
        close(slope, gradient[:, i], LQ_DIFFERENCE, 1.0)

    def rates(r, y):  # the path that the gradient steers, and its cost
        v = -phi(r, y[None, :2])[1][0] / alpha
        return [*v, alpha / 2 * v @ v + kappa / 2 * y[:2] @ y[:2]]

    end = solve_ivp(rates, (t, T), [*x[0], 0.0], method="DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
    close(end[2] + S / 2 * end[:2] @ end[:2], value[0], LQ_SHOOTING, 1.0)


def test_hopf_lax_of_a_quadratic_and_of_two_wells():
    x, grid = np.array([[-1.3], [0.2], [0.9]]), np.linspace(-4.0, 4.0, 161)
    phi, end = hopf_lax(lambda y: 1.5 * y[:, 0] ** 2, 2.0, 0.3, x, grid, 1.1)
    want, gradient, _ = lq_value_function(2.0, 0.0, 3.0, 0.3, x, 1.1)
    close(phi, want, CLOSED_FORM)
    close(2.0 * (x - end) / 0.8, gradient, LINE_HOPF_LAX_END)

    def wells(y):
        return 3.0 * (y[:, 0] ** 2 - 1.0) ** 2 + 0.2 * y[:, 0]

    phi, end = hopf_lax(wells, 2.0, 0.3, x, grid, 1.1)
    fine = np.linspace(-4.0, 4.0, 2_000_001)
    for i in range(3):
        brute = wells(fine[:, None]) + 1.25 * (fine - x[i]) ** 2
        assert phi[i] <= brute.min() <= phi[i] + CLOSED_FORM_STEP**2
        assert abs(end[i, 0] - fine[brute.argmin()]) < 2 * (fine[1] - fine[0])
    assert end[0, 0] < -0.5
    assert end[2, 0] > 0.5


# --- transport on the line ---------------------------------------------------------------

TWO = GaussianMixture([0.4, 0.6], [[-2.0], [2.0]], [0.25, 0.16])
THREE = GaussianMixture([0.3, 0.4, 0.3], [[-5.0], [0.0], [7.0]], [0.01, 1.0, 0.04])
WIDE, SHARP = Gaussian([0.3], 2.0), Gaussian([-1.0], 0.25)
PAIRS = [(WIDE, SHARP), (WIDE, TWO), (TWO, WIDE), (TWO, THREE), (THREE, SHARP), (TWO, TWO)]


@pytest.mark.parametrize("pair", PAIRS)
def test_the_monotone_map_carries_one_density_to_the_other(pair):
    """log rho(x) = log rho_Y(T(x)) + log T'(x), T' by differences, where T is not too steep."""
    p, q = pair
    x = np.linspace(-9.0, 9.0, 200)[:, None]
    y = monotone_map(p, q, x)
    assert y.shape == x.shape
    assert np.all(np.diff(y[:, 0]) > 0.0)
    slope = derivative(lambda r: monotone_map(p, q, x + r), 0.0, LINE_STEP)[:, 0]
    gap = p.log_density(x) - q.log_density(y) - np.log(slope)
    good = (slope < 20.0) & (slope > 0.05)
    assert good.sum() > 50
    assert np.abs(gap[good]).max() < LINE_MAP
    back = monotone_map(q, p, y)[:, 0]
    assert np.abs((back - x[:, 0]) * np.minimum(slope, 1.0)).max() < LQ_GAME
    far = np.array([[-300.0], [-40.0], [40.0], [300.0]])
    close(monotone_map(q, p, monotone_map(p, q, far)), far, LQ_GAME)


def test_the_map_between_normal_densities_is_affine():
    x = np.linspace(-60.0, 60.0, 31)[:, None]
    want = SHARP.mean + bures_map(WIDE, SHARP)[0, 0] * (x - WIDE.mean)
    close(monotone_map(WIDE, SHARP, x), want, CLOSED_FORM)
    close(monotone_map(WIDE, WIDE, x), x, CLOSED_FORM)
    close(monotone_distance2(WIDE, SHARP), bures_distance2(WIDE, SHARP), CLOSED_FORM)


def test_the_map_anchors_medians_and_masses():
    """What lies below 0 is where a normal has its quantile of that mass."""
    below = 0.4 * ndtr(4.0) + 0.6 * ndtr(-5.0)
    close(monotone_map(TWO, Gaussian([0.0], 1.0), [[0.0]]), [[ndtri(below)]], CLOSED_FORM)
    symmetric = GaussianMixture([0.5, 0.5], [[-2.0], [2.0]], 0.25)
    x = np.array([[0.1], [1.0], [3.0]])
    up, down = (monotone_map(Gaussian([0.0], 1.0), symmetric, sign * x) for sign in (1, -1))
    close(up, -down, CLOSED_FORM)
    assert abs(monotone_map(Gaussian([0.0], 1.0), symmetric, [[0.0]])[0, 0]) < CLOSED_FORM


@pytest.mark.parametrize("pair", PAIRS)
def test_the_distance_on_the_line(pair):
    p, q = pair
    got = monotone_distance2(p, q)
    scale = 1.0 + 25.0
    assert abs(got - monotone_distance2(q, p)) < LINE_DISTANCE * scale
    # midpoints of equal parts of the mass, through the map from a standard normal
    u = (np.arange(5000) + 0.5) / 5000
    z = ndtri(u)[:, None]
    a, b = (monotone_map(Gaussian([0.0], 1.0), r, z) for r in (p, q))
    assert abs(np.mean((a - b) ** 2) - got) < LINE_SAMPLED * scale
    if p is q:
        assert got < LINE_DISTANCE


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


QUADRATIC, GRID = (lambda y: y[:, 0] ** 2), np.linspace(-1.0, 1.0, 5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: lq_value_function(0.0, 1.0, 1.0, 0.0, [[1.0]]), ValueError, "alpha: got 0.0"),
        (lambda: lq_value_function(1.0, -1.0, 1.0, 0.0, [[1.0]]), ValueError, "kappa: got -1.0"),
        (lambda: lq_value_function(1.0, 1.0, -1.0, 0.0, [[1.0]]), ValueError, "S: got -1.0"),
        (
            lambda: lq_value_function(1.0, 1.0, 1.0, 1.5, [[1.0]]),
            ValueError,
            "t: got 1.5, wanted at m",
        ),
        (
            lambda: lq_value_function(1.0, 1.0, 1.0, 0.0, [1.0]),
            ValueError,
            "x: got an array of shape",
        ),
        (lambda: hopf_lax(QUADRATIC, -1.0, 0.0, [[0.1]], GRID), ValueError, "alpha: got -1.0"),
        (
            lambda: hopf_lax(QUADRATIC, 1.0, 1.0, [[0.1]], GRID),
            ValueError,
            "t: got 1.0, wanted less",
        ),
        (
            lambda: hopf_lax(QUADRATIC, 1.0, 0.0, [[9.0]], GRID),
            ValueError,
            "candidates: got a minimum at an end of [-1.0, 1.0]",
        ),
        (
            lambda: hopf_lax(QUADRATIC, 1.0, 0.0, [[0.0]], GRID[::-1]),
            ValueError,
            "candidates: got num",
        ),
        (
            lambda: hopf_lax(QUADRATIC, 1.0, 0.0, [[0.0, 1.0]], GRID),
            ValueError,
            "x: got an array of",
        ),
        (lambda: monotone_map(Empirical([[0.0]]), WIDE, [[0.0]]), TypeError, "source: got "),
        (lambda: monotone_map(WIDE, None, [[0.0]]), TypeError, "target: got None"),
        (
            lambda: monotone_map(WIDE, Gaussian([0.0, 0.0], 1.0), [[0.0]]),
            ValueError,
            "target: got dimension 2, wanted 1",
        ),
        (lambda: monotone_map(WIDE, TWO, [0.0]), ValueError, "x: got an array of shape (1,)"),
        (lambda: monotone_map(WIDE, TWO, [[np.inf]]), ValueError, "x: got inf"),
        (lambda: monotone_distance2(1.0, TWO), TypeError, "source: got 1.0"),
    ],
)
def test_bad_calls(call, error, message):
    with pytest.raises(error, match="^" + re.escape(message)):
        call()
