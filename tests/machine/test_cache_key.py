"""An edit of anything that is compiled must never meet old machine code; other edits may."""

from __future__ import annotations

import ast
import gc
import importlib
import inspect
import json
import math
import pkgutil
import shutil
import subprocess
import sys
import types as python
from pathlib import Path

import pytest
import users_energy
from numba.core.extending import _Intrinsic
from users_energy import VALUE, probe, roots

import refode
from refode.costs import energies
from refode.games import energies as energies_
from refode.machine import compile as machine
from refode.machine import parts, rooms, sources

PACKAGE = Path(refode.__file__).parent
pytestmark = pytest.mark.skipif(not machine.JIT, reason="there is no machine code")


# --- what the next process finds ------------------------------------------------------------
EDITS = {  # file: what is edited in it, and the value then
    "constants.py": ("10.0", "20.0", VALUE + 10.0),
    "helpers.py": ("FACTOR * x", "FACTOR * x + 1.0", VALUE + 1.0),
    "mine.py": ("100.0", "200.0", VALUE + 500.0),
    "refode/machine/views.py": (
        "value, out, builder.mul(i, columns)",
        "value, out, builder.mul(context.get_constant(types.intp, 1), columns)",
        VALUE + 10.0,
    ),
    "refode/machine/activations.py": (
        "math.copysign(em / (em + 2.0), x)",
        "math.copysign(em / (em + 2.0), -x)",
        VALUE - 2 * 0.7615941559557649,
    ),
}
CLOSED_OVER = ("return x + shift", "return x + 2.0 * shift", VALUE + 300.0)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package and the user's files, to edit; their code is in the cache."""
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "data", "cuda")
    shutil.copytree(PACKAGE, folder / "refode", ignore=ignored)
    users_energy.write(folder)
    cold = probe(folder, folder)
    assert Path(cold["refode"]).parent == folder / "refode"
    assert math.isclose(cold["value"], VALUE, rel_tol=1e-15)
    assert len(cold["compiled"]) == len(roots(folder)) == 2  # the energy, and Python's entry to it
    assert cold["imported"] == 0
    return folder


def edited(folder, name, old, new):
    text = (folder / name).read_text()
    assert text.count(old) == 1, "not there, or not alone"
    (folder / name).write_text(text.replace(old, new))
    return text


@pytest.mark.parametrize(
    ("name", "edit"),
    [*EDITS.items(), pytest.param("helpers.py", CLOSED_OVER, id="closed over")],
)
def test_an_edit_takes_effect_and_is_taken_back(copy, name, edit):
    before = roots(copy)
    old, new, value = edit
    text = edited(copy, name, old, new)
    try:
        found = probe(copy, copy)
    finally:
        (copy / name).write_text(text)
    assert math.isclose(found["value"], value, rel_tol=1e-15)
    assert [root.partition("-")[0] for root in found["compiled"]] == ["energy"]
    assert len(roots(copy)) == len(before) + 1


def test_all_edits_taken_back_nothing_is_compiled(copy):
    before = roots(copy)
    (copy / "mine.py").write_text("# a remark\n\n" + (copy / "mine.py").read_text())
    edited(copy, "mine.py", '"""Q."""', '"""Another docstring."""')
    edited(copy, "mine.py", "wanted an energy", "wanted an Energy")
    found = probe(copy, copy, PYTHONHASHSEED="7")
    assert math.isclose(found["value"], VALUE, rel_tol=1e-15)
    assert found["compiled"] == []
    assert roots(copy) == before


# --- every function that is compiled --------------------------------------------------------
def everything():
    """Python functions by name: all kernels, bodies and intrinsics that refode has."""
    left_out = {"cuda", "check", "reports", "reference", "__main__"}
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


# --- values ---------------------------------------------------------------------------------
def digest_of(function):
    return sources.Reach([function], frozenset()).digest


def made(text, **space):
    exec(text, space)
    return space["f"]


