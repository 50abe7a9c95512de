"""The GPU path without a GPU: what is said then, and its kernels in the CUDA simulator.

Whether numba.cuda is simulated is decided when Numba is imported, so that the kernels'
tests run in a process of their own.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

KERNELS = Path(__file__).with_name("test_cuda_kernels.py")
MISSING = importlib.util.find_spec("numba_cuda") is None
needs_package = pytest.mark.skipif(MISSING, reason="numba-cuda is missing: the extra cuda")

PROBLEM = """
import sys
import refode
import refode.cuda
assert not any(name.startswith("numba_cuda") for name in sys.modules)
problem = refode.Supervised(refode.NeuralODE(refode.fields.Shallow(2, 3)))
"""
MAKE = """
try:
    refode.cuda.CudaSupervised(problem)
except RuntimeError as error:
    print(error)
"""


def python(*arguments: str, simulator: bool) -> subprocess.CompletedProcess[str]:
    env = dict(os.environ, NUMBA_ENABLE_CUDASIM=str(int(simulator)), NUMBA_DISABLE_JIT="1")
    return subprocess.run(
        [sys.executable, *arguments], env=env, capture_output=True, text=True, timeout=300
    )


@needs_package
def test_kernels_in_the_simulator():
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", str(KERNELS), simulator=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_without_the_package():
    hidden = "import importlib.util\nimportlib.util.find_spec = lambda *a: None\n"
    done = python("-c", PROBLEM + hidden + MAKE, simulator=False)
    assert done.returncode == 0, done.stderr
    assert "cuda: the package numba-cuda is missing" in done.stdout


@needs_package
def test_without_a_driver():
    """On a machine with a GPU nothing is missing, and nothing is said."""
    done = python("-c", PROBLEM + MAKE, simulator=False)
    assert done.returncode == 0, done.stderr
    if done.stdout:
        assert "cuda: no NVIDIA driver that works" in done.stdout
        assert "wanted a GPU, or the simulator" in done.stdout


@needs_package
def test_without_a_device():
    none = "from numba import cuda\ncuda.gpus = []\n"
    done = python("-c", PROBLEM + none + MAKE, simulator=False)
    assert done.returncode == 0, done.stderr
    assert "no NVIDIA device" in done.stdout
