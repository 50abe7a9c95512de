"""``refode validate``: derivatives to rounding, schemes at their orders, flows, games."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numba
import numpy
import scipy

import refode
from refode import _files
from refode.check import mutants
from refode.reports import outputs
from refode.reports.proofs import flows, games_checks, gradients, invariants, mutations, orders
from refode.reports.section import Check, Section, as_json, table, verdict

Part = Callable[[Path, bool], Section]
COLUMNS = ("part", "checks passed", "seconds", "verdict")
PARTS: tuple[Part, ...] = (gradients.run, orders.run, invariants.run, flows.run, games_checks.run)


def run(
    out: str | Path, quick: bool = False, parts: Sequence[Part] = PARTS, full: bool = False
) -> bool:
    """Run all parts, print a summary, save numbers and pictures; False where a check failed.

    Parameters
    ----------
    out : path
        Folder for everything that is written, made where missing.
    quick : bool, optional
        Twelve gradient cases, one flow, three games and the schemes alone, instead of every field
        with every basis and loss.
    parts : sequence of callables, optional
        ``part(folder, quick) -> Section``.
    full : bool, optional
        Plant bugs in the kernels besides, where the sources are, to see that ``refode check``
        catches and names them.
    """
    folder = outputs.folder("validate", out)
    rows: list[tuple[str, ...]] = []
    failed: list[tuple[str, Check]] = []
    record: dict[str, Any] = {}
    if full and not mutants.there():
        print(f"mutations: skipped: {mutants.MISSING}")
    full = full and mutants.there()
    planned = (*parts, *([mutations.run] if full else []))
    settings = {"quick": quick, "full": full, "versions": _versions()}
    for part in planned:
        began = time.perf_counter()
        try:
            section = part(folder, quick)
        except BaseException:
            _stopped(folder, rows, settings | {"complete": False, "passed": False} | record)
            raise
        seconds = time.perf_counter() - began
        good = sum(check.passed for check in section.checks)
        rows.append(
            (
                section.title,
                f"{good} of {len(section.checks)}",
                f"{seconds:.1f}",
                verdict(section.passed),
            )
        )
        failed += [(section.title, c) for c in section.checks if not c.passed]
        record[section.title] = {
            "passed": section.passed,
            "checks": [vars(check) for check in section.checks],
            "numbers": section.numbers,
        }
    for title, check in failed:
        print(f"FAILED {title}: {check.name}: {check.measured}, wanted {check.wanted}")
    passed = not failed and all(entry["passed"] for entry in record.values())
    settings |= {"complete": True, "passed": passed}
    _files.write(folder / "validate.json", json.dumps(as_json(settings | record), indent=2) + "\n")
    _files.remove("out", outputs.partial("validate", folder))
    table(f"Summary: {'all holds' if passed else 'FAILED'}", COLUMNS, rows)
    print(f"files in {folder.resolve()}: {', '.join(sorted(f.name for f in folder.iterdir()))}")
    return passed


def _stopped(folder: Path, rows: list[tuple[str, ...]], record: dict[str, Any]) -> None:
    """Keep the parts that are done, and say which."""
    if not rows:
        return
    file = outputs.partial("validate", folder)
    _files.write(file, json.dumps(as_json(record), indent=2) + "\n")
    table("Stopped; the parts that are done", COLUMNS, rows)
    print(f"their numbers are in {file.resolve()}")


def _versions() -> dict[str, str]:
    modules = (refode, numpy, scipy, numba)
    return {"python": platform.python_version()} | {m.__name__: m.__version__ for m in modules}
