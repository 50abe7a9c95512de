"""Sphinx: ``sphinx-build -W --keep-going docs docs/_build``."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "extensions")]

import refode  # noqa: E402  needs the line above

project = "refode"
author = "refode developers"
copyright = "refode developers"
version = release = refode.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "equation_links",
]
exclude_patterns = ["_build", "tutorials/*.rst", "tutorials/*.py", "**sg_execution_times.rst"]
root_doc = "index"

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_typehints = "none"  # the numpydoc sections say it, with shapes
autodoc_member_order = "bysource"

# docs/tutorials/plot_*.py run when the site is built, and become pages of docs/gallery.
sphinx_gallery_conf = {
    "examples_dirs": ["tutorials"],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"/_",  # what several of them import
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "copyfile_regex": "",
    "download_all_examples": False,
    "image_scrapers": ("matplotlib",),
    "matplotlib_animations": False,
    "min_reported_time": 0,
    "nested_sections": False,
    "plot_gallery": True,
    "remove_config_comments": True,
    "reset_modules": ("matplotlib",),
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "doc_module": (),
    "backreferences_dir": None,
}

# The pages of the GPU path are made where the package numba-cuda is missing, too.
if importlib.util.find_spec("numba_cuda") is None:
    autodoc_mock_imports = ["numba.cuda.np"]

html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["refode.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme = "furo" if importlib.util.find_spec("furo") else "alabaster"
html_title = f"refode {release}"


def escape_mathematics(app, what, name, obj, options, lines):
    """Docstrings write |z| and a * b as they are; reStructuredText would read marks in them."""
    for i, line in enumerate(lines):
        if line.lstrip().startswith((">>> ", "... ")):
            continue  # an example, as it is
        parts = re.split(r"(``.*?``|`.*?`)", line)  # quoted code stays as it is
        parts[::2] = [re.sub(r"([|*])", r"\\\1", text) for text in parts[::2]]
        lines[i] = "".join(parts)


def keep_underscores(app, what, name, obj, options, lines):
    """``theta_`` among a class's attributes would be read as a reference, and lose its end."""
    for i, line in enumerate(lines):
        lines[i] = re.sub(r"^(\s*:(?:ivar|vartype) \w+)_:", r"\1\_:", line)


def setup(app):
    app.connect("autodoc-process-docstring", escape_mathematics, priority=100)  # before napoleon
    app.connect("autodoc-process-docstring", keep_underscores, priority=900)  # and after it
