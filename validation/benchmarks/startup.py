"""Seconds until something happens: import, first gradient ever, first gradient of a process.

Every number comes from a fresh process. "Fresh install" means an empty cache of compiled
kernels; "next process" finds there what the first one compiled. Both count from the end of
the import to the end of the first gradient, building the model included. Processor times
stand beside the wall's: where they differ much, others are using the machine. Python may keep
byte code, as it does for whatever is installed, and the first process of all writes it.

With ``--against DIR`` everything is of two checkouts, this one and an older one, in turns:
processor seconds of first, second and next problems, of the command that makes Figure 1 and the
real data, of the tests, and the kernels' own times. All but the tests, or the pieces named.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from validation import common

IMPORT, FRESH, NEXT = 0.8, 12.0, 0.5  # seconds allowed

PROGRAM = """
import json, sys, time
start = time.perf_counter()
import refode
imported = time.perf_counter()
loaded = [m for m in ("numba", "scipy", "matplotlib", "rich") if m in sys.modules]
middle, processor = time.perf_counter(), time.process_time()
{body}
end, processor = time.perf_counter(), time.process_time() - processor
print(json.dumps({{"import": imported - start, "gradient": end - middle, "processor": processor,
                  "loaded": loaded}}))
"""

BODY = """
import numpy as np
ode = refode.NeuralODE({field}, scheme="rk4", n_steps=10, basis={basis})
problem = refode.Supervised(ode, loss="{loss}", n_outputs={m})
rng = np.random.default_rng(0)
x, y = rng.standard_normal((1000, ode.dim)), {y}
problem.value_and_gradient(problem.initial(seed=0), x, y)
"""

PIECES = {
    "first": "first gradients from an empty cache",
    "second": "further problems in a process",
    "next": "the import, and first gradients of processes with a warm cache",
    "reproduce": "refode reproduce figure1 realdata from an empty cache",
    "tests": "pytest -n 2 from an empty cache (takes long)",
    "kernels": "value and gradient of S1, S2, C1, C2, M1, M2",
}
BINARY, REAL = "rng.integers(0, 2, 1000)", "rng.standard_normal(1000)"
SMALL = {
    "field": "refode.fields.Shallow(dim=3, width=32)",
    "basis": "refode.bases.PiecewiseConstant(10)",
    "loss": "logistic",
    "m": 1,
    "y": BINARY,
}
MODELS: dict[str, dict[str, Any]] = {
    "Shallow, d=3": SMALL,
    "Shallow, d=64": {
        "field": "refode.fields.Shallow(dim=64, width=256)",
        "basis": "refode.bases.Constant()",
        "loss": "regression",
        "m": 1,
        "y": REAL,
    },
    "MLP, d=3, two hidden layers": SMALL | {"field": "refode.fields.MLP(dim=3, widths=(32, 32))"},
    "Hamiltonian, d=4": SMALL | {"field": "refode.fields.Hamiltonian(dim=4)"},
}


def fresh_process(body: str, cache: str) -> dict[str, Any]:
    """Run import and body in a new process with this cache folder."""
    env = os.environ | {"REFODE_CACHE_DIR": cache}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", PROGRAM.format(body=body)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"a fresh process failed:\n{done.stderr}")
    return json.loads(done.stdout)


def main() -> int:
    """Measure, print, check."""
    parser = common.arguments(__doc__, "startup")
    parser.add_argument("--against", type=Path, metavar="DIR", help="an older checkout")
    for piece, what in PIECES.items():
        parser.add_argument(f"--{piece}", action="store_true", help=f"with --against: {what}")
    parser.add_argument(
        "--caches", type=Path, metavar="DIR", help="with --kernels: where compiled kernels are kept"
    )
    args = parser.parse_args()
    if args.against is None and any(getattr(args, piece) for piece in (*PIECES, "caches")):
        parser.error("--against: missing, wanted with the pieces of a comparison")
    if args.against is not None and not (args.against / "refode" / "__init__.py").is_file():
        parser.error(f"--against: got {args.against}, wanted a folder with refode in it")
    report = common.Report(args.out)
    if args.against is not None:
        from validation.benchmarks import startup_against

        return startup_against.compare(args, report)
    repeats = 3 if args.quick else 7
    models = dict(list(MODELS.items())[:2]) if args.quick else MODELS
    found: dict[str, Any] = {"machine": common.machine(), "gradients": {}}
    with tempfile.TemporaryDirectory() as unused:
        fresh_process("", unused)  # brings the files of the import into memory
        runs = [fresh_process("", unused) for _ in range(repeats)]
    found["import"] = [r["import"] for r in runs]
    rows = []
    for name, model in models.items():
        with tempfile.TemporaryDirectory() as cache:
            first = fresh_process(BODY.format(**model), cache)
            later = [fresh_process(BODY.format(**model), cache) for _ in range(repeats)]
        found["gradients"][name] = {"fresh": first, "next": later}
        typical = statistics.median(r["gradient"] for r in later)
        processor = statistics.median(r["processor"] for r in later)
        rows.append(
            (
                name,
                f"{first['gradient']:.2f}",
                f"{first['processor']:.2f}",
                f"{typical:.3f}",
                f"{processor:.3f}",
                f"{max(r['gradient'] for r in later):.3f}",
            )
        )
        report.at_most(f"{name}: first gradient, fresh install", first["gradient"], FRESH, "s")
        report.at_most(f"{name}: first gradient, next process (median)", typical, NEXT, "s")
    columns = (
        "first gradient of",
        "fresh install, s",
        "processor, s",
        "next process, s",
        "processor, s",
        "largest, s",
    )
    common.print_table("Seconds from the end of the import", columns, rows)
    typical = statistics.median(found["import"])
    loaded = ", ".join(runs[0]["loaded"]) or "none"
    print(
        f"import refode: median {typical:.3f} s, largest {max(found['import']):.3f} s; "
        f"loads {loaded} of numba, scipy, matplotlib, rich"
    )
    report.at_most("import refode (median)", typical, IMPORT, "s")
    report.json("startup.json", found)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
