"""``refode info FILE`` says what is in a model or a checkpoint."""

from __future__ import annotations

import json

import numpy as np
import pytest
from saved_models import cases, theta_of
from saved_runs import Bowl, X, Y, supervised, trained

import refode
from refode import cli
from refode.reports import saved


@pytest.fixture
def path(tmp_path):
    return tmp_path / "[red]a.npz"


def flat(sections):
    return [
        f"{section}: {what.strip()} {value}" for section, r in sections.items() for what, value in r
    ]


def shown(path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["info", str(path)]) == 0
    return capsys.readouterr().out


def test_a_model(path, capsys, monkeypatch):
    problem = cases()["game sum"].problem
    refode.save(path, problem, theta_of(problem))
    rows = flat(saved.collect(str(path)))
    for row in (
        "file: holds a model",
        "file: format refode model 1",
        f"written by: refode {refode.__version__}",
        "problem:  MeanFieldGame",
        "problem: potential Potential",
        "problem: depth 2",
        "problem: mean [0.1, 0.0]",
        "problem: obstacle Sum",
        "problem: covariances numbers of shape (2, 2, 2)",
        f"parameters: in all {problem.n_parameters}",
        "parameters: K0 (3, 3)",
        "parameters: c ()",
    ):
        assert row in rows
    printed = shown(path, capsys, monkeypatch)
    assert "[red]a.npz" in printed
    assert "MeanFieldGame" in printed


@pytest.mark.parametrize("name", cases())
def test_every_model_is_shown(path, name, capsys, monkeypatch):
    case = cases()[name]
    refode.save(path, case.problem, theta_of(case.problem))
    printed = shown(path, capsys, monkeypatch)
    assert type(case.problem).__name__ in printed
    assert str(case.problem.n_parameters) in printed
    for outside in case.outside:
        assert f"{outside}, to be given" in printed
    assert ("to be given" in printed) == bool(case.outside)


def test_a_checkpoint(path, capsys, monkeypatch):
    result = trained(path, supervised(), X, Y)
    rows = flat(saved.collect(str(path)))
    for row in (
        "file: holds a checkpoint of refode.train",
        "problem: loss Regression",
        "parameters: in all 20",
        "training: iterations 3",
        f"training: best value {result.fun!r}",
        "training: method lbfgs",
    ):
        assert row in rows
    assert repr(result.fun) in shown(path, capsys, monkeypatch)


def test_checkpoints_without_a_problem(path, capsys, monkeypatch):
    trained(path, Bowl(), X)
    assert "problem: in the file no: theta alone" in flat(saved.collect(str(path)))
    printed = shown(path, capsys, monkeypatch)
    assert "known as" in printed
    assert "Bowl" in printed
    trained(path, supervised(), X, Y)
    with np.load(path) as archive:
        members = {n: a for n, a in archive.items() if n != "description" and n[:5] != "array"}
    with open(path, "wb") as file:
        np.savez(file, **{**members, "format": np.array("refode training 1")})
    printed = shown(path, capsys, monkeypatch)
    assert "refode training 1" in printed
    assert "Supervised(NeuralODE(Shallow(dim=2, width=3)" in printed


def test_bad_files_are_failures(path, capsys):
    assert cli.main(["info", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("refode: path: got ")
    assert "there is no such file" in err
    path.write_bytes(b"nothing")
    assert cli.main(["info", str(path)]) == 1
    assert "cannot be read as a model of refode" in capsys.readouterr().err
    assert cli.main(["info", str(path.parent)]) == 1
    assert "got the folder" in capsys.readouterr().err


def rewritten(path, edit):
    """Change a file's description."""
    with np.load(path) as archive:
        members = dict(archive)
    whole = json.loads(str(members["description"]))
    edit(whole)
    with open(path, "wb") as file:
        np.savez(file, **{**members, "description": np.array(json.dumps(whole))})


def test_what_cannot_be_loaded_is_a_failure(path, capsys):
    problem = supervised()
    refode.save(path, problem, theta_of(problem))

    def edit(whole):
        whole["problem"]["with"]["n_outputs"] = -1

    rewritten(path, edit)
    assert cli.main(["info", str(path)]) == 1
    assert "n_outputs: got -1" in capsys.readouterr().err


def test_texts_of_a_file_do_not_move_the_cursor(path, capsys, monkeypatch):
    case = cases()["outside field"]
    refode.save(path, case.problem, theta_of(case.problem))

    def edit(whole):
        whole["outside"]["Linear"]["repr"] = "\x1b[2J[red]\n" + "x" * 10_000
        whole["refode"] = "\x1b]0;title\x07"

    rewritten(path, edit)
    printed = shown(path, capsys, monkeypatch)
    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert "?[2J[red]" in printed
    assert len(printed) < 20_000


@pytest.mark.parametrize("arguments", [None, 5, "text", [], [1]])
def test_arguments_that_are_none_of_a_model_with_parts_from_outside(path, arguments, capsys):
    case = cases()["outside field"]
    refode.save(path, case.problem, theta_of(case.problem))

    def edit(whole):
        whole["problem"]["with"] = arguments

    rewritten(path, edit)
    assert cli.main(["info", str(path)]) == 0  # it cannot be built here to see what is wrong
    assert f"'with': {arguments!r}" in capsys.readouterr().out
