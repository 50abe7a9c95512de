"""Continuous normalizing flows on the device."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances
from common import MODES, close, laid_out

import refode
from refode import bases, fields, reference
from refode.reference import kernels

FIELDS = {
    "shallow": lambda: fields.Shallow(2, 4, time=True),
    "mlp": lambda: fields.MLP(2, (3, 4), ("tanh", "softplus"), time=True),
    "potential": lambda: fields.Potential(2, 3),
}


def drawn(field, n=5, trace="exact", scheme="rk4", **how):
    ode = refode.NeuralODE(field, scheme, 2, (0.0, 1.0), bases.PiecewiseLinear(2))
    rest = (0.3, 0.1, 0.2, trace)
    here = refode.ContinuousNormalizingFlow(ode, *rest)
    there = refode.ContinuousNormalizingFlow(ode, *rest, device="cuda", **how)
    rng = np.random.default_rng(n)
    return here, there, 0.5 * rng.standard_normal(here.n_parameters), rng.standard_normal((n, 2))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FIELDS)
def test_parity(name, mode):
    here, there, theta, y = drawn(FIELDS[name]())
    with laid_out(mode):
        close(there.value_and_gradient(theta, y), here.value_and_gradient(theta, y))
        close(there.value(theta, y), here.value(theta, y))
        close(there.log_density(theta, y), here.log_density(theta, y))
        close(there.inverse(theta, y), here.inverse(theta, y))
        close(there.generate(theta, y), here.generate(theta, y))
        close(there.transport_cost(theta, y), here.transport_cost(theta, y))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("trace", ["rademacher", "gaussian"])
@pytest.mark.parametrize("name", ["shallow", "mlp"])
def test_hutchinson(name, trace, mode):
    here, there, theta, y = drawn(FIELDS[name](), trace=trace)
    with laid_out(mode):
        close(there.value_and_gradient(theta, y), here.value_and_gradient(theta, y))
        close(there.value(theta, y), here.value(theta, y))


def test_float32():
    here, there, theta, y = drawn(FIELDS["shallow"](), dtype="float32")
    exact = here.value_and_gradient(theta, y)
    with laid_out():
        got = there.value_and_gradient(theta, y)
    close(got, exact, tolerances.CUDA_FLOAT32)
    assert np.abs(got[1] - exact[1]).max() > tolerances.CUDA * np.abs(exact[1]).max()


@pytest.mark.parametrize("n", [1, 8])
def test_data_that_stay(n):
    here, there, theta, y = drawn(FIELDS["shallow"](), n)
    with laid_out():
        data = there.to_device(y)
        close(there.value_and_gradient(theta, data), here.value_and_gradient(theta, y))
        close(there.log_density(theta, data), here.log_density(theta, y))
        with laid_out(slice=3):
            close(there.value_and_gradient(theta, data), here.value_and_gradient(theta, y))


def golden():
    """Flows with an exact trace whose field the device has."""
    found = []
    for name in reference.names():
        document = reference.case(name)
        p, kind = document["problem"], document["field"]["type"]
        if p["type"] == "flow" and kind in FIELDS_OF_DEVICE and "noise" not in document["inputs"]:
            found.append(name)
    return found


FIELDS_OF_DEVICE = ("Shallow", "MLP", "Potential")


@pytest.mark.parametrize("name", golden())
def test_proven_digits(name):
    document = reference.case(name)
    given, proven = (reference.arrays(document, part) for part in ("inputs", "results"))
    p = document["problem"]
    terms = {k: float(p[k]) for k in ("transport", "tikhonov", "smoothness")}
    problem = refode.ContinuousNormalizingFlow(kernels.ode_of(document), **terms, device="cuda")

    def packed(arrays, prefix):
        return problem.pack({b: arrays[f"{prefix}/{b}"] for b in problem.layout.shapes})

    with laid_out():
        got = problem.value_and_gradient(packed(given, "theta"), given["x"])
    close(got, (proven["total"], packed(proven, "gradient")))


def test_golden_cases_are_there():
    assert len(golden()) >= 8


def test_standardized():
    here, there, theta, y = drawn(FIELDS["shallow"]())
    y = [300.0, -0.1] + [1e4, 1e-2] * y
    here, plain, there = here.standardized(y), there, there.standardized(y)
    with laid_out():
        data = there.to_device(y)
        close(there.value_and_gradient(theta, y), here.value_and_gradient(theta, y))
        close(there.value_and_gradient(theta, data), here.value_and_gradient(theta, y))
        close(there.log_density(theta, data), here.log_density(theta, y))
        close(there.inverse(theta, data), here.inverse(theta, y))
        close(there.sample(theta, 3), here.sample(theta, 3))
        for flow, given in ((plain, data), (there, plain.to_device(y))):
            with pytest.raises(ValueError, match="^y: got an array on a device with .* to_device"):
                flow.value(theta, given)
