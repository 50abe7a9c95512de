"""How kernel bodies are compiled: each root once, with all that it calls optimised as one.

Numba makes machine code of every function that it meets and optimises it anew within each
caller, so that compiling takes the longer the deeper calls go. Here a function that others
call (``kernel``) becomes LLVM code and no more. Only a *root* is optimised, with all that it
calls, and made machine code: a part that the sweeps call by its address (parts.py), or an
entry that Python calls. Roots are kept on disk, named by a digest of the sources that they
reach (sources.py, cache.py).

Kernels run with the GIL released, by NumPy's division rules and with fused multiply-adds;
only reductions that say so may be reassociated.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import sys
import types as python
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite import binding as llvm
from numba import _dynfunc, types
from numba.core import compiler, config
from numba.core.compiler_lock import global_compiler_lock
from numba.core.environment import Environment
from numba.core.registry import CPUDispatcher, cpu_target
from numba.core.runtime import rtsys

from refode.machine import blame, cache, former, pipeline, progress
from refode.machine.pipeline import Pipeline, Whole, options, whole
from refode.machine.sources import Reach, code_text

JIT = not config.DISABLE_JIT
#: Numba's settings, from the environment, that change machine code.
_SETTINGS = ("OPT", "BOUNDSCHECK", "LOOP_VECTORIZE", "SLP_VECTORIZE", "USING_SVML", "NRT_STATS")

# --- roots -----------------------------------------------------------------------------------
_made_here: dict[str, tuple[int, Any]] = {}  # by name; two threads may ask for the same

if hasattr(os, "register_at_fork"):  # a fork would wait for ever for a thread that it has not
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )


class Root:
    """A function with machine code for one signature.

    Parameters
    ----------
    function : function
        What is compiled, with whatever kernels it calls.
    arguments : tuple of Numba types
    returns : Numba type, optional
        Found by Numba where it is not given.
    classes : frozenset of type
        The descriptions that generic functions meet in it.
    entry : bool
        Whether Python calls it; otherwise it has an address alone.
    label : str
        What somebody who waits is told about it.
    """

    def __init__(
        self,
        function: Callable,
        arguments: tuple,
        returns: Any = None,
        classes: frozenset[type] = frozenset(),
        entry: bool = False,
        label: str = "",
        reassociate: bool = False,
        reach: Reach | None = None,
    ) -> None:
        self.function, self.entry = function, entry
        self.arguments, self.returns = arguments, returns
        self.label = label or function.__qualname__
        self._options = options(reassociate)
        reach = Reach([function], classes) if reach is None else reach
        self.codes, self._reach = reach.codes, reach
        self.name = self._named(reach.digest)
        self.address, self.call = self._made()

    def _named(self, digest: str) -> str:
        """The cache's name: function, and a digest of sources, types, compiler and machine."""
        key = repr(
            (
                digest,
                _describe(self.arguments),
                _describe(self.returns),
                self.entry,
                sorted(self._options["fastmath"]),
                _toolchain(),
            )
        )
        plain = "".join(c if c.isalnum() or c in "._" else "-" for c in self.function.__qualname__)
        return f"{plain[:60]}-{hashlib.sha256(key.encode()).hexdigest()[:24]}"

    def _renamed(self) -> Any:
        """The function under the root's own name, which its symbols get.

        Numba makes symbols of a function's name, its arguments' types as text, and a counter
        that starts anew in every process: those of two roots could be the same, and only the
        order of loading would tell them apart.
        """
        f = self.function
        own = python.FunctionType(
            f.__code__, f.__globals__, f.__name__, f.__defaults__, f.__closure__
        )
        own.__qualname__, own.__module__ = self.name, f.__module__
        return own

    def _made(self) -> tuple[int, Any]:
        with global_compiler_lock, progress.interruptible(self.label):
            if self.name not in _made_here:
                found = cache.load(self.name)
                made = None if found is None else self._loaded(*found)
                if made is None:
                    former.forget(self._reach)
                    with progress.compiling(self.label), blame.named(self.label, self.codes):
                        made = self._compiled()
                _made_here[self.name] = made
            return _made_here[self.name]

    # --- from the cache ---------------------------------------------------------------------
    def _loaded(self, facts: dict[str, Any], code: bytes) -> tuple[int, Any] | None:
        context = cpu_target.target_context
        rtsys.initialize(context)  # the allocator of arrays
        engine = context.codegen()._engine
        try:
            engine._ee.add_object_file(llvm.ObjectFileRef.from_data(code))
        except RuntimeError:
            return None
        engine.finalize_object()
        address = engine.get_function_address(facts["symbol"])
        if not address:
            return None
        if not self.entry:
            return address, None
        environment = Environment(self.function.__globals__)
        if engine.get_global_value_address(facts["environment"]):
            context.codegen().set_env(facts["environment"], environment)
        wrapper = engine.get_function_address(facts["wrapper"])
        return address, _callable(self.function, wrapper, environment)

    # --- from the source --------------------------------------------------------------------
    def _compiled(self) -> tuple[int, Any]:
        context, typing = cpu_target.target_context, cpu_target.typing_context
        typing.refresh()
        context.refresh()
        rtsys.initialize(context)
        generator = context.codegen()
        flags = compiler.Flags()
        chosen = {**self._options, "nopython": True, "no_cpython_wrapper": not self.entry}
        cpu_target.options.parse_as_flags(flags, chosen)
        library = Whole(generator, self.name)
        library.enable_object_caching()
        with whole(context, generator):
            result = compiler.compile_extra(
                typing,
                context,
                self._renamed(),
                args=self.arguments,
                return_type=self.returns,
                flags=flags,
                locals={},
                library=library,
                pipeline_class=Pipeline,
            )
        symbol = result.fndesc.llvm_func_name
        address = library.get_pointer_to_function(symbol)
        if not library.has_dynamic_globals:
            facts = {
                "symbol": symbol,
                "wrapper": result.fndesc.llvm_cpython_wrapper_name,
                "environment": context.get_env_name(result.fndesc),
            }
            cache.store(self.name, facts, library._get_compiled_object())
        return address, result.entry_point


