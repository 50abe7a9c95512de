"""Kernels that Python calls, and numbers on their way to a body: converted, or refused."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest

from refode.machine.compile import JIT, kernel
from refode.machine.parts import entry, link
from refode.machine.rooms import Room

compiled = pytest.mark.skipif(not JIT, reason="there are no parts")


# --- kernels that Python calls --------------------------------------------------------------
class Scaled(NamedTuple):
    factor: float
    x: np.ndarray


def mixture(a, x, at):
    """Of a float, an array and a named tuple."""
    total = a
    for i in range(x.shape[0]):
        total += at.factor * x[i] + at.x[i]
    return total


def halves(x):
    """In place, and nothing back."""
    for i in range(x.shape[0]):
        x[i] *= 0.5


def raises(x):
    """An error of its own."""
    if x < 0.0:
        raise ValueError("x: got a negative number")
    return math.sqrt(x)


@pytest.mark.nojit
def test_a_kernel_from_python_is_its_function():
    called = kernel(mixture)
    strided, whole = np.arange(6.0)[::2], np.arange(3.0)
    read_only = whole.copy()
    read_only.flags.writeable = False
    for a, x, at in [
        (1.5, whole, Scaled(2.0, whole)),
        (1.5, strided, Scaled(2.0, strided)),
        (2, read_only, Scaled(-1.0, whole)),
        (1j, whole * 1j, Scaled(2.0, whole)),
    ]:
        assert called(a, x, at) == mixture(a, x, at)
        assert called(a, x, at) == mixture(a, x, at)
    x = np.arange(3.0)
    assert kernel(halves)(x) is None
    assert x.tolist() == [0.0, 0.5, 1.0]
    root = kernel(raises)
    assert root(4.0) == 2.0
    with pytest.raises(ValueError, match="x: got a negative number"):
        root(-1.0)
    assert kernel(raises).__name__ == "raises"
    assert kernel(raises).__doc__ == raises.__doc__


# --- numbers as arguments -------------------------------------------------------------------
SCALARS = Room("scalars")


@SCALARS.function("sib", "s")
def scalar(thing, s, i, b):
    """Numbers as arguments."""


class Scalar(NamedTuple):
    k: float


@scalar.register(Scalar)
def scalar_scalar(thing, s, i, b):
    return thing.k * s + (i if b else -i)


@entry([SCALARS], "s")
def right_scalars(thing):
    return scalar(thing, 2, True, True) + scalar(thing, 2.5, 3, False)


@entry([SCALARS], "s")
def complex_for_a_float(thing):
    return scalar(thing, 2.0j, 1, True)


@pytest.mark.nojit
def test_numbers_are_made_those_that_are_wanted():
    part = link(SCALARS, Scalar(10.0), float, frozenset([(scalar, 0)]))
    assert right_scalars.of(float)(part) == 21.0 + 22.0


@compiled
def test_a_number_that_does_not_fit_is_named():
    with pytest.raises(Exception, match="scalar: s: got complex128, wanted float64"):
        complex_for_a_float.of(float)


def test_signature_and_parameters_must_fit():
    with pytest.raises(ValueError, match="two: got types of 1 arguments.*wanted 2"):
        Room("small").function("s")(two)


def two(thing, a, b):
    """Two arguments."""
