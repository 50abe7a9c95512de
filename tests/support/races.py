"""What a kernel of the CUDA simulator does to memory: races, entries nobody wrote, indices.

The arrays that a kernel gets and those it declares in shared memory are replaced by ``Watched``
ones, a set for each thread. Every entry is known by its address, so that views need no books. An
epoch is what lies between two barriers of a block. A mistake is

*   an entry that two threads of a block touch within an epoch, or two blocks within a launch,
    where one of them writes;
*   an entry of shared memory that is read before anybody in the block wrote it;
*   an index that is negative, which a device takes from the end, or too large; a slice beyond;
*   a barrier that the threads of a block come to from different places.

Whether threads happened to run in an order in which the mistake does no harm does not matter.
Atomic operations are taken for plain ones: refode has none.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numba.cuda.simulator.cudadrv.devicearray import (
    FakeCUDAArray,
    FakeShape,
    FakeWithinKernelCUDAArray,
)


class Mistake(AssertionError):
    """Of a kernel, found while it runs."""


class Book:
    """Who wrote and read which addresses: of a launch, or of a block's shared memory."""

    def __init__(self, shared: bool) -> None:
        self.shared = shared
        self.writes: dict[int, tuple] = {}  # who, epoch, code, instruction
        self.reads: dict[int, tuple] = {}  # and another in this epoch, and one of another block


class Block:
    """A block of threads; ``index`` as in cuda.blockIdx."""

    def __init__(self, index: tuple[int, ...]) -> None:
        self.index, self.shared = index, Book(True)


class Who:
    """A thread, the number of barriers it has passed, and what it has read since the last one.

    What a thread has read it may read again: whoever writes there meanwhile is found as he writes.
    """

    def __init__(self, block: Block, index: tuple[int, ...]) -> None:
        self.block, self.index, self.epoch = block, index, 0
        self.has_read: set[int] = set()

    def next_epoch(self) -> None:
        """After a barrier."""
        self.epoch += 1
        self.has_read.clear()

    def __str__(self) -> str:
        index = [int(i) for i in self.index]
        return f"thread {index} of block {[int(i) for i in self.block.index]}"


