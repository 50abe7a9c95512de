"""Bugs that golden cases do not reach: texts, tests and the page agree, and tests turn red."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from refode.check import mutants
from refode.reports.proofs import mutations
from refode.reports.section import Section
from validation.mutants import Mutant, by_tests
from validation.mutants.bugs import BY_TESTS, EQUIVALENT, MUTANTS

ROOT = Path(__file__).parents[2]


def test_every_edit_meets_its_text_once():
    for mutant in BY_TESTS:
        for name, text in mutant.sources().items():
            compile(text, name, "exec")
    names = [m.name for m in (*BY_TESTS, *MUTANTS, EQUIVALENT)]
    assert len(set(names)) == len(names)
    assert len(BY_TESTS) >= 40


def test_every_bug_names_a_test():
    for mutant in BY_TESTS:
        file, _, name = mutant.test.split("[")[0].partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text("utf-8"), re.M), mutant.test


@pytest.fixture(scope="module")
def a_test(tmp_path_factory):
    """A test of one number of the package."""
    file = tmp_path_factory.mktemp("tests") / "test_border.py"
    lines = ["from refode import bases", "def test_border():", "    assert bases.BORDER == 1e-12"]
    file.write_text("\n".join(lines) + "\n")
    return f"{file}::test_border"


def a_mutant(test, module="bases", old="BORDER = 1e-12", new="BORDER = 2e-12"):
    return Mutant("m", "about", module, old, new, (), test=test)


def test_a_bug_turns_its_test_red_and_what_is_none_does_not(a_test):
    bug, none = a_mutant(a_test), a_mutant(a_test, new="BORDER = 0.5e-12 + 0.5e-12")
    red, green = by_tests.examine([bug, none])
    assert (red.caught, green.caught) == (True, False)
    assert red.told == "assert 2e-12 == 1e-12"
    assert by_tests.control([bug])[0]


def test_without_a_bug_a_red_test_is_told(a_test):
    file = Path(a_test.split("::")[0]).with_name("test_red.py")
    file.write_text("def test_red():\n    assert 1 == 2\n")
    assert by_tests.control([a_mutant(f"{file}::test_red")]) == (False, "assert 1 == 2")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"test": "tests/test_seeds.py::test_nothing"}, "m: pytest ended with 4"),
        ({"module": "reports.depths", "old": "FINER", "new": "FINER"}, "occurrences of 'FINER'"),
        ({"module": "tableaus", "old": '"gauss2", 4', "new": '"gauss2", 5'}, "ended with 70"),
    ],
)
def test_what_was_not_tried_is_an_error(a_test, change, words):
    with pytest.raises((RuntimeError, ValueError), match=words):
        list(by_tests.examine([a_mutant(**{"test": a_test, **change})]))


def test_the_report_counts_them(monkeypatch):
    red, green = by_tests.Red(BY_TESTS[0], True, "assert"), by_tests.Red(BY_TESTS[1], False, "")

    def checked(found, passed=True):
        monkeypatch.setattr(by_tests, "examine", lambda known: iter(found))
        monkeypatch.setattr(by_tests, "control", lambda known: (passed, "told"))
        section = Section("mutations")
        assert mutations.by_tests(section) == found
        return [c.passed for c in section.checks], section.checks[-1].measured

    assert checked([red]) == ([True, True], "1 of 1")
    assert checked([red, green]) == ([True, False], f"1 of 2 (not {BY_TESTS[1].name})")
    assert checked([red], passed=False)[0] == [False, True]
    assert checked([])[0] == [True, False]
    assert mutations.record_of_test(red)["test"] == BY_TESTS[0].test
    assert mutants.BY_TESTS is BY_TESTS
