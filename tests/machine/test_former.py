"""Cells run again: neither this process nor a later one may meet the code of the former cell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import refode
from refode.machine import compile as machine

pytestmark = pytest.mark.skipif(not machine.JIT, reason="there is no machine code")

CLASS = """
from typing import NamedTuple

import numpy as np

from refode.costs.energies import Energy, energy
from refode.machine.compile import kernel

class WallSpec(NamedTuple):
    height: float

class Wall(Energy):
    def description(self):
        return WallSpec(1.0)

def value():
    return Wall().value(np.array([[1.0, 3.0]]))[0]
"""
HELPER = """
@kernel
def scaled(x):
    return SCALE * x
"""
BODY = """
@energy.register(WallSpec)
def wall(Q, Z, out):
    for s in range(out.shape[0]):
        out[s] += Z[{row}, s]
"""
BY_HELPER = BODY.replace("Z[{row}, s]", "scaled(Z[{row}, s])")


def printed(tmp_path, *cells):
    """What a process prints that runs these cells, each followed by a value."""
    script = CLASS + "".join(f"{cell}\nprint(value())\n" for cell in cells)
    environment = {
        **os.environ,
        "REFODE_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": str(Path(refode.__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [float(line) for line in done.stdout.split()]


def test_a_body_that_is_registered_again_takes_effect(tmp_path):
    first, second = BODY.format(row=0), BODY.format(row=1)
    assert printed(tmp_path, first, second, first) == [1.0, 3.0, 1.0]
    assert printed(tmp_path, second) == [3.0]  # what is kept on disk is of that body


def test_so_does_a_constant_that_is_another_when_bodies_are_registered_again(tmp_path):
    body = BY_HELPER.format(row=0)
    assert printed(tmp_path, "SCALE = 2.0" + HELPER + body, "SCALE = 5.0" + body) == [2.0, 5.0]
    assert printed(tmp_path, "SCALE = 5.0" + HELPER + body) == [5.0]


def test_so_does_a_constant_of_a_helper_that_an_older_body_called(tmp_path):
    """Another class's body calls a helper that was compiled with the former constant."""
    body = BY_HELPER.format(row=0)
    other = "class WallSpec(NamedTuple):\n    height: float\n    depth: float = 0.0\n" + body
    assert printed(tmp_path, "SCALE = 2.0" + HELPER + body, "SCALE = 5.0\n" + other) == [2.0, 5.0]
    assert printed(
        tmp_path, other.replace("class", "SCALE = 5.0\nclass", 1).replace(body, HELPER + body)
    ) == [5.0]
