"""How Numba is made to compile roots whole: its libraries, its passes, its reference counts.

A function that others call is kept as LLVM code (``Inner``) and optimised by its root with all
that it calls (``Whole``), once. Numba's classes are derived from, never changed; what has to
be set on its one code generator is set while a root is compiled, under Numba's own lock.
"""

from __future__ import annotations

import functools
import gc
import types as python
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numba import types
from numba.core import codegen, compiler, errors, ir, typed_passes
from numba.core.compiler_machinery import AnalysisPass, register_pass

from refode.machine import progress

_FAST = {"contract", "nsz"}
_INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def options(reassociate: bool = False) -> dict[str, Any]:
    """Numba's options of a kernel that only compiled code calls."""
    fast = _FAST | {"reassoc"} if reassociate else _FAST
    return {"nogil": True, "_nrt": True, "error_model": "numpy", "fastmath": fast, **_INNER}


# --- code that is linked into its callers ----------------------------------------------------
class NoEnvironment:
    """A code generator that lets functions without machine code be: they have no globals yet."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def set_env(self, name: str, env: Any) -> None:
        """Nothing to set."""


class Inner(codegen.JITCodeLibrary):
    """A function as LLVM code, with what it calls beside it, to be optimised by its root."""

    @property
    def codegen(self) -> Any:
        return NoEnvironment(self._codegen)

    def finalize(self) -> None:
        progress.check()
        self._raise_if_finalized()
        link_called(self)
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0


class Whole(codegen.JITCodeLibrary):
    """A root: what it calls is its own, optimised with it and known to nobody else."""

    def finalize(self) -> None:
        progress.check()
        self._raise_if_finalized()
        own = {f.name for f in self._final_module.functions if not f.is_declaration}
        link_called(self)
        for function in self._final_module.functions:
            if not function.is_declaration and function.name not in own:
                function.linkage = "internal"
        self._optimize_final_module()
        progress.check()
        self._final_module.verify()
        self._finalize_final_module()


def link_called(library: Any) -> None:
    """Bring in the code of what a library calls."""
    for called in dict.fromkeys(library._linking_libraries):
        if hasattr(library, "_reload_init"):  # not before Numba 0.63
            library._reload_init.update(called._reload_init)
        library._final_module.link_in(called._get_module_for_linking(), preserve=True)


@contextmanager
def whole(context: Any, generator: Any) -> Iterator[None]:
    """Within it whatever Numba compiles besides becomes a part of the root."""
    if "_library_class" in generator.__dict__:  # a root within a root
        yield
        return
    generator._library_class = Inner
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
NEEDLESS = {
    "AnnotateTypes",
    "DumpParforDiagnostics",
    "FindLiterallyCalls",
    "InlineInlinables",
    "InlineOverloads",
    "LiteralPropagationSubPipelinePass",
    "LiteralUnroll",
    "MakeFunctionToJitFunction",
    "NoPythonSupportedFeatureValidation",
    "RewriteDynamicRaises",
    "WithLifting",
}


#: Names of NumPy's that may make arrays. Numba remembers its failures to compile such functions
#: without reference counts, so that it must not be asked to.
NUMPY_MAKERS = {*dir(np), *dir(np.ndarray)} - {
    "abs",
    "conj",
    "cos",
    "exp",
    "expm1",
    "imag",
    "log",
    "log1p",
    "ndim",
    "pi",
    "real",
    "shape",
    "sign",
    "sin",
    "size",
    "sqrt",
    "tanh",
}


@register_pass(mutates_CFG=False, analysis_only=True)
class WithoutCounts(AnalysisPass):
    """Stops, before any code is made, where arithmetic of whole arrays makes new ones.

    Names do not tell ``-F_bar`` or ``np.exp(Z)`` of arrays, and a failure is remembered.
    """

    _name = "without_counts"

    def __init__(self) -> None:
        AnalysisPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        """Look at all expressions, now that they have types."""
        for block in state.func_ir.blocks.values():
            for made in block.find_insts(ir.Assign):
                if isinstance(made.value, ir.Expr) and _allocates(made, state.typemap):
                    raise errors.UnsupportedError("an array is made", made.loc)
        return False


def _allocates(made: Any, types_: dict[str, Any]) -> bool:
    """Whether an assignment of an expression makes an array, or a list, of its own."""
    op = made.value.op
    if op in ("build_list", "build_map", "build_set"):
        return True
    if not isinstance(types_.get(made.target.name), types.Array):
        return False
    if op == "call":
        called = types_.get(made.value.func.name)
        return isinstance(getattr(called, "typing_key", None), np.ufunc)
    return op in ("unary", "binop", "arrayexpr")


class Pipeline(compiler.CompilerBase):
    """Numba's passes but for those that kernels have no use for.

    A kernel is first compiled without reference counts, which few kernels need: none that
    neither makes arrays nor returns them. Where Numba refuses that, with them.
    """

    def __init__(
        self,
        typing: Any,
        context: Any,
        library: Any,
        args: Any,
        returns: Any,
        flags: Any,
        locals: Any,
    ) -> None:
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
        if NUMPY_MAKERS & {*function.__code__.co_names}:
            return Counting(*self._again).compile_extra(function)
        try:
            result = super().compile_extra(function)
        except (errors.NumbaError, NotImplementedError, RuntimeError):
            result = None
        if result is None or _has_arrays(result.signature.return_type):
            return Counting(*self._again).compile_extra(function)
        return result

    def define_pipelines(self) -> list[Any]:
        progress.check()
        passes = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
        needless = set(NEEDLESS)
        constants = self.state.func_id.code.co_consts
        if not any(isinstance(c, python.CodeType) for c in constants):
            needless.add("InlineClosureLikes")
        else:
            needless -= {"MakeFunctionToJitFunction"}
        passes.passes = [p for p in passes.passes if p[0].__name__ not in needless]
        if self._again is not None:
            passes.add_pass_after(WithoutCounts, typed_passes.NopythonTypeInference)
        # Numba puts the flow graph and the lives of variables in order after every pass, for passes
        # that expect it of others; these see to it themselves. It takes a thirtieth of the time.
        passes._ENFORCING = False
        passes.finalize()
        return [passes]


def _has_arrays(ty: Any) -> bool:
    """Whether a type is an array or holds some."""
    if isinstance(ty, types.BaseTuple):
        return any(map(_has_arrays, ty))
    return isinstance(ty, types.Array)


class Counting(Pipeline):
    """The same with reference counts."""

    def __init__(self, *arguments: Any) -> None:
        self._again = None
        compiler.CompilerBase.__init__(self, *arguments)
