"""Pictures say what their colours, lines and dots are, and no text lies on another."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pictures
import pytest
from matplotlib.contour import ContourSet

import refode
from refode.reports.figures import (
    figure1,
    figure2_plots,
    figure3_plots,
    games_plots,
    games_setups,
)
from validation import common
from validation.benchmarks import benchmark_plots

STORED = Path(__file__).parents[2] / "docs" / "figures" / "benchmark_peers.json"


@pytest.fixture(scope="module")
def rows():
    x, y = refode.datasets.ellipses(200, gap=figure1.GAP)
    return x, y, [figure1.train_row(augment, x, y, 3, False) for augment in (0, 1)]


@pytest.mark.parametrize("azimuth", [-60.0, 30.0, 120.0, 210.0])
def test_the_labels_of_figure_1_keep_apart_from_every_side(rows, azimuth, monkeypatch):
    monkeypatch.setattr(figure1, "_view", lambda basis, normal: (20.0, azimuth))
    drawn = figure1.draw(*rows)
    assert pictures.overlaps(drawn) == []
    right = {row.accuracy for row in rows[2]}
    titles = [axes.get_title() for axes in drawn.axes]
    assert all(any(f"{100 * share:.2f} % right" in title for title in titles) for share in right)
    assert all(axes.get_title() for axes in drawn.axes)
    words = " ".join(pictures.legends(drawn))
    for word in ("label 0", "label 1", "predicted", "wrong label", "wrong region", "hyperplane"):
        assert word in words


def test_the_proof_says_what_crosses_and_dots_are():
    turn = np.pi * np.linspace(0.0, 1.0, 21)[:, None]
    path = np.stack([np.cos(turn) * [-1.0, 1.0], np.sin(turn) * [0.5, -0.5]], axis=2)
    proofs = [
        figure1.Proof(a, 0.5, path[-1], path[:, :, : 1 + a], path[:, :, : 1 + a]) for a in (0, 1)
    ]
    drawn = figure1.draw_proofs(proofs)
    assert pictures.overlaps(drawn) == []
    words = " ".join(pictures.legends(drawn))
    for word in ("start", "wanted", "(cross)", "other starts"):
        assert word in words


def test_figure_2_says_what_its_dots_and_lines_are():
    flow = refode.ContinuousNormalizingFlow(
        refode.NeuralODE(refode.fields.Shallow(dim=2, width=4, time=True), n_steps=2)
    )
    fit = SimpleNamespace(flow=flow, theta=flow.initial(), alpha=0.03, name="moons")
    y = refode.datasets.toy_density("moons", 100)
    for n in (1, 8):  # as many rows as somebody asks for
        drawn = figure2_plots.panels([(fit, fit)] * n, {"moons": y})
        assert pictures.overlaps(drawn) == []
        words = " ".join(pictures.legends(drawn))
        for word in ("paths", "data", "Gaussian"):
            assert word in words
        below = min(axes.get_position().y0 for axes in drawn.axes)
        (legend,) = drawn.legends
        top = legend.get_window_extent().transformed(drawn.transFigure.inverted()).y1
        assert top < below
    drawn = figure2_plots.figure2(fit, y)
    assert {"paths", "data $y$", "$F^{-1}(y)$"} <= set(pictures.legends(drawn))


@pytest.fixture
def peers(monkeypatch, tmp_path):
    """The picture of benchmark_peers, from the numbers that are stored."""
    kept = []
    report = common.Report(tmp_path)
    monkeypatch.setattr(report, "figure", lambda figure, name: kept.append(figure))
    monkeypatch.setattr(benchmark_plots.plt, "close", lambda figure: None)
    benchmark_plots.draw(report, json.loads(STORED.read_text()))
    (figure,) = kept
    return figure


def test_benchmark_peers_explains_its_colours(peers):
    words = pictures.legends(peers)
    assert [*benchmark_plots.LOOKS, "floor of the machine"] == words
    looks = set(benchmark_plots.LOOKS.values())
    assert len(looks) == len(benchmark_plots.LOOKS)
    assert pictures.overlaps(peers) == []


def test_no_whisker_of_benchmark_peers_goes_through_a_label(peers):
    from matplotlib.collections import LineCollection

    peers.canvas.draw()
    seen = 0
    for axes in peers.axes:
        labels = [t.get_window_extent() for t in axes.texts if " ms" in t.get_text()]
        for lines in axes.findobj(LineCollection):
            for segment in lines.get_segments():
                (x0, y0), (x1, y1) = axes.transData.transform(segment)
                seen += 1
                for box in labels:
                    apart = max(x0, x1) < box.x0 or min(x0, x1) > box.x1
                    assert apart or not box.y0 < y0 < box.y1
        for box in labels:
            assert box.x1 < axes.bbox.x1 + 2.0
    assert seen > 20


def test_the_stored_numbers_are_those_of_the_readme():
    readme = (STORED.parents[2] / "README.md").read_text()
    (found,) = json.loads(STORED.read_text())
    assert found["note"]
    for result in found["results"]:
        mine = result["times"]["refode"]["median"]
        line = next(
            r for r in readme.splitlines() if r.startswith(f"| {result['workload']['name']} |")
        )
        assert f"| {mine:.3g} |" in line.replace("0.90 ", "0.896 "), line
        for t in result["times"].values():
            assert t["low"] <= t["median"] <= t["high"]


def test_games_say_what_their_contours_are():
    assert set(games_plots.CORNERS) == set(games_plots.LIMITS)


def crossed(axes):
    """Lines and contours with a point under the axes' legend."""
    if matplotlib.__version_info__ < (3, 11):  # "best" does not look at all of them
        return 0
    curves = [line.get_xydata() for line in axes.lines]
    for contours in axes.findobj(ContourSet):
        curves += [path.interpolated(20).vertices for path in contours.get_paths()]
    box = axes.get_legend().get_window_extent()
    found = 0
    for curve in curves:
        x, y = axes.transData.transform(np.reshape(curve, (-1, 2))).T
        found += bool(((x > box.x0) & (x < box.x1) & (y > box.y0) & (y < box.y1)).any())
    return found


