"""Every kind of problem gives the same bits in any thread and process, and stays who it is."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from every_kind import every_kind, results

import refode
from refode import _blas

NAMES = list(every_kind())
ROOT = Path(refode.__file__).parents[1]


def test_eight_threads_give_the_bits_of_one():
    """All of them share the objects, and each takes them in an order of its own."""
    shared, want, wrong = every_kind(), results(), []
    numbers = [library.get() for library in _blas.libraries()]
    begin = threading.Barrier(8, timeout=60)

    def work(i: int) -> None:
        begin.wait()
        for name in NAMES[i:] + NAMES[:i]:
            of, call = shared[name]
            try:
                if call(of) != want[name]:
                    wrong.append((i, name))
            except BaseException as error:
                wrong.append((i, name, error))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert [library.get() for library in _blas.libraries()] == numbers


PROCESSES = """
import multiprocessing, sys
sys.path[:0] = {paths}
import joblib
from every_kind import results

def work(i):
    return results()

if __name__ == "__main__":
    want = results()
    ways = [w for w in ("fork", "spawn") if w in multiprocessing.get_all_start_methods()]
    for way in ways:
        with multiprocessing.get_context(way).Pool(2) as pool:
            assert pool.map(work, range(2)) == [want, want], way
    assert joblib.Parallel(n_jobs=2)(joblib.delayed(work)(i) for i in range(2)) == [want, want]
    print("right by", *ways, "loky")
"""


def test_processes_give_the_same_bits(tmp_path):
    """Forked, spawned, and those of joblib (loky)."""
    pytest.importorskip("joblib")
    script = tmp_path / "processes.py"
    paths = [str(ROOT), str(ROOT / "tests" / "support")]
    script.write_text(PROCESSES.format(paths=paths), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "REFODE_QUIET": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("right by")


@pytest.mark.parametrize("name", NAMES)
def test_use_changes_no_digest(name):
    """What an object keeps for the next call is no part of it."""
    of, work = every_kind()[name]
    before = pickle.dumps(of)
    want = work(of)
    assert pickle.dumps(of) == before
    again = pickle.loads(before), copy.copy(of), copy.deepcopy(of)
    assert [work(other) for other in again] == [want] * 3
    joblib = pytest.importorskip("joblib")
    digest = joblib.hash(every_kind()[name][0])
    assert digest == joblib.hash(of)
    part = getattr(of, "ode", of)
    assert joblib.hash(getattr(every_kind()[name][0], "ode", every_kind()[name][0])) == joblib.hash(
        part
    )
