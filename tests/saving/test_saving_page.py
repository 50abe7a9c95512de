"""docs/saving.md does what it says, and names the limits that there are."""

from __future__ import annotations

import re
from pathlib import Path

from program import run

import refode
from refode.saving import build, kinds, table
from refode.saving.content import FORMAT, FORMER_TRAINING, TRAINING

PAGE = (Path(refode.__file__).parents[1] / "docs" / "saving.md").read_text(encoding="utf-8")


def test_its_code_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 2
    done = run("\n".join(blocks), cwd=tmp_path, NUMBA_DISABLE_JIT="1")
    assert done.returncode == 0, done.stderr
    message = "fields: got nothing, wanted what 'ring.npz' has from outside: 'Ring', which was "
    place = "(problem.game.terminal_cost.target)"
    home = str(tmp_path / "ring.npz")
    assert done.stdout.replace(home, "ring.npz") == f"{message}Ring(radius=2.0) {place}\n"


def test_its_limits_are_those_of_the_code():
    text = " ".join(PAGE.split())
    assert table.STEPS == 10**6
    for limit in (
        "10⁶ equal steps",
        f"{table.DENSE} coefficients of `Legendre`",
        f"{build.DEPTH} objects within one another",
        "1100 digits of a fraction",
    ):
        assert limit in text
    assert kinds._FRACTION.fullmatch("1" * 1100)
    assert not kinds._FRACTION.fullmatch("1" * 1101)
    assert build.LONGEST == 2**22
    for name in (FORMAT, TRAINING, FORMER_TRAINING):
        assert f"`{name}`" in text
