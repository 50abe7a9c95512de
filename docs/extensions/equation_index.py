"""Which equation lies on which page, and which code computes it: read from the texts alone.

An equation is a ``\\tag{D21}`` in a page. Code belongs to it where a comment or a docstring says
its number, where its page says "Computed by" after it, or, for want of either, by the table of
docs/equations.md. Nothing here imports refode, so code for devices is read as any other.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
PACKAGE = ROOT / "refode"
SURVEY = range(1, 26)
NUMBER = r"D\d+[a-z]?"
TAG = re.compile(rf"\\tag\{{({NUMBER}|\d+)\}}")
#: (D21), or (13) after a space or a dash: f(2) is a call, and (1) alone a label of data or a shape.
MENTION = re.compile(
    rf"\(({NUMBER})\)|(?:(?<=eq\. )|(?<=eqs\. ))\((1)\)|\((1)\)(?=[-–]\()"
    r"|(?<![^\s\-–,*;])\(([2-9]|1\d|2[0-5])\)"
)
RANGE = re.compile(rf"\(({NUMBER}|\d+)\)\s*[-–]\s*\(({NUMBER}|\d+)\)")
CLAIM = re.compile(r"[Cc]omputed\s+by\b(.*?)(?:\.\s|\.?\s*\Z|;)", re.S)
QUOTED = re.compile(r"`([A-Za-z_][\w.]*)`")
ROW = re.compile(r"\| (\(.*?) \| \[.*?\]\(\w+\.md\) \| (.*) \|")


@dataclass(frozen=True, order=True)
class Place:
    """A module of refode, and what is defined in it; no name means the module itself."""

    module: str
    name: str = ""

    @property
    def dotted(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


def anchor(number: str) -> str:
    """The id of an equation in its page."""
    return f"eq-{number}"


def order(number: str) -> tuple[bool, int, str]:
    """D93a comes after D93."""
    return number[0] == "D", int(re.sub(r"\D", "", number)), number


def pages() -> list[Path]:
    """The sources of pages, without those that are made."""
    made = {"_build", "gallery"}
    found = DOCS.rglob("*.md")
    return sorted(p for p in found if not made & set(p.relative_to(DOCS).parts))


def tagged() -> dict[str, str]:
    """The page of every equation: its name within docs, without the suffix."""
    names = {page: page.relative_to(DOCS).with_suffix("").as_posix() for page in pages()}
    found = {
        number: n for page, n in names.items() for number in TAG.findall(page.read_text("utf-8"))
    }
    return {number: found[number] for number in sorted(found, key=order)}


def spoken_of(text: str) -> set[str]:
    """Numbers that a text mentions; (D98)-(D102) means all five."""
    found = {next(filter(None, m.groups())) for m in MENTION.finditer(text)}
    for first, last in RANGE.findall(text):
        letter = "D" if first[0] == "D" else ""
        ends = (re.sub(r"\D", "", end) for end in (first, last))
        low, high = map(int, ends)
        found |= {f"{letter}{i}" for i in range(low, high + 1)}
    return found


# --- the package's texts ------------------------------------------------------------------


def module_of(file: Path) -> str:
    """refode/ode/__init__.py is refode.ode."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """The file of every module of refode."""
    return {module_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}


@cache
def tree(module: str) -> ast.Module:
    """The module, parsed."""
    return ast.parse(modules()[module].read_text("utf-8"))


def definitions(node: ast.AST, prefix: str = ""):
    """(name, node) of every function and class within, outer ones first."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            name = prefix + child.name
            yield name, child
            if isinstance(child, ast.ClassDef):
                yield from definitions(child, f"{name}.")
        elif isinstance(child, ast.If | ast.Try | ast.With):
            yield from definitions(child, prefix)


def comments(source: str):
    """(line, text) of runs of comments; a run right above a definition belongs to it."""
    run: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        if run and line != run[-1][0] + 1:
            yield run[-1][0], " ".join(text for _, text in run)
            run = []
        run.append((line, token.string.lstrip("#: ")))
    if run:
        yield run[-1][0], " ".join(text for _, text in run)


