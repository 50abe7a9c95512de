"""Fitted trajectories: what is made holds, planted mistakes do not, and what is drawn is said."""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import pictures
import pytest
import tolerances as tol

import refode
from refode.problems.observations import Observations
from refode.reports import outputs
from refode.reports.figures import trajectories, trajectories_cases, trajectories_sunspots
from refode.reports.figures.trajectories_plots import draw, draw_sunspots

SPIRAL, PENDULUM, PREY = trajectories_cases.cases()
FEW = 24  # refits: their spread is known to 15 %


@pytest.fixture(scope="module")
def fits():
    return [trajectories_cases.fitted(case, FEW) for case in (SPIRAL, PENDULUM, PREY)]


@pytest.fixture
def made(fits, monkeypatch):
    """Fits are there already."""
    by_name = {fit.case.name: fit for fit in fits}
    monkeypatch.setattr(trajectories, "fitted", lambda case, n: by_name[case.name])


def failed(fit) -> set[str]:
    return {what.split(": ")[1] for what, good in trajectories.checks_of(fit) if not good}


def test_all_holds_and_is_drawn(made, tmp_path):
    pytest.importorskip("statsmodels")
    assert trajectories.run(tmp_path, progress=False)
    folder = tmp_path / "trajectories"
    assert {f.name for f in folder.iterdir()} == set(outputs.FILES["trajectories"])
    numbers = json.loads((folder / "trajectories.json").read_text())
    assert numbers["passed"]
    assert set(numbers["pendulum"]["parameters"]) >= {"k", "c", "angle 1", "speed 2"}
    # honest about what is better: nine terms of the past know more than two
    errors = numbers["sunspots"]["error"]
    assert errors["autoregression, 9 terms"] < errors["neural ODE"] < errors["persistence"]


def test_sunspots_are_left_out_where_nobody_ships_them(made, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "statsmodels.datasets", None)
    assert trajectories.run(tmp_path, progress=True)
    assert "sunspots are left out: statsmodels is missing" in capsys.readouterr().out
    numbers = json.loads((tmp_path / "trajectories" / "trajectories.json").read_text())
    assert "left out" in numbers["sunspots"]
    assert not (tmp_path / "trajectories" / "trajectories_sunspots.png").exists()


def test_the_picture_says_what_its_colours_are(fits):
    drawn = draw(fits)
    assert pictures.overlaps(drawn) == []
    words = " ".join(pictures.legends(drawn))
    for word in ("measured", "truth", "fit", "Laplace", "refits", "last observation", "predator"):
        assert word in words


# --- planted mistakes --------------------------------------------------------------------------
def test_noise_of_twice_the_said_size_is_seen(fits):
    for fit in fits:
        said = Observations(
            fit.y.times,
            fit.y.values,
            mask=fit.y.there,
            weights=4.0 * fit.y.weights.max(axis=(0, 1)),
        )
        assert "residuals at the noise's level" in failed(dataclasses.replace(fit, y=said))


def test_a_missing_value_taken_for_a_zero_is_seen(fits):
    fit = fits[2]
    wrong = Observations(fit.y.times, fit.y.values, weights=1.0 / PREY.sigma**2)
    assert wrong.n_observed > fit.y.n_observed
    near = trajectories_cases.Near(fit.posterior, 0.0, np.zeros(6))
    named = {"theta0": np.zeros(6), "progress": False, "tolerance": 0.01, "max_iter": 100}
    theta = near.theta(refode.train(near, None, wrong, **named).x)
    posterior = fit.problem.laplace(theta, None, wrong, curvature="gauss_newton")
    curves = fit.problem.predict(theta, None, fit.times)
    found = failed(dataclasses.replace(fit, y=wrong, posterior=posterior, curves=curves))
    assert {
        "residuals at the noise's level",
        "error within three bands",
        "curves beyond are foreseen to 10 %",
        "parameters within three standard errors",
    } <= found


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_bands_of_another_size_are_seen(fits, factor):
    for fit in fits:
        posterior = fit.problem.laplace(
            fit.posterior.theta, None, fit.y, noise=factor**2, curvature="gauss_newton"
        )
        wrong = dataclasses.replace(fit, posterior=posterior, bands=factor * fit.bands)
        found = failed(wrong)
        assert "bands as wide as refits say" in found
        assert "bands of 95 % cover 90 to 99 %" in found
        if fit.case.true is not None:
            assert "standard errors as large as refits say" in found


