"""Adapters that tests of ``refode check`` load by name: right ones, and ones that misbehave.

Right numbers are the proven digits themselves, so that a test knows what the checker was given.
"""

from __future__ import annotations

import os
import time

import numpy as np

from refode import reference
from refode.check import Skip
from refode.check.run import check

DIGITS = {name: reference.arrays(reference.case(name), "results") for name in reference.names()}

#: One case of each kind.
FEW = ["ode-line", "supervised-softmax", "flow-one", "game-entropy"]


def quick(target, cases=FEW, **options):
    """A check of few cases, without a diagnosis."""
    return check(target, cases=cases, diagnose=False, **options)


def rows(outcome, **wanted):
    """Rows with these attributes."""
    return [r for r in outcome.rows if all(getattr(r, k) == v for k, v in wanted.items())]


def changed(change, precision="float64"):
    """An adapter that returns the digits after ``change(case, dict of arrays)``."""

    class Changed:
        def results(self, case):
            return change(case, {k: v.copy() for k, v in DIGITS[case.name].items()})

    adapter = Changed()
    adapter.precision = precision
    return adapter


right = changed(lambda case, found: found)
single = changed(lambda case, found: {k: np.float32(v) for k, v in found.items()}, "float32")


class Partial:
    """A method a quantity; some that are missing, refused, or fail."""

    precision = "float64"

    def trajectory(self, case):
        return DIGITS[case.name]["trajectory"].tolist()  # lists of numbers do

    def log_det(self, case):
        raise Skip("no traces")

    def tangent(self, case):
        raise NotImplementedError

    def x_bar(self, case):
        raise ZeroDivisionError("division by zero")

    def theta_bar(self, case):
        return np.zeros(3)  # blocks are wanted

    def trace(self, case):
        return None


def _trouble(case, found):
    if case.name == "ode-line":
        time.sleep(60.0)
    if case.name == "ode-affine-time":
        os._exit(3)
    if case.name == "ode-potential":
        print("what is printed does not disturb")
        raise RuntimeError("out of luck")
    return found


trouble = changed(_trouble)


def no_precision():
    """An adapter that computes in a precision nobody models."""


no_precision.precision = "float16"


AN_ARRAY = np.eye(2)  # it has a method called trace


class Unrelated:
    """Nothing of an adapter."""

    trajectory = 3