def docstrings(module: ast.Module):
    """(line, text) of every string that stands by itself."""
    for node in ast.walk(module):
        value = node.value if isinstance(node, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield node.lineno, value.value


def mentions() -> dict[str, set[Place]]:
    """Where the package's docstrings and comments speak of each number."""
    found: dict[str, set[Place]] = defaultdict(set)
    for module, file in modules().items():
        source = file.read_text("utf-8")
        inside = [
            (min([n.lineno, *(d.lineno for d in n.decorator_list)]) - 1, n.end_lineno, name)
            for name, n in definitions(tree(module))
        ]
        for line, text in [*comments(source), *docstrings(tree(module))]:
            numbers = spoken_of(text)
            if numbers:
                names = [name for first, last, name in inside if first <= line <= last]
                place = Place(module, names[-1] if names else "")
                for number in numbers:
                    found[number].add(place)
    return found


# --- names in pages -----------------------------------------------------------------------


def _source_of(module: str, name: str) -> str | None:
    """Where ``from X import name`` in a module takes a name from, as a dotted name."""
    for node in ast.walk(tree(module)):  # also what only checkers of types import
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return f"{node.module}.{alias.name}"
    return None


def _inherited(module: str, cls: ast.ClassDef, method: str) -> Place | None:
    for base in cls.bases:
        if isinstance(base, ast.Name):
            found = located(f"{module}.{base.id}.{method}")
            if found and found.name.endswith(f".{method}"):
                return found
    return None


def located(dotted: str) -> Place | None:
    """Where refode.a.b.name is defined, through imports and base classes; None: nowhere."""
    parts = dotted.split(".")
    for n in range(len(parts), 0, -1):
        module = ".".join(parts[:n])
        if module in modules():
            return _within(module, parts[n:])
    return None


def _within(module: str, rest: list[str]) -> Place | None:
    if not rest:
        return Place(module)
    known = dict(definitions(tree(module)))
    name = ".".join(rest)
    if name in known:
        return Place(module, name)
    first = known.get(rest[0])
    if isinstance(first, ast.ClassDef):
        found = _inherited(module, first, ".".join(rest[1:])) if rest[1:] else None
        return found or Place(module, rest[0])
    source = _source_of(module, rest[0])
    if source and source.startswith("refode"):
        return located(".".join([source, *rest[1:]]))
    return Place(module) if _assigned(module, rest[0]) else None


def _assigned(module: str, name: str) -> bool:
    return any(
        isinstance(target, ast.Name) and target.id == name
        for node in tree(module).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    )


def _quoted(text: str) -> set[Place]:
    """Places that a text names; `two` after `refode.a.one` is refode.a.two."""
    found, before = set(), ""
    for name in QUOTED.findall(text):
        place = None
        if name.startswith("refode."):
            place = located(name)
            before = name.rsplit(".", 1)[0]
        elif before:
            place = located(f"{before}.{name}")
        if place:
            found.add(place)
    return found


def claims() -> dict[str, set[Place]]:
    """What pages say computes an equation: "Computed by" between it and the next one."""
    found: dict[str, set[Place]] = {}
    for page in pages():
        first, *parts = TAG.split(page.read_text("utf-8"))
        for number, text in zip(parts[::2], parts[1::2], strict=True):
            found[number] = set().union(*map(_quoted, CLAIM.findall(text)))
    return found


def table() -> dict[str, set[Place]]:
    """Modules of every number by the table of docs/equations.md."""
    found = {}
    for label, names in ROW.findall((DOCS / "equations.md").read_text("utf-8")):
        for number in spoken_of(label.replace("(1)", "eq. (1)")):
            found[number] = _quoted(names)
    return found


@cache
def code_of() -> dict[str, list[Place]]:
    """The code of every equation: said in the code, claimed by its page, else by the table."""
    spoken, claimed, listed = mentions(), claims(), table()
    found = {}
    for number in tagged():
        places = spoken.get(number, set()) | claimed.get(number, set()) or listed.get(number, set())
        found[number] = sorted(places)
    return found


@cache
def equations_of() -> dict[Place, list[str]]:
    """The other way round: the equations of every place."""
    found = defaultdict(list)
    for number, places in code_of().items():
        for place in places:
            found[place].append(number)
    return found
