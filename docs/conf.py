"""Sphinx: ``sphinx-build -W --keep-going docs docs/_build``."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import refode  # noqa: E402  needs the line above

project = "refode"
author = "refode developers"
copyright = "refode developers"
version = release = refode.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
root_doc = "index"

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_typehints = "none"  # the numpydoc sections say it, with shapes
autodoc_member_order = "bysource"

html_theme = "furo" if importlib.util.find_spec("furo") else "alabaster"
html_title = f"refode {release}"


def escape_mathematics(app, what, name, obj, options, lines):
    """Docstrings write |z| and a * b as they are; reStructuredText would read marks in them."""
    for i, line in enumerate(lines):
        parts = re.split(r"(``.*?``|`.*?`)", line)  # quoted code stays as it is
        parts[::2] = [re.sub(r"([|*])", r"\\\1", text) for text in parts[::2]]
        lines[i] = "".join(parts)


def setup(app):
    app.connect("autodoc-process-docstring", escape_mathematics, priority=100)  # before napoleon
