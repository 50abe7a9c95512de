"""Ranks as threads of one process: messages go through queues, and no MPI is needed."""

from __future__ import annotations

import queue
import threading
from typing import Any

from refode.distributed.door import session
from refode.distributed.post import Post


class Queues:
    """A wire: what is put is copied, and there at once."""

    def __init__(self, rank: int, boxes: list[queue.SimpleQueue]) -> None:
        self.rank, self.size, self._boxes = rank, len(boxes), boxes

    def put(self, to: int, message: Any) -> Any:
        self._boxes[to].put((self.rank, message.copy()))
        return lambda: True

    def take(self) -> Any:
        try:
            return self._boxes[self.rank].get_nowait()
        except queue.Empty:
            return None


def together(size: int, work: Any, given: Any, seconds: float = 300.0) -> list[Any]:
    """What ``lead(work, *given(rank))`` returns or raises on each of so many ranks.

    ``given`` is a function of the rank: the problem, the data and n.
    """
    boxes = [queue.SimpleQueue() for _ in range(size)]
    results: list[Any] = [TimeoutError("a rank that has not come to its end")] * size

    def rank(i: int) -> None:
        problem, data, n = given(i)
        try:
            results[i] = session(Post(Queues(i, boxes), 1, []), work, problem, data, n)
        except BaseException as error:
            results[i] = error

    threads = [
        threading.Thread(target=rank, args=(i,), name=f"rank {i}", daemon=True) for i in range(size)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    return results
