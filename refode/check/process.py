"""The other end of worker.py: start it, ask it, and end it where it takes too long."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from typing import Any

from refode.check import frames
from refode.check.protocol import Answer

#: Seconds that starting may take: importing a large framework counts.
STARTING = 180.0
_ERRORS: dict[str, type[Exception]] = {
    "ValueError": ValueError,
    "TypeError": TypeError,
    "ImportError": ImportError,
}


class Process:
    """An adapter in a process of its own.

    Parameters
    ----------
    target : str
        ``module:name``.
    timeout : float
        Seconds that one case may take.
    environment : dict of str, optional
        Added to this process's.

    Raises
    ------
    ValueError, ImportError
        The adapter cannot be loaded; in the words of the process.
    """

    def __init__(
        self, target: str, timeout: float, environment: dict[str, str] | None = None
    ) -> None:
        self.target, self.timeout = target, timeout
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # what is found here
        self._environment = {**os.environ, "PYTHONPATH": path, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "refode.check.worker", self.target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
        )
        self._frames: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(
            target=_read_all, args=(self._process.stdout, self._frames), daemon=True
        ).start()
        hello = self._next(STARTING)
        if "error" in hello:
            self.close()
            raise _ERRORS.get(hello["error"], ValueError)(hello["text"])
        self.precision = str(hello["precision"])

    def _next(self, timeout: float) -> dict[str, Any]:
        """The next frame, or what kept it from coming; then the process is ended."""
        try:
            frame = self._frames.get(timeout=timeout)
        except queue.Empty:
            self.close()
            return {"error": "Timeout", "text": f"no answer within {timeout:g} s"}
        if frame is None:
            status = self.close()
            return {"error": "Ended", "text": f"the process ended with status {status}"}
        return frame

    def _request(self, message: dict[str, Any]) -> dict[str, Any]:
        if self._process is None:
            self._start()
        assert self._process is not None
        # it may have died between two cases: the reader says how
        with contextlib.suppress(OSError):
            frames.send(self._process.stdin, message)
        return self._next(self.timeout)

    def answer(self, document: dict[str, Any], wanted: tuple[str, ...]) -> Answer:
        """What the adapter says of a case; a process that hangs or dies is a problem of it."""
        reply = self._request({"document": document, "wanted": wanted})
        if "error" in reply:
            return Answer(problems={"": reply["text"]}, seconds=self.timeout)
        values = {name: frames.array(a) for name, a in reply["values"].items()}
        return Answer(values, reply["skipped"], reply["problems"], reply["seconds"])

    def call(self, method: str, *arguments: Any) -> dict[str, Any]:
        """Arrays that another method of the adapter returns.

        Raises
        ------
        RuntimeError
            It raised, hung or died.
        """
        reply = self._request({"call": method, "arguments": arguments})
        if "error" in reply:
            raise RuntimeError(f"{self.target}: {reply['text']}")
        return {name: frames.array(a) for name, a in reply["values"].items()}

    def close(self) -> int | None:
        """End the process; its status, None where it had to be ended."""
        process, self._process = self._process, None
        if process is None:
            return None
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            return process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None


def _read_all(stream: Any, frames_in: queue.Queue[dict[str, Any] | None]) -> None:
    frame: dict[str, Any] | None = {}
    while frame is not None:
        frame = frames.receive(stream)
        frames_in.put(frame)
