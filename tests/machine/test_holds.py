"""BLAS held to one thread: by whom, until when, and what becomes of others' limits."""

from __future__ import annotations

import os
import threading

import numpy as np
import program
import pytest

import refode
from refode import _blas
from refode.machine import threads as parallel

BUNDLED = _blas.libraries()


class Fake:
    """A BLAS that counts: a number for the process, or one for each thread."""

    def __init__(self, n: int, by_thread: bool = False) -> None:
        self._n, self._own, self.by_thread = n, {}, by_thread

    def get(self) -> int:
        return self._own.get(threading.get_ident(), self._n)

    def set(self, n: int) -> None:
        if self.by_thread:
            self._own[threading.get_ident()] = n
        else:
            self._n = n


@pytest.fixture
def fake(monkeypatch):
    """Put it in the place of all there are."""

    def put(*made: Fake) -> None:
        monkeypatch.setitem(_blas._found, "all", made)

    return put


def nobody() -> bool:
    return not (_blas._holders or _blas._restoring or _blas._before)


@pytest.mark.nojit
def test_holds_overlap_and_the_last_gives_back(fake):
    blas = Fake(6)
    fake(blas)
    first, second = _blas.Hold(), _blas.Hold()
    first.take()
    second.take()
    assert blas.get() == 1
    first.give_back()
    assert blas.get() == 1
    second.give_back()
    assert blas.get() == 6
    assert nobody()


@pytest.mark.nojit
def test_both_ends_may_be_called_again(fake):
    blas = Fake(6)
    fake(blas)
    hold = _blas.Hold()
    hold.give_back()
    hold.take()
    hold.take()
    hold.give_back()
    assert blas.get() == 6
    blas.set(1)  # somebody's own wish: nothing of before is left to come back
    hold.give_back()
    assert blas.get() == 1
    assert nobody()


@pytest.mark.nojit
def test_a_limit_that_somebody_sets_meanwhile_survives(fake):
    blas = Fake(6)
    fake(blas)
    with parallel.single_threaded_blas():
        blas.set(3)
    assert blas.get() == 3
    with parallel.single_threaded_blas():
        blas.set(4)
        with parallel.single_threaded_blas():  # the next sweep of a training
            assert blas.get() == 1
        assert blas.get() == 1
    assert blas.get() == 4
    assert nobody()


@pytest.mark.nojit
def test_numbers_of_each_thread_are_that_thread_s(fake):
    blas, inside = Fake(6, by_thread=True), []
    fake(blas)

    def elsewhere() -> None:
        with parallel.single_threaded_blas():
            inside.append(blas.get())
        inside.append(blas.get())

    with parallel.single_threaded_blas():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert blas.get() == 1
    assert inside == [1, 6]
    assert blas.get() == 6


@pytest.mark.nojit
def test_helpers_of_ours_have_one_thread_each_where_numbers_are_theirs(fake, monkeypatch):
    blas, inside = Fake(6, by_thread=True), []
    fake(blas)
    monkeypatch.setitem(parallel._state, "threads", 3)
    monkeypatch.setattr(parallel, "_pool", [parallel._Pool()])
    barrier = threading.Barrier(3, timeout=30)

    def task(i: int) -> None:
        barrier.wait()
        inside.append(blas.get())

    parallel.run(task, 3)
    assert inside == [1, 1, 1]


@pytest.mark.nojit
@pytest.mark.parametrize("at", ["take", "work", "give back", "give back twice"])
def test_everything_is_given_back_whatever_comes(at, fake, monkeypatch):
    blas = Fake(6)
    fake(blas)
    hold, give_back, left = _blas.Hold(), _blas.Hold.give_back, [at.count("twice") + 1]

    def late(self: _blas.Hold) -> None:
        if left[0]:
            left[0] -= 1
            raise KeyboardInterrupt
        give_back(self)

    def raising() -> None:
        raise KeyboardInterrupt

    if at == "take":
        monkeypatch.setattr(blas, "set", lambda n: raising() if n == 1 else Fake.set(blas, n))
    elif at.startswith("give back"):
        monkeypatch.setattr(_blas.Hold, "give_back", late)
    with pytest.raises(KeyboardInterrupt):
        hold.around(raising if at == "work" else int)
    assert blas.get() == 6
    assert nobody()


