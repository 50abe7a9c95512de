"""Bodies that make arrays compile in a process where none was compiled before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import refode
from refode.machine import compile as machine

pytestmark = pytest.mark.skipif(not machine.JIT, reason="there is no machine code")

ENERGY = """
from typing import NamedTuple

import numpy as np

from refode.costs.energies import Energy, energy

class WallSpec(NamedTuple):
    height: float

class Wall(Energy):
    def description(self):
        return WallSpec(2.0)

@energy.register(WallSpec)
def wall(Q, Z, out):
    G = {made}
    for s in range(out.shape[0]):
        out[s] += G[0, s]

print(Wall().value(np.array([[1.0, 0.0]]))[0])
"""
POTENTIAL = """
import numpy as np

import refode

field = refode.fields.Potential(dim=2, width=2, depth=1)
w, z = np.ones(field.n_weights), np.ones((1, 2))
print(np.isfinite(refode.evaluate.adjoint(field, w, z, z, np.ones(1))[0]).all())
"""


def printed(tmp_path, script):
    """What a process prints whose cache is empty."""
    environment = {
        **os.environ,
        "REFODE_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": str(Path(refode.__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("made", "value"), [("-Z", -1.0), ("Q.height * Z + Z", 3.0), ("np.sign(Z)", 1.0)]
)
def test_an_own_body_may_make_arrays(tmp_path, made, value):
    assert float(printed(tmp_path, ENERGY.format(made=made))) == value


def test_a_potential_by_itself(tmp_path):
    assert printed(tmp_path, POTENTIAL) == "True"
