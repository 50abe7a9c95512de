"""Bugs that golden cases do not reach, and the tests that each has to turn red.

A process runs the test with the bug, as plain Python. The same tests pass without.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from validation.mutants.mutant import Mutant

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("planted.py")
#: Seconds that a bug's test may take.
TIMEOUT = 600.0
#: pytest's exit status where all tests passed, and where some failed.
PASSED, FAILED = 0, 1


@dataclass(frozen=True)
class Red:
    """What came of a bug.

    Attributes
    ----------
    mutant : Mutant
    caught : bool
        Whether its test failed.
    told : str
        What the test said.
    """

    mutant: Mutant
    caught: bool
    told: str


def control(mutants: Sequence[Mutant]) -> tuple[bool, str]:
    """Whether the tests pass without a bug, and what they say."""
    status, told = _run({}, sorted({m.test for m in mutants}))
    return status == PASSED, told


def examine(mutants: Sequence[Mutant], workers: int = 2) -> Iterator[Red]:
    """Plant bugs, each in a process of its own, and run their tests; in their order.

    Raises
    ------
    RuntimeError
        A test is not there, or what has the bug is not imported.
    """
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(_examined, mutants)


def _examined(mutant: Mutant) -> Red:
    status, told = _run(mutant.sources(), [mutant.test])
    if status not in (PASSED, FAILED):
        raise RuntimeError(f"{mutant.name}: pytest ended with {status}: {told}")
    return Red(mutant, status == FAILED, told)


def _run(texts: dict[str, str], tests: list[str]) -> tuple[int, str]:
    """Exit status, and the line that says why."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_DISABLE_JIT": "1"}
    try:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), *tests],
            input=json.dumps(texts),
            env={**os.environ, "PYTHONPATH": path, **one},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return -1, f"no end within {TIMEOUT:g} s"
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    why = [line[1:].strip() for line in lines if line.startswith("E ")]
    return done.returncode, (why or lines or [""])[0 if why else -1]
