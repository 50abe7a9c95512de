"""The grid solver of validation/truth/grid_game.py on small grids, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tolerances import (
    GRID_COARSE,
    GRID_DERIVATIVE,
    GRID_EXTRAPOLATED,
    GRID_MASS,
    GRID_NEWTON_STEP,
    GRID_RIVAL,
    GRID_SYMMETRY,
)

from refode.closed_forms import lq_game, monotone_distance2, monotone_map
from refode.densities import Gaussian, GaussianMixture
from validation.truth import grid_solver as gs  # noqa: E402

START = Gaussian([0.0], 1.0)
WELLS = GaussianMixture([0.5, 0.5], [[-2.0], [2.0]], 0.25)
GAME = {
    "initial": START,
    "target": WELLS,
    "alpha": 1.3,
    "obstacle": gs.bump(3.0, 0.2, 0.8),
    "entropy": 0.3,
    "terminal": 2.0,
}


def small_grid(terminal: float) -> gs.Grid:
    p, q = gs.Line.of(START), gs.Line.of(WELLS)
    return gs._grid(p, q, 1.3, gs.bump(3.0, 0.2, 0.8), 0.3, terminal, 8, 4, 1.4, (-5.0, 5.0))


@pytest.mark.parametrize("terminal", [2.0, math.inf])
def test_newton_reads_the_objective_s_own_derivatives(terminal):
    grid, barrier = small_grid(terminal), 0.01
    psi = gs._first(grid, gs.Line.of(WELLS))
    mass = np.diff(psi, axis=1)
    direction = np.zeros_like(psi)  # small where the mass is
    direction[:, 1:-1] = np.minimum(mass[:, 1:], mass[:, :-1])
    direction *= grid.free * np.random.default_rng(0).standard_normal(psi.shape)
    gradient, H = grid.newton(psi, barrier)
    h = GRID_NEWTON_STEP
    up, down = psi + h * direction, psi - h * direction
    slope = (grid.objective(up, barrier) - grid.objective(down, barrier)) / (2 * h)
    want = gradient @ direction[grid.free]
    assert abs(slope - want) < GRID_DERIVATIVE * abs(want)
    bend = (grid.newton(up, barrier)[0] - grid.newton(down, barrier)[0]) / (2 * h)
    want = H @ direction[grid.free]
    assert np.abs(bend - want).max() < GRID_DERIVATIVE * np.abs(want).max()
    assert abs(H - H.T).max() <= GRID_MASS * abs(H).max()


def test_the_minimum_has_no_better_neighbour_and_keeps_its_ends():
    s = gs.solve(**GAME, n_x=48, n_t=12, T=1.4)
    assert s.rho.shape == (13, 48)
    assert s.v.shape == (12, 48)
    assert s.rho.min() > 0.0
    assert np.abs(s.rho.sum(axis=1) * s.grid.h - 1.0).max() < GRID_MASS
    assert s.psi[0] == pytest.approx(gs._mass(gs.Line.of(START), s.x), abs=GRID_MASS)
    assert s.total == pytest.approx(s.L + s.F + s.G, rel=GRID_MASS)
    rng, mass = np.random.default_rng(1), np.diff(s.psi, axis=1)
    smooth = np.sin(rng.uniform(0.5, 2.0, (3, 1, 1)) * s.x + 3 * s.t[:, None] / 1.4)
    for bend in smooth:
        direction = np.zeros_like(s.psi)
        direction[1:, 1:-1] = (bend[1:, 1:-1]) * np.minimum(mass[1:, 1:], mass[1:, :-1])
        up, down = (s.grid.terms(s.psi + e * direction)["total"] - s.total for e in (0.1, -0.1))
        assert up > 0.0
        assert down > 0.0
        assert abs(up - down) < GRID_RIVAL * (up + down)


def test_the_linear_quadratic_game_at_order_two():
    k, q = 1.0, 0.5
    truth = lq_game(1.0, 0.1, k, q, 5.0, -1.0, 1.0, 1.5, 0.6, T=1.2)
    runs = [
        gs.solve(
            gs.normal(-1.0, 1.0),
            gs.normal(1.5, 0.6),
            1.0,
            lambda x: k / 2 * (x - q) ** 2,
            0.1,
            5.0,
            n,
            n // 4,
            T=1.2,
        )
        for n in (48, 96)
    ]
    coarse, fine = (s.total - truth.total for s in runs)
    assert 3.5 < coarse / fine < 4.5
    assert abs(fine) < GRID_COARSE * truth.total
    assert abs(4 * fine - coarse) / 3 < GRID_EXTRAPOLATED * truth.total
    s = runs[1]
    for t in (0.5, 1.0):
        row = s.rho[round(t * 24)] * s.grid.h
        mean = row @ s.centres
        assert abs(mean - truth.mean(t * 1.2)[0]) < GRID_COARSE
        spread = math.sqrt(row @ (s.centres - mean) ** 2)
        assert abs(spread - truth.deviation(t * 1.2)[0]) < GRID_COARSE
    x, times = s.centres, 0.5 * (s.t[1:] + s.t[:-1])
    crowded = np.abs(x[:, None] - truth.mean(times)[:, 0]) < 1.0
    v = np.stack([truth.velocity(t, x[:, None])[:, 0] for t in times])
    assert np.abs(s.v - v)[crowded.T].max() < GRID_COARSE * np.abs(v[crowded.T]).max()
    for name, want in (("L", truth.L[0]), ("F", truth.F[0]), ("G", truth.G[0])):
        assert abs(getattr(s, name) - want) < GRID_COARSE * truth.total


def test_transport_that_must_arrive_costs_the_distance_and_follows_the_map():
    s = gs.solve(START, WELLS, 2.0, None, 0.0, math.inf, 96, 24)
    assert s.G == 0.0
    assert s.psi[-1] == pytest.approx(gs._mass(gs.Line.of(WELLS), s.x), abs=GRID_MASS)
    assert abs(s.total / monotone_distance2(START, WELLS) - 1.0) < GRID_COARSE
    x = np.array([-1.5, -0.6, 0.6, 1.5])
    paths = s.paths(x)
    assert np.abs(paths[-1] - monotone_map(START, WELLS, x[:, None])[:, 0]).max() < GRID_COARSE
    straight = paths[0] + (paths[-1] - paths[0]) * s.t[:, None]
    assert np.abs(paths - straight).max() < GRID_COARSE
    assert np.abs(s.rho - s.rho[:, ::-1]).max() < GRID_SYMMETRY


def test_its_densities_are_the_package_s():
    x = np.linspace(-4.0, 4.0, 9)
    for density in (START, WELLS):
        assert np.allclose(gs.Line.of(density).log_density(x), density.log_density(x[:, None]))
    assert gs.Line.of(WELLS).mass_below(np.array([0.0]))[0] == pytest.approx(0.5)
