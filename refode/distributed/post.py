"""Messages between ranks: sent without waiting, taken in while waiting for whichever is wanted.

A message is one array of bytes: four integers (session, request, kind, key), then what it says.
Whoever waits takes in all that comes, and drops what belongs to requests that were given up: so
no rank can wait in vain for another one that waits to be rid of a message.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np

Array = np.ndarray
T = TypeVar("T")

HELLO, REQUEST, DATA, PART, FAILED, FLUSHED, CLOSED, GONE = range(8)
HEADER = 32  # bytes
_SPINS = 2000  # looks at the wire before a rank that waits begins to sleep in between
_SLEEP = 5e-5


class Wire(Protocol):
    """What carries messages: MPI, or queues between threads in tests."""

    rank: int
    size: int

    def put(self, to: int, message: Array) -> Callable[[], bool]:
        """Begin to send; what tells whether the message may be overwritten."""

    def take(self) -> tuple[int, Array] | None:
        """The next message and who sent it, if there is one."""


class RankError(RuntimeError):
    """A rank failed, and with it what all of them were doing.

    Attributes
    ----------
    rank : int
        Which one.
    result : OptimizeResult or None
        What training had come to, on rank 0.
    """

    def __init__(self, message: str, rank: int) -> None:
        super().__init__(message)
        self.rank = rank
        self.result: Any = None

    def __reduce__(self) -> Any:
        return RankError, (str(self), self.rank)


RankError.__module__ = "refode.distributed"  # where users find it


class Abandoned(BaseException):
    """The request was given up, as some rank failed at it; no Exception, lest anybody keep it."""


class Post:
    """A rank's messages in one session.

    Parameters
    ----------
    wire : Wire
    session : int
        The same on every rank; messages of sessions to come are kept for these in ``early``.
    early : list of (int, array)
        Who sent it, and the message; shared by the sessions.
    """

    def __init__(self, wire: Wire, session: int, early: list[tuple[int, Array]]) -> None:
        self.wire, self.session, self._early = wire, session, early
        self.request = 0  # the newest one
        self.abandoned = 0  # the newest one that was given up
        self.failures: dict[int, RankError] = {}  # by request
        self.gone: RankError | None = None
        self._sent: list[tuple[Callable[[], bool], Array]] = []
        self._here: dict[tuple[int, int, int, int], Array] = {}
        for source, message in [early.pop(0) for _ in range(len(early))]:
            self._sort(source, message)

    # --- sending -----------------------------------------------------------------------
    def send(self, to: int, kind: int, key: int = 0, *arrays: Array) -> None:
        """Begin to send arrays, one after another, as bytes."""
        header = np.array([self.session, self.request, kind, key], dtype=np.int64)
        parts = [np.atleast_1d(a).reshape(-1).view(np.uint8) for a in (header, *arrays)]
        self._put(to, np.concatenate(parts))

    def down(self, kind: int, message: Array) -> None:
        """Send to those below in the tree of ranks that begins at rank 0."""
        for child in children(self.wire.rank, self.wire.size):
            self.send(child, kind, 0, message)

    def tell_all(self, error: BaseException, text: str) -> None:
        """Say to every other rank that the request failed here."""
        message = packed((self.wire.rank, f"{type(error).__name__}: {error}", text))
        for rank in range(self.wire.size):
            if rank != self.wire.rank:
                self.send(rank, FAILED, 0, message)

    def _put(self, to: int, message: Array) -> None:
        self._sent = [(done, kept) for done, kept in self._sent if not done()]
        self._sent.append((self.wire.put(to, message), message))

    def flush(self) -> None:
        """Wait until whatever was sent may be forgotten."""

        def flushed() -> bool | None:
            self._sent = [(done, kept) for done, kept in self._sent if not done()]
            return None if self._sent else True

        self.wait(flushed)

    # --- receiving ---------------------------------------------------------------------
    def receive(self, kind: int, key: int = 0, source: int | None = None) -> Array:
        """What a message of this request says; Abandoned where the request is given up."""

        def found() -> Array | None:
            if self.request in self.failures or self.request <= self.abandoned:
                raise Abandoned
            return self._found(kind, self.request, key, source)

        return self.wait(found)

    def next_request(self) -> Array:
        """Wait for the next request, and make it the newest."""
        wanted = self.request + 1
        message = self.wait(lambda: self._found(REQUEST, wanted, 0, None))
        self.request = wanted
        return message

    def any_of(self, kind: int, source: int) -> Array:
        """A message of another rank's, whatever request it belongs to."""

        def found() -> Array | None:
            for key in self._here:
                if key[0] == kind and key[3] == source:
                    return self._here.pop(key)
            return None

        return self.wait(found)

    def wait(self, ready: Callable[[], T | None]) -> T:
        """Take in messages until ``ready`` gives something; RankError where a rank has gone."""
        looks = 0
        while True:
            found = ready()
            if found is not None:
                return found
            if self.gone is not None:
                raise self.gone
            if self.take_in():
                looks = 0
                continue
            looks += 1
            if looks < _SPINS:
                _yield()
            else:
                time.sleep(_SLEEP)

    def take_in(self) -> bool:
        """Take in one message, if there is one."""
        taken = self.wire.take()
        if taken is None:
            return False
        self._sort(*taken)
        return True

    def _found(self, kind: int, request: int, key: int, source: int | None) -> Array | None:
        if source is not None:
            return self._here.pop((kind, request, key, source), None)
        for at in self._here:
            if at[:3] == (kind, request, key):
                return self._here.pop(at)
        return None

    def _sort(self, source: int, message: Array) -> None:
        session, request, kind, key = (int(i) for i in message[:HEADER].view(np.int64))
        says = message[HEADER:]
        if kind == GONE:
            text = f"rank {source} of {self.wire.size} has ended while others count on it"
            self.gone = RankError(text, source)
        elif session > self.session:
            self._early.append((source, message))
        elif session < self.session or (kind in (DATA, PART) and request <= self.abandoned):
            return
        elif kind == FAILED:
            if request > self.abandoned and request not in self.failures:
                self.failures[request] = self._failure(*unpacked(says))
        else:
            self._here[kind, request, key, source] = says

    def _failure(self, rank: int, what: str, text: str) -> RankError:
        error = RankError(f"rank {rank} of {self.wire.size} failed: {what}", rank)
        error.add_note(f"On rank {rank}:\n{text}")
        return error

    def give_up(self) -> None:
        """Forget what belongs to the newest request."""
        self.abandoned = self.request
        gone = [at for at in self._here if at[0] in (DATA, PART) and at[1] <= self.request]
        for at in gone:
            del self._here[at]


def children(rank: int, size: int) -> list[int]:
    """Those that a rank hands messages on to, in a binomial tree: each rank has one parent."""
    below = []
    step = 1
    while step < size:
        if rank < step and rank + step < size:
            below.append(rank + step)
        step *= 2
    return below[::-1]  # the one with most below it first


def packed(what: Any) -> Array:
    """An object as bytes."""
    return np.frombuffer(pickle.dumps(what, protocol=5), dtype=np.uint8)


def unpacked(message: Array) -> Any:
    """The object again; from ranks of the same program alone."""
    return pickle.loads(message.tobytes())


def _yield() -> None:
    if hasattr(os, "sched_yield"):
        os.sched_yield()
    else:
        time.sleep(0.0)
