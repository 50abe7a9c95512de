"""docs/estimators.md: its blocks run, one after the other, and say what they should."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("sklearn", minversion="1.6")
PAGE = Path(__file__).parents[2] / "docs" / "estimators.md"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_blocks_run(capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 2
    names: dict = {}
    exec(blocks[0], names)
    assert names["search"].best_score_ > 0.93
    assert "(178, 13)" in capsys.readouterr().out
    pytest.importorskip("skops")
    exec(blocks[1], names)
    assert (names["again"].predict(names["x"]) == names["best"].predict(names["x"])).all()
