"""Files of every version so far are read, and their models give the numbers that they gave then.

The folders below golden/ are written once, by golden/write.py at a release, and never again.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import saved_models
from program import run

import refode
from refode.saving.content import content, found, read
from refode.saving.table import BY_NAME

HERE = Path(__file__).parent / "golden"
#: Classes that came after the newest version: a release writes files that have them.
NEWER = {"TrajectoryFitting"}
VERSIONS = sorted(folder.name for folder in HERE.iterdir() if (folder / "expected.json").exists())
PROGRAM = """
import sys; sys.path.insert(0, sys.argv[1])
import saved_models; saved_models.compute(sys.argv[2])
"""


def expected(version):
    return json.loads((HERE / version / "expected.json").read_text(encoding="ascii"))


@pytest.fixture(scope="module")
def computed():
    """What the models of each version compute now, as plain Python."""
    made = {}
    for version in VERSIONS:
        support = str(Path(saved_models.__file__).parent)
        done = run(PROGRAM, support, str(HERE / version), NUMBA_DISABLE_JIT="1")
        assert done.returncode == 0, done.stderr
        made[version] = json.loads(done.stdout)
    return made


@pytest.mark.parametrize(("version", "name"), [(v, n) for v in VERSIONS for n in expected(v)])
def test_the_numbers_are_those_of_then(computed, version, name):
    then, now = expected(version)[name]["results"], computed[version][name]
    assert len(then) == len(now)
    for a, b in zip(map(np.array, then), map(np.array, now), strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= 1e-12 * np.abs(a).max()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_file_is_expected(version):
    files = {file.name for file in (HERE / version).glob("*.npz")}
    assert files == set(expected(version))
    known = saved_models.outside()
    for name in files:
        given = {n: known[n] for n in expected(version)[name]["outside"]}
        assert refode.load(HERE / version / name, given).version == version


def classes_in(part):
    """Names of the classes in a description."""
    if isinstance(part, list):
        return set().union(*map(classes_in, part))
    if not isinstance(part, dict) or "with" not in part:
        return set()
    return {part["class"]}.union(*map(classes_in, part["with"].values()))


def test_every_class_of_the_table_is_in_the_newest_files():
    version = VERSIONS[-1]
    there = set()
    for name in expected(version):
        path = found(HERE / version / name)
        there |= classes_in(content(path, *read(path)).whole["problem"])
    assert set(BY_NAME) - there == NEWER
