"""One process that times many codes fairly: verified first, then in turns.

Started by benchmark_peers.py with the number of threads fixed from outside (thread
pools read their size when they are loaded). Prints progress, writes one JSON file.

In every round each code has a turn: one call that is not timed, so that caches are its
own and the previous code's threads have gone to sleep, then timed calls. The order
rotates. A slow spell of the machine thus meets all codes alike.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from refode.machine import threads as parallel
from refode.machine.activations import tanh_rows
from validation.benchmarks import peers
from validation.common import machine

SLOW = 2000.0  # milliseconds a call
Times = dict[str, list[tuple[float, float]]]  # (wall, processor) milliseconds a call


def in_turns(
    calls: Mapping[str, Callable[[], Any]], rounds: int, seconds: float, most: int = 20
) -> Times:
    """Times of every timed call; a turn makes up to ``most`` calls in ``seconds``."""
    names = list(calls)
    times: Times = {name: [] for name in names}
    for r in range(rounds):
        for name in names[r % len(names) :] + names[: r % len(names)]:
            call, spent = calls[name], 0.0
            if times[name] and times[name][-1][0] > SLOW:
                continue  # one turn says enough of a code that takes seconds
            call()
            for _ in range(most):
                processor, start = time.process_time(), time.perf_counter()
                call()
                took = time.perf_counter() - start
                times[name].append((1e3 * took, 1e3 * (time.process_time() - processor)))
                spent += took
                if spent > seconds:
                    break
    return times


def summary(times: list[tuple[float, float]]) -> dict[str, float]:
    """Median, quartiles, smallest and number of the times; median processor time of all threads.

    On a machine that others use, processor times say more about the code than wall times.
    """
    wall, processor = np.transpose(times)
    low, median, high = np.percentile(wall, [25, 50, 75])
    return {
        "median": median,
        "low": low,
        "high": high,
        "best": wall.min(),
        "calls": len(wall),
        "processor": float(np.median(processor)),
    }


def gemm_rate(n: int, repeats: int) -> float:
    """Best flops a second of an n x n DGEMM on all threads of this process."""
    rng = np.random.default_rng(0)
    A, B, C = rng.standard_normal((n, n)), rng.standard_normal((n, n)), np.empty((n, n))
    return 2.0 * n**3 / _best(lambda: np.dot(A, B, out=C), repeats)


def tanh_rate(n_threads: int, repeats: int) -> float:
    """Best tanh evaluations a second of refode's own tanh, in cache, on n threads."""
    blocks = [np.zeros((256, 128)) for _ in range(n_threads)]
    b, calls = np.zeros(256), 40

    def task(i: int) -> None:
        for _ in range(calls):
            tanh_rows(blocks[i], b)

    seconds = _best(lambda: parallel.run(task, n_threads), repeats)
    return n_threads * calls * blocks[0].size / seconds


def _best(call: Callable[[], Any], repeats: int) -> float:
    call()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def against_peers(w: peers.Workload, rounds: int, seconds: float) -> dict[str, Any]:
    """Verify all codes on a workload, then time them."""
    c = peers.case(w)
    found, missing = peers.peers(c)
    errors = peers.agreement(c, found)
    print(
        f"  {w.name}: {len(found)} codes agree with refode to {max(errors.values()):.1e}"
        + "".join(f"; {line}" for line in missing),
        flush=True,
    )
    codes = [peers.refode_peer(c), *found]
    times = in_turns({p.name: p.call for p in codes}, rounds, seconds)
    return {
        "workload": w._asdict(),
        "flops": w.flops,
        "tanhs": w.tanhs,
        "errors": errors,
        "missing": missing,
        "times": {name: summary(t) for name, t in times.items()},
    }


def main() -> None:
    """Measure what benchmark_peers.py asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="of a code's turn")
    parser.add_argument("--dims", type=int, nargs="*", default=[])
    parser.add_argument("--only", nargs="*", default=[], help="names of workloads")
    parser.add_argument("--file", type=Path, required=True)
    args = parser.parse_args()
    assert parallel.get_num_threads() == args.threads, "REFODE_NUM_THREADS must be set"
    n_gemm = 1024 if args.rounds < 10 else 2048
    rates = [(gemm_rate(n_gemm, 5), tanh_rate(args.threads, 5))]
    time.sleep(0.2)  # BLAS threads spin for a while after their work
    results = [
        against_peers(w, args.rounds, args.seconds)
        for w in (peers.S1, *map(peers.intermediate, args.dims), peers.S2, peers.C1, peers.C2)
        if not args.only or w.name in args.only
    ]
    rates.append((gemm_rate(n_gemm, 5), tanh_rate(args.threads, 5)))
    gemm, tanh = (max(r) for r in zip(*rates, strict=True))
    found = {
        "threads": args.threads,
        "gemm_flops_per_second": gemm,
        "tanhs_per_second": tanh,
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "machine": machine(),
        "results": results,
    }
    args.file.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
