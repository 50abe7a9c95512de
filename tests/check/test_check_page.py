"""The adapter of docs/check.md does what the page says of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from refode.check.outcome import RIGHT, SKIPPED
from refode.check.run import check

PAGE = Path(__file__).parents[2] / "docs" / "check.md"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current folder that holds the page's module."""
    (code,) = re.findall(r"```python\n(# mymodel\.py\n.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "mymodel.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_pages_adapter_is_right_where_it_applies_and_skips_the_rest(folder):
    outcome = check("mymodel:adapter")
    assert outcome.passed
    right = [(r.case, r.quantity) for r in outcome.rows if r.verdict == RIGHT]
    assert right == [("ode-euler-affine", "trajectory")]
    skipped = [r for r in outcome.rows if (r.verdict, r.quantity) == (SKIPPED, "trajectory")]
    reasons = {r.reason for r in skipped}
    assert reasons == {"affine fields with constant weights alone", "Euler without time alone"}


def test_a_sign_in_it_is_seen(folder):
    path = folder / "mymodel.py"
    path.write_text(path.read_text().replace("case.h *", "abs(case.h) / 2 *"))
    outcome = check("mymodel:adapter")
    assert not outcome.passed
    assert outcome.findings


def test_the_pages_other_lines_ask_for_the_same_adapter(folder):
    (code,) = re.findall(
        r"```python\n(from refode\.check import check\n.*?)```", PAGE.read_text(), re.DOTALL
    )
    names: dict = {}
    exec(code, names)
    outcome = names["outcome"]
    assert outcome.passed
    assert {row.case[:4] for row in outcome.rows} == {"ode-"}
