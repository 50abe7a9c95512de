"""A rank that fails ends what all were doing, with its number, and none waits in vain."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from ranks_in_threads import Queues, together

import refode
from refode.distributed import Distributed, RankError
from refode.distributed.door import session, share
from refode.distributed.post import Post, children

X = np.random.default_rng(0).standard_normal((1000, 2))
Y = X.sum(axis=1)
SECONDS = 60.0


class Faulty(refode.Supervised):
    """It raises an error on the ranks named, at the calls named."""

    def __init__(self, ranks, calls, error):
        super().__init__(ODE, "regression")
        self.at, self.calls, self.error = {f"rank {rank}" for rank in ranks}, set(calls), error
        self.seen = dict.fromkeys(self.at, 0)

    def value_and_gradient(self, theta, x, y):
        name = threading.current_thread().name
        if name in self.at:
            self.seen[name] += 1
            if self.seen[name] in self.calls:
                raise self.error
        return super().value_and_gradient(theta, x, y)


def faulty(*ranks, calls=(1,), error=None):
    return Faulty(ranks, calls, ValueError("planted") if error is None else error)


ODE = refode.NeuralODE(refode.fields.MLP(2, (3, 3)), n_steps=2)
SOUND = refode.Supervised(ODE, "regression")


def value(of, *data):
    return of.value_and_gradient(of.initial(1), *data)[0]


def everywhere(results, rank, what):
    for i, error in enumerate(results):
        assert isinstance(error, RankError), (i, error)
        assert error.rank == rank
        assert str(error) == f"rank {rank} of {len(results)} failed: {what}"


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_a_rank_that_fails_ends_all_with_one_error(rank):
    results = together(4, value, lambda _: (faulty(rank), (X, Y), None), SECONDS)
    everywhere(results, rank, "ValueError: planted")
    assert str(results[rank].__cause__) == "planted"  # where it failed, the error itself


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), MemoryError("none left")])
def test_whatever_a_rank_fails_with(error):
    results = together(3, value, lambda _: (faulty(1, error=error), (X, Y), None), SECONDS)
    everywhere(results, 1, f"{type(error).__name__}: {error}")


def test_a_failure_is_over_once_rank_0_has_caught_it():
    """Messages of the call that failed are forgotten, and the next one has the right bits."""
    problem = faulty(1, 2, calls=(2, 5))
    theta = problem.initial(1)

    def work(of, *data):
        data, answers = of.placed(data), []
        for _ in range(6):
            try:
                answers.append(of.value_and_gradient(theta, *data)[1].tobytes())
            except RankError as error:
                answers.append(str(error).replace("rank 2", "rank 1"))
        return answers

    right = SOUND.value_and_gradient(theta, X, Y)[1].tobytes()
    failed = "rank 1 of 4 failed: ValueError: planted"
    wanted = [right, failed, right, right, failed, right]
    assert together(4, work, lambda _: (problem, (X, Y), None), SECONDS) == [wanted] * 4


def test_rank_0_s_own_error_reaches_all():
    def work(of, *data):
        raise LookupError("not here")

    results = together(3, work, lambda _: (SOUND, (X, Y), None), SECONDS)
    assert isinstance(results[0], LookupError)
    for error in results[1:]:
        assert str(error) == "rank 0 of 3 failed: LookupError: not here"


def test_too_many_ranks_are_told_the_largest_number():
    results = together(7, value, lambda _: (SOUND, (X, Y), None), SECONDS)
    wanted = "x: got 1000 samples for 7 ranks, wanted at most 6 ranks: these samples make 6 chunks"
    assert str(results[0]).startswith(wanted)
    for error in results[1:]:
        assert str(error).startswith(f"rank 0 of 7 failed: ValueError: {wanted}")


def test_bad_input_is_rank_0_s_error_as_in_one_process():
    def work(of, *data):
        with pytest.raises(ValueError, match=r"^theta: got an array of shape \(3,\), wanted"):
            of.value(np.zeros(3), *data)
        with pytest.raises(ValueError, match="^y: got"):
            of.value(of.initial(), X, Y[:-1])
        with pytest.raises(TypeError, match="^y: got 1 arrays of data"):
            of.value(of.initial(), X)
        with pytest.raises(TypeError, match="^x: got an array that is spread over ranks"):
            SOUND.value(of.initial(), *data)
        return of.value(of.initial(), *data)

    wanted = SOUND.value(SOUND.initial(), X, Y)
    assert together(3, work, lambda _: (SOUND, (X, Y), None), SECONDS) == [wanted] * 3


def test_ranks_with_other_problems_are_no_party():
    other = refode.Supervised(ODE, "regression", tikhonov=1.0)
    given = lambda rank: (other if rank == 2 else SOUND, (X, Y), None)  # noqa: E731
    for error in together(3, value, given, SECONDS):
        assert str(error).startswith("rank 2 of 3 failed: problem: got ")


def test_ranks_may_have_no_problem_but_rank_0():
    given = lambda rank: (SOUND, (X, Y), None) if rank == 0 else (None, (), None)  # noqa: E731
    wanted = value(SOUND, X, Y)
    assert together(3, value, given, SECONDS) == [wanted] * 3


def test_rows_that_are_not_the_share_are_an_error():
    given = lambda rank: (SOUND, (X[:500], Y[:500]), 1000)  # noqa: E731
    results = together(3, value, given, SECONDS)
    assert str(results[0]).startswith("x: got an array of shape (500, 2), wanted the ")
    results = together(3, value, lambda rank: (SOUND, (), 1000), SECONDS)
    assert str(results[0]).startswith("n: got 1000 with 0 arrays, wanted")


def test_problems_that_nobody_can_distribute():
    for problem in (object(), None):
        results = together(2, value, lambda _, p=problem: (p, (X, Y), None), SECONDS)
        assert str(results[0]).startswith("problem: got ")
    assert issubclass(Distributed, refode.training.run.Problem)


def test_a_rank_that_has_ended_is_missed():
    import queue

    from refode.distributed.post import GONE

    boxes = [queue.SimpleQueue() for _ in range(2)]
    Queues(1, boxes).put(0, np.array([0, 0, GONE, 0], dtype=np.int64).view(np.uint8))
    with pytest.raises(RankError, match="^rank 1 of 2 has ended while others count on it$"):
        session(Post(Queues(0, boxes), 1, []), value, SOUND, (X, Y), None)


@pytest.mark.parametrize("size", range(1, 40))
def test_every_rank_has_one_parent(size):
    below = [child for rank in range(size) for child in children(rank, size)]
    assert sorted(below) == list(range(1, size))
    for rank in range(size):
        for child in children(rank, size):
            assert rank == child - (1 << (child.bit_length() - 1))


def test_without_mpi_the_doors_say_what_to_install(monkeypatch):
    import builtins
    import sys

    real = builtins.__import__

    def without(name, *rest):
        if name == "mpi4py":
            raise ImportError("No module named 'mpi4py'")
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "refode.distributed.mpi", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'refode\[mpi\]'"):
        share(SOUND, 1000)