def test_wrong_curves_and_too_few_steps_are_seen(fits):
    for fit in fits:
        off = fit.truth + 8.0 * fit.bands.max()
        found = failed(dataclasses.replace(fit, truth=off))
        assert {"error within three bands", "error beyond within three bands"} <= found
    fit = fits[1]
    coarse = dataclasses.replace(fit, problem=fit.problem.with_steps(5))
    assert "steps' error under a tenth of the noise" in failed(coarse)
    narrow = np.full_like(fits[0].bands, fits[0].bands[:, fits[0].inside].mean())
    calm = failed(dataclasses.replace(fits[0], bands=narrow))
    assert "bands are wider where nothing was seen" in calm
    far = dataclasses.replace(PENDULUM, true=PENDULUM.true * 1.2)
    assert "parameters within three standard errors" in failed(dataclasses.replace(fit, case=far))


def test_refits_are_optima_of_the_drawn_problem(fits):
    """Each is where its own posterior's gradient vanishes, by finite differences of the value."""
    fit = fits[2]
    y, refit = trajectories_cases.measured(PREY, 1, fit.y), fit.refits[0]
    assert (y.there == fit.y.there).all()
    assert np.abs(y.values - fit.y.values).max() > 0.1
    root = np.linalg.cholesky(fit.posterior.covariance)

    def value(u):
        return fit.posterior.total * fit.problem.value(refit.theta + root @ u, None, y)

    step = 0.05
    for e in np.eye(len(refit.theta)):
        assert abs(value(step * e) - value(-step * e)) / (2.0 * step) < 0.05


# --- sunspots ----------------------------------------------------------------------------------
def test_baselines_are_what_they_are_called():
    """An exact recurrence is foreseen by as many terms; a cycle of eleven by the eleven before."""
    q = np.empty(300)
    q[:2] = 1.0, 0.7
    for k in range(2, 300):
        q[k] = 1.6 * q[k - 1] - 0.98 * q[k - 2] + 0.1
    origins = np.array([199, 220, 288])
    found = trajectories_sunspots._autoregression(q, 200, origins, 2)
    came = trajectories_sunspots._after(q, origins)
    assert np.abs(found - came).max() < tol.AUTOREGRESSION
    assert np.isnan(trajectories_sunspots._after(q, np.array([298]))[0, 1:]).all()
    years = np.arange(1700, 2009)
    cycle = (3.0 + np.sin(trajectories_sunspots.YEAR * years)) ** 2
    real = trajectories_sunspots.forecasts(years, cycle, max_iter=30)
    assert real.error(trajectories_sunspots.CYCLE) < tol.AUTOREGRESSION
    assert real.origins[0] == trajectories_sunspots.SPLIT
    later = real.numbers.copy()
    later[years > trajectories_sunspots.SPLIT] += 7.0  # the first forecast cannot know of it
    again = trajectories_sunspots.forecasts(years, later, max_iter=30)
    for name, values in real.by.items():
        assert (again.by[name][0] == values[0]).all(), name
    assert pictures.overlaps(draw_sunspots(real)) == []


def test_a_forecast_worse_than_the_simple_ones_fails():
    years = np.arange(1700, 2009)
    cycle = (3.0 + np.sin(trajectories_sunspots.YEAR * years)) ** 2
    real = trajectories_sunspots.forecasts(years, cycle, max_iter=3)
    off = dict(real.by)
    off[trajectories_sunspots.NODE] = off[trajectories_sunspots.NODE] + 50.0
    checks = trajectories._checks_of_sunspots(dataclasses.replace(real, by=off))
    assert checks
    assert not any(good for _, good in checks)
