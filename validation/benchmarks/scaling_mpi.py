"""Two ranks of MPI beside two threads on the same two cores, and what a tree of ranks costs.

Efficiency: seconds of a gradient by two threads of one process over those by two ranks of one
thread each, in turns in one program: while the one process computes, the other rank sleeps. 1 is
as good as threads; 0.9 is wanted where a gradient takes some tens of milliseconds.

On paper: latency and time a byte of messages, and seconds a sample of gradients with 1e3 to 1e6
parameters, all measured here; from these how many samples a rank must have for the sums over 2 to
1e4 ranks to cost as much as its sweeps, or a tenth. Between machines latency and time a byte are
the network's: those given by --latency and --bandwidth, which are assumed and not measured.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from validation import common

WANTED = 0.9
#: name: (dimension, width, samples, steps, whether the efficiency is held to what is wanted)
CASES = {
    "S1, 2000 samples": (3, 32, 2000, 8, False),
    "d = 16, 8192 samples": (16, 64, 8192, 8, True),
    "d = 64, 8192 samples": (64, 256, 8192, 8, True),
}
RANKS = (2, 16, 100, 1000, 10_000)
PARAMETERS = (1e3, 1e4, 1e5, 1e6)
STEPS = 8  # of RK4, on paper


# --- on two ranks -----------------------------------------------------------------------
def problem_of(d: int, k: int, n: int, steps: int) -> tuple[Any, ...]:
    """A regression on random data: problem, theta, x, y."""
    import refode

    ode = refode.NeuralODE(refode.fields.Shallow(d, k), scheme="rk4", n_steps=steps)
    problem = refode.Supervised(ode, loss="regression", readout=False)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n, d)), rng.standard_normal((n, d))
    return problem, problem.initial(seed=0), x, y


def seconds_of(call: Callable[[], Any], repeats: int) -> float:
    """Seconds a call, of so many."""
    call()
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def in_turns(of: Any, data: tuple[Any, ...], rounds: int) -> dict[str, Any]:
    """Seconds by threads and by ranks, a pair a round; and that they have the same bits."""
    import refode

    theta = of.problem.initial(seed=0)
    there = of.placed(data)
    refode.set_num_threads(2)
    wanted = of.problem.value_and_gradient(theta, *data)
    refode.set_num_threads(1)
    found = of.value_and_gradient(theta, *there)
    same = found[0] == wanted[0] and found[1].tobytes() == wanted[1].tobytes()
    once = seconds_of(lambda: of.value_and_gradient(theta, *there), 1)
    repeats = max(1, int(0.2 / once))
    pairs = []
    for _ in range(rounds):
        refode.set_num_threads(2)
        threads = seconds_of(lambda: of.problem.value_and_gradient(theta, *data), repeats)
        refode.set_num_threads(1)
        ranks = seconds_of(lambda: of.value_and_gradient(theta, *there), repeats)
        pairs.append((threads, ranks))
    return {"pairs": pairs, "same": same}


def messages(sizes: list[int], repeats: int) -> dict[int, float]:
    """Seconds that a message of so many bytes takes, one way: half of there and back."""
    from refode.distributed.mpi import wire_of
    from refode.distributed.post import HELLO, Post

    wire, _, early = wire_of(None)
    post, other, found = Post(wire, 0, early), 1 - wire.rank, {}  # before any session
    for size in sizes:
        message = np.zeros(size, dtype=np.uint8)

        def there_and_back(message: Any = message) -> None:
            if wire.rank == 0:
                post.send(other, HELLO, 0, message)
                post.any_of(HELLO, other)
            else:
                post.send(other, HELLO, 0, post.any_of(HELLO, other))

        found[size] = 0.5 * seconds_of(there_and_back, repeats)
    post.flush()
    return found


def worker(rounds: int) -> None:
    """On two ranks; rank 0 prints what was found."""
    import refode.distributed

    found: dict[str, Any] = {"messages": messages([8, 8 * 10**3, 8 * 10**5, 8 * 10**6], 20)}
    found["cases"] = {}
    for name, (d, k, n, steps, _) in CASES.items():
        problem, _, x, y = problem_of(d, k, n, steps)
        found["cases"][name] = refode.distributed.lead(
            lambda of, x=x, y=y: in_turns(of, (x, y), rounds), problem
        )
    from mpi4py import MPI

    if MPI.COMM_WORLD.Get_rank() == 0:
        print(json.dumps(found), flush=True)


# --- here --------------------------------------------------------------------------------
def on_two_ranks(rounds: int) -> dict[str, Any]:
    """What ``worker`` prints."""
    beside = Path(sys.executable).parent / "mpiexec"
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    if mpiexec is None:
        raise SystemExit(
            "scaling_mpi: got no mpiexec, wanted an MPI: pip install 'refode[mpi]' mpich"
        )
    command = [mpiexec, "-n", "2", sys.executable, "-m", "validation.benchmarks.scaling_mpi"]
    done = subprocess.run(
        [*command, "--worker", str(rounds)],
        capture_output=True,
        text=True,
        env={**os.environ, "REFODE_NUM_THREADS": "1"},
    )
    if done.returncode:
        raise RuntimeError(f"two ranks failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def seconds_a_sample(quick: bool) -> dict[float, float]:
    """Of a gradient with so many parameters, on one thread: the least of three."""
    import refode

    refode.set_num_threads(1)
    found = {}
    for p in PARAMETERS[:3] if quick else PARAMETERS:
        d = round(np.sqrt(p / 2.0))
        n = int(min(4096, max(128, 4e8 / p / 6)))
        problem, theta, x, y = problem_of(d, d, n, STEPS)
        found[p] = min(
            seconds_of(lambda a=(theta, x, y), of=problem: of.value_and_gradient(*a), 1) / n
            for _ in range(3)
        )
    return found


def samples_needed(p: float, ranks: int, a_sample: float, latency: float, a_byte: float) -> float:
    """Samples a rank has where the tree costs as much as the sweeps of these.

    theta comes down the tree and the sums go up: 2 log2(R) messages of 8 p bytes, one after
    another.
    """
    return 2.0 * np.ceil(np.log2(ranks)) * (latency + 8.0 * p * a_byte) / a_sample


def on_paper(found: dict[str, Any], latency: float, bandwidth: float) -> list[dict[str, Any]]:
    """The table, with messages as measured here and as assumed between machines."""
    sent = {int(size): seconds for size, seconds in found["messages"].items()}
    here = sent[8], (sent[8 * 10**6] - sent[8]) / (8 * 10**6)
    between = latency + here[0], 1.0 / bandwidth + here[1]  # the same copies, and the network
    print(
        f"messages: {1e6 * here[0]:.0f} us and {1e-9 / here[1]:.2f} GB/s one way here; "
        f"assumed between machines: {1e6 * between[0]:.0f} us, {1e-9 / between[1]:.2f} GB/s"
    )
    rows = []
    for p, a_sample in found["a_sample"].items():
        for ranks in RANKS:
            row = {"p": p, "ranks": ranks, "a_sample": a_sample}
            row["here"] = samples_needed(p, ranks, a_sample, *here)
            row["between"] = samples_needed(p, ranks, a_sample, *between)
            rows.append(row)
    return rows


def main() -> int:
    """Measure, print, check."""
    parser = common.arguments(__doc__, "scaling_mpi")
    parser.add_argument("--worker", type=int, metavar="ROUNDS", help="for the script's own use")
    parser.add_argument("--latency", type=float, default=2e-6, help="seconds, between machines")
    parser.add_argument("--bandwidth", type=float, default=12.5e9, help="bytes a second, the same")
    args = parser.parse_args()
    if args.worker:
        worker(args.worker)
        return 0
    report = common.Report(args.out)
    found = {"machine": common.machine(), **on_two_ranks(3 if args.quick else 15)}
    rows = []
    for name, case in found["cases"].items():
        threads, ranks = (statistics.median(times) for times in zip(*case["pairs"], strict=True))
        efficiency = statistics.median(a / b for a, b in case["pairs"])
        rows.append((name, f"{1e3 * threads:.2f}", f"{1e3 * ranks:.2f}", f"{efficiency:.3f}"))
        report.at_least(f"{name}: the same bits", float(case["same"]), 1.0)
        if CASES[name][-1]:
            report.at_least(f"{name}: efficiency of 2 ranks", efficiency, WANTED)
    columns = ("case", "2 threads, ms", "2 ranks, ms", "efficiency (median of pairs)")
    common.print_table("A gradient on two cores", columns, rows)
    found["a_sample"] = seconds_a_sample(args.quick)
    found["paper"] = on_paper(found, args.latency, args.bandwidth)
    common.print_table(
        f"Samples a rank for which sums cost as much as sweeps (RK4, {STEPS} steps, one thread)",
        ("parameters", "ranks", "us a sample", "messages as here", "between machines"),
        [
            (
                f"{r['p']:.0e}",
                f"{r['ranks']}",
                f"{1e6 * r['a_sample']:.1f}",
                f"{r['here']:.0f}",
                f"{r['between']:.0f}",
            )
            for r in found["paper"]
        ],
    )
    report.json("scaling_mpi.json", found)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
