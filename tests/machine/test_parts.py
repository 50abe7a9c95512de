"""Parts: descriptions in memory, calls through addresses, and kernels that Python calls."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import refode
from refode.machine.compile import JIT
from refode.machine.parts import Member, entry, link, members
from refode.machine.rooms import Room

compiled = pytest.mark.skipif(not JIT, reason="there are no parts")
THING, INNER = Room("thing"), Room("inner")


@THING.function("M")
def shows(thing, out):
    """Numbers of the description into the rows of out."""


@THING.function("v", "s")
def asks(thing, x):
    """A number from the part within."""


@INNER.function("v?", "s")
def answers(inner, x):
    """A number."""


class Inside(NamedTuple):
    n: int
    x: float
    more: tuple


class Everything(NamedTuple):
    """A member of every kind that descriptions may have."""

    i: int
    x: float
    yes: bool
    c: complex
    absent: None
    vector: np.ndarray
    stack: np.ndarray
    integers: np.ndarray
    flags: np.ndarray
    numbers: np.ndarray
    nothing: np.ndarray
    nested: tuple
    inside: Inside


@shows.register(Everything)
def everything_shows(thing, out):
    out[0, 0], out[0, 1], out[0, 2] = thing.i, thing.x, 1.0 if thing.yes else 0.0
    out[0, 3], out[0, 4] = thing.c.real, thing.c.imag
    if thing.absent is None:
        out[0, 5] = 1.0
    for i in range(thing.vector.shape[0]):
        out[1, i] = thing.vector[i]
    k = 0
    for a in range(thing.stack.shape[0]):
        for b in range(thing.stack.shape[1]):
            for j in range(thing.stack.shape[2]):
                out[2, k] = thing.stack[a, b, j]
                k += 1
    for a in range(thing.integers.shape[0]):
        for b in range(thing.integers.shape[1]):
            out[3, thing.integers.shape[1] * a + b] = thing.integers[a, b]
    for i in range(thing.flags.shape[0]):
        out[4, i] = 1.0 if thing.flags[i] else 0.0
    for i in range(thing.numbers.shape[0]):
        out[5, 2 * i], out[5, 2 * i + 1] = thing.numbers[i].real, thing.numbers[i].imag
    out[6, 0], out[6, 1] = thing.nothing.shape[0], thing.nothing.shape[1]
    out[7, 0], out[7, 1], out[7, 2] = thing.nested[0], thing.nested[1][0], thing.nested[1][1][1]
    out[8, 0], out[8, 1], out[8, 2] = thing.inside.n, thing.inside.x, thing.inside.more[0][0]
    out[8, 3] = thing.inside.more[1]


def everything(scale=1, floats=np.float64):
    """A description with NumPy's scalars and awkward arrays, and what it shows."""
    stack = scale * np.arange(24.0).reshape(4, 3, 2).T  # not contiguous
    vector = scale * np.arange(6.0)[::-2]
    vector.flags.writeable = False
    integers = np.arange(6, dtype=np.int64).reshape(3, 2).T - scale
    flags, numbers = np.array([True, False, True])[::-1], np.array([1 + 2j, -3j]) * scale
    nested = (np.int32(3), (floats(0.25), (1, -2.5 * scale)))
    inside = Inside(np.int64(7), floats(scale), ((np.array([8.5]).astype(floats)[0],), True))
    spec = Everything(
        np.uint8(5),
        floats(1.5 * scale),
        np.bool_(True),
        np.complex64(2 - 3j),
        None,
        vector,
        stack,
        integers,
        flags,
        numbers,
        np.empty((0, 4)),
        nested,
        inside,
    )
    rows = [
        [5, 1.5 * scale, 1, 2, -3, 1],
        vector,
        stack.ravel(),
        integers.ravel(),
        flags,
        numbers.view(float),
        [0, 4],
        [3, 0.25, -2.5 * scale],
        [7, scale, 8.5, 1],
    ]
    wanted = np.zeros((9, 24))
    for i, row in enumerate(rows):
        wanted[i, : len(row)] = row
    return spec, wanted


