"""The GPU path without a GPU: what is said then, and its kernels in the CUDA simulator.

Whether numba.cuda is simulated is decided when Numba is imported, so that the files of
tests/cuda run in processes of their own.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

FILES = sorted(p for p in Path(__file__).with_name("cuda").glob("*.py") if p.stem != "common")
TYPES = Path(__file__).parent / "cuda_types" / "kernels.py"
MISSING = importlib.util.find_spec("numba_cuda") is None
needs_package = pytest.mark.skipif(MISSING, reason="numba-cuda is missing: the extra cuda")

IMPORT = """
import sys
import refode
import refode.cuda
assert not any(name.startswith("numba_cuda") for name in sys.modules)
"""
MAKE = """
try:
    refode.NeuralODE(refode.fields.Shallow(2, 3), device="cuda")
except RuntimeError as error:
    print(error)
"""


def python(
    *arguments: str, simulator: bool, jit: bool = False
) -> subprocess.CompletedProcess[str]:
    env = dict(
        os.environ, NUMBA_ENABLE_CUDASIM=str(int(simulator)), NUMBA_DISABLE_JIT=str(int(not jit))
    )
    return subprocess.run(
        [sys.executable, *arguments], env=env, capture_output=True, text=True, timeout=600
    )


@needs_package
@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_in_the_simulator(file):
    done = python("-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(file),
                  simulator=True)  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


@needs_package
def test_types():
    done = python("-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(TYPES),
                  simulator=False, jit=True)  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_files_are_there():
    assert {f.stem for f in FILES} >= {
        "ode", "supervised", "flows", "games", "layout", "oracles", "watching"
    }


def test_without_the_package():
    hidden = "import importlib.util\nimportlib.util.find_spec = lambda *a: None\n"
    done = python("-c", IMPORT + hidden + MAKE, simulator=False)
    assert done.returncode == 0, done.stderr
    assert "cuda: the package numba-cuda is missing" in done.stdout


@needs_package
def test_without_a_driver():
    """On a machine with a GPU nothing is missing, and nothing is said."""
    done = python("-c", IMPORT + MAKE, simulator=False)
    assert done.returncode == 0, done.stderr
    if done.stdout:
        assert "cuda: no NVIDIA driver that works" in done.stdout
        assert "wanted a GPU, or the simulator" in done.stdout


@needs_package
def test_without_a_device():
    none = "from numba import cuda\ncuda.gpus = []\n"
    done = python("-c", IMPORT + none + MAKE, simulator=False)
    assert done.returncode == 0, done.stderr
    assert "no NVIDIA device" in done.stdout
