"""``lead``, ``train`` and ``share``: the public doors to many ranks."""

from __future__ import annotations

import hashlib
import os
import socket
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import refode
from refode import _validate
from refode._numbers import as_array
from refode.distributed.post import HELLO, Post, RankError, packed, unpacked
from refode.distributed.problem import Distributed, check_chunks, checked
from refode.distributed.ranks import Ranks, deaf
from refode.machine import threads
from refode.ode.shares import Share
from refode.training import records

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

Array = np.ndarray


class Hello(NamedTuple):
    """What a rank says of itself at the start."""

    version: tuple[str, ...]
    processor: str
    host: str
    cores: tuple[int, ...]
    problem: str | None  # its fingerprint, where the rank has one
    digests: tuple[Array, ...]  # of its own rows, a row a chunk, where it has brought them


def share(problem: Any, n: int, comm: Any = None) -> slice:
    """Which of n samples this rank takes: so that each can load its own rows alone.

    Parameters
    ----------
    problem : Supervised, ContinuousNormalizingFlow or MeanFieldGame
        Its field says how many samples a block has.
    n : int
        Number of samples on all ranks together.
    comm : mpi4py.MPI.Intracomm, optional
        ``MPI.COMM_WORLD`` by default.

    Returns
    -------
    slice
        Of rows; those of rank 0 come first. It depends on n, the field and the number of ranks.

    Raises
    ------
    TypeError, ValueError
        Naming the argument; n also where there are more ranks than chunks of samples, with the
        largest number.
    ImportError
        Without mpi4py.
    """
    from refode.distributed.mpi import wire_of

    wire = wire_of(comm)[0]
    n = _validate.positive_int("n", n)
    check_chunks("n", n, checked(problem), wire.size)
    return Share.of(n, problem.ode.field.block(), wire.rank, wire.size).rows()


def train(
    problem: Any,
    x: Any = None,
    y: Any = None,
    *positional: Any,
    n: int | tuple[int, ...] | None = None,
    comm: Any = None,
    **options: Any,
) -> OptimizeResult:
    """``refode.train`` with samples spread over the ranks of MPI: the same bits, on every rank.

    Every rank calls it. Rank 0 trains, shows progress, calls the callback and writes checkpoints;
    the others compute what it asks them for, each on its threads, until it is done.

    Parameters
    ----------
    problem : Supervised, ContinuousNormalizingFlow or MeanFieldGame
        The same on every rank; or None on all but rank 0, which sends it.
    x, y : array_like
        As of ``refode.train``. Rank 0's count, and are dealt out; with ``n`` every rank gives
        its own rows, those that ``share`` says.
    n : int, or tuple of int, optional
        How many samples all ranks have together, where each gives its own rows; a tuple where y
        are other samples than x, as those of a game's target are.
    comm : mpi4py.MPI.Intracomm, optional
        ``MPI.COMM_WORLD`` by default.
    *positional, **options
        As of ``refode.train``, and rank 0's count.

    Returns
    -------
    OptimizeResult
        What ``refode.train`` returns.

    Raises
    ------
    RankError
        A rank failed, on every rank: the message says which one and why. Its ``result`` on rank 0
        is what training had come to, and the checkpoint has it too.
    TypeError, ValueError
        As ``refode.train``, and where there are more ranks than chunks of samples, with the
        largest number; from rank 0. The other ranks raise a RankError that says the same.
    ImportError
        Without mpi4py.

    Notes
    -----
    Checkpoints know nothing of ranks: a run may be resumed on another number of them, or by
    ``refode.train``. Those of ranks that gave their own rows know the data by other digests.
    """
    data = tuple(a for a in (x, y) if a is not None)

    def work(of: Distributed, *data: Any) -> OptimizeResult:
        first, second = (*data, None)[:2]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "RankError", RuntimeWarning)  # it is raised
            result = refode.train(of, first, second, *positional, **options)
        failure = of.failure
        if result.status == records.FAILED and failure and str(failure) in result.message:
            failure.result = result
            raise failure
        return result

    return lead(work, problem, *data, n=n, comm=comm)


def lead(
    work: Callable[..., Any],
    problem: Any = None,
    *data: Any,
    n: int | tuple[int, ...] | None = None,
    comm: Any = None,
) -> Any:
    """Call ``work`` on rank 0, where all ranks compute for it; what it returns, on every rank.

    Parameters
    ----------
    work : callable
        ``work(distributed, *data)``, called on rank 0 alone. The first argument is a
        ``Distributed``, the others what was given. ``distributed.placed(data)`` spreads samples
        once for many calls.
    problem, n, comm
        As of ``train``.
    *data : array_like
        As x and y of ``train``.

    Returns
    -------
    object
        It has to be one that can be pickled.

    Raises
    ------
    RankError
        On all other ranks, where ``work`` raised something; on rank 0 that itself. On every rank,
        where one of them failed.
    """
    from refode.distributed.mpi import wire_of

    wire, sessions, early = wire_of(comm)
    sessions[0] += 1
    return session(Post(wire, sessions[0], early), work, problem, data, n)


def session(post: Post, work: Any, problem: Any, data: tuple[Any, ...], n: Any) -> Any:
    """``lead`` by any wire."""
    ranks = Ranks(post, problem)
    if post.wire.rank == 0:
        return _leading(ranks, work, data, n)
    with deaf():
        failure: Exception | None = None
        try:
            hello = packed(_hello(ranks, data, n))
        except Exception as error:  # which rank 0 tells the others
            hello, failure = packed(f"{type(error).__name__}: {error}"), error
        post.send(0, HELLO, 0, hello)
        try:
            return ranks.serve(failure)
        finally:
            ranks.close()


