"""Supervised problems on the device: losses, readouts, data that stay, training."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances
from common import MODES, close, laid_out
from numba import cuda

import refode
from refode import bases, fields, reference
from refode.ode.placement import Resident
from refode.reference import kernels

# loss, m, readout, augment, scheme, basis, N, time: every tile of 4 is cut short somewhere
CASES = [
    ("regression", 1, True, 0, "euler", bases.PiecewiseConstant(2), 1, False),
    ("regression", 3, False, 1, "heun", bases.PiecewiseLinear(3), 9, True),
    ("regression", 2, True, 2, "rk4", bases.Legendre(2), 6, True),
    ("logistic", 1, True, 1, "euler", bases.BSpline(4), 14, True),
    ("logistic", 1, True, 0, "dopri5", bases.PiecewiseLinear(2), 3, True),
    ("softmax", 2, True, 1, "euler", bases.Constant(), 13, False),
    ("softmax", 3, False, 0, "heun", bases.BSpline(4), 7, True),
    ("softmax", 4, True, 0, "rk4", bases.PiecewiseLinear(2), 5, False),
]
IDS = [f"{c[0]}-{c[4]}-{type(c[5]).__name__}-{c[6]}" for c in CASES]


def drawn(loss, m, readout, augment, scheme, basis, n, time, **how):
    """The problem on the CPU and on the device, both regularisers in, theta, x and y."""
    ode = refode.NeuralODE(fields.Shallow(3, 4, time=time), scheme, 2, (0.3, -0.9), basis)
    rest = (loss, m, augment, readout, 0.1, 0.2)
    here, there = refode.Supervised(ode, *rest), refode.Supervised(ode, *rest, "cuda", **how)
    rng = np.random.default_rng(n)
    theta = 0.7 * rng.standard_normal(here.n_parameters)
    x = rng.standard_normal((n, here.n_inputs))
    if loss == "regression":
        return here, there, theta, x, rng.standard_normal((n, here.n_outputs))
    return here, there, theta, x, rng.integers(2 if loss == "logistic" else m, size=n)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_parity(case, mode):
    here, there, theta, x, y = drawn(*case)
    with laid_out(mode):
        close(there.value_and_gradient(theta, x, y), here.value_and_gradient(theta, x, y))
        close(there.value(theta, x, y), here.value(theta, x, y))
        close(there.predict(theta, x), here.predict(theta, x))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", [CASES[1], CASES[3], CASES[6]], ids=lambda c: c[0])
def test_float32(case, mode):
    here, there, theta, x, y = drawn(*case, dtype="float32")
    exact = here.value_and_gradient(theta, x, y)
    with laid_out(mode):
        value, gradient = there.value_and_gradient(theta, x, y)
    close((value, gradient), exact, tolerances.CUDA_FLOAT32)
    assert gradient.dtype == np.float64
    assert np.abs(gradient - exact[1]).max() > tolerances.CUDA * np.abs(exact[1]).max()


def golden():
    """Supervised cases whose field and scheme the device has."""
    names = []
    for name in reference.names():
        document = reference.case(name)
        kind = document["field"]["type"]
        if document["problem"]["type"] == "supervised" and kind in ("Shallow", "MLP", "Potential"):
            names.append(name)
    return names


@pytest.mark.parametrize("name", golden())
def test_proven_digits(name):
    document = reference.case(name)
    given, proven = (reference.arrays(document, part) for part in ("inputs", "results"))
    p = document["problem"]
    how = {k: p[k] for k in ("loss", "n_outputs", "augment", "readout")}
    terms = {k: float(p[k]) for k in ("tikhonov", "smoothness")}
    problem = refode.Supervised(kernels.ode_of(document), **how, **terms, device="cuda")
    y = given["y"] if p["loss"] == "regression" else given["y"].astype(np.int64)

    def packed(arrays, prefix):
        return problem.pack({b: arrays[f"{prefix}/{b}"] for b in problem.layout.shapes})

    wanted = proven["total"], packed(proven, "gradient")
    with laid_out():
        close(problem.value_and_gradient(packed(given, "theta"), given["x"], y), wanted)


def test_golden_cases_are_there():
    assert len(golden()) >= 12


def test_far_from_the_boundary():
    """Logits of thousands: no overflow, no cancellation."""
    for case in (CASES[3], CASES[7]):
        here, there, theta, x, y = drawn(*case)
        theta[-2 * here.n_outputs :] *= 1e4
        with laid_out():
            close(there.value_and_gradient(theta, x, y), here.value_and_gradient(theta, x, y))


@pytest.mark.parametrize("case", [CASES[1], CASES[6]], ids=lambda c: c[0])
def test_data_that_stay(case):
    """Sent once; what is on the device already is taken as it is."""
    here, there, theta, x, y = drawn(*case)
    wanted = here.value_and_gradient(theta, x, y)
    with laid_out():
        data = there.to_device(x, y)
        assert all(isinstance(a, Resident) for a in data)
        close(there.value_and_gradient(theta, *data), wanted)
        close(there.value(theta, *data), wanted[0])
        close(there.predict(theta, data[0]), here.predict(theta, x))
        foreign = cuda.to_device(x), cuda.to_device(y)
        assert [a.there is b for a, b in zip(there.to_device(*foreign), foreign, strict=True)]
        close(there.value_and_gradient(theta, *foreign), wanted)
        v = np.ones_like(theta)
        assert np.array_equal(
            there.hessian_vector(theta, v, *data), here.hessian_vector(theta, v, x, y)
        )


def test_training(monkeypatch):
    """Data are sent once; the same steps as on the CPU."""
    here, there, theta, x, y = drawn(*CASES[4])
    sent = []
    send = refode.ode.placement.send
    for module in (refode.problems.supervised, refode.ode.placement):
        monkeypatch.setattr(module, "send", lambda *a: sent.append(a) or send(*a))
    with laid_out():
        got = refode.training.train(there, x, y, theta0=theta, max_iter=3)
    wanted = refode.training.train(here, x, y, theta0=theta, max_iter=3)
    close((got.fun, got.x), (wanted.fun, wanted.x), tolerances.CUDA_TRAINED)
    assert got.nit == wanted.nit == 3
    assert len(sent) == 2


@pytest.mark.parametrize("case", [CASES[2], CASES[5]], ids=lambda c: c[0])
def test_standardized(case):
    """Raw data are scaled before they are sent; only what this problem sent is taken as scaled."""
    here, there, theta, x, y = drawn(*case)
    x = 300.0 + [1e4, *[1e-2] * (here.n_inputs - 1)] * x
    y = 150.0 + 20.0 * y if case[0] == "regression" else y
    scaled, scaled_there = here.standardized(x, y), there.standardized(x, y)
    with laid_out():
        wanted = scaled.value_and_gradient(theta, x, y)
        close(scaled_there.value_and_gradient(theta, x, y), wanted)
        data = scaled_there.to_device(x, y)
        close(scaled_there.value_and_gradient(theta, *data), wanted)
        close(scaled_there.predict(theta, data[0]), scaled.predict(theta, x))
        close(scaled_there.features(theta, data[0]), scaled.features(theta, x))
        if case[0] == "regression":
            close(scaled_there.residuals(theta, *data), scaled.residuals(theta, x, y))
            close(scaled_there.score(theta, *data), scaled.score(theta, x, y))
        result = refode.train(scaled_there, x, y, theta0=theta, max_iter=2, progress=False)
        close(result.x, refode.train(scaled, x, y, theta0=theta, max_iter=2, progress=False).x)
        for problem, given in (
            (there, data),
            (scaled_there, there.to_device(x, y)),
            (scaled_there, (cuda.to_device(x), y)),
            (there.standardized(2.0 * x, y), data),
        ):
            with pytest.raises(ValueError, match="^x: got an array on a device with .* to_device"):
                problem.value(theta, *given)