@entry([THING, "M"])
def shows_it(thing, out):
    shows(thing, out)


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", [float, complex])
def test_every_kind_of_member_arrives_unchanged(dtype):
    for scale in (1, -3):
        spec, wanted = everything(scale)
        out = np.zeros((9, 24), dtype)
        shows_it.of(dtype)(link(THING, spec, dtype, frozenset([(shows, 0)])), out)
        assert np.array_equal(out, wanted)


@compiled
def test_single_precision_numbers_are_as_python_s():
    """The description's numbers are float64 in memory."""
    spec, wanted = everything(floats=np.float32)
    out = np.zeros((9, 24))
    shows_it.of(float)(link(THING, spec, float, frozenset([(shows, 0)])), out)
    assert np.array_equal(out, wanted)


# --- arrays of all kinds --------------------------------------------------------------------
class OneArray(NamedTuple):
    x: np.ndarray


@shows.register(OneArray)
def one_array_shows(thing, out):
    for i in range(thing.x.size):
        out[0, i] = thing.x.flat[i]


ARRAYS = {
    "float32": np.arange(3, dtype=np.float32),
    "int8": np.array([-128, 127, 0], np.int8),
    "uint16": np.array([[65535, 1]], np.uint16),
    "of other bytes": np.arange(3).astype(">f8"),
    "not aligned": np.frombuffer(b"0" + np.arange(3.0).tobytes(), np.uint8)[1:].view(np.float64),
    "a memory map's class": np.arange(3.0).view(np.memmap),
    "no axes": np.array(2.5),
}


@compiled
@pytest.mark.parametrize("x", ARRAYS.values(), ids=ARRAYS)
def test_every_array_arrives_unchanged(x):
    out = np.zeros((1, 24))
    shows_it.of(float)(link(THING, OneArray(x), float, frozenset([(shows, 0)])), out)
    assert out[0, : x.size].tolist() == x.ravel().tolist()


BAD = {
    "a text": ("text", "str"),
    "objects": (np.array([object()]), "object"),
    "records": (np.zeros(2, [("a", float)]), r"\[\('a', '<f8'\)\]"),
    "texts": (np.array(["a"]), "<U1"),
    "dates": (np.array(["2020-01-01"], "M8[D]"), "datetime64"),
    "half": (np.zeros(2, np.float16), "float16"),
    "a large integer": (2**63, "9223372036854775808"),
    "a list": ([1.0], "list"),
}


@compiled
@pytest.mark.parametrize(("value", "named"), BAD.values(), ids=BAD)
def test_what_no_description_may_have_is_named(value, named):
    with pytest.raises(TypeError, match=f"OneArray: x: got .*{named}.*wanted"):
        link(THING, OneArray(value), float, frozenset([(shows, 0)]))


@compiled
def test_a_part_keeps_its_arrays_alive():
    part = link(THING, OneArray(np.arange(20.0)[::2] + 0.5), float, frozenset([(shows, 0)]))
    gc.collect()
    junk = [np.full(10, np.nan) for _ in range(1000)]
    out = np.zeros((1, 24))
    shows_it.of(float)(part, out)
    assert len(junk) == 1000
    assert out[0, :10].tolist() == (np.arange(20.0)[::2] + 0.5).tolist()


@pytest.mark.nojit
@pytest.mark.parametrize("stride", [1, 2])
def test_arrays_within_parts_are_read_each_time(stride):
    """Parts within are held from call to call; copies of arrays would not follow them."""
    x = np.arange(6.0)[::stride]
    spec = Owner(Listed(x))
    assert answer(spec) == 0.0
    x[0] = 5.0
    assert answer(spec) == 5.0


@compiled
def test_a_part_is_linked_once():
    part = link(THING, OneArray(np.arange(3.0)), float, frozenset([(shows, 0)]))
    assert link(THING, part, float, frozenset([(shows, 0)])) is part


# --- parts within parts ---------------------------------------------------------------------
class Pair(NamedTuple):
    """Two of the same room."""

    first: tuple
    second: tuple


