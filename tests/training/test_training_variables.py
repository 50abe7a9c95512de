"""The factor of the inverse Hessian in product form, and the variables that it makes."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances as tol
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LbfgsInvHessProduct
from training_problems import bfgs

from refode.training.variables import Preconditioned, ProductForm, Unscaled, curved


def pairs_of(seed, count, p=8, decades=2.0):
    """Steps in all directions and the changes of a quadratic's gradient, and its Hessian."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((p, p)))[0]
    A = Q * np.logspace(0, -decades, p) @ Q.T
    return [(s, A @ s) for s in rng.standard_normal((count, p))], A


def dense(factor, p=8):
    return np.array([factor.times(e) for e in np.eye(p)]).T


@given(seed=st.integers(0, 999), count=st.integers(1, 25))
@settings(max_examples=40, deadline=None)
def test_the_factor_s_square_is_the_inverse_hessian_of_bfgs(seed, count):
    pairs, _ = pairs_of(seed, count)
    S, H = dense(ProductForm(pairs)), bfgs(pairs)
    assert np.abs(S @ S.T - H).max() <= tol.TRAINING_FACTOR * np.abs(H).max()
    s, y = (np.array(part) for part in zip(*pairs, strict=True))
    root = np.sqrt((s[-1] @ y[-1]) / (y[-1] @ y[-1]))  # SciPy's has the identity inside
    scipy_s = root**2 * LbfgsInvHessProduct(s / root, y * root).todense()
    assert np.abs(S @ S.T - scipy_s).max() <= tol.TRAINING_FACTOR * np.abs(H).max()


def test_transposed_is_the_transpose():
    for count in (1, 3, 20):
        factor = ProductForm(pairs_of(count, count)[0])
        transposed = np.array([factor.transposed(e) for e in np.eye(8)])
        S = dense(factor)
        assert np.abs(S - transposed).max() <= tol.TRAINING_FACTOR * np.abs(S).max()


def test_a_pair_that_tells_nothing_new_changes_nothing():
    """With the minus sign in (D53); the plus sign would reflect the direction."""
    gamma, (s, t) = 0.7, np.random.default_rng(0).standard_normal((2, 8))
    factor = ProductForm([(s, s / gamma), (t, t / gamma)])
    assert np.abs(dense(factor) - np.sqrt(gamma) * np.eye(8)).max() <= tol.TRAINING_FACTOR
    pairs, _ = pairs_of(1, 12)
    assert np.linalg.det(dense(ProductForm(pairs))) > 0


def test_the_hessian_is_the_identity_in_directions_that_were_gone():
    """H y = s for the newest pair; conjugate steps are all kept."""
    pairs, A = pairs_of(3, 20)
    S = dense(ProductForm(pairs))
    s, y = pairs[-1]
    assert np.abs(S @ (S.T @ y) - s).max() <= tol.TRAINING_FACTOR * np.abs(s).max()
    vectors = np.linalg.eigh(A)[1].T
    S = dense(ProductForm([(v, A @ v) for v in vectors]))
    assert np.abs(S.T @ A @ S - np.eye(8)).max() <= tol.TRAINING_FACTOR * 100


def test_pairs_at_the_end_of_the_numbers_are_left_out():
    rng = np.random.default_rng(0)
    left_out = 0
    for _ in range(2000):
        pairs = [
            tuple(rng.standard_normal((2, 4)) * 10 ** rng.uniform(-8, 8, (2, 4))) for _ in range(8)
        ]
        pairs = [pair for pair in pairs if curved(*pair)]
        if pairs:
            factor = ProductForm(pairs)
            assert np.isfinite(factor.times(np.ones(4))).all()
            left_out += not factor.w.any(axis=1).all()
    assert left_out > 0


def test_the_first_step_of_length_one_is_the_quasi_newton_step():
    pairs, _ = pairs_of(2, 6)
    origin, gradient = np.random.default_rng(1).standard_normal((2, 8))
    variables = Preconditioned.at(origin, gradient, ProductForm(pairs))
    by_xi = variables.pull_back(gradient)
    step = variables.theta(-by_xi / np.linalg.norm(by_xi)) - origin
    newton = -bfgs(pairs) @ gradient
    assert np.abs(step - newton).max() <= tol.TRAINING_FACTOR * np.abs(newton).max()
    assert variables.theta(variables.start).tobytes() == origin.tobytes()
    with np.errstate(all="raise"):  # at a minimum there is nothing to scale by
        still = Preconditioned.at(origin, np.zeros(8), ProductForm(pairs))
        assert still.theta(still.start).tobytes() == origin.tobytes()


def test_gradients_by_xi_are_those_of_the_function_of_xi():
    pairs, A = pairs_of(4, 9)
    origin = np.arange(8.0)
    variables = Preconditioned.at(origin, A @ origin, ProductForm(pairs))
    xi, direction = np.random.default_rng(5).standard_normal((2, 8))

    def value(xi):
        theta = variables.theta(xi)
        return 0.5 * theta @ A @ theta

    slope = (value(xi + direction) - value(xi - direction)) / 2  # exact for a quadratic
    theta = variables.theta(xi)
    assert variables.pull_back(A @ theta) @ direction == pytest.approx(
        slope, rel=tol.TRAINING_FACTOR
    )
    unscaled = Unscaled(origin)
    assert unscaled.theta(xi) is xi
    assert unscaled.pull_back(xi) is xi


def test_curved_is_scipy_s_rule():
    s = np.array([1.0, 0.0])
    assert curved(s, np.array([1e-3, 0.0]))
    assert not curved(s, np.array([-1e-3, 0.0]))
    assert not curved(s, np.array([1e-17, 1.0]))
    assert curved(s, np.array([1e-15, 1.0]))
