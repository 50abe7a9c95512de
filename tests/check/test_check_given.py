"""Consequences of wrong numbers told from their cause."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances as tol

from refode import reference
from refode.check.plain.given import following
from refode.check.variants import VARIANTS

BY_KEY = {v.key: v for v in VARIANTS}
CASES = {name: reference.case(name) for name in reference.names()}


def relative(a, b):
    return np.abs(a - b).max(initial=0.0) / (np.abs(b).max(initial=0.0) or 1.0)


@pytest.mark.parametrize("name", CASES)
def test_golden_digits_follow_from_one_another(name):
    proven = reference.arrays(CASES[name], "results")
    found = following(CASES[name], proven)
    if "half" not in CASES[name]["scheme"]:
        assert {"trajectory", "stages", "slopes"} <= set(found)
    for quantity, value in found.items():
        assert value.shape == proven[quantity].shape, quantity
        assert relative(value, proven[quantity]) <= tol.PLAIN, quantity


@pytest.mark.parametrize(
    ("key", "name", "causes", "consequences"),
    [
        # the step is wrong, not the stages
        (
            "last-stage-dropped",
            "ode-shallow-rk4",
            {"trajectory", "log_det"},
            {"stages", "slopes", "trace"},
        ),
        # the stages are wrong, and states with them
        (
            "nodes-start-both",
            "ode-shallow-rk4",
            {"stages", "slopes", "trace", "trajectory"},
            {"log_det"},
        ),
        (
            "trace-sign",
            "flow-everything",
            {"trace"},
            {"log_det", "log_density", "terms/likelihood", "total"},
        ),
        ("log-det-sign", "flow-everything", {"log_density"}, {"terms/likelihood", "total"}),
        ("readout-bias", "supervised-softmax", {"outputs"}, {"terms/loss", "total"}),
        ("labels-later", "supervised-softmax", {"terms/loss"}, {"total"}),
        ("L-half", "game-transport", {"terms/L"}, {"total"}),
        ("phi-time-sign", "game-transport", {"terms/hjb"}, {"total"}),
        ("log-rho-sign", "game-transport", {"log_density_path"}, {"terms/G", "total"}),
        ("total-minus-transport", "flow-everything", {"total"}, set()),
    ],
)
def test_causes_and_consequences(key, name, causes, consequences):
    proven = reference.arrays(CASES[name], "results")
    values = BY_KEY[key].evaluate(CASES[name])
    found = following(CASES[name], values)
    wrong = {k for k in found if relative(values[k], proven[k]) > tol.VARIANT_SEEN}
    astray = {k for k in wrong if relative(values[k], found[k]) > tol.VARIANT_SEEN}
    assert astray == causes
    assert wrong - astray == consequences


def test_only_what_is_given_is_used():
    case = CASES["flow-everything"]
    proven = reference.arrays(case, "results")
    assert following(case, {}) == {}
    assert set(following(case, {"log_density": proven["log_density"]})) == {"terms/likelihood"}
    assert "total" not in following(case, {"terms/likelihood": proven["terms/likelihood"]})
