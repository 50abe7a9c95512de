"""MPI as a wire, and what becomes of a program of which one rank fails outside of it all."""

from __future__ import annotations

import atexit
import sys
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from refode.distributed.post import GONE, RankError

try:
    from mpi4py import MPI
except ImportError as error:
    raise ImportError(
        f"refode.distributed: got no mpi4py ({error}), wanted it and an MPI: "
        "pip install 'refode[mpi]', or mpi4py for the machine's own MPI"
    ) from error

Array = np.ndarray
TAG = 23017  # of all messages: below 32767, as MPI promises
LAST = TAG + 1  # of the last one from a rank
_SLEEP = 1e-3
#: Seconds for the launcher to pass on what a rank has printed: it ends all ranks at ``Abort``, and
#: was seen to lose the text then, once in some hundred runs on a busy machine.
FORWARDED = 0.2


class MPIWire:
    """Messages by MPI, as bytes with one tag."""

    def __init__(self, comm: Any) -> None:
        self.comm, self.rank, self.size = comm, comm.Get_rank(), comm.Get_size()
        self._status = MPI.Status()

    def put(self, to: int, message: Array, tag: int = TAG) -> Callable[[], bool]:
        """Begin to send; what tells whether the message may be overwritten."""
        test: Callable[[], bool] = self.comm.Isend([message, MPI.BYTE], to, tag).Test
        return test

    def take(self, tag: int = TAG, source: int = MPI.ANY_SOURCE) -> tuple[int, Array] | None:
        """The next message and who sent it, if there is one."""
        if not self.comm.Iprobe(source, tag, self._status):
            return None
        message = np.empty(self._status.Get_count(MPI.BYTE), dtype=np.uint8)
        source = self._status.Get_source()
        self.comm.Recv([message, MPI.BYTE], source, tag)
        return source, message


_wires: dict[int, tuple[MPIWire, list[int], list[Any]]] = {}


def wire_of(comm: Any) -> tuple[MPIWire, list[int], list[Any]]:
    """The communicator's wire, its number of sessions so far and messages that came early."""
    if not _running():
        state = "has ended" if MPI.Is_finalized() else "has not begun"
        raise RuntimeError(
            f"comm: got an MPI that {state}, wanted calls between MPI.Init and MPI.Finalize"
        )
    comm = MPI.COMM_WORLD if comm is None else comm
    if not isinstance(comm, MPI.Intracomm):
        raise TypeError(f"comm: got {type(comm).__name__}, wanted a communicator of mpi4py or None")
    return _wires.setdefault(comm.py2f(), (MPIWire(comm), [0], []))


# --- ranks that fail outside of a session ---------------------------------------------------
def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an exception that ends this rank's program, and end the other ranks with it."""
    if not _among_others():
        _before(kind, error, trace)
        return
    rank, size = MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.Get_size()
    if isinstance(error, RankError) or "told" in error.__dict__:  # all know: rank 0 says so
        if rank == 0:
            _before(kind, error, trace)
        return
    text = "".join(traceback.format_exception(kind, error, trace))
    print(f"rank {rank} of {size} failed:\n{text}", file=sys.stderr, end="", flush=True)
    time.sleep(FORWARDED)
    MPI.COMM_WORLD.Abort(130 if issubclass(kind, KeyboardInterrupt) else 1)


def _leave() -> None:
    """Tell rank 0 that this rank will answer no more; or all of them, where it is rank 0.

    Then wait until all ranks have come here, as MPI's own end does, and take in what is on its
    way: of messages that nobody took, MPI's end makes an error, and mpiexec kills what is done.
    """
    if not _among_others():
        return
    wire = MPIWire(MPI.COMM_WORLD)
    others = range(1, wire.size) if wire.rank == 0 else (0,)
    message = np.array([0, 0, GONE, 0], dtype=np.int64).view(np.uint8)
    sent = [wire.put(to, message) for to in others]
    if wire.rank != 0:
        sent.append(wire.put(0, message, LAST))
    for source in others:  # rank 0 hears from all, then all from rank 0
        while wire.take(LAST, source) is None:
            if wire.take() is None:
                time.sleep(_SLEEP)
    if wire.rank == 0:
        sent.extend(wire.put(to, message, LAST) for to in others)
    while wire.take() is not None or not all(done() for done in sent):
        pass


def _running() -> bool:
    """Whether MPI may be called: a program may begin and end it by itself."""
    return MPI.Is_initialized() and not MPI.Is_finalized()


def _among_others() -> bool:
    return _running() and MPI.COMM_WORLD.Get_size() > 1


_before = sys.excepthook
sys.excepthook = _hook
atexit.register(_leave)
