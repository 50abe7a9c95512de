"""The public functions, classes and methods: what docs/api/ lists, by walking it."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

PAGES = Path(__file__).parents[2] / "docs" / "api"
DIRECTIVE = re.compile(r"\.\. auto(module|class|function):: (\S+)((?:\n +:.*)*)")
#: Methods that come from Python's own classes, or are no calls.
FOREIGN = ("add_note", "with_traceback", "count", "index", "from_bytes", "mro")


class Public(NamedTuple):
    """A callable with its public name; ``owner`` is the class of a method."""

    name: str
    function: Callable[..., Any]
    owner: type | None = None

    @property
    def method(self) -> str:
        return self.name.rpartition(".")[2]


def surface() -> dict[str, Public]:
    """Every public callable by its full name; classes stand for their constructors."""
    found: dict[str, Public] = {}
    text = "\n".join(page.read_text("utf-8") for page in sorted(PAGES.glob("*.md")))
    for kind, name, options in DIRECTIVE.findall(text):
        if name.startswith("refode.cuda.") and not _cuda_is_there():
            continue
        for full, value in _members(kind, name, options):
            if inspect.isclass(value):
                found |= {each.name: each for each in _class(full, value)}
            elif callable(value):
                found[full] = Public(full, value)
    return found


@functools.cache
def _cuda_is_there() -> bool:
    """Whether numba-cuda can be imported: it wants NVIDIA's runtime, which few machines have."""
    try:
        importlib.import_module("numba.cuda")
    except Exception:  # of several libraries' own
        return False
    return True


def _members(kind: str, name: str, options: str) -> Iterator[tuple[str, Any]]:
    if kind != "module":
        home, _, last = name.rpartition(".")
        yield name, getattr(importlib.import_module(home), last)
        return
    module = importlib.import_module(name)
    names = getattr(module, "__all__", None) or [
        n
        for n, v in vars(module).items()
        if not n.startswith("_") and callable(v) and getattr(v, "__module__", None) == name
    ]
    chosen = re.search(r":members: *(\S.*)", options)
    if chosen:
        names = [n.strip() for n in chosen.group(1).split(",")]
    for each in names:
        yield f"{name}.{each}", getattr(module, each)


def _class(full: str, kind: type) -> Iterator[Public]:
    if not inspect.isabstract(kind) and not issubclass(kind, Exception):
        yield Public(full, kind)
    for name in dir(kind):
        if name.startswith("_") or name in FOREIGN:
            continue
        value = inspect.getattr_static(kind, name)
        if isinstance(value, property) or not callable(getattr(kind, name)):
            continue
        if inspect.isclass(getattr(kind, name)):
            continue
        yield Public(f"{full}.{name}", getattr(kind, name), kind)
