"""How many threads estimators use: all that are there, and no more than are left to them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")
from joblib import Parallel, delayed  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

from refode.estimators import NeuralODERegressor, threads  # noqa: E402
from refode.machine import threads as parallel  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def four(monkeypatch):
    """Four threads by refode's own count, nothing said by the environment."""
    monkeypatch.delenv("REFODE_NUM_THREADS", raising=False)
    monkeypatch.setitem(parallel._state, "threads", 4)


def limit():
    """In a process or thread of joblib's: what an estimator would use."""
    parallel.set_num_threads(4)
    return threads.allowed(None)


def test_openmps_limit_is_kept(four):
    with threadpool_limits(limits=1):
        assert threads.allowed(None) == 1
        assert threads.allowed(3) == 3  # who asks gets
    with threadpool_limits(limits=3):
        assert threads.allowed(None) == 3


def test_the_environments_word_stands(four, monkeypatch):
    monkeypatch.setenv("REFODE_NUM_THREADS", "4")
    with threadpool_limits(limits=1):
        assert threads.allowed(None) == 4


def test_joblibs_threads_get_one_each(four):
    with threadpool_limits(limits=4):
        assert threads.allowed(None) == 4
        found = Parallel(n_jobs=2, backend="threading")(delayed(limit)() for _ in range(4))
    assert found == [1] * 4


def test_joblibs_processes_get_their_share():
    code = (
        "import os; [os.environ.pop(n, None) for n in ('OMP_NUM_THREADS', 'REFODE_NUM_THREADS')]\n"
        "import sklearn\n"
        "from joblib import Parallel, delayed, cpu_count\n"
        "def limit():\n"
        "    from refode.machine import threads\n"
        "    import sklearn.utils.estimator_checks, refode.estimators\n"
        "    from refode.estimators.threads import allowed\n"
        "    threads.set_num_threads(64)\n"
        "    return allowed(None)\n"
        "n = cpu_count()\n"
        "found = Parallel(n_jobs=n)(delayed(limit)() for _ in range(n))\n"
        "assert found == [1] * n, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_fit_uses_its_own_number(monkeypatch):
    seen, real = set(), parallel.get_num_threads

    def noted():
        seen.add(real())
        return real()

    monkeypatch.setattr(parallel, "get_num_threads", noted)
    x = np.random.default_rng(0).standard_normal((40, 2))
    before = real()
    model = NeuralODERegressor(width=3, max_iter=2, n_threads=3).fit(x, x[:, 0])
    model.predict(x)
    assert seen == {3}
    assert real() == before


def test_numbers_of_one_thread_do_not_reach_another(four):
    with parallel.num_threads(2):
        with parallel.num_threads(7):
            assert parallel.get_num_threads() == 7
        assert parallel.get_num_threads() == 2
        found = Parallel(n_jobs=2, backend="threading")(
            delayed(parallel.get_num_threads)() for _ in range(2)
        )
    assert found == [4, 4]
    assert parallel.get_num_threads() == 4
