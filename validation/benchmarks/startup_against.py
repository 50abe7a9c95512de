"""What starting costs in two checkouts, in turns: the pieces of ``startup.py --against DIR``.

Every number is of a fresh process with a cache folder of its own, and counts user and system
seconds of the process and its children, as the parent is charged for them: on a machine that
others use, and with kernels compiled side by side, wall times say less. The checkouts take
turns, and who begins alternates.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from validation import common

UNSET = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "NUMBA_DISABLE_JIT",
    "PYTHONDONTWRITEBYTECODE",
    "REFODE_CACHE_DIR",
)
REPRODUCE, GAME, OTHERS, TESTS = 0.4, 1.0 / 3.0, 0.5, 0.5  # of the older checkout's seconds
SECOND, SECOND_GAME = 3.0, 8.0  # seconds
SLOWER, ERRORS = 1.05, 2.0  # of a warm start, and standard errors besides
OLDER, NEWER = "older", "newer"

# what a process does: imports, then steps; charges each with the seconds of self and children
PROGRAM = """
import json, resource, sys
def spent():
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in both)
import refode
marks = [spent()]
{steps}
print(json.dumps({{"marks": marks, "file": refode.__file__}}))
"""
STEP = """
def step(rng):
    import numpy as np
{body}
import numpy
step(numpy.random.default_rng(0))
marks.append(spent())
"""
SUPERVISED = """
ode = refode.NeuralODE({field}, scheme="rk4", n_steps=10, basis=refode.bases.{basis})
problem = refode.Supervised(ode, loss="{loss}")
y = rng.integers(0, 2, 1000) if "{loss}" == "logistic" else rng.standard_normal(1000)
problem.value_and_gradient(problem.initial(seed=0), rng.standard_normal((1000, ode.dim)), y)
"""
SMALL = {
    "field": "refode.fields.Shallow(3, 32)",
    "basis": "PiecewiseConstant(10)",
    "loss": "logistic",
}
FLOW = """
ode = refode.NeuralODE(refode.fields.Shallow(2, 64), scheme="rk4", n_steps=8)
flow = refode.ContinuousNormalizingFlow(ode, transport=0.1)
flow.value_and_gradient(flow.initial(seed=0), rng.standard_normal((2048, 2)))
"""
TRANSPORT = """
initial = refode.densities.Gaussian(np.zeros(2), 0.3 * np.eye(2))
target = refode.densities.Gaussian(np.ones(2), 0.3 * np.eye(2))
potential = refode.fields.Potential(2, 16, quadratic="symmetric")
game = refode.games.optimal_transport(initial, target, alpha=2.0, terminal=5.0)
problem = refode.MeanFieldGame(potential, game, hjb=3.0, hjb_terminal=3.0)
problem.value_and_gradient(problem.initial(seed=0), initial.sample(2304, seed=0))
"""
STEPS = {
    "supervised": SUPERVISED.format(**SMALL),
    "supervised, d=64": SUPERVISED.format(
        field="refode.fields.Shallow(64, 256)", basis="Constant()", loss="regression"
    ),
    "flow": FLOW,
    "game": TRANSPORT,
    "another field (MLP)": SUPERVISED.format(**SMALL | {"field": "refode.fields.MLP(3, (32, 32))"}),
    "another field (shallow, d=8)": SUPERVISED.format(
        **SMALL | {"field": "refode.fields.Shallow(8, 32)"}
    ),
    "another loss": SUPERVISED.format(**SMALL | {"loss": "regression"}),
}
FIRST = {"supervised": OTHERS, "supervised, d=64": OTHERS, "flow": OTHERS, "game": GAME}
THEN = [
    ("supervised", "another field (MLP)", SECOND),
    ("supervised", "another field (shallow, d=8)", SECOND),
    ("supervised", "another loss", SECOND),
    ("supervised", "flow", SECOND),
    ("supervised", "game", SECOND_GAME),
    ("flow", "game", SECOND_GAME),
]
NEXT = ("supervised", "flow", "game")


class Cost(NamedTuple):
    """What a process took: processor seconds by step, the import first; in all; by the clock."""

    steps: list[float]
    processor: float
    wall: float


def environment(tree: Path, cache: str) -> dict[str, str]:
    """A checkout is imported, its kernels compile into ``cache``, BLAS chooses for itself."""
    env = {k: v for k, v in os.environ.items() if k not in UNSET}
    return env | {"PYTHONPATH": str(tree), "REFODE_CACHE_DIR": cache}


def charged(command: list[str], tree: Path, cache: str, cwd: str) -> tuple[Any, float, float]:
    """Run to completion; the finished process, processor and wall seconds."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, env=environment(tree, cache), cwd=cwd, capture_output=True, text=True
    )
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done, spent, wall


