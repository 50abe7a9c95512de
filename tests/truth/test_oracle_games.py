"""The games' oracle against itself by other routes: differences, affine flows, quadratures."""

from __future__ import annotations

import numpy as np
import oracle_games as og
import pytest
from tolerances import (
    ORACLE_GAME_FLOW,
    ORACLE_GAME_ORDER,
    ORACLE_GAME_QUADRATURE,
    ORACLE_RICHARDSON,
    ORACLE_ROUNDING,
)

SHAPES = [
    og.Shape(1, 3, 1),
    og.Shape(2, 4, 2),
    og.Shape(3, 5, 3, rank=2),
    og.Shape(12, 4, 2),
    og.Shape(2, 4, 2, quadratic="symmetric"),
    og.Shape(1, 2, 4, quadratic="symmetric"),
]


def weights(p: og.Shape, seed: int = 0) -> np.ndarray:
    return 0.5 * np.random.default_rng(seed).standard_normal(og.n_parameters(p))


def close(got: np.ndarray, want: np.ndarray, tolerance: float) -> None:
    assert np.shape(got) == np.shape(want)
    assert np.abs(got - want).max() <= tolerance * max(1.0, np.abs(want).max())


@pytest.mark.parametrize("p", SHAPES, ids=str)
def test_jets_are_derivatives_of_the_value(p):
    """Gradients by the complex step through the values, Hessians through the gradients."""
    theta = weights(p)
    s = np.random.default_rng(1).standard_normal((3, p.dim + 1))
    w = og.unpack(theta, p)
    phi, gradient, hessian = og.phi_jet(w, s, p.quadratic)
    for n in range(3):
        one = og.complex_gradient(lambda r: og.phi_jet(w, r[None], p.quadratic)[0][0], s[n])
        two = og.complex_gradient(lambda r: og.phi_jet(w, r[None], p.quadratic)[1][0], s[n])
        close(gradient[n], one, ORACLE_ROUNDING)
        close(hessian[n], two, ORACLE_ROUNDING)
    assert phi.shape == (3,)
    close(hessian, hessian.swapaxes(1, 2), ORACLE_ROUNDING)


@pytest.mark.parametrize("quadratic", ["lowrank", "symmetric"])
def test_value_as_on_paper(quadratic):
    p = og.Shape(2, 3, 3, rank=2, quadratic=quadratic)
    w, x, t = og.unpack(weights(p), p), np.array([[0.3, -0.7]]), 0.4
    s = np.array([0.3, -0.7, t])
    u = np.log(2 * np.cosh(w["K0"] @ s + w["b0"]))
    for i in (1, 2):
        u = u + 0.5 * np.log(2 * np.cosh(w[f"K{i}"] @ u + w[f"b{i}"]))
    A = w["A"]
    square = np.sum((A @ s) ** 2) / 2 if quadratic == "lowrank" else s @ (A + A.T) @ s / 4
    want = w["w"] @ u + square + w["b"] @ s + w["c"]
    got = og.potential(weights(p), p, t, x)
    close(got.phi[0], want, ORACLE_ROUNDING)
    hessian = og.phi_jet(w, s[None], quadratic)[2][0]
    close(got.laplacian[0], hessian[0, 0] + hessian[1, 1], ORACLE_ROUNDING)


def test_the_activation_neither_overflows_nor_loses_its_complex_step():
    v = np.array([-1e4, -20.0, -1e-3, 0.0, 1e-3, 20.0, 1e4])
    got = og.log_2_cosh(v + 1e-40j)
    close(got.real[1:-1], np.log(2 * np.cosh(v[1:-1])), ORACLE_ROUNDING)
    close(got.real[[0, -1]], np.array([1e4, 1e4]), ORACLE_ROUNDING)
    close(got.imag / 1e-40, np.tanh(v), ORACLE_ROUNDING)


