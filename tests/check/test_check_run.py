"""``refode check``: verdicts, and what becomes of targets that fail, hang or are malformed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import check_adapters
import numpy as np
import pytest
from check_adapters import FEW, quick, rows

from refode import reference
from refode.check import Case, Outcome
from refode.check.judge import EPS, ROUNDINGS, Judge, explained_by, largest, tolerances
from refode.check.outcome import INVALID, RIGHT, SKIPPED, WRONG, Row, groups
from refode.check.process import Process
from refode.check.protocol import QUANTITIES, Answer, ask, doubles
from refode.check.run import check, chosen
from refode.check.targets import open_target
from refode.check.worker import load

# --- verdicts ----------------------------------------------------------------------------------


def test_the_digits_are_right_in_every_case():
    outcome = check(check_adapters.right)
    assert outcome.passed
    assert not outcome.findings
    assert {r.case for r in outcome.rows} == set(reference.names())
    assert {r.verdict for r in outcome.rows} == {RIGHT}
    known = [set(found) for found in check_adapters.DIGITS.values()]
    assert {r.quantity for r in outcome.rows} == set.union(*known)
    assert all(r.error == 0.0 and r.digits == 17.0 for r in outcome.rows)


def known_rows(adapter, precision):
    outcome = quick(adapter, precision=precision)
    assert outcome.passed, outcome.failing()
    return {(r.case, r.quantity): r for r in outcome.rows}


@pytest.mark.parametrize(("share", "verdict"), [(0.9, RIGHT), (1.1, WRONG)])
@pytest.mark.parametrize("precision", EPS)
def test_the_tolerance_divides_right_from_wrong_in_any_entry(precision, share, verdict):
    known = known_rows(check_adapters.right, precision)
    assert all(r.tolerance > 0.0 for r in known.values())
    rng = np.random.default_rng(0)

    def change(case, found):
        for name, a in found.items():
            a.flat[rng.integers(a.size)] += share * known[case.name, name].tolerance
        return found

    outcome = quick(check_adapters.changed(change, precision))
    assert {r.verdict for r in outcome.rows} == {verdict}


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("precision", EPS)
def test_scaling_by_the_smallest_detectable_error_is_caught(sign, precision):
    """What the report states is true, also of results that rounding has moved already."""
    rng = np.random.default_rng(0)
    honest = known_rows(check_adapters.right, precision)
    noisy = {}

    def moved(case, found):
        for name, a in found.items():
            a += 0.9 * honest[case.name, name].tolerance * rng.uniform(-1.0, 1.0, a.shape)
        noisy[case.name] = found
        return found

    stated = {
        k: r.smallest
        for k, r in known_rows(check_adapters.changed(moved, precision), precision).items()
    }
    assert {k for k, s in stated.items() if np.isinf(s)} <= {
        k for k, r in honest.items() if r.size <= r.tolerance
    }

    def scaled(case, found):
        # the product is rounded once more, by an eps at most
        factor = {k: sign * (stated[case.name, k] * (1.0 + 1e-9) + EPS["float64"]) for k in found}
        return {
            k: a + factor[k] * a if np.isfinite(factor[k]) else a
            for k, a in noisy[case.name].items()
        }

    outcome = quick(check_adapters.changed(scaled, precision))
    seen = {(r.case, r.quantity) for r in rows(outcome, verdict=WRONG)}
    assert len(seen) > 40
    assert seen == {k for k, s in stated.items() if np.isfinite(s)}


def test_single_precision_is_right_as_itself_and_wrong_as_double():
    assert quick(check_adapters.single).passed
    outcome = quick(check_adapters.single, precision="float64")
    assert not outcome.passed
    assert {r.model for r in rows(outcome, verdict=WRONG)} == {"float32"}
    assert quick(check_adapters.single, precision="bfloat16").passed


def test_tolerances_are_the_documented_sum():
    values = {
        "gradient/A": np.array([3.0, -4.0]),
        "gradient/b": np.array([0.5]),
        "terms/L": np.array(0.25),
        "trace": np.zeros(2),
    }
    change = dict.fromkeys(values, 2.0)
    found = tolerances({"type": "ode"}, values, {"float64": change})
    per_eps = {k: v["float64"] / (ROUNDINGS * EPS["float64"]) for k, v in found.items()}
    assert per_eps == {"gradient/A": 6.0, "gradient/b": 6.0, "terms/L": 2.25, "trace": 3.0}
    both = {"gradient/A": np.ones(2), "hessian_vector/A": np.ones(2)}
    uneven = {"gradient/A": 7.0, "hessian_vector/A": 2.0}
    found = tolerances({"type": "ode"}, both, {"float64": uneven})
    assert found["hessian_vector/A"] == found["gradient/A"]  # computed from the same numbers
    assert explained_by(1e-3, {"float64": 1e-15, "float32": 1e-6, "bfloat16": 1e-2}) == "bfloat16"
    assert explained_by(1e-1, {"float64": 1e-15, "float32": 1e-6, "bfloat16": 1e-2}) == ""
    assert largest(np.zeros((0, 2))) == 0.0


def test_stored_changes_are_those_of_the_kernels():
    code = (
        "import json; from refode import reference; from refode.check.oracle import both_changes\n"
        f"print(json.dumps({{n: both_changes(reference.case(n)) for n in {FEW!r}}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**__import__("os").environ, "NUMBA_DISABLE_JIT": "1"},
    )
    with Judge() as judge:
        stored = judge._changes
    assert set(stored) == set(reference.names())
    for name, both in json.loads(done.stdout).items():
        assert set(stored[name]) == set(check_adapters.DIGITS[name])
        for quantity, (fine, coarse) in stored[name].items():
            # rounding of the oracle itself at the fine step, three digits in the file
            assert both["float64"][quantity] == pytest.approx(fine, rel=1e-2, abs=1e-6)
            assert both["bfloat16"][quantity] == pytest.approx(coarse, rel=1e-2, abs=1e-9)


def test_a_live_truth_is_that_of_the_digits():
    document = reference.case("game-entropy")
    without = {k: v for k, v in document.items() if k != "results"} | {"name": "mine"}
    with Judge() as judge:
        live, proven = judge.truth(without), judge.truth(document)
    assert set(live.values) == set(proven.values)
    for name, value in proven.values.items():
        assert largest(live.values[name] - value) <= proven.tolerances[name]["float64"], name
        assert live.tolerances[name]["float32"] == pytest.approx(
            proven.tolerances[name]["float32"], rel=2e-2
        )


# --- adapters ----------------------------------------------------------------------------------


def test_methods_by_quantity_and_what_they_may_do():
    outcome = quick(check_adapters.Partial(), ["ode-line"])
    by_name = {r.quantity: r for r in outcome.rows}
    assert by_name["trajectory"].verdict == RIGHT
    assert (by_name["log_det"].verdict, by_name["log_det"].reason) == (SKIPPED, "no traces")
    assert by_name["tangent"].reason == "not implemented"
    assert by_name["stages"].reason == "not offered"
    assert by_name["trace"].reason == "None"
    assert by_name["x_bar"].verdict == INVALID
    assert "ZeroDivisionError: division by zero" in by_name["x_bar"].reason
    assert "check_adapters.py" in by_name["x_bar"].reason
    assert by_name["theta_bar"].reason == "theta_bar: got ndarray, wanted a dict of arrays by block"
    assert not outcome.passed


@pytest.mark.parametrize(
    ("change", "quantity", "reason"),
    [
        (lambda f: f | {"trajectory": f["trajectory"][:-1]}, "trajectory", "got shape ("),
        (lambda f: f | {"x_bar": f["x_bar"] * np.nan}, "x_bar", "got nan at (0, 0)"),
        (lambda f: f | {"x_bar": f["x_bar"] + np.inf}, "x_bar", "got inf at (0, 0)"),
        (lambda f: f | {"x_bar": f["x_bar"] * 1j}, "x_bar", "complex128, wanted real numbers"),
        (lambda f: f | {"x_bar": "many"}, "x_bar", "wanted real numbers"),
        (lambda f: f | {"x_bar": [[1.0], [1.0, 2.0]]}, "x_bar", "x_bar: "),
        (
            lambda f: {k: v for k, v in f.items() if k != "theta_bar/W0"},
            "theta_bar/W0",
            "got nothing for the block theta_bar/W0",
        ),
        (lambda f: f | {"theta_bar/W9": f["x_bar"]}, "theta_bar/W9", "got the unknown block"),
        (lambda f: f | {"velocity": f["x_bar"]}, "", "got the unknown quantities velocity"),
        (lambda f: [f], "", "results: got list, wanted a dict by quantity"),
        (lambda f: 1 / 0, "", "ZeroDivisionError"),
    ],
)
def test_what_is_wrong_with_an_answer_is_named_and_the_rest_goes_on(change, quantity, reason):
    adapter = check_adapters.changed(
        lambda case, found: change(found) if case.name == "ode-line" else found
    )
    outcome = quick(adapter, ["ode-line", "flow-one"])
    bad = rows(outcome, verdict=INVALID)
    assert [(r.case, r.quantity) for r in bad] == [("ode-line", quantity)]
    assert reason in bad[0].reason
    assert not outcome.passed
    assert {r.verdict for r in rows(outcome, case="flow-one")} == {RIGHT}


def test_hanging_crashing_and_raising_adapters_cost_their_own_case_alone(capfd):
    cases = ["ode-affine-time", "ode-line", "ode-potential", "ode-shallow-rk4"]
    began = time.perf_counter()
    outcome = quick("check_adapters:trouble", cases, timeout=4.0)
    assert time.perf_counter() - began < 50.0
    reasons = {r.case: r.reason for r in rows(outcome, verdict=INVALID)}
    assert set(reasons) == set(cases[:3])
    assert reasons["ode-line"] == "no answer within 4 s"
    assert reasons["ode-affine-time"] == "the process ended with status 3"
    assert "RuntimeError: out of luck" in reasons["ode-potential"]
    assert {r.verdict for r in rows(outcome, case="ode-shallow-rk4")} == {RIGHT}
    assert "does not disturb" in capfd.readouterr().err


def test_torch_like_and_bfloat16_arrays_are_taken():
    class Tensor:
        def detach(self):
            return self

        cpu = double = detach

        def __array__(self, dtype=None, copy=None):
            return np.array([1.5])

    assert doubles(Tensor()) == [1.5]
    assert doubles(True) == 1.0
    assert doubles(np.float32(0.1)).dtype == np.float64


def test_a_callable_is_taken_as_results_and_none_as_nothing():
    case = Case.of(reference.case("ode-line"))
    answer = ask(lambda case: {"trajectory": np.zeros(1)}, case, ("trajectory", "trace"))
    assert set(answer.values) == {"trajectory"}
    assert answer.skipped == {"trace": "not offered"}
    assert ask(lambda case: None, case, ("trace",)).skipped == {"trace": "not offered"}
    empty = ask(lambda case: {}, case, ("trace",))
    assert (empty.values, empty.problems) == ({}, {})


# --- targets that cannot be used ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("no_such_folder", ValueError, "target: got 'no_such_folder', wanted a folder or module"),
        ("no_such_module:adapter", ImportError, "importing no_such_module failed with ModuleNotFo"),
        ("check_adapters:nothing", ValueError, "check_adapters has no nothing"),
        ("check_adapters:", ValueError, "wanted a folder or module:adapter"),
        ("math:pi", TypeError, "got float of math:pi, wanted an adapter: an object with a method"),
        ("check_adapters:DIGITS", TypeError, "got dict of check_adapters:DIGITS"),
        ("check_adapters:np.zeros.__doc__", TypeError, "got str of check_adapters:np.zeros"),
        ("check_adapters:AN_ARRAY", TypeError, "got ndarray of check_adapters:AN_ARRAY"),
        ("check_adapters:Unrelated", TypeError, "got Unrelated of check_adapters:Unrelated"),
        ("check_adapters:no_precision", ValueError, "precision: got 'float16' from the adapter"),
    ],
)
@pytest.mark.parametrize("in_process", [True, False])
def test_unusable_targets_are_refused(target, error, message, in_process):
    with pytest.raises(error, match=message):
        quick(target, in_process=in_process)


@pytest.mark.parametrize("number", [3.5, None, np.zeros((2, 2))])
def test_what_is_no_adapter_is_refused_as_an_object_too(number):
    with pytest.raises(TypeError, match=f"target: got {type(number).__name__}, wanted an adapter"):
        quick(number)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cases": ["ode-*", "odd-*"]}, "cases: got 'odd-\\*', which no golden case matches"),
        ({"precision": "float16"}, "precision: got 'float16'"),
        ({"timeout": 0.0}, "timeout: got 0.0"),
        ({"n_random": -1}, "n_random: got -1"),
        ({"seed": 1.5}, "seed: got"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        check(check_adapters.right, **options)


def test_patterns_choose_cases():
    assert chosen(None) == list(reference.names())
    expected = [n for n in reference.names() if n == "flow-one" or n.startswith("ode-l")]
    assert chosen(["flow-one", "ode-l*"]) == expected


def test_loading_makes_classes_and_follows_dots():
    assert isinstance(load("check_adapters:Partial"), check_adapters.Partial)
    assert load("check_adapters:right.results").__name__ == "results"


# --- pieces ------------------------------------------------------------------------------------


def test_outcomes_count_and_nothing_compared_is_no_pass():
    empty = Outcome("x", "float64", [Row("a", "trace", SKIPPED)])
    assert not empty.passed
    assert not Outcome("x", "float64").passed
    mixed = Outcome(
        "x",
        "float64",
        [
            Row("a", "gradient/A", RIGHT, 1e-17, 1.0, 1e-15),
            Row("a", "gradient/b", WRONG, 1.0, 1.0, 1e-15),
            Row("b", "gradient/A", INVALID),
            Row("b", "", INVALID),
            Row("b", "trace", SKIPPED),
        ],
    )
    assert len(mixed.failing()) == 3
    trace, gradient, whole = groups(mixed.rows, QUANTITIES)
    found = (trace.quantity, gradient.quantity, whole.quantity)
    assert found == ("trace", "gradient", "(whole case)")
    assert (gradient.cases, gradient.right, gradient.wrong, gradient.invalid) == (2, 1, 1, 1)
    assert (gradient.verdict, trace.verdict, whole.verdict) == (WRONG, SKIPPED, INVALID)
    assert gradient.worst is mixed.rows[1]
    assert trace.worst is None


@pytest.mark.parametrize(
    ("error", "size", "digits"),
    [
        (5e-324, 1e10, 17.0),
        (0.0, 1.0, 17.0),
        (1e-3, 0.0, 3.0),
        (0.5, 50.0, 2.0),
        (9.0, 3.0, 0.0),
        (1e-3, np.inf, 17.0),
        (np.inf, 1.0, np.nan),
        (np.nan, 1.0, np.nan),
    ],
)
def test_digits_of_any_error_and_size(error, size, digits):
    row = Row("a", "trace", WRONG, error, size)
    assert row.digits == pytest.approx(digits, nan_ok=True)


def test_a_process_calls_other_methods_and_says_what_they_raise():
    process = Process("refode.check.oracle:oracle", 60.0, {"NUMBA_DISABLE_JIT": "1"})
    try:
        document = reference.case("ode-line")
        found = process.call("judge", document)
        assert np.array_equal(found["trajectory"], check_adapters.DIGITS["ode-line"]["trajectory"])
        with pytest.raises(
            RuntimeError, match=r"refode.check.oracle:oracle: ValueError: document: got"
        ):
            process.call("judge", {})
        assert quick(process, ["ode-line"]).passed
    finally:
        process.close()
    assert isinstance(Answer().values, dict)


def test_ctrl_c_ends_the_process_without_a_traceback(capfd):
    process = Process("check_adapters:right", 60.0)
    process._process.send_signal(signal.SIGINT)
    assert process._process.wait(timeout=60) == -signal.SIGINT
    process.close()
    assert capfd.readouterr().err == ""


def test_an_opened_target_is_used_as_it_is():
    with open_target(check_adapters.right) as opened:
        assert quick(opened, ["ode-line"]).passed


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("import os\nos._exit(3)", "the process ended with status 3"),
        (
            "class A:\n    def __getattr__(self, name):\n        raise RuntimeError('boom')\n"
            "adapter = A()",
            "RuntimeError: boom",
        ),
    ],
    ids=["ends", "raises"],
)
def test_an_adapter_that_cannot_be_loaded_is_named(tmp_path, monkeypatch, lines, said):
    (tmp_path / "odd_adapter.py").write_text(lines)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"^target: loading odd_adapter:adapter failed, {said}"):
        check("odd_adapter:adapter", cases=["flow-affine"])
