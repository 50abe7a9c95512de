"""Golden cases: kernels against proven digits, the files, and the command that writes them."""

from __future__ import annotations

import copy
import json
import math
import os
import re
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import tolerances as tol

from refode import cli, reference
from refode.reference import compare, files, kernels
from refode.reference.case_list import cases
from refode.reference.cases import Draws, decimal

JSON_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}

# Compiled here too: cases whose kernels other tests compile anyway (conftest.py on the names).
COMPILED = {
    "NarrowShallowSpec-likelihood": "flow-everything",
    "NarrowShallowSpec-loss": "supervised-logistic",
    "PotentialSpec-game": "game-crowd",
}

IN_PLAIN_PYTHON = """
import json
from refode.reference.compare import table
print(json.dumps([row._asdict() for row in table()]))
"""


def within(rows):
    """Rows beyond the tolerances."""
    bad = [r for r in rows if not (r.units <= tol.REFERENCE_UNITS and r.ulp <= tol.REFERENCE_ULP)]
    assert not bad, bad


def test_kernels_as_plain_python_agree_with_every_proven_digit():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", IN_PLAIN_PYTHON], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = [compare.Error(**row) for row in json.loads(done.stdout)]
    assert {r.case for r in rows} == set(reference.names())
    assert len(rows) > 1000
    within(rows)
    assert max(r.ulp for r in rows) > 0.4  # rounding is there: the numbers were compared


@pytest.mark.parametrize("name", COMPILED.values(), ids=COMPILED)
def test_compiled_kernels_agree(name):
    rows = reference.errors(name)
    assert rows
    within(rows)


@pytest.mark.parametrize(("factor", "seen"), [(1.0, False), (1.0 + 1e-13, True)])
def test_errors_sees_an_entry_that_is_wrong_in_the_thirteenth_digit(monkeypatch, factor, seen):
    found = _found("ode-shallow-rk4")  # doubles nearest to the digits
    found["theta_bar/W0"].flat[3] *= factor
    monkeypatch.setattr(kernels, "results", lambda case: found)
    rows = reference.errors("ode-shallow-rk4", condition=False)
    wrong = {r.quantity for r in rows if r.units > tol.REFERENCE_UNITS}
    assert wrong == ({"theta_bar/W0"} if seen else set())
    assert sorted(r.ulp for r in rows)[-2] <= 0.5


def test_errors_refuses_missing_and_misshapen_quantities(monkeypatch):
    for change, message in ((lambda a: a[0], "got shape"), (lambda a: None, "got nothing")):
        found = {k: change(a) if k == "tangent" else a for k, a in _found("ode-line").items()}
        monkeypatch.setattr(kernels, "results", lambda case, f=found: f)
        with pytest.raises(ValueError, match=f"ode-line: {message}.* for tangent, wanted shape"):
            reference.errors("ode-line", condition=False)


def _found(name):
    return reference.arrays(reference.case(name), "results")


def test_summary_and_its_table(monkeypatch, capsys):
    from refode.reference import __main__ as command

    rows = [
        compare.Error("a", "gradient/W0", 1e-16, 1.0, 2.0, 0.5),
        compare.Error("a", "gradient/b0", 1e-16, 3.0, 9.0, 0.25),
        compare.Error("b", "gradient/W0", 1e-16, 2.0, 1.0, 2.0),
        compare.Error("b", "total", 1e-16, 7.5, 1.0, 3.5),
    ]
    assert compare.summary(rows) == [
        ("gradient", 2, rows[1], rows[2]),
        ("total", 1, rows[3], rows[3]),
    ]
    monkeypatch.setattr(command, "table", lambda: rows)
    command.main()
    (shown,) = [line for line in capsys.readouterr().out.splitlines() if "gradient" in line]
    assert shown.replace("│", " ").split() == ["gradient", "2", "3.0", "a", "2.0", "b"]


