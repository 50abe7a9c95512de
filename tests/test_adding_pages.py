"""The pages docs/adding_*.md do what they say, as somebody would who follows them.

A block of code that begins with ``\"\"\"name.py:`` is the content of that file. Every other block
runs by itself, in a fresh process beside the files.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import refode

ROOT = Path(__file__).resolve().parents[1]
PAGES = {page.stem: page for page in sorted((ROOT / "docs").glob("adding_*.md"))}
NEEDS = {"adding_a_golden_case": "flint"}
CELLS = {"basis": {"type": "PiecewiseConstant", "J": 2}}  # of as many coefficients
#: A mistake in what each page adds, which its own proof must see.
MISTAKES = {
    "adding_a_basis": ("-w * np.sin", "w * np.sin"),
    "adding_a_field": ("Z_bar[i, s] -= 6.0", "Z_bar[i, s] += 6.0"),
    "adding_a_field_in_numpy": ("f_bar * (a - 3.0", "f_bar * (a + 3.0"),
    "adding_a_golden_case": ("kernels.results(case)", f"kernels.results(case | {CELLS})"),
    "adding_a_loss": ("V[i, s] = about.delta * q / root", "V[i, s] = -about.delta * q / root"),
    "adding_a_problem": ("-(r * a * x * e)", "(r * a * x * e)"),
    "adding_a_scheme": ("1/4    0  3/4", "1/4  1/4  1/2"),
    "adding_a_terminal_cost": ("weight[s] * Q.a[i] * u /", "weight[s] * Q.a[i] * u *"),
    "adding_an_energy": ("(-2.0 * u", "(2.0 * u"),
}
every_page = pytest.mark.parametrize("name", PAGES)


@pytest.fixture
def write(tmp_path):
    """Writes a page's blocks into a folder; the names of those that run."""

    def written(name, old="", new=""):
        text = PAGES[name].read_text(encoding="utf-8")
        if old:
            assert text.count(old) == 1
            text = text.replace(old, new)
        scripts = []
        for i, block in enumerate(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)):
            named = re.match(r'"""(\w+\.py): ', block)
            if not named:
                scripts.append(f"block{i}.py")
            (tmp_path / (named[1] if named else scripts[-1])).write_text(block, encoding="utf-8")
        assert scripts
        return scripts

    return written


def run(folder, script, **environment):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    named = os.environ | {"PYTHONPATH": path, **environment}
    return subprocess.run(
        [sys.executable, script], cwd=folder, env=named, capture_output=True, text=True, timeout=600
    )


def needed(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])


@every_page
def test_the_page_is_right(name, write, tmp_path):
    needed(name)
    for script in write(name):
        done = run(tmp_path, script)
        assert done.returncode == 0, done.stderr


@every_page
def test_the_page_proves_what_it_adds(name, write, tmp_path):
    needed(name)
    assert name in MISTAKES, f"a mistake that {name}.md's own proof sees is missing"
    runs = [run(tmp_path, s, NUMBA_DISABLE_JIT="1") for s in write(name, *MISTAKES[name])]
    seen = ("AssertionError", "ValueError: vjp: got a z_bar that is off by")  # or at once
    assert any(word in done.stderr for done in runs for word in seen)


@pytest.mark.parametrize("name", ["adding_a_field", "adding_an_energy", "adding_a_terminal_cost"])
def test_kernels_of_the_page_run_without_the_compiler(name, write, tmp_path):
    for script in write(name):
        done = run(tmp_path, script, NUMBA_DISABLE_JIT="1")
        assert done.returncode == 0, done.stderr


def test_an_edited_field_is_compiled_anew(write, tmp_path):
    """Numba's own key would go on running the old machine code after the edit."""
    (proof,) = write("adding_a_field")
    cache = str(tmp_path / "cache")
    first = run(tmp_path, proof, REFODE_CACHE_DIR=cache)
    assert first.returncode == 0, first.stderr
    write("adding_a_field", *MISTAKES["adding_a_field"])
    broken = run(tmp_path, proof, REFODE_CACHE_DIR=cache)
    assert broken.returncode != 0
    assert "AssertionError" in broken.stderr


def test_the_least_that_trains_is_an_objective():
    """The first sentence of the page on problems."""

    class Least:
        def value_and_gradient(self, theta, target):
            return 0.5 * ((theta - target) ** 2).sum(), theta - target

    target = np.array([3.0, -1.0])
    result = refode.train(Least(), target, theta0=np.zeros(2), progress=False)
    assert result.success
    assert np.abs(result.x - target).max() < 1e-6
