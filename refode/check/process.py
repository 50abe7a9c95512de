"""The other end of worker.py: start it, ask it, and end it where it takes too long."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Literal

from refode.check import frames
from refode.check.protocol import Answer

#: Seconds that starting may take: importing a large framework counts.
STARTING = 180.0
#: Seconds between looks at whether the process is still there.
_LOOK = 0.2
_GROUPS = hasattr(os, "killpg")
_CAUSES = {"Timeout": "time", "Ended": "ended", "MemoryError": "memory"}
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
        self._number = 0
        self._start()

    def _start(self) -> None:
        # a group of its own, which is ended as a whole: adapters start processes too
        self._process = subprocess.Popen(
            [sys.executable, "-m", "refode.check.worker", self.target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
            process_group=0 if _GROUPS else None,
        )
        self._frames: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(
            target=_read_all, args=(self._process.stdout, self._frames), daemon=True
        ).start()
        hello = self._next(STARTING, None)
        if "error" in hello:
            self.close()
            raise _ERRORS.get(hello["error"], ValueError)(self._not_loaded(**hello))
        self.precision = str(hello["precision"])

    def _not_loaded(self, error: str, text: str, **_: Any) -> str:
        if text.startswith("target: "):
            return text
        kind = "" if error in _CAUSES else f"{error}: "  # those are told in words
        return f"target: loading {self.target} failed, {kind}{text}"

    def _next(self, timeout: float, number: int | None) -> dict[str, Any]:
        """The frame of this number, or what kept it from coming; then the process is ended.

        Others are answers to earlier requests, from a copy of the process that an adapter made.
        """
        until = time.monotonic() + timeout
        while True:
            found = self._frame(until)
            if found == "late":
                self.close()
                return {"error": "Timeout", "text": f"no answer within {timeout:g} s"}
            if isinstance(found, str):
                return {"error": "Ended", "text": _ended(self.close())}
            if found.get("number", number) == number:
                return found

    def _frame(self, until: float) -> dict[str, Any] | Literal["late", "gone"]:
        """A frame, or why there is none; children may hold the pipe when the process is gone."""
        assert self._process is not None
        gone = False
        while True:
            left = until - time.monotonic()
            try:
                frame = self._frames.get(timeout=max(0.0, min(left, _LOOK)))
                return "gone" if frame is None else frame
            except queue.Empty:
                if gone:
                    return "gone"
                if left <= 0.0:
                    return "late"
                gone = _is_gone(self._process)  # then once more: its last frame may just have come

    def _request(self, message: dict[str, Any]) -> dict[str, Any]:
        if self._process is None:
            try:
                self._start()
            except (
                ValueError,
                TypeError,
                ImportError,
                OSError,
            ) as error:  # it could be started before
                return {"error": type(error).__name__, "text": f"started again: {error}"}
        assert self._process is not None
        # it may have died between two cases: the reader says how
        self._number += 1
        with contextlib.suppress(OSError):
            frames.send(self._process.stdin, {**message, "number": self._number})
        return self._next(self.timeout, self._number)

    def answer(self, document: dict[str, Any], wanted: tuple[str, ...]) -> Answer:
        """What the adapter says of a case; a process that hangs or dies is a problem of it."""
        reply = self._request({"document": document, "wanted": wanted})
        if "error" in reply:
            cause = _CAUSES.get(reply["error"], "exception")
            return Answer(problems={"": reply["text"]}, causes={"": cause}, seconds=self.timeout)
        values = {name: frames.array(a) for name, a in reply["values"].items()}
        return Answer(
            values, reply["skipped"], reply["problems"], reply["seconds"], reply["causes"]
        )

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
        """End the process and all of its group; its status, None where it had to be ended."""
        process, self._process = self._process, None
        if process is None:
            return None
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        until = time.monotonic() + 0.5
        while not (ended := _is_gone(process)) and time.monotonic() < until:
            time.sleep(0.005)
        if _GROUPS:  # before it is reaped: until then its number is nobody else's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        elif not ended:
            process.kill()
        status = process.wait()
        return status if ended else None


def _is_gone(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended; it is not reaped where the system can tell without."""
    if not hasattr(os, "waitid"):
        return process.poll() is not None
    how = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return process.returncode is not None or os.waitid(os.P_PID, process.pid, how) is not None


def _ended(status: int | None) -> str:
    """How a process ended, in words."""
    if status is None:
        return "the process broke off its answers and was ended"
    if status >= 0:
        return f"the process ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    why = ", which systems send where memory runs out" if name == "SIGKILL" else ""
    return f"the process was ended by {name}{why}"


def _read_all(stream: Any, frames_in: queue.Queue[dict[str, Any] | None]) -> None:
    with stream, contextlib.suppress(ValueError, OverflowError, MemoryError, OSError):
        while isinstance(frame := frames.receive(stream), dict):
            frames_in.put(frame)
    frames_in.put(None)  # the end, or something that is no frame
