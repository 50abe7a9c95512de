"""``refode reproduce games``: what it measures on motions known by heart, verdicts and files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tolerances as tol

from refode.reports import outputs
from refode.reports.figures import games, games_plots, games_setups
from validation.truth import pnas_setups, transport_optimum

grouped = pytest.mark.parametrize("group", ["x"], ids=["PotentialSpec-games"])


def moved_by(setup, speed):
    """Theta of Phi = -alpha speed . x: all agents go straight at this speed."""
    problem = setup.problem()
    arrays = {name: np.zeros_like(a) for name, a in problem.unpack(problem.initial(0)).items()}
    arrays["b"][: setup.game.dim] = -setup.game.alpha * np.asarray(speed)
    return problem.pack(arrays)


@pytest.mark.parametrize("make", [games.transport, games.crowd])
def test_controls_have_mean_zero_in_every_dimension(make):
    for dim in (2, 4):
        setup = make(dim)
        found = setup.controls(setup.game.initial.sample(200_000, seed=1))
        error = found.std(axis=0) / 200_000**0.5
        assert np.all(np.abs(found.mean(axis=0)) < tol.GAMES_SIGMAS * error)


@grouped
def test_a_crowd_that_walks_straight_onto_its_target(group):
    """L = 18, no divergence, Q along the way by quadrature, densities those of the game."""
    setup = games.crowd()
    theta, problem = moved_by(setup, [0.0, -6.0]), setup.problem()
    x = setup.game.initial.sample(20_000, seed=2)
    found = games.cost(setup, theta, x, 64)
    parts = found.L, found.F, found.G
    assert parts[::2] == pytest.approx((18.0, 0.0), abs=18.0 * tol.GAMES_ROUNDING)
    assert sum(parts) == pytest.approx(found.J, abs=tol.GAMES_SIGMAS * 0.01)
    # E Q at height s is the peak of the sum of bump and crowd, and the entropy stays
    s = np.linspace(0.0, 1.0, 2001)
    wide = np.array([1.0, 0.5]) + games_setups.VARIANCE
    Q = 50.0 / (2.0 * np.pi * np.sqrt(wide.prod())) * np.exp(-0.5 * (3 - 6 * s) ** 2 / wide[1])
    entropy = -0.01 * (1.0 + np.log(2.0 * np.pi * games_setups.VARIANCE))
    want = 18.0 + np.trapezoid(Q, s) + entropy
    assert abs(found.J - want) < tol.GAMES_SIGMAS * found.error
    assert found.error < 0.5 * np.std(setup.game.energy.value(x * [1.0, 0.0])) / len(x) ** 0.5
    way = games.paths(setup, theta, x[:100])
    assert way.bend == pytest.approx(1.0, rel=tol.GAMES_ROUNDING)
    assert way.energy == pytest.approx(way.energy_straight, rel=tol.GAMES_ROUNDING)
    assert way.kinetic == pytest.approx(way.kinetic_straight, rel=tol.GAMES_ROUNDING)
    axes = (np.linspace(-2, 2, 9), np.linspace(-5, 5, 11))
    points = games_plots.grid_points(axes)
    for got, density in (
        (games.density_on_grid(problem, theta, axes), setup.game.target),
        (games.pull_back(problem, theta, axes), setup.game.initial),
    ):
        np.testing.assert_allclose(
            got.ravel(), np.exp(density.log_density(points)), rtol=tol.GAMES_ROUNDING * 1e3
        )


@grouped
def test_densities_of_a_crowd_that_shrinks(group):
    """Phi = k/2 |x|^2: F(x) = exp(-k) x, with alpha = 1."""
    setup, k = games.crowd(), 0.5
    problem = setup.problem()
    arrays = problem.unpack(moved_by(setup, [0.0, 0.0]))
    arrays["A"][[0, 1], [0, 1]] = k
    theta = problem.pack(arrays)
    axes = (np.linspace(-2, 2, 9), np.linspace(-5, 5, 11))
    points, r = games_plots.grid_points(axes), np.exp(-k)
    pushed = np.exp(setup.game.initial.log_density(points / r)) / r**2
    pulled = np.exp(setup.game.target.log_density(points * r)) * r**2
    for got, want in (
        (games.density_on_grid(problem, theta, axes), pushed),
        (games.pull_back(problem, theta, axes), pulled),
    ):
        np.testing.assert_allclose(got.ravel(), want, rtol=0, atol=tol.GAMES_STEPS * want.max())
    way = games.paths(setup, theta, setup.game.initial.sample(50, seed=3))
    assert way.bend == pytest.approx(1.0, rel=tol.GAMES_ROUNDING)
    assert way.kinetic > way.kinetic_straight * 1.01  # not at constant speed


def test_only_the_crowd_starts_with_a_spread():
    start, published = games.transport().start(3), games.transport().problem().initial(3)
    np.testing.assert_array_equal(start, published)
    setup = games.crowd(dim=5)
    problem = setup.problem()
    spread, published = problem.unpack(setup.start(3)), problem.unpack(problem.initial(3))
    inside = np.abs(published["K0"][:, 2:5]).max()
    assert np.array_equal(spread["K0"][:, 2:5], published["K0"][:, 2:5])
    assert spread["K0"][:, [0, 1, 5]].std() > 5 * inside


@grouped
def test_transport_that_stays_pays_the_divergence(group):
    setup = games.transport()
    theta = moved_by(setup, [0.0, 0.0])
    found = games.cost(setup, theta, setup.game.initial.sample(20_000, seed=2))
    # eight components that hardly overlap: KL = |mean|^2/(2 variance) - log 8
    want = 5.0 * (16.0 / 0.6 - np.log(8.0))
    assert abs(found.J - want) < tol.GAMES_SIGMAS * found.error + tol.GAMES_OVERLAP
    assert found.L == 0.0


@grouped
def test_wrong_games_fail_their_checks(group, monkeypatch):
    monkeypatch.setattr(games, "N_JUDGED", 2500)
    for setup, speed in ((games.transport(), [0.0, 0.0]), (games.crowd(), [0.0, -6.0])):
        of = games.measure(setup, moved_by(setup, speed), 1.0)
        missed = [what for what, good in games.checks_of(of) if not good]
        assert any("Phi = G" in what for what in missed)
        assert any("E Phi(0, .)" in what for what in missed)
        wanted = {"transport": ("optimum 10", "KL to the target"), "crowd": ("Q on the paths",)}
        for what in wanted[setup.name]:
            assert any(what in m for m in missed), (what, missed)
        assert not any("integrate to 1" in m for m in missed)
        right = type(of.problem).log_density
        with monkeypatch.context() as wrong:
            wrong.setattr(
                type(of.problem), "log_density", lambda self, *a, right=right: right(self, *a) + 0.1
            )
            shifted = games.measure(setup, of.theta, 1.0)
        assert any("integrate to 1" in what for what, good in games.checks_of(shifted) if not good)


@grouped
def test_short_training_fails_and_writes_its_files(group, tmp_path, monkeypatch):
    monkeypatch.setattr(games, "N_JUDGED", 1500)
    monkeypatch.setattr(games, "N_GRID", 41)
    assert not games.run(tmp_path, progress=False, max_iter=2)
    folder = tmp_path / "games"
    names = [f"{game}.{end}" for game in ("crowd", "transport") for end in ("pdf", "png")]
    assert sorted(f.name for f in folder.iterdir()) == sorted([*names, "games.json"])
    assert all((folder / name).stat().st_size > 10_000 for name in names)
    assert {f.name for f in folder.iterdir()} == set(outputs.FILES["games"])
    numbers = json.loads((folder / "games.json").read_text())
    assert set(numbers["games"]) == {"transport", "crowd"}
    assert any(not good for good in numbers["checks"].values())


def test_the_stored_optimum_is_the_bounds():
    optimum = transport_optimum.optimum()
    assert optimum[0] <= games.OPTIMUM <= optimum[1]
    assert pnas_setups.further("transport", 100) == 0.0
    at_10, at_50 = pnas_setups.further("crowd", 10), pnas_setups.further("crowd", 50)
    # the entropy of N(0, 0.3) at rest is more than what is paid for the best motion
    rest = -0.01 * 0.5 * (1.0 + np.log(2.0 * np.pi * games_setups.VARIANCE))
    assert at_10 / 8 < rest
    assert at_10 / 8 == pytest.approx(rest, rel=0.05)
    assert at_50 == pytest.approx(6.0 * at_10, rel=tol.GAMES_ROUNDING)
