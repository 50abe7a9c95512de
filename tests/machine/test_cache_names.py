"""Machine code of different processes meets in the cache: names must not.

Numba names compiled functions by module, qualified name, argument types as text and a counter
that starts anew in every process. Two closures of one name that differ only in what they
close over, or two bodies for classes of one name, would be linked to one another's code,
silently.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from refode.machine import activations
from refode.machine import compile as _jit

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
import numpy as np
import refode
rng = np.random.default_rng(0)
for d in map(int, sys.argv[1:]):
    ode = refode.NeuralODE(refode.fields.Shallow(d, 8), n_steps=2)
    problem = refode.Supervised(ode, "regression", n_outputs=d, readout=False)
    theta = problem.initial() + 0.1 * rng.standard_normal(problem.n_parameters)
    x, y = rng.standard_normal((2, 5, d))
    v, h = rng.standard_normal(theta.shape), 1e-5
    slope = problem.value_and_gradient(theta, x, y)[1] @ v
    up, down = (problem.value(theta + s * h * v, x, y) for s in (1, -1))
    assert abs((up - down) / (2 * h) - slope) < 1e-6 * abs(slope), d
print("right")
"""


def run(cache, *dims):
    named = {"PYTHONPATH": str(ROOT), "REFODE_CACHE_DIR": str(cache)}
    # the counter follows the order of compilation, and that of sets: the worst case each time
    environment = os.environ | named | {"PYTHONHASHSEED": "0"}
    command = [sys.executable, "-c", PROGRAM, *map(str, dims)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=cache)
    return done.stdout + done.stderr


@pytest.mark.skipif(not _jit.JIT, reason="nothing is compiled")
def test_code_compiled_by_two_processes_serves_a_third(tmp_path):
    assert run(tmp_path, 2) == "right\n"
    assert run(tmp_path, 2, 1) == "right\n"  # 2 from the cache, 1 compiled beside it
    assert run(tmp_path, 1, 2) == "right\n"  # both from the cache


def test_activations_have_different_names():
    names = [name for pair in activations.COMPILED.values() for name in pair]
    assert len(names) == 2 * len(activations.COMPILED)
    assert len(set(names)) == len(names) > 0


ALIKE = """
from typing import NamedTuple
from refode.costs.energies import Energy, energy

class MineSpec(NamedTuple):
    k: float

class Mine(Energy):
    def description(self):
        return MineSpec(1.0)

@energy.register(MineSpec)
def mine(Q, Z, out):
    out[0] += {factor} * Q.k * Z[0, 0]
"""


@pytest.mark.skipif(not _jit.JIT, reason="nothing is compiled")
@pytest.mark.parametrize("before", [["one"], ["one", "two"]], ids=["in two processes", "in one"])
def test_classes_of_one_name_have_code_of_their_own(tmp_path, before):
    """Two modules, in each a MineSpec of one float: types and symbols read alike."""
    for module, factor in (("one", 10.0), ("two", 20.0)):
        (tmp_path / f"{module}.py").write_text(ALIKE.format(factor=factor))

    def values(*modules):
        lines = [f"import {m}; print({m}.Mine().value([[1.0]])[0])" for m in modules]
        path = os.pathsep.join([str(tmp_path), str(ROOT)])
        named = {"PYTHONPATH": path, "REFODE_CACHE_DIR": str(tmp_path / "cache")}
        done = subprocess.run(
            [sys.executable, "-c", "\n".join(lines)],
            env=os.environ | named,
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        return done.stdout.split() + done.stderr.split()

    right = {"one": "10.0", "two": "20.0"}
    assert values(*before) == [right[m] for m in before]
    assert values("two") == ["20.0"]
    assert values("two", "one") == ["20.0", "10.0"]


@pytest.mark.skipif(not _jit.JIT, reason="nothing is compiled")
def test_a_closure_needs_a_name():
    inside = 3

    def closure(x):
        return x + inside

    with pytest.raises(ValueError, match="closure.*name"):
        _jit.kernel(closure, cache=False)
    assert _jit.kernel(closure, cache=False, name="closure_3")(1) == 4