def test_kernels_take_the_coefficients_and_not_the_name():
    document, other = (reference.case(f"ode-shallow-{s}") for s in ("rk4", "rk4-38"))
    document["scheme"] |= {k: other["scheme"][k] for k in ("A", "b")}
    document["scheme"]["c"] = ["0", "0.3", "1/3", "1"]
    document["scheme"]["b"][3] = "0"  # the fourth stage stays, though nothing reads it
    scheme = kernels.ode_of(document).plan().scheme
    np.testing.assert_array_equal(
        scheme.A, [[float(Fraction(a)) for a in row] for row in other["scheme"]["A"]]
    )
    np.testing.assert_array_equal(scheme.b, [1 / 8, 3 / 8, 3 / 8, 0.0])
    np.testing.assert_array_equal(scheme.c, [0.0, 0.3, 1 / 3, 1.0])
    document = reference.case("game-lowrank")
    document["scheme"]["b"] = ["0.25"] * 4
    assert (kernels.game_of(document).ode.plan().scheme.b == 0.25).all()


def test_two_schemes_on_the_same_inputs_differ():
    classical, other = (reference.case(f"ode-shallow-{s}") for s in ("rk4", "rk4-38"))
    assert classical["inputs"] == other["inputs"]
    gap = _found("ode-shallow-rk4")["trajectory"] - _found("ode-shallow-rk4-38")["trajectory"]
    assert 1e-5 < np.abs(gap).max() < 1e-2


# --- what the cases are ------------------------------------------------------------------------


def test_there_are_enough_cases_of_every_kind():
    all_of_them = [reference.case(name) for name in reference.names()]
    assert len(all_of_them) >= 60
    found = {key: {str(c[key]["type"]) for c in all_of_them} for key in ("problem", "field")}
    assert found["problem"] == {"ode", "supervised", "flow", "game"}
    assert len(found["field"]) == 8
    assert {c["basis"]["type"] for c in all_of_them} == {
        "Constant",
        "PiecewiseConstant",
        "PiecewiseLinear",
        "Legendre",
        "BSpline",
    }
    assert len({c["scheme"]["name"] for c in all_of_them}) >= 15
    games = [c for c in all_of_them if c["problem"]["type"] == "game"]
    kinds = {(g["problem"]["hjb_norm"], g["field"]["quadratic"]) for g in games}
    assert len(kinds) == 4
    assert {c["problem"].get("loss") for c in all_of_them} >= {"regression", "logistic", "softmax"}
    assert {Fraction(c["along"][1]) > Fraction(c["along"][0]) for c in all_of_them} == {True, False}
    assert any(c["inputs"]["x"]["shape"][0] == 1 for c in all_of_them)


def test_some_cases_show_jumps_estimates_and_unused_weights():
    """What separates a loss at intermediate times, kept noise and b_i = 0 from their mistakes."""
    documents = [reference.case(name) for name in reference.names()]
    observed = [reference.arrays(d, "inputs").get("path_bar") for d in documents]
    seen = [np.abs(a).max(axis=(1, 2)) > 0 for a in observed if a is not None]
    assert len(seen) == 4
    assert all(s[0] and any(s[1:-1]) and not all(s[1:]) for s in seen)
    assert {bool(s[-1]) for s in seen} == {True, False}
    estimated = [d for d in documents if d["problem"].get("trace") == "hutchinson"]
    noises = [reference.arrays(d, "inputs")["noise"] for d in estimated]
    assert len(noises) == 4
    for noise, d in zip(noises, estimated, strict=True):
        assert len({tuple(np.sign(row * row[0])) for row in noise}) > 1  # -e estimates as e does
        assert d["n_steps"] >= 2
        assert "hessian_vector" not in d["results"]
    assert {bool((np.abs(noise) == 1.0).all()) for noise in noises} == {True, False}
    for kind in ("supervised", "flow"):
        those = [d for d in documents if d["problem"]["type"] == kind and d["n_steps"] >= 2]
        assert any("0" in d["scheme"]["b"] for d in those)
        nodes = [[Fraction(c) for c in d["scheme"]["c"]] for d in those]
        assert any(c != sorted(c) for c in nodes)