def process(tree: Path, cache: str, *names: str) -> Cost:
    """A process that imports refode and takes these steps.

    What its children, or its end, were charged for after the last step counts as the last
    step's.
    """
    lines = [
        "".join(f"    {line}\n" for line in STEPS[name].strip().splitlines()) for name in names
    ]
    program = PROGRAM.format(steps="".join(STEP.format(body=body) for body in lines))
    with tempfile.TemporaryDirectory() as empty:
        done, spent, wall = charged([sys.executable, "-c", program], tree, cache, empty)
    if done.returncode:
        raise RuntimeError(f"a fresh process failed with {tree}:\n{done.stderr}")
    found = json.loads(done.stdout.splitlines()[-1])
    if not Path(found["file"]).resolve().is_relative_to(tree.resolve()):
        raise RuntimeError(f"refode came from {found['file']}, wanted {tree}")
    marks = [0.0, *found["marks"][:-1], spent]
    return Cost([b - a for a, b in zip(marks, marks[1:], strict=False)], spent, wall)


@contextlib.contextmanager
def cache_like(folder: Path | None = None) -> Iterator[str]:
    """An empty cache folder, or a copy of one."""
    with tempfile.TemporaryDirectory() as parent:
        path = Path(parent) / "cache"
        if folder is None:
            path.mkdir()
        else:
            shutil.copytree(folder, path)
        yield str(path)


class Measures:
    """Both checkouts' measures, the table's rows and the checks."""

    def __init__(self, newer: Path, older: Path, report: Any, quick: bool) -> None:
        self.trees = {OLDER: older.resolve(), NEWER: newer.resolve()}
        self.report, self.quick = report, quick
        self.rows: list[tuple[str, ...]] = []
        self.found: dict[str, Any] = {}

    def in_turns(self, what: str, measure: Callable[[str], Cost], rounds: int) -> Any:
        """``rounds`` costs of either checkout."""
        costs: dict[str, list[Cost]] = {OLDER: [], NEWER: []}
        for i in range(rounds):
            for who in (OLDER, NEWER) if i % 2 == 0 else (NEWER, OLDER):
                costs[who].append(measure(who))
        self.found[what] = {who: [c._asdict() for c in found] for who, found in costs.items()}
        print(
            f"  {what}: "
            + ", ".join(
                f"{who} {statistics.median(c.processor for c in found):.2f} s"
                for who, found in costs.items()
            ),
            flush=True,
        )
        return costs

    def add(self, what: str, costs: Any, part: int | None = None) -> tuple[float, float]:
        """A row of the table; medians of the older and the newer checkout's seconds."""
        old, new = (
            statistics.median(c.processor if part is None else c.steps[part] for c in costs[who])
            for who in (OLDER, NEWER)
        )
        walls = [statistics.median(c.wall for c in costs[who]) for who in (OLDER, NEWER)]
        self.rows.append(
            (
                what,
                f"{old:.2f}",
                f"{new:.2f}",
                f"{new / old:.3f}" if old else "-",
                *(f"{w:.2f}" for w in walls),
            )
        )
        return old, new

    # --- pieces ------------------------------------------------------------------------
    def warm_up(self) -> None:
        """Byte code of both, and their files in memory."""
        for tree in self.trees.values():
            with cache_like() as cache:
                process(tree, cache)

    def first(self) -> None:
        """The first gradient of all, from an empty cache."""
        for name, bound in FIRST.items():
            if self.quick and name == "supervised, d=64":
                continue

            def measure(who: str, name: str = name) -> Cost:
                with cache_like() as cache:
                    return process(self.trees[who], cache, name)

            what = f"first gradient, {name}"
            costs = self.in_turns(what, measure, 1 if self.quick else 3)
            old, new = self.add(what, costs)
            self.report.at_most(f"{what}: of the older's", new / old, bound)

    def second(self) -> None:
        """What comes after a first problem, in its process or in one that finds it cached."""
        with contextlib.ExitStack() as stack:
            warm: dict[tuple[str, str], Path] = {}
            for who, tree in self.trees.items():
                for first in ("supervised", "flow"):
                    warm[who, first] = Path(stack.enter_context(cache_like()))
                    process(tree, str(warm[who, first]), first)
            for first, then, bound in THEN:
                for state in ("empty", "warm"):

                    def measure(
                        who: str, first: str = first, then: str = then, state: str = state
                    ) -> Cost:
                        known = warm[who, first] if state == "warm" else None
                        with cache_like(known) as cache:
                            return process(self.trees[who], cache, first, then)

                    what = f"{then} after {first}, {state} cache"
                    costs = self.in_turns(what, measure, 1)
                    new = self.add(what, costs, part=-1)[1]
                    self.report.at_most(f"{what}: more", new, bound, "s")

    def next_process(self) -> None:
        """The import alone, and first gradients of processes that find everything cached."""
        rounds = 5 if self.quick else 9
        with contextlib.ExitStack() as stack:
            cache = {who: stack.enter_context(cache_like()) for who in self.trees}
            for who, tree in self.trees.items():
                for name in NEXT:
                    process(tree, cache[who], name)
            for names in ((), *((name,) for name in NEXT)):
                what = f"next process, {names[0]}" if names else "import refode"
                costs = self.in_turns(
                    what,
                    lambda who, names=names: process(self.trees[who], cache[who], *names),
                    rounds,
                )
                old, new = self.add(what, costs)
                spread = math.hypot(
                    *(relative_error([c.processor for c in costs[who]]) for who in costs)
                )
                self.report.at_most(f"{what}: of the older's", new / old, SLOWER + ERRORS * spread)

    def reproduce(self) -> None:
        """The command that trains the survey's first figure and the real data, from nothing."""
        if importlib.util.find_spec("sklearn") is None:
            raise SystemExit("--reproduce: scikit-learn is missing, wanted for realdata")

        def measure(who: str) -> Cost:
            with cache_like() as cache, tempfile.TemporaryDirectory() as out:
                command = [
                    sys.executable,
                    "-m",
                    "refode",
                    "reproduce",
                    "figure1",
                    "realdata",
                    "--out",
                    out,
                ]
                done, spent, wall = charged(command, self.trees[who], cache, out)
            if done.returncode:
                raise RuntimeError(f"reproduce failed with {who}:\n{done.stdout}{done.stderr}")
            return Cost([spent], spent, wall)

        costs = self.in_turns("reproduce figure1 realdata", measure, 1)
        old, new = self.add("reproduce figure1 realdata", costs)
        self.report.at_most("reproduce: of the older's", new / old, REPRODUCE)

    def tests(self) -> None:
        """Each checkout's own tests, from an empty cache."""

        def measure(who: str) -> Cost:
            tree = self.trees[who]
            with cache_like() as cache:
                command = [
                    sys.executable,
                    "-m",
                    "pytest",
                    "-q",
                    "-n",
                    "2",
                    "-p",
                    "no:cacheprovider",
                ]
                done, spent, wall = charged(command, tree, cache, str(tree))
            last = (done.stdout.splitlines() or [done.stderr])[-1]
            print(f"  {who}: {last}", flush=True)
            self.report.at_most(f"tests of the {who}: exit status", done.returncode, 0)
            return Cost([spent], spent, wall)

        costs = self.in_turns("pytest -n 2", measure, 1)
        old, new = self.add("pytest -n 2", costs)
        self.report.at_most("tests: of the older's", new / old, TESTS)

    def table(self) -> None:
        """All rows so far."""
        columns = (
            "user and system seconds, medians",
            OLDER,
            NEWER,
            "ratio",
            f"wall, {OLDER}",
            f"wall, {NEWER}",
        )
        common.print_table("Two checkouts in turns", columns, self.rows)


