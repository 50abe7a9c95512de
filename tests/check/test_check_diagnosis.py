"""The diagnosis names mistakes that are made in the proven digits themselves."""

from __future__ import annotations

import check_adapters
import numpy as np
import pytest

from refode import reference
from refode.check import check, variants
from refode.check.diagnose.refinement import refined

DERIVATIVES = ("gradient", "theta_bar")
FEW = [
    "ode-l*",
    "ode-affine-time",
    "ode-dopri5",
    "ode-potential",
    "flow-one",
    "flow-transport",
    "supervised-logistic",
    "supervised-augmented",
    "game-lowrank",
    "game-crowd",
]


def findings(change, cases=FEW):
    """Findings where ``change(case, full name, array)`` replaces every array."""
    adapter = check_adapters.changed(
        lambda case, found: {k: change(case, k, a) for k, a in found.items()}
    )
    outcome = check(adapter, cases=cases)
    assert not outcome.passed
    return outcome.findings, {(r.case, r.quantity) for r in outcome.failing()}


def only(names, transform):
    """Change some quantities or blocks, leave the others."""
    return lambda case, k, a: (
        transform(case, a) if k in names or k.partition("/")[0] in names else a
    )


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        (only(["log_det"], lambda c, a: -a), "sign", "the sign is wrong: log_det"),
        (only(DERIVATIVES, lambda c, a: len(c.x) * a), "factor", "N (the number of samples) times"),
        (only(["terms/tikhonov"], lambda c, a: 2 * a), "factor", "2 times what is right"),
        (only(["gradient/W0", "theta_bar/W0"], lambda c, a: 1.001 * a), "factor", "1.001 times"),
        (only(["gradient/b0", "theta_bar/b0"], lambda c, a: 0 * a), "detached", "zero altogether"),
        (
            only(["log_density"], lambda c, a: a + 0.5 * c.x.shape[1] * np.log(2 * np.pi)),
            "constant",
            "plus d/2 log(2 pi)",
        ),
        (only(["log_det"], lambda c, a: a + c.along[0]), "constant", "at which integration begins"),
        (only(["x_bar"], lambda c, a: a if c.z_bar is None else c.z_bar), "x-bar-at-end", ""),
        (
            only(["trajectory", "stages"], lambda c, a: a.ravel(order="F").reshape(a.shape)),
            "array-order",
            "Fortran order",
        ),
        (
            only(["gradient"], lambda c, a: np.asarray(a, "float32").astype("float64")),
            "precision",
            "float32: results are rounded to it. Look for a number type: JAX computes in float32 "
            "unless jax_enable_x64 is set, PyTorch unless",
        ),
        (
            only(["theta_bar"], lambda c, a: a * np.nan if (c.scheme.b == 0).any() else a),
            "zero-weight",
            "b_i = 0",
        ),
    ],
)
def test_one_cause_explains_all_that_is_wrong(change, key, words):
    (first, *_), wrong = findings(change)
    assert (first.key, set(first.explained)) == (key, wrong)
    assert words in first.sentence


@pytest.mark.parametrize(("value", "name"), [(0.5, "1/2"), (2.0, "2"), (-0.5, "-1/2")])
def test_a_factor_is_told_once(value, name):
    (first,), wrong = findings(only(["trajectory"], lambda c, a: value * a), ["ode-l*", "ode-a*"])
    assert set(first.explained) == wrong
    assert first.sentence == f"{name} times what is right: trajectory."


def test_a_factor_that_may_be_a_size_keeps_its_rival():
    (first, *_), _ = findings(only(["gradient"], lambda c, a: len(c.x) * a), ["supervised-l*"])
    assert "These cases cannot tell this from: " in first.sentence


def test_a_matrix_that_is_transposed():
    (first, *_), wrong = findings(
        only(["theta_bar/K"], lambda c, a: np.swapaxes(a, -1, -2)),
        ["ode-antisymmetric*", "ode-hamiltonian*"],
    )
    assert (first.key, set(first.explained)) == ("transposed", wrong)


def test_a_column_that_is_detached():
    def change(case, k, a):
        if case.field.get("time") and k in ("gradient/W0", "theta_bar/W0"):
            a[..., -1] = 0.0
        return a

    (first, *_), wrong = findings(change)
    assert (first.key, set(first.explained)) == ("detached-slice", wrong)
    assert "the last column, which belongs to t" in first.sentence


def test_what_has_no_name_is_placed_by_what_the_cases_share():
    def change(case, k, a):
        return (
            a * np.linspace(1.0, 9.0, a.size).reshape(a.shape)
            if "L" in case.basis["type"] and (k.startswith("theta_bar"))
            else a
        )

    (first, *_), _ = findings(change, ["ode-*"])
    assert (first.key, first.certain) == ("first-wrong", False)
    assert "theta_bar is the first quantity to be wrong" in first.sentence


@pytest.mark.parametrize("with_gradient", [True, False])
def test_a_known_mistake_is_computed_once_where_it_is_not_met(monkeypatch, with_gradient):
    """Without second derivatives, which cost most, where others are wrong as well."""
    asked = []

    def compute(document, hessian):
        asked.append(hessian)
        return {
            k: 7.0 * a
            for k, a in check_adapters.DIGITS[document["name"]].items()
            if hessian or not k.startswith("hessian_vector")
        }

    monkeypatch.setattr(variants, "VARIANTS", [variants.Variant("seven", "Seven times.", compute)])
    names = ("gradient", "hessian_vector") if with_gradient else ("hessian_vector",)
    findings(
        only(names, lambda c, a: a * np.cos(np.arange(a.size)).reshape(a.shape)),
        ["supervised-logistic"],
    )
    assert asked == [not with_gradient]


def test_right_results_have_no_findings():
    assert check(check_adapters.right, cases=FEW).findings == []


def test_refined_cases_observe_at_their_old_times():
    document = reference.case("ode-observations")
    finer = refined(document, 2)
    coarse, fine = (reference.arrays(d, "inputs")["path_bar"] for d in (document, finer))
    assert finer["n_steps"] == 2 * document["n_steps"]
    assert np.array_equal(fine[::2], coarse)
    assert not fine[1::2].any()
    assert "results" in document
    assert "results" not in finer
