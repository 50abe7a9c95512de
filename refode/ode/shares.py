"""Samples by chunks: sums over all of them by a fixed tree, whoever holds which chunk.

A chunk is a run of blocks (machine/threads.py), and where it begins depends on the number of all
samples alone. What a chunk adds up is a leaf of a tree, (D127): partial sums meet in pairs, those
``stride`` apart at strides 1, 2, 4, ... So the bits of a sum depend neither on the number of
threads nor on how many processes the chunks are dealt to. Whoever holds all samples adds in
memory; whoever holds a share of them (``sharing``) sends partial sums to where they are wanted.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from refode._weights import Weighing, equal
from refode.machine.threads import block_size, chunks

Array = np.ndarray
Parts = tuple[Array, ...]  # of each array a row a chunk


class Exchange(Protocol):
    """How partial sums come from one process to another."""

    def begin_sum(self) -> None:
        """Another sum begins, as it does on all the others."""

    def send(self, holder: int, leaf: int, parts: Parts) -> None:
        """Send the partial sum that begins at a leaf to another process."""

    def receive(self, holder: int, leaf: int, like: Parts) -> Parts:
        """The partial sum that begins at a leaf, from the process that holds it."""


class Borders(NamedTuple):
    """Blocks and chunks of n samples."""

    n: int
    S: int  # samples a block
    runs: list[tuple[int, int]]  # a chunk's blocks

    @classmethod
    def of(cls, n: int, largest: int) -> Borders:
        """Those of n samples in blocks of at most ``largest``."""
        S = block_size(n, largest)
        return cls(n, S, chunks(-(-n // S)))

    def rows(self, first: int, last: int) -> slice:
        """The samples of the chunks first, ..., last - 1."""
        return slice(self.runs[first][0] * self.S, min(self.runs[last - 1][1] * self.S, self.n))


class Share(NamedTuple):
    """The chunks of one process among those of all."""

    borders: Borders
    cuts: list[int]  # the first chunk of each process, and how many there are
    mine: int  # this process
    exchange: Exchange | None
    by: Weighing  # this process's weights, with the sum of all

    @classmethod
    def of(
        cls, n: int, largest: int, mine: int = 0, holders: int = 1, exchange: Any = None
    ) -> Share:
        """Of n samples dealt to so many processes, of which none may come out empty."""
        borders = Borders.of(n, largest)
        k = len(borders.runs)
        return cls(
            borders, [k * i // holders for i in range(holders + 1)], mine, exchange, equal(n)
        )

    def rows(self, holder: int | None = None) -> slice:
        """The samples of a process, this one by default."""
        i = self.mine if holder is None else holder
        return self.borders.rows(self.cuts[i], self.cuts[i + 1])

    @property
    def size(self) -> int:
        """How many samples this process has."""
        rows = self.rows()
        return rows.stop - rows.start

    @property
    def runs(self) -> list[tuple[int, int]]:
        """This process's chunks, by its own blocks."""
        first, last = self.cuts[self.mine], self.cuts[self.mine + 1]
        begin = self.borders.runs[first][0]
        return [(a - begin, z - begin) for a, z in self.borders.runs[first:last]]

    def pieces(self) -> list[slice]:
        """This process's samples, chunk by chunk, counted from its own first."""
        S, n = self.borders.S, self.size
        return [slice(a * S, min(z * S, n)) for a, z in self.runs]

    def total(self, parts: Parts) -> Parts:
        """Sums over all chunks, in the process that holds the first one; elsewhere of no use."""
        if self.exchange is None:
            return added(parts)
        cuts, mine, exchange = self.cuts, self.mine, self.exchange
        first, k = cuts[mine], cuts[-1]
        exchange.begin_sum()
        stride = 1
        while stride < k:
            for left in range(0, k - stride, 2 * stride):
                right = left + stride
                a, b = _holder(cuts, left), _holder(cuts, right)
                if b == mine:
                    ours = tuple(part[right - first, ...] for part in parts)
                    if a != mine:
                        exchange.send(a, right, ours)
                if a == mine:
                    own = tuple(part[left - first, ...] for part in parts)
                    theirs = ours if b == mine else exchange.receive(b, right, own)
                    for part, more in zip(parts, theirs, strict=True):
                        part[left - first] += more
            stride *= 2
        return tuple(part[0] for part in parts)


