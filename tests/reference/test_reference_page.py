"""docs/reference.md: its counts, and its code in the languages that are installed."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from refode import reference

PAGE = (Path(__file__).parents[2] / "docs" / "reference.md").read_text(encoding="utf-8")


def test_the_page_counts_the_cases():
    kinds = [reference.case(name)["problem"]["type"] for name in reference.names()]
    assert f"to {len(kinds)} small cases" in PAGE
    for kind in set(kinds):
        assert f"| `{kind}` | {kinds.count(kind)} |" in PAGE, kind


def test_the_pages_python_runs_and_its_axes_are_right(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    blocks[0] = blocks[0].partition("reference.errors")[0]  # the kernels have their own tests
    reference.export(tmp_path / "golden")
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    for block in blocks:
        exec(block, scope)
    W0 = scope["W0"]
    np.testing.assert_array_equal(W0, reference.arrays(scope["case"], "inputs")["theta/W0"])
    written = json.loads((tmp_path / "supervised-softmax.json").read_text())
    data = written["results"]["gradient"]["W0"]["data"]
    # how Julia and MATLAB read it: columns first with the axes reversed, then turned round
    columns_first = np.array([float(d) for d in data]).reshape(W0.shape[::-1], order="F")
    assert (columns_first.transpose() == W0).all()


def blocks_of(language):
    """The page's code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def entry_and_total():
    """Entry (0, 1, 2) of the case that the page reads, and its total."""
    case = reference.case("supervised-softmax")
    W0 = reference.arrays(case, "inputs")["theta/W0"]
    others = [W0[axes] for axes in itertools.permutations((0, 1, 2))][1:]
    assert W0[0, 1, 2] not in others  # so that axes in another order are seen
    return float(W0[0, 1, 2]), float(reference.arrays(case, "results")["total"])


@pytest.mark.skipif(
    not (shutil.which("g++") and Path("/usr/include/nlohmann/json.hpp").exists()),
    reason="no g++ with nlohmann/json",
)
def test_the_pages_cpp_compiles_and_its_axes_are_right(tmp_path):
    (block,) = blocks_of("cpp")
    end = block.rindex("}")
    show = """    std::printf("%.17g %.17g\\n", W0[(0 * shape[1] + 1) * shape[2] + 2],
                array(c["results"]["total"])[0]);
"""
    (tmp_path / "read.cpp").write_text("#include <cstdio>\n" + block[:end] + show + block[end:])
    reference.export(tmp_path / "golden")
    subprocess.run(
        ["g++", "-std=c++17", "-Wall", "-Werror", "-o", "read", "read.cpp"],
        cwd=tmp_path,
        check=True,
    )
    done = subprocess.run(["./read"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert tuple(map(float, done.stdout.split())) == entry_and_total()


@pytest.mark.skipif(not shutil.which("octave-cli"), reason="no Octave")
def test_the_pages_matlab_runs_and_its_axes_are_right(tmp_path):
    function, script = blocks_of("matlab")
    (tmp_path / "array.m").write_text(function)
    show = "printf('%.17g %.17g\\n', W0(1, 2, 3), total)\n"
    (tmp_path / "read.m").write_text(script + show)
    reference.export(tmp_path / "golden")
    done = subprocess.run(
        ["octave-cli", "-q", "read.m"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert tuple(map(float, done.stdout.split())) == entry_and_total()
