"""Ranks at work: rank 0 asks, all of them compute, partial sums meet along the tree."""

from __future__ import annotations

import contextlib
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from refode._weights import Weighing
from refode.distributed.post import (
    CLOSED,
    DATA,
    FLUSHED,
    PART,
    REQUEST,
    Abandoned,
    Post,
    RankError,
    children,
    packed,
    unpacked,
)
from refode.machine import threads
from refode.ode.shares import Parts, Share, sharing

Array = np.ndarray
_PIECE = 2**26  # bytes of samples in a message


class Ranks:
    """A rank among others, in one session, with its samples.

    Parameters
    ----------
    post : Post
    problem : Problem or None
        What samples are given to; None until rank 0 has sent it.
    """

    def __init__(self, post: Post, problem: Any) -> None:
        self.post, self.problem = post, problem
        self.rank, self.size = post.wire.rank, post.wire.size
        self._samples: dict[int, tuple[Array, Share]] = {}
        self._sums = 0  # of this request, so far
        self.whole: Any = None  # what rank 0 deals

    # --- rank 0 ------------------------------------------------------------------------
    def ask(self, what: str, *arguments: Any) -> Any:
        """Have every rank do it; rank 0's answer. RankError where one of them fails."""
        with _uninterrupted(self._abort) if self.size > 1 else contextlib.nullcontext():
            self._check_late()
            self.post.request += 1
            self.post.down(REQUEST, packed((what, arguments)))
            return self._done(what, arguments)

    def _done(self, what: str, arguments: tuple[Any, ...]) -> Any:
        post = self.post
        try:
            answer = getattr(self, what)(*arguments)
            while post.take_in():  # a failure elsewhere, told by now
                pass
            self._check_late()
            return answer
        except Abandoned:
            post.give_up()
            raise post.failures.pop(post.request) from None
        except RankError:
            raise
        except BaseException as error:
            failure = self._tell(error)
            if self.size == 1:
                raise
            raise failure from error

    def _check_late(self) -> None:
        """Raise what a rank failed at after rank 0 had its answer."""
        for request in sorted(self.post.failures):
            failure = self.post.failures.pop(request)
            self.post.abandoned = max(self.post.abandoned, request)
            raise failure

    def _tell(self, error: BaseException) -> RankError:
        text = "".join(traceback.format_exception(error))
        self.post.tell_all(error, text)
        self.post.give_up()
        what = f"{type(error).__name__}: {error}"
        return RankError(f"rank {self.rank} of {self.size} failed: {what}", self.rank)

    def _abort(self) -> None:
        """Ctrl-C once more: rank 0 will not wait for the others."""
        abort = getattr(getattr(self.post.wire, "comm", None), "Abort", None)
        if abort is not None:
            abort(130)

    # --- the others --------------------------------------------------------------------
    def serve(self, failure: BaseException | None = None) -> Any:
        """Do what rank 0 asks for until it has no more; what it says at the end.

        ``failure`` is what this rank has failed at already.
        """
        post, before = self.post, dict(threads._state)
        try:
            return self._served(post, failure)
        finally:
            threads._state.update(before)

    def _served(self, post: Post, failure: BaseException | None) -> Any:
        while True:
            message = post.next_request()
            post.down(REQUEST, message)
            what, arguments = unpacked(message)
            if what == "end":
                answer, error = arguments
                if error is not None and failure is not None:
                    raise error from failure
                if error is not None:
                    raise error
                return answer
            try:
                getattr(self, what)(*arguments)
            except Abandoned:
                post.give_up()
            except RankError:
                raise
            except BaseException as error:
                failure = error
                self._tell(error)

    # --- the end -----------------------------------------------------------------------
    def end(self, answer: Any, error: RankError | None) -> None:
        """Rank 0 has no more to ask."""
        self.post.request += 1
        self.post.down(REQUEST, packed(("end", (answer, error))))

    def close(self) -> None:
        """See all messages off: every rank takes in what comes until all have sent theirs."""
        post = self.post
        if post.gone is not None:
            return
        with contextlib.suppress(RankError):
            post.flush()
            for child in children(self.rank, self.size):
                post.any_of(FLUSHED, child)
            if self.rank:
                parent = self.rank - (1 << (self.rank.bit_length() - 1))
                post.send(parent, FLUSHED)
                post.any_of(CLOSED, parent)
            for child in children(self.rank, self.size):
                post.send(child, CLOSED)
            post.flush()

    # --- what is done on every rank ------------------------------------------------------
    def begin(self, problem: Any, shares: list[int]) -> None:
        """Take the problem where this rank has none, and its share of the threads."""
        if self.problem is None:
            self.problem = problem
        if not threads.is_set():
            threads.set_num_threads(shares[self.rank])

    def keep(self, key: int, samples: Array, share: Share) -> None:
        """Have samples by a number."""
        self._samples[key] = samples, share

    def deal(self, key: int, n: int, shape: tuple[int, ...], dtype: str) -> None:
        """Take this rank's rows of n samples, which rank 0 has and sends."""
        share = Share.of(n, self.problem.ode.field.block(), self.rank, self.size, self)
        rows = share.rows()
        if self.rank == 0:
            for rank in range(1, self.size):
                self._send_rows(rank, self.whole[share.rows(rank)])
            self.keep(key, self.whole[rows], share)
            return
        own = np.empty((rows.stop - rows.start, *shape), np.dtype(dtype))
        for i, piece in enumerate(_pieces(own)):
            piece[...] = self.post.receive(DATA, i, 0).view(own.dtype).reshape(piece.shape)
        self.keep(key, own, share)

    def _send_rows(self, rank: int, rows: Array) -> None:
        for i, piece in enumerate(_pieces(rows)):
            self.post.send(rank, DATA, i, np.ascontiguousarray(piece))
            self.post.flush()

    def call(
        self,
        method: str,
        before: tuple[Any, ...],
        keys: list[int],
        by: tuple[int, float] | None,
        named: dict[str, Any],
        outdated: list[int],
    ) -> Any:
        """A method of the problem, with samples of which every rank has its own rows."""
        for key in outdated:  # which rank 0 asks for no more
            self._samples.pop(key, None)
        data = [self._samples[key] for key in keys]
        shares = {name: share for name, (_, share) in zip("xy", data, strict=False)}
        if by is not None:
            weights = Weighing(self._samples[by[0]][0], by[1])
            shares = {name: share._replace(by=weights) for name, share in shares.items()}
        self._sums = 0
        with sharing(shares):
            return getattr(self.problem, method)(*before, *(own for own, _ in data), **named)

    # --- partial sums --------------------------------------------------------------------
    def begin_sum(self) -> None:
        """Another sum of this request begins, as it does on all ranks."""
        self._sums += 1

    def send(self, holder: int, leaf: int, parts: Parts) -> None:
        """Send the partial sum that begins at a leaf to another rank."""
        self.post.send(holder, PART, self._key(leaf), *parts)

    def receive(self, holder: int, leaf: int, like: Parts) -> Parts:
        """The partial sum that begins at a leaf, from the rank that holds it."""
        message = self.post.receive(PART, self._key(leaf), holder)
        parts, start = [], 0
        for part in like:
            parts.append(message[start : start + part.nbytes].view(part.dtype).reshape(part.shape))
            start += part.nbytes
        return tuple(parts)

    def _key(self, leaf: int) -> int:
        return (self._sums << 32) + leaf


def _pieces(rows: Array) -> Iterator[Array]:
    """Rows by so many bytes."""
    step = max(1, _PIECE // max(1, rows[:1].nbytes))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


@contextlib.contextmanager
def _uninterrupted(again: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C comes after what is within, lest ranks lose each other; a second one: ``again``."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[Any] = []

    def handler(number: int, frame: Any) -> None:
        if came:
            again()
        came.append(frame)

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)
    if came and callable(before):
        before(signal.SIGINT, came[0])


@contextlib.contextmanager
def deaf() -> Iterator[None]:
    """Ctrl-C is rank 0's alone, which tells the others what to do."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)
