"""Curves by a fitted field, as a regressor."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone  # noqa: E402

import refode  # noqa: E402
from refode.estimators import TrajectoryRegressor  # noqa: E402


def curves(n=40, seed=0):
    """Two damped rotations at times of their own, in shuffled rows."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(1.0, 7.0, (2, n)), axis=1)
    size = np.array([[1.0], [2.0]])
    y = np.stack([size * np.exp(-0.1 * t) * np.cos(2 * t), size * np.exp(-0.1 * t) * np.sin(2 * t)])
    X = np.stack([t.ravel(), np.repeat([3.0, 8.0], n)], axis=1)
    order = rng.permutation(2 * n)
    return X[order], y.reshape(2, -1).T[order] + 5.0


def test_it_fits_and_extrapolates():
    X, y = curves()
    early = X[:, 0] < 5.0
    model = TrajectoryRegressor("affine", n_steps=40).fit(X[early], y[early])
    assert model.score(X[early], y[early]) > 0.999
    assert model.score(X[~early], y[~early]) > 0.99
    assert model.predict(X).shape == y.shape
    assert isinstance(model.problem_, refode.TrajectoryFitting)
    again = clone(model).fit(X[early], y[early])
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_what_is_missing_and_weights():
    X, y = curves()
    holes = y.copy()
    holes[::3, 0] = np.nan
    holes[0] = 1e3
    weight = np.ones(len(X))
    weight[0] = 0.0
    kept = np.arange(len(X)) > 0
    model = TrajectoryRegressor("affine", n_steps=20).fit(X, holes, weight)
    other = TrajectoryRegressor("affine", n_steps=20).fit(X[kept], holes[kept])
    assert np.abs(model.predict(X) - y).max() < 0.1
    assert np.abs(other.predict(X[kept]) - y[kept]).max() < 0.1


def test_one_column_and_a_component_that_is_not_seen():
    t = np.linspace(0.0, 6.0, 40)[:, None]
    first = np.exp(-0.1 * t[:, 0]) * np.cos(0.8 * t[:, 0])
    model = TrajectoryRegressor("affine", augment=1, n_steps=40).fit(t, first)
    assert model.predict(t).shape == first.shape
    assert model.score(t, first) > 0.99
    model.set_params(warm_start=True).fit(t, first)
    assert model.score(t, first) > 0.99


def test_what_it_refuses():
    X, y = curves(6)
    model = TrajectoryRegressor("affine", max_iter=2, n_steps=4)
    for given, wanted, text in (
        (np.ones((12, 3)), y, "X: got 3 columns, wanted times"),
        (X, y[:-1], r"y: got an array of shape \(11, 2\), wanted \(12,\)"),
        (X, np.full_like(y, np.nan), "y: got a column of nothing but NaN"),
        (np.ones((12, 1)), y, "X: got the time 1.0 alone"),
        (np.repeat(X[:6], 2, axis=0), y, "times: got .* and the same again"),
    ):
        with pytest.raises(ValueError, match=text):
            clone(model).fit(given, wanted)
    with pytest.warns(UserWarning, match="max_iter"):
        model.fit(X, y)
    for given, text in (
        ([[3.0, 4.0]], r"X: got the series 4, wanted those of the fit, \[3.0, 8.0\]"),
        ([[0.0, 3.0]], "X: got the time 0.0, wanted none before"),
    ):
        with pytest.raises(ValueError, match=text):
            model.predict(given)
    moving = clone(model).set_params(basis="legendre")
    with pytest.warns(UserWarning, match="max_iter"):
        moving.fit(X, y)
    with pytest.raises(ValueError, match="X: got a time beyond the last one of the fit"):
        moving.predict([[30.0, 3.0]])
