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
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.core import cgutils, config
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys
from numba.extending import intrinsic, overload

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


class _Cache(FunctionCache):
    """Numba's cache, which loads machine code without all that compiling needs.

    Numba's own first registers every function that it can compile. Whatever is not in the
    cache is compiled, and that registers them still.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)  # the allocator of arrays
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


def _enable_cache(dispatcher: Any) -> None:
    """Let a dispatcher read and write machine code in the folder of the present sources."""
    before, config.CACHE_DIR = config.CACHE_DIR, str(cache_folder())
    try:
        dispatcher._cache = _Cache(dispatcher.py_func)
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

    ``f.register(Class)`` adds the body for descriptions of that class.
    """
    bodies: dict[type, Callable] = {}

    @functools.wraps(stub)
    def dispatch(*args: Any) -> Any:
        return bodies[type(args[0])](*args)

    def choose(*args: Any) -> Callable | None:
        head = args[0]
        if not isinstance(head, types.BaseNamedTuple) or head.instance_class not in bodies:
            return None
        return bodies[head.instance_class]

    def register(cls: type) -> Callable[[Callable], Callable]:
        def add(body: Callable) -> Callable:
            _note_source(body)
            bodies[cls] = body
            return body

        return add

    choose.__signature__ = inspect.signature(stub)  # type: ignore[attr-defined]
    overload(dispatch, jit_options=_options(False), strict=False)(choose)
    dispatch.register = register  # type: ignore[attr-defined]
    return dispatch


def _without_owner(context: Any, builder: Any, ty: Any, value: Any) -> Any:
    """The same arrays, with nobody to count references for."""
    if isinstance(ty, types.Array):
        array = context.make_array(ty)(context, builder, value=value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        array.parent = cgutils.get_null_value(array.parent.type)
        return array._getvalue()
    if isinstance(ty, types.BaseTuple):
        members = [
            _without_owner(context, builder, t, builder.extract_value(value, i))
            for i, t in enumerate(ty)
        ]
        return context.make_tuple(builder, ty, members)
    return value


if JIT:

    @intrinsic
    def uncounted(typingctx: Any, arrays: Any) -> Any:
        """Arrays, or tuples of them, whose views are free of reference counts.

        Every view of a counted array costs two atomic operations, and a stage of a small
        block makes dozens of views. Whoever calls this keeps the arrays alive: ``hold``
        them after their last use.
        """

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return _without_owner(context, builder, signature.args[0], args[0])

        return arrays(arrays), codegen

    @intrinsic
    def take(typingctx: Any, counter: Any) -> Any:
        """counter[0]++, atomically: the next task for whichever thread asks first."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, value=args[0])
            one = context.get_constant(types.int64, 1)
            return builder.atomic_rmw("add", array.data, one, "monotonic")

        return types.int64(counter), codegen

    @intrinsic
    def hold(typingctx: Any, arrays: Any) -> Any:
        """Nothing but a last use, up to which arrays stay alive."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return context.get_dummy_value()

        return types.none(arrays), codegen

else:
    _taking = threading.Lock()

    def take(counter: Any) -> int:
        """counter[0]++, by one thread at a time."""
        with _taking:
            counter[0] += 1
            return int(counter[0]) - 1

    def uncounted(arrays: Any) -> Any:
        """The interpreter counts by itself."""
        return arrays

    def hold(arrays: Any) -> None:
        """The interpreter counts by itself."""
