"""How kernel bodies are compiled, cached and dispatched.

Three rules keep the kernels honest:

* ``kernel`` compiles with the GIL released, NumPy's division rules and fused
  multiply-adds; only reductions that say so may be reassociated.
* Machine code is cached in a folder whose name is a hash of *all* kernel
  sources. Numba looks at the file of the outermost function alone, so an edit of
  a callee would otherwise leave old machine code in service.
* ``generic`` makes a function that dispatches on the class of its first
  argument, a NamedTuple that describes a field, a scheme or a cost. The same
  body serves the interpreter (``NUMBA_DISABLE_JIT=1``) and the compiler.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.core import config
from numba.extending import overload

JIT = not config.DISABLE_JIT
_FAST = {"contract", "nsz"}
_ROOT = Path(__file__).resolve().parent
_KERNEL_ROOMS = ("fields", "solvers", "costs")
_outside: dict[str, bytes] = {}  # sources of bodies registered from outside the package
_cached: list[Any] = []  # dispatchers whose machine code goes to the cache folder


def kernel_sources() -> list[Path]:
    """Every file whose text decides what the compiled kernels compute."""
    files = [_ROOT / name for name in ("_jit.py", "_linalg.py", "activations.py")]
    for room in _KERNEL_ROOMS:
        files += sorted((_ROOT / room).rglob("*.py"))
    return [f for f in files if f.exists()]


def source_key() -> str:
    """Hash of all kernel sources and of the compiler's version."""
    digest = hashlib.sha256(f"numba {numba.__version__} python {sys.version_info[:2]}".encode())
    for file in kernel_sources():
        digest.update(str(file.relative_to(_ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    for name, text in sorted(_outside.items()):
        digest.update(name.encode() + b"\0" + text + b"\0")
    return digest.hexdigest()[:16]


def cache_root() -> Path:
    """Folder of all cached machine code: REFODE_CACHE_DIR, else the user's cache folder."""
    named = os.environ.get("REFODE_CACHE_DIR")
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "refode"


@functools.cache
def cache_folder() -> Path:
    """The folder in use: one a source key, so that an edit never meets old machine code."""
    folder = cache_root() / source_key()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        user = os.getuid() if hasattr(os, "getuid") else "user"
        folder = Path(tempfile.gettempdir()) / f"refode-{user}" / source_key()
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def kernel(
    function: Callable | None = None,
    *,
    reassociate: bool = False,
    cache: bool = True,
    name: str | None = None,
) -> Callable:
    """Compile a kernel body.

    ``reassociate`` lets the compiler reorder the additions of a sum (and so use
    vector registers for it). A sum of n terms in any order has an error of at
    most (n-1) eps sum|terms| to first order, the same bound as in written order;
    it is allowed in reductions over samples and nowhere else.

    A closure needs a ``name`` that says what it closes over. Compiled functions are known
    by their qualified name, argument types and a counter that starts anew in every
    process: machine code of two closures of one name, compiled by two processes, would be
    taken for the same in a third that finds both in the cache.
    """
    if function is None:
        return functools.partial(kernel, reassociate=reassociate, cache=cache, name=name)
    if not JIT:
        return function
    if name is not None:
        function.__qualname__ = name
    elif function.__closure__:
        raise ValueError(f"kernel: got the closure {function.__qualname__}, wanted a name for it")
    dispatcher = numba.njit(**_options(reassociate))(function)
    if cache:
        _cached.append(dispatcher)
        _enable_cache(dispatcher)
    return dispatcher


def _enable_cache(dispatcher: Any) -> None:
    """Let a dispatcher read and write machine code in the folder of the present sources."""
    before, config.CACHE_DIR = config.CACHE_DIR, str(cache_folder())
    try:
        dispatcher.enable_caching()
    finally:
        config.CACHE_DIR = before


def _note_source(body: Callable) -> None:
    """Make a body from outside the package part of the cache's key.

    Its file counts, or, for a body typed at a prompt, its byte code and the process, so
    that it is never taken from the cache.
    """
    try:
        file = Path(inspect.getsourcefile(body) or "").resolve()
        text = file.read_bytes()
    except (OSError, TypeError):
        file, text = Path(f"process {os.getpid()}"), body.__code__.co_code
    if _ROOT in file.parents or _outside.get(str(file)) == text:
        return
    _outside[str(file)] = text
    cache_folder.cache_clear()
    for dispatcher in _cached:
        _enable_cache(dispatcher)


def _options(reassociate: bool) -> dict[str, Any]:
    fast = _FAST | {"reassoc"} if reassociate else _FAST
    return {"nogil": True, "error_model": "numpy", "fastmath": fast}


def generic(stub: Callable) -> Any:
    """A function that dispatches on the class of its first argument.

    ``f.register(Class)`` adds a plain body for descriptions of that class.
    ``f.register(Class, factory=True)`` adds a function that gets the class and
    returns the body, for bodies that want compile-time constants.
    """
    bodies: dict[type, tuple[Callable, bool]] = {}

    def specialised(cls: type) -> Callable:
        body, factory = bodies[cls]
        if not factory:
            return body
        made = body(cls)
        made.__qualname__ = f"{made.__name__}_{cls.__name__}"  # see ``kernel`` on closures
        return made

    @functools.wraps(stub)
    def dispatch(*args: Any) -> Any:
        return specialised(type(args[0]))(*args)

    def choose(*args: Any) -> Callable | None:
        head = args[0]
        if not isinstance(head, types.BaseNamedTuple) or head.instance_class not in bodies:
            return None
        return specialised(head.instance_class)

    def register(cls: type, *, factory: bool = False) -> Callable[[Callable], Callable]:
        def add(body: Callable) -> Callable:
            _note_source(body)
            bodies[cls] = (body, factory)
            return body

        return add

    choose.__signature__ = inspect.signature(stub)  # type: ignore[attr-defined]
    overload(dispatch, jit_options=_options(False), strict=False)(choose)
    dispatch.register = register  # type: ignore[attr-defined]
    dispatch.specialised = specialised  # type: ignore[attr-defined]
    return dispatch
