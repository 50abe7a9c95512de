"""Bugs planted in implicit schemes turn checks red, and the check that should be."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tolerances as tol
from implicit_mutants import MUTANTS

SUPPORT = Path(__file__).resolve().parents[1] / "support"
#: Bug, scheme, what is wrong, and what stays right.
RED = [
    ("jacobian-held-fast", "ros2", "theta x times", "state"),
    ("first-curvature-alone", "ros2", "theta x times", "state"),
    ("jacobian-where-it-moved", "ros2", "times", "state theta x"),
    ("not-transposed", "ros2", "theta x times", "state"),
    ("two-corrections", "sdirk2", "state theta x", ""),
    ("explicit-adjoint", "sdirk3", "theta x times", "state"),
    ("tableau-not-transposed", "gauss2", "theta x times", "state"),
    ("jacobian-not-transposed", "sdirk2", "theta x times", "state"),
    ("quadratures-afterwards", "gauss2", "theta x times", "state"),
    ("quadratures-afterwards", "implicit_midpoint", "theta x times", "state"),
    ("whole-step", "gauss2", "times", "state theta x"),
]


@functools.cache
def battery(name, scheme):
    """Errors by quantity, from a process that has the bug."""
    root = SUPPORT.parents[1]
    path = os.pathsep.join([str(root), str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(SUPPORT / "implicit_battery.py"), name, scheme],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("scheme", sorted({scheme for _, scheme, _, _ in RED}))
def test_without_a_bug_all_is_right(scheme):
    assert max(battery("none", scheme).values()) <= tol.IMPLICIT_ADJOINT


@pytest.mark.parametrize(("name", "scheme", "wrong", "right"), RED)
def test_a_planted_bug_is_seen(name, scheme, wrong, right):
    found = battery(name, scheme)
    for quantity in wrong.split():
        assert found[quantity] > 1e3 * tol.IMPLICIT_ADJOINT, (quantity, found)
    for quantity in right.split():
        assert found[quantity] <= tol.IMPLICIT_ADJOINT, (quantity, found)


def test_every_bug_is_tried():
    assert {name for name, *_ in RED} == set(MUTANTS)
