"""The exact flows' checks of ``refode validate`` pass, and fail where sweeps are wrong."""

from __future__ import annotations

import numpy as np
import pytest

from refode.ode.neural_ode import NeuralODE
from refode.reports.proofs import exact_flows
from refode.reports.section import Section


def failed():
    section = Section("flows")
    exact_flows.run(section)
    return [c.name for c in section.checks if not c.passed], len(section.checks)


def test_right_code_passes():
    assert failed() == ([], 8)


@pytest.mark.parametrize("place", [0, 1])
def test_a_shifted_value_fails(place, monkeypatch):
    right = NeuralODE.log_det

    def wrong(self, *arguments):
        found = list(right(self, *arguments))
        found[place] = found[place] + 1e-6
        return tuple(found)

    monkeypatch.setattr(NeuralODE, "log_det", wrong)
    assert "exact flow, one neuron: values and derivatives" in failed()[0]


@pytest.mark.parametrize("place", [0, 1])
def test_a_scaled_derivative_fails(place, monkeypatch):
    right = NeuralODE.log_det_adjoint

    def wrong(self, *arguments):
        found = list(right(self, *arguments))
        found[place] = np.asarray(found[place]) * (1.0 + 1e-6)
        return tuple(found)

    monkeypatch.setattr(NeuralODE, "log_det_adjoint", wrong)
    assert "exact flow, parabolic: values and derivatives" in failed()[0]
