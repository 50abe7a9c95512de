"""Checkpoints that were damaged, and trainings that were killed: named, harmless, or resumed.

Of a stored run, 150 copies with one bit flipped and 60 without their end are resumed from. Each
must be refused, by an error that names the file and leaves it as it was, or make no difference:
the training then ends at the same bits as the one that was never stopped. (Bits of a zip archive
that no reader needs, times and attributes, make none.)

Then a training in a process of its own is killed at a random moment, 30 times, many of them in
the middle of a save, and resumed from what lies there: to the same bits each time, and nothing is
left of the draft.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import refode
from refode import training
from validation import common

Array = np.ndarray

FLIPS, QUICK_FLIPS = 150, 30
TRUNCATIONS, QUICK_TRUNCATIONS = 60, 12
KILLS, QUICK_KILLS = 30, 4
SIZE, STORED, ITERATIONS = 6, 12, 40  # of the run whose file is damaged
LARGE, PAUSE = 20_000, 0.01  # of the runs that are killed: parameters, and seconds an evaluation
REFUSED = "which cannot be read as a checkpoint of refode.train"


class Valley:
    """Rosenbrock's valley in p dimensions, from a start that depends on the seed."""

    def __init__(self, p: int = SIZE, pause: float = 0.0) -> None:
        self.n_parameters, self.pause = p, pause

    def __repr__(self) -> str:
        return f"Valley({self.n_parameters})"

    def initial(self, seed: int = 0) -> Array:
        """Standard normals."""
        return np.random.default_rng(seed).standard_normal(self.n_parameters)

    def value_and_gradient(self, theta: Array, x: Array) -> tuple[float, Array]:
        """Value and gradient; x says how steep the valley's walls are."""
        time.sleep(self.pause)
        bend = theta[1:] - theta[:-1] ** 2
        gradient = np.zeros_like(theta)
        gradient[1:] += 2.0 * x[0] * bend
        gradient[:-1] -= 4.0 * x[0] * bend * theta[:-1] + 2.0 * (1.0 - theta[:-1])
        value = x[0] * float(bend @ bend) + float((1.0 - theta[:-1]) @ (1.0 - theta[:-1]))
        return value, gradient


def run(path: Path | None, problem: Valley | None = None, **options: Any) -> Any:
    """A training of the valley."""
    how = {"progress": False, "seed": 3, "max_iter": ITERATIONS, "checkpoint": path, **options}
    return refode.train(problem or Valley(), np.array([20.0]), **how)


def same(a: Any, b: Any) -> bool:
    """Whether two results agree in every bit, but for the time they took."""
    names = [name for name in a.history.dtype.names if name != "seconds"]
    return (
        a.x.tobytes() == b.x.tobytes()
        and a.jac.tobytes() == b.jac.tobytes()
        and (a.fun, a.nit, a.nfev, a.message) == (b.fun, b.nit, b.nfev, b.message)
        and all(a.history[n].tobytes() == b.history[n].tobytes() for n in names)
    )


# --- damage -----------------------------------------------------------------------------------
def flipped(content: bytes, rng: np.random.Generator) -> bytes:
    """The same but for one bit."""
    broken = bytearray(content)
    broken[rng.integers(len(broken))] ^= 1 << int(rng.integers(8))
    return bytes(broken)


def truncated(content: bytes, rng: np.random.Generator) -> bytes:
    """The same without its end."""
    return content[: rng.integers(len(content))]


def outcome(path: Path, content: bytes, whole: Any) -> str:
    """What reading and resuming do: "refused" by name, "harmless", or what else."""
    path.write_bytes(content)
    named = f"checkpoint: got {str(path)!r}"
    try:
        training.read_checkpoint(path)
    except ValueError as error:
        if not str(error).startswith(named) or REFUSED not in str(error):
            return f"read: {error}"
    except Exception as error:
        return f"read: {type(error).__name__}: {error}"
    try:
        result = run(path, resume=True)
    except ValueError as error:
        told = str(error).startswith(named) and path.read_bytes() == content
        return "refused" if told else f"resumed: {error}"
    except Exception as error:
        return f"resumed: {type(error).__name__}: {error}"
    return "harmless" if same(result, whole) else "other bits"


def damaged(folder: Path, flips: int, truncations: int) -> dict[str, Counter[str]]:
    """Outcomes of both kinds of damage."""
    path, whole, rng = folder / "run.npz", run(None), np.random.default_rng(5)
    run(path, max_iter=STORED)
    good = path.read_bytes()
    if outcome(path, good, whole) != "harmless":
        raise AssertionError("the file itself is not resumed to the same bits")
    return {
        "flipped": Counter(outcome(path, flipped(good, rng), whole) for _ in range(flips)),
        "truncated": Counter(
            outcome(path, truncated(good, rng), whole) for _ in range(truncations)
        ),
    }


# --- kills ------------------------------------------------------------------------------------
def drafts(folder: Path) -> int:
    """How many there are of half-written files."""
    return sum(name.endswith(".part") for name in os.listdir(folder))


def killed(path: Path, after: float) -> None:
    """A training in a process of its own, killed some seconds after its first save."""
    command = [sys.executable, "-m", __spec__.name, "--train", os.fspath(path)]
    process = subprocess.Popen(command)
    while not path.exists() and process.poll() is None:
        time.sleep(0.005)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.wait()


def kills(folder: Path, times: int) -> Counter[str]:
    """Outcomes of so many kills, and how many of them hit a save."""
    begin = time.perf_counter()
    whole = run(folder / "whole.npz", Valley(LARGE, PAUSE), checkpoint_every=1)
    lasts, rng, found = time.perf_counter() - begin, random.Random(5), Counter[str]()
    for i in range(times):
        path = folder / f"kill{i}.npz"
        killed(path, rng.uniform(0.0, lasts))
        stored = training.read_checkpoint(path).nit
        found["in a save"] += drafts(folder)
        result = run(path, Valley(LARGE), checkpoint_every=1, resume=True)
        found["same bits" if same(result, whole) else "other bits"] += 1
        found["drafts left"] += drafts(folder)
        path.unlink()
        print(f"kill {i + 1}/{times}: at iteration {stored}", flush=True)
    return found


def main() -> int:
    """Damage and kill, then print what came of it."""
    parser = common.arguments(__doc__ or "", "checkpoints")
    parser.add_argument("--train", type=Path, metavar="FILE", help="what is killed")
    args = parser.parse_args()
    if args.train is not None:
        run(args.train, Valley(LARGE, PAUSE), checkpoint_every=1)
        return 0
    report = common.Report(args.out)
    flips, truncations, times = (
        (QUICK_FLIPS, QUICK_TRUNCATIONS, QUICK_KILLS) if args.quick else (FLIPS, TRUNCATIONS, KILLS)
    )
    with tempfile.TemporaryDirectory() as folder:
        found = damaged(Path(folder), flips, truncations)
    with tempfile.TemporaryDirectory() as folder:
        found["killed"] = kills(Path(folder), times)
    for kind, counts in found.items():
        print(f"{kind}: " + ", ".join(f"{n} {what}" for what, n in counts.most_common()))
    for kind, n in (("flipped", flips), ("truncated", truncations)):
        good = found[kind]["refused"] + found[kind]["harmless"]
        report.at_least(f"{kind} files refused by name or harmless", good, n)
    report.at_least("kills resumed to the same bits", found["killed"]["same bits"], times)
    report.at_most("drafts left after resuming", found["killed"]["drafts left"], 0)
    report.json("checkpoints.json", {kind: dict(counts) for kind, counts in found.items()})
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
