"""Planted bugs: does `refode check` catch them, does it name them, does `refode.verify` see them?

A mutant is one edit of one module of the kernels, made in memory, in a process of its own,
before the module is first imported: no file changes. The process then answers golden cases as
any other implementation does (worker.py), so that what is tried here is what users run.
docs/mutations.md says what is planted and what came of it.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np

from refode import _validate
from refode.check.case import Case
from refode.check.outcome import INVALID, WRONG, Finding, Outcome
from refode.check.process import Process

#: The environment variable that names a mutant to `adapter`.
VARIABLE = "REFODE_MUTANT"
#: Seconds that a case, or one gradient check, may take as plain Python.
TIMEOUT = 180.0
#: What is imported anew where a mutant is planted: rooms and modules of the kernels.
ROOMS = ("fields", "solvers", "costs", "problems", "bases", "densities", "activations", "games",
         "tableaus", "packing", "training")  # fmt: skip
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
    more : tuple of (str, str)
        Further edits of the same module that belong to the same bug.
    """

    name: str
    about: str
    module: str
    old: str
    new: str
    expected: tuple[tuple[str, str], ...]
    quantity: str = ""
    more: tuple[tuple[str, str], ...] = ()

    @property
    def module_name(self) -> str:
        """The module's full name."""
        return f"refode.{self.module}"

    def source(self) -> str:
        """The module's text with the bug.

        Raises
        ------
        ValueError
            The old text does not occur exactly once, or the module is none of the kernels'.
        """
        if not _replaced(self.module_name):
            raise ValueError(f"module: got {self.module!r}, wanted one of the kernels'")
        spec = importlib.util.find_spec(self.module_name)
        if spec is None or spec.origin is None:
            raise ValueError(f"module: got {self.module!r}, wanted one that can be imported")
        text = Path(spec.origin).read_text(encoding="utf-8")
        for old, new in ((self.old, self.new), *self.more):
            if (count := text.count(old)) != 1:
                raise ValueError(
                    f"old: got {count} occurrences of {old!r} in {self.module}, wanted one"
                )
            text = text.replace(old, new)
        return text


def catalogue() -> dict[str, Mutant]:
    """All mutants by name.

    Raises
    ------
    ValueError
        Two have the same name.
    """
    from refode.check.mutant_list import MUTANTS

    found = {m.name: m for m in MUTANTS}
    if len(found) < len(MUTANTS):
        raise ValueError(f"names: got one twice among {[m.name for m in MUTANTS]}")
    return found


# --- in the process that has the bug ---------------------------------------------------------


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles a module from text other than its file's."""

    text = ""

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.get_filename(fullname), "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module, with other text."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text, self.used = name, text, False

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname != self.name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        assert spec is not None
        assert spec.origin is not None
        loader = _Loader(fullname, spec.origin)
        loader.text = self.text
        spec.loader = loader
        self.used = True
        return spec


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
    finder = _Finder(mutant.module_name, mutant.source())
    _forget()
    sys.meta_path.insert(0, finder)
    importlib.import_module(mutant.module_name)
    if not finder.used:
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


class adapter:  # noqa: N801  a target's name, as "module:adapter"
    """The kernels with the bug that `VARIABLE` names, or as they are where it is not set."""

    precision = "float64"

    def __init__(self) -> None:
        name = os.environ.get(VARIABLE, "")
        if name:
            np.seterr(all="ignore")  # a bug may divide by zero; what comes of it is judged
            warnings.simplefilter("ignore")
            mutant = catalogue()[_validate.choice(VARIABLE, name, tuple(catalogue()))]
            self.kernels = plant(mutant)
        else:
            self.kernels = importlib.import_module(ADAPTER)

    def results(self, case: Case) -> dict[str, Any]:
        """All quantities of a case."""
        found: dict[str, Any] = self.kernels.results(case.document)
        return found

    def gradient_check(self, name: str, hessian: bool) -> dict[str, Any]:
        """See `refode.check.mutant_gradients.examined`."""
        from refode.check.mutant_gradients import examined

        return examined(self.kernels, name, hessian)


# --- what came of them -----------------------------------------------------------------------


@dataclass(frozen=True)
class GradientCheck:
    """`refode.verify` on one case of a mutant, without any golden number.

    Attributes
    ----------
    case : str
    error : float
        Of the gradient, relative to the derivative of what the mutant computes, by differences
        in every parameter; of the Hessian-vector product where only that is wrong.
    doubt : float
        What the differences may be off by, relative.
    power : float
        The smallest relative error, of any shape, that `check_gradient` said it would see.
    failed : bool
        Whether `check_gradient` said "failed".
    """

    case: str
    error: float
    doubt: float
    power: float
    failed: bool

    @property
    def wrong(self) -> bool:
        """Whether the gradient is not that of the value, beyond doubt and above the power."""
        return not math.isfinite(self.error) or self.error - self.doubt > self.power


