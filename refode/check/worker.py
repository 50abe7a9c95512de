"""``python -m refode.check.worker MODULE:NAME``: an adapter in a process of its own.

So that an implementation that hangs, crashes or swallows all memory takes its own process with
it and nothing else. Frames of frames.py come in on standard input and go out on what was
standard output; whatever the implementation prints goes to standard error.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from typing import IO, Any

import numpy as np

from refode import _validate
from refode.check import frames
from refode.check.case import Case
from refode.check.outcome import EPS
from refode.check.protocol import Answer, adapter_of, ask, described


def load(target: str) -> Any:
    """The adapter of ``module:name``, made where it is a class.

    Raises
    ------
    ValueError
        The text is not of that form, or the module has no such name.
    ImportError
        Importing the module failed.
    TypeError
        It offers no quantity.
    """
    module_name, colon, name = target.partition(":")
    if not colon or not module_name or not name:
        raise ValueError(
            f"target: got {_validate.short(target)}, wanted a folder or module:adapter"
        )
    try:
        target_object: Any = importlib.import_module(module_name)
    except Exception as error:
        what = f"target: importing {module_name} failed with {described(error)}"
        raise ImportError(what) from error
    for part in name.split("."):
        if not hasattr(target_object, part):
            raise ValueError(f"target: got {target!r}, and {module_name} has no {name}")
        target_object = getattr(target_object, part)
    made = target_object() if isinstance(target_object, type) else target_object
    return adapter_of(made, f" of {target}")


def precision_of(adapter: Any) -> str:
    """The precision that an adapter says it computes in."""
    precision = getattr(adapter, "precision", "float64")
    if precision not in EPS:
        raise ValueError(
            f"precision: got {_validate.short(precision)} from the adapter, wanted {', '.join(EPS)}"
        )
    return precision


def answered(adapter: Any, document: dict[str, Any], wanted: tuple[str, ...]) -> Answer:
    """`ask` with the time it took."""
    began = time.perf_counter()
    answer = ask(adapter, Case.of(document), wanted)
    answer.seconds = time.perf_counter() - began
    return answer


def main() -> None:
    """Answer requests until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C: end without a traceback
    source, out = _channels()
    sys.path.insert(0, os.getcwd())
    try:
        adapter = load(sys.argv[1])
        frames.send(out, {"precision": precision_of(adapter)})
    except Exception as error:
        frames.send(out, {"error": type(error).__name__, "text": str(error)})
        return
    here = os.getpid()
    while (request := frames.receive(source)) is not None:
        try:
            reply = _reply(adapter, request)
        except Exception as error:
            reply = _failure(error)
        if os.getpid() != here:  # a copy that the adapter made by os.fork and did not end
            os._exit(0)
        try:
            frames.send(out, {**reply, "number": request["number"]})
        except Exception as error:  # no memory for the text, of which nothing was sent then
            frames.send(out, {**_failure(error), "number": request["number"]})


def _channels() -> tuple[IO[bytes], IO[bytes]]:
    """Where frames come in and go out; for the adapter and its children, nothing and stderr."""
    source, out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return source, out


def _failure(error: Exception) -> dict[str, Any]:
    kind = "MemoryError" if isinstance(error, MemoryError) else type(error).__name__
    return {"error": kind, "text": described(error)}


def _reply(adapter: Any, request: dict[str, Any]) -> dict[str, Any]:
    if "call" in request:
        answer = getattr(adapter, request["call"])(*request["arguments"])
        return {"values": {k: np.asarray(v) for k, v in answer.items()}}
    return vars(answered(adapter, request["document"], tuple(request["wanted"])))


if __name__ == "__main__":
    main()
