"""Numba's CUDA simulator, several times as fast, and with an eye on memory (races.py).

The simulator polls the threads of a block, which then wait for the interpreter's lock. Here a
turn goes round: each thread runs to its next barrier, in the order of their numbers. Threads
that wait at different barriers, or wait where another has ended, are an error: a device would
hang, or do what nobody knows.

Memory begins as NaN, that of floating-point numbers: reading what nobody wrote shows.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import Any

import numpy as np
import races
from numba import cuda, types
from numba.cuda.simulator import kernel, kernelapi
from numba.np import numpy_support

PATIENCE = 60.0  # seconds for a turn
_call, _push = kernel.FakeCUDAKernel.__call__, kernel._push_kernel_context
_device_array = cuda.device_array


# --- threads --------------------------------------------------------------------------------
class Turns:
    """A block's threads, one of which runs at a time."""

    def __init__(self, threads: list[Thread]) -> None:
        self.locks = [thread.turn for thread in threads]
        self.ended, self.broken, self.meeting = 0, False, ()
        self.over = threading.Lock()
        self.over.acquire()

    def wait(self, k: int) -> None:
        """Until it is thread k's turn."""
        if not self.locks[k].acquire(timeout=PATIENCE) or self.broken:
            raise threading.BrokenBarrierError("others came to their end, or to none")

    def pass_on(self, k: int) -> None:
        """Thread k has come to a barrier, or to its end."""
        if k + 1 < len(self.locks):
            self.locks[k + 1].release()
        elif self.ended == 0:
            self.locks[0].release()
        elif self.ended < len(self.locks):
            self.stop()
        else:
            self.over.release()

    def meet(self, k: int, place: tuple) -> None:
        """Thread k waits for the others at a place in the program, which should be theirs too."""
        if k == 0:
            self.meeting = place
        elif place != self.meeting and not self.ended:
            raise races.Mistake(races.parting(self.meeting, place))
        self.pass_on(k)
        self.wait(k)

    def stop(self) -> None:
        """Wake all who wait, for an error of theirs."""
        if not self.broken:
            self.broken = True
            for lock in (*self.locks, self.over):
                if lock.locked():
                    lock.release()


class Thread(threading.Thread):
    """The k-th thread of one block after another, and what races.py knows of it.

    A thread of Python's is expensive to start, so that it stays for the next block.
    """

    def __init__(self, k: int) -> None:
        super().__init__(daemon=True)
        self.k, self.turn, self.turns = k, threading.Lock(), None
        self.turn.acquire()
        self.start()

    def enter(self, manager: Any, block: races.Block, place: tuple, turns: Turns) -> None:
        """Be a thread of this block from the first turn on."""
        self.blockIdx, self.threadIdx = kernelapi.Dim3(*block.index), kernelapi.Dim3(*place)
        self.who, self.manager, self.turns = races.Who(block, place), manager, turns
        self.error: BaseException | None = None

    def run(self) -> None:
        while self.turns is None or not self.turns.broken:
            self.turn.acquire()
            try:
                self._work()
            except BaseException as error:
                error.add_note(f"in {self.who}")
                self.error = error
                self.turns.stop()

    def _work(self) -> None:
        if self.turns.broken:
            raise threading.BrokenBarrierError("others came to no beginning")
        book = kernel._get_kernel_context().book
        args = [races.given(value, book, self.who) for value in self.manager.args]
        self.manager._f(*args)
        self.turns.ended += 1
        self.turns.pass_on(self.k)

    def syncthreads(self) -> None:
        self.turns.meet(self.k, races.place_of(sys._getframe(2)))
        self.who.next_epoch()


_pool: list[Thread] = []


def _run(self, grid_point, *args):
    """All threads of one block, to their end; the first error that is not a broken barrier."""
    context = kernel._get_kernel_context()
    context.declared = {}
    context.shared._dynshared[:] = -1
    self.args, block = args, races.Block(grid_point)
    places = list(np.ndindex(*self._block_dim))
    _pool.extend(Thread(k) for k in range(len(_pool), len(places)))
    threads = _pool[: len(places)]
    turns = Turns(threads)
    for thread, place in zip(threads, places, strict=True):
        thread.enter(self, block, place, turns)
    turns.locks[0].release()
    turns.over.acquire()
    if turns.broken:  # its threads come to their end
        for thread in threads:
            thread.join()
        _pool[: len(places)] = [Thread(k) for k in range(len(places))]
        errors = [thread.error for thread in threads if thread.error]
        errors.sort(key=lambda error: isinstance(error, threading.BrokenBarrierError))
        raise errors[0]


# --- memory ---------------------------------------------------------------------------------
def _shared_array(self, shape, dtype, alignment=None):
    """The block's array of the line that asks; all who want none of their own share one."""
    kind = np.dtype(numpy_support.as_dtype(dtype) if isinstance(dtype, types.Type) else dtype)
    who, declared = threading.current_thread().who, kernel._get_kernel_context().declared
    if shape == 0:
        size = self._dynshared_size // kind.itemsize
        array = self._dynshared[: size * kind.itemsize].view(kind)
    else:
        frame = sys._getframe(1)
        line = frame.f_code, frame.f_lineno
        if line not in declared:
            declared[line] = _unwritten(np.empty(shape, kind))
        array = declared[line]
    return races.watched(array, who.block.shared, who)


def _unwritten(array):
    """Every byte -1: NaN, of floats."""
    array.reshape(-1).view(np.int8)[:] = -1
    return array


def _device_array_of_nan(*args, **how):
    there = _device_array(*args, **how)
    if there.is_c_contiguous():
        _unwritten(there._ary)
    return there


# --- launches -------------------------------------------------------------------------------
@contextlib.contextmanager
def _launch(context):
    """What lasts for a launch."""
    context.book, context.seen = races.Book(False), {}
    with _push(context):
        try:
            yield
        finally:
            for names, found in context.seen.values():
                names.update(dict.fromkeys(found, cuda))


def _call_quickly(self, *args):
    """Modules see the simulator's ``cuda`` from their first call of a launch to its end.

    The simulator puts it there and takes it away at every call.
    """
    context = kernel._kernel_context
    if context is None:
        return _call(self, *args)
    if self._called_in is not context:
        self._called_in = context
        names = self.fn.__globals__
        if id(names) not in context.seen:
            found = [name for name, value in names.items() if value is cuda]
            context.seen[id(names)] = names, found
            names.update(dict.fromkeys(found, context))
    return self.fn(*args)  # one line alone: races.py compares where barriers are called from


def quicken():
    """Put these in the simulator's place, for this process.

    Which stays on one processor: no two of its threads run at once, and a turn that goes to
    another processor takes longer.
    """
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[os.getpid() % len(allowed)]})
    kernel._push_kernel_context = _launch
    kernel.FakeCUDAKernel.__call__, kernel.FakeCUDAKernel._called_in = _call_quickly, None
    kernel.BlockManager.run = _run
    kernelapi.FakeCUDAShared.array = _shared_array
    cuda.device_array = _device_array_of_nan
