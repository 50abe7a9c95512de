"""Searching random cases: what a failure shrinks to, repeating a search, what comes out of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("hypothesis")

from refode.check import random_cases as rc  # noqa: E402
from refode.check.random_search import search  # noqa: E402

ROOT = Path(__file__).parents[2]


def answers(document):
    """No kernels: results that are tame."""
    return {"trajectory": np.zeros(1)}


def smooth(wrong, n, seed=1, kinds=("ode", "supervised", "flow"), **how):
    """A search without kernels: among kinds that have no kinks."""
    return search(wrong, n, seed, kinds, answers, **how)


def rk4_in_steps(d):
    return (
        d["problem"]["type"] == "supervised" and d["scheme"]["name"] == "rk4" and d["n_steps"] >= 2
    )


def test_a_failure_shrinks_to_what_it_takes():
    found = smooth(rk4_in_steps, 600)
    d = found.smallest
    assert rk4_in_steps(found.first)
    assert found.first["name"] == f"random-{found.tried:06d}"
    assert d["name"] == "random-smallest"
    assert d["problem"] == {
        "type": "supervised",
        "loss": "regression",
        "n_outputs": 1,
        "augment": 0,
        "readout": False,
        "tikhonov": "0",
        "smoothness": "0",
    }
    assert d["field"] == {"type": "Affine", "dim": 1, "time": False}
    assert (d["scheme"]["name"], d["n_steps"], d["seed"]) == ("rk4", 2, 1)
    assert d["basis"] == {"type": "Constant", "J": 1}
    assert d["t_span"] == d["along"] == ["0", "1"]
    assert d["inputs"]["x"]["shape"] == [1, 1]
    assert 0 < found.shrinks < 200


@pytest.mark.parametrize(
    ("wrong", "kept"),
    [
        (lambda d: True, {}),
        (lambda d: d["inputs"]["x"]["shape"][0] == 3, {"x": 3}),
        (lambda d: d["basis"]["type"] == "BSpline", {"basis": "BSpline"}),
        (lambda d: "gamma" in d["field"], {"field": "Antisymmetric", "activation": "identity"}),
        (lambda d: d["field"]["dim"] > 3, {"dim": 4}),
        (lambda d: d["along"] != d["t_span"] and d["problem"]["type"] == "ode", {"back": True}),
        (
            lambda d: "half" in d["scheme"],
            {"field": "Hamiltonian", "activation": "identity", "scheme": "verlet", "dim": 2},
        ),
    ],
    ids=["all", "samples", "splines", "gamma", "dim", "backward", "symplectic"],
)
def test_all_else_becomes_the_simplest(wrong, kept):
    d = smooth(wrong, 600).smallest
    got = {
        "kind": d["problem"]["type"],
        "field": d["field"]["type"],
        "dim": d["field"]["dim"],
        "time": d["field"]["time"],
        "activation": d["field"].get("activation"),
        "gamma": d["field"].get("gamma", "0"),
        "scheme": d["scheme"]["name"],
        "steps": d["n_steps"],
        "basis": d["basis"]["type"],
        "x": d["inputs"]["x"]["shape"][0],
        "back": d["along"] != d["t_span"],
        "seed": d["seed"],
    }
    simplest = {
        "kind": "ode",
        "field": "Affine",
        "dim": 1,
        "time": False,
        "activation": None,
        "gamma": "0",
        "scheme": "euler",
        "steps": 1,
        "basis": "Constant",
        "x": 1,
        "back": False,
        "seed": 1,
    }
    assert got == simplest | kept


def test_the_same_seed_gives_the_same_cases():
    def judged(seed, n=40, wrong=lambda d: False):
        seen = []
        found = smooth(lambda d: seen.append(json.dumps(d)) or wrong(d), n, seed)
        return seen, found

    first, second, other = judged(3), judged(3), judged(4)
    assert first == second
    assert len(first[0]) == first[1].tried == 40
    assert first[1].smallest is first[1].first is None
    assert first[1].shrinks == 0
    assert first[0] != other[0]
    shrunk = [judged(5, 200, lambda d: d["n_steps"] == 3) for _ in range(2)]
    assert shrunk[0] == shrunk[1]
    seen, found = shrunk[0]
    names = [json.loads(d)["name"] for d in seen]
    assert names[: found.tried] == [f"random-{i:06d}" for i in range(1, found.tried + 1)]
    assert names[found.tried :] == ["random-smallest"] * found.shrinks


def test_a_search_goes_the_same_way_whatever_is_imported():
    script = (
        "import json\n{}import test_check_random_search as t\nseen = []\n"
        "t.smooth(lambda d: seen.append(d), 60)\nprint(json.dumps(seen))\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(
            [str(ROOT), str(ROOT / "tests" / "support"), str(Path(__file__).parent)]
        ),
    }
    shown = [
        subprocess.run(
            [sys.executable, "-c", script.format(extra)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for extra in ("", "import refode.datasets, refode.cli\n")
    ]
    assert shown[0] == shown[1]
    assert len(json.loads(shown[0])) == 60


def test_a_judge_is_asked_once_a_case_while_shrinking_and_may_change_its_mind():
    seen = []

    def whimsical(d):
        seen.append(json.dumps(d | {"name": ""}))
        return d["n_steps"] > 1 and len(seen) % 3 > 0

    found = smooth(whimsical, 300)
    assert found.smallest["n_steps"] > 1
    again = seen[found.tried - 1 :]
    assert len(set(again)) == len(again)


def test_shrinking_ends_where_it_was_told_to():
    counted = []
    found = smooth(lambda d: counted.append(d) or d["field"]["dim"] > 2, 300, shrinks=4)
    assert found.shrinks == 4
    assert len(counted) == found.tried + 4
    assert found.smallest["field"]["dim"] > 2
    bare = smooth(lambda d: d["field"]["dim"] > 2, 300, shrinks=0)
    assert bare.smallest == bare.first | {"name": "random-smallest"}


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, SystemExit, AssertionError])
def test_what_a_judge_raises_comes_out_at_once(kind):
    calls = []

    def judge(document):
        calls.append(document)
        if len(calls) == 7:
            raise kind("the seventh")

    with pytest.raises(kind, match="the seventh") as raised:
        smooth(judge, 50)
    assert len(calls) == 7
    assert not isinstance(raised.value.__cause__, BaseException)


def test_what_the_oracle_raises_comes_out_at_once():
    calls = []

    def results(document):
        calls.append(document)
        raise OSError("no oracle")

    with pytest.raises(OSError, match="no oracle"):
        search(lambda d: False, 50, results=results)
    assert len(calls) == 1


def test_bad_input_is_named():
    for kinds in ((), ("games",), ("ode", "flows")):
        with pytest.raises(ValueError, match=r"kinds: got .*, wanted some of ode, supervised"):
            rc.documents(kinds)
    for name, how in (
        ("n", {"n": 0}),
        ("seed", {"n": 1, "seed": -1}),
        ("shrinks", {"n": 1, "shrinks": -1}),
    ):
        with pytest.raises(ValueError, match=f"{name}: got"):
            search(lambda d: False, **how)
