"""The page on adding a problem does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import refode

PAGE = Path(__file__).resolve().parents[1] / "docs" / "adding_a_problem.md"


def blocks():
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


def run(code):
    found = {"__name__": "page"}
    exec(compile(code, str(PAGE), "exec"), found)  # noqa: S102  the page's own code
    return found


def test_the_page_is_right(capsys):
    (code,) = blocks()
    run(code)
    assert "'a'" in capsys.readouterr().out


def test_the_page_proves_what_it_adds():
    (code,) = blocks()
    wrong = code.replace("-(r * a * x * e)", "(r * a * x * e)")
    assert wrong != code
    with pytest.raises(AssertionError):
        run(wrong)


def test_the_least_that_trains_is_an_objective():
    """The first sentence."""

    class Least:
        def value_and_gradient(self, theta, target):
            return 0.5 * ((theta - target) ** 2).sum(), theta - target

    target = np.array([3.0, -1.0])
    result = refode.train(Least(), target, theta0=np.zeros(2), progress=False)
    assert result.success
    assert np.abs(result.x - target).max() < 1e-6
