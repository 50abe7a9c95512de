"""Python functions that compiled code calls: by an address, with the places of its arrays.

``ring(address, frame)`` calls an *answerer* from compiled code and from the interpreter alike. Its
frame is an array of integers: how the call went, the answerer's number, which of its answers is
wanted, and then what the caller put there, addresses of arrays and their sizes. Machine code
depends on none of them, so it is kept in the cache as any other.

Kernels release the GIL, and an exception cannot pass through them. So what an answer raises is
kept by its thread, whose later calls do nothing, and ``heard`` raises it where the work has ended.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from refode.machine.compile import JIT, kernel

Array = np.ndarray
DONE, BROKEN, NUMBER, WHICH, SIZE, FREE = range(6)  # places in a frame, the caller's own last

_counter = itertools.count(1)
_answerers: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_numbers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
_kinds: set[type] = set()


class _Raised(threading.local):
    """What an answer raised on this thread, until somebody hears of it."""

    error: BaseException | None = None


_raised = _Raised()


def number_of(answerer: Any) -> int:
    """The number by which compiled code asks for an object's ``answer(which, frame)``."""
    number = _numbers.setdefault(answerer, next(_counter))
    _answerers[number] = answerer
    return number


def _answer(place: int) -> None:
    """Have the frame at an address answered; nothing where this thread has failed already."""
    try:
        frame = array_at(place, FREE, np.int64)
        if _raised.error is None:
            if frame[BROKEN]:  # an exception came on the way here, from a signal handler
                raise KeyboardInterrupt
            whole = array_at(place, int(frame[SIZE]), np.int64)
            _answerers[int(frame[NUMBER])].answer(int(frame[WHICH]), whole)
        frame[DONE] = 1
    except BaseException as error:
        _raised.error = error
        array_at(place, FREE, np.int64)[DONE] = 1


def array_at(place: int, size: int, dtype: Any) -> Array:
    """The array of so many entries at an address; it must not outlive the call."""
    kind = np.dtype(dtype)
    return np.frombuffer((ctypes.c_char * (size * kind.itemsize)).from_address(place), kind)


_thunk = ctypes.CFUNCTYPE(None, ctypes.c_int64)(_answer)
#: Where compiled code finds ``_answer`` in this process.
ADDRESS: int = ctypes.cast(_thunk, ctypes.c_void_p).value or 0

if JIT:

    @intrinsic
    def _call(typingctx: Any, address: Any, place: Any) -> Any:
        """Call the function at an address with one integer."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            word = ir.IntType(64)
            kind = ir.FunctionType(ir.VoidType(), [word])
            builder.call(builder.inttoptr(args[0], kind.as_pointer()), [args[1]])
            return context.get_dummy_value()

        return types.none(types.int64, types.int64), codegen

else:

    def _call(address: int, place: int) -> None:
        """The same by the interpreter."""
        _answer(place)


@kernel
def ring(address, frame):
    """Have a frame answered; ask once more where an exception kept the answer from beginning."""
    frame[SIZE] = frame.shape[0]
    frame[DONE] = 0
    frame[BROKEN] = 0
    _call(address, frame.ctypes.data)
    if frame[DONE] == 0:
        frame[BROKEN] = 1
        _call(address, frame.ctypes.data)


def answering(kind: type) -> type:
    """Say that bodies of this class of descriptions ring."""
    _kinds.add(kind)
    return kind


def heard(description: Any, work: Callable[[], Any]) -> Callable[[], Any]:
    """The work, raising where it ends what answers raised on its thread; itself if none ring."""
    if type(description) not in _kinds:
        return work

    def listening() -> None:
        before, _raised.error = _raised.error, None  # a signal handler's, within another's work
        try:
            work()
        finally:
            error, _raised.error = _raised.error, before
        if error is not None:
            raise error

    return listening
