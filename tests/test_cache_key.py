"""An edit of any kernel source must never meet old machine code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import refode
from refode import _jit

ROOT = Path(refode.__file__).parent
PROBE = """
import numpy as np
import refode
from refode._jit import cache_folder
field = refode.fields.Affine(2)
z = refode.evaluate.value(field, np.arange(1.0, 7.0), np.array([[10.0, 20.0]]))
print(refode.__file__, cache_folder(), *z[0])
"""


@pytest.fixture
def copy(tmp_path):
    """A copy of the package to edit."""
    shutil.copytree(ROOT, tmp_path / "refode", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.skipif(not _jit.JIT, reason="there is no machine code")
def test_an_edited_callee_takes_effect(copy):
    """add_column is compiled into every sweep; its own file is not the sweep's."""
    callee = copy / "refode" / "_linalg.py"
    original = callee.read_text()
    edited = original.replace("u[j, s] += bj", "u[j, s] += 3.0 * bj")
    assert edited != original

    def probe():
        env = dict(os.environ, PYTHONPATH=str(copy), REFODE_CACHE_DIR=str(copy / "cache"))
        done = subprocess.run([sys.executable, "-c", PROBE], env=env, cwd=copy, text=True,
                              capture_output=True, check=True)  # fmt: skip
        file, folder, *numbers = done.stdout.split()
        assert Path(file).parent == copy / "refode"
        return folder, np.array(numbers, dtype=float)

    before, value = probe()
    assert value.tolist() == [1 * 10 + 2 * 20 + 5, 3 * 10 + 4 * 20 + 6]
    cached = sorted(Path(before).rglob("*.nbc"))
    assert cached, "nothing was cached, so nothing can be stale"
    callee.write_text(edited)
    after, value = probe()
    assert after != before
    assert value.tolist() == [1 * 10 + 2 * 20 + 15, 3 * 10 + 4 * 20 + 18]
    callee.write_text(original)
    again, value = probe()
    assert again == before
    assert value.tolist() == [1 * 10 + 2 * 20 + 5, 3 * 10 + 4 * 20 + 6]
    assert sorted(Path(before).rglob("*.nbc")) == cached  # found again, not compiled again


def test_every_kernel_source_is_in_the_key(copy, monkeypatch):
    """One more character in any of them, a new file or one less: another key."""
    monkeypatch.setattr(_jit, "_ROOT", copy / "refode")
    key = _jit.source_key()
    assert key == _jit.source_key()
    seen = {key}
    for file in _jit.kernel_sources():
        text = file.read_bytes()
        file.write_bytes(text + b"#")
        seen.add(_jit.source_key())
        file.unlink()
        seen.add(_jit.source_key())
        file.write_bytes(text)
        assert _jit.source_key() == key, "the same sources, another key"
    new = copy / "refode" / "fields" / "new.py"
    new.write_text("")
    seen.add(_jit.source_key())
    n = len(_jit.kernel_sources())  # the new one among them: its edits were not tried
    assert len(seen) == 1 + 2 * (n - 1) + 1


def test_every_file_with_a_kernel_is_a_kernel_source():
    sources = set(_jit.kernel_sources())
    compiled = re.compile(r"^@kernel|^@generic|^@\w+\.register\(|^@intrinsic|overload\(", re.M)
    for file in ROOT.rglob("*.py"):
        if compiled.search(file.read_text()):
            assert file in sources, f"{file.relative_to(ROOT)} is not in the key"
    modules = {".".join(("refode", *f.relative_to(ROOT).with_suffix("").parts)) for f in sources}
    for name in ("refode._linalg", "refode.activations", "refode.solvers.sweeps"):
        assert name in modules


def test_the_key_knows_the_compiler(monkeypatch):
    key = _jit.source_key()
    monkeypatch.setattr(_jit.numba, "__version__", "0.0.0")
    assert _jit.source_key() != key


def test_the_cache_goes_where_it_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("REFODE_CACHE_DIR", str(tmp_path / "here"))
    assert _jit.cache_root() == tmp_path / "here"
    monkeypatch.delenv("REFODE_CACHE_DIR")
    assert _jit.cache_root().name == "refode"


LIGHT = """
import sys
import numpy as np
import refode
ode = refode.NeuralODE(refode.fields.Shallow(2, 3), n_steps=2)
problem = refode.Supervised(ode, "regression", n_outputs=2)
x = np.arange(8.0).reshape(4, 2)
value, gradient = problem.value_and_gradient(problem.initial(), x, x)
loaded = {"scipy.linalg", "numba.np.linalg"} & {*sys.modules}
print(value.hex(), gradient.sum().hex(), *loaded)
import scipy.linalg
scipy.linalg.cython_blas  # as if it had been imported in the usual way
assert np.allclose(scipy.linalg.blas.dgemm(1.0, x, x.T), x @ x.T)
"""


@pytest.mark.skipif(not _jit.JIT, reason="there is no machine code")
def test_a_warm_cache_needs_neither_the_compiler_s_registries_nor_scipy_linalg(tmp_path):
    env = dict(os.environ, REFODE_CACHE_DIR=str(tmp_path), PYTHONPATH=str(ROOT.parent))

    def start():
        done = subprocess.run([sys.executable, "-c", LIGHT], env=env, cwd=tmp_path, text=True,
                              capture_output=True, check=True)  # fmt: skip
        return done.stdout.split()

    cold = start()[:2]  # compiled here, which loads them
    (*warm,) = start()
    assert warm == cold, "more loaded, or other numbers"
