"""Equations have one number each, the index has them all, and names in pages are there."""

from __future__ import annotations

import importlib
import itertools
import re
import string
from collections import Counter
from pathlib import Path

import cuda_there
import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("api/*.md")])
INDEX = DOCS / "equations.md"
#: Sources that speak of equations and files.
SOURCES = [f for room in ("refode", "tests", "validation") for f in (ROOT / room).rglob("*.py")]
NUMBER = r"D\d+[a-z]?"
TAG = re.compile(rf"\\tag\{{({NUMBER}|\d+)\}}")
ROW = re.compile(r"\| (\(.*?) \| \[(.*?)\]\((\w+\.md)\) \| (.*) \|")
NAME = re.compile(r"`(refode(?:\.\w+)+)`")
FILE = re.compile(r"\b((?:refode|tests|validation)/[\w/]+\.(?:py|md)|docs/\w+\.md)\b")


def tags(page):
    """Numbers of the equations that a page defines."""
    return TAG.findall(page.read_text("utf-8"))


def order(number):
    """D93a comes after D93."""
    digits = number.strip(string.ascii_letters)
    return number[0] == "D", int(digits), number


def rows():
    """Numbers, page and modules of every row of the index."""
    for label, _, page, modules in ROW.findall(INDEX.read_text("utf-8")):
        numbers: list[str] = []
        for part in label.split(", "):
            first, *last = re.findall(rf"\(({NUMBER}|\d+)\)", part)
            if last:
                letter = "D" if first[0] == "D" else ""
                ends = int(first.lstrip("D")), int(last[0].lstrip("D"))
                numbers += [f"{letter}{i}" for i in range(ends[0], ends[1] + 1)]
            else:
                numbers.append(first)
        yield numbers, page, modules


def test_every_number_is_given_once():
    counts = Counter(itertools.chain.from_iterable(map(tags, PAGES)))
    assert len(counts) > 120
    assert [n for n, c in counts.items() if c > 1] == []


def test_the_index_has_every_number_with_its_page_in_order():
    found = [(number, page) for numbers, page, _ in rows() for number in numbers]
    given = [(number, page.name) for page in PAGES for number in tags(page)]
    assert sorted(found) == sorted(given)
    firsts = [numbers[0] for numbers, _, _ in rows()]
    assert firsts == sorted(firsts, key=order)


def test_the_index_says_how_far_numbers_go():
    last = max((n for page in PAGES for n in tags(page)), key=order)
    assert f"(D1)–({last}) are derived" in INDEX.read_text("utf-8")


def test_numbers_that_texts_refer_to_are_given():
    known = {number for page in PAGES for number in tags(page)}
    for file in [*PAGES, *SOURCES]:
        used = set(re.findall(rf"\(({NUMBER})\)", file.read_text("utf-8")))
        assert used <= known, f"{file.relative_to(ROOT)}: {used - known}"


def resolved(name):
    """The object of a dotted name, by import and then by attribute."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError as error:
            if not ".".join(parts[:n]).startswith(str(error.name)):
                raise  # something that it imports is not installed
            continue
        for part in parts[n:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda p: p.name)
def test_names_in_a_page_are_there(page):
    for name in sorted(set(NAME.findall(page.read_text("utf-8")))):
        if name.startswith("refode.cuda.") and cuda_there.missing(simulator=False):
            continue
        try:
            resolved(name)
        except (ModuleNotFoundError, AttributeError) as error:
            pytest.fail(f"{page.name} names {name}: {error}")


def test_names_that_are_not_there_do_not_resolve():
    assert resolved("refode.NeuralODE.solve").__name__ == "solve"
    for name in ("refode.nothing", "refode.sweeps.nothing", "refode.sweeps.sweep.nothing"):
        with pytest.raises((ModuleNotFoundError, AttributeError)):
            resolved(name)


def test_files_that_texts_name_are_there():
    texts = [*PAGES, ROOT / "README.md", *SOURCES]
    assert len(texts) > 300
    for file in texts:
        named = set(FILE.findall(file.read_text("utf-8")))
        missing = {name for name in named if not (ROOT / name).exists()}
        assert not missing, f"{file.relative_to(ROOT)}: {missing}"
