"""Speed of value and gradient against JAX, diffrax and PyTorch, and against the machine.

Workloads: S1 (d=3, k=32, 10 steps with weights of their own, 1000 samples, logistic), S2
(d=64, k=256, 8 steps, 2000 samples, regression) and sizes between; C1 (d=2, k=64, 8 steps,
2048 samples) and C2 (d=43, k=128, 2000 samples), the likelihood of a flow with its exact trace
and transport cost; M1 (d=2, 2304 samples) and M2 (d=50, 16384 samples), the transport game of
[ROL+20], m=16, two layers, 2 steps (peers_game.py). The codes of S and C run in one process and
those of M in another, in turns, after their values and gradients have been found equal to
refode's to 1e-12; once on all threads and once on one.

The floor of a workload is what the machine would need for the products at the speed of a
large DGEMM plus the tanhs (and log cosh) at the speed of refode's own in cache, measured in the
same process: nothing computes the gradient faster by these formulas. A game's Laplacian has
several; its floor is that of the one with the fewest operations.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from validation import common

TARGETS = {"S1": 6.0, "S2": 1.5, "C1": 7.0, "C2": 1.8, "M1": 6.0, "M2": 4.0}
TWO_JAX = ("jax.jit scan", "jax.jit unrolled")
GAME = "transport game"  # the loss of M1 and M2
POOLS = ("OMP", "OPENBLAS", "MKL", "BLIS", "REFODE", "NUMBA", "VECLIB_MAXIMUM")


def measure(threads: int, pin: bool, args: Any, dims: list[int]) -> Any:
    """Run interleaved.py and peers_game.py with pools of ``threads`` threads."""
    env = os.environ | {f"{pool}_NUM_THREADS": str(threads) for pool in POOLS}
    flags = [env.get("XLA_FLAGS", "")]
    if threads == 1:
        flags += ["--xla_cpu_multi_thread_eigen=false", "intra_op_parallelism_threads=1"]
    env["XLA_FLAGS"] = " ".join(flags).strip()
    env["JAX_PLATFORMS"] = "cpu"
    common_options = [
        "--threads",
        str(threads),
        "--rounds",
        str(args.rounds),
        "--seconds",
        str(args.seconds),
        "--only",
        *args.only,
    ]
    files = [args.out / f"measured_{threads}_threads{end}.json" for end in ("", "_games")]
    scripts = {"interleaved": ["--dims", *map(str, dims)], "peers_game": []}
    print(f"{threads} thread{'s' * (threads > 1)}:", flush=True)
    before = os.sched_getaffinity(0) if pin and hasattr(os, "sched_getaffinity") else None
    try:
        if before:  # pools that count processors see one
            os.sched_setaffinity(0, {max(before)})
        for (script, options), file in zip(scripts.items(), files, strict=True):
            command = [sys.executable, "-m", f"validation.benchmarks.{script}", *common_options]
            subprocess.run([*command, *options, "--file", str(file)], env=env, check=True)
    finally:
        if before:
            os.sched_setaffinity(0, before)
    found, games = (json.loads(file.read_text()) for file in files)
    found["results"] += games["results"]
    return found


def floor(found: Any, result: Any) -> float:
    """Milliseconds below which these formulas cannot go."""
    if "floor_ms" in result:  # a file that keeps what is drawn alone
        return float(result["floor_ms"])
    rates = result.get("rates", found)  # a game's are measured in its own process
    seconds = result["flops"] / rates["gemm_flops_per_second"]
    seconds += result["tanhs"] / rates["tanhs_per_second"]
    if "pairs" in result:
        seconds += result["pairs"] / rates["pairs_per_second"]
    return 1e3 * seconds


def ratio(result: Any, names: tuple[str, ...] | None = None) -> float:
    """Fastest of the named codes (default: all jitted JAX codes) over refode, in medians."""
    times = result["times"]
    chosen = names or [n for n in times if n.startswith("jax")]
    return min(times[n]["median"] for n in chosen if n in times) / times["refode"]["median"]


def two_jax(result: Any) -> tuple[str, ...]:
    """The codes most would write; a game's have the Laplacian in one of its two published forms."""
    if result["workload"]["loss"] != GAME:
        return TWO_JAX
    return (*(f"{name}, direct" for name in TWO_JAX), "jax.jit unrolled, Gram")


