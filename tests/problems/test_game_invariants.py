"""What any potential's game keeps, at the scheme's order or to rounding; no other code of games.

Along a path the derivative of Phi is dPhi/dt + grad Phi . v. With the residual r of (24), then,

Phi(t0, x) = Phi(T, z) + L + F + entropy (T - t0) + int r dt,

so a potential that makes r positive everywhere holds every row of the state at once.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import tolerances as tol

import refode
from refode import evaluate, games, verify
from refode.densities import Gaussian, GaussianMixture

SPAN = (-0.2, 1.3)  # neither from 0 nor of length 1
STEPS = 2 ** np.arange(2, 10)
ORDERS = {"euler": 1, "heun": 2, "rk4": 4}
# one type of energies and of targets for all, so that they share machine code
BUMP = games.GaussianBump(2.0, [0.3, -0.2], [[0.6, 0.1], [0.1, 0.4]])
TARGET = GaussianMixture(
    [0.4, 0.6], [[1.0, 0.5], [-0.8, 0.0]], [[[0.5, 0.1], [0.1, 0.7]], [[0.4, 0.0], [0.0, 0.3]]]
)
CROWD = games.crowd_motion(
    Gaussian([0.1, -0.3], [[0.6, 0.2], [0.2, 0.4]]),
    TARGET,
    1.3,
    BUMP + games.Quadratic(0.8, 0.2),
    0.3,
    2.0,
)
grouped = pytest.mark.parametrize("group", ["x"], ids=["GameSpec-invariants"])


def weights(field, seed, size=0.4):
    """Weights (p,) whose control moves agents by a length of about one."""
    return size * np.random.default_rng(seed).standard_normal(field.n_weights)


@cache
def crowd(quadratic, scheme, n_steps, raised=False):
    """The crowd's problem, theta and samples; raised: r > 0 and Phi > G' where agents are."""
    field = refode.fields.Potential(2, 4, 3, quadratic=quadratic)
    problem = refode.MeanFieldGame(
        field, CROWD, 1.0, 1.0, "absolute" if raised else "squared", scheme, n_steps, SPAN
    )
    theta = weights(field, 7)
    if raised:
        problem.unpack(theta)["b"][-1] -= 40.0
        problem.unpack(theta)["c"][...] += 200.0
    return problem, theta, CROWD.initial.sample(6, seed=5)


def at_order(errors, steps, p, scale=1.0):
    report = verify.observed_order(errors, 1.0 / np.asarray(steps), expected=p, scale=scale)
    assert report, f"\n{report}"


# --- orders --------------------------------------------------------------------------------------
def everything(quadratic, scheme, n_steps):
    """The state's rows at the end, by name, and the gradient."""
    problem, theta, x = crowd(quadratic, scheme, n_steps)
    end, d = problem.states(theta, x)[-1], 2
    value, gradient = problem.value_and_gradient(theta, x)
    rows = {"log rho": end[:, d], "L": end[:, d + 1], "F": end[:, d + 2], "R": end[:, d + 3]}
    return {"z": end[:, :d], **rows, "value": np.array(value), "gradient": gradient}


@grouped
@pytest.mark.parametrize("scheme", ORDERS)
@pytest.mark.parametrize("quadratic", ["lowrank", "symmetric"])
def test_everything_converges_at_the_order(group, scheme, quadratic):
    truth = everything(quadratic, "fehlberg8", 64)
    found = [everything(quadratic, scheme, int(n)) for n in STEPS]
    for name, exact in truth.items():
        errors = [np.sqrt(np.mean((one[name] - exact) ** 2)) for one in found]
        at_order(errors, STEPS, ORDERS[scheme], np.abs(exact).max())


@grouped
@pytest.mark.parametrize("scheme", ORDERS)
def test_forth_and_back(group, scheme):
    """F^{-1} F is the identity and log rho the same from both ends.

    What a step back leaves of a step forth is of order p + 1 for even p, where the leading
    errors of h and -h cancel, (D48).
    """
    back, density = [], []
    for n in STEPS:
        problem, theta, x = crowd("symmetric", scheme, int(n))
        end = problem.states(theta, x)[-1]
        z = np.ascontiguousarray(end[:, :2])
        start, _ = problem.inverse(theta, z)
        back.append(np.abs(start - x).max())
        density.append(np.abs(problem.log_density(theta, z) - end[:, 2]).max())
    p = ORDERS[scheme]
    for errors in (back, density):
        at_order(errors, STEPS, p + 1 - p % 2, 10.0)


