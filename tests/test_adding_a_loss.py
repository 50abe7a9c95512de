"""The page on adding a loss does what it says, as somebody would who follows it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "adding_a_loss.md"


@pytest.fixture
def page(tmp_path):
    """A folder with the page's loss and cost in files, and their proofs."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    for name, made in (("huber", blocks[:2]), ("stay", blocks[2:])):
        code, proof = made
        (tmp_path / f"{name}.py").write_text(code)
        proven = f"from {name} import *\n{proof}\nprint('proven')"
        (tmp_path / f"prove_{name}.py").write_text(proven)
    return tmp_path


def run(folder, name, **environment):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    named = {"PYTHONPATH": path, **environment}
    return subprocess.run(
        [sys.executable, f"prove_{name}.py"], cwd=folder, env=os.environ | named,
        capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["huber", "stay"])
@pytest.mark.parametrize("no_jit", ["0", "1"])
def test_the_page_is_right(page, name, no_jit):
    done = run(page, name, NUMBA_DISABLE_JIT=no_jit)
    assert done.stdout == "proven\n", done.stderr


@pytest.mark.parametrize(("name", "right", "wrong"), [
    ("huber", "= about.delta * q / root", "= about.delta * q"),
    ("stay", "L[i, s] += slope *", "L[i, s] -= slope *"),
])  # fmt: skip
def test_an_edit_is_compiled_anew_and_disproven(page, name, right, wrong):
    file = page / f"{name}.py"
    assert right in file.read_text()
    file.write_text(file.read_text().replace(right, wrong))
    broken = run(page, name)
    assert broken.returncode != 0
    assert "AssertionError" in broken.stderr