def _leading(ranks: Ranks, work: Any, data: tuple[Any, ...], n: Any) -> Any:
    answer, error, before = None, None, dict(threads._state)
    try:
        of, data = _begun(ranks, data, n)
        answer = work(of, *data)
        packed(answer)
        return answer
    except RankError as failure:
        error = failure
        raise
    except BaseException as failure:
        what = f"{type(failure).__name__}: {failure}"
        error = RankError(f"rank 0 of {ranks.size} failed: {what}", 0)
        failure.__dict__["told"] = True
        raise
    finally:
        threads._state.update(before)
        ranks.end(answer if error is None else None, error)
        ranks.close()


# --- how it begins --------------------------------------------------------------------------
def _hello(ranks: Ranks, data: tuple[Any, ...], n: Any) -> Hello:
    problem = ranks.problem
    if problem is not None:
        checked(problem)
    from llvmlite import binding

    return Hello(
        tuple(f"{name} {version}" for name, version in _versions()),
        f"{binding.get_host_cpu_name()} {binding.get_host_cpu_features().flatten()}",
        socket.gethostname(),
        _cores(),
        None if problem is None else problem.fingerprint(),
        () if n is None else tuple(_kept(ranks, data, n)),
    )


def _versions() -> Iterator[tuple[str, str]]:
    yield "refode", refode.__version__
    for package in ("numpy", "scipy", "numba"):
        yield package, metadata.version(package)


def _cores() -> tuple[int, ...]:
    """The processors that this rank may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def _kept(ranks: Ranks, data: tuple[Any, ...], n: Any) -> Iterator[Array]:
    """Keep this rank's own rows; a digest of each chunk of them."""
    counts = n if isinstance(n, tuple) else (n,) * len(data)
    if ranks.problem is None or len(counts) != len(data) or not data:
        raise ValueError(
            f"n: got {_validate.short(n)} with {len(data)} arrays, wanted a problem, arrays and "
            "the number of all samples, on every rank"
        )
    for key, (name, value, count) in enumerate(zip("xy", data, counts, strict=False), 1):
        check_chunks(name, _validate.positive_int("n", count), ranks.problem, ranks.size)
        block = ranks.problem.ode.field.block()
        own, rows = as_array(name, value), Share.of(count, block, ranks.rank, ranks.size).rows()
        if own.shape[:1] != (rows.stop - rows.start,):
            raise ValueError(
                f"{name}: got an array of shape {own.shape}, wanted the {rows.stop - rows.start} "
                f"rows {rows.start} to {rows.stop - 1} of n={count}, as share says"
            )
        dealt = Share.of(count, block, ranks.rank, ranks.size, ranks)
        ranks.keep(key, own, dealt)
        digests = [
            hashlib.blake2b(np.ascontiguousarray(own[piece]).data, digest_size=16).digest()
            for piece in dealt.pieces()
        ]
        yield np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 16)


def _begun(ranks: Ranks, data: tuple[Any, ...], n: Any) -> tuple[Distributed, tuple[Any, ...]]:
    """Rank 0: hear from all ranks, see that they fit, and send them what they lack."""
    of = Distributed(ranks.problem, ranks)
    hellos = [_hello(ranks, data, n)]
    for rank in range(1, ranks.size):
        hello = unpacked(ranks.post.any_of(HELLO, rank))
        if isinstance(hello, str):
            raise RankError(f"rank {rank} of {ranks.size} failed: {hello}", rank)
        hellos.append(hello)
    _check_alike(hellos)
    lacking = any(hello.problem is None for hello in hellos)
    ranks.ask("begin", ranks.problem if lacking else None, _threads(hellos))
    if n is None:
        return of, of.placed(data) if data else ()
    counts = n if isinstance(n, tuple) else (n,) * len(data)
    digests = zip(*(hello.digests for hello in hellos), strict=True)
    return of, tuple(
        of.own(count, np.concatenate(parts)) for count, parts in zip(counts, digests, strict=True)
    )


def _check_alike(hellos: list[Hello]) -> None:
    first = hellos[0]
    for rank, hello in enumerate(hellos):
        what = f"rank {rank} of {len(hellos)} failed: "
        if hello.version != first.version:
            had, has = ", ".join(hello.version), ", ".join(first.version)
            raise RankError(f"{what}it has {had}, and rank 0 has {has}", rank)
        if hello.problem not in (None, first.problem):
            raise RankError(
                f"{what}problem: got {_validate.short(hello.problem)}, wanted rank 0's, "
                f"{_validate.short(first.problem)}",
                rank,
            )
        if hello.processor != first.processor:
            warnings.warn(
                f"comm: got a processor on rank {rank} that is not of rank 0's kind: results have "
                "not the bits of one process",
                RuntimeWarning,
                stacklevel=6,
            )


def _threads(hellos: list[Hello]) -> list[int]:
    """How many threads each rank uses by itself: ranks that share processors share them evenly."""
    sharing = Counter((hello.host, hello.cores) for hello in hellos)
    return [max(1, len(h.cores) // sharing[h.host, h.cores]) for h in hellos]