# --- the value function along the paths ----------------------------------------------------------
@grouped
@pytest.mark.parametrize("scheme", ORDERS)
@pytest.mark.parametrize("quadratic", ["lowrank", "symmetric"])
def test_the_value_function_pays_for_the_path(group, scheme, quadratic):
    """The identity above; less the two penalties, it is what single agents pay."""
    errors = []
    for n in STEPS:
        problem, theta, x = crowd(quadratic, scheme, int(n), raised=True)
        end = problem.states(theta, x)[-1]
        z, (log_rho, L, F, R) = np.ascontiguousarray(end[:, :2]), end[:, 2:].T
        first = problem.value_function(theta, SPAN[0], x)[0]
        last = problem.value_function(theta, SPAN[1], z)[0]
        running = L + F + CROWD.entropy * (SPAN[1] - SPAN[0])
        off = last + running + R - first
        errors.append(np.abs(off).max())
        pays, terms = problem.single_agent_cost(theta, x), problem.costs(theta, x)
        G = CROWD.terminal_cost.derivative(z, log_rho)
        assert np.abs(pays - running - G).max() <= tol.GAME_ROUNDING * np.abs(pays).max()
        charged = terms["hjb"] + terms["hjb_terminal"]
        assert abs(np.mean(first + off - pays) - charged) <= tol.GAME_ROUNDING * charged
    at_order(errors, STEPS, ORDERS[scheme], np.abs(first).max())


@grouped
@pytest.mark.parametrize("scheme", ORDERS)
def test_the_derivative_along_a_path(group, scheme):
    """dPhi/dt + grad Phi . v integrates to the difference of Phi's values at the ends."""
    errors = []
    for n in STEPS:
        problem, theta, x = crowd("symmetric", scheme, int(n))
        paths, times = problem.trajectory(theta, x), np.linspace(*SPAN, int(n) + 1)
        found = [problem.value_function(theta, t, z) for t, z in zip(times, paths, strict=True)]
        phi, gradient, by_time = (np.array(part) for part in zip(*found, strict=True))
        slope = by_time - np.sum(gradient**2, axis=2) / CROWD.alpha
        errors.append(np.abs(simpson(slope, times[1] - times[0]) - (phi[-1] - phi[0])).max())
    at_order(errors, STEPS, ORDERS[scheme], np.abs(phi).max())


def simpson(values, h):
    """Integral over an even number of intervals."""
    return h / 3 * (values[0] + values[-1] + 4 * values[1::2].sum(0) + 2 * values[2:-1:2].sum(0))


# --- densities -----------------------------------------------------------------------------------
@grouped
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("quadratic", ["lowrank", "symmetric"])
def test_the_density_on_the_line_integrates_to_one(group, seed, quadratic):
    field = refode.fields.Potential(1, 5, quadratic=quadratic)
    rho = GaussianMixture([0.5, 0.5], [[-0.7], [0.4]], [[[0.3]], [[0.5]]])
    game = games.crowd_motion(
        rho, rho, 1.2, games.GaussianBump(0.0, [0.0], 1.0) + games.Quadratic(0.1)
    )
    problem = refode.MeanFieldGame(field, game, n_steps=32, t_span=SPAN)
    grid = np.linspace(-15.0, 15.0, 3001)[:, None]
    for t in (0.1, SPAN[1]):
        mass = 0.01 * np.exp(problem.log_density(weights(field, seed), grid, t=t)).sum()
        assert abs(mass - 1.0) <= tol.GAME_MASS


