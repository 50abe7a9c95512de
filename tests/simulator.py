"""Numba's CUDA simulator, several times as fast and without a race of its own.

The simulator polls the threads of a block, which then wait for the interpreter's lock. Here they
meet at a barrier, and the launch waits for their end. A thread that never comes to a barrier
where others wait is an error, as a device would hang.
"""

from __future__ import annotations

import math
import sys
import threading
import traceback

import numpy as np
from numba import types
from numba.cuda.simulator import kernel, kernelapi
from numba.np import numpy_support

PATIENCE = 60.0  # seconds at a barrier
_one_at_a_time = threading.Lock()


def _shared_array(self, shape, dtype, alignment=None):
    """The simulator looks for the block's array without a lock: two threads may get two."""
    caller = traceback.extract_stack(sys._getframe())[-2][0:2]
    kind = numpy_support.as_dtype(dtype) if isinstance(dtype, types.Type) else dtype
    with _one_at_a_time:
        return self._allocations.setdefault(caller, np.empty(shape, kind))


def _run(self, grid_point, *args):
    """All threads of one block, to their end; the first error that is not a broken barrier."""
    meeting = threading.Barrier(math.prod(self._block_dim))

    def target():
        try:
            self._f(*args)
        except BaseException:
            meeting.abort()  # the others would wait for ever
            raise

    threads = []
    for place in np.ndindex(*self._block_dim):
        thread = kernel.BlockThread(target, self, grid_point, place, self._debug)
        thread.meeting = meeting
        threads.append(thread)
        thread.start()
    for thread in threads:
        thread.join()
    errors = [thread.exception for thread in threads if thread.exception]
    errors.sort(key=lambda error: isinstance(error[0], threading.BrokenBarrierError))
    for error, where in errors:
        raise error.with_traceback(where)


def _meet(self):
    self.meeting.wait(PATIENCE)


def quicken():
    """Put these in the simulator's place, for this process."""
    kernelapi.FakeCUDAShared.array = _shared_array
    kernel.BlockManager.run = _run
    kernel.BlockThread.syncthreads = _meet
