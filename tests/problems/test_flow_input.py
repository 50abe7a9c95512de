"""What flows refuse, beside spoiled arrays (test_bad_input.py): settings, times, blow-ups."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import refode
from refode import fields

ODE = refode.NeuralODE(fields.Shallow(2, 3, time=True), "rk4", 3)
FLOW = refode.ContinuousNormalizingFlow(ODE)
THETA, Y = FLOW.initial(), np.array([[0.1, -0.2], [1.0, 0.3], [0.5, 0.5]])
grouped = pytest.mark.parametrize("group", ["x"], ids=["ShallowSpec-flow-input"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transport": -0.1}, r"^transport: got -0\.1"),
        ({"transport": np.nan}, r"^transport: got nan"),
        ({"tikhonov": -1.0}, r"^tikhonov: got -1"),
        ({"smoothness": "much"}, r"^smoothness: got "),
        (
            {"trace": "hutchinson"},
            r"^trace: got 'hutchinson', wanted .*exact.*rademacher.*gaussian",
        ),
        ({"noise_seed": -1}, r"^noise_seed: got -1"),
        ({"noise_seed": 0.5}, r"^noise_seed: got 0\.5"),
    ],
)
def test_settings(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        refode.ContinuousNormalizingFlow(ODE, **options)


def test_the_ode():
    with pytest.raises(TypeError, match=r"^ode: got "):
        refode.ContinuousNormalizingFlow(ODE.field)
    verlet = refode.NeuralODE(fields.Hamiltonian(4), "verlet", 3)
    with pytest.raises(ValueError, match=r"^ode: got scheme 'verlet', wanted a Runge-Kutta"):
        refode.ContinuousNormalizingFlow(verlet)


@grouped
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: FLOW.sample(THETA, 0), r"^n: got 0, wanted"),
        (lambda: FLOW.sample(THETA, 2.5), r"^n: got 2\.5"),
        (lambda: FLOW.sample(THETA, 3, seed=-1), r"^seed: got -1"),
        (lambda: FLOW.log_density(THETA, Y, n_steps=0), r"^n_steps: got 0"),
        (lambda: FLOW.inverse(THETA, Y, n_steps=1.5), r"^n_steps: got 1\.5"),
        (lambda: FLOW.generate(THETA, Y, n_steps=True), r"^n_steps: got True"),
        (
            lambda: FLOW.log_density(THETA, Y, t=1.01),
            r"^t: got 1\.01, wanted a time in \[0\.0, 1\.0\]",
        ),
        (lambda: FLOW.log_density(THETA, Y, t=np.nan), r"^t: got nan"),
        (lambda: FLOW.trajectory(THETA, Y, inverse=1), r"^inverse: got 1"),
        (lambda: FLOW.density_on_grid(THETA, Y[:, 0]), r"^axes: got 1, wanted 2"),
        (lambda: FLOW.density_on_grid(THETA, Y, Y[:, 0]), r"^axes: got "),
    ],
)
def test_calls(group, call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.parametrize(
    "name",
    ["log_density", "inverse", "transport_cost", "log_det_exact", "generate"],
    ids="AffineSpec-{}".format,
)
def test_a_path_that_blows_up_is_named(name):
    """z' = 5e4 z by a thousand RK4 steps of 0.1: every sample but the one at rest."""
    ode = refode.NeuralODE(fields.Affine(2), "rk4", 1000, (0.0, 100.0))
    flow = refode.ContinuousNormalizingFlow(ode)
    theta = flow.pack({"A": 5e4 * np.eye(2)[None], "c": np.zeros((1, 2))})
    y = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, -1.0], [2.0, 0.0]])
    first, how_many = (0, 4) if name == "log_det_exact" else (2, 2)
    message = f"got sample {first}, whose path leaves the finite range \\({how_many} of 4 do\\)"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no noise besides
        with pytest.raises(ValueError, match=message):
            getattr(flow, name)(theta, y)
        assert not np.isfinite(flow.value_and_gradient(theta, y)[0])


@grouped
def test_training_survives_a_step_too_far(group):
    """A value that is not finite ends the training with the best theta, and says so."""

    class Once:
        n_parameters = FLOW.n_parameters
        calls = 0

        def value_and_gradient(self, theta, y):
            self.calls += 1
            return FLOW.value_and_gradient(theta if self.calls < 4 else 1e200 * theta, y)

    result = refode.train(Once(), Y, theta0=THETA, progress=False)
    assert result.status == refode.training.NON_FINITE
    assert np.isfinite(result.fun)
    assert "best theta" in result.message
