"""Flows against closed forms: Gaussians, RK4's own determinant, transport, the monotone map."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances as tol
from scipy.linalg import expm
from scipy.stats import norm

import refode
from refode import bases, closed_forms, densities, fields, verify


def matched(mean, covariance, n, seed=0):
    """n points whose mean and covariance are these exactly."""
    x = np.random.default_rng(seed).standard_normal((n, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / n)).T
    return mean + x @ np.linalg.cholesky(covariance).T


def affine_flow(n_steps, scheme="rk4", **options):
    ode = refode.NeuralODE(fields.Affine(2), scheme=scheme, n_steps=n_steps)
    return refode.ContinuousNormalizingFlow(ode, **options)


A = np.array([[0.9, -0.4], [0.3, 0.7]])


@pytest.mark.nojit
@pytest.mark.parametrize("n", [1, 3, 8], ids="AffineSpec-{}".format)
def test_determinant_of_the_rk4_map(n):
    """det R(-hA)^n for the way back, and the trace's quadrature exactly -tr A, (D45)."""
    flow, y = affine_flow(n), np.random.default_rng(0).standard_normal((4, 2))
    theta = flow.pack({"A": A[None], "c": np.ones((1, 2))})
    H, term = -A / n, np.eye(2)
    R = np.eye(2)
    for j in range(1, 5):
        term = term @ H / j
        R = R + term
    want = n * np.log(abs(np.linalg.det(R)))
    assert np.abs(flow.log_det_exact(theta, y) - want).max() <= tol.CLOSED_FORM_ROUNDING
    assert np.abs(flow.inverse(theta, y)[1] + np.trace(A)).max() <= tol.CLOSED_FORM_ROUNDING
    assert abs(want + np.trace(A)) > 1e-9 / n  # the two are not the same number


@pytest.mark.parametrize("scheme", ["rk4", "heun"], ids="AffineSpec-{}".format)
def test_gap_of_the_quadrature_and_density_converge(scheme):
    flow, y = affine_flow(1, scheme), np.random.default_rng(1).standard_normal((6, 2))
    c = np.array([0.3, -0.5])
    theta = flow.pack({"A": A[None], "c": c[None]})
    whole = expm(np.block([[A, c[:, None]], [np.zeros((1, 3))]]))
    truth = densities.Gaussian(whole[:2, 2], whole[:2, :2] @ whole[:2, :2].T).log_density(y)
    order, steps = {"rk4": 4, "heun": 2}[scheme], np.array([16, 32, 64, 128])
    gaps = [np.abs(flow.log_det_exact(theta, y, n) + np.trace(A)).max() for n in steps]
    errors = [np.abs(flow.log_density(theta, y, n) - truth).max() for n in steps]
    for found in (gaps, errors):
        report = verify.observed_order(
            found, 1.0 / steps, expected=order, tolerance=tol.OBSERVED_ORDER
        )
        assert report, report


@pytest.mark.parametrize("alpha", [0.3, 2.0], ids="AffineSpec-{}".format)
def test_gaussian_data_reach_the_relaxed_transport_optimum(alpha):
    """(D50): objective, the law of F^{-1}(y), and Bures' map between the two Gaussians."""
    source = densities.Gaussian([1.0, -0.5], [[1.5, 0.6], [0.6, 0.5]])
    standard = densities.Gaussian(np.zeros(2), np.eye(2))
    y = matched(source.mean, source.covariance, 64)
    ode = refode.NeuralODE(fields.Affine(2), "rk4", n_steps=8, basis=bases.Legendre(5))
    flow = refode.ContinuousNormalizingFlow(ode, transport=alpha)
    result = refode.train(
        flow, y, theta0=np.zeros(flow.n_parameters), max_iter=400, progress=False, tolerance=1e-9
    )
    end = closed_forms.relaxed_transport(source, standard, alpha, 1.0)
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * source.covariance)[1]
    S, m = end.covariance, end.mean
    divergence = 0.5 * (np.trace(S) + m @ m - 2 - np.linalg.slogdet(S)[1])
    optimum = entropy + alpha / 2 * closed_forms.bures_distance2(source, end) + divergence
    assert abs(result.fun - optimum) <= tol.CLOSED_FORM_NATS
    assert result.fun >= optimum - tol.CLOSED_FORM_QUADRATURE
    w = flow.inverse(result.x, y, n_steps=32)[0]
    assert np.abs(w.mean(axis=0) - m).max() <= tol.CLOSED_FORM_MOMENTS
    assert np.abs(np.cov(w.T, bias=True) - S).max() <= tol.CLOSED_FORM_MOMENTS
    bures = m + (y - source.mean) @ closed_forms.bures_map(source, end).T
    assert np.abs(w - bures).max() <= tol.CLOSED_FORM_MAP
    assert np.abs(w - y).max() > 10 * tol.CLOSED_FORM_MAP  # it does move
    path = flow.trajectory(result.x, y, n_steps=32, inverse=True)
    straight = path[0] + np.linspace(0, 1, 33)[:, None, None] * (path[-1] - path[0])
    assert np.abs(path - straight).max() <= tol.CLOSED_FORM_MAP


@pytest.mark.parametrize("k", [24], ids="ShallowSpec-{}".format)
def test_one_dimension_is_the_monotone_map(k):
    """A flow of the line is increasing: at the right density it is the quantiles' map."""
    weights, means, widths = np.array([0.4, 0.6]), np.array([-1.5, 1.0]), np.array([0.5, 0.7])

    def cdf(y):
        return (weights * norm.cdf((y[:, None] - means) / widths)).sum(axis=1)

    grid = np.linspace(-6, 6, 20001)
    y = np.interp((np.arange(1000) + 0.5) / 1000, cdf(grid), grid)[:, None]  # quantiles as data
    ode = refode.NeuralODE(fields.Shallow(1, k, time=True), "rk4", n_steps=8)
    flow = refode.ContinuousNormalizingFlow(ode)
    result = refode.train(flow, y, max_iter=300, progress=False)
    inner = y[25:-25]
    found = flow.inverse(result.x, inner)[0][:, 0]
    assert np.all(np.diff(found) > 0)
    assert np.abs(found - norm.ppf(cdf(inner[:, 0]))).max() <= tol.CLOSED_FORM_MONOTONE
    truth = np.log((weights * norm.pdf((inner - means) / widths) / widths).sum(axis=1))
    error = np.abs(flow.log_density(result.x, inner) - truth)
    assert error.mean() <= tol.CLOSED_FORM_MONOTONE
