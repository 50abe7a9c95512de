"""The GPU path on a real device: parity with the CPU, the same bits, sanitizer, speed.

Sections (``--sections``, all by default): parity compares every field and problem on random sizes,
and S1 with ten times ``--samples``; bits repeats gradients; sanitizer runs compute-sanitizer's
memcheck and racecheck on a small run of this script; speed times S1, S2, C1 and C2 beside jitted
JAX and PyTorch on the same device, and both modes over the width. Compiling is most of the time.

With NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 parity and bits run in the simulator, with tiny
sizes.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

# JAX takes most of the device's memory when it starts, unless it is told not to
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.5")

from refode.cuda import device
from validation import common

SECTIONS = ("parity", "bits", "sanitizer", "speed")
SMALL = "small"  # what the sanitizer runs: parity and bits of tiny cases
NO_DEVICE = 2  # exit status
TOOLS = ("memcheck", "racecheck")
SANITIZER_ERROR = 99  # exit status of a tool that found something
PATIENCE = 3600.0  # seconds for a tool


def main() -> int:
    """Run the sections, print and store what they found."""
    parser = common.arguments(__doc__, "gpu")
    parser.epilog = "Exit status: 0 all checks held, 1 one did not, 2 there is no device."
    parser.add_argument(
        "--samples",
        type=int,
        default=100_000,
        metavar="N",
        help="of the large workloads, default %(default)s; parity's largest has ten times as many",
    )
    parser.add_argument(
        "--sections",
        type=_sections,
        default=SECTIONS,
        metavar="LIST",
        help=f"some of {','.join(SECTIONS)}, or {SMALL}: parity and bits with tiny sizes",
    )
    args = parser.parse_args()
    if args.samples < 10:
        parser.error(f"argument --samples: got {args.samples}, wanted at least 10")
    try:
        device.require()
    except RuntimeError as error:
        print(f"validation/benchmarks/gpu.py: {error}", file=sys.stderr)
        return NO_DEVICE
    if device.simulated():
        sys.setswitchinterval(2e-6)  # the simulator polls its threads
    else:
        _without_performance_warnings()
    report = common.Report(args.out)
    found = run(report, args)
    report.json("gpu.json", finite(found))
    status = report.finish()
    print(f"on {found['device']['name']}")
    return status


def run(report: common.Report, args: Any) -> dict[str, Any]:
    """What the chosen sections found."""
    from validation.benchmarks import gpu_parity

    simulated, sections = device.simulated(), list(args.sections)
    tiny, quick = simulated or SMALL in sections, args.quick or simulated
    found: dict[str, Any] = {"sections": sections, "quick": quick, "machine": common.machine()}
    found["device"] = describe()
    print_device(found["device"])
    if simulated:
        skipped = [s for s in sections if s in ("sanitizer", "speed")]
        for section in skipped:
            print(f"{section}: skipped, this is the simulator, whose times mean nothing")
        sections = [s for s in sections if s not in skipped]
    with gpu_parity.small_tiles() if tiny else contextlib.nullcontext():
        if "parity" in sections or SMALL in sections:
            print("parity with the CPU:")
            found["parity"] = gpu_parity.parity(report, quick, 10 * args.samples, tiny)
        if "bits" in sections or SMALL in sections:
            print("the same bits ...", flush=True)
            found["bits"] = gpu_parity.bits(report, quick, tiny)
    if "sanitizer" in sections:
        found["sanitizer"] = [sanitizer(report, tool) for tool in TOOLS]
    if "speed" in sections:
        found |= timed(report, quick, args.samples)
    return found


def timed(report: common.Report, quick: bool, n_large: int) -> dict[str, Any]:
    """The device's rates, the workloads beside other codes, tiles beside launches."""
    from validation.benchmarks import gpu_crossover, gpu_peers, gpu_plots, gpu_rates

    rates = gpu_rates.measured(2048 if quick else 4096)
    for name, rate in rates["products"].items():
        print(f"float64 product, {name}: {rate / 1e12:.3g} TFLOP/s")
    print(f"copying: {rates['bytes_per_second'] / 1e9:.4g} GB/s")
    results = gpu_peers.speed(report, quick, n_large, rates)
    crossing = gpu_crossover.crossover(report, quick)
    gpu_plots.draw(report, results, crossing, str(describe()["name"]))
    return {"rates": rates, "speed": results, "crossover": crossing}


def _sections(text: str) -> tuple[str, ...]:
    chosen = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [part for part in chosen if part not in (*SECTIONS, SMALL)]
    if unknown or not chosen:
        import argparse

        raise argparse.ArgumentTypeError(
            f"got {text!r}, wanted some of {', '.join((*SECTIONS, SMALL))}"
        )
    return chosen