MIXED = og.Mixture(
    np.array([0.3, 0.7]),
    np.array([[1.0, 0.0], [-1.0, 0.5]]),
    np.array([[[0.5, 0.1], [0.1, 0.4]], [[0.3, 0.0], [0.0, 0.6]]]),
)
ENERGY = (og.Bump(5.0, np.array([0.1]), np.array([[0.3]])), og.Quadratic(0.7, np.array([0.2, 0.4])))
GAMES = {
    "transport": og.OracleGame(MIXED, og.gaussian([0.0, 0.0], 0.3), alpha=2.0, terminal=5.0),
    "crowd": og.OracleGame(
        og.gaussian([0.0, 1.0], 0.3), MIXED, 1.5, 3.0, energy=ENERGY, entropy=0.2
    ),
    "flow": og.OracleGame(og.gaussian([0.0, 0.0], 1.0), MIXED, 0.5, 2.0, kind="cross_entropy"),
    "free": og.OracleGame(og.gaussian([0.0, 0.0], 1.0), None, 0.0, 2.0, kind="cross_entropy"),
}


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("norm", ["absolute", "squared"])
def test_the_complex_step_differentiates_the_objective(name, norm):
    game, p = GAMES[name], og.Shape(2, 3, 2)
    rng = np.random.default_rng(3)
    theta, x, y = weights(p), rng.standard_normal((4, 2)), rng.standard_normal((3, 2))
    how = {"norm": norm, "hjb": 1.3 * (name != "free"), "hjb_terminal": 0.7 * (name != "free")}
    gradient = og.gradient_by_complex_step(theta, p, game, x, y, **how)
    v, h = rng.standard_normal(len(theta)), 2e-3

    def difference(h):
        up, down = (og.costs(theta + e * v, p, game, x, y, **how)["total"] for e in (h, -h))
        return (up - down) / (2 * h)

    richardson = (4 * difference(h / 2) - difference(h)) / 3
    assert abs(gradient @ v - richardson) < ORACLE_RICHARDSON * max(1.0, abs(gradient @ v))


def test_an_affine_flow_and_its_densities():
    """Without a network Phi = k |x|^2/2 + b x: z' = -(k z + b)/alpha, log rho by its slope."""
    p = og.Shape(2, 2, 1, rank=2)
    w = {name: np.zeros(shape) for name, shape in og.shapes(p).items()}
    k, alpha = 0.8, 2.0
    w["A"] = np.sqrt(k) * np.eye(2, 3)
    w["b"] = np.array([0.4, -0.6, 0.3])
    theta = np.concatenate([np.ravel(a) for a in w.values()])
    game = og.OracleGame(og.gaussian([0.5, 0.0], 0.4), MIXED, alpha, 3.0, entropy=0.3)
    x, span = np.array([[0.2, 1.0], [-1.0, 0.3]]), (0.3, 1.5)
    shift = -w["b"][:2] / k
    for n, tolerance in ORACLE_GAME_FLOW:
        start = og.begin(x, game.initial.log_density(x))
        end = og.trajectory(theta, p, game, start, span, n)[-1]
        z = shift + (x - shift) * np.exp(-k / alpha * 1.2)
        assert np.abs(end.z - z).max() < tolerance
        log_rho = start.log_rho + 2 * k / alpha * 1.2
        close(end.log_rho, log_rho, ORACLE_ROUNDING)
        # |v|^2 falls like exp(-2 k t/alpha)
        first = (k * x + w["b"][:2]) / alpha
        L = alpha / 2 * np.sum(first**2, axis=1) * (1 - np.exp(-2.4 * k / alpha)) * alpha / (2 * k)
        assert np.abs(end.L - L).max() < tolerance
        F = 0.3 * (1.2 * start.log_rho + k / alpha * 1.2**2)
        close(end.F, F, ORACLE_ROUNDING)
        back, log_density = og.inverse(theta, p, game, end.z, span, n)
        assert np.abs(back - x).max() < tolerance
        assert np.abs(log_density - log_rho).max() < tolerance


