"""Chunks of blocks on threads, with the same bits for any number of threads.

Kernels release the GIL, so plain Python threads run them side by side. The number
of chunks depends on the number of blocks alone, each chunk adds into buffers of
its own, and these are summed in order: 1, 2 or 16 threads give the same bits.

Whatever exception comes, and whenever, no helper is lost and none is left at work; and a signal
handler may compute in the middle of a sweep: it finds the helpers at work, and does without.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import threading
from _thread import start_new_thread
from collections.abc import Callable, Iterator
from typing import Any

from refode import _validate
from refode._blas import Hold, limit_this_thread

MOST_CHUNKS = 16
#: Samples that blocks have at least that are there for other threads' sake alone: with fewer, what
#: a block costs by itself outweighs what another thread saves; so do columns without a sample, of
#: which there may be a fifth.
FEW = 24
_state: dict[str, Any] = {"threads": None}
_here = threading.local()  # the number of one thread's own sweeps, where it has one


def get_num_threads() -> int:
    """Number of threads the sweeps use.

    ``REFODE_NUM_THREADS`` where set, else the number of usable processors.
    """
    own = getattr(_here, "threads", None)
    if own is not None:
        return own
    if _state["threads"] is None:
        named = os.environ.get("REFODE_NUM_THREADS")
        _state["threads"] = _usable_processors() if named is None else _number(named)
    return _state["threads"]


def _number(named: str) -> int:
    """The environment's number of threads; "²" is a digit to Python, and no number."""
    if not (named.isascii() and named.isdigit() and 0 < int(named) < 2**31):
        raise ValueError(
            f"REFODE_NUM_THREADS: got {_validate.short(named)}, wanted a positive integer"
        )
    return int(named)


def _usable_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_set() -> bool:
    """Whether somebody has set the number of threads, in this program or its environment."""
    chosen = _state["threads"] not in (None, _usable_processors())
    return chosen or "REFODE_NUM_THREADS" in os.environ


def set_num_threads(n: int) -> None:
    """Set the number of threads of the sweeps; results do not depend on it."""
    _state["threads"] = _validate.positive_int("n", n)


@contextlib.contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Context: n threads for the sweeps that this thread asks for, and nobody else's."""
    before = getattr(_here, "threads", None)
    try:
        _here.threads = n
        yield
    finally:
        _here.threads = before


class _Job:
    """Work that is offered to helpers, once each, and may be taken back."""

    __slots__ = ("_by", "_ended", "_work", "done", "error")

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work: Callable[[], Any] | None = work
        self._by: dict[str, str] = {}  # who has it: setdefault answers all the same, for ever
        self._ended = threading.Lock()
        self._ended.acquire()
        self.done = False
        self.error: BaseException | None = None  # what the work raised, on a helper

    def help(self) -> None:
        """Do it, on a helper, unless it has been taken back."""
        if self._by.setdefault("by", "helper") != "helper":
            return
        work, self._work = self._work, None
        try:
            work()  # type: ignore[misc]
        except BaseException as error:
            self.error = error
        finally:
            del work
            self.done = True
            self._ended.release()

    def end(self) -> None:
        """Take it back, or wait for its end; may be called again."""
        if self._by.setdefault("by", "owner") == "owner":
            self._work = None  # the job may lie in the queue for a while yet
        elif not self.done:
            self._ended.acquire()


class _Pool:
    """Threads that wait for jobs, and cost as little as threads can to wake.

    They belong to nobody, so that nothing is lost where an exception comes between two steps.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._here: set[int] = set()
        self._most = 0

    def offer(self, jobs: list[_Job]) -> None:
        """Put jobs where helpers find them, of which there are as many as were ever asked for."""
        self._most = max(self._most, len(jobs))
        for _ in range(len(jobs) - len(self._here)):
            try:
                start_new_thread(self._serve, ())
            except RuntimeError:  # no more threads are to be had: whoever offers does it all
                break
        for job in jobs:
            self._jobs.put(job)

    def _serve(self) -> None:
        me = threading.get_ident()
        self._here.add(me)
        if len(self._here) > self._most:  # two saw that one was missing
            self._here.discard(me)
            return
        limit_this_thread()
        while True:
            job = self._jobs.get()
            job.help()
            del job  # nothing stays alive for the sake of a thread that waits


_pool = [_Pool()]
if hasattr(os, "register_at_fork"):  # a fork has none of its parent's threads

    def _renew() -> None:
        _pool[0] = _Pool()

    os.register_at_fork(after_in_child=_renew)


class Team(Hold):
    """As many threads at one work as there are tasks and threads for them; BLAS on one each.

    ``Team(work, n_tasks).around(work)`` calls it on each. The work does whatever tasks it finds
    left, and ends when there are none: so a helper that has not begun when this thread ends need
    not begin.
    """

    def __init__(self, work: Callable[[], Any], n_tasks: int) -> None:
        super().__init__()
        self.jobs = [_Job(work) for _ in range(min(get_num_threads(), n_tasks) - 1)]

    def take(self) -> None:
        """Hold BLAS, then call the helpers."""
        super().take()
        if self.jobs:
            _pool[0].offer(self.jobs)

    def give_back(self) -> None:
        """Wait for the helpers that have begun, then give BLAS back."""
        for job in self.jobs:
            job.end()
        super().give_back()

    def check(self) -> None:
        """Raise what was raised on a helper."""
        for job in self.jobs:
            if job.error is not None:
                raise job.error


class _SingleThreaded(Hold):
    """The same as a context."""

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *exception: object) -> None:
        self.give_back()


def single_threaded_blas() -> _SingleThreaded:
    """Context in which BLAS runs on one thread."""
    return _SingleThreaded()


def block_size(n_samples: int, largest: int) -> int:
    """Samples a block: at most ``largest``, a multiple of 8, as even as possible.

    More than one block come in even numbers, more than eight in multiples of eight, so
    that two, four or eight threads get equal shares. Few samples make four blocks or two all the
    same, so that they find threads at work too, where each has enough of them.
    """
    blocks = -(-n_samples // largest)
    if blocks > 1:
        group = 2 if blocks <= 8 else 8
        blocks = -(-blocks // group) * group
    for more in (4, 2):
        size = _even(n_samples, more)
        if blocks < more and n_samples >= more * FEW and 5 * more * size <= 6 * n_samples:
            blocks = more
    return min(largest, _even(n_samples, blocks))


def _even(n_samples: int, blocks: int) -> int:
    """Samples in each of so many blocks, a multiple of 8."""
    return -(-n_samples // (8 * blocks)) * 8


def chunks(n_blocks: int) -> list[tuple[int, int]]:
    """Runs of blocks, the same for any number of threads."""
    n = min(MOST_CHUNKS, n_blocks)
    return [(i * n_blocks // n, (i + 1) * n_blocks // n) for i in range(n)]


def together(work: Callable[[], Any], n_tasks: int) -> None:
    """Call ``work`` on as many threads as there are tasks and threads for them."""
    Team(work, n_tasks).around(work)


def run(task: Callable[[int], Any], n_tasks: int) -> list[Any]:
    """[task(0), ..., task(n_tasks-1)], each thread taking the next one that is left."""
    results: list[Any] = [None] * n_tasks
    left = itertools.count()

    def work() -> None:
        while (i := next(left)) < n_tasks:
            results[i] = task(i)

    together(work, n_tasks)
    return results
