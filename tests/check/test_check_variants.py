"""Known mistakes: the plain evaluation, and the numbers of each mistake."""

from __future__ import annotations

import random

import numpy as np
import pytest
import tolerances as tol

from refode import reference
from refode.check import plain, random_cases
from refode.check.plain import adjoint as plain_adjoint
from refode.check.variants import VARIANTS
from refode.check.variants.make import Variant, differs
from refode.check.variants.make import right as right_of

BY_KEY = {v.key: v for v in VARIANTS}
CASES = {name: reference.case(name) for name in reference.names()}


def relative(a, b):
    """The largest error relative to the largest entry."""
    return np.abs(a - b).max(initial=0.0) / (np.abs(b).max(initial=0.0) or 1.0)


def results(name, part="results"):
    return reference.arrays(CASES[name], part)


def right(case, found=()):
    """What is right, with second derivatives where the other results have some."""
    return right_of(case, any(k.startswith("hessian_vector") for k in found))


@pytest.fixture(scope="module")
def computed():
    """All variants on all golden cases: by key, by case."""
    found = {}
    for v in VARIANTS:
        on = {name: v.evaluate(case) for name, case in CASES.items()}
        found[v.key] = {name: r for name, r in on.items() if r is not None}
    return found


# --- the evaluation without mistakes ---------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_golden_digits(name):
    found, proven = plain.evaluate(CASES[name]), results(name)
    assert set(found) == set(proven)
    for quantity, digits in proven.items():
        bound = tol.PLAIN_HESSIAN if quantity.startswith("hessian_vector") else tol.PLAIN
        assert found[quantity].shape == digits.shape, quantity
        assert relative(found[quantity], digits) <= bound, quantity


@pytest.mark.parametrize("name", CASES)
def test_golden_gradients_walking_back(name):
    """The adjoint that wrong walks depart from is right."""
    found, proven = plain_adjoint.gradient(CASES[name]), results(name)
    if found is None:
        assert "half" in CASES[name]["scheme"]
        return
    names = {k for k in proven if k.split("/")[0] in ("gradient", "theta_bar", "x_bar")}
    assert set(found) == names
    for quantity, value in found.items():
        assert relative(value, proven[quantity]) <= tol.PLAIN, quantity


@pytest.mark.parametrize("name", ["supervised-augmented", "flow-everything", "game-crowd"])
def test_hessian_vectors_of_walks(name):
    found, proven = plain_adjoint.gradient(CASES[name], hessian=True), results(name)
    names = [k for k in proven if k.startswith("hessian_vector")]
    assert names
    for quantity in names:
        assert relative(found[quantity], proven[quantity]) <= tol.PLAIN_HESSIAN, quantity


def test_less_is_computed_where_less_is_asked_for():
    case = CASES["supervised-softmax"]
    values = plain.evaluate(case, derivatives=False)
    first = plain.evaluate(case, hessian=False)
    assert not [k for k in values if k.startswith(("gradient", "hessian"))]
    assert [k for k in first if k.startswith("gradient")]
    assert not [k for k in first if k.startswith("hessian")]
    assert values["total"] == first["total"]


def test_results_are_not_read():
    case = {k: v for k, v in CASES["game-crowd"].items() if k != "results"}
    assert not differs(plain.evaluate(case), results("game-crowd"), tol.PLAIN_HESSIAN)


# --- what the variants are -------------------------------------------------------------------


def test_keys_are_unique_and_sentences_are_sentences():
    assert len(BY_KEY) == len(VARIANTS)
    for v in VARIANTS:
        assert v.sentence.endswith(".")
        assert not any(c.isspace() for c in v.key)
    assert len({v.sentence for v in VARIANTS}) == len(VARIANTS)


def test_every_variant_shows_somewhere(computed):
    for key, on in computed.items():
        seen = [n for n, r in on.items() if differs(r, right(CASES[n], r), tol.VARIANT_SEEN)]
        assert seen, f"{key} changes nothing"


