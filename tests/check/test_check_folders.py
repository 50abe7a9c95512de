"""``refode check`` of folders: results in files, right, malformed, or not results at all."""

from __future__ import annotations

import json

import check_adapters
import numpy as np
import pytest
from check_adapters import FEW, quick, rows

from refode import reference
from refode.check.outcome import INVALID, RIGHT, SKIPPED
from refode.check.run import check


def stored(a, text="{:.17g}"):
    return {"shape": list(a.shape), "data": [text.format(v) for v in a.ravel()]}


def nested(found):
    """Results as a file holds them."""
    made: dict = {}
    for name, a in found.items():
        quantity, _, block = name.partition("/")
        if block:
            made.setdefault(quantity, {})[block] = stored(a)
        else:
            made[quantity] = stored(a)
    return made


@pytest.fixture
def folder(tmp_path):
    """Right results of three cases: JSON, JSON with numbers and nested lists, NPZ."""
    first, second, third = FEW[:3]
    document = {"format": "refode-reference", "version": 1, "name": first}
    document["results"] = nested(check_adapters.DIGITS[first])
    (tmp_path / f"{first}.json").write_text(json.dumps(document))
    plain: dict = {}
    for name, a in check_adapters.DIGITS[second].items():
        quantity, _, block = name.partition("/")
        if block:
            plain.setdefault(quantity, {})[block] = a.tolist()
        else:
            plain[quantity] = a.tolist()
    (tmp_path / f"{second}.json").write_text(json.dumps({"name": second, "results": plain}))
    np.savez(
        tmp_path / f"{third}.npz",
        **{f"results/{k}": a for k, a in check_adapters.DIGITS[third].items()},
    )
    return tmp_path


def test_a_folder_of_right_results_passes(folder):
    outcome = quick(folder)
    assert outcome.passed
    assert {r.case for r in rows(outcome, verdict=RIGHT)} == set(FEW[:3])
    skipped = rows(outcome, verdict=SKIPPED)
    assert {(r.case, r.reason) for r in skipped} == {(FEW[3], "no file")}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda d: "{", "ode-line.json: got no JSON"),
        (lambda d: "[" * 100000, "ode-line.json: got no JSON"),
        (lambda d: json.dumps([1]), 'got no object with "results"'),
        (lambda d: json.dumps(d | {"version": 2}), "version: got 2, wanted 1"),
        (lambda d: json.dumps(d | {"format": "other"}), "format: got 'other'"),
        (lambda d: json.dumps(d | {"name": "ode-skew"}), "name: got 'ode-skew', wanted 'ode-line'"),
        (lambda d: json.dumps(d | {"inputs": {}}), "got a golden file itself"),
        (
            lambda d: json.dumps(d | {"results": {"x_bar": {"shape": [9], "data": ["1"]}}}),
            "cannot reshape",
        ),
        (
            lambda d: json.dumps(d | {"results": {"x_bar": {"shape": [1], "data": ["one"]}}}),
            "could not convert string to float",
        ),
        (lambda d: json.dumps(d | {"results": {"x_bar": {"shape": [1]}}}), "got an object, wanted"),
        (lambda d: json.dumps(d | {"results": {"speed": [1.0]}}), "got the unknown quantity speed"),
        (lambda d: json.dumps(d | {"results": {"x_bar": stored(np.array([[np.nan]]))}}), "got nan"),
    ],
)
def test_malformed_files_are_named_and_the_others_go_on(folder, spoil, reason):
    path = folder / "ode-line.json"
    path.write_text(spoil(json.loads(path.read_text())))
    outcome = quick(folder)
    bad = rows(outcome, verdict=INVALID)
    assert {r.case for r in bad} == {"ode-line"}
    assert any(reason in r.reason for r in bad), bad
    assert rows(outcome, case="flow-one", verdict=RIGHT)
    assert not outcome.passed


def test_archives_are_read_without_executing_anything(folder, tmp_path):
    path = folder / "flow-one.npz"
    for content, reason in (
        (b"no archive", "flow-one.npz: "),
        (reference.files.npz(reference.case("flow-one")), "got a golden file itself"),
    ):
        path.write_bytes(content)
        (bad,) = rows(quick(folder), verdict=INVALID)
        assert reason in bad.reason
    np.savez(path, **{"results/inverse": np.array([print], dtype=object)})
    (bad,) = rows(quick(folder), verdict=INVALID)
    assert "allow_pickle=False" in bad.reason


def test_files_of_no_case_and_folders_without_files(folder, tmp_path):
    (folder / "my-case.json").write_text("{}")
    (folder / "schema.json").write_text("{}")
    (bad,) = rows(quick(folder), verdict=INVALID)
    assert (bad.case, bad.reason) == ("my-case.json", "my-case.json: no golden case has this name")
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="without any file named as a golden case"):
        quick(folder / "empty")
    with pytest.raises(ValueError, match="n_random: got a folder of results"):
        quick(folder, n_random=3)


def test_the_exported_golden_files_are_no_results(tmp_path):
    reference.export(tmp_path)
    outcome = check(str(tmp_path), diagnose=False)
    assert not outcome.passed
    assert {r.verdict for r in outcome.rows} == {INVALID}
