"""Ctrl-C at 1,500 points of sweeps and trainings, and what is left of it afterwards: nothing.

Python raises a signal handler's exception in the main thread where a function is entered and where
a call comes back. A profiler sees just these events, so that the exception can be raised at each of
them in turn: at the k-th of a workload, for k spread over all there are. Others come from a timer,
in the middle of kernels as well. After every one the threads of the process and BLAS's numbers of
threads must be as before, nobody may hold BLAS, and the next call must give the same bits.

Then handlers that compute themselves while a sweep runs: they must come back, with the right bits.
"""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import random
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import refode
from refode import _blas
from validation import common

POINTS, TIMED, HANDLERS = 1500, 400, 200
QUICK = 20  # times fewer
HANGS = 1800.0  # seconds without an end, compiling aside
Work = Callable[[], bytes]


class State(NamedTuple):
    """What an interrupted call must leave as it was."""

    threads: int
    blas: tuple[int, ...]
    held: tuple[int, int, int]

    @classmethod
    def now(cls) -> State:
        """The process as it is."""
        held = (len(_blas._holders), len(_blas._restoring), len(_blas._before))
        numbers = tuple(library.get() for library in _blas.libraries())
        return cls(len(sys._current_frames()), numbers, held)


def workloads() -> dict[str, Work]:
    """Calls by name, each giving its results' digest."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((700, 2)), rng.integers(0, 2, 700)
    basis = refode.bases.PiecewiseLinear(3)
    ode = refode.NeuralODE(refode.fields.Shallow(2, 3), n_steps=2, basis=basis)
    learning = refode.Supervised(ode, tikhonov=0.1, smoothness=0.1)
    theta = learning.initial(seed=1)
    Gaussian = refode.densities.Gaussian
    game = refode.games.optimal_transport(Gaussian([0.0, 0.0], 1.0), Gaussian([1.0, 1.0], 1.0))
    played = refode.MeanFieldGame(refode.fields.Potential(2, 3), game, hjb=1.0)
    weights = played.initial(seed=1)

    def train() -> bytes:
        result = refode.train(learning, x, y, theta, max_iter=3, progress=False)
        return _digest(result.x, result.history["value"]) if result.status == 1 else b""

    return {
        "gradient": lambda: _digest(*learning.value_and_gradient(theta, x, y)),
        "product": lambda: _digest(learning.gauss_newton_vector(theta, theta, x, y)),
        "game": lambda: _digest(*played.value_and_gradient(weights, x)),
        "training": train,
    }


def _digest(*results: Any) -> bytes:
    return hashlib.sha256(b"".join(np.asarray(r).tobytes() for r in results)).digest()


# --- one interruption ------------------------------------------------------------------------
def events(work: Work, at: int = 0, files: dict[int, str] | None = None) -> int:
    """Number of events of a call; KeyboardInterrupt is raised at the one named.

    ``files`` gets the file in which each happens.
    """
    seen = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal seen
        if event in ("call", "c_return", "c_exception"):
            seen += 1
            if files is not None:
                files[seen] = frame.f_code.co_filename
            if seen == at:
                sys.setprofile(None)
                raise KeyboardInterrupt

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return seen


def timed(work: Work, seconds: float) -> None:
    """Call it, with Ctrl-C so many seconds from now."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def spoilt(work: Work, interrupt: Callable[[], Any], want: bytes) -> list[str]:
    """What an interruption has changed, in words."""
    before = State.now()
    with contextlib.suppress(KeyboardInterrupt):
        interrupt()
    after = State.now()
    found = [
        f"{name}: {old} before, {new} after"
        for name, old, new in zip(State._fields, before, after, strict=True)
        if old != new
    ]
    return found if work() == want else [*found, "the next call's bits"]


def at_points(name: str, work: Work, n: int) -> tuple[int, list[str]]:
    """Interrupt a workload at n of its events: how many there are, and what went wrong."""
    total = events(work)
    return total, at_each(name, work, [1 + i * (total - 1) // max(n - 1, 1) for i in range(n)])


def at_each(name: str, work: Work, points: list[int]) -> list[str]:
    """Interrupt a workload at these events: what went wrong."""
    want, wrong = work(), []
    for i, k in enumerate(points):
        found = spoilt(work, lambda k=k: events(work, k), want)
        wrong += [f"{name}, event {k}: {w}" for w in found]
        _said(name, i + 1, len(points))
    return wrong


def at_times(name: str, work: Work, n: int, seed: int) -> list[str]:
    """Interrupt a workload n times, whenever it may be."""
    want, rng, wrong = work(), random.Random(seed), []
    began = time.perf_counter()
    work()
    length = time.perf_counter() - began
    for i in range(n):
        seconds = max(rng.uniform(0.0, 1.2 * length), 1e-6)
        found = spoilt(work, lambda s=seconds: timed(work, s), want)
        wrong += [f"{name}, after {seconds:.2e} s: {w}" for w in found]
        _said(f"{name}, timed", i + 1, n)
    return wrong


def handled(work: Work, n: int) -> tuple[int, list[str]]:
    """Handlers that compute in the middle of a call: how many came, and what went wrong."""
    want, came, wrong = work(), 0, []

    def compute(number: int, frame: Any) -> None:
        nonlocal came
        came += 1
        if work() != want:
            wrong.append("a handler's bits")

    before = signal.signal(signal.SIGALRM, compute)
    try:
        while came < n:
            signal.setitimer(signal.ITIMER_REAL, random.Random(came).uniform(1e-5, 2e-3))
            if work() != want:
                wrong.append("an interrupted call's bits")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    return came, wrong


def _said(what: str, done: int, total: int) -> None:
    if done % 100 == 0 or done == total:
        print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)


def main() -> int:
    """Run, print; 0 where nothing was left behind."""
    args = common.arguments(__doc__ or "", "interrupts").parse_args()
    report, share = common.Report(args.out), QUICK if args.quick else 1
    refode.set_num_threads(4)
    works = workloads()
    for work in works.values():  # compiles, and starts the threads
        work()
        work()
    faulthandler.dump_traceback_later(HANGS, exit=True)
    rows, wrong, points, by_time = [], [], 0, 0
    for name, work in works.items():
        n, m = POINTS // len(works) // share, TIMED // len(works) // share
        total, found = at_points(name, work, n)
        found += at_times(name, work, m, seed=1)
        points, by_time, wrong = points + n, by_time + m, wrong + found
        rows.append([name, f"{total:,}", str(n), str(m), str(len(found))])
    came, found = handled(works["gradient"], HANDLERS // share)
    wrong += found
    common.print_table("Ctrl-C", ["workload", "events", "points", "timed", "left behind"], rows)
    for line in wrong[:20]:
        print(line)
    report.at_least("events interrupted", points, 4 * (POINTS // 4 // share))
    report.at_least("interrupted by a timer", by_time, 4 * (TIMED // 4 // share))
    report.at_least("handlers that computed", came, HANDLERS // share)
    report.at_most("threads, limits, holds or bits that were not as before", len(wrong), 0)
    report.json("interrupts.json", {"rows": rows, "handlers": came, "wrong": wrong})
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