def test_figure_3_says_what_blue_and_black_are():
    x, t = np.linspace(-4.0, 4.0, 41), np.linspace(0.0, 1.0, 9)
    density = np.exp(-0.5 * x**2) * np.ones((9, 1)) / np.sqrt(2.0 * np.pi)
    paths = np.linspace(-2.0, 2.0, 5) * (1.0 + 0.35 * t[:, None])
    seen = figure3_plots.View(x, t, density, t, paths)
    bump = refode.games.GaussianBump(1.0, [0.0], [0.5])
    drawn = figure3_plots.draw([seen, seen], refode.densities.Gaussian([0.0], 1.0), bump)
    assert pictures.overlaps(drawn) == []
    assert {"density", "agents"} <= set(pictures.legends(drawn))
    (panel,) = (
        a for a in drawn.axes if a.get_legend() and "agents" in pictures.words(a.get_legend())
    )
    assert crossed(panel) == 0


@pytest.mark.parametrize("setup", [games_setups.transport(), games_setups.crowd()])
def test_legends_of_the_games_lie_on_no_contour(setup):
    problem = setup.problem()
    axes = tuple(np.linspace(*limit, 81) for limit in games_plots.LIMITS[setup.name])
    flat = np.ones((81, 81))
    of = SimpleNamespace(setup=setup, problem=problem, theta=setup.start(), axes=axes)
    of.x, of.pushed, of.pulled = setup.game.initial.sample(200, seed=0), flat, flat
    drawn = games_plots.draw(of)
    assert pictures.overlaps(drawn) == []
    titled = [a for a in drawn.axes if a.get_legend() and a.get_legend().get_title().get_text()]
    assert len(titled) == 2  # whose contours they are
    for panel in titled:
        assert crossed(panel) == 0
