"""The report of a check: every verdict is shown, every format parses, nothing breaks out."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from check_outcomes import NASTY, OUTCOMES, all_right, many, mixed, nasty
from rich.console import Console

from refode.check import html, junit, report, wording
from refode.check.outcome import INVALID, RIGHT, SKIPPED, WRONG, Outcome, Row

VOID = {"meta", "img", "br"}


@pytest.fixture(params=OUTCOMES)
def outcome(request):
    return OUTCOMES[request.param]()


def shown(outcome):
    console = Console(file=io.StringIO(), width=150)
    report.show(outcome, console)
    return console.file.getvalue()


# --- terminal -------------------------------------------------------------------------------


def test_the_table_has_a_line_for_each_quantity_upstream_first():
    text = shown(mixed())
    table = [line.split() for line in text.splitlines() if line.startswith(" ")]
    lines = {line[0]: line[1:] for line in table if line}
    assert lines["slopes"] == ["1", "1.0e-07", "7.0", "-", "float32", "wrong"]
    assert lines["trajectory"] == ["2", "2.0e-15", "14.7", "6.0e-15", "float64", "right"]
    assert lines["gradient"] == ["1", "5.0e-01", "0.3", "-", "none", "wrong"]
    assert lines["tangent"] == ["1", "-", "-", "-", "-", "invalid"]
    assert lines["trace"] == ["2", "-", "-", "-", "-", "skipped"]
    order = [line[0] for line in table if line and line[-1] in report.STYLES]
    assert order == ["slopes", "trace", "trajectory", "tangent", "gradient", "(whole"]


def test_what_is_skipped_invalid_and_wrong_is_named():
    text = shown(mixed())
    assert re.search(r"^skipped  trace +2 cases: not offered", text, re.MULTILINE)
    assert "invalid  ode-b tangent: got nan at (0, 1)" in text
    assert "invalid  ode-c: no answer within 60 s" in text
    assert "wrong    ode-a slopes: error 2.0e-07, 7.0 digits; rounding at float64 explains" in text
    assert "float32 would explain it" in text


def test_findings_say_what_they_explain_and_how_sure_they_are():
    text = shown(mixed())
    first, second = text.split("probably wrong\n")[1].split("2. ")
    assert first.startswith("1. 1/2 times what is right")
    assert "explains 2 of 5 failing arrays, such as sup-a gradient/W0" in first  # not the right one
    assert "certain" in first
    assert "explains 1 of 5 failing arrays, such as ode-a slopes; likely" in second
    assert "no finding explains 2 failing arrays" in second


def test_the_last_line_counts_and_says_where_to_start():
    assert wording.summary(mixed()).startswith(
        "2 of 7 arrays right in 4 cases; 3 wrong, 2 invalid, 2 skipped. Start with slopes,"
    )
    assert wording.summary(all_right()).startswith("2 of 2 arrays right in 2 cases: all of them")
    assert wording.summary(OUTCOMES["skipped"]()) == (
        "Nothing was compared: everything was skipped in 1 case."
    )
    assert wording.summary(OUTCOMES["empty"]()) == "Nothing was compared: there was no case."
    whole = Outcome("t", "float64", [Row("a", "", INVALID, reason="it ended")])
    assert wording.summary(whole).endswith("Start with the cases that failed as a whole.")


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("right", "right"),
        ("mixed", "wrong"),
        ("skipped", "nothing compared"),
        ("empty", "nothing compared"),
    ],
)
def test_the_headline(name, word):
    assert wording.headline(OUTCOMES[name]()) == word
    assert f">{word.capitalize()}.</span>" in html.page(OUTCOMES[name]())


def test_long_lists_are_cut_and_counted():
    names = ("total", "terms", "slopes", "stages", "trace")
    rows = [Row(f"case-{i}", q, INVALID, reason="x" * 999) for i in range(100) for q in names]
    text = shown(Outcome("t", "float64", rows))
    assert text.count("invalid  case-") == report.LISTED
    assert "invalid  and 490 more; report.json has them all" in text
    assert "x" * 201 not in text


def test_the_range_of_errors_seen_is_over_right_rows():
    rows = [
        Row("a", "total", RIGHT, 0.0, 1.0, 1e-14, "float64", 1e-14),
        Row("b", "total", RIGHT, 0.0, 1.0, 1e-12, "float32", 1e-12),
        Row("c", "total", WRONG, 0.5, 1.0, 1e-14, "", 1.0),
        Row("d", "total", RIGHT, 0.0, 0.0, 1e-14, "float64", math.inf),
    ]
    (line,) = wording.lines(Outcome("t", "float64", rows))
    assert line.seen_from == (1e-14, 1e-12)
    assert wording.span(line.seen_from) == "1.0e-14 to 1.0e-12"
    assert line.model == "none"
    (line,) = wording.lines(Outcome("t", "float64", rows[:2]))
    assert line.model == "float32"


def test_other_peoples_text_is_no_markup_and_no_escape_sequence():
    text = shown(nasty())
    assert "[bold]b[/bold]" in text
    assert "\\x1b[31m\\x00" in text
    assert not re.search(r"[\x00-\x08\x1b\ud800]", text)


# --- all formats ----------------------------------------------------------------------------


def test_every_outcome_is_shown_and_written(outcome, tmp_path):
    text = shown(outcome)
    assert " ".join(text.split()).endswith(wording.summary(outcome))
    files = report.write(outcome, tmp_path / "new" / "folder")
    wanted = [*report.FILES[:3], *(["smallest.json"] if outcome.shrunk else [])]
    assert [file.name for file in files] == wanted
    for file in files:
        assert file.read_text(encoding="utf-8")


def test_json_holds_everything_without_nan(outcome, tmp_path):
    report.write(outcome, tmp_path)

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    record = json.loads(text, parse_constant=refuse)
    assert len(record["rows"]) == len(outcome.rows)
    assert record["passed"] == outcome.passed
    for row, made in zip(record["rows"], outcome.rows, strict=True):
        assert (row["case"], row["verdict"]) == (made.case, made.verdict)
        assert float(row["error"]) == pytest.approx(made.error, rel=0, abs=0, nan_ok=True)


def test_a_smallest_case_of_an_earlier_check_goes(tmp_path):
    report.write(nasty(), tmp_path)
    assert json.loads((tmp_path / "smallest.json").read_text())["h"] == "nan"
    report.write(mixed(), tmp_path)
    assert not (tmp_path / "smallest.json").exists()


# --- JUnit ----------------------------------------------------------------------------------


def test_junit_counts_what_it_holds(outcome):
    root = ElementTree.fromstring(junit.document(outcome).encode())
    assert root.tag == "testsuites"
    count = {
        tag: len(root.findall(f".//{tag}")) for tag in ("testcase", "failure", "error", "skipped")
    }
    verdicts = [row.verdict for row in outcome.rows]
    wanted = [len(verdicts), *(verdicts.count(v) for v in (WRONG, INVALID, SKIPPED))]
    assert list(count.values()) == wanted
    for key, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
        assert int(root.get(key)) == count[tag]
        assert sum(int(suite.get(key)) for suite in root) == count[tag]


def test_junit_says_what_is_wrong_and_why():
    root = ElementTree.fromstring(junit.document(mixed()).encode())
    (failure,) = root.findall(".//testcase[@name='sup-a[W0]']/failure")
    assert failure.get("message").startswith("error 1.0e+00, 0.3 digits; rounding at float64")
    assert "probably: 1/2 times what is right: gradient" in failure.text
    (failure,) = root.findall(".//testcase[@name='ode-a']/failure")
    assert "single precision inside (by the shape of the error)" in failure.text
    (error,) = root.findall("testsuite[@name='tangent']/testcase/error")
    assert error.get("message") == "got nan at (0, 1)"
    assert root.get("time") == "1.250"


def test_junit_keeps_other_peoples_text_as_text():
    root = ElementTree.fromstring(junit.document(nasty()).encode())
    assert root.get("name").startswith("refode check <script>alert('x')</script> & \"]]>")
    assert "\\x1b[31m\\x00" in root.get("name")
    assert not root.findall(".//script")


# --- HTML -----------------------------------------------------------------------------------


class Parsed(HTMLParser):
    """Tags that are closed in order, and what they hold."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.cells, self.pictures = [], [], [], []
        self.sources = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for key, value in attributes if key in ("src", "href")]
        if tag == "img":
            self.pictures.append(dict(attributes))
        if tag == "td":
            self.cells.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.cells[-1] += data


