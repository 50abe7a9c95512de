"""The built site leads nowhere that is not there, and loads nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import site_pages

#: Links in running text may leave the site; whether these answer is not asked.
OUTSIDE = ("http", "https", "mailto")


def broken(here: Path, link: str, pages) -> str | None:
    """What is wrong with a link of a page."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None if parts.scheme in OUTSIDE else f"{link}: scheme {parts.scheme}"
    target = (here.parent / unquote(parts.path)).resolve() if parts.path else here
    if not target.exists():
        return f"{link}: no such file"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].ids:
        return f"{link}: no such anchor"
    return None


def test_links_lead_somewhere():
    site, pages = site_pages.site(), site_pages.pages()
    assert len(pages) > 100
    wrong = [
        f"{here.relative_to(site)}: {found}"
        for here, page in pages.items()
        for link in dict.fromkeys(page.links)
        if (found := broken(here, link, pages))
    ]
    assert wrong == []


def test_pages_load_files_of_the_site_alone():
    wrong = []
    for here, page in site_pages.pages().items():
        for name in page.loads:
            parts = urlsplit(name)
            if parts.scheme == "data":
                continue
            if parts.netloc or not (here.parent / unquote(parts.path)).exists():
                wrong.append(f"{here.name}: {name}")
    assert wrong == []


def test_ids_are_given_once_in_a_page():
    site = site_pages.site()
    for here, page in site_pages.pages().items():
        twice = {i for i in page.ids if page.ids.count(i) > 1 and "sphinx_gallery" not in i}
        assert not twice, f"{here.relative_to(site)}: {twice}"


def test_mathematics_is_written_out():
    """MathML, and no script that would have to draw it."""
    site = site_pages.site()
    text = (site / "equations_solvers.html").read_text("utf-8")
    assert text.count("<math") > 100
    assert not [name for name in site_pages.Page(text).loads if "mathjax" in name.lower()]
    assert list((site / "_static").glob("**/mathematics*.woff2"))


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("b.html", False),
        ("b.html#there", False),
        ("b.html#nowhere", True),
        ("c.html", True),
        ("#there", True),
        ("https://example.org/", False),
        ("javascript:x", True),
    ],
)
def test_broken_links_are_seen(tmp_path, link, wrong):
    (tmp_path / "a.html").write_text("<p>a")
    (tmp_path / "b.html").write_text("<p id=there>b")
    pages = {f: site_pages.Page(f.read_text()) for f in tmp_path.resolve().glob("*.html")}
    assert bool(broken(tmp_path.resolve() / "a.html", link, pages)) is wrong
