"""The page on adding a field does what it says, as somebody would who follows it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "adding_a_field.md"


@pytest.fixture
def cubic(tmp_path):
    """A folder with the page's field in cubic.py and its proof in proof.py."""
    field, proof = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    (tmp_path / "cubic.py").write_text(field)
    (tmp_path / "proof.py").write_text(f"from cubic import Cubic\n{proof}\nprint('proven')\n")
    return tmp_path


def run(folder, **environment):
    """Run proof.py there, with a cache of its own."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    named = {"PYTHONPATH": path, "REFODE_CACHE_DIR": str(folder / "cache"), **environment}
    command = [sys.executable, "proof.py"]
    return subprocess.run(
        command, cwd=folder, env=os.environ | named, capture_output=True, text=True
    )


def test_the_page_is_right_and_an_edit_is_compiled_anew(cubic):
    """Numba's own key would go on running the old machine code after the edit."""
    first = run(cubic)
    assert first.stdout == "proven\n", first.stderr
    file = cubic / "cubic.py"
    file.write_text(file.read_text().replace("Z_bar[i, s] -= 6.0", "Z_bar[i, s] += 6.0"))
    broken = run(cubic)
    assert broken.returncode != 0
    assert "AssertionError" in broken.stderr


def test_the_page_is_right_without_the_compiler(cubic):
    plain = run(cubic, NUMBA_DISABLE_JIT="1")
    assert plain.stdout == "proven\n", plain.stderr