def _features(d):
    """What an implementation may lack or get wrong, but for bases, fields and schemes."""
    p, shape = d["problem"], d["inputs"]["x"]["shape"]
    span, along = ([Fraction(t) for t in d[key]] for key in ("t_span", "along"))
    return {
        ("loss", p.get("loss"), p.get("readout")),
        ("outputs", p.get("n_outputs", 1) > 1),
        ("zeros appended", bool(p.get("augment"))),
        *((name, Fraction(p.get(name, 0)) != 0) for name in ("tikhonov", "smoothness")),
        ("tikhonov without readout", p.get("readout") is False and p["tikhonov"] != "0"),
        ("transport", Fraction(p.get("transport", 0)) != 0),
        ("trace", p.get("trace", "exact")),
        ("jumps", "path_bar" in d["inputs"]),
        ("time", d["field"].get("time", False)),
        ("interval", span == [0, 1]),
        ("downwards", span[0] > span[1]),
        ("backwards", along == span[::-1]),
        ("one sample", shape[0] == 1),
    }


def _is_plain(d):
    return (d["field"]["type"], d["basis"]["type"]) == ("Shallow", "Constant")


@pytest.mark.parametrize("kind", ["ode", "supervised", "flow"])
def test_every_feature_has_a_case_with_the_simplest_basis(kind):
    """Adapters for constant weights alone passed without one penalty or logistic loss."""
    those = [d for d in map(reference.case, reference.names()) if d["problem"]["type"] == kind]
    features = set().union(*map(_features, those))
    alone = set().union(*(_features(d) for d in those if _is_plain(d)))
    combined = {("smoothness", True), ("one sample", True)}  # of a flow: not with constant weights
    assert features - alone <= (combined if kind == "flow" else set())


def test_states_are_never_as_many_as_samples():
    for d in map(reference.case, reference.names()):
        assert d["n_steps"] + 1 != d["inputs"]["x"]["shape"][0], d["name"]


def test_noise_that_is_missing_is_named():
    with pytest.raises(ValueError, match="noise: got none, wanted an array"):
        kernels.flow_of(reference.case("flow-hutchinson"))


def test_files_hold_the_inputs_of_the_list():
    listed = {case["name"]: case for case in cases()}
    assert set(listed) == set(reference.names())
    for name, case in listed.items():
        stored = reference.case(name)
        assert stored.pop("results")
        assert stored == case


def test_numbers_are_short_decimals_and_exact_in_any_precision():
    for name in reference.names():
        document = reference.case(name)
        for key, a in files.stored(document["inputs"]):
            for text in a["data"]:
                value = Fraction(text)
                assert value == Fraction(float(text)), (name, key)
                assert (16 * value).denominator == 1
                assert len(text.lstrip("-").partition(".")[2]) <= 4
                assert abs(value) <= 2
        for key, a in files.stored(document["results"]):
            assert all(len(re.sub(r"e.*|\D", "", text)) <= 26 for text in a["data"]), (name, key)
            long = [t for t in a["data"] if len(re.sub(r"e.*|\D", "", t)) >= 24]
            assert long or document["field"]["type"] in ("Affine", "MLP") or key != "trajectory"


def test_the_generator_is_the_documented_one():
    state = 3 * 1000003
    expected = []
    for i in range(14):
        state = 48271 * state % 2147483647
        r = state % 28
        if i >= 10:
            expected.append(Fraction(r - 14 if r < 14 else r - 13, 16))
    assert Draws(3).array((4,), 14)["data"] == [decimal(v) for v in expected]
    assert decimal(Fraction(-1, 16)) == "-0.0625"
    with pytest.raises(ValueError, match="value: got 1/3, wanted a decimal"):
        decimal(Fraction(1, 3))


def test_blocks_and_terms_are_consistent():
    for name in reference.names():
        results = reference.case(name)["results"]
        if "terms" in results:
            total = sum(Fraction(t["data"][0]) for t in results["terms"].values())
            assert abs(total - Fraction(results["total"]["data"][0])) < Fraction(1, 10**22)


# --- files -------------------------------------------------------------------------------------


