"""The survey's slips about flows (docs/errata.md): the corrected form holds, the printed one fails.

On f(z) = A z + c, whose flow is expm: the truth is a Gaussian's density, which knows nothing of
traces or of the sign of an integral.
"""

from __future__ import annotations

import numpy as np
import pytest
import tolerances as tol
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.stats import multivariate_normal

import refode

D = 3
FLOW = refode.ContinuousNormalizingFlow(
    refode.NeuralODE(refode.fields.Affine(D), scheme="fehlberg8", n_steps=40)
)
grouped = pytest.mark.parametrize("group", ["x"], ids=["AffineSpec-errata"])


def affine(seed):
    """A and c, theta, points y, and the Gaussian that F makes of the standard normal."""
    rng = np.random.default_rng(seed)
    A, c = 0.5 * rng.standard_normal((D, D)), rng.standard_normal(D)
    whole = expm(np.block([[A, c[:, None]], [np.zeros((1, D + 1))]]))
    E, shift = whole[:D, :D], whole[:D, D]
    theta = FLOW.pack({"A": A[None], "c": c[None]})
    return A, theta, rng.standard_normal((5, D)) + shift, multivariate_normal(shift, E @ E.T)


@grouped
@given(seed=st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_sign_of_13_and_14(group, seed):
    """log det grad F^{-1} = -tr A; with the printed plus no density comes out right."""
    A, theta, y, truth = affine(seed)
    w, log_det = FLOW.inverse(theta, y)
    assert np.abs(log_det + np.trace(A)).max() <= tol.ERRATA_FLOW
    assert np.abs(FLOW.log_density(theta, y) - truth.logpdf(y)).max() <= tol.ERRATA_FLOW
    likelihood = -truth.logpdf(y).mean()
    assert abs(FLOW.value(theta, y) - likelihood) <= tol.ERRATA_FLOW
    printed = (0.5 * (w**2).sum(axis=1)).mean() + D / 2 * np.log(2 * np.pi) - np.trace(A)
    assert abs(printed - likelihood) == pytest.approx(2 * abs(np.trace(A)), abs=tol.ERRATA_FLOW)


def test_bars_of_10():
    """F(x) = -x reverses the line: without the bars its density is negative."""
    y = np.linspace(-2.0, 2.0, 9)
    normal = np.exp(-(y**2) / 2) / np.sqrt(2 * np.pi)
    slope = -1.0  # of F^{-1}
    assert np.all(normal * slope < 0)
    assert np.allclose(normal * abs(slope), normal[::-1], rtol=1e-15)


@grouped
def test_15_and_16_differ_before_the_densities_meet(group):
    """f = a z, data N(0, s^2): int |f|^2/2 along data's paths and along samples' paths."""
    a, s = 0.7, 0.4
    A = a * np.eye(D)
    theta = FLOW.pack({"A": A[None], "c": np.zeros((1, D))})
    ends = s * np.array(list(np.ndindex(*(2,) * D))) * 2 - s  # second moment s^2, exactly
    along_data = FLOW.transport_cost(theta, ends).mean()
    want = D * a**2 * s**2 / 2 * (1 - np.exp(-2 * a)) / (2 * a)  # |z(t)| = s e^{a (t - 1)}
    assert along_data == pytest.approx(want, rel=1e-9)
    by_density = D * a**2 / 2 * (np.exp(2 * a) - 1) / (2 * a)  # |z(t)|^2 has the mean d e^{2 a t}
    assert abs(by_density - along_data) > 1.0
    met = np.exp(a) / s * ends  # data that have F's own second moment
    assert FLOW.transport_cost(theta, met).mean() == pytest.approx(by_density, rel=1e-9)
