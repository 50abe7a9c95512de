"""Control and transport on the line in closed form, against their equations and by sampling."""

from __future__ import annotations

import re

import numpy as np
import pytest
from closed_form_checks import close, derivative
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
    LQ_GAME,
    LQ_SHOOTING,
)

from refode.closed_forms import (
    bures_distance2,
    bures_map,
    hopf_lax,
    lq_value_function,
    monotone_distance2,
    monotone_map,
)
from refode.densities import Empirical, Gaussian, GaussianMixture

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
        # where nothing accelerates, SciPy before 1.13 tries a first step far beyond the end
        v = -phi(min(r, T), y[None, :2])[1][0] / alpha
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
    # two masses of tails, at most 1/2, are rounded: the map by as much over the density; its
    # extrapolated differences have 3 times that over the step
    noise = 2.0 * np.finfo(float).eps * 0.5 / np.exp(q.log_density(y))
    assert np.all(np.abs(gap[good]) < LINE_MAP + 3.0 * noise[good] / LINE_STEP)
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