def relative_error(seconds: list[float]) -> float:
    """Standard error of the median, from the quartiles, in proportion to it."""
    low, _, high = statistics.quantiles(seconds, n=4)
    return 0.93 * (high - low) / math.sqrt(len(seconds)) / statistics.median(seconds)


def machine() -> str:
    """The processor's name, and the kernels that BLAS chooses on it by itself."""
    code = (
        "import numpy, scipy.linalg, threadpoolctl as t; print(', '.join(sorted({"
        "i['internal_api'] + ' ' + str(i.get('architecture')) for i in t.threadpool_info()"
        " if i['user_api'] == 'blas'})))"
    )
    env = {k: v for k, v in os.environ.items() if k not in UNSET}
    blas = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    return f"{common.machine()['processor']}, {common.usable_cores()} cores, {blas.stdout.strip()}"


PIECES = {
    "first": Measures.first,
    "second": Measures.second,
    "next": Measures.next_process,
    "reproduce": Measures.reproduce,
    "tests": Measures.tests,
}


def compare(args: Any, report: Any) -> int:
    """Measure the chosen pieces, print, check."""
    chosen = [name for name in (*PIECES, "kernels") if getattr(args, name)]
    chosen = chosen or [name for name in (*PIECES, "kernels") if name != "tests"]
    name = machine()
    print(f"{name}; load {os.getloadavg()[0]:.1f}", flush=True)
    newer = Path(__file__).resolve().parents[2]
    measures = Measures(newer, args.against, report, args.quick)
    measures.found["machine"], measures.found["trees"] = name, str(measures.trees)
    measures.warm_up()
    for piece in chosen:
        if piece in PIECES:
            print(f"{piece}:", flush=True)
            PIECES[piece](measures)
    if measures.rows:
        measures.table()
    if "kernels" in chosen:
        from validation.benchmarks import startup_kernels

        measures.found["kernels"] = startup_kernels.compare(
            measures.trees, report, 8 if args.quick else 30, args.caches
        )
    report.json("startup_against.json", measures.found)
    print(name)
    return report.finish()
