"""Messages between this process and one that runs an implementation: JSON in frames.

A frame is its length, eight bytes, and that many bytes of JSON; arrays are base64 of
little-endian doubles. Every request has a number, which its answer repeats, so that no other
answer is taken for it. Nothing that comes in is ever executed.
"""

from __future__ import annotations

import base64
import json
import struct
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_LENGTH = struct.Struct("<Q")


def send(stream: IO[bytes] | None, message: dict[str, Any]) -> None:
    """Write one frame."""
    assert stream is not None
    body = json.dumps(message, default=_array).encode()
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def receive(stream: IO[bytes] | None) -> dict[str, Any] | None:
    """Read one frame; None at the end of the stream."""
    assert stream is not None
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    return json.loads(body) if len(body) == length else None


def _array(value: Any) -> dict[str, Any]:
    a = np.asarray(value, dtype="<f8")
    return {"shape": a.shape, "bytes": base64.b64encode(a.tobytes()).decode()}


def array(value: dict[str, Any]) -> NDArray[np.float64]:
    """The array of a message."""
    flat = np.frombuffer(base64.b64decode(value["bytes"]), dtype="<f8")
    return flat.astype(np.float64).reshape(value["shape"])
