"""How deep a field is below train, and that docs/architecture.md has the way as it is."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import numpy as np
import pytest

import refode
from refode.fields import shallow
from refode.machine.compile import JIT

pytestmark = pytest.mark.nojit

PACKAGE = Path(refode.__file__).parent
PAGE = PACKAGE.parent / "docs" / "architecture.md"


class Reached(Exception):
    """The field's body has been called."""


def reached(*arguments):
    """Stands for the first thing that the body calls."""
    raise Reached


@pytest.mark.skipif(JIT, reason="compiled code has no frames")
def test_the_page_has_every_frame_from_train_to_the_field(monkeypatch):
    section = PAGE.read_text("utf-8").split("## From `train` to a field")[1].split("\n## ")[0]
    (table,) = re.findall(r"```text\n(.*?)```", section, re.S)
    (number,) = re.findall(r"^(\d+) frames, SciPy's left out", section, re.M)

    problem = refode.Supervised(refode.NeuralODE(refode.fields.Shallow(2, 3)), loss="logistic")
    x = np.random.default_rng(0).standard_normal((5, 2))
    monkeypatch.setattr(shallow, "multiply", reached)
    with pytest.raises(Reached) as caught:
        refode.train(problem, x, np.array([0, 1, 0, 1, 1]), max_iter=1, progress=False)
    frames = [
        [Path(f.filename).relative_to(PACKAGE).as_posix(), f.name]
        for f in traceback.extract_tb(caught.value.__traceback__)
        if Path(f.filename).is_relative_to(PACKAGE)
    ]
    assert [line.split() for line in table.splitlines()] == frames
    assert int(number) == len(frames)
