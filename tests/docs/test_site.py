"""The built site leads nowhere that is not there, and loads nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import site_pages

DOCS = Path(__file__).parents[2] / "docs"
#: What refode.cuda imports of numba.cuda, and Numba has without the package numba-cuda.
PLAIN_NUMBA = {"numba.cuda.extending"}
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


def test_attributes_keep_their_last_underscore():
    """As ``problem`` and ``theta`` nobody would find them."""
    text = (site_pages.site() / "api" / "estimators.html").read_text("utf-8")
    for name in ("problem_", "theta_", "n_iter_", "classes_", "n_features_in_"):
        assert f"<strong>{name}</strong>" in text
    assert "<strong>theta</strong>" not in text


@pytest.mark.parametrize("there", [True, False])
def test_pages_of_the_gpu_path_are_made_without_its_package(there, monkeypatch):
    find = importlib.util.find_spec
    found = {"numba_cuda": find("json") if there else None}
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: found.get(n, find("json")))
    monkeypatch.setattr(sys, "path", list(sys.path))
    settings = runpy.run_path(str(DOCS / "conf.py"))
    assert settings.get("autodoc_mock_imports", []) == ([] if there else ["numba.cuda.np"])
    imports = [
        line.split()[1]
        for file in (DOCS.parent / "refode" / "cuda").glob("*.py")
        for line in file.read_text("utf-8").splitlines()
        if line.strip().startswith("from numba.cuda.")
    ]
    assert set(imports) - {"numba.cuda.np"} == PLAIN_NUMBA  # numba itself has these


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
