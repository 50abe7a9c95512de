"""What the values of globals, defaults and modules have to do with a digest."""

from __future__ import annotations

import math
import sys
import types as python

import pytest

from refode.costs import energies
from refode.machine import compile as machine
from refode.machine import rooms, sources

pytestmark = pytest.mark.skipif(not machine.JIT, reason="there is no machine code")


def digest_of(function):
    return sources.Reach([function], frozenset()).digest


def made(text, **space):
    space["__name__"] = __name__  # other tests ask all functions there are for their module
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
