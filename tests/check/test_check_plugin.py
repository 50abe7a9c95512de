"""pytest --refode-target: every golden case becomes a test, in any folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import refode
from refode import reference

ADAPTER = """
from refode import reference

def right(case):
    return reference.arrays(reference.case(case.name), "results")

def half(case):
    got = right(case)
    if "gradient/W0" in got:
        got["gradient/W0"] = got["gradient/W0"] / 2
    return got

def flows_only(case):
    return right(case) if case.kind == "flow" else None

def raising(case):
    raise ArithmeticError("no \\x1b[31mnumbers")

def single(case):
    import numpy as np
    return {k: v.astype(np.float32) for k, v in right(case).items()}

def bound(case):
    import time
    time.sleep(60)

class Coarse:
    precision = "bfloat16"
    results = staticmethod(single)

coarse = Coarse()
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run pytest with the plugin in a folder with the adapters and nothing else."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # installed or not: as given here
    pytester.makepyfile(adapters_of_the_plugin=ADAPTER)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])

    def run(name, *more):
        target = f"--refode-target=adapters_of_the_plugin:{name}"
        return pytester.runpytest_inprocess("-p", "refode.check.plugin", target, *more)

    return run


def test_each_case_is_a_test_in_a_folder_without_tests(run):
    result = run("right")
    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes(passed=len(reference.names()))
    result.stdout.fnmatch_lines(
        [
            "refode target: adapters_of_the_plugin:right",
            f"collected {len(reference.names())} items",
        ]
    )


def test_a_wrong_array_is_named_with_its_error(run):
    result = run("half", "-k", "ode-line or supervised-regression")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=2, passed=1, deselected=len(reference.names()) - 3)
    result.stdout.fnmatch_lines(
        [
            "* refode check: supervised-regression *",
            "supervised-regression: * arrays right, 1 wrong, 0 invalid, 0 skipped",
            "  wrong   gradient/W0  * 0.3 digits; rounding at float64 explains *",
            "what is probably wrong: refode check adapters_of_the_plugin:half",
            "FAILED refode check::supervised-regression*",  # with a reason, from pytest 9 on
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")


def test_what_an_adapter_leaves_out_is_skipped_with_its_reason(run):
    result = run("flows_only", "-k", "flow-mlp or ode-mlp-sine", "-rs")
    result.assert_outcomes(passed=1, skipped=1, deselected=len(reference.names()) - 2)
    result.stdout.fnmatch_lines(["SKIPPED *: not offered"])


def test_an_exception_is_the_cases_own(run):
    result = run("raising", "-k", "ode-line or ode-longer")
    result.assert_outcomes(failed=2, deselected=len(reference.names()) - 2)
    result.stdout.fnmatch_lines(["  invalid (whole case)*ArithmeticError: no *numbers*"])
    assert "\x1b[31mnumbers" not in result.stdout.str()


def test_the_precision_is_the_adapters_or_the_options(run):
    chosen = "-k", "ode-line"
    assert run("single", *chosen).ret == pytest.ExitCode.TESTS_FAILED
    assert run("single", "--refode-precision=float32", *chosen).ret == pytest.ExitCode.OK
    assert run("coarse", *chosen).ret == pytest.ExitCode.OK
    assert run("coarse", "--refode-precision=float64", *chosen).ret != pytest.ExitCode.OK


def test_a_case_that_hangs_is_ended(run):
    result = run("bound", "--refode-timeout=0.5", "-k", "ode-line")
    result.assert_outcomes(failed=1, deselected=len(reference.names()) - 1)
    result.stdout.fnmatch_lines(["*no answer within 0.5 s*"])


def test_a_folder_of_results(pytester, run):
    folder = pytester.mkdir("results")
    (folder / "ode-line.json").write_text('{"results": {"trace": [[1, 2]]}}')
    result = pytester.runpytest_inprocess("-p", "refode.check.plugin", f"--refode-target={folder}")
    result.assert_outcomes(failed=1, skipped=len(reference.names()) - 1)
    result.stdout.fnmatch_lines(["*got shape (1, 2), wanted *"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--refode-target=nowhere", "got 'nowhere', wanted a folder or module:adapter"),
        ("--refode-target=adapters_of_the_plugin:gone", "has no gone"),
        ("--refode-timeout=-1", "timeout: got -1.0"),
    ],
)
def test_an_unusable_target_is_wrong_usage(run, option, message):
    result = run("right", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: refode: *{message}*"])


@pytest.mark.parametrize("gone", ["adapters_of_the_plugin:gone", "nowhere"])
def test_an_unusable_target_is_wrong_usage_before_workers_start(run, gone):
    result = run("right", "-p", "xdist", "-n", "2", f"--refode-target={gone}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: refode: target: got '{gone}'*"])


def test_it_stands_beside_other_tests_and_lists_without_running(pytester, run):
    pytester.makepyfile(test_own="def test_own(): pass")
    run("right", "-k", "test_own or ode-line").assert_outcomes(
        passed=2, deselected=len(reference.names()) - 1
    )
    result = run("gone", "--collect-only", "-q")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*test_own", "refode check::ode-line"])


def test_without_the_option_it_does_nothing(pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(test_own="def test_own(): pass")
    result = pytester.runpytest_inprocess("-p", "refode.check.plugin", "--strict-config")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*refode target*")


def test_it_loads_nothing_heavy():
    code = (
        "import sys, refode.check.plugin\n"
        "print([m for m in ('numpy', 'scipy', 'numba', 'matplotlib', 'rich') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_pytest_finds_it_where_refode_is_installed():
    metadata = (Path(refode.__file__).parent.parent / "setup.cfg").read_text("utf-8")
    assert "pytest11 =\n    refode = refode.check.plugin\n" in metadata
