"""What bridges say where their package is missing, and that nothing else needs it."""

from __future__ import annotations

import sys

import pytest

import refode

ODE = refode.NeuralODE(refode.fields.Affine(2))


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_a_missing_package_is_named_with_its_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    make = getattr(refode.bridges, f"{name}_function")
    with pytest.raises(
        ImportError, match=rf"^{name}_function: needs the package {name}, wanted pip"
    ):
        make(ODE)


def test_importing_the_bridges_imports_neither():
    import subprocess

    code = "import sys, refode.bridges; print({'torch', 'jax'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "set()", done.stderr
