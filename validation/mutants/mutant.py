"""A planted bug, and a process that has it.

A mutant is one edit of one module of the kernels, made in memory, in a process of its own,
before the module is first imported: no file changes.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from validation.mutants.finder import Finder

#: The environment variable that names a mutant to `adapter`.
VARIABLE = "REFODE_MUTANT"
#: What is imported anew where a mutant is planted: rooms and modules of the kernels.
ROOMS = (
    "machine",
    "fields",
    "sweeps",
    "costs",
    "games",
    "ode",
    "problems",
    "bases",
    "_splines",
    "_sparse",
    "densities",
    "_tableau",
    "tableaus",
    "packing",
    "training",
)
ADAPTER = "refode.reference.kernels"


@dataclass(frozen=True)
class Mutant:
    """A planted bug.

    Attributes
    ----------
    name, about : str
    module : str
        Without "refode.", such as "costs.supervised".
    old, new : str
        Text that occurs exactly once in the module, and what replaces it.
    expected : tuple of (str, str)
        Keys of a first finding that names it rightly, each with words that its sentence must
        contain; the words may be "".
    quantity : str
        Where only the place is found: the first quantity to be wrong.
    more : tuple of (str, str) or (str, str, str)
        Further edits that belong to the same bug: texts of the same module, or of one that is
        named before them.
    test : str
        Node of pytest that it has to turn red; "" for what golden cases are held to.
    """

    name: str
    about: str
    module: str
    old: str
    new: str
    expected: tuple[tuple[str, str], ...]
    quantity: str = ""
    more: tuple[tuple[str, ...], ...] = ()
    test: str = ""

    def edits(self) -> list[tuple[str, str, str]]:
        """Module, old and new text of every edit."""
        found = [(self.module, self.old, self.new)]
        for edit in self.more:
            module, old, new = (self.module, *edit)[-3:]
            found.append((module, old, new))
        return found

    def sources(self) -> dict[str, str]:
        """Texts of the modules that have the bug, by full name.

        Raises
        ------
        ValueError
            An old text does not occur exactly once, or a module is none of the kernels'.
        """
        found: dict[str, str] = {}
        for module, old, new in self.edits():
            name = f"refode.{module}"
            text = found.get(name) or _text(name, anywhere=bool(self.test))
            if (count := text.count(old)) != 1:
                raise ValueError(f"old: got {count} occurrences of {old!r} in {module}, wanted one")
            found[name] = text.replace(old, new)
        return found


def _text(name: str, anywhere: bool = False) -> str:
    """A module's text."""
    if not (anywhere or _replaced(name)):
        raise ValueError(f"module: got {name!r}, wanted one of the kernels'")
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ValueError(f"module: got {name!r}, wanted one that can be imported")
    return Path(spec.origin).read_text(encoding="utf-8")


# --- in the process that has the bug ---------------------------------------------------------


def plant(mutant: Mutant) -> ModuleType:
    """Plant a bug in this process; returns the kernels' own adapter, imported with it.

    Whatever is imported of the kernels already is forgotten and imported anew. Not meant for
    a process that goes on to do anything else.

    Raises
    ------
    ValueError
        The text to be replaced does not occur exactly once.
    RuntimeError
        The module was imported by something that is not forgotten.
    """
    finder = Finder(mutant.sources())
    _forget()
    sys.meta_path.insert(0, finder)
    for name in finder.texts:
        importlib.import_module(name)
    if finder.used != set(finder.texts):
        raise RuntimeError(f"{mutant.module}: it was imported before the bug was planted")
    return importlib.import_module(ADAPTER)


def _replaced(name: str) -> bool:
    parts = name.split(".")
    return name in (ADAPTER, "refode.reference.compare") or (
        parts[0] == "refode" and len(parts) > 1 and parts[1] in ROOMS
    )


def _forget() -> None:
    """Take the kernels' modules out of sys.modules and out of their packages."""
    for name in [n for n in sys.modules if _replaced(n)]:
        del sys.modules[name]
        parent, _, child = name.rpartition(".")
        vars(sys.modules[parent]).pop(child, None) if parent in sys.modules else None
    package = sys.modules["refode"]
    for name in package._HOMES:  # public names that were used and kept
        vars(package).pop(name, None)
