"""Odd arguments for every public call, as docs/api.md promises: named, finite, and in time.

``python -m validation.truth.fuzz --calls 100000`` makes more of the same calls.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from validation.fuzz import documented, trial, values
from validation.fuzz.shared import Subject, left_out, subjects
from validation.fuzz.surface import surface
from validation.truth.fuzz import run

CALLS = 5_000
PARTS = 10  # of the calls, each a test


def test_every_public_name_is_called_or_left_out_for_a_reason() -> None:
    called = {subject.name.partition(" of ")[0] for subject in subjects()}
    missing = {n for n, public in surface().items() if n not in called and not left_out(public)}
    # those of base classes are called on objects of the classes derived from them
    assert missing == set()
    assert len(called) > 200
    for subject in subjects():
        needed = {n for n, p in subject.parameters.items() if p.default is inspect.Parameter.empty}
        star = {n for n, p in subject.parameters.items() if p.kind is p.VAR_POSITIONAL}
        assert needed - star <= set(subject.good), f"{subject.name} has no good arguments"


@pytest.mark.parametrize("part", range(PARTS))
def test_odd_arguments_are_answered_or_named(part: int) -> None:
    n = CALLS // PARTS
    tally = run(0, range(part * n, (part + 1) * n))
    assert [str(fault)[:500] for fault in tally.faults] == []
    assert tally.calls == n
    assert tally.answered > n // 5
    assert tally.refused > n // 5  # else the calls would say little


def verdict(function: Any, **given: Any) -> str:
    done = trial.Trial(0, "f", {})
    trial._judge(done, Subject("f", function, given), given, False)
    return done.fault


def raising(error: BaseException) -> Any:
    def function(x: Any = None) -> None:
        raise error

    return function


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        (lambda x=1.0: x, ""),
        (raising(ValueError("x: got 1, wanted 2")), ""),
        (raising(TypeError("x[0]: got 1, wanted 2")), ""),
        (raising(ValueError("y: got 1, wanted 2")), "unclear: names no argument"),
        (raising(ValueError("operands could not be broadcast")), "unclear: names no argument"),
        (raising(ValueError("x: got " + "1, " * 500)), "unclear: a long message"),
        (raising(IndexError("x: got 1")), "unclear: IndexError"),
        (raising(MemoryError()), "unclear: MemoryError"),
        (raising(RuntimeError("device: no CUDA here")), ""),
        (raising(RuntimeError("x: got 1")), "unclear: RuntimeError"),
        (lambda x=1.0: np.inf, "not finite"),
        (lambda x=1.0: {"a": (1.0, np.array([np.nan]))}, "not finite"),
        (lambda x=1e101: np.inf, ""),
    ],
)
def test_the_fuzzer_sees_faults(function: Any, fault: str) -> None:
    default = inspect.signature(function).parameters["x"].default
    assert verdict(function, x=default) == fault


def test_the_fuzzer_sees_slow_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SECONDS", -1.0)
    assert verdict(lambda x=1.0: x) == "slow"


def test_the_same_value_in_another_form_is_the_same_or_a_fault() -> None:
    rng = np.random.default_rng(0)
    for good in (True, 3, 0.5, "tanh", np.eye(2), np.array([0, 1])):
        for _ in range(20):
            found = values.same(good, rng)
            assert found is not None
            assert np.array_equal(np.asarray(found[1]), np.asarray(good)), found[0]
    done = trial.Trial(0, "f", {})
    subject = Subject("f", lambda x=True: 1.0 if x is True else 0.0, {"x": True})
    trial._judge(done, subject, {"x": np.True_}, True)
    assert done.fault.startswith("taken for something else")


def test_what_is_documented_is_there() -> None:
    """Patterns of exceptions and infinite answers that nothing has would hide what comes."""
    names = [subject.name for subject in subjects()]
    from fnmatch import fnmatchcase

    for pattern in (*documented.RAISES, *documented.INFINITE, *documented.REFUSED):
        assert any(fnmatchcase(name, pattern) for name in names), pattern
