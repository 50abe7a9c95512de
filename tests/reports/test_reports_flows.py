"""The flows' part of ``refode validate``: passes on right code, fails where something is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from refode import bases, fields
from refode.problems.normalizing_flow import ContinuousNormalizingFlow
from refode.reports.proofs import flow_cases, flows
from refode.reports.proofs.examined import same_bits
from refode.reports.section import Section


@pytest.fixture
def case():
    return flow_cases.make("Shallow", fields.Shallow(2, 4, time=True), "rk4", bases.Legendre(3), 0)


def failed(section):
    return [c.name for c in section.checks if not c.passed]


def after(part, *arguments):
    section = Section("flows")
    part(section, *arguments)
    return failed(section)


def test_right_code_passes_and_is_drawn(case, tmp_path):
    section = flows.run(tmp_path, True, [case], ["rk4"])
    assert section.passed, failed(section)
    assert [f.name for f in section.files] == ["flows_orders.png", "flows_orders.pdf"]
    assert all(f.stat().st_size > 10_000 for f in section.files)
    assert section.numbers["derivatives"][0]["method"] == "complex step"


def test_estimates_pass():
    assert after(flows._estimates) == []


@pytest.mark.parametrize("factor", [1.001, -1.0])
def test_a_scaled_gradient_fails(case, factor, monkeypatch):
    right = ContinuousNormalizingFlow.value_and_gradient

    def wrong(self, theta, y):
        value, gradient = right(self, theta, y)
        return value, factor * gradient

    monkeypatch.setattr(ContinuousNormalizingFlow, "value_and_gradient", wrong)
    row = flows.examine(case)
    assert not row.passed
    assert row.failures[0].startswith("gradient of the objective")
    assert any("gradient of Shallow" in name for name in after(flows._estimates))


@pytest.mark.parametrize("column", ["w", "l", "v"])
def test_an_adjoint_without_one_of_the_ends_fails_the_dot_test(case, column, monkeypatch):
    right = ContinuousNormalizingFlow._pull_back
    place = {"w": slice(0, 2), "l": -2, "v": -1}[column]

    def wrong(self, theta, y, cost, plan):
        bars = cost.z_bar.copy()
        bars[..., place] *= 1.001
        return right(self, theta, y, type(cost)(bars), plan)

    monkeypatch.setattr(ContinuousNormalizingFlow, "_pull_back", wrong)
    assert not flows.dot_of_ends(case)


def test_a_shifted_log_density_fails(monkeypatch):
    right = ContinuousNormalizingFlow.log_density

    def wrong(self, *arguments, **named):
        return right(self, *arguments, **named) + 1e-5

    monkeypatch.setattr(ContinuousNormalizingFlow, "log_density", wrong)
    assert after(flows._closed_forms) == ["affine flow: log-density is the Gaussian's"]
    assert after(flows._integral) == ["integral of the density"]


def test_the_printed_sign_of_the_density_fails(monkeypatch):
    right = ContinuousNormalizingFlow._backward

    def printed(self, *arguments, **named):
        w, l, v = right(self, *arguments, **named)  # noqa: E741
        return w, -l, v

    monkeypatch.setattr(ContinuousNormalizingFlow, "_backward", printed)
    missed = after(flows._closed_forms)
    for name in (
        "log-density is the Gaussian's",
        "log|det| is -int tr A",
        "objective",
        "the sign printed in (13) is seen",
    ):
        assert f"affine flow: {name}" in missed
    assert after(flows._integral) == ["integral of the density"]
    assert not flows.study("heun").passed


def test_the_printed_sign_of_the_objective_fails(monkeypatch):
    """In value and gradient alike, which no check of the gradient can see."""
    right = ContinuousNormalizingFlow._value_and_gradient

    def printed(self, *arguments):
        value, gradient = right(self, *arguments)
        truth = flow_cases.AffineFlow.drawn()
        return value + truth.objective(sign=-1.0) - truth.objective(), gradient

    monkeypatch.setattr(ContinuousNormalizingFlow, "_value_and_gradient", printed)
    assert after(flows._closed_forms) == ["affine flow: objective beside the gradient"]


def test_a_transport_cost_of_the_other_sign_fails(monkeypatch):
    right = ContinuousNormalizingFlow._direction
    monkeypatch.setattr(
        ContinuousNormalizingFlow, "_direction", lambda self, plan: -right(self, plan)
    )
    missed = after(flows._closed_forms)
    for name in ("transport cost", "objective", "objective beside the gradient"):
        assert f"affine flow: {name}" in missed


def test_a_wrong_order_fails():
    assert flows.study("heun").passed
    assert not flows.study("heun", order=3).passed


def test_other_bits_fail(monkeypatch):
    rng = np.random.default_rng(0)
    right = ContinuousNormalizingFlow.generate
    monkeypatch.setattr(
        ContinuousNormalizingFlow,
        "generate",
        lambda self, *a, **b: right(self, *a, **b) * (1.0 + 1e-15 * rng.integers(1, 9)),
    )
    missed = after(same_bits, flows.everything, "a flow")
    assert missed
    assert all("threads" in name for name in missed)
