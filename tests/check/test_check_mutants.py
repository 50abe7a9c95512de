"""Planted bugs are caught and named, what is no bug survives, and verify sees wrong gradients."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from refode.check import mutants
from refode.check.outcome import WRONG, Finding, Outcome, Row
from refode.reports.proofs import mutations
from refode.reports.section import Section
from validation.mutants import Mutant
from validation.mutants.bugs import BY_TESTS, EQUIVALENT, MUTANTS
from validation.mutants.trial import GradientCheck, Result, named


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mutations")
    return mutations.run(folder, quick=True), folder


def test_every_edit_meets_its_text_once():
    for mutant in (*MUTANTS, EQUIVALENT):
        for name, text in mutant.sources().items():
            compile(text, name, "exec")
    assert len({m.name for m in MUTANTS}) == len(MUTANTS) >= 55
    assert all(m.quantity for m in MUTANTS)


def test_the_quick_report_holds(report):
    section, folder = report
    assert section.passed, [c for c in section.checks if not c.passed]
    assert [c.name for c in section.checks] == [
        "the kernels without a bug pass",
        "and so do their gradients",
        "refode check catches every bug",
        "its first finding names them",
        "refode.verify fails every wrong gradient",
        "and no gradient that is right for its value",
    ]
    record = json.loads((folder / "mutations.json").read_text())
    assert [m["name"] for m in record["mutants"]] == list(mutations.QUICK)
    assert all(m["caught"] and m["edits"] for m in record["mutants"])
    lines = (folder / "mutations.md").read_text().splitlines()
    assert len(lines) == 2 + len(mutations.QUICK)


def test_another_direction_of_time_is_right_for_its_own_value(report):
    """The column says so by measurement: differences agree with the mutant's own gradient."""
    by_name = {m["name"]: m for m in report[0].numbers["mutants"]}
    found = by_name["forward-time"]
    assert found["verify"] == "another function"
    assert not any(g["wrong"] or g["failed"] for g in found["gradients"])
    wrong = by_name["gradient-1.001"]
    assert wrong["verify"] == "caught"
    # a part of the gradient, that by x, is right
    assert all(1e-5 < g["error"] < 1.0001e-3 for g in wrong["gradients"] if g["wrong"])


def test_what_changes_nothing_survives():
    (result,) = mutants.suite([EQUIVALENT.name])
    assert not result.caught
    assert (result.naming, result.verify, result.gradients) == ("", "no gradient", [])
    section = Section("mutations")
    mutations.judge(section, [result])
    assert not section.checks[0].passed
    assert EQUIVALENT.name in section.checks[0].measured


def test_the_page_has_every_bug():
    page = (Path(__file__).parents[2] / "docs" / "mutations.md").read_text("utf-8")
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")]
    assert rows[1:] == [*(m.name for m in MUTANTS), "bug", *(m.name for m in BY_TESTS)]


# --- what the parts refuse, and say ------------------------------------------------------------

MUTANT = Mutant(
    "m", "about", "bases", "BORDER = 1e-12", "BORDER = 2e-12", (("factor", "1/2"),), "terms"
)


def found(*findings):
    return Outcome("t", "float64", [Row("case", "terms/loss", WRONG)], list(findings))


def test_only_the_first_finding_names():
    half = Finding("factor", "a factor of 1/2 too much: terms/loss.", ())
    twice = Finding("factor", "a factor of 2 too much: terms/loss.", ())
    place = Finding("first-wrong", "terms is the first quantity to be wrong.", (), False)
    elsewhere = Finding("first-wrong", "phi is the first quantity to be wrong.", (), False)
    assert named(MUTANT, found(half, twice)) == "named"
    assert named(MUTANT, found(twice, half)) == "no"
    assert named(MUTANT, found(place, half)) == "localised"
    assert named(MUTANT, found(elsewhere, half)) == "no"
    assert named(MUTANT, found()) == "no"
    assert named(MUTANT, Outcome("t", "float64", [])) == ""


def test_verify_is_held_to_what_it_says_it_sees():
    wrong = GradientCheck("case", 1e-3, 1e-12, 1e-10, True)
    missed = dataclasses.replace(wrong, failed=False)
    below = GradientCheck("case", 1e-11, 1e-12, 1e-10, False)
    alarm = dataclasses.replace(below, failed=True)
    rough = GradientCheck("case", 1e-4, 1e-5, 1e-3, True)
    nothing = GradientCheck("case", float("inf"), 0.0, float("inf"), True)
    for gradients, words in (
        ([wrong, below], "caught"),
        ([wrong, missed], "missed"),
        ([below], "another function"),
        ([alarm], "false alarm"),
        ([rough], "rough"),
        ([rough, alarm], "false alarm"),
        ([nothing], "caught"),
        ([], "no gradient"),
    ):
        assert Result(MUTANT, gradients=gradients).verify == words


def test_every_check_of_the_report_can_fail():
    wrong = GradientCheck("case", 1e-3, 1e-12, 1e-10, True)
    right = GradientCheck("case", 1e-12, 1e-12, 1e-10, False)
    good = Result(MUTANT, 3, 1, True, [], "named", [wrong, right])

    def passed(*others):
        section = Section("mutations")
        mutations.judge(section, [good] * 4 + list(others))
        return [c.passed for c in section.checks]

    assert passed(good) == [True, True, True, True]
    assert passed(dataclasses.replace(good, naming="localised")) == [True, True, True, True]
    assert passed(*[dataclasses.replace(good, naming="localised")] * 2) == [True, False, True, True]
    assert passed(dataclasses.replace(good, caught=False)) == [False, True, True, True]
    missed = dataclasses.replace(wrong, failed=False)
    assert passed(dataclasses.replace(good, gradients=[missed])) == [True, True, False, True]
    alarm = dataclasses.replace(right, failed=True)
    assert passed(dataclasses.replace(good, gradients=[alarm])) == [True, True, True, False]
    section = Section("mutations")
    mutations.judge(section, [dataclasses.replace(good, gradients=[right])])
    assert [c.passed for c in section.checks] == [True, True, False, True]  # nothing was seen


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"old": "no such text"}, "0 occurrences"),
        ({"old": "import"}, "occurrences of 'import'"),
        ({"more": (("BORDER = 1e-12", ""),)}, "0 occurrences"),
        ({"more": (("verify.truth", "def", ""),)}, "one of the kernels'"),
        ({"module": "verify.truth"}, "one of the kernels'"),
        ({"module": "problems.nothing"}, "that can be imported"),
    ],
)
def test_edits_that_do_not_fit_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(MUTANT, **changes).sources()


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="names: got 'nothing'"):
        mutants.suite(["nothing"])
    with pytest.raises(ValueError, match="nothing"):
        mutants.started("nothing")