def _holder(cuts: list[int], chunk: int) -> int:
    return int(np.searchsorted(cuts, chunk, side="right")) - 1


def added(parts: Parts) -> Parts:
    """Sums over the first axes, in place, by the tree."""
    k = len(parts[0])
    stride = 1
    while stride < k:
        for part in parts:
            left, right = part[: k - stride : 2 * stride], part[stride :: 2 * stride]
            left += right
        stride *= 2
    return tuple(part[0] for part in parts)


# --- who holds what -------------------------------------------------------------------------
class _Held(threading.local):
    def __init__(self) -> None:
        self.shares: dict[str, Share] = {}


_held = _Held()


@contextlib.contextmanager
def sharing(shares: dict[str, Share]) -> Iterator[None]:
    """Within it this thread's samples ``"x"``, ``"y"`` are shares of more.

    Arrays of other lengths are nobody's share: they are all there is, as outside.
    """
    before, _held.shares = _held.shares, shares
    try:
        yield
    finally:
        _held.shares = before


def share_of(name: str, n: int, largest: int) -> Share:
    """What n samples by that name are a share of: themselves, outside ``sharing``."""
    share = _held.shares.get(name)
    return _all_there_are(n, largest) if share is None or share.size != n else share


@functools.lru_cache(256)  # asked for at every sweep
def _all_there_are(n: int, largest: int) -> Share:
    return Share.of(n, largest)


def weighing_of(name: str, n: int) -> Weighing | None:
    """By what n samples by that name are weighed among all; None where they are no share."""
    share = _held.shares.get(name)
    return None if share is None or share.size != n else share.by


class Rows:
    """Samples here, for what problems compute besides sweeps, chunk by chunk.

    Products of matrices outside kernels may round a row by how many rows there are: chunk by
    chunk they are the same products in whatever process.

    Parameters
    ----------
    n : int
        How many samples there are here.
    largest : int
        The most samples of a block, as the field says.
    name : str
        Whose share they may be.
    """

    def __init__(self, n: int, largest: int, name: str = "x") -> None:
        self._share = share_of(name, n, largest)

    @property
    def n(self) -> int:
        """How many samples there are in all."""
        return self._share.borders.n

    def apply(self, function: Callable[..., Array], *arrays: Array) -> Array:
        """function(*arrays), samples first, for a chunk at a time."""
        done = [function(*(a[piece] for a in arrays)) for piece in self._share.pieces()]
        return done[0] if len(done) == 1 else np.concatenate(done)

    def sums(self, function: Callable[..., Any], *arrays: Array) -> Any:
        """Sum over the chunks of what function(*arrays) gives for one, a number or a vector.

        It is of use in the process that holds the first chunk alone, as all that is made of it.
        """
        parts = [function(*(a[piece] for a in arrays)) for piece in self._share.pieces()]
        return self._share.total((np.array(parts, dtype=float),))[0]

    def mean(self, by: Weighing, values: Array) -> Any:
        """Weighed mean of values (N,) or (N, k) over all samples."""
        if by.weights is None:
            return self.sums(equal(0).sum, values) / by.total
        return self.sums(lambda v, w: Weighing(w, 0.0).sum(v), values, by.weights) / by.total

    def drawn(self, draw: Callable[[tuple[int, int]], Array], columns: int) -> Array:
        """This process's rows of what draw((N, columns)) gives for all: the others' go by."""
        rows = self._share.rows()
        at_once = max(1, 2**18 // max(columns, 1))
        for start in range(0, rows.start, at_once):
            draw((min(at_once, rows.start - start), columns))
        return draw((rows.stop - rows.start, columns))
