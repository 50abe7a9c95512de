"""The terms of the value: in the history on request, and on the progress lines."""

from __future__ import annotations

import io
import sys
import time

import numpy as np
import pytest
from training_problems import Regression, Valley, X, Y, same_history, same_result

import refode
from refode import training
from refode.training import progress

SAMPLES = Regression().draw(80, 3)
NAMES = ("L", "F", "G", "hjb", "hjb_terminal", "total")


def train(problem=None, **options):
    options = {"progress": False, "max_iter": 15, "seed": 1, **options}
    return refode.train(problem or Regression(bend=0.3), SAMPLES, **options)


# --- history ------------------------------------------------------------------------------------


def test_terms_are_columns_on_request():
    seen = []
    result = train(terms=True, callback=lambda r: seen.append(r.copy()))
    assert result.history.dtype.names == (*training.HISTORY.names, *NAMES)
    thetas = [Regression().initial(1), *(row["x"] for row in seen)]
    for theta, row in zip(thetas, result.history, strict=True):
        costs = Regression(bend=0.3).costs(theta, SAMPLES)
        assert {name: row[name] for name in NAMES} == costs
    assert [row["G"] for row in seen] == list(result.history["G"][1:])
    assert (result.history["total"] == result.history["value"]).all()
    plain = train()
    assert plain.history.dtype == training.HISTORY
    assert same_result(plain, train(Valueless(bend=0.3)))
    assert same_history(plain.history, result.history[list(training.HISTORY.names)])


class Valueless(Regression):
    costs = None


def test_nothing_is_computed_for_nobody():
    problem = Regression(bend=0.3)
    train(problem)
    assert problem.count["costs"] == 0


def test_terms_need_costs():
    for problem in (Valley(), Valueless()):
        with pytest.raises(TypeError, match="^problem: got .* without a method costs, which terms"):
            refode.train(problem, X, Y, terms=True, progress=False)


def test_costs_may_write_into_theta():
    class Careless(Regression):
        def costs(self, theta, x):
            found = super().costs(theta, x)
            theta[:] = 99.0
            return found

    assert same_result(train(Careless(bend=0.3), terms=True), train(terms=True))


def test_costs_that_break_down_do_not_lose_the_training():
    class Broken(Regression):
        def costs(self, theta, x):
            if self.count["costs"] > 3:
                raise ZeroDivisionError("here")
            return super().costs(theta, x)

    with pytest.warns(RuntimeWarning, match="ZeroDivisionError: here, at iteration 2"):
        result = train(Broken(bend=0.3), terms=True)
    assert result.status == training.FAILED
    assert result.fun < result.history["value"][0]


@pytest.mark.parametrize("k", [2, 5, 9])
def test_resumed_with_terms(k, tmp_path):
    path = tmp_path / "run.npz"
    train(Regression(bend=0.3, events={k: KeyboardInterrupt()}), terms=True, checkpoint=path)
    stored = training.read_checkpoint(path).history
    problem = Regression(bend=0.3)
    result, whole = train(problem, terms=True, checkpoint=path, resume=True), train(terms=True)
    assert same_result(result, whole)
    assert problem.count["costs"] == 1 + len(whole.history) - len(stored)  # the names, and new rows
    with pytest.raises(ValueError, match=r"differs in terms \(there True, here None\)"):
        train(checkpoint=path, resume=True)


def test_levels_have_terms():
    problems = [Regression(bend=0.3)] * 2
    options = {"progress": False, "max_iter": 4, "terms": True}
    result = refode.train_multilevel(problems, SAMPLES, **options)
    assert result.history.dtype.names == ("level", *training.HISTORY.names, *NAMES)
    assert (result.history["total"] == result.history["value"]).all()


# --- progress ------------------------------------------------------------------------------------


def terms_of(line):
    words = line.split("  ")
    return dict(word.rsplit(" ", 1) for word in words if word.split(" ")[0] in NAMES)


def test_lines_show_the_terms_of_their_iteration(capfd, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(progress, "SHARE_OF_TERMS", 1e9)
    lines = {}
    for terms in (False, True):
        problem = Regression(bend=0.3)
        result = train(problem, progress=True, terms=terms)
        lines[terms] = capfd.readouterr().err.splitlines()
        assert problem.count["costs"] == len(result.history) + terms
    history = result.history
    for shown in lines.values():
        for line, row in zip(shown[:-1], history, strict=True):
            assert terms_of(line) == {name: f"{row[name]:.4g}" for name in NAMES}


def test_costs_are_evaluated_for_shown_lines_alone(capfd):
    problem = Regression(bend=0.3)
    train(problem, progress=True)  # the first and the last line
    assert problem.count["costs"] == 2
    problem = Regression(bend=0.3)
    train(problem, progress=True, max_iter=15, callback=lambda r: r.iteration == 1)
    assert problem.count["costs"] == 2
    assert len(capfd.readouterr().err.splitlines()) == 6


def test_slow_costs_are_shown_less_often(capfd, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    class Slow(Regression):
        def value_and_gradient(self, theta, x):
            now[0] += 1.0
            return super().value_and_gradient(theta, x)

        def costs(self, theta, x):
            now[0] += 0.2  # a twentieth of four evaluations
            return super().costs(theta, x)

    result = train(Slow(bend=0.3), progress=True, max_iter=20)
    shown = len(capfd.readouterr().err.splitlines()) - 1
    assert shown == pytest.approx(result.nfev / 4, abs=2)


def test_a_compiler_in_the_first_costs_delays_no_further_line(capfd, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress.compiler, "seconds", lambda: now[0])  # all of it compiling

    class Compiled(Regression):
        def costs(self, theta, x):
            now[0] += 0.0 if self.count["costs"] else 100.0
            return super().costs(theta, x)

    result = train(Compiled(bend=0.3), progress=True)
    assert len(capfd.readouterr().err.splitlines()) == len(result.history) + 1


def test_on_a_terminal_terms_are_a_second_line(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_REFRESHES", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())
    result = train(progress=True, max_iter=5)
    text = sys.stderr.getvalue()
    costs = Regression(bend=0.3).costs(result.x, SAMPLES)
    assert f" s\nL {costs['L']:.4g}  F 0  G {costs['G']:.4g}  hjb 0" in text.replace("\r", "")


@pytest.mark.parametrize("error", [ValueError("no such thing"), KeyboardInterrupt()])
def test_costs_that_fail_cost_the_terms_alone(error, capfd, monkeypatch):
    """On the last line Ctrl-C too, since training is over."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)

    class Failing(Regression):
        def costs(self, theta, x):
            if isinstance(error, KeyboardInterrupt) and self.count["costs"] < 1:
                return super().costs(theta, x)
            raise error

    if isinstance(error, KeyboardInterrupt):
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 1e9)
    result = train(Failing(bend=0.3), progress=True)
    assert same_result(result, train())
    lines = capfd.readouterr().err.splitlines()
    if isinstance(error, ValueError):
        assert lines[0] == "terms: none, as costs raised ValueError: no such thing"
        assert len(lines) == len(result.history) + 2  # said once
        assert not any(terms_of(line) for line in lines)


def test_ctrl_c_within_the_terms_is_ctrl_c(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(progress, "SHARE_OF_TERMS", 1e9)  # on each line, however slow the machine

    class Interrupted(Regression):
        def costs(self, theta, x):
            if self.count["costs"] == 2:
                raise KeyboardInterrupt
            return super().costs(theta, x)

    result = train(Interrupted(bend=0.3), progress=True)
    assert result.status == training.INTERRUPTED
    assert np.isfinite(result.fun)
