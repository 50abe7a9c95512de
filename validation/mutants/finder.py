"""Modules compiled from changed text as they are imported: no file changes.

Nothing of this package, nor of refode, is imported here: whoever imports either has its modules.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
from types import CodeType
from typing import Any


class Loader(importlib.machinery.SourceFileLoader):
    """Compiles a module from text other than its file's."""

    text = ""

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.get_filename(fullname), "exec", dont_inherit=True)


class Finder(importlib.abc.MetaPathFinder):
    """Finds modules whose texts are given."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts
        self.used: set[str] = set()

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname not in self.texts:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        assert spec is not None
        assert spec.origin is not None
        loader = Loader(fullname, spec.origin)
        loader.text = self.texts[fullname]
        spec.loader = loader
        self.used.add(fullname)
        return spec