class Number(NamedTuple):
    k: float


class Owner(NamedTuple):
    inner: tuple


class Owning(NamedTuple):
    inner: tuple


members(Owning, inner=Member(variant=1))


@asks.register(Pair)
def pair_asks(thing, x):
    return asks(thing.first, x) - 2.0 * asks(thing.second, x)


@asks.register(Owner)
def owner_asks(thing, x):
    return answers(thing.inner, None)


@asks.register(Owning)
def owning_asks(thing, x):
    return answers(thing.inner, x)


@answers.register(Number)
def number_answers(inner, x):
    if inner.k < 0.0:
        raise ValueError("k: got a negative number, wanted none")
    if x is None:
        return inner.k + 0.0j if False else inner.k
    return inner.k * x[0]


class Listed(NamedTuple):
    x: np.ndarray


@answers.register(Listed)
def listed_answers(inner, x):
    return inner.x[0]


@entry([THING, "v"], "s")
def asks_it(thing, x):
    return asks(thing, x)


def answer(spec, x=3.0, dtype=float):
    part = link(THING, spec, dtype, frozenset([(asks, 0)]))
    return asks_it.of(dtype)(part, np.full(1, x, dtype))


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", [float, complex])
def test_parts_within_parts(dtype):
    one, two = Owner(Number(5.0)), Owning(Number(7.0))
    assert answer(one, dtype=dtype) == 5.0
    assert answer(two, dtype=dtype) == 21.0
    assert answer(Pair(one, two), dtype=dtype) == 5.0 - 42.0
    assert answer(Pair(Pair(two, one), Pair(one, two)), dtype=dtype) == 11.0 + 74.0
    if dtype is complex:
        assert answer(two, 1j, dtype) == 7j


@pytest.mark.nojit
def test_an_exception_reaches_python_through_two_levels():
    right, wrong = Owning(Number(7.0)), Owning(Number(-7.0))
    assert answer(Pair(right, right)) == -21.0
    with pytest.raises(ValueError, match="k: got a negative number, wanted none"):
        answer(Pair(right, wrong))
    assert answer(Pair(right, right)) == -21.0


class Unknown(NamedTuple):
    k: float


@pytest.mark.parametrize("spec", [Unknown(1.0), 3, None, "text"], ids=str)
@compiled
def test_a_missing_body_is_named(spec):
    with pytest.raises(TypeError, match=rf"thing: got a {type(spec).__name__}, .*asks.*wanted"):
        answer(spec)


@compiled
def test_a_missing_body_within_is_named():
    with pytest.raises(TypeError, match="inner: got a Inner.*answers.*wanted"):
        answer(Owner(no_answers()))


def no_answers():
    class Inner(NamedTuple):
        k: float

    INNER.classes.add(Inner)
    return Inner(1.0)


# --- calls that do not fit ------------------------------------------------------------------
CALLS = {
    "rows": (lambda thing, out: shows(thing, out[:, ::2]), "shows: out: got array.*, wanted array"),
    "axes": (lambda thing, out: shows(thing, out[0]), "shows: out: got array.*, wanted array"),
    "type": (lambda thing, out: shows(thing, 3), "shows: out: got .*, wanted array"),
    "number": (lambda thing, out: asks(thing, 1.0), "asks: x: got float64, wanted array"),
}


@compiled
@pytest.mark.parametrize(("call", "message"), CALLS.values(), ids=CALLS)
def test_a_wrong_layout_is_named(call, message):
    call.__qualname__ = f"call_{message[:5]}_{id(call)}"
    with pytest.raises(Exception, match=message):
        entry([THING, "M"])(call).of(float)


# --- without the compiler -------------------------------------------------------------------
@compiled
def test_the_tests_marked_so_pass_without_the_compiler():
    path = os.pathsep.join([str(Path(refode.__file__).parent.parent), str(Path(__file__).parent)])
    files = [__file__, str(Path(__file__).with_name("test_entries.py"))]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "nojit", *files],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
