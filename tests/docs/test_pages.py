"""Every page stands in exactly one list of the site."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
TREE = re.compile(r"```\{toctree\}\n(.*?)```", re.S)


def listed():
    """The pages of all toctrees, one for each time."""
    for page in DOCS.rglob("*.md"):
        for body in TREE.findall(page.read_text("utf-8")):
            for line in body.splitlines():
                if line and not line.startswith(":"):
                    target = re.sub(r".*<(.*)>", r"\1", line.strip()).removesuffix(".md")
                    if target.startswith("/"):
                        yield target[1:]
                    else:
                        yield (page.parent / target).resolve().relative_to(DOCS).as_posix()


def written():
    """All pages but the first: texts, and the gallery that is made of tutorials."""
    made = {"_build", "gallery"}
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS)
        if not made & set(name.parts) and name.name != "index.md":
            yield name.with_suffix("").as_posix()
    yield "gallery/index"


def test_every_page_is_in_one_list():
    counts = Counter(listed())
    pages = set(written())
    assert len(pages) > 40
    assert pages - set(counts) == set(), "in no toctree"
    assert set(counts) - pages == set(), "no such page"
    assert [page for page, n in counts.items() if n > 1] == [], "in two toctrees"


def test_lists_have_no_star():
    for page in DOCS.rglob("*.md"):
        for body in TREE.findall(page.read_text("utf-8")):
            assert ":glob:" not in body, f"{page.name}: a star would take in what was forgotten"
