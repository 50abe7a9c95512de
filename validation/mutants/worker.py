"""Examine mutants, one after another.

The check and its diagnosis are plain Python that one process does one at a time; so there are
several processes, and they last, since the diagnosis keeps what it computed for right kernels.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from refode.check import frames
from refode.check.outcome import Finding
from validation.mutants.bugs import catalogue
from validation.mutants.mutant import Mutant
from validation.mutants.trial import GradientCheck, Result, examine


class Examiners:
    """Processes that examine mutants, ended when the context is left.

    Parameters
    ----------
    count : int
    """

    def __init__(self, count: int) -> None:
        one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        self._all = [
            subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import main; main()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path, **one},
            )
            for _ in range(count)
        ]
        self._free: queue.Queue[subprocess.Popen[bytes]] = queue.Queue()
        for process in self._all:
            self._free.put(process)

    def __enter__(self) -> Examiners:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._all:
            with contextlib.suppress(OSError):
                assert process.stdin is not None
                process.stdin.close()
            if sys.exc_info()[0] is not None:  # nobody waits for what is under way
                process.terminate()
            process.wait()

    def map(self, mutants: Sequence[Mutant], gradients: int) -> Iterator[Result]:
        """What came of the mutants, in their order."""
        with ThreadPoolExecutor(len(self._all)) as pool:
            yield from pool.map(lambda mutant: self._examined(mutant, gradients), mutants)

    def _examined(self, mutant: Mutant, gradients: int) -> Result:
        process = self._free.get()
        try:
            frames.send(process.stdin, {"name": mutant.name, "gradients": gradients})
            reply = frames.receive(process.stdout)
        finally:
            self._free.put(process)
        if reply is None or "error" in reply:
            told = "its process ended" if reply is None else reply["error"]
            raise RuntimeError(f"{mutant.name}: {told}")
        return result_of(mutant, reply)


def result_of(mutant: Mutant, reply: dict[str, Any]) -> Result:
    """The result that came as a message."""
    reply["findings"] = [
        Finding(f["key"], f["sentence"], tuple((c, q) for c, q in f["explained"]), f["certain"])
        for f in reply["findings"]
    ]
    reply["gradients"] = [GradientCheck(**g) for g in reply["gradients"]]
    return Result(mutant, **reply)


def main() -> None:
    """Answer names until the input ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    known = catalogue()
    while (request := frames.receive(sys.stdin.buffer)) is not None:
        try:
            message = asdict(examine(known[request["name"]], request["gradients"]))
            del message["mutant"]
        except Exception as error:
            message = {"error": f"{type(error).__name__}: {error}"}
        frames.send(out, message)
