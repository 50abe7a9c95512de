"""The pictures of a check's report: what fails is marked, and any name can be drawn."""

from __future__ import annotations

import warnings

import pytest
from check_outcomes import OUTCOMES, malformed, many, mixed, right

from refode.check import plots
from refode.check.outcome import INVALID, SKIPPED, WRONG, Outcome, Row


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.setattr(plots, "_svg", lambda made: made)


def test_the_heatmap_marks_what_fails(figures):
    panel = plots.heatmap(mixed()).axes[0]
    columns = [text.get_text() for text in panel.get_xticklabels()]
    rows = [text.get_text() for text in panel.get_yticklabels()]
    at = {
        c.get_label(): {(rows[int(y)], columns[int(x)]) for x, y in c.get_offsets()}
        for c in panel.collections[1:]
    }
    assert at == {
        WRONG: {("ode-a", "slopes"), ("sup-a", "gradient")},
        INVALID: {("ode-b", "tangent"), ("ode-c", "(whole case)")},
        SKIPPED: {("ode-a", "trace"), ("ode-b", "trace")},
    }


def test_the_strip_puts_errors_on_their_side_of_the_line(figures):
    panel = plots.strip(mixed()).axes[0]
    good, bad = (c.get_offsets() for c in panel.collections[:2])
    assert sorted(good[:, 0]) == pytest.approx([0.1, 0.4])
    assert (bad[:, 0] > 1).all()
    assert len(bad) == 3
    names = [text.get_text() for text in panel.get_yticklabels()]
    assert [names[round(y)] for y in good[:, 1]] == ["trajectory", "trajectory"]


def test_a_point_without_a_number_is_not_drawn(figures):
    outcome = Outcome("t", "float64", [Row("a", "total", WRONG), *mixed().rows])
    points = plots.strip(outcome).axes[0].collections[1].get_offsets()
    assert len(points) == 3
    assert plots.strip(malformed()).axes[0].get_xlim()[1] <= 3 * plots.HIGHEST


def test_names_are_no_formulas_and_have_a_font():
    names = ("$a_b^$", "é\ud800日本", "x" * 100)
    outcome = Outcome("t", "float64", [right(name, name) for name in names])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of missing glyphs
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # what it calls in pyparsing
        assert plots.heatmap(outcome)
        assert plots.strip(outcome)


def test_no_picture_where_there_is_nothing_to_draw():
    assert plots.heatmap(Outcome("t", "float64")) is None
    assert plots.strip(OUTCOMES["skipped"]()) is None


def test_a_thousand_random_cases_share_a_row_of_the_heatmap():
    golden = [right(f"ode-{i}", "total") for i in range(5)]
    outcome = Outcome("t", "float64", golden + many().rows)
    rows = plots.rows_of(outcome)
    assert list(rows) == [*(f"ode-{i}" for i in range(5)), "random ... (1,000 cases)"]
    assert sum(map(len, rows.values())) == len(outcome.rows)


def test_too_many_cases_are_put_together_with_their_neighbours():
    outcome = Outcome("t", "float64", [right(f"{i}x", "total") for i in range(1000)])
    rows = plots.rows_of(outcome, most=80)
    assert len(rows) <= 80
    assert [r.case for inside in rows.values() for r in inside] == [f"{i}x" for i in range(1000)]


def test_a_row_of_many_cases_shows_the_gravest(figures):
    made = plots.heatmap(many())
    panel = made.axes[0]
    mesh, marks = panel.collections
    assert mesh.get_array().shape == (1, 2)
    assert mesh.get_array().min() == 0
    assert marks.get_label() == WRONG
