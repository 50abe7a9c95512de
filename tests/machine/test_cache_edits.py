"""Other processes after an edit: new machine code where it counts, and none where it does not."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import users_energy
from users_energy import VALUE, probe, roots

import refode
from refode.machine import compile as machine

PACKAGE = Path(refode.__file__).parent
pytestmark = pytest.mark.skipif(not machine.JIT, reason="there is no machine code")

# --- what the next process finds ------------------------------------------------------------
EDITS = {  # file: what is edited in it, and the value then
    "constants.py": ("10.0", "20.0", VALUE + 10.0),
    "helpers.py": ("FACTOR * x", "FACTOR * x + 1.0", VALUE + 1.0),
    "mine.py": ("100.0", "200.0", VALUE + 500.0),
    "refode/machine/views.py": (
        "value, out, builder.mul(i, columns)",
        "value, out, builder.mul(context.get_constant(types.intp, 1), columns)",
        VALUE + 10.0,
    ),
    "refode/machine/activations.py": (
        "math.copysign(em / (em + 2.0), x)",
        "math.copysign(em / (em + 2.0), -x)",
        VALUE - 2 * 0.7615941559557649,
    ),
}


CLOSED_OVER = ("return x + shift", "return x + 2.0 * shift", VALUE + 300.0)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package and the user's files, to edit; their code is in the cache."""
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "data", "cuda")
    shutil.copytree(PACKAGE, folder / "refode", ignore=ignored)
    users_energy.write(folder)
    cold = probe(folder, folder)
    assert Path(cold["refode"]).parent == folder / "refode"
    assert math.isclose(cold["value"], VALUE, rel_tol=1e-15)
    assert len(cold["compiled"]) == len(roots(folder)) == 2  # the energy, and Python's entry to it
    assert cold["imported"] == 0
    return folder


def edited(folder, name, old, new):
    text = (folder / name).read_text()
    assert text.count(old) == 1, "not there, or not alone"
    (folder / name).write_text(text.replace(old, new))
    return text


@pytest.mark.parametrize(
    ("name", "edit"),
    [*EDITS.items(), pytest.param("helpers.py", CLOSED_OVER, id="closed over")],
)
def test_an_edit_takes_effect_and_is_taken_back(copy, name, edit):
    before = roots(copy)
    old, new, value = edit
    text = edited(copy, name, old, new)
    try:
        found = probe(copy, copy)
    finally:
        (copy / name).write_text(text)
    assert math.isclose(found["value"], value, rel_tol=1e-15)
    assert [root.partition("-")[0] for root in found["compiled"]] == ["energy"]
    assert len(roots(copy)) == len(before) + 1


def test_all_edits_taken_back_nothing_is_compiled(copy):
    before = roots(copy)
    (copy / "mine.py").write_text("# a remark\n\n" + (copy / "mine.py").read_text())
    edited(copy, "mine.py", '"""Q."""', '"""Another docstring."""')
    edited(copy, "mine.py", "wanted an energy", "wanted an Energy")
    found = probe(copy, copy, PYTHONHASHSEED="7")
    assert math.isclose(found["value"], VALUE, rel_tol=1e-15)
    assert found["compiled"] == []
    assert roots(copy) == before


# --- what Numba really compiles -------------------------------------------------------------
LIGHT = """
import json, sys
import numpy as np
import refode
from numba.core import compiler
from refode.machine import compile as machine, sources
met, missed = [], []
compile_extra, make = compiler.CompilerBase.compile_extra, machine.Root._compiled
def noting(self, function):
    met.append(function)
    return compile_extra(self, function)
def checking(root):
    met.clear()
    made = make(root)
    for f in met:
        if not sources._outside(f) and f.__code__ not in root.codes:
            missed.append((root.name, f.__module__, f.__qualname__))
    return made
compiler.CompilerBase.compile_extra, machine.Root._compiled = noting, checking
field = refode.fields.Shallow(2, 3)
problem = refode.Supervised(refode.NeuralODE(field, n_steps=2), "regression", n_outputs=2)
x = np.arange(8.0).reshape(4, 2)
value, gradient = problem.value_and_gradient(problem.initial(), x, x)
loaded = sorted({"scipy.linalg", "numba.np.linalg"} & {*sys.modules})
print(json.dumps([value.hex(), gradient.sum().hex(), loaded, missed, bool(met)]))
import scipy.linalg
scipy.linalg.cython_blas  # as if it had been imported in the usual way
assert np.allclose(scipy.linalg.blas.dgemm(1.0, x, x.T), x @ x.T)
"""


def test_a_first_gradient(tmp_path):
    """All that is compiled is in digests; a warm cache needs no compiler and no scipy.linalg."""

    def start():
        done = subprocess.run(
            [sys.executable, "-c", LIGHT],
            cwd=tmp_path,
            text=True,
            env=users_energy.environment(tmp_path),
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    *cold, loaded, missed, compiled = start()
    assert compiled
    assert loaded, "the compiler no longer loads them, so that the next check says nothing"
    assert missed == []
    by_scipy = "import sys, scipy.sparse; print('scipy.linalg' in sys.modules)"  # of old versions
    own = subprocess.run([sys.executable, "-c", by_scipy], capture_output=True, text=True)
    least = ["scipy.linalg"] if own.stdout.strip() == "True" else []
    assert start() == [*cold, least, [], False], "more loaded, or other numbers"
