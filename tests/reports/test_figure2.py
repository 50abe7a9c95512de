"""Figure 2 and the densities of real data: verdicts, scores and files, on small runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tolerances as tol

from refode import datasets, densities
from refode.reports import outputs
from refode.reports.figures import densities as real
from refode.reports.figures import figure2

grouped = pytest.mark.parametrize("group", ["x"], ids=["ShallowSpec-figure2"])


@grouped
def test_one_density_from_training_to_files(group, tmp_path, monkeypatch):
    monkeypatch.setattr(figure2, "N_TRAIN", 500)
    monkeypatch.setattr(figure2, "N_TEST", 600)
    monkeypatch.setattr(figure2, "N_COMPARED", 400)
    assert not figure2.run(tmp_path, progress=False, max_iter=3, names=("moons",))  # hardly moved
    folder = tmp_path / "figure2"
    pictures = ["figure2.pdf", "figure2.png", "figure2_toys.pdf", "figure2_toys.png"]
    assert sorted(f.name for f in folder.iterdir()) == sorted([*pictures, "figure2.json"])
    assert {f.name for f in folder.iterdir()} == set(outputs.FILES["figure2"])
    record = json.loads((folder / "figure2.json").read_text())
    assert [f["alpha"] for f in record["fits"]] == [0.0, figure2.ALPHA]
    assert any(not good for good in record["checks"].values())
    for f in record["fits"]:  # after three steps the flow is tame: its numbers must agree
        assert f["determinants"] < 1e-4
        assert abs(f["mass"] - 1) < 1e-3
        assert f["bend"] >= 1.0


def test_mmd_sees_a_shift_and_nothing_else():
    rng = np.random.default_rng(0)
    x, y, z = rng.standard_normal((3, 1500, 2))
    shifted = figure2.mmd(x, z + [1.5, 0.0])
    # E k for normals of variance 1 and kernel width 1: (1/3) exp(-|m|^2/6), in the plane
    want = 2.0 / 3.0 * (1.0 - np.exp(-2.25 / 6.0))
    assert shifted == pytest.approx(want, rel=tol.MMD)
    assert abs(figure2.mmd(x, y)) < tol.MMD * want


def test_entropies_are_those_of_the_data():
    """The 8 Gaussians' own density on the data; the checkerboard's squares."""
    angle = np.pi / 4 * np.arange(8)
    means = 4 / 1.414 * np.column_stack([np.cos(angle), np.sin(angle)])
    mixture = densities.GaussianMixture(np.full(8, 1 / 8), means, (0.5 / 1.414) ** 2)
    y = datasets.toy_density("8gaussians", 40_000, seed=9)
    assert -mixture.log_density(y).mean() == pytest.approx(figure2.entropy("8gaussians"), abs=0.02)
    board = datasets.toy_density("checkerboard", 40_000, seed=9)
    counts = np.histogram2d(*board.T, bins=4, range=[[-4, 4]] * 2)[0]
    assert np.sum(counts > 0) == 8
    assert np.sum(counts > 0) * 4.0 == pytest.approx(np.exp(figure2.entropy("checkerboard")))
    assert figure2.entropy("moons") is None


def test_whitening_is_a_change_of_variables():
    y = np.random.default_rng(0).standard_normal((200, 3)) @ np.diag([1.0, 2.0, 0.1]) + 5.0
    white = real.Whitening.of(y, 0.0)
    assert np.abs(np.cov(white(y).T) - np.eye(3)).max() < tol.WHITE
    assert white.log_det == pytest.approx(-0.5 * np.linalg.slogdet(np.cov(y.T))[1], rel=1e-12)
    gauss = densities.Gaussian(y.mean(axis=0), np.cov(y.T))
    standard = densities.Gaussian(np.zeros(3), np.eye(3))
    got = standard.log_density(white(y)) + white.log_det
    assert np.abs(got - gauss.log_density(y)).max() < tol.WHITE


@grouped
def test_real_densities(group, tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(real, "TASKS", real.TASKS[:1])
    real.run(tmp_path, progress=False, max_iter=30)
    rows = json.loads((tmp_path / "densities" / "densities.json").read_text())["wine"]
    assert len(rows) == 4
    gauss = next(r for r in rows if r["model"] == "Gaussian")
    train, _, test = datasets.wine_density()
    exact = densities.Gaussian(train.mean(axis=0), np.cov(train.T))
    assert gauss["test"] == pytest.approx(-exact.log_density(test).mean(), rel=1e-12)
    assert rows[0]["validation"] <= gauss["validation"] + 0.1
    assert (tmp_path / "densities" / "densities.png").stat().st_size > 10_000
