"""Memory of the device that is kept from call to call, since its driver is slow to lend it.

Buffers have names, and hold what a call computes; whoever asks for one gets what is in it. Small
arrays that are sent at every call go into others that were there before: ``Senders``.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from refode.cuda import device

#: Bytes of an array that is sent into a buffer that is kept.
SMALL = 1 << 20
#: Buffers that are kept.
MANY = 64
#: One call at a time: buffers belong to whoever holds it.
lock = threading.RLock()
_buffers: dict[tuple[str, str], Any] = {}
_sent: dict[tuple[int, tuple[int, ...], str], Any] = {}


def buffer(name: str, size: int, dtype: Any) -> Any:
    """``size`` numbers or more; what was there under this name goes before more is asked for."""
    key = name, np.dtype(dtype).name
    if key not in _buffers or _buffers[key].shape[0] < size:
        _buffers.pop(key, None)
        _buffers[key] = device.require().device_array(max(size, 1), np.dtype(dtype))
    return _buffers[key]


def exact(name: str, size: int, dtype: Any) -> Any:
    """``size`` numbers and no more: what is fetched as a whole."""
    key = name, np.dtype(dtype).name
    if key in _buffers and _buffers[key].shape[0] != max(size, 1):
        _buffers.pop(key)
    return buffer(name, size, dtype)


def held() -> int:
    """Bytes that are kept."""
    kept = [*_buffers.values(), *_sent.values()]
    return sum(a.size * a.dtype.itemsize for a in kept)


def release() -> None:
    """Give everything back to the driver.

    Nothing is lost by it but time: the next call asks for its memory again.
    """
    with lock:
        _buffers.clear()
        _sent.clear()


class Senders:
    """Sends a call's arrays, the k-th of a shape into the k-th buffer of this shape."""

    def __init__(self) -> None:
        self._used: dict[tuple[tuple[int, ...], str], int] = {}

    def send(self, array: np.ndarray) -> Any:
        """A copy on the device; it stands until another call sends an array of this shape."""
        if array.nbytes > SMALL:
            return device.require().to_device(array)
        kind = array.shape, array.dtype.name
        self._used[kind] = self._used.get(kind, 0) + 1
        key = self._used[kind], *kind
        if len(_sent) >= MANY and key not in _sent:
            _sent.clear()
        if key not in _sent:
            _sent[key] = device.require().to_device(array)
        else:
            _sent[key].copy_to_device(array)
        return _sent[key]

    def forget(self, earlier: dict) -> None:
        """Buffers of a slice that is done may be used by the next one."""
        self._used = dict(earlier)

    def mark(self) -> dict:
        """What was sent so far, to be kept by ``forget``."""
        return dict(self._used)
