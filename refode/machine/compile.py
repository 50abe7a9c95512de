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
import gc
import hashlib
import platform
import sys
import types as python
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import binding as llvm
from numba import _dynfunc, types
from numba.core import codegen, compiler, config, errors
from numba.core.compiler_lock import global_compiler_lock
from numba.core.environment import Environment
from numba.core.registry import CPUDispatcher, cpu_target
from numba.core.runtime import rtsys

from refode.machine import cache, progress
from refode.machine.sources import Reach

JIT = not config.DISABLE_JIT
_FAST = {"contract", "nsz"}
_INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def options(reassociate: bool = False) -> dict[str, Any]:
    """Numba's options of a kernel that only compiled code calls."""
    fast = _FAST | {"reassoc"} if reassociate else _FAST
    return {"nogil": True, "_nrt": True, "error_model": "numpy", "fastmath": fast, **_INNER}


# --- code that is linked into its callers ----------------------------------------------------
class _NoEnvironment:
    """A code generator that lets functions without machine code be: they have no globals yet."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def set_env(self, name: str, env: Any) -> None:
        """Nothing to set."""


class _Inner(codegen.JITCodeLibrary):
    """A function as LLVM code, with what it calls beside it, to be optimised by its root."""

    @property
    def codegen(self) -> Any:
        return _NoEnvironment(self._codegen)

    def finalize(self) -> None:
        self._raise_if_finalized()
        _link(self)
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0


class _Root(codegen.JITCodeLibrary):
    """A root: what it calls is its own, optimised with it and known to nobody else."""

    def finalize(self) -> None:
        self._raise_if_finalized()
        own = {f.name for f in self._final_module.functions if not f.is_declaration}
        _link(self)
        for function in self._final_module.functions:
            if not function.is_declaration and function.name not in own:
                function.linkage = "internal"
        self._optimize_final_module()
        self._final_module.verify()
        self._finalize_final_module()


def _link(library: Any) -> None:
    """Bring in the code of what a library calls."""
    for called in dict.fromkeys(library._linking_libraries):
        library._reload_init.update(called._reload_init)
        library._final_module.link_in(called._get_module_for_linking(), preserve=True)


@contextmanager
def _whole(context: Any, generator: Any) -> Iterator[None]:
    """Within it whatever Numba compiles besides becomes a part of the root."""
    if "_library_class" in generator.__dict__:  # a root within a root
        yield
        return
    generator._library_class = _Inner
    collecting = gc.isenabled()
    gc.disable()  # a compiler makes millions of objects that live until its end
    # asked for at every access to an array, each time by parsing a module
    context.get_abi_sizeof = functools.cache(type(context).get_abi_sizeof.__get__(context))
    try:
        yield
    finally:
        del generator._library_class, context.get_abi_sizeof
        if collecting:
            gc.enable()


#: Passes for closures, object mode and literals, none of which kernels have: a good part of
#: the time, since the lives of variables are worked out again after each.
_NEEDLESS = {
    "AnnotateTypes", "DumpParforDiagnostics", "FindLiterallyCalls", "InlineInlinables",
    "InlineOverloads", "LiteralPropagationSubPipelinePass", "LiteralUnroll",
    "MakeFunctionToJitFunction", "NoPythonSupportedFeatureValidation", "RewriteDynamicRaises",
    "WithLifting",
}  # fmt: skip


#: Names of NumPy's that may make arrays. Numba remembers its failures to compile such functions
#: without reference counts, so that it must not be asked to.
_NUMPY_MAKERS = {*dir(np), *dir(np.ndarray)} - {
    "abs", "conj", "cos", "exp", "expm1", "imag", "log", "log1p", "ndim", "pi", "real", "shape",
    "sign", "sin", "size", "sqrt", "tanh",
}  # fmt: skip


class Pipeline(compiler.CompilerBase):
    """Numba's passes but for those that kernels have no use for.

    A kernel is first compiled without reference counts, which few kernels need: none that
    neither makes arrays nor returns them. Where Numba refuses that, with them.
    """

    def __init__(
        self, typing: Any, context: Any, library: Any, args: Any, returns: Any, flags: Any,
        locals: Any,
    ) -> None:  # fmt: skip
        self._again = None
        if library is None and flags.nrt:
            self._again = (typing, context, library, args, returns, flags, locals)
            flags = flags.copy()
            flags.nrt = False
        super().__init__(typing, context, library, args, returns, flags, locals)

    def compile_extra(self, function: Callable) -> Any:
        """Compile a function for the types at hand."""
        if self._again is None:
            return super().compile_extra(function)
        if _NUMPY_MAKERS & {*function.__code__.co_names}:
            return _Counting(*self._again).compile_extra(function)
        try:
            result = super().compile_extra(function)
        except (errors.NumbaError, NotImplementedError, RuntimeError):
            result = None
        if result is None or _has_arrays(result.signature.return_type):
            return _Counting(*self._again).compile_extra(function)
        return result

    def define_pipelines(self) -> list[Any]:
        passes = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
        needless = set(_NEEDLESS)
        constants = self.state.func_id.code.co_consts
        if not any(isinstance(c, python.CodeType) for c in constants):
            needless.add("InlineClosureLikes")
        else:
            needless -= {"MakeFunctionToJitFunction"}
        passes.passes = [p for p in passes.passes if p[0].__name__ not in needless]
        passes.finalize()
        return [passes]


def _has_arrays(ty: Any) -> bool:
    """Whether a type is an array or holds some."""
    if isinstance(ty, types.BaseTuple):
        return any(map(_has_arrays, ty))
    return isinstance(ty, types.Array)


class _Counting(Pipeline):
    """The same with reference counts."""

    def __init__(self, *arguments: Any) -> None:
        self._again = None
        compiler.CompilerBase.__init__(self, *arguments)


# --- roots -----------------------------------------------------------------------------------
_made_here: dict[str, tuple[int, Any]] = {}  # by name; two threads may ask for the same


@functools.cache
def _machine() -> str:
    """A digest of how roots are made."""
    folder = Path(__file__).parent
    files = [folder / name for name in ("compile.py", "counting.py", "parts.py")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


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
        self, function: Callable, arguments: tuple, returns: Any = None,
        classes: frozenset[type] = frozenset(), entry: bool = False, label: str = "",
        reassociate: bool = False, reach: Reach | None = None,
    ) -> None:  # fmt: skip
        self.function, self.entry = function, entry
        self.arguments, self.returns = arguments, returns
        self.label = label or function.__qualname__
        self._options = options(reassociate)
        reach = Reach([function], classes) if reach is None else reach
        self.name = self._named(reach.digest)
        self.address, self.call = self._made()

    def _named(self, digest: str) -> str:
        """The cache's name: function, and a digest of sources, types, compiler and machine."""
        key = repr((
            digest, _machine(), _describe(self.arguments), _describe(self.returns), self.entry,
            numba.__version__, sys.version_info[:2], platform.machine(),
            cpu_target.target_context.codegen().magic_tuple(), sorted(self._options["fastmath"]),
        ))  # fmt: skip
        plain = "".join(c if c.isalnum() or c in "._" else "-" for c in self.function.__qualname__)
        return f"{plain[:60]}-{hashlib.sha256(key.encode()).hexdigest()[:24]}"

    def _made(self) -> tuple[int, Any]:
        with global_compiler_lock:
            if self.name not in _made_here:
                found = cache.load(self.name)
                made = None if found is None else self._loaded(*found)
                if made is None:
                    with progress.compiling(self.label):
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
        library = _Root(generator, self.function.__qualname__)
        library.enable_object_caching()
        with _whole(context, generator):
            result = compiler.compile_extra(
                typing, context, self.function, args=self.arguments, return_type=self.returns,
                flags=flags, locals={}, library=library, pipeline_class=Pipeline,
            )  # fmt: skip
        symbol = result.fndesc.llvm_func_name
        address = library.get_pointer_to_function(symbol)
        if not library.has_dynamic_globals:
            facts = {
                "symbol": symbol, "wrapper": result.fndesc.llvm_cpython_wrapper_name,
                "environment": context.get_env_name(result.fndesc),
            }  # fmt: skip
            cache.store(self.name, facts, library._get_compiled_object())
        return address, result.entry_point


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
                self.py_func, signature, classes=_classes(signature), entry=True,
                reassociate=self._reassociate,
            )  # fmt: skip
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
