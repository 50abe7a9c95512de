"""A user's own energy in files of its own, in processes of their own, to test the cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import refode

ROOT = Path(refode.__file__).parent.parent

FILES = {
    "constants.py": "FACTOR = 10.0\n",
    "helpers.py": """
import constants
from refode.machine.compile import kernel

@kernel
def scaled(x):
    return constants.FACTOR * x

def closing_over(shift):
    @kernel(name=f"shifted_{shift}")
    def inner(x):
        return x + shift

    @kernel(name=f"around_{shift}")
    def around(x):
        return inner(x)

    return around

shifted = closing_over(3.0)
""",
    "mine.py": '''
"""An energy."""
from typing import NamedTuple

import helpers
import numpy as np
from refode.machine.views import row
from refode.machine.activations import tanh
from refode.costs.energies import Energy, energy, energy_gradient

shifted = helpers.shifted

class MineSpec(NamedTuple):
    k: float

class Mine(Energy):
    def description(self):
        if self is None:
            raise ValueError("wanted an energy")
        return MineSpec(1.0)

@energy.register(MineSpec)
def mine_energy(Q, Z, out):
    """Q."""
    for s in range(out.shape[0]):
        out[s] += Q.k * helpers.scaled(row(Z, 0)[s]) + 100.0 * shifted(Z[1, s]) + tanh(Z[0, s])
''',
}
X = [[1.0, 2.0]]
VALUE = 10.0 + 500.0 + 0.7615941559557649

PROBE = """
import json, sys
import refode
from refode.machine import cache, compile
compiled, make = [], compile.Root._compiled
compile.Root._compiled = lambda root: compiled.append(root.name) or make(root)
{before}
import mine
imported = len(compiled)
value = mine.Mine().value({x})
print(json.dumps(dict(value=float(value[0]), compiled=compiled, imported=imported,
                      refode=refode.__file__)))
"""


def write(folder: Path) -> None:
    """The user's files."""
    for name, text in FILES.items():
        (folder / name).write_text(text)


def environment(folder: Path, *paths: Path, **more: str) -> dict[str, str]:
    """Of a process that imports from these paths and keeps its code in the folder's ``cache``."""
    kept = {k: v for k, v in os.environ.items() if k not in ("REFODE_QUIET", "NUMBA_DISABLE_JIT")}
    path = os.pathsep.join(map(str, paths or (folder, ROOT)))
    return kept | {"PYTHONPATH": path, "REFODE_CACHE_DIR": str(folder / "cache")} | more


def probe(folder: Path, *paths: Path, before: str = "", **more: str) -> dict[str, Any]:
    """The energy's value at X in a process of its own, and the roots compiled there."""
    code = PROBE.format(x=X, before=before)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(folder, *paths, **more),
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def roots(folder: Path) -> list[str]:
    """Names of the files in the folder's cache."""
    return sorted(f.name for f in (folder / "cache").iterdir())
