"""Figure 3: scores against closed forms, verdicts that fail where training did, and files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tolerances as tol

from refode.closed_forms import line as closed_forms_line
from refode.reports import outputs
from refode.reports.figures import figure3, figure3_plots


@pytest.fixture(scope="module")
def untrained():
    """The transport game with almost no control: agents stay about where they are."""
    problem = figure3.problem_for(figure3.transport_game())
    return figure3.measured("transport", problem, figure3.start(problem), 0, 0.0)


@pytest.fixture(scope="module")
def moving():
    """The same, with Phi = t - x: everyone goes to the right at speed one."""
    problem = figure3.problem_for(figure3.transport_game())
    named = {name: np.zeros_like(a) for name, a in problem.unpack(problem.initial(0)).items()}
    named["b"][:] = -1.0, 1.0
    return figure3.measured("transport", problem, problem.pack(named), 0, 0.0)


def test_from_training_to_files(tmp_path, monkeypatch):
    monkeypatch.setattr(figure3, "N_TRAIN", 32)
    monkeypatch.setattr(figure3, "N_TEST", 200)
    monkeypatch.setattr(figure3, "FINE", 24)
    assert not figure3.run(tmp_path, progress=False, max_iter=2)  # hardly moved
    folder = tmp_path / "figure3"
    names = ["figure3.json", "figure3.npz", "figure3.pdf", "figure3.png"]
    assert sorted(f.name for f in folder.iterdir()) == names
    assert set(names) == set(outputs.FILES["figure3"])
    record = json.loads((folder / "figure3.json").read_text())
    failed = [what for what, good in record["checks"].items() if not good]
    assert any("KL to the target" in what for what in failed)
    assert any("curved" in what for what in failed)
    with np.load(folder / "figure3.npz") as drawn:
        assert drawn["crowd_paths"].shape == (figure3_plots.FINE + 1, figure3_plots.N_PATHS)
        assert drawn["transport_density"].shape == (figure3_plots.N_TIMES, len(drawn["crowd_x"]))


def test_straight_motion_is_measured_as_it_is(moving):
    """Phi = t - x: speed 1, no bend, energy at its least, density carried along by 1."""
    assert moving.length == pytest.approx((1.0, 1.0), abs=tol.FIGURE3_ROUNDING)
    assert moving.energy == pytest.approx(1.0, abs=tol.FIGURE3_ROUNDING)
    assert moving.costs["L"] == pytest.approx(0.5 * figure3.ALPHA, abs=tol.FIGURE3_ROUNDING)
    assert moving.mass == pytest.approx(1.0, abs=tol.FIGURE3_ROUNDING)
    x, step = figure3.GRID[:, 0], figure3.GRID[1, 0] - figure3.GRID[0, 0]
    shifted = np.exp(-0.5 * (x - 1.0) ** 2) / np.sqrt(2.0 * np.pi)
    log_ratio = np.log(shifted) - figure3.target().log_density(figure3.GRID)
    assert moving.kl == pytest.approx(np.sum(shifted * log_ratio) * step, rel=tol.FIGURE3_GRID)
    # int_0^1 E Q(x + t) dt: a Gaussian's mean under a Gaussian is a Gaussian of the summed variance
    t = (np.arange(4000) + 0.5) / 4000
    variance = 1.0 + figure3.SPREAD**2
    density = np.exp(-0.5 * (t - figure3.CENTRE) ** 2 / variance) / np.sqrt(2 * np.pi * variance)
    assert moving.obstacle == pytest.approx(figure3.HEIGHT * density.mean(), rel=tol.FIGURE3_Q)
    # r = -dPhi/dt + 1/2 = -1/2, and dPhi/dt = 1
    assert moving.hjb == pytest.approx(0.5, abs=tol.FIGURE3_ROUNDING)


def test_the_bound_is_below_every_value(untrained, moving):
    exact = (
        0.5
        * figure3.ALPHA
        * closed_forms_line.monotone_distance2(figure3.initial(), figure3.target())
    )
    for fit in (untrained, moving):
        assert figure3.transport_bound(fit) < exact < fit.costs["total"]


def test_the_bound_is_the_value_where_g_is_the_optimal_one(moving, monkeypatch):
    """A target that is a Gaussian itself: mean and deviation of the relaxed optimum are known."""
    from refode import densities

    mean, deviation = 1.5, 1.0
    monkeypatch.setattr(figure3, "target", lambda: densities.Gaussian([mean], deviation**2))
    # alpha m = beta (mean - m) along a translation; Phi(T, y) = -alpha m y + const
    alpha, beta = figure3.ALPHA, figure3.TERMINAL
    m = beta * mean / (alpha + beta)
    named = moving.problem.unpack(moving.theta.copy())
    named["b"][:] = -alpha * m, 0.0
    fit = moving._replace(theta=moving.problem.pack(named))
    want = 0.5 * alpha * m**2 + 0.5 * beta * (mean - m) ** 2
    assert figure3.transport_bound(fit) == pytest.approx(want, rel=tol.FIGURE3_GRID)


def test_quantiles_carry_equal_masses():
    x = figure3.quantiles(1000)
    assert x.shape == (1000, 1)
    assert np.abs(x + x[::-1]).max() < tol.FIGURE3_ROUNDING
    assert np.mean(x < 1.0) == pytest.approx(0.8413, abs=1e-3)


def test_checks_see_a_rival_that_does_better(untrained, moving):
    """Here it is better to walk off to one part of the target than to stand still."""
    said = dict(figure3.checks_of(untrained, moving._replace(name="crowd")))
    pays_less = {what.split(":")[0]: good for what, good in said.items() if "pays less" in what}
    assert pays_less == {"transport": False, "crowd": True}