@grouped
@pytest.mark.parametrize("quadratic", ["lowrank", "symmetric"])
def test_the_density_in_the_plane_integrates_to_one(group, quadratic):
    problem, theta, _ = crowd(quadratic, "rk4", 32)
    axis = np.linspace(-9.0, 9.0, 121)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    mass = (axis[1] - axis[0]) ** 2 * np.exp(problem.log_density(theta, points)).sum()
    assert abs(mass - 1.0) <= tol.GAME_MASS


# --- symmetries ----------------------------------------------------------------------------------
@pytest.mark.parametrize("quadratic", ["lowrank", "symmetric"])
def test_the_hessian_of_the_potential_is_symmetric(quadratic):
    """By the complex step through the gradient, in x and t; its trace is the Laplacian."""
    field = refode.fields.Potential(4, 3, 3, quadratic=quadratic)
    w, still = weights(field, 1, 0.7), np.zeros(field.n_weights)
    x = np.random.default_rng(2).standard_normal((5, 4))
    rows = []
    for i in range(5):
        moved = np.tile(np.eye(5)[i][:4], (5, 1))
        _, g, by_time, _ = evaluate.potential_tangent(field, w, x, still, moved, 0.4, float(i == 4))
        rows.append(np.column_stack([g, by_time]))
    H = np.array(rows)  # (D, N, D)
    assert np.abs(H - H.transpose(2, 1, 0)).max() <= tol.GAME_ROUNDING * np.abs(H).max()
    laplacian = evaluate.potential(field, w, x, 0.4)[3]
    trace = np.einsum("ini->n", H[:4, :, :4])
    assert np.abs(trace - laplacian).max() <= tol.GAME_ROUNDING * np.abs(trace).max()


@pytest.mark.nojit
@grouped
def test_constants_move_nobody(group):
    """c enters the terminal condition alone, b's last entry the two conditions."""
    problem, theta, x = crowd("lowrank", "rk4", 4)
    other = theta.copy()
    problem.unpack(other)["c"][...] += 1.0
    before, after = problem.costs(theta, x), problem.costs(other, x)
    for name in ("L", "F", "G", "hjb"):
        assert before[name] == after[name]
    assert abs(before["hjb_terminal"] - after["hjb_terminal"]) > 0.1
    problem.unpack(other)["b"][-1] += 1.0
    after = problem.costs(other, x)
    for name in ("L", "F", "G"):
        assert before[name] == after[name]
    assert abs(before["hjb"] - after["hjb"]) > 0.1


@pytest.mark.nojit
@grouped
def test_another_clock_is_the_same_game(group):
    """Phi(t - s, x) on a span moved by s."""
    problem, theta, x = crowd("symmetric", "rk4", 3)
    field, s = problem.potential, 2.3
    later = refode.MeanFieldGame(
        field, CROWD, 1.0, 1.0, "squared", "rk4", 3, (SPAN[0] + s, SPAN[1] + s)
    )
    moved = theta.copy()
    w, old = problem.unpack(moved), problem.unpack(theta)
    S, shift = 0.5 * (old["A"] + old["A"].T), np.array([0.0, 0.0, s])
    w["b0"] -= s * old["K0"][:, 2]
    w["b"] -= S @ shift
    w["c"] += 0.5 * shift @ S @ shift - old["b"] @ shift
    assert_close(later.costs(moved, x), problem.costs(theta, x))


@pytest.mark.nojit
@grouped
def test_a_turned_game_is_the_same_game(group):
    """All densities, energies and weights turned by one rotation."""
    problem, theta, x = crowd("symmetric", "rk4", 3)
    R = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])

    def turn(mean, S):
        return R @ mean, R @ S @ R.T

    bump = games.GaussianBump(2.0, *turn(BUMP.density.mean, BUMP.density.covariance))
    parts = [turn(p.mean, p.covariance) for p in TARGET.components]
    target = GaussianMixture(TARGET.weights, [m for m, _ in parts], [S for _, S in parts])
    game = games.crowd_motion(
        Gaussian(*turn(CROWD.initial.mean, CROWD.initial.covariance)),
        target,
        1.3,
        bump + games.Quadratic(0.8, R @ [0.2, 0.2]),
        0.3,
        2.0,
    )
    turned = refode.MeanFieldGame(problem.potential, game, 1.0, 1.0, "squared", "rk4", 3, SPAN)
    w = {name: a.copy() for name, a in problem.unpack(theta).items()}
    full = np.eye(3)
    full[:2, :2] = R
    w |= {"K0": w["K0"] @ full.T, "A": full @ w["A"] @ full.T, "b": full @ w["b"]}
    assert_close(turned.costs(turned.pack(w), x @ R.T), problem.costs(theta, x))


