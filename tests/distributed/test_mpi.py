"""Programs on ranks of MPI: the same bits, failures that end all of them, Ctrl-C, memory."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import refode

ROOT = Path(__file__).resolve().parents[2]
BESIDE = Path(sys.executable).parent / "mpiexec"  # where the wheel mpich puts it
MPIEXEC = str(BESIDE) if BESIDE.exists() else shutil.which("mpiexec")
MISSING = [name for name in ("mpi4py",) if importlib.util.find_spec(name) is None]
MISSING += [] if MPIEXEC else ["mpiexec"]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"missing: {', '.join(MISSING)}")
SECONDS = 240.0

BEGIN = """
import os, signal, sys, time
import numpy as np
import refode, refode.distributed
from mpi4py import MPI
rank, size = MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.Get_size()
x = np.random.default_rng(0).standard_normal((6000, 2))
y = x.sum(axis=1)
ode = refode.NeuralODE(refode.fields.MLP(2, (3, 3)), n_steps=2)
problem = refode.Supervised(ode, "regression")
checkpoint = sys.argv[1] if len(sys.argv) > 1 else None
"""
TRAIN = """
result = refode.distributed.train(problem, x, y, max_iter=12, tolerance=0.0, checkpoint=checkpoint)
os.write(1, f"{rank} {result.x.tobytes().hex()} {result.nit}\\n".encode())  # in one piece
"""
PLANT = """
from refode.ode import driver
real, calls = driver.gradient, []
def planted(*arguments, **named):
    calls.append(1)
    if rank == 1 and len(calls) > 5:
        FAIL
    return real(*arguments, **named)
