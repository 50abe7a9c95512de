"""The command ``refode check``: its exit statuses, its files, and what it shows meanwhile."""

from __future__ import annotations

import sys

import pytest

from refode import cli

ADAPTER = """
from refode import reference

def right(case):
    return reference.arrays(reference.case(case.name), "results")

def half(case):
    return {k: v / 2 if k.startswith("gradient") else v for k, v in right(case).items()}

def shy(case):
    return None
"""


@pytest.fixture
def adapters(tmp_path, monkeypatch):
    """A current folder with a module of adapters, on no path of Python's."""
    (tmp_path / "adapters_of_a_test.py").write_text(ADAPTER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    return tmp_path


def check(name, *more):
    return cli.main(["check", f"adapters_of_a_test:{name}", "--cases", "supervised-[lr]*", *more])


def test_check_says_right_and_writes_where_it_says(adapters, capsys):
    assert check("right") == 0
    shown = capsys.readouterr()
    assert "arrays right in" in shown.out
    out = adapters / "results" / "check"
    assert shown.out.endswith(f"report.html, report.json, junit.xml are in {out}\n")
    assert sorted(p.name for p in out.iterdir()) == ["junit.xml", "report.html", "report.json"]


@pytest.mark.parametrize("target", ["nosuch", "nosuch:adapter", "empty", "adapters_of_a_test:no"])
@pytest.mark.parametrize("out", [None, "new/folder"])
def test_a_target_that_is_refused_leaves_no_folder(adapters, capsys, target, out):
    (adapters / "empty").mkdir()
    before = sorted(adapters.rglob("*"))
    with pytest.raises(SystemExit, match="2"):
        cli.main(["check", target, *(["--out", out] if out else [])])
    assert "target: " in capsys.readouterr().err
    assert [p for p in sorted(adapters.rglob("*")) if "__pycache__" not in str(p)] == before


@pytest.mark.parametrize("diagnosed", [True, False])
def test_check_says_wrong(adapters, capsys, diagnosed):
    assert check("half", *["--no-diagnosis"] * (not diagnosed)) == 1
    text = capsys.readouterr().out
    assert "Start with gradient" in text
    assert ("1. " in text) == diagnosed
    assert ("nothing known explains" in text) == (not diagnosed)


def test_check_of_what_offers_nothing_fails(adapters, capsys):
    assert check("shy") == 1
    assert "Nothing was compared" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("adapters_of_a_test:none", "has no none"),
        ("no_such_module:adapter", "no_such_module"),
        ("nothing", "got 'nothing', wanted a folder or module:adapter"),
        ("math:pi", "target: got float of math:pi, wanted an adapter"),
        (".", "without any file named as a golden case"),
    ],
)
def test_check_of_an_unusable_target(adapters, capsys, target, message):
    with pytest.raises(SystemExit) as caught:
        cli.main(["check", target, "--quiet"])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_check_of_cases_that_are_none(adapters, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["check", "adapters_of_a_test:right", "--cases", "ode-*", "nonsense-*"])
    assert caught.value.code == 2
    assert "'nonsense-*'" in capsys.readouterr().err


def test_check_passes_all_options_on(adapters, monkeypatch):
    from refode.check import Outcome, Row, run

    asked = {}

    def stand_in(target, **options):
        asked.update(options, target=target)
        options["progress"]("a case", 0, 3)
        return Outcome("t", "float32", [Row("a", "total", "right", 0.0, 1.0, 1.0, "float64")])

    monkeypatch.setattr(run, "check", stand_in)
    argv = [
        "check",
        "t:a",
        "--precision",
        "float32",
        "--cases",
        "ode-*",
        "--random",
        "3",
        "--seed",
        "5",
        "--timeout",
        "2.5",
        "--no-diagnosis",
        "--out",
        "there",
    ]
    assert cli.main(argv) == 0
    assert callable(asked.pop("progress"))
    assert asked == {
        "target": "t:a",
        "precision": "float32",
        "cases": ["ode-*"],
        "n_random": 3,
        "seed": 5,
        "timeout": 2.5,
        "diagnose": False,
    }
    assert (adapters / "there" / "report.html").is_file()


def test_check_stops_on_ctrl_c(adapters, monkeypatch, capsys):
    from refode.check import run

    def interrupted(target, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "check", interrupted)
    assert cli.main(["check", "t:a"]) == 130
    assert capsys.readouterr().err == "refode: interrupted\n"


def test_check_shows_how_far_it_is(monkeypatch, capsys):
    from refode.check import progress

    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with progress.progress(True) as shown:
        shown("ode-[line]", 3, 70)
    assert capsys.readouterr().err == "3 of 70 cases, now ode-[line]\n"
    with progress.progress(False) as shown:
        assert shown is None
    monkeypatch.setenv("FORCE_COLOR", "1")  # taken for a terminal
    monkeypatch.setenv("TERM", "xterm")
    with progress.progress(True) as shown:
        shown("ode-[line]", 3, 70)
    assert "ode-[line]" in capsys.readouterr().err


def test_outputs_follow_links(adapters, tmp_path):
    out = tmp_path / "results" / "check"
    out.mkdir(parents=True)
    for name in ("report.html", "smallest.json"):
        (tmp_path / name).write_text("old")
        (out / name).symlink_to(tmp_path / name)
    assert check("right") == 0
    assert (out / "report.html").is_symlink()
    assert "<html" in (tmp_path / "report.html").read_text()
    assert not (tmp_path / "smallest.json").exists()  # an earlier check's
