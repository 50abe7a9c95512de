"""The site in a browser, as a phone and as a desk have it, light and dark.

Headless Chromium opens every page: nothing is said on the console, nothing is asked of another
host, nothing sticks out of the window, and every text has contrast (WCAG 2, AA).
"""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from pathlib import Path

import pytest
import site_pages

FOLDER = Path(__file__).parent
CONTRAST = (FOLDER / "contrast.js").read_text("utf-8")
WIDTHS = {"phone": 390, "desk": 1280}
#: Sources are all made alike: these have the longest lines and names among them.
SOURCES = (
    "_modules/index.html",
    "_modules/refode/sweeps/runge_kutta.html",
    "_modules/refode/problems/game.html",
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the site without a line for each request."""

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address():
    handler = functools.partial(Quiet, directory=str(site_pages.site()))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    site_pages.site()
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not program:
        pytest.skip("Chromium is not installed: Debian's package chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as play:
        folder = tmp_path_factory.mktemp("browser")
        context = play.chromium.launch_persistent_context(
            str(folder), executable_path=program, headless=True, args=FLAGS
        )
        yield context
        context.close()


def names():
    """Every page, of the sources a few."""
    site = site_pages.site()
    every = [file.relative_to(site).as_posix() for file in sorted(site.rglob("*.html"))]
    return [n for n in every if not n.startswith("_modules/")] + [n for n in SOURCES if n in every]


class Watched:
    """A page, and what went wrong in it."""

    def __init__(self, context, address):
        self.page = context.new_page()
        self.page.emulate_media(color_scheme="light", reduced_motion="reduce")
        self.resize("desk")
        self.said: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("response", self._response)
        self.address = address
        self.page.route("**/*", self._route)

    def resize(self, kind):
        self.page.set_viewport_size({"width": WIDTHS[kind], "height": 844})

    def _console(self, message):
        if message.type in ("error", "warning"):
            self.said.append(f"console: {message.text}")

    def _response(self, response):
        if response.status >= 400:
            self.said.append(f"{response.status}: {response.url}")

    def _route(self, route):
        url = route.request.url
        if url.startswith((self.address, "data:", "blob:")):
            route.continue_()
        else:
            self.said.append(f"asked another host: {url}")
            route.abort()

    def open(self, name):
        self.said.clear()
        self.page.goto(f"{self.address}/{name}", wait_until="load")
        return self.page


#: What reaches beyond the window, and is not in a box that scrolls.
STICKS_OUT = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const wide = [...document.querySelectorAll("article *")].filter(
    (e) => e.getBoundingClientRect().right > width + 1);
  return [`${document.documentElement.scrollWidth} > ${width}`,
    ...wide.slice(0, 5).map((e) => e.outerHTML.slice(0, 120))];
}"""


def faults(watched, name):
    """A page as a phone has it, then as a desk has it, then there in the dark."""
    watched.resize("phone")
    page = watched.open(name)
    found = page.evaluate(STICKS_OUT)
    watched.resize("desk")
    found += page.evaluate(STICKS_OUT) + page.evaluate(CONTRAST)
    page.emulate_media(color_scheme="dark")
    found += [f"dark: {line}" for line in page.evaluate(CONTRAST)]
    page.emulate_media(color_scheme="light")
    return [*watched.said, *found]


def test_pages(browser, address):
    watched = Watched(browser, address)
    pages = names()
    assert len(pages) > 50
    wrong = {name: found for name in pages if (found := faults(watched, name))}
    watched.page.close()
    assert wrong == {}


def test_search_finds(browser, address):
    watched = Watched(browser, address)
    page = watched.open("search.html?q=tableau")
    page.wait_for_selector("ul.search li a", timeout=20000)
    assert page.locator("ul.search li").count() > 3
    assert watched.said == []
    page.close()


def test_names_in_tables_stay_whole_on_a_phone(browser, address):
    watched = Watched(browser, address)
    watched.resize("phone")
    broken = """() => [...document.querySelectorAll("article td code")].filter(
      (e) => /^[\\w.]+$/.test(e.innerText) && e.getClientRects().length > 1
    ).map((e) => e.innerText)"""
    for name in ("estimators.html", "coming_from.html", "saving.html"):
        page = watched.open(name)
        assert page.locator("article td code").count() > 5
        assert page.evaluate(broken) == []
    page.close()


def test_mathematics_is_drawn_with_its_own_letters(browser, address):
    page = Watched(browser, address).open("equations_solvers.html")
    page.evaluate("() => document.fonts.ready")
    loaded = "() => [...document.fonts].filter(f => f.status == 'loaded').map(f => f.family)"
    assert any("refode math" in family for family in page.evaluate(loaded))
    height = "e => e.getBoundingClientRect().height"
    assert page.locator("div.equation math").first.evaluate(height) > 30  # a sum with its limits
    page.close()


BAD = {
    "console": ("<script>console.error('x')</script>", "console: x"),
    "host": ("<img src='http://example.invalid/x.png'>", "asked another host"),
    "file": ("<img src='nothing.png'>", "404"),
    "wide": ("<article><div style='width:3000px'>x</div></article>", "3000"),
    "grey": ("<p style='color:#999;background:#fff'>pale</p>", "pale"),
    "dark": (
        "<style>p{color:#333} @media(prefers-color-scheme:dark){body{background:#111}}</style><p>x",
        "dark: contrast",
    ),
    "clear": ("<p style='color:#333;background:#fff'>dark</p>", ""),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_wrong_is_seen(browser, tmp_path, kind):
    text, wanted = BAD[kind]
    (tmp_path / "a.html").write_text(f"<!doctype html><link rel=icon href='data:,'>{text}")
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        watched = Watched(browser, f"http://127.0.0.1:{server.server_port}")
        found = faults(watched, "a.html")
        watched.page.close()
        server.shutdown()
    if wanted:
        assert any(wanted in line for line in found), found
    else:
        assert found == []