@pytest.mark.nojit
@grouped
def test_slower_agents_pay_in_proportion(group):
    """Time, alpha and all else scaled so that the paths are the same and L is too."""
    problem, theta, x = crowd("symmetric", "rk4", 3)
    k = 1.7  # t -> k t: v -> v/k, so alpha -> k alpha keeps grad Phi and L
    game = games.crowd_motion(
        CROWD.initial,
        TARGET,
        1.3 * k,
        games.GaussianBump(2.0 / k, BUMP.density.mean, BUMP.density.covariance)
        + games.Quadratic(0.8 / k, 0.2),
        0.3 / k,
        2.0,
    )
    slow = refode.MeanFieldGame(
        problem.potential, game, k, 1.0, "squared", "rk4", 3, (k * SPAN[0], k * SPAN[1])
    )
    w = {name: a.copy() for name, a in problem.unpack(theta).items()}
    w["K0"][:, 2] /= k
    w["b"][2] /= k
    w["A"][2] /= k
    w["A"][:, 2] /= k
    assert_close(slow.costs(slow.pack(w), x), problem.costs(theta, x))


@pytest.mark.nojit
@grouped
def test_the_objective_is_a_mean_over_samples(group):
    """Of its parts, whatever their order and number."""
    problem, theta, _ = crowd("lowrank", "rk4", 2)
    x = CROWD.initial.sample(150, seed=2)
    one, gradient = problem.value_and_gradient(theta, x)
    order = np.random.default_rng(0).permutation(150)
    for parts in ((x[order],), (x[:30], x[30:])):
        found = [(len(p) / 150, *problem.value_and_gradient(theta, p)) for p in parts]
        assert abs(sum(share * v for share, v, _ in found) - one) <= tol.GAME_ROUNDING * abs(one)
        mixed = sum(share * g for share, _, g in found)
        assert np.abs(mixed - gradient).max() <= tol.GAME_ROUNDING * np.abs(gradient).max()


def assert_close(got, want):
    for name, value in want.items():
        assert abs(got[name] - value) <= tol.GAME_ROUNDING * abs(want["total"]), name


@pytest.mark.nojit
@grouped
@pytest.mark.parametrize("crossed", [False, True], ids=["kl", "cross-entropy"])
def test_mixtures_of_many_components_have_room(group, crossed):
    """Their logs and scores take more rows of work space than so small a network does."""
    rng = np.random.default_rng(3)
    means, each = rng.standard_normal((9, 3)), np.eye(3) + 0.1
    many = GaussianMixture(np.full(9, 1.0 / 9.0), means, np.array([each] * 9))
    one = Gaussian(np.zeros(3), each)
    cost = games.CrossEntropy(one, 1.5) if crossed else games.KullbackLeibler(many, 1.5)
    energy = games.GaussianBump(0.0, [0.0], 1.0) + games.Quadratic(0.0)
    game = games.Game(many if crossed else one, cost, 1.2, energy)
    problem = refode.MeanFieldGame(refode.fields.Potential(3, 1, 1, 1), game, n_steps=1)
    theta, x = weights(problem.potential, 4), game.initial.sample(4, seed=1)
    value, gradient = problem.value_and_gradient(theta, x)
    assert abs(value - problem.value(theta, x)) <= tol.GAME_ROUNDING * abs(value)
    v, h = np.cos(np.arange(theta.size)), 1e-3
    low, high = ([problem.value(theta + s * k * h * v, x) for s in (1, -1)] for k in (1, 2))
    fourth = (8 * (low[0] - low[1]) - (high[0] - high[1])) / (12 * h)
    assert abs(fourth - gradient @ v) <= tol.GAME_DIFFERENCE * abs(gradient @ v)
