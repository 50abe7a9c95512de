"""Twins on the two devices name one another, and docs/cuda.md lists them all."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CUDA = ROOT / "refode" / "cuda"
ROW = re.compile(r"^\| (`[\w`, ./]+\.py`) \| (.*) \| (.*) \|$", re.M)
FILE = re.compile(r"refode/[\w/]+\.py")


def quoted(cell):
    """File names of a cell."""
    return re.findall(r"`([\w/]+\.py)`", cell)


def table():
    """Files of refode/cuda and their twins, as the page has them."""
    text = (ROOT / "docs" / "cuda.md").read_text("utf-8")
    return {
        f"refode/cuda/{name}": {f"refode/{twin}" for twin in quoted(twins)}
        for files, _, twins in ROW.findall(text)
        for name in quoted(files)
    }


def named(file):
    """Files that a module's docstring names as its twins: of the other device."""
    text = ast.get_docstring(ast.parse((ROOT / file).read_text("utf-8"))) or ""
    sentences = [s for s in re.split(r"\.\s|\.$", text) if re.search(r"\b[tT]wins?\b", s)]
    other = file.startswith("refode/cuda/")
    found = FILE.findall(" ".join(f"{s}." for s in sentences))
    return {f for f in found if f.startswith("refode/cuda/") != other}


TABLE = table()
PAIRS = sorted((file, twin) for file, twins in TABLE.items() for twin in twins)


def test_the_table_has_every_file_of_the_room():
    there = {f"refode/cuda/{f.name}" for f in CUDA.glob("*.py") if f.name != "__init__.py"}
    assert set(TABLE) == there
    assert len(PAIRS) > 20


@pytest.mark.parametrize(("file", "twin"), PAIRS)
def test_twins_are_there_and_name_one_another(file, twin):
    assert (ROOT / file).is_file()
    assert (ROOT / twin).is_file()
    assert twin in named(file)
    assert file in named(twin)


def test_whoever_names_a_twin_is_in_the_table():
    for path in (ROOT / "refode").rglob("*.py"):
        file = path.relative_to(ROOT).as_posix()
        if file.startswith("refode/cuda/"):
            pairs = {(file, twin) for twin in named(file)}
        else:
            pairs = {(twin, file) for twin in named(file)}
        assert pairs <= set(PAIRS), file
