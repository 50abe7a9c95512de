"""BLAS held to one thread, whichever thread asks, and given back whatever happens.

How many threads a BLAS uses is a setting of the whole process, and sums that more threads share
are rounded otherwise. So whoever computes here holds every BLAS to one thread meanwhile. The last
one to end gives back what was set before, if what is set is still ours: a limit that somebody
else set meanwhile is theirs, and stays.

There are no locks. Ctrl-C may raise after any call in the main thread, and a signal handler may
compute in the middle of anything: so every step is one that may be taken twice, and what threads
share is changed by single operations of dicts, none of which can be interrupted.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import itertools
import os
import threading
import time
from _thread import start_new_thread
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

#: How often exceptions may come while something is given back, before it is left as it is.
PATIENCE = 8
_AFFIXES = tuple(itertools.product(("", "scipy_"), ("", "64_", "_64")))


class Library:
    """One BLAS in this process.

    Parameters
    ----------
    get, set : callable
        Read its number of threads; set it.
    by_thread : bool
        Whether the number is each thread's own.
    """

    __slots__ = ("by_thread", "get", "set")

    def __init__(
        self, get: Callable[[], int], set: Callable[[int], Any], by_thread: bool = False
    ) -> None:
        self.get, self.set, self.by_thread = get, set, by_thread


def _load() -> None:
    importlib.import_module("scipy.linalg.cython_blas")


#: What imports the BLAS of SciPy; machine/blas.py knows a quicker way.
loader: list[Callable[[], None]] = [_load]
_found: dict[str, tuple[Library, ...]] = {}
_searching = [threading.Lock()]  # which the main thread never takes


def libraries() -> tuple[Library, ...]:
    """NumPy's and SciPy's BLAS, and whatever others were there at the first call."""
    found = _found.get("all")
    return _searched() if found is None else found


def _searched() -> tuple[Library, ...]:
    """Search on another thread, where no Ctrl-C can come and leave the list half empty."""
    errors: list[BaseException] = []
    ended = threading.Lock()
    ended.acquire()

    def search() -> None:
        try:
            with _searching[0]:
                if "all" not in _found:
                    _found["all"] = _searched_here()
        except BaseException as error:
            errors.append(error)
        finally:
            ended.release()

    start_new_thread(search, ())
    ended.acquire()
    if errors:
        raise errors[0]
    return _found["all"]


def _searched_here() -> tuple[Library, ...]:
    loader[0]()
    from threadpoolctl import ThreadpoolController

    controllers = ThreadpoolController().select(user_api="blas").lib_controllers
    return tuple(map(_library, controllers))


def _library(controller: Any) -> Library:
    """A library by its own functions, where it is an OpenBLAS whose setting is the process's.

    threadpoolctl 3.8 sets those for one thread alone, the first that asks it to. For an OpenBLAS
    on OpenMP it sets the calling thread's number.
    """
    openblas = controller.internal_api == "openblas"
    by_thread = openblas and controller.threading_layer == "openmp"
    own = None if by_thread or not openblas else _own_functions(controller.filepath)
    return Library(*(own or (controller.get_num_threads, controller.set_num_threads)), by_thread)


def _own_functions(path: str) -> tuple[Any, Any] | None:
    library = ctypes.PyDLL(path)  # which keeps the GIL: these calls take some nanoseconds
    for prefix, suffix in _AFFIXES:
        get = getattr(library, f"{prefix}openblas_get_num_threads{suffix}", None)
        set_ = getattr(library, f"{prefix}openblas_set_num_threads{suffix}", None)
        if get is not None and set_ is not None:
            get.argtypes, get.restype = [], ctypes.c_int
            set_.argtypes, set_.restype = [ctypes.c_int], None
            return get, set_
    return None


# --- who holds them --------------------------------------------------------------------------
_numbers = itertools.count()
_holders: dict[int, int] = {}  # holds, by number, with the thread they are of
_restoring: dict[int, int] = {}  # those that may be giving back now
_before: dict[Library, int] = {}  # numbers of threads to give back


class Hold:
    """Every BLAS on one thread, from ``take`` to ``give_back``; both may be called again."""

    def __init__(self) -> None:
        self._number = next(_numbers)
        self._own: dict[Library, int] = {}  # the same as _before, of this thread

    def take(self) -> None:
        """Hold them."""
        known = libraries()
        _holders[self._number] = threading.get_ident()
        if _restoring:
            _wait_for_others()
        for library in known:
            n = library.get()
            if n != 1:  # the setting of before, or somebody's new one: to be given back
                (self._own if library.by_thread else _before)[library] = n
                library.set(1)

    def give_back(self) -> None:
        """Hold them no longer; the last one to say so sets what was set before."""
        _restore(self._own)
        # The mark first: whoever takes hold now sees it and waits, or is seen here as a holder.
        _restoring[self._number] = threading.get_ident()
        _holders.pop(self._number, None)
        if not _holders:
            _restore(_before)
        _restoring.pop(self._number, None)

    def around(self, work: Callable[[], R]) -> R:
        """Call ``work`` meanwhile, and give back whatever comes, and whenever it comes.

        Python raises a signal handler's exception on entering a function, after a call and on
        jumping back. So nothing of these stands between the ``try`` statements, and what is
        interrupted is done again.
        """
        late, times = None, 0
        try:
            self.take()
            return work()
        finally:
            while True:
                try:
                    self.give_back()
                    break
                except BaseException as error:
                    late, times = error, times + 1
                    if times == PATIENCE:
                        break
            if late is not None:
                raise late


def _restore(before: dict[Library, int]) -> None:
    for library in tuple(before):
        n = before.get(library)
        if n is not None and library.get() == 1:
            library.set(n)
        before.pop(library, None)


def _wait_for_others() -> None:
    """Until no other thread may be giving back: some microseconds.

    This thread may be, as a signal handler in the middle of it: it goes on afterwards.
    """
    me, until = threading.get_ident(), time.monotonic() + 0.1
    while any(owner != me for owner in tuple(_restoring.values())) and time.monotonic() < until:
        time.sleep(0.0)


def limit_this_thread() -> None:
    """One thread for good, where the number is each thread's own: for threads of ours."""
    for library in libraries():
        if library.by_thread:
            library.set(1)


def one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that computes by BLAS or LAPACK: same bits whatever is set."""

    @functools.wraps(function)
    def held(*args: P.args, **kwargs: P.kwargs) -> R:
        return Hold().around(functools.partial(function, *args, **kwargs))

    return held


def _forget_other_threads() -> None:
    """A fork has one thread: what the others held is given back in it."""
    _searching[0] = threading.Lock()
    _restoring.clear()
    for number, owner in tuple(_holders.items()):
        if owner != threading.get_ident():
            del _holders[number]
    if not _holders:
        _restore(_before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
