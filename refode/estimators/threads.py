"""How many threads an estimator's sweeps may use: no more than whoever runs it leaves to it.

joblib's processes are told by ``OMP_NUM_THREADS``, code within ``threadpoolctl.threadpool_limits``
by the limit of OpenMP, which scikit-learn's own estimators obey; threads of joblib's are told
nothing, and get one thread each.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from refode import _validate
from refode.machine import threads

_controllers: list[Any] = []


def allowed(n_threads: Any) -> int:
    """The threads for a call: those asked for, else those that are left to it.

    ``REFODE_NUM_THREADS`` is a wish of the user's, and stands against all limits but `n_threads`.
    """
    if n_threads is not None:
        return _validate.positive_int("n_threads", n_threads)
    n = threads.get_num_threads()
    if n == 1 or "REFODE_NUM_THREADS" in os.environ:
        return n
    return 1 if _is_joblibs_thread() else max(1, min(n, _limit(n)))


def _is_joblibs_thread() -> bool:
    """Whether this is one of several threads that joblib shares work out to."""
    if threading.current_thread() is threading.main_thread():
        return False
    from joblib.parallel import get_active_backend

    return bool(getattr(get_active_backend()[0], "nesting_level", 0))


def _limit(n: int) -> int:
    """What OpenMP is limited to in this process; n where there is none."""
    if not _controllers:  # scikit-learn has loaded its OpenMP by now; a search takes milliseconds
        from threadpoolctl import ThreadpoolController

        _controllers.extend(ThreadpoolController().select(user_api="openmp").lib_controllers)
    return min((c.num_threads for c in _controllers), default=n)
