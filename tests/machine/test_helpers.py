"""Helper threads: there again after exceptions, waited for at work, and gone when too many."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref

import pytest

from refode.machine import threads as parallel


@pytest.mark.nojit
def test_helpers_are_there_again_after_exceptions(monkeypatch):
    monkeypatch.setitem(parallel._state, "threads", 4)
    pool = parallel._Pool()
    monkeypatch.setattr(parallel, "_pool", [pool])

    def fail(i: int) -> None:
        raise KeyboardInterrupt

    for _ in range(50):
        with pytest.raises(KeyboardInterrupt):
            parallel.run(fail, 8)
    assert parallel.run(lambda i: i, 8) == list(range(8))
    until = time.monotonic() + 30
    while not 1 <= serving(pool) <= 3 and time.monotonic() < until:
        time.sleep(0.01)  # they come a little later, and those too many go home
    assert 1 <= serving(pool) <= 3


def serving(pool):
    """Threads of a pool, whose identities may be those of threads that ended."""
    n = 0
    for frame in sys._current_frames().values():
        while frame is not None:
            n += frame.f_code is parallel._Pool._serve.__code__ and frame.f_locals["self"] is pool
            frame = frame.f_back
    return n


@pytest.mark.nojit
def test_helpers_at_work_are_waited_for_and_others_are_not(monkeypatch):
    monkeypatch.setitem(parallel._state, "threads", 2)
    monkeypatch.setattr(parallel, "_pool", [parallel._Pool()])
    began, free, done = threading.Event(), threading.Event(), []

    def task(i: int) -> None:
        if threading.current_thread() is threading.main_thread():
            assert began.wait(30)
            threading.Timer(0.05, free.set).start()
            raise KeyboardInterrupt
        began.set()
        free.wait(30)
        done.append(i)

    with pytest.raises(KeyboardInterrupt):
        parallel.run(task, 2)
    assert done  # it is at work no longer

    busy = threading.Event()
    blocking = parallel._Job(lambda: busy.wait(30))
    parallel._pool[0].offer([blocking])  # the one helper has something else to do
    assert parallel.run(lambda i: i, 4) == list(range(4))
    busy.set()
    blocking.end()


@pytest.mark.nojit
def test_jobs_that_were_taken_back_keep_nothing_alive(monkeypatch):
    class Big:
        pass

    monkeypatch.setattr(parallel, "_pool", [parallel._Pool()])
    busy, big = threading.Event(), Big()
    blocking = parallel._Job(lambda: busy.wait(30))
    parallel._pool[0].offer([blocking])
    parallel.together(lambda held=big: None, 2)
    gone = []
    weakref.finalize(big, gone.append, True)
    del big
    gc.collect()
    assert gone
    busy.set()
    blocking.end()


@pytest.mark.nojit
def test_no_more_threads_to_be_had_is_no_error(monkeypatch):
    def refuse(*arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(parallel, "_pool", [parallel._Pool()])
    monkeypatch.setattr(parallel, "start_new_thread", refuse)
    monkeypatch.setitem(parallel._state, "threads", 4)
    assert parallel.run(lambda i: i, 8) == list(range(8))


@pytest.mark.nojit
def test_a_helper_too_many_goes_home():
    pool = parallel._Pool()
    pool._serve()  # nobody has asked for any
    assert not pool._here
