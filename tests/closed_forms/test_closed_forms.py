"""Transport between Gaussians, against the textbook's formulas and against perturbations."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import (
    CLOSED_FORM,
    CLOSED_FORM_CLOSE,
    CLOSED_FORM_LIMIT,
    CLOSED_FORM_STATIONARY,
    CLOSED_FORM_STEP,
    CLOSED_FORM_TEXTBOOK,
)

from refode.closed_forms import bures_distance2, bures_map, relaxed_transport
from refode.densities import Empirical, Gaussian

SEED = st.integers(0, 2**32)
DIM = st.integers(1, 6)
WEIGHT = st.sampled_from([0.1, 1.0, 2.0, 5.0])


def gaussian(rng: np.random.Generator, d: int) -> Gaussian:
    b = rng.standard_normal((d, d))
    return Gaussian(rng.standard_normal(d), b @ b.T / d + 0.1 * np.eye(d))


def pair(d: int, seed: int) -> tuple[Gaussian, Gaussian]:
    rng = np.random.default_rng(seed)
    return gaussian(rng, d), gaussian(rng, d)


def root(s: np.ndarray) -> np.ndarray:
    """The symmetric square root."""
    values, vectors = np.linalg.eigh(s)
    return (vectors * np.sqrt(values)) @ vectors.T


def textbook_map(s0: np.ndarray, s1: np.ndarray) -> np.ndarray:
    h = root(s0)
    return np.linalg.inv(h) @ root(h @ s1 @ h) @ np.linalg.inv(h)


def textbook_distance2(m0: np.ndarray, s0: np.ndarray, m1: np.ndarray, s1: np.ndarray) -> float:
    h = root(s0)
    return np.sum((m0 - m1) ** 2) + np.trace(s0 + s1 - 2 * root(h @ s1 @ h))


def close(got: np.ndarray | float, want: np.ndarray | float, tolerance: float) -> None:
    """To `tolerance` of the largest entry."""
    assert np.shape(got) == np.shape(want)
    assert np.abs(np.asarray(got) - want).max() <= tolerance * np.abs(want).max()


# --- the map and the distance ------------------------------------------------------------


@given(d=DIM, seed=SEED)
@settings(deadline=None)
def test_the_map_is_symmetric_positive_definite_and_carries_one_to_the_other(d, seed):
    p, q = pair(d, seed)
    a = bures_map(p, q)
    assert a.shape == (d, d)
    assert np.array_equal(a, a.T)
    assert np.linalg.eigvalsh(a)[0] > 0
    close(a @ p.covariance @ a, q.covariance, CLOSED_FORM)
    close(a, textbook_map(p.covariance, q.covariance), CLOSED_FORM_TEXTBOOK)
    close(bures_map(q, p) @ a, np.eye(d), CLOSED_FORM_TEXTBOOK)
    close(bures_map(p, p), np.eye(d), CLOSED_FORM)


@given(d=DIM, seed=SEED)
@settings(deadline=None)
def test_the_distance_is_what_the_map_costs(d, seed):
    p, q = pair(d, seed)
    w2 = bures_distance2(p, q)
    assert type(w2) is float
    step = bures_map(p, q) - np.eye(d)  # E |T(x) - x|^2
    cost = np.sum((q.mean - p.mean) ** 2) + np.trace(step @ p.covariance @ step)
    close(w2, cost, CLOSED_FORM)
    textbook = textbook_distance2(p.mean, p.covariance, q.mean, q.covariance)
    close(w2, textbook, CLOSED_FORM_TEXTBOOK)
    close(w2, bures_distance2(q, p), CLOSED_FORM)
    assert 0.0 <= bures_distance2(p, p) < CLOSED_FORM**2


@given(d=DIM, seed=SEED, exponent=st.integers(2, 7))
@settings(deadline=None)
def test_small_distances_do_not_cancel(d, seed, exponent):
    """Against sqrt(S1) = (1 + e) sqrt(S0): W2^2 = e^2 tr S0, below the rounding of tr S0."""
    p, e = pair(d, seed)[0], 10.0**-exponent
    q = Gaussian(p.mean, (1 + e) ** 2 * p.covariance)
    close(bures_distance2(p, q), e**2 * np.trace(p.covariance), CLOSED_FORM_CLOSE / e)


def test_one_dimension():
    p, q = Gaussian([1.0], 4.0), Gaussian([-2.0], 9.0)
    close(bures_map(p, q), np.array([[1.5]]), CLOSED_FORM)
    close(bures_distance2(p, q), 10.0, CLOSED_FORM)


@pytest.mark.parametrize("condition", [1e6, 1e10])
def test_ill_conditioned_covariances(condition):
    rng = np.random.default_rng(5)
    pq = []
    for _ in range(2):
        axes = np.linalg.qr(rng.standard_normal((8, 8)))[0]
        s = (axes * np.geomspace(1, condition, 8)) @ axes.T
        pq.append(Gaussian(np.zeros(8), (s + s.T) / 2))
    a = bures_map(*pq)
    close(a @ pq[0].covariance @ a, pq[1].covariance, CLOSED_FORM * 10)
    assert np.linalg.eigvalsh(a)[0] > 0


# --- relaxed transport -------------------------------------------------------------------


def objective(
    p: Gaussian, q: Gaussian, alpha: float, beta: float, m: np.ndarray, s: np.ndarray
) -> float:
    """alpha/2 W2^2(p, N(m, s)) + beta KL(N(m, s) || q), by the textbook."""
    precision = np.linalg.inv(q.covariance)
    ratio = np.linalg.slogdet(q.covariance)[1] - np.linalg.slogdet(s)[1]
    square = (m - q.mean) @ precision @ (m - q.mean)
    kl = (square + np.trace(precision @ s) - len(m) + ratio) / 2
    return alpha / 2 * textbook_distance2(p.mean, p.covariance, m, s) + beta * kl


@given(d=DIM, seed=SEED, alpha=WEIGHT, beta=WEIGHT)
@settings(deadline=None)
def test_no_other_mean_or_covariance_is_better(d, seed, alpha, beta):
    p, q = pair(d, seed)
    best = relaxed_transport(p, q, alpha, beta)
    rng = np.random.default_rng(seed)
    least = objective(p, q, alpha, beta, best.mean, best.covariance)
    scale = alpha + beta * (1 + np.linalg.norm(np.linalg.inv(q.covariance)))
    h = CLOSED_FORM_STEP
    for moves_mean, moves_covariance in [(1, 0), (0, 1), (1, 1)]:
        direction, k = rng.standard_normal(d), rng.standard_normal((d, d))
        direction *= moves_mean / np.linalg.norm(direction)
        k = moves_covariance * (k + k.T) / np.linalg.norm(k + k.T)
        turn = best.cholesky @ k @ best.cholesky.T
        up, down = (
            objective(p, q, alpha, beta, best.mean + e * direction, best.covariance + e * turn)
            for e in (h, -h)
        )
        size = np.linalg.norm(direction) + np.linalg.norm(turn)
        assert up > least
        assert down > least
        assert abs(up - down) / (2 * h) < CLOSED_FORM_STATIONARY * scale * size


@given(seed=SEED, alpha=WEIGHT, beta=WEIGHT)
@settings(deadline=None)
def test_relaxed_in_one_dimension(seed, alpha, beta):
    """alpha (s - s0) + beta (s/s*^2 - 1/s) = 0, a quadratic equation of the deviation s."""
    p, q = pair(1, seed)
    s0, v = np.sqrt(p.covariance[0, 0]), q.covariance[0, 0]
    a, b, c = alpha + beta / v, -alpha * s0, -beta
    s = (-b + np.sqrt(b * b - 4 * a * c)) / (2 * a)
    got = relaxed_transport(p, q, alpha, beta)
    close(got.covariance, np.array([[s**2]]), CLOSED_FORM)
    mean = (alpha * p.mean + beta * q.mean / v) / a
    assert np.abs(got.mean - mean).max() < CLOSED_FORM * (1 + np.abs(p.mean) + np.abs(q.mean)).max()


@given(d=DIM, seed=SEED)
@settings(deadline=None)
def test_limits_of_relaxed_transport(d, seed):
    p, q = pair(d, seed)
    for alpha, beta, limit, tolerance in [
        (0.0, 3.0, q, CLOSED_FORM),
        (1e-8, 1.0, q, CLOSED_FORM_LIMIT),
        (3.0, 0.0, p, CLOSED_FORM),
        (1.0, 1e-8, p, CLOSED_FORM_LIMIT),
    ]:
        got = relaxed_transport(p, q, alpha, beta)
        assert isinstance(got, Gaussian)
        close(got.covariance, limit.covariance, tolerance)
        size = 1 + np.abs(p.mean).max() + np.abs(q.mean).max()
        assert np.abs(got.mean - limit.mean).max() < tolerance * size


@given(d=DIM, seed=SEED, alpha=WEIGHT, beta=WEIGHT)
@settings(deadline=None)
def test_only_the_ratio_of_the_weights_matters(d, seed, alpha, beta):
    p, q = pair(d, seed)
    once = relaxed_transport(p, q, alpha, beta)
    for factor in (3.0, 1e307, 1e-307):
        again = relaxed_transport(p, q, alpha * factor, beta * factor)
        close(again.covariance, once.covariance, CLOSED_FORM)
        close(again.mean, once.mean, CLOSED_FORM)


# --- bad input ---------------------------------------------------------------------------

P, Q = Gaussian([0.0, 0.0], 1.0), Gaussian([1.0, 0.0], 2.0)


@pytest.mark.parametrize(
    "function",
    [
        bures_map,
        bures_distance2,
        lambda p, q: relaxed_transport(p, q, 1.0, 1.0),
    ],
    ids=["map", "distance2", "relaxed"],
)
def test_bad_densities(function):
    with pytest.raises(ValueError, match="^target: got dimension 1, wanted 2 as of source"):
        function(P, Gaussian([0.0], 1.0))
    for other in (Empirical(np.zeros((3, 2))), np.eye(2), None):
        with pytest.raises(TypeError, match="^source: got .*, wanted an instance of Gaussian"):
            function(other, Q)
        with pytest.raises(TypeError, match="^target: got .*, wanted an instance of Gaussian"):
            function(P, other)


@pytest.mark.parametrize(
    ("alpha", "beta", "error", "message"),
    [
        (-1.0, 1.0, ValueError, "alpha: got -1.0"),
        (1.0, -1.0, ValueError, "beta: got -1.0"),
        (np.nan, 1.0, ValueError, "alpha: got nan"),
        (1.0, np.inf, ValueError, "beta: got inf"),
        ("1", 1.0, TypeError, "alpha: got '1'"),
        (1.0, None, TypeError, "beta: got None"),
        (0.0, 0.0, ValueError, "alpha, beta: got 0.0, 0.0, wanted at least one of them positive"),
    ],
)
def test_bad_weights(alpha, beta, error, message):
    with pytest.raises(error, match="^" + re.escape(message)):
        relaxed_transport(P, Q, alpha, beta)
