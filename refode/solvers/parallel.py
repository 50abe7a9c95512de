"""Chunks of blocks on threads, with the same bits for any number of threads.

Kernels release the GIL, so plain Python threads run them side by side. The number
of chunks depends on the number of blocks alone, each chunk adds into buffers of
its own, and these are summed in order: 1, 2 or 16 threads give the same bits.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from refode import _validate

MOST_CHUNKS = 16
_state: dict[str, Any] = {"threads": None, "pool": None, "size": 0}
_lock = threading.Lock()


def get_num_threads() -> int:
    """Number of threads the sweeps use.

    ``REFODE_NUM_THREADS`` where set, else the number of usable processors.
    """
    if _state["threads"] is None:
        named = os.environ.get("REFODE_NUM_THREADS")
        if named is not None and not (named.isdigit() and int(named) > 0):
            raise ValueError(f"REFODE_NUM_THREADS: got {named!r}, wanted a positive integer")
        _state["threads"] = int(named) if named else _usable_processors()
    return _state["threads"]


def _usable_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_num_threads(n: int) -> None:
    """Set the number of threads of the sweeps; results do not depend on it."""
    _state["threads"] = _validate.positive_int("n", n)


def _pool(workers: int) -> ThreadPoolExecutor:
    with _lock:
        if _state["pool"] is None or _state["size"] < workers or _state["pid"] != os.getpid():
            _state["pool"] = ThreadPoolExecutor(workers, thread_name_prefix="refode")
            _state["size"], _state["pid"] = workers, os.getpid()
        return _state["pool"]


@functools.cache
def _blas() -> Any:
    import scipy.linalg.cython_blas  # noqa: F401  the BLAS that the kernels call
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


class _SingleThreaded:
    """BLAS on one thread as long as any of our sweeps runs, whichever thread began."""

    def __init__(self) -> None:
        self._inside = 0
        self._limiter: Any = None
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._limiter = _blas().limit(limits=1)
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limiter.restore_original_limits()


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
        workers = min(get_num_threads(), n_tasks)
        others = [_pool(workers - 1).submit(work) for _ in range(workers - 1)]
        try:
            work()
        finally:
            for future in others:
                future.result()


def run(task: Callable[[int], Any], n_tasks: int) -> list[Any]:
    """[task(0), ..., task(n_tasks-1)], each thread taking the next one that is left."""
    results: list[Any] = [None] * n_tasks
    left = itertools.count()

    def work() -> None:
        while (i := next(left)) < n_tasks:
            results[i] = task(i)

    together(work, n_tasks)
    return results