def test_what_globals_stand_for_counts():
    import enum
    from typing import NamedTuple

    import numpy as np
    from llvmlite import ir

    def kind(n):
        return enum.IntEnum("Kind", {"A": n})

    def fields(*names):
        return NamedTuple("Fields", [(name, float) for name in names])

    module = python.ModuleType("users"), python.ModuleType("users")
    for m, value in zip(module, (1.0, 2.0), strict=True):
        m.inner = python.ModuleType("users.inner")
        m.inner.x = value
    pairs = [
        (1, 1.0),
        (1.0, -1.0),
        (0.0, -0.0),
        (True, 1),
        ("a", b"a"),
        (float("nan"), 1.0),
        ((1, 2), [1, 2]),
        ((1, (2, 3)), (1, 2, 3)),
        ({"a": 1}, {"a": 2}),
        (None, 0),
        (np.arange(3), np.arange(3.0)),
        (np.ones(2), np.ones((2, 1))),
        (np.float64(1), 1.0),
        (np.ones(2), np.array([1.0, 2.0])),
        (np.sin, np.cos),
        (math.sin, math.cos),
        (ir.IntType(8), ir.IntType(16)),
        (kind(1), kind(2)),
        (fields("a", "b"), fields("b", "a")),
        module,
        (np.dtype("f8"), np.dtype("f4")),
    ]
    text = "def f():\n    return X.inner.x"
    for a, b in pairs:
        assert digest_of(made(text, X=a)) != digest_of(made(text, X=b)), (a, b)
        assert digest_of(made(text, X=a)) == digest_of(made(text, X=a)), a
    assert digest_of(made(text, X=1, inner=1)) == digest_of(made(text, X=1, inner=2))


def test_a_constant_is_read_anew_each_time():
    """Numba reads it when it compiles: a second root may be compiled after a change."""
    f = made("X = 1\ndef f():\n    return X")
    before = digest_of(f)
    f.__globals__["X"] = 2
    assert digest_of(f) != before


def test_defaults_count():
    assert digest_of(made("def f(x=1): return x")) != digest_of(made("def f(x=2): return x"))
    assert digest_of(made("def f(*, x=1): return x")) != digest_of(made("def f(*, x=2): return x"))


def test_a_file_of_the_user_s_may_be_called_as_one_of_python_s(tmp_path, monkeypatch):
    assert sources._is_outside("queue")
    monkeypatch.setattr(sys.modules["queue"], "__file__", str(tmp_path / "queue.py"))
    sources._is_outside.cache_clear()
    assert not sources._is_outside("queue")
    monkeypatch.undo()
    sources._is_outside.cache_clear()


def test_how_functions_are_called_by_address_counts():
    """Slots and types of arguments are in the machine code of whoever calls."""
    caller = made("def f(Q, Z, out):\n    energy(Q, Z, out)", energy=energies.energy)
    before = digest_of(caller)
    layout = energies.energy.described
    try:
        room, slot, *rest = layout
        energies.energy.described = (room, slot + 1, *rest)
        assert digest_of(caller) != before
    finally:
        energies.energy.described = layout
    other = rooms.Room("other").function("Mv")(made("def f(Q, Z, out): pass"))
    third = rooms.Room("other").function("MM")(made("def f(Q, Z, out): pass"))
    assert other.described != third.described


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


# --- what Numba really compiles -------------------------------------------------------------
LIGHT = """
import json, sys
import numpy as np
import refode
from numba.core import compiler
from refode.machine import compile as machine, sources
met, missed = [], []
compile_extra, make = compiler.CompilerBase.compile_extra, machine.Root._compiled
def noting(self, function):
    met.append(function)
    return compile_extra(self, function)
def checking(root):
    met.clear()
    made = make(root)
    for f in met:
        if not sources._outside(f) and f.__code__ not in root.codes:
            missed.append((root.name, f.__module__, f.__qualname__))
    return made
compiler.CompilerBase.compile_extra, machine.Root._compiled = noting, checking
field = refode.fields.Shallow(2, 3)
problem = refode.Supervised(refode.NeuralODE(field, n_steps=2), "regression", n_outputs=2)
x = np.arange(8.0).reshape(4, 2)
value, gradient = problem.value_and_gradient(problem.initial(), x, x)
loaded = sorted({"scipy.linalg", "numba.np.linalg"} & {*sys.modules})
print(json.dumps([value.hex(), gradient.sum().hex(), loaded, missed, bool(met)]))
import scipy.linalg
scipy.linalg.cython_blas  # as if it had been imported in the usual way
assert np.allclose(scipy.linalg.blas.dgemm(1.0, x, x.T), x @ x.T)
"""


def test_a_first_gradient(tmp_path):
    """All that is compiled is in digests; a warm cache needs no compiler and no scipy.linalg."""

    def start():
        done = subprocess.run(
            [sys.executable, "-c", LIGHT],
            cwd=tmp_path,
            text=True,
            env=users_energy.environment(tmp_path),
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    *cold, loaded, missed, compiled = start()
    assert compiled
    assert loaded, "the compiler no longer loads them, so that the next check says nothing"
    assert missed == []
    assert start() == [*cold, [], [], False], "more loaded, or other numbers"