def _without_performance_warnings() -> None:
    """Small launches are meant here."""
    from numba.core import errors
    from numba.cuda.core import errors as cuda_errors

    for module in (errors, cuda_errors):  # each has a class of this name
        warnings.simplefilter("ignore", module.NumbaPerformanceWarning)


# --- the machine -----------------------------------------------------------------------------
def describe() -> dict[str, Any]:
    """Name, compute capability, memory, multiprocessors, driver; None for what is not told."""
    if device.simulated():
        return {"name": "Numba's CUDA simulator"}
    cuda = device.require()
    one = cuda.get_current_device()
    memory = cuda.current_context().get_memory_info()
    name = one.name.decode() if isinstance(one.name, bytes) else str(one.name)
    return {
        "name": name,
        "devices": len(cuda.gpus),
        "compute_capability": ".".join(map(str, one.compute_capability)),
        "memory_bytes": int(memory.total),
        "free_bytes": int(memory.free),
        "multiprocessors": int(one.MULTIPROCESSOR_COUNT),
        "cuda_of_driver": _asked(lambda: _version(_driver_version())),
        "cuda_of_runtime": _asked(lambda: _version(cuda.runtime.get_version())),
        "numba_cuda": _asked(_numba_cuda),
        "nvidia_smi": _nvidia_smi(),
    }


def _driver_version() -> Any:
    from numba.cuda.cudadrv import driver

    return driver.get_version()


def _version(numbers: Any) -> str:
    return ".".join(map(str, numbers))


def _numba_cuda() -> str:
    from importlib import metadata

    return metadata.version("numba-cuda")


def _asked(question: Callable[[], str]) -> str | None:
    """An answer that is good to have and no reason to stop for."""
    try:
        return question()
    except Exception:
        return None


def _nvidia_smi() -> str | None:
    """Driver, clocks and power limit as nvidia-smi gives them, a line a device."""
    if shutil.which("nvidia-smi") is None:
        return None
    query = "name,driver_version,clocks.max.sm,clocks.max.mem,power.limit"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return answer.stdout.strip() or None


def print_device(about: dict[str, Any]) -> None:
    """A line an item."""
    for key, value in about.items():
        print(f"{key}: {value if value is not None else 'not told'}")


# --- compute-sanitizer -----------------------------------------------------------------------
def sanitizer(report: common.Report, tool: str) -> dict[str, Any]:
    """A tool of compute-sanitizer on a small run of this script, in a process of its own."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        print(f"sanitizer: compute-sanitizer is not on PATH, so no {tool}")
        return {"tool": tool, "missing": "compute-sanitizer is not on PATH"}
    command = [
        program,
        "--tool",
        tool,
        "--error-exitcode",
        str(SANITIZER_ERROR),
        sys.executable,
        "-m",
        "validation.benchmarks.gpu",
        "--sections",
        SMALL,
        "--out",
        str(report.out / tool),
    ]
    print(f"sanitizer: {tool}, on tiny cases ...", flush=True)
    log, result = report.out / f"{tool}.log", report.out / tool / "gpu.json"
    result.unlink(missing_ok=True)  # an earlier run's would say that this one came to its end
    start = time.perf_counter()
    with log.open("w") as stream:
        try:
            status = subprocess.run(
                command, stdout=stream, stderr=subprocess.STDOUT, timeout=PATIENCE, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            status = -1
            print(f"sanitizer: {tool} did not end within {PATIENCE:.0f} s")
    report.files.append(log)
    lines = [line for line in log.read_text(errors="replace").splitlines() if "SUMMARY" in line]
    summary = lines[-1].strip("= ") if lines else "no summary"
    print(f"sanitizer: {tool}: {summary}")
    what = f"{tool}: exit status ({SANITIZER_ERROR} errors found, 1 a check of the run failed)"
    report.at_most(what, float(abs(status)), 0.0)
    # a tool that saw no kernel says nothing: its run must have left results, and a summary
    ran = result.exists() and bool(lines)
    report.at_least(f"{tool}: run to its end, with a summary", float(ran), 1.0)
    return {
        "tool": tool,
        "status": status,
        "summary": summary,
        "seconds": time.perf_counter() - start,
    }


def finite(data: Any) -> Any:
    """The same for JSON, which has neither NaN nor infinity."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    if isinstance(data, float):
        return float(data) if math.isfinite(data) else None
    json.dumps(data)  # anything else is plain already
    return data


if __name__ == "__main__":
    sys.exit(main())
