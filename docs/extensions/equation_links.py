"""Equations link to their code, and whatever says an equation's number links to it.

Tagged equations get ids, numbers in running text become references, "Code:" with links is put
below each equation, and the sources that viewcode shows get anchors and links back.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from docutils import nodes
from equation_index import (
    MENTION,
    TAG,
    Place,
    anchor,
    code_of,
    equations_of,
    located,
    modules,
    tagged,
)
from sphinx.pycode import ModuleAnalyzer
from sphinx.transforms import SphinxTransform

#: Rooms whose code repeats what others compute: listed behind a fold.
REPEATS = ("refode.check.", "refode.cuda.", "refode.reference.", "refode.reports.")
#: Where a number stays plain text.
PLAIN = (
    nodes.FixedTextElement,
    nodes.literal,
    nodes.math,
    nodes.math_block,
    nodes.raw,
    nodes.reference,
    nodes.title,
    nodes.comment,
)
DOTTED = re.compile(r"refode(\.\w+)+\Z")


# --- when a page is read ------------------------------------------------------------------


class NameEquations(SphinxTransform):
    """Every tagged equation is a target that references can name."""

    default_priority = 20

    def apply(self, **kwargs):
        for block in list(self.document.findall(nodes.math_block)):
            for number in TAG.findall(block.astext()):
                block["names"].append(anchor(number).lower())
                block["ids"].append(anchor(number))
                self.document.ids[anchor(number)] = block
                self.document.nametypes[anchor(number).lower()] = True
                self.document.nameids[anchor(number).lower()] = anchor(number)
                block.parent.insert(block.parent.index(block) + 1, CodeBelow(number=number))


class CodeBelow(nodes.General, nodes.Element):
    """Stands for the links to an equation's code until all pages are known."""


class LinkNumbers(SphinxTransform):
    """(D21) in running text, docstrings among it, is a reference to the equation."""

    default_priority = 210  # after substitutions, before references are collected

    def apply(self, **kwargs):
        known = tagged()
        for text in list(self.document.findall(nodes.Text)):
            if _is_plain(text) or not MENTION.search(text):
                continue
            text.parent.replace(text, list(self._parts(text.astext(), known)))

    def _parts(self, text, known):
        end = 0
        for found in MENTION.finditer(text):
            number = next(filter(None, found.groups()))
            if number not in known:
                raise ValueError(f"{self.env.docname}: no equation ({number}) in the pages")
            yield nodes.Text(text[end : found.start()])
            yield EquationReference("", f"({number})", number=number)
            end = found.end()
        yield nodes.Text(text[end:])


class EquationReference(nodes.Inline, nodes.TextElement):
    """A mention, until all pages are known."""


def _is_plain(node):
    while node.parent is not None:
        node = node.parent
        if isinstance(node, PLAIN) or node.tagname.startswith("desc_sig"):
            return True
    return False


# --- when all pages are known -------------------------------------------------------------


def resolve(app, doctree, docname):
    """Turn what stands for links into links."""
    if app.builder.format != "html":
        for kind in (EquationReference, CodeBelow):
            for node in list(doctree.findall(kind)):
                node.parent.replace(node, node.children)
        return
    uri = app.builder.get_relative_uri
    pages = tagged()
    for node in list(doctree.findall(EquationReference)):
        number = node["number"]
        to = f"{uri(docname, pages[number])}#{anchor(number)}"
        node.parent.replace(node, _link(f"({number})", to, "equation-link"))
    for node in list(doctree.findall(CodeBelow)):
        node.parent.replace(node, _below(app, docname, code_of()[node["number"]]))
    for node in list(doctree.findall(nodes.literal)):
        _link_name(app, docname, node)


def _link(text, uri, *classes):
    return nodes.reference("", text, refuri=uri, internal=True, classes=list(classes))


def source_uri(app, docname, place):
    """The line of the source page where a place begins."""
    page = posixpath.join("_modules", place.module.replace(".", "/"))
    return app.builder.get_relative_uri(docname, page) + (f"#{place.name}" if place.name else "")


def _below(app, docname, places):
    """One line of links; what repeats the formula elsewhere behind a fold."""
    if not places:
        return []
    first = [p for p in places if not p.module.startswith(REPEATS)] or places
    exact = [p for p in first if p.name]
    within = {p.module for p in exact}
    first = exact + [p for p in first if not p.name and p.module not in within]
    rest = [p for p in places if p not in first]
    line = nodes.container(classes=["equation-code"])
    line += _names(app, docname, "Code: ", first)
    if rest:
        line += nodes.raw("", "<details><summary>also</summary>", format="html")
        line += _names(app, docname, "", rest)
        line += nodes.raw("", "</details>", format="html")
    return line


