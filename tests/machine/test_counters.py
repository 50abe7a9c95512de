"""Counters that threads share, and the call that gives way."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from refode.machine.compile import kernel
from refode.machine.counting import WAY, added, given_way, put

pytestmark = pytest.mark.nojit


@kernel
def add_many(counters, n, way):
    """n times one more, and what was there before the first."""
    first = added(counters, 1, 0)
    for _ in range(n):
        added(counters, 1, 1)
        given_way(way)
    return first


@kernel
def set_to(counters, i, n):
    """One of them."""
    put(counters, i, n)


def test_what_threads_add_is_all_there():
    counters = np.zeros(3, dtype=np.int64)
    n = 2000
    workers = [threading.Thread(target=add_many, args=(counters, n, WAY)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert counters.tolist() == [0, 4 * n, 0]
    assert add_many(counters, 0, WAY) == 4 * n


def test_a_counter_is_set():
    counters = np.zeros(3, dtype=np.int64)
    set_to(counters, 2, -5)
    assert counters.tolist() == [0, 0, -5]
    assert add_many(counters, 2, 0) == 0  # no such function in this system
