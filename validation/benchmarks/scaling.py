"""Memory and time of a gradient against the number of samples and of steps.

Memory: how far the peak of the resident memory rises above what is there before the call
(the data, the libraries, the kernels of a small gradient, whose buffers have been given
back), in a fresh process for each number of samples. It must stay flat: refode keeps one
block of samples a thread on its tape, and not the paths of all samples. JAX's reverse mode
stands beside it, if installed.

Time: the slopes in doubly logarithmic scale, at the large end, must be 1 +- 0.1. The tape of
a block grows with the number of steps: the time a step rises once, between a tape that fits
into the cache and one that does not, so the large end lies beyond that.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from validation import common

D, K, STEPS = 8, 32, 8
MIB = 2.0**20
FLAT = 0.1  # what is not flat, as a fraction of the data's own size
JAX_MOST = 30_000  # its memory grows by some 20 kB a sample


# --- in a fresh process ----------------------------------------------------------------


def _status(key: str) -> float:
    """A number of /proc/self/status, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024.0
    raise RuntimeError(f"/proc/self/status has no {key}")


def _rise(call: Any) -> float:
    """MiB by which the peak of the resident memory during a call exceeds what was there."""
    gc.collect()
    with contextlib.suppress(AttributeError):  # glibc alone: give freed buffers back
        ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status("VmRSS")
    call()
    return _status("VmHWM") - before


def problem_and_data(n_samples: int, n_steps: int = STEPS) -> tuple[Any, ...]:
    """A regression on random data: problem, theta, x, y."""
    import refode

    ode = refode.NeuralODE(refode.fields.Shallow(D, K), scheme="rk4", n_steps=n_steps)
    problem = refode.Supervised(ode, loss="regression", readout=False)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n_samples, D)), rng.standard_normal((n_samples, D))
    return problem, problem.initial(seed=0), x, y


def worker(code: str, n_samples: int) -> None:
    """Print the rise and the data's size."""
    if code == "refode":
        problem, theta, x, y = problem_and_data(n_samples)
        problem.value_and_gradient(theta, x[:512], y[:512])
        rise = _rise(lambda: problem.value_and_gradient(theta, x, y))
        data = (x.nbytes + y.nbytes) / MIB
    else:
        from validation.benchmarks import peers

        w = peers.Workload("memory", D, K, n_samples, STEPS, "regression", False)
        small = peers.jax_peer(peers.case(w._replace(n_samples=512)), "unrolled")
        small.call()
        peer = peers.jax_peer(peers.case(w), "unrolled")
        rise, data = _rise(peer.call), 2 * n_samples * D * 8 / MIB
    print(json.dumps({"code": code, "n_samples": n_samples, "rise": rise, "data": data}))


# --- here ------------------------------------------------------------------------------


def memory(code: str, n_samples: int, repeats: int) -> dict[str, Any]:
    """Largest rise of several fresh processes."""
    command = [sys.executable, "-m", "validation.benchmarks.scaling"]
    command += ["--worker", code, "--samples", str(n_samples)]
    runs = []
    for _ in range(repeats):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"a fresh process failed:\n{done.stderr}")
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return max(runs, key=lambda r: r["rise"])


def times(settings: list[tuple[int, int]], rounds: int) -> list[float]:
    """Best seconds of a gradient for every (n_samples, n_steps), measured in turns."""
    cases = [problem_and_data(*s) for s in settings]
    best = [float("inf")] * len(cases)
    for _ in range(rounds + 1):  # the first turn warms up; it is not the best one anyway
        for i, (problem, theta, x, y) in enumerate(cases):
            start = time.perf_counter()
            problem.value_and_gradient(theta, x, y)
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def slope(sizes: list[int], seconds: list[float]) -> float:
    """Slope in doubly logarithmic scale over the last three sizes."""
    return float(np.polyfit(np.log(sizes[-3:]), np.log(seconds[-3:]), 1)[0])


