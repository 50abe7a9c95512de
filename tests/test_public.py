"""The public names exist, load late, and are the ones that the modules define."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import refode


@pytest.mark.parametrize("name", refode.__all__)
def test_every_public_name_loads(name):
    value = getattr(refode, name)
    assert getattr(refode, name) is value
    assert name in dir(refode)


@pytest.mark.parametrize("module", ["refode", "refode.check", "refode.cuda", "refode.estimators"])
def test_dir_shows_public_names_alone(module):
    found = importlib.import_module(module)
    assert [name for name in dir(found) if not name.startswith("__")] == sorted(
        name for name in found.__all__ if name != "__version__"
    )


def test_all_lists_each_lazy_name_once():
    assert sorted(refode.__all__) == sorted({*refode._MODULES, *refode._HOMES, "__version__"})


def test_lazy_names_are_the_ones_type_checkers_see():
    """The block under TYPE_CHECKING repeats the table; neither may run ahead."""
    tree = ast.parse(Path(refode.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.asname: node.module for node in block.body for alias in node.names if alias.asname
    }
    parents = {name: home.rpartition(".")[0] for name, home in refode._MODULES.items()}
    assert seen == refode._HOMES | parents


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match=r"^module 'refode' has no attribute 'Neural'$"):
        _ = refode.Neural
    with pytest.raises(ImportError):
        importlib.import_module("refode.nothing")


def test_import_loads_nothing_heavy():
    code = (
        "import sys, refode\n"
        "print([m for m in ('numpy', 'scipy', 'numba', 'matplotlib', 'sklearn', 'rich')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_no_autodiff_framework_anywhere():
    """Derivatives are worked out by hand: no source may import a framework that does it."""
    framework = re.compile(
        r"^\s*(?:from|import)\s+(?:jax|torch|tensorflow|autograd|casadi|sympy|aesara|pytensor)\b",
        re.MULTILINE,
    )
    assert framework.search("x = 1\n    import jax.numpy as jnp\n")  # the pattern can match
    sources = sorted(Path(refode.__file__).parent.rglob("*.py"))
    assert len(sources) > 5
    assert [str(path) for path in sources if framework.search(path.read_text("utf-8"))] == []


def spans():
    """Every public class, method and function that users may give a t_span."""
    for path in sorted(Path(refode.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for maker in [node, *(getattr(node, "body", []) if _is_class(node) else [])]:
                if not isinstance(maker, ast.FunctionDef):
                    continue
                public = maker.name == "__init__" if _is_class(node) else maker.name[0] != "_"
                given = [*maker.args.args, *maker.args.kwonlyargs]
                optional = [a for a in given if a.arg == "t_span" and "None" in _annotated(a)]
                if public and optional:
                    yield pytest.param(node, id=f"{path.stem}.{node.name}")


def _is_class(node):
    return isinstance(node, ast.ClassDef)


def _annotated(argument):
    return "" if argument.annotation is None else ast.unparse(argument.annotation)


@pytest.mark.parametrize("node", list(spans()))
def test_who_takes_a_t_span_says_how_many_steps_cover_it(node):
    assert "n_steps steps cover" in " ".join((ast.get_docstring(node) or "").split())


def test_there_are_as_many_of_them_as_ever():
    assert len(list(spans())) >= 9