def test_no_variant_is_returned_where_it_is_right(computed):
    for key, on in computed.items():
        for name, found in on.items():
            truth = right(CASES[name], found)
            assert set(found) <= set(truth), (key, name)
            assert any(
                found[k].shape != truth[k].shape or (found[k] != truth[k]).any() for k in found
            )


def test_variants_tell_each_other_apart(computed):
    """Some golden case has other numbers for each of two mistakes, or is right with one alone."""
    keys = list(computed)
    same = []
    for i, one in enumerate(keys):
        for other in keys[i + 1 :]:
            a, b = computed[one], computed[other]
            if a.keys() != b.keys():
                continue
            if not any(differs(a[name], b[name], tol.VARIANT_APART) for name in a):
                same.append((one, other))
    assert same == []


def test_hessian_vectors_are_of_the_same_mistake():
    found = BY_KEY["three-eighths-rule"].evaluate(CASES["supervised-softmax"], hessian=True)
    case = {**CASES["supervised-softmax"], "scheme": CASES["ode-shallow-rk4-38"]["scheme"]}
    other = plain.evaluate(case)
    names = [k for k in found if k.startswith("hessian_vector")]
    assert names
    for name in names:
        assert relative(found[name], other[name]) <= tol.PLAIN_HESSIAN


def test_a_variant_is_computed_once_for_a_case():
    asked = []

    def compute(document, hessian):
        asked.append((document["name"], document["n_steps"], hessian))
        return {"total": np.array(2.0 + document["n_steps"])}

    variant = Variant("mine", "Mine.", compute)
    case = CASES["supervised-softmax"]
    other = {**case, "n_steps": case["n_steps"] + 1}
    for _ in range(2):
        for document, hessian in ((case, False), (case, True), (other, False)):
            found = variant.evaluate(document, hessian=hessian)
            assert found == {"total": 2.0 + document["n_steps"]}
            found.clear()  # it is the caller's
    assert asked == [
        (case["name"], case["n_steps"], False),
        (case["name"], case["n_steps"], True),
        (case["name"], case["n_steps"] + 1, False),
    ]


def test_random_cases_raise_nothing():
    rng = random.Random(3)
    for _ in range(12):
        case = random_cases._document(lambda options: rng.choice(list(options)), random_cases.KINDS)
        with np.errstate(all="raise"):
            for v in VARIANTS:
                v.evaluate(case)


@pytest.mark.parametrize(
    "name", ["supervised-softmax-wide", "supervised-logistic-one", "supervised-states"]
)
def test_gauss_newton_by_the_outputs_derivative(name):
    """v . G v is the loss's own curvature along the outputs' derivative, and the regularisers'."""
    case, given = CASES[name], results(name, "inputs")

    def outputs(step):
        theta = {
            k.split("/")[1]: {
                "shape": list(v.shape),
                "data": [
                    repr(float(a))
                    for a in (v + step * given[k.replace("theta", "direction")]).ravel()
                ],
            }
            for k, v in given.items()
            if k.startswith("theta/")
        }
        moved = {**case, "inputs": {**case["inputs"], "theta": theta}}
        found = plain.evaluate(moved, derivatives=False)
        return found["outputs"], found["terms/tikhonov"] + found["terms/smoothness"]

    h = 1e-3  # differences of order six
    (v, penalty), weights = outputs(0.0), {1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
    slope = sum(c * (outputs(k * h)[0] - outputs(-k * h)[0]) for k, c in weights.items()) / h
    bent = outputs(1.0)[1] - 2 * penalty + outputs(-1.0)[1]  # quadratic: exact
    p = np.exp(v) / np.exp(v).sum(1, keepdims=True)
    curved = {
        "regression": slope**2,
        "logistic": slope**2 * np.exp(v) / (1 + np.exp(v)) ** 2,
        "softmax": p * slope**2 - p * slope * (p * slope).sum(1, keepdims=True),
    }[case["problem"]["loss"]]
    found = BY_KEY["gauss-newton"].evaluate(case)
    product = sum(
        (found[k] * given[k.replace("hessian_vector", "direction")]).sum()
        for k in found
        if k.startswith("hessian_vector")
    )
    assert relative(product, curved.sum(1).mean() + bent) <= tol.PLAIN_HESSIAN
