"""The pictures of adjoints and of depth: the verdicts hold, and files appear."""

from __future__ import annotations

import json

import pytest

from refode import Supervised
from refode.reports import outputs
from refode.reports.figures import depth, depth_steps, paradigms


@pytest.mark.parametrize(("name", "report"), [("paradigms", paradigms), ("depth", depth)])
def test_all_holds_and_is_drawn(name, report, tmp_path):
    assert report.run(tmp_path, progress=False)
    folder = tmp_path / name
    assert {f.name for f in folder.iterdir()} == set(outputs.FILES[name])
    assert (folder / f"{name}.png").stat().st_size > 10_000
    assert json.loads((folder / f"{name}.json").read_text())["passed"]


def test_a_wrong_order_fails(tmp_path, monkeypatch):
    right = paradigms.discretised

    def wrong(given, path, kind):
        return right(given, path, "linear" if kind == "hermite" else kind)

    monkeypatch.setattr(paradigms, "discretised", wrong)
    assert not paradigms.run(tmp_path, progress=False)
    checks = json.loads((tmp_path / "paradigms" / "paradigms.json").read_text())["checks"]
    assert [name for name, good in checks.items() if not good] == ["stored, cubic: order 4"]


def test_depth_fails_where_layers_read_other_weights(monkeypatch):
    right = depth._weights
    monkeypatch.setattr(depth, "_weights", lambda ode, n, kind: right(ode, n, "independent"))
    failed = [name for name, good in depth.checks_of(depth.against_depth(False)) if not good]
    assert failed == ["smooth weights: D1 stays"]


def test_a_layer_left_out_that_counts_is_seen(monkeypatch):
    """The check of bits, on runs too short for the others."""
    monkeypatch.setattr(depth_steps, "ROUNDS", 2)
    monkeypatch.setattr(depth_steps, "ITERATIONS", 5)
    named = "what is left predicts the same bits"
    assert dict(depth_steps.checks_of(depth_steps.learned(False)))[named]
    right = Supervised.pruned

    def wrong(problem, theta):
        moved = theta.copy()
        problem.unpack(moved)["W0"][0] *= 1.001
        return right(problem, moved)

    monkeypatch.setattr(Supervised, "pruned", wrong)
    assert not dict(depth_steps.checks_of(depth_steps.learned(False)))[named]
