"""``refode validate``: passes on right code, and says so where something is planted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from refode import fields, tableaus
from refode.bases import Constant
from refode.problems.supervised import Supervised
from refode.reports import tables, validate
from refode.reports.proofs import gradient_cases, gradients, invariants, orders
from refode.reports.section import Section


@pytest.fixture
def case():
    kind = "Shallow"
    return gradient_cases.make(kind, fields.Shallow(3, 5), "rk4", Constant(), "softmax", 0)


def test_a_right_case_passes_and_is_drawn(case, tmp_path):
    section = gradients.run(tmp_path, True, [case])
    assert section.passed
    assert sorted(f.suffix for f in section.files) == [".pdf", ".pdf", ".png", ".png"]


@pytest.mark.parametrize("factor", [1.001, -1.0, 0.5])
def test_a_scaled_gradient_fails(case, factor, monkeypatch):
    right = Supervised.value_and_gradient

    def wrong(self, theta, x, y):
        value, gradient = right(self, theta, x, y)
        return value, factor * gradient

    monkeypatch.setattr(Supervised, "value_and_gradient", wrong)
    row = gradients.examine(case)
    assert not row.passed
    assert any("gradient of the objective" in failure for failure in row.failures)


def test_orders_are_observed_and_a_wrong_claim_fails(tmp_path):
    right, wrong = orders.explicit([("heun", "heun", 2), ("heun called 3", "heun", 3)])
    assert right.passed
    assert not wrong.passed


def test_a_wrong_tableau_fails_its_conditions():
    rk4 = tableaus.get("rk4")
    b = list(rk4.b)
    b[0], b[1] = b[1], b[0]
    wrong = tableaus.Tableau("wrong", rk4.A, b, rk4.c, 4, "none")
    assert orders.conditions(rk4).passed
    assert not orders.conditions(wrong).passed


def test_the_fine_solution_meets_an_independent_one():
    found = orders.second_opinion(orders.fading(8))
    assert max(found.values()) < orders.SECOND_OPINION


def test_invariants_hold_and_notice(tmp_path, monkeypatch):
    assert invariants.run(tmp_path, True).passed
    right = invariants.evaluate.value
    monkeypatch.setattr(
        invariants.evaluate, "value", lambda f, w, z: right(f, w, z) * (1 + np.finfo(float).eps)
    )
    assert not invariants.run(tmp_path, True).passed


def part(passed):
    def run(out, quick):
        section = Section(f"part {passed}")
        section.add("something", passed, "1", "2")
        return section

    return run


def test_one_failed_check_fails_the_whole(tmp_path, capsys):
    assert validate.run(tmp_path, parts=[part(True)])
    assert not validate.run(tmp_path, parts=[part(True), part(False)])
    assert "FAILED part False: something: 1, wanted 2" in capsys.readouterr().out
    record = json.loads((tmp_path / "validate.json").read_text())
    assert not record["passed"]
    assert record["part True"]["passed"]


def test_a_part_without_checks_fails(tmp_path):
    assert not validate.run(tmp_path, parts=[lambda out, quick: Section("empty")])


def test_a_validation_that_is_stopped_keeps_what_is_done(tmp_path, capsys):
    def done(out, quick):
        section = Section("done")
        section.add("a check", True, "1", "1")
        return section

    def stopped(out, quick):
        raise KeyboardInterrupt

    (tmp_path / "validate.json").write_text("of an earlier run")
    with pytest.raises(KeyboardInterrupt):
        validate.run(tmp_path, parts=[done, stopped])
    partial = tmp_path / "validate.partial.json"
    kept = json.loads(partial.read_text())
    assert (kept["complete"], kept["passed"]) == (False, False)
    assert [check["name"] for check in kept["done"]["checks"]] == ["a check"]
    assert "Stopped" in capsys.readouterr().out
    assert (tmp_path / "validate.json").read_text() == "of an earlier run"
    assert validate.run(tmp_path, parts=[done])
    assert not partial.exists()
    assert json.loads((tmp_path / "validate.json").read_text())["complete"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_figure_that_is_stopped_keeps_what_is_done(error, tmp_path, capsys):
    def report():
        with tables.keeping("figure1", tmp_path) as kept:
            kept.add("first", {"theta": np.arange(2.0), "value": np.float64(1.0)})
            raise error

    with pytest.raises(error):
        report()
    partial = tmp_path / "figure1.partial.json"
    assert json.loads(partial.read_text()) == {
        "complete": False,
        "parts": {"first": {"theta": [0.0, 1.0], "value": 1.0}},
    }
    assert str(partial) in capsys.readouterr().out
    assert tables.finish("figure1", tmp_path, [("all", True)], {})
    assert not partial.exists()


def test_a_figure_that_is_stopped_before_anything_is_done_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), tables.keeping("figure1", tmp_path):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