def test_the_page_is_well_formed_and_loads_nothing(outcome):
    page = Parsed(html.page(outcome))
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert all(source.startswith("data:") for source in page.sources)
    for picture in page.pictures:
        kind, _, data = picture["src"].partition(",")
        assert kind == "data:image/svg+xml;base64"
        assert ElementTree.fromstring(base64.b64decode(data)).tag.endswith("svg")
        assert int(picture["width"]) > 0
        assert picture["alt"]


def test_the_page_breaks_no_word_that_fits():
    """`anywhere` lets columns shrink below their words; tables scroll instead."""
    assert "anywhere" not in html.STYLE
    assert "break-all" not in html.STYLE
    assert ".wide { overflow-x: auto; }" in html.STYLE
    assert "overflow-wrap: break-word" in html.STYLE  # what is longer than a line


def test_the_page_escapes_other_peoples_text():
    text = html.page(nasty())
    assert "<script" not in text
    assert "[31m\x00" not in text
    assert any(wording.clean(NASTY) == cell for cell in Parsed(text).cells)


def test_the_page_shows_every_verdict_and_finding():
    text = html.page(mixed())
    for verdict in (RIGHT, WRONG, INVALID, SKIPPED):
        assert f'<td class="verdict {verdict}">{verdict}</td>' in text
    assert "1/2 times what is right: gradient" in text
    assert "explains 1 of 5 failing arrays" in text
    assert "No finding explains 2 failing arrays." in text
    assert "Probably wrong" not in html.page(all_right())
    assert "Nothing known explains 1 failing array." in html.page(many(20))


def test_the_page_holds_failing_arrays_first_and_not_too_many(monkeypatch):
    monkeypatch.setattr(html, "MOST_ARRAYS", 50)
    text = html.page(many(100))
    table = text.partition("<h2>Every array</h2>")[2]
    assert table.count("<tr>") == 51
    assert "random-000099" in table.split("<tr>")[2]
    assert "150 more are in report.json" in table