def has_jax(result: Any) -> bool:
    """Whether the two JAX codes were there."""
    return all(name in result["times"] for name in two_jax(result))


def print_results(found: Any) -> None:
    """A table a workload, codes from fast to slow."""
    gemm, tanh = found["gemm_flops_per_second"] / 1e9, found["tanhs_per_second"] / 1e6
    print(f"\n{found['threads']} thread(s): DGEMM {gemm:.1f} GFLOP/s, tanh {tanh:.0f} M/s")
    columns = (
        "code",
        "median ms",
        "quartiles ms",
        "best ms",
        "processor ms",
        "of the two JAX",
        "of refode",
        "of floor",
    )
    for result in found["results"]:
        times, w = result["times"], result["workload"]
        names = two_jax(result)
        two = min((times[n]["median"] for n in names if n in times), default=float("nan"))
        mine, bound = times["refode"]["median"], floor(found, result)
        rows = [("floor", f"{bound:.2f}", "", "", "", "", f"{bound / mine:.2f}", "1.00")]
        for name, t in sorted(times.items(), key=lambda item: item[1]["median"]):
            m = t["median"]
            rows.append(
                (
                    name,
                    f"{m:.2f}",
                    f"{t['low']:.2f} - {t['high']:.2f}",
                    f"{t['best']:.2f}",
                    f"{t['processor']:.2f}",
                    f"{m / two:.2f}",
                    f"{m / mine:.2f}",
                    f"{m / bound:.2f}",
                )
            )
        weights = "one weight set a step" if w["piecewise"] else "constant weights"
        title = (
            f"{w['name']}: d={w['d']}, k={w['k']}, {w['n_samples']} samples, {w['n_steps']} steps "
            f"of RK4, {w['loss']}, {weights}"
        )
        common.print_table(title, columns, rows)


def main() -> int:
    """Measure, print, draw, check."""
    parser = common.arguments(__doc__, "benchmark_peers")
    parser.add_argument("--rounds", type=int, help="turns of each code (default: 30; quick: 4)")
    parser.add_argument(
        "--seconds", type=float, help="timed seconds a turn (default: 0.1; quick: 0.05)"
    )
    parser.add_argument("--no-assert", action="store_true", help="look only: exit status 0")
    parser.add_argument("--dims", type=int, nargs="*", help="the sizes between (k = 4 d)")
    parser.add_argument("--only", nargs="*", default=[], help="these workloads alone")
    parser.add_argument("--threads", type=int, nargs="*", help="thread counts (default: all, 1)")
    args = parser.parse_args()
    args.rounds = args.rounds or (4 if args.quick else 30)
    args.seconds = args.seconds or (0.05 if args.quick else 0.1)
    dims = args.dims if args.dims is not None else [8, 24] if args.quick else [5, 8, 12, 16, 24, 32]
    report = common.Report(args.out)
    cores = common.usable_cores()
    counts = args.threads or sorted({cores, 1}, reverse=True)
    found = [measure(n, n == 1 and cores > 1, args, dims) for n in counts]
    for f in found:
        print_results(f)
    for result in found[0]["results"]:
        name = result["workload"]["name"]
        if name in TARGETS and has_jax(result):
            # the targets are against codes as one writes them; the last line is against JAX code
            # turned by hand into feature-major blocks, or with refode's own form of the Laplacian
            game = result["workload"]["loss"] == GAME
            which = "JAX codes in the published forms" if game else "two jitted JAX codes"
            what = f"{name}: times as fast as the fastest of {which}"
            report.at_least(what, ratio(result, two_jax(result)), TARGETS[name])
            print(f"{name}: {ratio(result):.2f} times as fast as the fastest of all JAX codes")
    report.json("benchmark_peers.json", found)
    from validation.benchmarks import benchmark_plots

    benchmark_plots.draw(report, found)
    return report.finish(check=not args.no_assert)


if __name__ == "__main__":
    sys.exit(main())
