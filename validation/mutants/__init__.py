"""Planted bugs: does `refode check` catch them, does it name them, does `refode.verify` see them?

A process that has a bug (mutants/mutant.py) answers golden cases as any other implementation does
(check/worker.py), so that what is tried here is what users run. Bugs that no golden case reaches
are held to tests (mutants/by_tests.py). docs/mutations.md says what is planted and what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from refode import _validate
from validation.mutants import by_tests
from validation.mutants.adapter import adapter
from validation.mutants.bugs import BY_TESTS, MUTANTS, catalogue
from validation.mutants.mutant import Mutant
from validation.mutants.trial import GradientCheck, Result, control, examine, named, started
from validation.mutants.worker import Examiners

__all__ = [
    "BY_TESTS",
    "GradientCheck",
    "Mutant",
    "Result",
    "adapter",
    "by_tests",
    "catalogue",
    "control",
    "examine",
    "named",
    "started",
    "suite",
]


def suite(
    names: Sequence[str] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    workers: int = 2,
    gradients: int = 4,
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
    gradients : int, optional
        Cases, at most, whose gradients are checked by `refode.verify`, each of another kind.

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
    if names is None:
        names = [m.name for m in MUTANTS]
    chosen = [known[_validate.choice("names", n, tuple(known))] for n in names]
    workers = _validate.positive_int("workers", workers)
    gradients = _validate.positive_int("gradients", gradients)
    found = []
    with Examiners(min(workers, len(chosen) or 1)) as pool:
        for result in pool.map(chosen, gradients):
            found.append(result)
            if progress:
                progress(result.mutant.name, len(found), len(chosen))
    return found