@functools.cache
def _toolchain() -> tuple[Any, ...]:
    """What makes machine code of sources: this module, compiler, its settings, and the CPU."""
    text = Path(pipeline.__file__).read_text(encoding="utf-8")
    pipeline_code = compile(text, "pipeline", "exec")
    return (
        code_text(Root._compiled.__code__),
        code_text(pipeline_code),
        np.__version__,
        numba.__version__,
        llvmlite.__version__,
        sys.version_info[:2],
        platform.machine(),
        cpu_target.target_context.codegen().magic_tuple(),
        [(name, getattr(config, name, None)) for name in _SETTINGS],
    )


def _callable(function: Callable, wrapper: int, environment: Any) -> Any:
    """A built-in function over machine code that Python may call."""
    module = sys.modules[function.__module__]
    return _dynfunc.make_function(module, function.__name__, "", wrapper, environment, ())


def _describe(ty: Any) -> Any:
    """A type by all that its machine code depends on."""
    if isinstance(ty, types.BaseNamedTuple):
        cls = ty.instance_class
        return (cls.__module__, cls.__qualname__, cls._fields, *map(_describe, ty))
    if isinstance(ty, types.BaseTuple):
        return tuple(map(_describe, ty))
    if isinstance(ty, tuple):
        return tuple(map(_describe, ty))
    describe = getattr(ty, "described", None)
    return describe() if describe is not None else str(ty)


def _classes(ty: Any) -> frozenset[type]:
    """Classes of the named tuples in a type."""
    if isinstance(ty, types.BaseNamedTuple):
        return frozenset([ty.instance_class]).union(*map(_classes, ty))
    if isinstance(ty, types.BaseTuple | tuple):
        return frozenset().union(*map(_classes, ty))
    return frozenset()


# --- kernels ---------------------------------------------------------------------------------
class Kernel(CPUDispatcher):
    """A function that compiled code calls; from Python it becomes a root by itself."""

    def __init__(self, function: Callable, reassociate: bool) -> None:
        chosen = {**options(reassociate), "nopython": True}
        super().__init__(py_func=function, targetoptions=chosen, pipeline_class=Pipeline)
        self._reassociate = reassociate
        self._roots: dict[tuple, Any] = {}
        functools.update_wrapper(self, function)

    def __reduce__(self) -> Any:
        return Kernel, (self.py_func, self._reassociate)

    def __call__(self, *args: Any) -> Any:
        signature = tuple(map(numba.typeof, args))
        if signature not in self._roots:
            root = Root(
                self.py_func,
                signature,
                classes=_classes(signature),
                entry=True,
                reassociate=self._reassociate,
            )
            self._roots[signature] = root.call
        return self._roots[signature](*args)


def kernel(
    function: Callable | None = None,
    *,
    reassociate: bool = False,
    cache: bool = True,
    name: str | None = None,
) -> Any:
    """Compile a kernel body.

    ``reassociate`` lets the compiler reorder the additions of a sum (and so use
    vector registers for it). A sum of n terms in any order has an error of at
    most (n-1) eps sum|terms| to first order, the same bound as in written order;
    it is allowed in reductions over samples and nowhere else.

    A closure needs a ``name`` that says what it closes over: compiled functions are known
    by their names and the types of their arguments. ``cache`` is taken and means nothing:
    whatever has machine code of its own is kept.
    """
    if function is None:
        return functools.partial(kernel, reassociate=reassociate, name=name)
    if not JIT:
        return function
    if name is not None:
        function.__qualname__ = name
    elif function.__closure__:
        raise ValueError(f"kernel: got the closure {function.__qualname__}, wanted a name for it")
    return Kernel(function, reassociate)