def test_the_density_carried_along_integrates_to_one():
    p, game = og.Shape(1, 4, 2), og.OracleGame(og.gaussian([0.3], 0.5), None, 1.4)
    y = np.linspace(-12.0, 12.0, 2001)[:, None]
    log_rho = og.inverse(weights(p), p, game, y, (0.0, 1.0), 20)[1]
    assert abs(np.sum(np.exp(log_rho)) * (y[1, 0] - y[0, 0]) - 1.0) < ORACLE_GAME_QUADRATURE


def test_values_of_every_term_are_of_order_four():
    """RK4, and the absolute value where the residual keeps its sign."""
    p, game = og.Shape(2, 3, 2), GAMES["crowd"]
    theta, x = weights(p), np.random.default_rng(3).standard_normal((3, 2))
    runs = [
        og.costs(theta, p, game, x, hjb=1.0, hjb_terminal=1.0, norm="squared", n_steps=n)
        for n in (8, 16, 32)
    ]
    for term in runs[0]:
        a, b, c = (run[term] for run in runs)
        order = np.log2(abs((b - a) / (c - b)))
        assert abs(order - 4.0) < ORACLE_GAME_ORDER, term


def test_terms_by_hand_in_a_single_euler_step():
    """One Euler step reads every slope once, at the start."""
    p, game = og.Shape(2, 3, 2), GAMES["crowd"]
    theta, x = weights(p), np.array([[0.3, 0.5], [-0.4, 1.2]])
    euler = (np.zeros((1, 1)), np.ones(1), np.zeros(1))
    got = og.costs(
        theta, p, game, x, hjb=2.0, hjb_terminal=3.0, n_steps=1, t_span=(0.2, 0.9), tableau=euler
    )
    h, at = 0.7, og.potential(theta, p, 0.2, x)
    log0 = game.initial.log_density(x)
    Q = 5.0 / np.sqrt(2 * np.pi * 0.3) * np.exp(-((x[:, 0] - 0.1) ** 2) / 0.6)
    Q += 0.35 * ((x[:, 0] - 0.2) ** 2 + (x[:, 1] - 0.4) ** 2)
    square = (at.gradient**2).sum(axis=1) / 3.0  # 2 alpha
    r = -at.time + square - Q - 0.2 * (log0 + 1)
    z, log1 = x - h * at.gradient / 1.5, log0 + h * at.laplacian / 1.5
    gap = log1 - MIXED.log_density(z)
    end = og.potential(theta, p, 0.9, z).phi - 3.0 * (1 + gap)
    want = {
        "L": h * square.mean(),
        "F": h * np.mean(Q + 0.2 * log0),
        "G": 3.0 * gap.mean(),
        "hjb": 2.0 * h * np.abs(r).mean(),
        "hjb_terminal": 3.0 * np.abs(end).mean(),
    }
    for term, value in want.items():
        close(got[term], value, ORACLE_ROUNDING)
    close(got["total"], sum(want.values()), ORACLE_ROUNDING)


def test_cross_entropy_by_hand_in_a_single_euler_step():
    p, game = og.Shape(2, 3, 2), GAMES["flow"]
    theta, y = weights(p), np.array([[0.3, 0.5], [-0.4, 1.2]])
    euler = (np.zeros((1, 1)), np.ones(1), np.zeros(1))
    got = og.costs(theta, p, game, y[:1], y, n_steps=1, tableau=euler)
    at = og.potential(theta, p, 1.0, y)
    w = y + at.gradient / 0.5
    log_rho = -0.5 * (w**2).sum(axis=1) - np.log(2 * np.pi) + at.laplacian / 0.5
    close(got["G"], -2.0 * log_rho.mean(), ORACLE_ROUNDING)
    assert got["hjb"] == got["hjb_terminal"] == 0.0


def test_the_mixture_is_the_textbook_one():
    x = np.array([[0.2, 0.1], [3.0, -1.0]])
    want = 0.0
    for w, m, S in zip(*MIXED, strict=True):
        y = x - m
        square = np.sum(y * np.linalg.solve(S, y.T).T, axis=1)
        want = want + w * np.exp(-square / 2) / (2 * np.pi * np.sqrt(np.linalg.det(S)))
    close(MIXED.log_density(x), np.log(want), ORACLE_ROUNDING)
