"""Every equation has one anchor and its code, and every mention in code has its equation."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
import site_pages

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "extensions"))
index = importlib.import_module("equation_index")

#: Equations without code in refode, and why.
ELSEWHERE = {
    f"D{n}": "bounds of an optimum, used by validation/truth/transport_optimum.py alone"
    for n in range(103, 110)
}


def test_all_equations_are_there():
    tagged = index.tagged()
    assert [n for n in tagged if n.isdigit()] == [str(n) for n in index.SURVEY]
    assert sum(n.startswith("D") for n in tagged) > 100


def test_every_equation_has_code_but_those_with_a_reason():
    without = {number for number, places in index.code_of().items() if not places}
    assert without == set(ELSEWHERE)
    assert (ROOT / "validation/truth/transport_optimum.py").exists()


def test_every_mention_in_code_has_its_equation():
    spoken = index.mentions()
    assert len(spoken) > 100
    assert set(spoken) <= set(index.tagged())


def test_every_claim_of_a_page_is_found_in_the_code():
    claims = index.claims()
    assert sum(map(bool, claims.values())) > 60
    text = "\n".join(page.read_text("utf-8") for page in index.pages())
    names = {name for claim in index.CLAIM.findall(text) for name in index.QUOTED.findall(claim)}
    lost = [n for n in names if n.startswith("refode.") and index.located(n) is None]
    assert lost == []


@pytest.mark.parametrize(
    ("name", "module", "within"),
    [
        (
            "refode.sweeps.runge_kutta.runge_kutta_step",
            "refode.sweeps.runge_kutta",
            "runge_kutta_step",
        ),
        (
            "refode.ContinuousNormalizingFlow",
            "refode.problems.normalizing_flow",
            "ContinuousNormalizingFlow",
        ),
        (
            "refode.problems.supervised.Supervised.transported",
            "refode.problems.predictions",
            "Predicting.transported",
        ),
        ("refode.fields", "refode.fields", ""),
    ],
)
def test_names_lead_to_where_they_are_defined(name, module, within):
    assert index.located(name) == index.Place(module, within)


def test_names_that_are_nowhere_lead_nowhere():
    assert index.located("refode.sweeps.nothing") is None
    assert index.located("nothing.at.all") is None


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("(D98)-(D100)", {"D98", "D99", "D100"}),
        ("eqs. (13), (15).", {"13", "15"}),
        ("the shallow net (2) of eq. (1)", {"1", "2"}),
        ("f(2), [3](4), a middle (1) between two ends (0), (26)", set()),
        ("as (D93a), and (D93b)", {"D93a", "D93b"}),
    ],
)
def test_mentions(text, numbers):
    assert index.spoken_of(text) == numbers


# --- in the built site --------------------------------------------------------------------


def test_built_pages_have_the_anchors_and_the_links():
    site = site_pages.site()
    for number, page in index.tagged().items():
        html = (site / f"{page}.html").read_text("utf-8")
        ids = re.findall(rf'id="{index.anchor(number)}"', html)
        assert len(ids) == 1, f"({number}): {len(ids)} anchors in {page}.html"
        assert f'href="#{index.anchor(number)}">({number})</a>' in html
        for place in index.code_of()[number]:
            source = f"_modules/{place.module.replace('.', '/')}.html"
            there = f"{source}#{place.name}" if place.name else source
            assert there in html, f"({number}) has no link to {place.dotted}"
            back = f'{page}.html#{index.anchor(number)}">({number})</a>'
            assert back in (site / source).read_text("utf-8"), (
                f"{place.dotted} has none to ({number})"
            )


def test_built_api_links_numbers_of_docstrings():
    html = (site_pages.site() / "api" / "supervised.html").read_text("utf-8")
    for number in ("8", "D33", "D34"):
        assert re.search(rf'href="\.\./equations_\w+\.html#eq-{number}"', html), number
