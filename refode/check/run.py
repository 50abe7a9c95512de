"""``refode check``: ask, judge, find out what is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from refode import _validate
from refode.check.judge import Judge, Judged
from refode.check.outcome import EPS, INVALID, Outcome, Row
from refode.check.targets import Folder, Target, open_target
from refode.reference import files

Document = dict[str, Any]
Progress = Callable[[str, int, int], None]

__all__ = ["Judged", "check", "chosen", "judged_case"]


def check(
    target: Any,
    *,
    precision: str | None = None,
    cases: Sequence[str] | None = None,
    n_random: int = 0,
    seed: int = 0,
    timeout: float = 60.0,
    progress: Progress | None = None,
    in_process: bool = False,
    diagnose: bool = True,
) -> Outcome:
    """Hold an implementation to the golden cases, and to random ones.

    Parameters
    ----------
    target : str, path or object
        A folder of results, ``"module:adapter"``, or an adapter (which runs in this process).
    precision : {"float64", "float32", "bfloat16"}, optional
        Whose rounding is allowed; what the adapter says by default, float64 for folders.
    cases : sequence of str, optional
        Names of golden cases or patterns such as "game-*"; all by default.
    n_random : int, optional
        Random cases on top, with refode as live oracle; not for folders.
    seed : int, optional
        Of the random cases.
    timeout : float, optional
        Seconds a case may take; not for adapters that run in this process.
    progress : callable, optional
        ``progress(case, done, total)`` before each case.
    in_process : bool, optional
        Run ``"module:adapter"`` in this process.
    diagnose : bool, optional
        Find out what is probably wrong.

    Returns
    -------
    Outcome

    Raises
    ------
    ValueError, TypeError, ImportError
        The target or another argument cannot be used.
    """
    n_random = _validate.nonnegative_int("n_random", n_random)
    seed = _validate.nonnegative_int("seed", seed)
    in_process = _validate.boolean("in_process", in_process)
    diagnose = _validate.boolean("diagnose", diagnose)
    if precision is not None:
        precision = _validate.choice("precision", precision, EPS)
    if progress is not None and not callable(progress):
        raise TypeError(f"progress: got {_validate.shown(progress)}, wanted a callable or None")
    names = chosen(cases)
    began = time.perf_counter()
    with open_target(target, timeout, in_process) as opened, Judge() as judge:
        asked = _validate.choice("precision", precision or opened.precision, EPS)
        if n_random and isinstance(opened, Folder):
            raise ValueError("n_random: got a folder of results, wanted module:adapter for it")
        outcome = Outcome(_shown(target), asked)
        judged = []
        for i, name in enumerate(names):
            if progress:
                progress(name, i, len(names) + n_random)
            judged.append(judged_case(files.case(name), opened, judge, asked))
        if isinstance(opened, Folder):
            outcome.rows += [_unknown(name) for name in opened.unknown]
        if n_random:
            failing, outcome.shrunk = _random(opened, judge, asked, n_random, seed, progress)
            judged += failing
        outcome.rows[:0] = [row for one in judged for row in one.rows]
        if diagnose and not outcome.passed:
            from refode.check.diagnose.diagnosis import diagnosed

            outcome.findings = diagnosed(judged, judge, asked, opened)
    outcome.seconds = time.perf_counter() - began
    return outcome


def chosen(cases: Sequence[str] | None) -> list[str]:
    """Names of golden cases that match one of the patterns.

    Raises
    ------
    ValueError
        A pattern matches none.
    """
    names = files.names()
    if cases is None:
        return list(names)
    for pattern in _validate.sequence("cases", cases, "names"):
        _validate.text("cases", pattern)
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(
                f"cases: got {_validate.short(pattern)}, which no golden case matches, wanted "
                f"patterns of names such as {names[0]!r} or 'game-*'"
            )
    return [name for name in names if any(fnmatchcase(name, p) for p in cases)]


def judged_case(document: Document, target: Target, judge: Judge, precision: str) -> Judged:
    """Ask a target for one case and judge what it says."""
    truth = judge.truth(document)
    answer = target.answer(files.without_results(document), truth.quantities)
    return Judged(document, answer, judge.rows(document, answer, precision))


def _unknown(name: str) -> Row:
    return Row(name, "", INVALID, reason=f"{name}: no golden case has this name")


def _shown(target: Any) -> str:
    return target if isinstance(target, str) else getattr(target, "name", type(target).__name__)


def _random(
    target: Target, judge: Judge, precision: str, n: int, seed: int, progress: Progress | None
) -> tuple[list[Judged], Document | None]:
    """Random cases until one is wrong, and the smallest that still is."""
    from refode.check.random_search import search

    judged: list[Judged] = []

    def wrong(document: Document) -> bool:
        if progress:
            progress(document["name"], min(len(judged), n), n)
        judged.append(judged_case(document, target, judge, precision))
        return any(row.failed for row in judged[-1].rows)

    failing = search(wrong, n, seed, results=lambda document: judge.truth(document).values)
    # what was tried while shrinking tells no more than the first failure and the smallest one
    kept = judged[: failing.tried]
    if failing.smallest is not None:
        kept.append(judged_case(failing.smallest, target, judge, precision))
    return kept, failing.smallest