@pytest.mark.nojit
def test_an_end_that_never_comes_is_given_up(fake, monkeypatch):
    fake(Fake(6))
    hold = _blas.Hold()

    def never(self: _blas.Hold) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_blas.Hold, "give_back", never)
        with pytest.raises(KeyboardInterrupt):
            hold.around(int)
    hold.give_back()
    assert nobody()


@pytest.mark.nojit
def test_who_begins_waits_for_who_gives_back_in_another_thread_alone(fake):
    blas = Fake(6)
    fake(blas)
    me, hold = threading.get_ident(), _blas.Hold()
    try:
        _blas._restoring[-1] = me  # a handler in the middle of giving back
        hold.take()
        _blas._restoring[-1] = me + 1  # another thread, about to set what was before
        blas.set(6)

        def end() -> None:
            blas.set(6)
            _blas._restoring.pop(-1, None)

        timer = threading.Timer(0.02, end)
        timer.start()
        hold.take()
        timer.join()
        assert blas.get() == 1
    finally:
        _blas._restoring.pop(-1, None)
        hold.give_back()


@pytest.mark.nojit
@pytest.mark.skipif(not BUNDLED, reason="no BLAS that can be told")
@pytest.mark.parametrize("threads", [1, 3])
def test_overlapping_trainings_give_blas_back(threads, monkeypatch):
    """The first to begin ends first; three times."""
    monkeypatch.setitem(parallel._state, "threads", threads)
    numbers = [library.get() for library in BUNDLED]
    for library in BUNDLED:
        library.set(2)
    ode = refode.NeuralODE(refode.fields.Affine(1), n_steps=1)
    problem = refode.Supervised(ode, loss="regression", readout=False)
    x, y = np.array([[1.0], [2.0]]), np.array([[2.0], [4.0]])
    try:
        for _ in range(3):
            inside, ended = threading.Event(), threading.Event()

            def second(inside=inside, ended=ended) -> None:
                def wait(intermediate: object) -> bool:
                    inside.set()
                    return ended.wait(30)

                refode.train(problem, x, y, callback=wait, progress=False)

            def first(result: object, inside=inside, started=[]) -> bool:  # noqa: B006
                thread = threading.Thread(target=second)
                thread.start()
                started.append(thread)
                return inside.wait(30)

            refode.train(problem, x, y, callback=first, progress=False)
            assert {library.get() for library in BUNDLED} == {1}  # the second still runs
            ended.set()
            first.__defaults__[1][0].join()
            assert {library.get() for library in BUNDLED} == {2}
            assert nobody()
    finally:
        for library, n in zip(BUNDLED, numbers, strict=True):
            library.set(n)


@pytest.mark.nojit
def test_threadpoolctl_s_first_thread_stays_who_it_is():
    """Version 3.8 lets one thread set limits, the first that does: that is not us."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    limits = []

    def elsewhere() -> None:
        with threadpoolctl.threadpool_limits(2, user_api="blas"):
            limits.append([library.get() for library in BUNDLED])

    numbers = [library.get() for library in BUNDLED]
    with parallel.single_threaded_blas():
        pass
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    usable = min(2, os.cpu_count() or 1)
    assert limits == [[usable if n > 1 else 2 for n in numbers]] or limits == [[2] * len(BUNDLED)]
    assert [library.get() for library in BUNDLED] == numbers


# --- forks -----------------------------------------------------------------------------------
FORK = """
import os, threading
import refode
from refode import _blas
from refode.machine import threads as parallel

blas = _blas.libraries()
for library in blas:
    library.set(2)
inside, ended = threading.Event(), threading.Event()

def hold():
    with parallel.single_threaded_blas():
        inside.set()
        ended.wait(60)

thread = threading.Thread(target=hold)
thread.start()
inside.wait(60)
refode.set_num_threads(3)
parallel.run(lambda i: i, 8)
if os.fork() == 0:
    freed = not _blas._holders and all(library.get() == 2 for library in blas)
    computed = parallel.run(lambda i: i, 8) == list(range(8))
    os._exit(40 + freed + 2 * computed)
status = os.waitstatus_to_exitcode(os.wait()[1])
ended.set()
thread.join()
print(status)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
@pytest.mark.skipif((os.cpu_count() or 1) < 2 or not BUNDLED, reason="one thread in any case")
def test_a_fork_has_no_holds_of_threads_that_it_has_not():
    done = program.run(FORK, timeout=120)
    assert done.stdout.split() == ["43"], done.stderr
