"""What training shows while it runs."""

from __future__ import annotations

import io
import sys

from training_problems import METHODS, Valley, X, Y

import refode
from refode.training import progress


def test_progress_is_silent_unless_asked_for(capfd):
    for method in METHODS:
        refode.train(Valley(), X, Y, method=method, tolerance=0.0, progress=False)
    assert capfd.readouterr() == ("", "")


def test_progress_prints_the_first_and_the_last_line(capfd):
    result = refode.train(Valley(), X, Y, method="newton-cg", max_iter=7)
    out, err = capfd.readouterr()
    first, last, message = err.splitlines()
    assert out == ""
    assert first.startswith("iteration 0/7 ")
    assert last.startswith("iteration 7/7 ")
    assert f"value {result.fun:.8e}" in last
    assert f"|gradient| {result.history['gradient_norm'][-1]:.2e}" in last
    assert f"evaluations {result.nfev}  products {result.nhev}" in last
    assert last.endswith(" s")
    assert message == result.message


def test_progress_prints_every_so_often(capfd, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    result = refode.train(Valley(), X, Y, max_iter=9)
    lines = capfd.readouterr().err.splitlines()
    assert [int(line.split()[1].split("/")[0]) for line in lines[:-1]] == list(range(10))
    assert lines[-1] == result.message


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_one_live_line_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_REFRESHES", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())
    result = refode.train(Valley(), X, Y, max_iter=5)
    text = sys.stderr.getvalue()
    assert "first evaluation" in text
    for i in range(6):
        assert f"iteration {i}/5  value {result.history['value'][i]:.8e}" in text
    assert text.count("\n") <= 3  # rewritten in place, not line after line
    assert text.rstrip().endswith(result.message)
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is back


def test_progress_survives_a_broken_pipe(monkeypatch):
    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    for stream in (Broken(), None):
        monkeypatch.setattr(sys, "stderr", stream)
        assert refode.train(Valley(), X, Y).success
