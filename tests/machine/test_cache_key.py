"""An edit of anything that is compiled must never meet old machine code; other edits may."""

from __future__ import annotations

import ast
import gc
import importlib
import importlib.util
import inspect
import pkgutil
import sys
import types as python
from pathlib import Path

import pytest
from numba.core.extending import _Intrinsic

import refode
from refode.costs import energies
from refode.games import energies as energies_
from refode.machine import compile as machine
from refode.machine import parts, sources

PACKAGE = Path(refode.__file__).parent
pytestmark = pytest.mark.skipif(not machine.JIT, reason="there is no machine code")


# --- every function that is compiled --------------------------------------------------------
def everything():
    """Python functions by name: all kernels, bodies and intrinsics that refode has."""
    left_out = {"cuda", "check", "reports", "reference", "__main__"}
    extras = {"mpi": "mpi4py", "estimators": "sklearn"}  # of modules without kernels
    left_out |= {name for name, want in extras.items() if importlib.util.find_spec(want) is None}
    for module in pkgutil.walk_packages(refode.__path__, "refode."):
        if not left_out & set(module.name.split(".")):
            importlib.import_module(module.name)
    found = {}
    for thing in gc.get_objects():
        if isinstance(thing, machine.Kernel | _Intrinsic):
            function = sources._function_of(thing)
            if function.__module__.startswith("refode."):
                found[f"{function.__module__}.{function.__qualname__}"] = function
    for generic in generics():
        for body in generic.bodies.values():
            if body.__module__.startswith("refode."):
                found[f"{body.__module__}.{body.__qualname__}"] = body
    return found


def generics():
    """All functions of all rooms."""
    found = {id(f): f for f in gc.get_objects() if isinstance(f, python.FunctionType)}
    return [f for f in found.values() if getattr(f, "room", None) is not None]


def all_roots():
    """What ``Reach`` starts from, for every body of every room and every entry."""
    for generic in generics():
        for cls, body in generic.bodies.items():
            yield ([generic.root, body], frozenset([cls]))
    for thing in gc.get_objects():
        if isinstance(thing, parts.Entry):
            yield ([thing.function], frozenset())


def with_another_constant(code):
    """The code object with one of its numbers changed, or one more where it has none."""
    constants = list(code.co_consts)
    for i, value in enumerate(constants):
        if isinstance(value, python.CodeType):
            constants[i] = with_another_constant(value)
            break
        if isinstance(value, int | float) and not isinstance(value, bool):
            constants[i] = value + 1
            break
    else:
        constants.append(12345.0)
    return code.replace(co_consts=tuple(constants))


def test_every_kernel_is_in_the_digest_of_a_root():
    functions, reaching = everything(), {}
    for start in all_roots():
        reach = sources.Reach(*start)
        for function in reach._seen:
            reaching.setdefault(function, (start, reach.digest))
    assert len(functions) > 150
    for name in (
        "refode.machine.blocks.add_column",
        "refode.machine.activations._expm1_twice",
        "refode.machine.registers.dot",
        "refode.machine.rooms.described",
        "refode.sweeps.sweep.load",
    ):
        assert name in functions
    unreached = {name for name, f in functions.items() if f not in reaching}
    assert {name for name in unreached if not by_address(functions[name])} == set()
    for name, function in functions.items():
        start, digest = reaching[function]
        code = function.__code__
        function.__code__ = with_another_constant(code)
        try:
            assert sources.Reach(*start).digest != digest, name
        finally:
            function.__code__ = code
        assert sources.Reach(*start).digest == digest, name


def by_address(function):
    return function.__code__.co_filename == "<string>"


def test_the_names_that_are_looked_up_are_those_python_says():
    """Attributes that are called as some global is do not count."""
    import dis

    for function in everything().values():
        loads = {i.argval for i in dis.get_instructions(function) if i.opname == "LOAD_GLOBAL"}
        assert loads <= set(sources._names(function.__code__)[0])


