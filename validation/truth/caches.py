"""Machine code that was damaged in its cache: compiled anew, once, and replaced.

Of a kernel's file, 150 copies with one bit flipped and 60 without their end lie where a process
finds them, one after the other. Each must be noticed before any of it is loaded, so that the
kernel is compiled anew, answers with the same bits, and leaves a whole file behind, which is then
loaded.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from refode.machine import cache
from refode.machine import compile as machine
from validation import common
from validation.truth.checkpoints import flipped, truncated

FLIPS, QUICK_FLIPS = 150, 20
TRUNCATIONS, QUICK_TRUNCATIONS = 60, 8
X = 1.7


def quarter_power(x: float) -> float:
    """Something small to compile, whose bits would tell."""
    return 0.25 * x * x + np.exp(-x)


def compiled_at(made: list[str]) -> float:
    """What a process that has not met the kernel before does; notes what it compiles."""
    machine._made_here.clear()
    original = machine.Root._compiled

    def noted(root: machine.Root) -> object:
        made.append(root.name)
        return original(root)

    machine.Root._compiled = noted  # type: ignore[method-assign]
    try:
        return float(machine.kernel(quarter_power)(X))
    finally:
        machine.Root._compiled = original  # type: ignore[method-assign]


def outcome(file: Path, content: bytes, right: float) -> str:
    """What becomes of a damaged file: "replaced", or what went wrong."""
    file.write_bytes(content)
    made: list[str] = []
    if compiled_at(made) != right:
        return "other bits"
    if len(made) != 1:
        return f"compiled {len(made)} times"
    if compiled_at(made) != right or len(made) != 1:
        return "not loaded afterwards"
    return "replaced"


def damaged(flips: int, truncations: int) -> dict[str, Counter[str]]:
    """Outcomes of both kinds of damage."""
    right = compiled_at([])
    (file,) = cache.cache_folder().glob(f"*{cache.SUFFIX}")
    content, rng = file.read_bytes(), np.random.default_rng(9)
    return {
        "flipped": Counter(outcome(file, flipped(content, rng), right) for _ in range(flips)),
        "truncated": Counter(
            outcome(file, truncated(content, rng), right) for _ in range(truncations)
        ),
    }


def main() -> int:
    """Damage, then print what came of it."""
    args = common.arguments(__doc__ or "", "caches").parse_args()
    if not machine.JIT:
        raise SystemExit("NUMBA_DISABLE_JIT: there is no machine code to damage")
    flips, truncations = (QUICK_FLIPS, QUICK_TRUNCATIONS) if args.quick else (FLIPS, TRUNCATIONS)
    report = common.Report(args.out)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["REFODE_CACHE_DIR"] = folder
        cache.cache_folder.cache_clear()
        found = damaged(flips, truncations)
    for kind, counts in found.items():
        print(f"{kind}: " + ", ".join(f"{n} {what}" for what, n in counts.most_common()))
    for kind, n in (("flipped", flips), ("truncated", truncations)):
        what = f"{kind} files compiled anew and replaced"
        report.at_least(what, found[kind]["replaced"], n)
    report.json("caches.json", {kind: dict(counts) for kind, counts in found.items()})
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
