"""Chunks of blocks on threads, with the same bits for any number of threads.

Kernels release the GIL, so plain Python threads run them side by side. The number
of chunks depends on the number of blocks alone, each chunk adds into buffers of
its own, and these are summed in order: 1, 2 or 16 threads give the same bits.
"""

from __future__ import annotations

import functools
import itertools
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

from refode import _validate
from refode.machine.blas import load_blas

MOST_CHUNKS = 16
_state: dict[str, Any] = {"threads": None}


def get_num_threads() -> int:
    """Number of threads the sweeps use.

    ``REFODE_NUM_THREADS`` where set, else the number of usable processors.
    """
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


def set_num_threads(n: int) -> None:
    """Set the number of threads of the sweeps; results do not depend on it."""
    _state["threads"] = _validate.positive_int("n", n)


class _Helper:
    """A thread that waits for work, and costs as little as a thread can to wake."""

    def __init__(self) -> None:
        self._given: queue.SimpleQueue[Callable[[], Any]] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="refode", daemon=True).start()

    def _serve(self) -> None:
        while True:
            work, error = self._given.get(), None
            try:
                work()
            except BaseException as raised:
                error = raised
            del work  # nothing stays alive for the sake of a thread that waits
            self._done.put(error)
            del error

    def start(self, work: Callable[[], Any]) -> None:
        """Call ``work`` on this thread."""
        self._given.put(work)

    def wait(self) -> BaseException | None:
        """Wait for the work's end; what it raised."""
        return self._done.get()


_idle: list[_Helper] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # a fork has none of its parent's threads


def _borrow() -> _Helper:
    try:
        return _idle.pop()
    except IndexError:
        return _Helper()


@functools.cache
def _blas() -> Any:
    load_blas()
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas").lib_controllers


class _SingleThreaded:
    """BLAS on one thread as long as any of our sweeps runs, whichever thread began."""

    def __init__(self) -> None:
        self._inside = 0
        self._limited: list[tuple[Any, int]] = []
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                counts = [(library, library.get_num_threads()) for library in _blas()]
                self._limited = [(library, n) for library, n in counts if n != 1]
                for library, _ in self._limited:
                    library.set_num_threads(1)
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                for library, n in self._limited:
                    library.set_num_threads(n)


_single_threaded = _SingleThreaded()


def single_threaded_blas() -> _SingleThreaded:
    """Context in which BLAS runs on one thread."""
    return _single_threaded


def block_size(n_samples: int, largest: int) -> int:
    """Samples a block: at most ``largest``, a multiple of 8, as even as possible.

    More than one block come in even numbers, more than eight in multiples of eight, so
    that two, four or eight threads get equal shares.
    """
    blocks = -(-n_samples // largest)
    if blocks > 1:
        group = 2 if blocks <= 8 else 8
        blocks = -(-blocks // group) * group
    even = -(-n_samples // blocks)
    return min(largest, -(-even // 8) * 8)


def chunks(n_blocks: int) -> list[tuple[int, int]]:
    """Runs of blocks, the same for any number of threads."""
    n = min(MOST_CHUNKS, n_blocks)
    return [(i * n_blocks // n, (i + 1) * n_blocks // n) for i in range(n)]


def together(work: Callable[[], Any], n_tasks: int) -> None:
    """Call ``work`` on as many threads as there are tasks and threads for them.

    It does whatever tasks it finds left, and ends when there are none.
    """
    with single_threaded_blas():
        helpers = [_borrow() for _ in range(min(get_num_threads(), n_tasks) - 1)]
        errors: list[BaseException | None] = []
        for helper in helpers:
            helper.start(work)
        try:
            work()
        finally:
            for helper in helpers:
                errors.append(helper.wait())
                _idle.append(helper)
    for error in errors:
        if error is not None:
            raise error


def run(task: Callable[[int], Any], n_tasks: int) -> list[Any]:
    """[task(0), ..., task(n_tasks-1)], each thread taking the next one that is left."""
    results: list[Any] = [None] * n_tasks
    left = itertools.count()

    def work() -> None:
        while (i := next(left)) < n_tasks:
            results[i] = task(i)

    together(work, n_tasks)
    return results