# --- edits that are none --------------------------------------------------------------------
def functions_of(code, prefix=""):
    """Code objects within one, by qualified name."""
    for constant in code.co_consts:
        if isinstance(constant, python.CodeType):
            name = f"{prefix}.{constant.co_name}"
            yield name, constant
            yield from functions_of(constant, name)


class WithoutDocstrings(ast.NodeTransformer):
    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        if ast.get_docstring(node) is not None:
            node.body[0] = ast.Expr(ast.Constant("Another one."))
        return node


KERNEL_FILES = [f for room in ("fields", "costs", "sweeps") for f in (PACKAGE / room).rglob("*.py")]


@pytest.mark.parametrize("file", KERNEL_FILES, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_comments_docstrings_and_formatting_do_not_count(file):
    text = file.read_text()
    again = ast.unparse(WithoutDocstrings().visit(ast.parse(text)))
    assert again != text
    before = list(functions_of(compile(text, str(file), "exec")))
    after = list(functions_of(compile("\n\n# moved\n" + again, "elsewhere.py", "exec")))
    assert [name for name, _ in before] == [name for name, _ in after]
    for (name, old), (_, new) in zip(before, after, strict=True):
        if name.count(".") == 1 and old.co_flags & inspect.CO_OPTIMIZED:  # not a class: the host's
            assert sources.code_text(old) == sources.code_text(new), name


def test_what_stands_beside_a_kernel_does_not_count():
    start = [energies.energy.root, energies.bump_energy], frozenset([energies.BumpSpec])
    before = sources.Reach(*start).digest
    changed = []
    for cls in (energies_.GaussianBump, energies_.Quadratic):
        for method in vars(cls).values():
            if isinstance(method, python.FunctionType):
                changed.append((method, method.__code__))
                method.__code__ = with_another_constant(method.__code__)
    for body in (energies.quadratic_energy, energies.bump_energy_gradient):
        changed.append((body, body.__code__))
        body.__code__ = with_another_constant(body.__code__)
    try:
        assert len(changed) > 8
        assert sources.Reach(*start).digest == before
    finally:
        for function, code in changed:
            function.__code__ = code


# --- names ----------------------------------------------------------------------------------
def name_of(function=abs, arguments=()):
    machine._toolchain.cache_clear()
    root = object.__new__(machine.Root)
    root.function, root.arguments, root.returns, root.entry = function, arguments, None, True
    root._options = machine.options()
    return root._named("0123")


def test_compiler_python_and_cpu_are_in_the_name(monkeypatch, tmp_path):
    text = Path(machine.pipeline.__file__).read_text(encoding="utf-8")
    edited, noted = tmp_path / "edited.py", tmp_path / "noted.py"
    edited.write_text(text.replace("is_declaration and", "is_declaration or"))
    noted.write_text(text.replace("def whole(", "# a remark\ndef whole("))
    assert len({text, edited.read_text(), noted.read_text()}) == 3
    generator = machine.cpu_target.target_context.codegen()
    names = [name_of()]
    assert name_of() == names[0]
    for thing, attribute, value in [
        (machine.numba, "__version__", "0.0.0"),
        (machine.llvmlite, "__version__", "0.0.0"),
        (machine.sys, "version_info", (3, 99, 0)),
        (machine.platform, "machine", lambda: "abacus"),
        (type(generator), "magic_tuple", lambda self: ("another", "cpu", "+all")),
        (machine.config, "BOUNDSCHECK", 1),
        (machine.pipeline, "__file__", str(edited)),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(thing, attribute, value)
            names.append(name_of())
    assert len(set(names)) == len(names) == 8
    monkeypatch.setattr(machine.pipeline, "__file__", str(noted))
    assert name_of() == names[0] or sys.version_info >= (3, 13)  # classes know their lines there
    machine._toolchain.cache_clear()
