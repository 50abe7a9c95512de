"""Curves by a fitted field, as a regressor."""

from __future__ import annotations

import pickle

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


def driven(n=60, seed=0):
    """Two tanks that are filled by u(t) and run empty, z' = u - z, at times of their own."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(2.0, 8.0, (2, n)), axis=1)
    t[:, 0] = 2.0
    w, z0 = np.array([[1.0], [1.7]]), np.array([[0.5], [-0.5]])
    knots = np.linspace(2.0, 10.0, 161)

    def level(t):
        p = (np.sin(w * t) - w * np.cos(w * t)) / (1.0 + w * w)
        p0 = (np.sin(2 * w) - w * np.cos(2 * w)) / (1.0 + w * w)
        return p + (z0 - p0) * np.exp(2.0 - t)

    X = np.stack([t.ravel(), np.repeat([3.0, 8.0], n)], axis=1)
    order = rng.permutation(2 * n)
    u = 40.0 * np.sin(w * knots)[:, :, None] + 7.0
    return X[order], level(t).ravel()[order], (knots, u), level


def test_inputs_drive_curves():
    X, y, inputs, level = driven()
    model = TrajectoryRegressor(width=6, tikhonov=1e-6).fit(X, y, inputs=inputs)
    assert model.score(X, y) > 0.9999
    knots, u = inputs
    np.testing.assert_array_equal(model.inputs_[1], u)
    later = np.linspace(8.2, 9.9, 9)  # inputs are known until 10
    for series, wanted in zip([3.0, 8.0], level(later[None]), strict=True):
        moments = np.stack([later, np.full(9, series)], axis=1)
        found = model.predict(moments)
        assert np.abs(found - wanted).max() < 0.05
        for i in (0, 8):  # how far X goes changes nothing
            alone = model.predict(moments[i : i + 1])
            np.testing.assert_allclose(alone, found[i : i + 1], rtol=0, atol=1e-12)
    # inputs of one series for the other: a curve that nobody has seen
    swapped = model.predict(X, (knots, u[::-1]))
    assert np.abs(swapped - model.predict(X)).max() > 0.1
    np.testing.assert_array_equal(model.predict(X, inputs), model.predict(X))
    # inputs that end within a step
    short = knots[: np.searchsorted(knots, 8.0) + 4], u[:, : np.searchsorted(knots, 8.0) + 4]
    last = np.array([[short[0][-1], 3.0]])
    assert np.abs(model.predict(last, short) - level(last[:, 0])[0]).max() < 0.05
    again = clone(model).fit(X, y, inputs=inputs)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    model.set_params(warm_start=True).fit(X, y, inputs=inputs)
    assert model.score(X, y) > 0.9999


def test_inputs_of_one_series_and_units():
    """Other units of time and of inputs: the same curve."""
    X, y, (knots, u), _ = driven()
    mine = X[:, 1] == 3.0
    t, y = X[mine, :1], y[mine]
    options = {"width": 4, "n_steps": 30, "max_iter": 60}
    with pytest.warns(UserWarning, match="max_iter"):
        model = TrajectoryRegressor("mlp", **options).fit(t, y, inputs=(knots, u[0]))
    with pytest.warns(UserWarning, match="max_iter"):
        other = TrajectoryRegressor("mlp", **options).fit(
            4.0 * t, y, inputs=(4.0 * knots, 8.0 * u[:1])
        )
    np.testing.assert_allclose(other.predict(4.0 * t), model.predict(t), rtol=0, atol=1e-9)
    assert pickle.loads(pickle.dumps(model)).predict(t).tolist() == model.predict(t).tolist()


def test_inputs_that_it_refuses():
    X, y, (knots, u), _ = driven(8)
    model = TrajectoryRegressor(width=3, max_iter=2, n_steps=4)
    early = knots < X[:, 0].max()
    wrong = [
        (model, (knots[early], u[:, early]), "inputs: got times from 2.0 to .*, wanted them from"),
        (model, (knots[1:], u[:, 1:]), "inputs: got times from 2.05 to 10.0, wanted them from 2.0"),
        (model, (knots, u[0]), r"inputs\[1\]: got"),
        (model, (knots, u[:1]), r"inputs\[1\]: got"),
        (clone(model).set_params(field="affine"), (knots, u), "inputs: got some with field='aff"),
        (
            clone(model).set_params(field=refode.fields.Shallow(1, 3, inputs=2)),
            (knots, u),
            "inputs: got 1 channels with a field of inputs=2",
        ),
        (
            clone(model).set_params(field=refode.fields.Shallow(1, 3, inputs=1)),
            None,
            "inputs: got 0 channels with a field of inputs=1",
        ),
    ]
    for made, inputs, text in wrong:
        with pytest.raises(ValueError, match=text):
            made.fit(X, y, inputs=inputs)
    with pytest.raises(TypeError, match="inputs: got"):
        model.fit(X, y, inputs=3)
    with pytest.warns(UserWarning, match="max_iter"):
        model.fit(X, y, inputs=(knots, u))
    with pytest.raises(ValueError, match=r"inputs: got times from 2.0 to 10.0, wanted .* to 11.0"):
        model.predict([[11.0, 3.0]])
    with pytest.raises(ValueError, match="inputs: got 2 channels, wanted 1, those of the fit"):
        model.predict(X, (knots, np.repeat(u, 2, axis=2)))
    model.set_params(warm_start=True)
    with pytest.raises(ValueError, match="warm_start"):
        model.fit(X, y)
    assert np.isfinite(model.predict(X)).all()  # as it was
    without = TrajectoryRegressor(width=3, max_iter=2, n_steps=4)
    with pytest.warns(UserWarning, match="max_iter"):
        without.fit(X, y)
    with pytest.raises(ValueError, match="inputs: got some with a fit without"):
        without.predict(X, (knots, u))
