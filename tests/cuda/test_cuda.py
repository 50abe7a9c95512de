"""The GPU path without a GPU: what is said then, and its kernels in the CUDA simulator.

Whether numba.cuda is simulated is decided when Numba is imported, so that the files of
tests/cuda run in processes of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cuda_there import missing

FILES = sorted(p for p in Path(__file__).with_name("device").glob("*.py") if p.stem != "common")
TYPES = Path(__file__).with_name("compiled") / "kernels.py"
BROKEN = "raise ImportError('no such library as libnowhere')\n"

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


def python(*arguments: str, simulator: bool, jit: bool = False) -> subprocess.CompletedProcess[str]:
    env = dict(
        os.environ, NUMBA_ENABLE_CUDASIM=str(int(simulator)), NUMBA_DISABLE_JIT=str(int(not jit))
    )
    return subprocess.run(
        [sys.executable, *arguments], env=env, capture_output=True, text=True, timeout=600
    )


@pytest.fixture
def there():
    """Skips what needs numba-cuda for a device where that cannot be imported."""
    if reason := missing(simulator=False):
        pytest.skip(reason)


@pytest.fixture
def simulator_there():
    if reason := missing(simulator=True):
        pytest.skip(reason)


@pytest.mark.usefixtures("simulator_there")
@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_in_the_simulator(file):
    done = python(
        "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(file), simulator=True
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.usefixtures("there")
def test_types():
    done = python(
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        str(TYPES),
        simulator=False,
        jit=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.parametrize("simulator", [True, False])
def test_what_is_missing_is_named(simulator, tmp_path):
    """Where numba-cuda does not import, tests are skipped and say so."""
    pytest.importorskip("numba_cuda")
    (tmp_path / "cuda.py").write_text(BROKEN)  # in the place of NVIDIA's packages
    reason = missing(simulator, str(tmp_path))
    assert ("simulator" in reason) == simulator
    assert reason.endswith("cannot be imported: ImportError: no such library as libnowhere")


def test_a_package_that_does_not_import(tmp_path):
    pytest.importorskip("numba_cuda")
    (tmp_path / "cuda.py").write_text(BROKEN)
    first = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
    done = python("-c", IMPORT + first + MAKE, simulator=False)
    assert done.returncode == 0, done.stderr
    assert "cuda: numba-cuda cannot be imported (ImportError: no such library" in done.stdout
    assert "wanted an environment where `from numba import cuda` works" in done.stdout


def test_numpy_is_left_as_it_was():
    """numba-cuda reads a name that NumPy 2.5 took away: it is there meanwhile, and not after."""
    import numpy as np

    from refode.cuda.numpy_names import given_back

    before = hasattr(np, "row_stack")
    with given_back():
        assert callable(vars(np)["row_stack"])
    assert hasattr(np, "row_stack") == before
    with pytest.raises(ZeroDivisionError), given_back():
        raise ZeroDivisionError
    assert hasattr(np, "row_stack") == before


def test_files_are_there():
    assert {f.stem for f in FILES} >= {
        "ode",
        "supervised",
        "flows",
        "games",
        "layout",
        "oracles",
        "watching",
    }


def test_without_the_package():
    hidden = "import importlib.util\nimportlib.util.find_spec = lambda *a: None\n"
    done = python("-c", IMPORT + hidden + MAKE, simulator=False)
    assert done.returncode == 0, done.stderr
    assert "cuda: the package numba-cuda is missing" in done.stdout


@pytest.mark.usefixtures("there")
def test_without_a_driver():
    """On a machine with a GPU nothing is missing, and nothing is said."""
    done = python("-c", IMPORT + MAKE, simulator=False)
    assert done.returncode == 0, done.stderr
    if done.stdout:
        assert "cuda: no NVIDIA driver that works" in done.stdout
        assert "wanted a GPU, or the simulator" in done.stdout


@pytest.mark.usefixtures("there")
def test_without_a_device():
    none = "from numba import cuda\ncuda.gpus = []\n"
    done = python("-c", IMPORT + none + MAKE, simulator=False)
    assert done.returncode == 0, done.stderr
    assert "no NVIDIA device" in done.stdout
