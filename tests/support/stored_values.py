"""Values and gradients as they were, and how far those of today are from them.

    # what today's code says
    python tests/support/stored_values.py --write tests/support/data/stored_values.npz
    # whether bits agree
    python tests/support/stored_values.py --bits

The file in tests/support/data was written by the code at 83b0bc0, before the sweeps' compilation
was rewritten: no number may change by that but for rounding. Bits may, with another processor or
BLAS kernel; the file names those that it was written with.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from stored_cases import CASES

Array = np.ndarray
FILE = Path(__file__).with_name("data") / "stored_values.npz"
ABOUT = "about"  # the file's one array that is no number


def computed(name: str) -> dict[str, Array]:
    """The arrays of a case, by today's code."""
    return CASES[name](np.random.default_rng(zlib.crc32(name.encode())))


def stored(file: Path = FILE) -> dict[str, dict[str, Array]]:
    """The stored arrays, by case and name."""
    found: dict[str, dict[str, Array]] = {}
    with np.load(file) as arrays:
        for key in arrays.files:
            case, _, name = key.partition("/")
            if key != ABOUT:
                found.setdefault(case, {})[name] = arrays[key]
    return found


class Difference(NamedTuple):
    """|new - old| against the norm of what was stored, and whether no bit differs."""

    name: str
    distance: float
    norm: float
    same_bits: bool

    def within(self, tolerance: float) -> bool:
        """False for a NaN too."""
        return bool(self.distance <= tolerance * self.norm)

    def __str__(self) -> str:
        relative = self.distance / self.norm if self.norm else self.distance
        return f"{self.name}: {relative:.1e} of its norm {self.norm:.3g}"


def differences(new: dict[str, Array], old: dict[str, Array]) -> list[Difference]:
    """One an array; AssertionError where names or shapes differ."""
    assert set(new) == set(old), set(new) ^ set(old)
    found = []
    for name, was in old.items():
        now = np.asarray(new[name], dtype=np.float64)
        assert now.shape == was.shape, (name, now.shape, was.shape)
        distance, norm = (float(np.linalg.norm(a.ravel())) for a in (now - was, was))
        found.append(Difference(name, distance, norm, now.tobytes() == was.tobytes()))
    return found


def about() -> str:
    """What bits depend on beside the code."""
    from threadpoolctl import threadpool_info

    import refode

    refode.machine.threads._blas()  # loads the BLAS that kernels call
    kernels = sorted(
        {i.get("architecture", "?") for i in threadpool_info() if i["user_api"] == "blas"}
    )
    versions = " ".join(f"{m} {__import__(m).__version__}" for m in ("numpy", "scipy", "numba"))
    return f"{platform.machine()}, BLAS kernel {', '.join(kernels)}, {versions}"


def write(file: Path, names: list[str]) -> None:
    """Compute cases and store them, beside those of the file that were not asked for."""
    kept: dict[str, Any] = {}
    if file.exists():
        kept = {
            f"{c}/{n}": a
            for c, arrays in stored(file).items()
            for n, a in arrays.items()
            if c in CASES and c not in names
        }
    for name in names:
        start = time.perf_counter()
        arrays = computed(name)
        for key, a in arrays.items():
            assert np.isfinite(a).all(), f"{name}/{key}: not finite"
            kept[f"{name}/{key}"] = np.asarray(a, dtype=np.float64)
        print(f"{name}: {len(arrays)} arrays, {time.perf_counter() - start:.1f} s", flush=True)
    np.savez_compressed(file, **{ABOUT: np.array(about())}, **dict(sorted(kept.items())))
    print(f"{file}: {len(kept)} arrays, {file.stat().st_size / 1024:.0f} KB")


def show(file: Path, names: list[str]) -> None:
    """Case by case, how many arrays agree in every bit, and the farthest of the others."""
    old, agree, total = stored(file), 0, 0
    with np.load(file) as arrays:
        print(f"stored with {arrays[ABOUT]}\nnow with    {about()}")
    for name in names:
        found = differences(computed(name), old[name])
        equal = sum(d.same_bits for d in found)
        agree, total = agree + equal, total + len(found)
        worst = max(found, key=lambda d: d.distance / (d.norm or 1.0))
        far = "" if equal == len(found) else f"; farthest {worst}"
        print(f"{name}: bits of {equal} of {len(found)} arrays agree{far}", flush=True)
    print(f"all: bits of {agree} of {total} arrays agree")


def main() -> int:
    """Write the file, or show how bits agree with it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="compute and store")
    parser.add_argument("--bits", action="store_true", help="compare bits with the stored ones")
    parser.add_argument("--against", type=Path, default=FILE, help="file to compare with")
    parser.add_argument(
        "--only",
        nargs="*",
        default=list(CASES),
        choices=list(CASES),
        metavar="CASE",
        help="names of cases",
    )
    args = parser.parse_args()
    if args.write is None and not args.bits:
        parser.error("nothing to do: give --write FILE or --bits")
    if args.write is not None:
        write(args.write, args.only)
    if args.bits:
        show(args.against, args.only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
