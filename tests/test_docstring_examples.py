"""Examples in docstrings run, and print what they say."""

from __future__ import annotations

import ast
import doctest
import importlib
import pathlib

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
#: Modules with a prompt in a docstring: no other is imported.
MODULES = [
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for file in sorted((ROOT / "refode").rglob("*.py"))
    if "\n    >>> " in file.read_text("utf-8")
]
#: Public names that show themselves at work.
SHOWN = {
    "refode.bases": ("Legendre", "PiecewiseConstant"),
    "refode.closed_forms.gaussians": ("bures_distance2", "bures_map"),
    "refode.closed_forms.shallow": ("ShallowFlow",),
    "refode.datasets.planar": ("spiral", "two_moons"),
    "refode.densities": ("Gaussian", "GaussianMixture"),
    "refode.fields.shallow": ("Shallow",),
    "refode.games.game": ("optimal_transport",),
    "refode.ode.evaluate": ("jacobian",),
    "refode.ode.neural_ode": ("NeuralODE",),
    "refode.ode.steps": ("Equal", "Given"),
    "refode.packing": ("Layout",),
    "refode.problems.game": ("MeanFieldGame",),
    "refode.problems.normalizing_flow": ("ContinuousNormalizingFlow",),
    "refode.problems.observations": ("Observations",),
    "refode.problems.supervised": ("Supervised",),
    "refode.problems.trajectories": ("TrajectoryFitting",),
    "refode.tableaus": ("get",),
    "refode.training.door": ("train",),
    "refode.verify.dot": ("dot_test",),
    "refode.verify.gap": ("adjoint_gap",),
    "refode.verify.gradient": ("check_gradient",),
    "refode.verify.order": ("observed_order",),
}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with np.printoptions(legacy=False):
        found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0
    assert found.attempted > 0


def test_names_that_show_themselves_do():
    for module, names in SHOWN.items():
        assert module in MODULES
        file = ROOT / (module.replace(".", "/") + ".py")
        file = file if file.exists() else ROOT / module.replace(".", "/") / "__init__.py"
        shown = {
            node.name
            for node in ast.parse(file.read_text("utf-8")).body
            if isinstance(node, ast.ClassDef | ast.FunctionDef)
            and ">>> " in (ast.get_docstring(node) or "")
        }
        assert set(names) <= shown, f"{module}: {set(names) - shown}"


def test_an_example_that_is_wrong_is_seen():
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda text: None).failed == 1