class Watched:
    """An array as one thread sees it."""

    __slots__ = ("_array", "_at", "_book", "_reads", "_shape", "_steps", "_who", "_writes")

    def __init__(self, array: np.ndarray, at: int, book: Book, who: Who) -> None:
        self._array, self._at, self._book, self._who = array, at, book, who
        self._shape, self._steps = array.shape, array.strides
        self._writes, self._reads = book.writes, book.reads

    @property
    def shape(self) -> FakeShape:
        """Without negative places, as on a device."""
        return FakeShape(self._shape)

    @property
    def size(self) -> int:
        return self._array.size

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def dtype(self) -> np.dtype:
        return self._array.dtype

    def __len__(self) -> int:
        return self._shape[0]

    def reshape(self, *shape: Any) -> Watched:
        return watched(self._array.reshape(*shape), self._book, self._who)

    def view(self, dtype: Any) -> Watched:
        return watched(self._array.view(dtype), self._book, self._who)

    def __getitem__(self, index: Any) -> Any:
        place = self._place(index)
        if place is None:
            return self._part(index)
        if place not in self._who.has_read:
            self._read(index, place, sys._getframe(1))
        return self._array[index]

    def _read(self, index: Any, place: int, frame: Any) -> None:
        """An entry that the thread has not read since the last barrier."""
        who = self._who
        who.has_read.add(place)
        written = self._writes.get(place)
        if written is not None:
            if written[0] is who:
                if written[1] == who.epoch:
                    return  # what is wrong with others' reading is seen there
            elif written[1] == who.epoch or written[0].block is not who.block:
                self._race(index, "read", written, "written", frame)
        elif self._book.shared:
            self._stop(index, f"read by {who}, before anybody in the block wrote it")
        read = self._reads.get(place)
        other, foreign = (None, None) if read is None else _kept(read, who)
        self._reads[place] = who, who.epoch, frame.f_code, frame.f_lasti, other, foreign

    def __setitem__(self, index: Any, value: Any) -> None:
        place = self._place(index)
        if place is None:
            self._stop(index, "written as a whole, wanted entries: which thread writes which?")
        who = self._who
        written, read = self._writes.get(place), self._reads.get(place)
        if written is not None and written[0] is not who and _clash(written, who):
            self._race(index, "written", written, "written", sys._getframe(1))
        if read is not None and (read[0] is not who or read[4] or read[5]):
            for one in (read, read[4], read[5]):
                if one is not None and one[0] is not who and _clash(one, who):
                    self._race(index, "written", one, "read", sys._getframe(1))
        frame = sys._getframe(1)
        self._writes[place] = who, who.epoch, frame.f_code, frame.f_lasti
        self._array[index] = value

    def _place(self, index: Any) -> int | None:
        """The address of an entry; None for a part of the array."""
        if type(index) is not tuple:
            if type(index) is slice or len(self._shape) != 1:
                return None
            if not 0 <= index < self._shape[0]:
                self._outside(index)
            return self._at + index * self._steps[0]
        if len(index) != len(self._shape):
            return None
        if len(index) == 2:  # most are of this kind: the loop below, in fewer words
            i, j = index
            if type(i) is slice or type(j) is slice:
                return None
            rows, columns = self._shape
            if not (0 <= i < rows and 0 <= j < columns):
                self._outside(index)
            down, along = self._steps
            return self._at + i * down + j * along
        at = self._at
        for i, n, step in zip(index, self._shape, self._steps, strict=True):
            if type(i) is slice:
                return None
            if not 0 <= i < n:
                self._outside(index)
            at += i * step
        return at

    def _part(self, index: Any) -> Watched:
        """Rows, or a slice."""
        at = self._at
        parts = index if type(index) is tuple else (index,)
        for i, n, step in zip(parts, self._shape, self._steps, strict=False):
            if type(i) is not slice:
                if not 0 <= i < n:
                    self._outside(index)
                at += i * step
                continue
            start, stop = 0 if i.start is None else i.start, n if i.stop is None else i.stop
            if i.step is not None or not (0 <= start <= n and 0 <= stop <= n):
                self._outside(index)
            at += start * step
        return Watched(self._array[index], at, self._book, self._who)

    def _outside(self, index: Any) -> NoReturn:
        self._stop(index, f"asked for by {self._who}: outside")

    def _race(self, index: Any, now: str, before: tuple, then: str, frame: Any) -> NoReturn:
        who = before[0]
        why = "without a barrier" if who.block is self._who.block else "and blocks do not wait"
        self._stop(
            index,
            f"{then} by {who} at {_line(*before[2:4])}, {now} by {self._who} at "
            f"{_line(frame.f_code, frame.f_lasti)}, {why}",
        )

    def _stop(self, index: Any, what: str) -> NoReturn:
        kind = "shared" if self._book.shared else "global"
        raise Mistake(f"{kind} memory: entry {index} of an array {self._shape} {what}")


def _clash(before: tuple, who: Who) -> bool:
    """Whether no barrier lies between what another thread did and now."""
    return before[1] == who.epoch or before[0].block is not who.block


def _kept(read: tuple, who: Who) -> tuple[tuple | None, tuple | None]:
    """Of what was read before: by another thread in this epoch, by another block ever."""
    other, foreign = None, read[5]
    if read[0].block is not who.block:
        foreign = read[:4]
    elif read[0] is not who and read[1] == who.epoch:
        other = read[:4]
    return other, foreign


def _line(code: Any, instruction: int) -> str:
    """file:line (function) of an instruction."""
    lines = (n for first, end, n in code.co_lines() if first <= instruction < end)
    return f"{Path(code.co_filename).name}:{next(lines, None)} ({code.co_name})"


def place_of(frame: Any) -> tuple:
    """Where a thread is, as (code, instruction) of every call in progress."""
    calls = []
    while frame is not None and frame.f_code.co_name != "_work":
        calls.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return tuple(calls)


def parting(one: tuple, other: tuple) -> str:
    """Of two places, what to say of their being different."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    a, b = next(((a, b) for a, b in pairs if a != b), (one[0], other[0]))
    return f"threads of a block wait at different barriers: {_line(*a)}, {_line(*b)}"


def watched(array: np.ndarray, book: Book, who: Who) -> Watched:
    """An array of NumPy's as a thread sees it."""
    return Watched(array, array.__array_interface__["data"][0], book, who)


def given(value: Any, book: Book, who: Who) -> Any:
    """An argument of a kernel as a thread sees it, arrays within tuples too."""
    if isinstance(value, FakeWithinKernelCUDAArray):
        value = value._item
    if isinstance(value, FakeCUDAArray):
        return watched(value._ary, book, who)
    if isinstance(value, tuple):
        parts = [given(part, book, who) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, np.ndarray):
        raise Mistake(f"a kernel got an array {value.shape} within a tuple that is on the host")
    return value
