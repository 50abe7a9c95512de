"""Partial implementations: features by the simplest cases, and what was never compared."""

from __future__ import annotations

import check_adapters
import numpy as np
import pytest
from check_adapters import DIGITS

from refode import reference
from refode.check import Skip, check, wording
from refode.check.coverage import coverage

SUPERVISED = [n for n in reference.names() if n.startswith("supervised-")]


class Constant:
    """Shallow fields with constant weights alone; W and b are left out of Tikhonov's term."""

    precision = "float64"

    def results(self, case):
        if case.field["type"] != "Shallow" or case.basis["type"] != "Constant":
            raise Skip("constant weights alone")
        found = {k: v.copy() for k, v in DIGITS[case.name].items()}
        weight = case.problem.get("tikhonov", 0.0)
        for name in ("W", "b"):
            if weight and name in case.theta:
                size = 0.5 * weight * float((case.theta[name] ** 2).sum())
                for key in ("terms/tikhonov", "total"):
                    found[key] -= size
                found[f"gradient/{name}"] -= weight * case.theta[name]
                found[f"hessian_vector/{name}"] -= weight * case.direction[name]
        return found


def test_a_penalty_without_the_readout_is_seen_by_who_has_constant_weights_alone():
    outcome = check(Constant(), cases=["supervised-*"])
    assert not outcome.passed
    assert {r.case for r in outcome.failing()} == {"supervised-plain-tikhonov"}
    assert {r.quantity for r in outcome.failing()} == {
        "total",
        "terms/tikhonov",
        *(f"{name}/{block}" for name in ("gradient", "hessian_vector") for block in "Wb"),
    }
    assert any("tikhonov" in f.key for f in outcome.findings)


def test_what_was_not_compared_is_said_in_the_last_line():
    chosen = ["supervised-plain", "supervised-resnet"]

    def change(case, found):
        if case.name not in chosen:
            raise Skip("not yet")
        return found

    outcome = check(check_adapters.changed(change), cases=["supervised-*", "flow-one"])
    assert outcome.passed
    (flow, supervised) = coverage(outcome.rows)
    assert (flow.kind, flow.asked, flow.compared, flow.never) == ("flow", 1, 0, ())
    assert (supervised.kind, supervised.compared) == ("supervised", 2)
    assert supervised.asked == len(SUPERVISED)
    never = dict(supervised.never)
    assert never["the loss is {}"] == ("logistic",)
    assert never["zeros are appended"] == ("",)
    assert never["the weight tikhonov is not 0"] == ("",)
    assert "the kind is {}" not in never
    text = wording.summary(outcome)
    assert "arrays right in 2 cases: all of them to the rounding" in text
    assert f" Compared 0 of 1 flow cases, 2 of {len(SUPERVISED)} supervised cases; features" in text
    assert "the loss is logistic" in text
    assert "the weight tikhonov is not 0" in text
    assert outcome.record()["coverage"][1]["compared"] == 2


def test_what_cannot_be_taken_was_not_compared():
    def change(case, found):
        if case.name == "supervised-resnet":
            raise RuntimeError("not finished")
        return found

    outcome = check(check_adapters.changed(change), cases=["supervised-plain", "supervised-resnet"])
    (supervised,) = coverage(outcome.rows)
    assert (supervised.asked, supervised.compared) == (2, 1)
    assert "Compared 1 of 2 supervised cases" in wording.summary(outcome)


def test_where_all_is_compared_nothing_is_said_of_it():
    outcome = check(check_adapters.right, cases=["supervised-l*"])
    assert "ompared" not in wording.summary(outcome)


@pytest.mark.parametrize(
    ("order", "came"),
    [((1, 0, 2), "(N, n_steps+1, d)"), ((2, 1, 0), "(d, N, n_steps+1)")],
)
def test_exchanged_axes_of_a_trajectory_are_named(order, came):
    def change(case, found):
        return found | {"trajectory": np.transpose(found["trajectory"], order)}

    outcome = check(check_adapters.changed(change), cases=["ode-*", "game-*", "supervised-*"])
    (finding,) = outcome.findings
    assert (finding.key, finding.certain) == ("exchanged-axes", True)
    assert (
        finding.sentence == f"axes exchanged: trajectory comes as {came}, wanted (n_steps+1, N, d)."
    )
    assert len(finding.explained) == len(outcome.failing())
    assert len(finding.explained) == len({r.case for r in outcome.rows})


def test_exchanged_axes_of_one_length_are_named():
    """Where the shape says nothing: as many steps as samples."""

    def change(case, found):
        return found | {"slopes": np.swapaxes(found["slopes"], 0, 2)}

    outcome = check(check_adapters.changed(change), cases=["ode-shallow-rk4", "ode-plain"])
    (finding,) = outcome.findings
    assert finding.key == "exchanged-axes"
    assert "slopes comes as (N, s, n_steps, d)" in finding.sentence


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        (lambda f: f | {"trajectory": f["trajectory"][:-1]}, "shape", "the wrong shape has traj"),
        (lambda f: 1 / 0, "exception", "ZeroDivisionError: division by zero ("),
        (lambda f: [].pop(), "exception", "IndexError: pop from empty list ("),
        (lambda f: bytearray(2**62), "memory", "memory ran out in ode-longer and 1 more"),
        (lambda f: f | {"theta_bar": 1.0, "theta_bar/W0": 1.0}, "kind", "both as a whole and by"),
        (lambda f: {k: v for k, v in f.items() if k != "theta_bar/W0"}, "block", "theta_bar/W0"),
        (lambda f: f | {"x_bar": "many"}, "kind", "wanted real numbers"),
    ],
)
def test_what_is_no_number_is_told_as_what_it_is(change, key, words):
    """And never by a hint at formulas, such as the weights b."""
    adapter = check_adapters.changed(lambda case, found: change(found))
    outcome = check(adapter, cases=["ode-longer", "ode-shallow-rk4"])
    (finding,) = outcome.findings
    assert finding.key == key
    assert words in finding.sentence
    assert "ook at" not in finding.sentence
    assert {r.cause for r in outcome.failing()} == {key}
    assert set(finding.explained) == {(r.case, r.quantity) for r in outcome.failing()}
    assert "seen: this is what came back" in wording.evidence(finding, outcome)


def test_an_exception_upstream_is_no_first_wrong_quantity():
    class Adapter:
        def trajectory(self, case):
            raise ValueError("not here")

        def theta_bar(self, case):
            found = {k[10:]: v for k, v in DIGITS[case.name].items() if k.startswith("theta_bar")}
            return {k: v * np.cos(np.arange(v.size)).reshape(v.shape) for k, v in found.items()}

    found = {f.key: f for f in check(Adapter(), cases=["ode-longer", "ode-shallow-rk4"]).findings}
    assert set(found) == {"exception", "first-wrong"}
    assert "theta_bar is the first quantity to be wrong" in found["first-wrong"].sentence
    assert "raised" not in found["first-wrong"].sentence


def test_wrong_numbers_beside_an_exception_are_still_looked_into():
    def change(case, found):
        if case.name == "ode-longer":
            raise ValueError("not here")
        return found | {"x_bar": -found["x_bar"]}

    outcome = check(
        check_adapters.changed(change), cases=["ode-longer", "ode-shallow-rk4", "ode-mlp"]
    )
    assert [f.key for f in outcome.findings] == ["sign", "exception"]
