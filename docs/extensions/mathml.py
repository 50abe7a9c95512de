"""Mathematics as MathML, written when the site is built: readable offline and without scripts.

Browsers draw it themselves. An equation with a ``\\tag`` gets its number, which links to itself.
"""

from __future__ import annotations

import re
from html import escape

from docutils.nodes import SkipNode
from equation_index import TAG, anchor
from math_core import LatexToMathML
from sphinx.errors import ExtensionError

#: What the pages write otherwise than the converter reads. A large bracket with an index of its own
#: would stay small in Chromium: the index goes to an empty group after it.
DIALECT = [
    (re.compile(r"\\cr(?![A-Za-z])"), r"\\\\"),
    (re.compile(r"\\tag\{.*?\}"), ""),
    (re.compile(r"(\\[Bb]igg?[lr]?\s*[)\]])(?=[_^])"), r"\1{}"),
]
CONVERTER = LatexToMathML(annotation=True, fancy_error=False)


def converted(latex: str, displaystyle: bool) -> str:
    """MathML; what cannot be read is an error of the build and not red letters in a page."""
    for pattern, text in DIALECT:
        latex = pattern.sub(text, latex)
    try:
        return CONVERTER.convert_with_local_state(latex.strip(), displaystyle=displaystyle)
    except Exception as error:
        raise ExtensionError(f"mathml: {latex!r}: {error}") from error


def visit_inline(translator, node):
    translator.body.append(converted(node.astext(), displaystyle=False))
    raise SkipNode


def visit_block(translator, node):
    numbers = TAG.findall(node.astext())
    given = node["ids"][:1] if node["ids"] != node.parent.get("ids") else []  # Furo wraps, ids too
    attributes = "".join(f' id="{escape(i)}"' for i in given)
    translator.body.append(f'<div class="equation"{attributes}><div class="formula">')
    translator.body.append(converted(node.astext(), displaystyle=True))
    translator.body.append("</div>")
    for number in numbers:
        translator.body.append(f'<a class="eqno" href="#{anchor(number)}">({number})</a>')
    translator.body.append("</div>\n")
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