driver.gradient = planted
"""


def command(n, *arguments):
    return [MPIEXEC, "-n", str(n), sys.executable, "-W", "ignore", *map(str, arguments)]


def environment():
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


def run(n, text, *arguments):
    return subprocess.run(
        command(n, "-c", text, *arguments),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def data():
    x = np.random.default_rng(0).standard_normal((6000, 2))
    ode = refode.NeuralODE(refode.fields.MLP(2, (3, 3)), n_steps=2)
    return refode.Supervised(ode, "regression"), x, x.sum(axis=1)


def test_the_example_says_that_the_bits_are_the_same():
    done = subprocess.run(
        command(4, ROOT / "docs" / "examples" / "train_mpi.py"),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("True") == 2, done.stdout  # rank 0 alone prints
    assert "False" not in done.stdout


def test_every_rank_has_the_result_and_rank_0_the_progress_and_checkpoint(tmp_path):
    problem, x, y = data()
    file = tmp_path / "run.npz"
    done = run(3, BEGIN + TRAIN, file)
    assert done.returncode == 0, done.stderr
    alone = refode.train(problem, x, y, max_iter=12, tolerance=0.0, progress=False)
    lines = sorted(done.stdout.strip().split("\n"))
    assert lines == [f"{rank} {alone.x.tobytes().hex()} {alone.nit}" for rank in range(3)]
    assert done.stderr.count("max_iter reached") == 1
    assert refode.training.read_checkpoint(file).fun == alone.fun
    # one process goes on with it, to the bits of one that was never on ranks
    options = {"tolerance": 0.0, "progress": False}
    on = refode.train(problem, x, y, max_iter=20, checkpoint=file, resume=True, **options)
    assert on.x.tobytes() == refode.train(problem, x, y, max_iter=20, **options).x.tobytes()


@pytest.mark.parametrize("chain", [(2, 4, 1), (None, 3)])
def test_a_run_goes_on_on_another_number_of_ranks(chain, tmp_path):
    """None is a program without ranks; all end in the bits of a run that was never stopped."""
    problem, x, y = data()
    options = {"tolerance": 0.0, "progress": False}
    for i, n in enumerate(chain):
        how = {"checkpoint": str(tmp_path / "run.npz"), "max_iter": 4 * (i + 1), "resume": i > 0}
        if n is None:
            refode.train(problem, x, y, **options, **how)
            continue
        text = TRAIN.replace("max_iter=12, tolerance=0.0, checkpoint=checkpoint", "**how")
        done = run(n, f"{BEGIN}how = {options | how}\n{text}")
        assert done.returncode == 0, done.stderr
        alone = refode.train(problem, x, y, max_iter=how["max_iter"], **options)
        lines = sorted(done.stdout.strip().split("\n"))
        assert lines == [f"{rank} {alone.x.tobytes().hex()} {alone.nit}" for rank in range(n)]


@pytest.mark.parametrize("again", range(2))
@pytest.mark.parametrize(
    "last",
    ["MPI.COMM_WORLD.Barrier()", "refode.distributed.lead(lambda of: of.initial(), problem)"],
)
def test_ranks_that_end_at_once_have_succeeded(last, again):
    done = run(4, BEGIN + last)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_programs_may_begin_and_end_mpi_by_themselves():
    text = (
        "import mpi4py\nmpi4py.rc.initialize = False\n"
        "from mpi4py import MPI\nimport refode, refode.distributed\n"
        "problem = refode.Supervised(refode.NeuralODE(refode.fields.Affine(2)))\n"
        "def said():\n"
        "    try:\n        refode.distributed.share(problem, 6000)\n"
        "    except RuntimeError as error:\n        return str(error)\n"
        "said_before = said()\nMPI.Init()\n"
        "assert refode.distributed.share(problem, 6000)\nMPI.Finalize()\n"
        "assert 'comm: got an MPI that has not begun' in said_before\n"
        "assert 'comm: got an MPI that has ended' in said()\n"
    )
    done = run(2, text)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    done = run(2, text + "raise LookupError('planted')\n")
    assert done.returncode != 0
    assert "LookupError: planted" in done.stderr
    assert "MPICH" not in done.stderr


def test_a_rank_that_fails_in_training_ends_all_with_one_error(tmp_path):
    text = BEGIN + PLANT.replace("FAIL", "raise LookupError('planted')") + TRAIN
    done = run(3, text, tmp_path / "run.npz")
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.count("distributed.RankError: rank 1 of 3 failed: LookupError: planted") == 1
    assert done.stderr.count("most recent call last") == 2  # rank 0's, and in it rank 1's
    assert refode.training.read_checkpoint(tmp_path / "run.npz").nfev == 5  # not lost


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raise LookupError('planted')", "rank 1 of 3 failed:\nTraceback"),
        ("sys.exit(0)", "rank 1 of 3 has ended while others count on it"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),  # by mpiexec itself
    ],
)
def test_a_rank_that_fails_before_training_ends_all(how, said):
    done = run(3, BEGIN + f"if rank == 1:\n    {how}\n" + TRAIN)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def test_too_many_ranks_are_one_error_with_the_largest_number():
    done = run(3, BEGIN + "x, y = x[:60], y[:60]" + TRAIN)
    assert done.returncode != 0
    assert done.stderr.count("ValueError: x: got 60 samples for 3 ranks, wanted at most 2") == 1
    assert done.stderr.count("most recent call last") == 1


def test_ctrl_c_ends_training_with_its_best_theta(tmp_path):
    text = BEGIN + (
        "def slow(now):\n    print('iteration', now.iteration, flush=True)\n    time.sleep(0.05)\n"
        "result = refode.distributed.train(problem, x, y, max_iter=10**6, tolerance=0.0, "
        "checkpoint=checkpoint, callback=slow)\n"
        "os.write(1, f'{rank} {result.status}\\n'.encode())\n"
    )
    file = tmp_path / "run.npz"
    process = subprocess.Popen(
        command(3, "-c", text, file),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        seen = iter(process.stdout.readline, "")
        assert any(line.startswith("iteration 3") for line in seen)
        process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=SECONDS)[0]
    finally:
        process.kill()
    assert process.returncode == 0
    status = refode.training.INTERRUPTED
    assert [f"{rank} {status}" for rank in range(3)] == sorted(
        line for line in out.split("\n") if line.endswith(f" {status}") and "iter" not in line
    )
    assert refode.training.read_checkpoint(file).nit >= 3


def test_a_rank_s_memory_is_its_share_of_the_samples():
    """Peaks of what NumPy allocates, for samples that rank 0 deals and for rows brought along."""
    text = BEGIN + (
        "import tracemalloc\n"
        "n = 400_000\n"
        "def value(of, *data):\n"
        "    data = of.placed(data)\n"
        "    return [of.value_and_gradient(problem.initial(), *data)[0] for _ in range(2)]\n"
        "rows = refode.distributed.share(problem, n)\n"
        "small = x[:6000], y[:6000]\n"
        "refode.distributed.lead(value, problem, *small)\n"
        "x = np.ones((n, 2)) if rank == 0 else None\n"
        "y = np.ones(n) if rank == 0 else None\n"
        "tracemalloc.start()\n"
        "refode.distributed.lead(value, problem, x, y)\n"
        "dealt = tracemalloc.get_traced_memory()[1]\n"
        "tracemalloc.reset_peak()\n"
        "own = np.ones((rows.stop - rows.start, 2)), np.ones(rows.stop - rows.start)\n"
        "refode.distributed.lead(value, problem, *own, n=n)\n"
        "brought = tracemalloc.get_traced_memory()[1]\n"
        "os.write(1, f'{rank} {dealt / 1e6} {brought / 1e6}\\n'.encode())\n"
    )
    done = run(4, text)
    assert done.returncode == 0, done.stderr
    peaks = [list(map(float, line.split())) for line in done.stdout.strip().split("\n")]
    whole = 400_000 * 3 * 8 / 1e6
    for rank, dealt, brought in peaks:
        assert brought < 0.7 * whole  # its rows, a check of them, and p: less than all of them
        if rank:
            assert dealt < 0.8 * whole


def test_seconds_of_waiting_cost_no_processor():
    text = BEGIN + (
        "def wait(of):\n    time.sleep(3.0)\n"
        "refode.distributed.lead(lambda of, *d: of.value(problem.initial(), *d), problem, x, y)\n"
        "began = time.process_time()\n"
        "refode.distributed.lead(wait, problem)\n"
        "os.write(1, f'{time.process_time() - began}\\n'.encode())\n"
    )
    began = time.monotonic()
    done = run(2, text)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began > 3.0
    assert max(map(float, done.stdout.split())) < 1.5