def _names(app, docname, before, places):
    paragraph = nodes.paragraph("", before)
    for i, place in enumerate(places):
        if i:
            paragraph += nodes.Text(", ")
        link = _link("", source_uri(app, docname, place))
        short = place.dotted.removeprefix("refode.")
        link += nodes.literal("", short)
        paragraph += link
    return paragraph


def _link_name(app, docname, node):
    """`refode.a.b` in a page is a link to the API where it is listed, else to the source."""
    name = node.astext()
    if isinstance(node.parent, nodes.reference) or not DOTTED.match(name):
        return
    listed = app.env.get_domain("py").objects.get(name)
    place = located(name)
    if listed:
        uri = f"{app.builder.get_relative_uri(docname, listed.docname)}#{listed.node_id}"
    elif place:
        uri = source_uri(app, docname, place)
        _show_source(app, place.module)
    else:
        return
    link = nodes.reference("", "", refuri=uri, internal=True)
    node.parent.replace(node, link)
    link += node


# --- sources ------------------------------------------------------------------------------


def _show_source(app, module):
    """Have viewcode make the page of a module that the API does not list."""
    shown = app.env.__dict__.setdefault("_viewcode_modules", {})
    if not shown.get(module):
        analyzer = ModuleAnalyzer.for_file(modules()[module], module)
        analyzer.find_tags()
        shown[module] = analyzer.code, analyzer.tags, {}, module


def show_sources(app, env):
    """Every module that an equation is linked with has a page."""
    for module in {place.module for place in equations_of()}:
        _show_source(app, module)


def take_links_back(app):
    """Before viewcode writes: its marks would shift lines, so this page puts its own."""
    app.refode_documented = {}
    for module, entry in getattr(app.env, "_viewcode_modules", {}).items():
        if entry:
            code, tags, used, name = entry
            # a page is written anew only where its module has changed, and the equations may have
            page = Path(app.outdir, "_modules", *module.split(".")).with_suffix(".html")
            page.unlink(missing_ok=True)
            app.refode_documented[module] = tags, used, name
            app.env._viewcode_modules[module] = code, tags, {}, name
    return ()


def mark_source(app, pagename, templatename, context, doctree):
    """Anchors for all that is defined, links to the API and to equations."""
    if not pagename.startswith("_modules/refode"):
        return
    module = context["title"]
    tags, used, refname = app.refode_documented[module]
    lines = context["body"].split("\n")
    first = next(i for i, line in enumerate(lines) if line.endswith("<pre>"))
    uri = app.builder.get_relative_uri
    for i in range(first + 1, len(lines)):
        lines[i] = _linked(lines[i], lambda number: _equation(uri, pagename, number))
    for name, (kind, start, _) in tags.items():
        if kind not in ("class", "def"):
            continue
        marks = [_equation(uri, pagename, n) for n in equations_of().get(Place(module, name), ())]
        if name in used:
            back = f"{uri(pagename, used[name])}#{refname}.{name}"
            marks.insert(0, f'<a class="viewcode-back" href="{back}">[docs]</a>')
        line = first + start
        lines[line] = f'<span id="{name}"></span>{lines[line]}'
        if marks:
            lines[line] += f'<span class="source-marks">{" ".join(marks)}</span>'
    own = equations_of().get(Place(module), ())
    if own:
        links = " ".join(_equation(uri, pagename, number) for number in own)
        lines[first] = lines[first].replace("<pre>", f"<p>Equations: {links}</p><pre>", 1)
    context["body"] = "\n".join(lines)


def _equation(uri, pagename, number):
    to = f"{uri(pagename, tagged()[number])}#{anchor(number)}"
    return f'<a class="equation-link" href="{to}">({number})</a>'


TEXT = re.compile(r'(<span class="(?:c1|sd|sx|s2)">)(.*?)(</span>)')


def _linked(line, link):
    def within(match):
        text = MENTION.sub(lambda m: link(next(filter(None, m.groups()))), match[2])
        return match[1] + text + match[3]

    return TEXT.sub(within, line)


def setup(app):
    app.add_node(CodeBelow)
    app.add_node(EquationReference)
    app.add_transform(NameEquations)
    app.add_transform(LinkNumbers)
    app.connect("env-updated", show_sources)
    app.connect("doctree-resolved", resolve)
    app.connect("html-collect-pages", take_links_back, priority=100)
    app.connect("html-page-context", mark_source)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