def conforms(value, rule, root):
    """The part of JSON Schema that schema.json uses; false where it is not met."""
    if "$ref" in rule:
        return conforms(value, root["$defs"][rule["$ref"].rpartition("/")[2]], root)
    known = {
        "type",
        "const",
        "enum",
        "anyOf",
        "pattern",
        "minimum",
        "required",
        "properties",
        "additionalProperties",
        "items",
        "$schema",
        "$defs",
        "title",
    }
    assert set(rule) <= known, set(rule) - known
    if "type" in rule and not _is(value, rule["type"]):
        return False
    good = rule.get("const", value) == value and value in rule.get("enum", [value])
    if "anyOf" in rule:
        good &= any(conforms(value, r, root) for r in rule["anyOf"])
    if isinstance(value, str):
        good &= bool(re.search(rule.get("pattern", ""), value))
    if _is(value, "integer"):
        good &= value >= rule.get("minimum", value)
    if isinstance(value, list):
        good &= all(conforms(v, rule.get("items", {}), root) for v in value)
    if isinstance(value, dict):
        good &= set(rule.get("required", [])) <= set(value)
        other = rule.get("additionalProperties", {})
        for key, v in value.items():
            inner = rule.get("properties", {}).get(key, other)
            good &= inner is not False and conforms(v, inner, root)
    return good


def _is(value, kind):
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, JSON_TYPES[kind])


def test_every_file_meets_the_schema_and_broken_ones_do_not():
    schema = reference.schema()
    for name in reference.names():
        assert conforms(reference.case(name), schema, schema), name
    good = reference.case("game-crowd")
    for path, value in (
        (("version",), 2),
        (("n_steps",), 0),
        (("inputs", "x", "data"), [1.0]),
        (("problem", "kind"), "KL"),
        (("results", "total", "data"), ["nan"]),
        (("field", "depht"), 2),
        (("basis", "type"), "Fourier"),
    ):
        broken = copy.deepcopy(good)
        at = broken
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        assert not conforms(broken, schema, schema), path


def test_export_writes_the_same_bytes_twice(tmp_path, capsys):
    first = reference.export(tmp_path / "a")
    assert cli.main(["export", str(tmp_path / "b")]) == 0
    shown = capsys.readouterr().out
    assert str(tmp_path / "b") in shown
    assert str(len(reference.names())) in shown
    assert len(first) == 2 * len(reference.names()) + 1
    for path in first:
        assert (tmp_path / "b" / path.name).read_bytes() == path.read_bytes()
    name = reference.names()[0]
    assert json.loads((tmp_path / "a" / f"{name}.json").read_text()) == reference.case(name)


def test_export_keeps_the_stored_text(tmp_path):
    reference.export(tmp_path)
    for name in reference.names():
        stored = (files._folder() / f"{name}.json").read_bytes()
        assert (tmp_path / f"{name}.json").read_bytes() == stored


def test_npz_holds_the_nearest_doubles_in_c_order(tmp_path):
    reference.export(tmp_path)
    document = reference.case("supervised-softmax")
    with np.load(tmp_path / "supervised-softmax.npz", allow_pickle=False) as archive:
        parts = ("inputs", "results")
        assert set(archive) == {f"{p}/{k}" for p in parts for k in reference.arrays(document, p)}
        W0 = archive["results/gradient/W0"]
    truth = document["results"]["gradient"]["W0"]
    assert W0.dtype == np.float64
    assert W0.flags.c_contiguous
    J, k, columns = truth["shape"]
    for (j, i, c), value in np.ndenumerate(W0):
        error = Fraction(float(value)) - Fraction(truth["data"][(j * k + i) * columns + c])
        assert abs(error) <= Fraction(np.spacing(abs(value))) / 2
    assert W0.size == J * k * columns == math.prod(truth["shape"])


def test_export_where_it_cannot_write(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as left:
        cli.main(["export", str(tmp_path / "file")])
    assert left.value.code == 2
    assert "is no folder to write to" in capsys.readouterr().err


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="name: got 'nothing', wanted"):
        reference.case("nothing")
    with pytest.raises(ValueError, match="part: got 'outputs', wanted"):
        reference.arrays(reference.case("ode-line"), "outputs")
    broken = reference.case("ode-line")
    broken["inputs"]["x"]["data"] = ["1", "2"]
    with pytest.raises(ValueError, match=r"x: got 2 numbers, wanted the product of the shape"):
        reference.arrays(broken, "inputs")
