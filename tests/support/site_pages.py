"""The built site, for tests that look at it: REFODE_SITE says where it lies.

python -m sphinx -W -q docs docs/_build && REFODE_SITE=docs/_build python -m pytest tests/docs
"""

from __future__ import annotations

import os
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

#: Elements without an end.
VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}


def site() -> Path:
    """The folder, or a skip that says how to get one."""
    folder = os.environ.get("REFODE_SITE")
    if not folder:
        pytest.skip("REFODE_SITE names no built site: sphinx-build docs docs/_build")
    path = Path(folder).resolve()
    if not (path / "index.html").exists():
        pytest.fail(f"REFODE_SITE={folder} has no index.html")
    return path


class Page(HTMLParser):
    """Ids, links and what a page loads."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if given.get("id"):
            self.ids.append(given["id"])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif tag == "link" and given.get("href"):
            self.loads.append(given["href"])
        elif given.get("src"):
            self.loads.append(given["src"])


@cache
def pages() -> dict[Path, Page]:
    """Every page of the site, read."""
    return {file: Page(file.read_text("utf-8")) for file in sorted(site().rglob("*.html"))}
