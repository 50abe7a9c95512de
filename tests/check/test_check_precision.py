"""Errors are called those of a precision where they look like rounding, and nowhere else."""

from __future__ import annotations

import check_adapters
import numpy as np
import pytest

from refode import reference
from refode.check import check
from refode.reference import rounded
from refode.reference.arithmetic import using
from refode.reference.quantities import quantities

FEW = ["ode-l*", "ode-dopri5", "supervised-logistic", "flow-one", "game-lowrank"]


def findings(adapter, cases=None):
    outcome = check(adapter, precision="float64", cases=cases)
    assert not outcome.passed
    return outcome.findings, {(r.case, r.quantity) for r in outcome.failing()}


def with_exact_sums(rounding):
    """Arithmetic that rounds products and functions, and adds in double, as tensor cores do."""
    made = rounded.Arithmetic(rounding)

    class Exact(made.scalar):
        __slots__ = ()

        def __neg__(self):
            return Exact(-self.value)

        def __add__(self, other):
            if isinstance(other, int | Exact):
                return Exact(self.value + getattr(other, "value", other))
            return NotImplemented

        def __sub__(self, other):
            return self + -other if isinstance(other, int | Exact) else NotImplemented

        def __mul__(self, other):
            if isinstance(other, int | Exact):
                return Exact(rounding(self.value * getattr(other, "value", other)))
            return NotImplemented

        __radd__, __rmul__ = __add__, __mul__

    made.scalar = Exact
    return made


class Mixed:
    """A correct implementation with that arithmetic."""

    def __init__(self, rounding):
        self.arithmetic = with_exact_sums(rounding)

    def results(self, case):
        with using(self.arithmetic):
            found = quantities(case.document)
        return dict(rounded._arrays(found, ""))


@pytest.mark.parametrize("model", ["float32", "bfloat16"])
def test_correct_implementations_are_told_by_their_precision(model):
    (first, *_), wrong = findings(f"refode.check.rounded:{model}", FEW)
    assert first.key == "precision"
    assert f"those of {model}" in first.sentence
    assert "results are rounded to it." in first.sentence
    assert len(first.explained) > 0.9 * len(wrong)


@pytest.mark.parametrize("model", ["float32", "bfloat16"])
def test_so_are_those_that_are_coarse_inside_alone(model):
    (first, *_), wrong = findings(Mixed(getattr(rounded, f"to_{model}")), FEW)
    assert first.key == "precision"
    assert f"those of {model}" in first.sentence
    assert "something is computed in it inside." in first.sentence
    assert len(first.explained) > 0.9 * len(wrong)


def scaled(factors):
    """Right results with gradients times factors, entry by entry."""

    def change(case, found):
        gradients = [k for k in found if k.startswith("gradient")]
        return found | {
            k: found[k] * factors(np.arange(found[k].size)).reshape(found[k].shape)
            for k in gradients
        }

    return check_adapters.changed(change)


@pytest.mark.parametrize(
    "factors",
    [
        lambda i: 1.0 + 0.3 * np.sin(i),
        lambda i: 1.0 + 0.1 * np.sin(i),
        lambda i: np.linspace(1.0, 1.3, i.size),
        lambda i: np.linspace(1.0, 1.01, i.size),  # as small as rounding to bfloat16, of one sign
        lambda i: np.linspace(1.0, 1.0 + 1e-7, i.size),  # the same beside float32
        lambda i: 1.0 + 0.1 * np.where(i * i % 7 < 3, 1.0, -1.0),  # of both, and too large
    ],
)
def test_distortions_that_nothing_explains_are_not_called_rounding(factors):
    found, _ = findings(scaled(factors), ["supervised-*", "flow-*"])
    assert found
    assert "precision" not in {f.key for f in found}


def test_a_bug_beside_single_precision_is_told_apart():
    """One array that only bfloat16 would explain makes all others no bfloat16."""

    def change(case, found):
        made = {k: np.asarray(a, "float32").astype("float64") for k, a in found.items()}
        if case.name == "supervised-logistic":
            made["slopes"] *= np.linspace(1.0, 1.05, made["slopes"].size).reshape(
                made["slopes"].shape
            )
        return made

    (first, second, *_), wrong = findings(check_adapters.changed(change), FEW)
    assert first.key == "precision"
    assert "those of float32" in first.sentence
    assert wrong - set(first.explained) == {("supervised-logistic", "slopes")}
    assert second.sentence.startswith("slopes is the first quantity to be wrong")


def test_the_arithmetic_of_these_tests_adds_exactly():
    a = with_exact_sums(rounded.to_bfloat16)
    third, one = (a.scalar(v) for v in (1.0 / 3.0, 1.0))
    assert float(third + one) == 1.0 / 3.0 + 1.0
    assert float(one - third) == 1.0 - 1.0 / 3.0
    assert float(third * one) == rounded.to_bfloat16(1.0 / 3.0)
    case = reference.case("ode-line")
    with using(a):
        found = np.array(quantities(case)["trajectory"], dtype=np.float64)
    assert 0.0 < np.abs(found - reference.arrays(case, "results")["trajectory"]).max() < 0.05


class Scalars:
    """Right but for one term and the total, off by a little that differs from case to case."""

    def results(self, case):
        found = dict(reference.arrays(reference.case(case.name), "results"))
        if "terms/hjb" in found:
            off = found["terms/hjb"] * (0.001 + 0.0007 * (len(case.name) % 5))
            found["terms/hjb"] = found["terms/hjb"] + off
            found["total"] = found["total"] + off
        return found


def test_a_few_numbers_are_not_called_rounding():
    found, _ = findings(Scalars(), ["game-*"])
    assert all(f.key != "precision" for f in found)


def test_a_few_pairs_are_not_called_rounding():
    """Small and of both signs, in three arrays of a few entries: they may be so by chance."""

    def change(case, found):
        cost = found["transport_cost"]
        signs = np.where(np.arange(cost.size) % 2, 1.0, -1.0)
        off = (0.0005 * signs * (2.0 + np.arange(cost.size))).reshape(cost.shape)
        return found | {"transport_cost": cost * (1.0 + off)}

    found, wrong = findings(check_adapters.changed(change), ["flow-one", "flow-every*", "flow-mlp"])
    assert {name for _, name in wrong} == {"transport_cost"}
    assert "precision" not in {f.key for f in found}
