"""Whether kernels of two checkouts are equally fast: a piece of ``startup.py --against DIR``.

One process a checkout, both alive all the time and with everything compiled and cached before;
they run batches of ``value_and_gradient`` in turns, older, newer, newer, older, and a round's
ratio is that of its fastest calls, which others on the machine disturb least. Each
runs the workloads of its own validation/benchmarks/peers.py and peers_game.py; nothing is timed
before values and gradients agree.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SLOWER, AGREE = 1.02, 1e-12  # median of the rounds' ratios; relative to the gradient's norm
WORKLOADS = ("S1", "S2", "C1", "C2", "M1", "M2")
BATCH = 0.25  # seconds, about


# --- in a worker -------------------------------------------------------------------------------
def prepared(name: str) -> Any:
    """A workload's value and gradient as a call."""
    peers = _module("peers_game" if name.startswith("M") else "peers")
    return peers.refode_peer(peers.case(getattr(peers, name))).call


def _module(name: str) -> Any:
    """A script of the worker's own checkout, which older ones have in validation/ itself."""
    try:
        return importlib.import_module(f"validation.benchmarks.{name}")
    except ModuleNotFoundError:
        return importlib.import_module(name)


def batch(call: Any, n: int) -> list[tuple[float, float]]:
    """Wall and processor milliseconds of n calls, after one that is not timed."""
    call()
    found = []
    for _ in range(n):
        processor, start = time.process_time(), time.perf_counter()
        call()
        wall = time.perf_counter() - start
        found.append((1e3 * wall, 1e3 * (time.process_time() - processor)))
    return found


def work() -> None:
    """Answer commands, a line of JSON each, until there are no more."""
    import numpy as np

    calls: dict[str, Any] = {}
    for line in sys.stdin:
        name, n = json.loads(line)
        if name not in calls:
            calls[name] = prepared(name)
        if n:
            answer: Any = batch(calls[name], n)
        else:
            value, gradient = calls[name]()
            numbers = np.concatenate([[value], gradient])
            answer = base64.b64encode(numbers.tobytes()).decode()
        print(json.dumps(answer), flush=True)


# --- the parent --------------------------------------------------------------------------------
class Worker:
    """A process that runs a checkout's kernels when asked."""

    def __init__(self, tree: Path, cache: str) -> None:
        from validation.benchmarks.startup_against import environment

        env = environment(tree, cache)
        env["PYTHONPATH"] += f":{tree / 'validation'}"
        command = [sys.executable, "-P", str(Path(__file__).resolve())]
        self.process = subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, name: str, n: int = 0) -> Any:
        """Times of n calls; value and gradient where n is 0."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([name, n]), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"a worker ended at {name} with {self.process.wait()}")
        return json.loads(answer)

    def numbers(self, name: str) -> Any:
        """Value and gradient."""
        import numpy as np

        return np.frombuffer(base64.b64decode(self.ask(name)))

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def compare(trees: dict[str, Path], report: Any, rounds: int, caches: Path | None) -> Any:
    """Rounds of both checkouts, a table and checks; what was measured.

    ``caches`` is a folder to keep compiled kernels in for the next comparison.
    """
    from validation import common

    found: dict[str, Any] = {}
    rows = []
    with contextlib.ExitStack() as stack:
        folder = str(caches) if caches else stack.enter_context(tempfile.TemporaryDirectory())
        places = {who: str(Path(folder) / who) for who in trees}
        for who, tree in trees.items():
            with Worker(tree, places[who]) as compiling:
                for name in WORKLOADS:
                    compiling.ask(name)
            print(f"  kernels of the {who} compiled", flush=True)
        old, new = (stack.enter_context(Worker(trees[who], places[who])) for who in trees)
        for name in WORKLOADS:
            distance, same = agreement(old, new, name)
            measured = in_turns(old, new, name, rounds)
            walls = [r["wall"] for r in measured]
            low, ratio, high = statistics.quantiles(walls, n=4)
            processor = statistics.median(r["processor"] for r in measured)
            times = [statistics.median(r[who] for r in measured) for who in ("older", "newer")]
            rows.append(
                (
                    name,
                    *(f"{t:.3f}" for t in times),
                    f"{ratio:.4f}",
                    f"{low:.3f} to {high:.3f}",
                    f"{processor:.4f}",
                    "same bits" if same else f"{distance:.0e}",
                )
            )
            print(f"  {name}: {ratio:.4f}", flush=True)
            found[name] = {"rounds": measured, "distance": distance, "same bits": same}
            report.at_most(f"{name}: newer over older, median of {rounds} rounds", ratio, SLOWER)
            report.at_most(f"{name}: values and gradients differ by", distance, AGREE)
    columns = (
        "value and gradient",
        "older, ms",
        "newer, ms",
        "ratio",
        "quartiles",
        "processor's ratio",
        "differ by",
    )
    common.print_table("Kernels of two checkouts in turns", columns, rows)
    return found


def agreement(old: Worker, new: Worker, name: str) -> tuple[float, bool]:
    """Distance of values and gradients, in proportion to their norm; whether no bit differs."""
    import numpy as np

    a, b = old.numbers(name), new.numbers(name)
    if a.shape != b.shape:
        return float("inf"), False
    return float(np.linalg.norm(a - b) / np.linalg.norm(a)), a.tobytes() == b.tobytes()


def in_turns(old: Worker, new: Worker, name: str, rounds: int) -> list[dict[str, float]]:
    """Ratios of every round's fastest calls, by the clock and by the processor; the calls, ms."""
    took = statistics.median(w for w, _ in old.ask(name, 5) + new.ask(name, 5))
    n = max(3, min(100, round(1e3 * BATCH / took)))
    found = []
    for _ in range(rounds):
        first, *middle, last = (w.ask(name, n) for w in (old, new, new, old))
        times = {"older": first + last, "newer": middle[0] + middle[1]}
        wall, processor = (
            {who: min(t[i] for t in ts) for who, ts in times.items()} for i in (0, 1)
        )
        found.append(
            wall
            | {
                "wall": wall["newer"] / wall["older"],
                "processor": processor["newer"] / processor["older"],
            }
        )
    return found


if __name__ == "__main__":
    work()