@dataclass
class Result:
    """What came of a mutant.

    Attributes
    ----------
    mutant : Mutant
    n_wrong, n_cases : int
        Arrays that `refode check` found wrong or invalid, and cases with any.
    caught : bool
    findings : list of Finding
    naming : {"named", "localised", "no", ""}
        What the first finding says; "" where nothing was caught.
    gradients : list of GradientCheck
    seconds : float
    """

    mutant: Mutant
    n_wrong: int = 0
    n_cases: int = 0
    caught: bool = False
    findings: list[Finding] = field(default_factory=list)
    naming: str = ""
    gradients: list[GradientCheck] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def gradient_wrong(self) -> bool:
        """Whether value and gradient are not of one function in some case."""
        return any(g.wrong for g in self.gradients)

    @property
    def verify(self) -> str:
        """What `refode.verify` alone makes of it."""
        wrong = [g for g in self.gradients if g.wrong]
        if wrong:
            return "caught" if all(g.failed for g in wrong) else "missed"
        if any(g.failed for g in self.gradients):
            return "false alarm"
        return "another function" if self.gradients else "no gradient"


def suite(
    names: Sequence[str] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    workers: int = 2,
) -> list[Result]:
    """Plant bugs, one after another, and see what finds them.

    Parameters
    ----------
    names : sequence of str, optional
        Of mutants; all by default.
    progress : callable, optional
        ``progress(name, done, total)`` as each is done.
    workers : int, optional
        Processes at a time.

    Returns
    -------
    list of Result
        In the order of the names.

    Raises
    ------
    ValueError
        An unknown name.
    """
    known = catalogue()
    chosen = [known[_validate.choice("names", n, tuple(known))] for n in names or known]
    workers = _validate.positive_int("workers", workers)
    found = []
    with ThreadPoolExecutor(workers) as pool:
        for result in pool.map(examine, chosen):
            found.append(result)
            if progress:
                progress(result.mutant.name, len(found), len(chosen))
    return found


def examine(mutant: Mutant) -> Result:
    """Check one mutant in a process of its own."""
    began = time.perf_counter()
    environment = {VARIABLE: mutant.name, "NUMBA_DISABLE_JIT": "1", "OMP_NUM_THREADS": "1",
                   "OPENBLAS_NUM_THREADS": "1"}  # fmt: skip
    process = Process("refode.check.mutants:adapter", TIMEOUT, environment)
    try:
        outcome = _checked(process)
        failing = outcome.failing()
        result = Result(
            mutant, len(failing), len({row.case for row in failing}), bool(failing),
            outcome.findings, named(mutant, outcome),
        )  # fmt: skip
        result.gradients = list(_gradients(process, outcome))
    finally:
        process.close()
    result.seconds = time.perf_counter() - began
    return result


def _checked(process: Any) -> Outcome:
    from refode.check.run import check

    return check(process)


def named(mutant: Mutant, outcome: Outcome) -> str:
    """Whether the first finding names the mutant, or points to the place, or neither."""
    if not outcome.failing():
        return ""
    if not outcome.findings:
        return "no"
    first = outcome.findings[0]
    if any(first.key == key and words in first.sentence for key, words in mutant.expected):
        return "named"
    if first.key == "first-wrong" and first.sentence.startswith(f"{mutant.quantity} is the first"):
        return "localised"
    return "no"


# --- without golden numbers ------------------------------------------------------------------

#: Cases on which a mutant's gradients are checked: one of each kind, and so many in all.
LEAST = 2


def _gradients(process: Process, outcome: Outcome) -> Iterator[GradientCheck]:
    """The smallest cases of every kind that the mutant changes, by `refode.verify` alone."""
    for name, hessian in _affected(outcome):
        found = process.call("gradient_check", name, hessian)
        error, doubt, power, failed = (float(found[k]) for k in ("error", "doubt", "power",
                                                                "failed"))  # fmt: skip
        yield GradientCheck(name, error, doubt, power, bool(failed))


def _affected(outcome: Outcome) -> Iterable[tuple[str, bool]]:
    """Names of cases, and whether only second derivatives are wrong in it."""
    from refode.reference import files

    wrong: dict[str, set[str]] = {}
    for row in outcome.rows:
        if row.verdict in (WRONG, INVALID):
            wrong.setdefault(row.case, set()).add(row.name)
    derivatives = {"gradient", "hessian_vector", "theta_bar", "x_bar"}
    documents = {name: files.case(name) for name in wrong}

    def order(name: str) -> tuple[bool, int]:
        return not wrong[name] & derivatives, len(str(documents[name]["inputs"]))

    ordered = sorted(wrong, key=order)
    kinds = {name: documents[name]["problem"]["type"] for name in ordered}
    firsts = [next(n for n in ordered if kinds[n] == k) for k in dict.fromkeys(kinds.values())]
    others = [name for name in ordered if name not in firsts]
    for name in [*firsts, *others[: max(0, LEAST - len(firsts))]]:
        yield name, wrong[name] == {"hessian_vector"}