def draw(report: common.Report, found: dict[str, Any]) -> None:
    """Three panels: memory, time over samples, time over steps."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context(common.STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(13.5, 3.9))
        looks = {"refode": (common.BLUE, "o"), "jax": (common.ORANGE, "s")}
        for code, runs in found["memory"].items():
            colour, marker = looks[code]
            label = "refode" if code == "refode" else "jax.jit, unrolled"
            rises = [max(r["rise"], 0.1) for r in runs]
            axes[0].loglog(
                [r["n_samples"] for r in runs], rises, color=colour, marker=marker, label=label
            )
        runs = found["memory"]["refode"]
        axes[0].loglog(
            [r["n_samples"] for r in runs],
            [r["data"] for r in runs],
            color=common.GREY,
            ls=":",
            label="the data themselves",
        )
        axes[0].set_ylabel("rise of the peak memory, MiB")
        axes[0].set_title("Memory of one gradient", loc="left")
        axes[0].legend()
        for axis, what in zip(axes[1:], ("samples", "steps"), strict=True):
            sizes, seconds = found[what]["sizes"], found[what]["seconds"]
            axis.loglog(
                sizes,
                1e3 * np.array(seconds),
                color=common.BLUE,
                marker="o",
                ls="none",
                label="measured (best)",
            )
            line = 1e3 * seconds[-1] * np.array(sizes) / sizes[-1]
            axis.loglog(sizes, line, color=common.RED, ls="--", lw=1.2, label="slope 1")
            axis.minorticks_off()
            shown = [n for n in sizes if not any(n < m < 4 * n for m in sizes)]
            axis.set_xticks(shown, [f"{n // 1000}k" if n % 1000 == 0 else str(n) for n in shown])
            axis.set_ylabel("value and gradient, ms")
            axis.set_title(f"Time over {what}: last slope {found[what]['slope']:.2f}", loc="left")
            axis.legend()
        axes[0].set_xlabel("number of samples, dimensionless")
        axes[1].set_xlabel("number of samples, dimensionless")
        axes[2].set_xlabel("number of steps, dimensionless")
        figure.tight_layout(w_pad=2.5)
        report.figure(figure, "scaling")
        plt.close(figure)


def measure_memory(report: common.Report, quick: bool) -> dict[str, Any]:
    """The first panel's numbers, its table and its check."""
    from validation.benchmarks import peers

    counts = (
        [1_000, 10_000, 100_000]
        if quick
        else [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000]
    )
    repeats = 1 if quick else 3
    found = {"refode": [memory("refode", n, repeats) for n in counts]}
    if peers.have("jax"):
        found["jax"] = [memory("jax", n, 1) for n in counts if n <= JAX_MOST]
    rows = []
    beside = {r["n_samples"]: r["rise"] for r in found.get("jax", [])}
    for r in found["refode"]:
        n = r["n_samples"]
        other = f"{beside[n]:.1f}" if n in beside else "-"
        rows.append((f"{n}", f"{r['data']:.2f}", f"{r['rise']:.2f}", other))
    columns = ("samples", "data, MiB", "refode's rise, MiB", "jax.jit's rise, MiB")
    common.print_table("Rise of the peak memory in one gradient", columns, rows)
    middle, last = found["refode"][1 if quick else 2], found["refode"][-1]
    report.at_most(
        f"memory: rise at {last['n_samples']} less rise at {middle['n_samples']} samples, "
        "in units of the data",
        (last["rise"] - middle["rise"]) / last["data"],
        FLAT,
    )
    return found


def measure_time(report: common.Report, quick: bool) -> dict[str, Any]:
    """The other panels' numbers, tables and checks."""
    counts = (
        [1_000, 4_000, 16_000, 32_000]
        if quick
        else [1_000, 4_000, 16_000, 64_000, 128_000, 256_000]
    )
    steps = [2, 8, 256, 512, 1024] if quick else [1, 4, 16, 64, 256, 512, 1024]
    rounds = 3 if quick else 10
    found = {}
    for what, settings, sizes in (
        ("samples", [(n, STEPS) for n in counts], counts),
        ("steps", [(2_000, n) for n in steps], steps),
    ):
        seconds = times(settings, rounds)
        found[what] = {"sizes": sizes, "seconds": seconds, "slope": slope(sizes, seconds)}
        per = [f"{1e9 * s / (n * m):.1f}" for s, (n, m) in zip(seconds, settings, strict=True)]
        rows = [(f"{n}", f"{1e3 * s:.2f}", p) for n, s, p in zip(sizes, seconds, per, strict=True)]
        common.print_table(f"Time over {what}", (what, "best ms", "ns a sample and step"), rows)
        report.within(f"time: slope in {what}, last three", found[what]["slope"], 1.0, 0.1)
    return found


def main() -> int:
    """Measure, print, draw, check."""
    parser = common.arguments(__doc__, "scaling")
    parser.add_argument("--worker", choices=("refode", "jax"), help="for the script's own use")
    parser.add_argument("--samples", type=int, default=1000, help="for the script's own use")
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.samples)
        return 0
    report = common.Report(args.out)
    found: dict[str, Any] = {"machine": common.machine()}
    if Path("/proc/self/clear_refs").exists():
        found["memory"] = measure_memory(report, args.quick)
    else:
        print("the peak of the memory can be started anew on Linux alone: memory not measured")
        found["memory"] = {}
    found |= measure_time(report, args.quick)
    report.json("scaling.json", found)
    if found["memory"]:
        draw(report, found)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
