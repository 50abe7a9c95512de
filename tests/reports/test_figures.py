"""Figure 1 and the real data: the verdicts hold, fail where training did, and files appear."""

from __future__ import annotations

import json

import numpy as np
import pytest

from refode import datasets
from refode.reports import outputs
from refode.reports.figures import figure1, realdata

PICTURES = ["figure1.pdf", "figure1.png", "figure1_anode_1d.pdf", "figure1_anode_1d.png"]


def test_figure1_shows_what_the_survey_says(tmp_path):
    assert figure1.run(tmp_path, progress=False)
    folder = tmp_path / "figure1"
    assert sorted(f.name for f in folder.iterdir()) == sorted([*PICTURES, "figure1.json"])
    assert {f.name for f in folder.iterdir()} == set(outputs.FILES["figure1"])
    assert all((folder / name).stat().st_size > 10_000 for name in PICTURES)
    numbers = json.loads((folder / "figure1.json").read_text())
    plain, padded = numbers["accuracy"]
    assert max(plain) < 1.0
    assert min(padded) == 1.0


def test_figure1_fails_where_training_did(tmp_path):
    assert not figure1.run(tmp_path, progress=False, max_iter=2)
    assert not json.loads((tmp_path / "figure1" / "figure1.json").read_text())["passed"]


def test_truth_is_the_ellipses_of_the_data():
    points = np.array([[0.9, 0.0], [0.0, 0.39], [2.1, 0.0], [0.0, 0.85], [2.3, 0.0], [1.1, 0]])
    np.testing.assert_array_equal(figure1.truth(points), [0, 0, 1, 1, -1, -1])
    x, y = datasets.ellipses(500, seed=3, gap=figure1.GAP)
    np.testing.assert_array_equal(figure1.truth(x), y)


def test_real_data_reach_their_targets(tmp_path):
    pytest.importorskip("sklearn")
    realdata.run(tmp_path, progress=False)
    numbers = json.loads((tmp_path / "realdata" / "realdata.json").read_text())
    accuracies = [good for what, good in numbers["checks"].items() if "accuracy" in what]
    assert accuracies == [True, True]  # the clock is no part of a test
    assert numbers["digits"][0]["test"] >= 0.96
    assert numbers["breast cancer"][0]["test"] >= 0.95


def test_real_data_fail_where_training_did(tmp_path):
    pytest.importorskip("sklearn")
    assert not realdata.run(tmp_path, progress=False, max_iter=1)
