"""Residuals and scores: in one shape, whatever the targets' is, and right for scaled ones."""

from __future__ import annotations

import numpy as np
import pytest
from contract import close, same

import refode
from refode import fields

ODE = refode.NeuralODE(fields.Shallow(2, 3))
X = np.array([[1e4, 1e-2], [2e4, 3e-2], [4e4, -1e-2], [0.0, 2e-2]])
Y = np.array([150.0, 151.0, 152.0, 149.0])


@pytest.mark.parametrize("made", [lambda p: p, lambda p: p.standardized(X, Y)], ids=["raw", "std"])
def test_residuals_and_score_take_targets_of_one_axis_or_two(made):
    problem = made(refode.Supervised(ODE, "regression"))
    theta = 0.1 * problem.initial(1)
    F = problem.predict(theta, X)
    assert F.shape == (4, 1)
    same(problem.residuals(theta, X, Y), F[:, 0] - Y)
    same(problem.residuals(theta, X, Y[:, None]), F - Y[:, None])
    assert problem.residuals(theta, X, Y.tolist()).shape == (4,)
    want = 1.0 - ((F[:, 0] - Y) ** 2).sum() / ((Y - Y.mean()) ** 2).sum()
    for y in (Y, Y[:, None], Y.tolist()):
        close(problem.score(theta, X, y), want, 1e-12)


def test_a_standardised_loss_is_half_the_variance_that_is_not_explained():
    rng = np.random.default_rng(0)
    x, y = 1e4 * rng.standard_normal((9, 2)), 150.0 + rng.standard_normal((9, 3)) * [1.0, 30.0, 0.1]
    problem = refode.Supervised(ODE, "regression", n_outputs=3).standardized(x, y)
    theta = problem.initial()
    close(problem.value(theta, x, y), 1.5 * (1.0 - problem.score(theta, x, y)), 1e-13)


def test_the_score_of_several_outputs_is_the_mean_of_theirs():
    metrics = pytest.importorskip("sklearn.metrics")
    problem = refode.Supervised(ODE, "regression", n_outputs=3)
    rng = np.random.default_rng(0)
    x, y, theta = rng.standard_normal((9, 2)), rng.standard_normal((9, 3)), problem.initial()
    close(problem.score(theta, x, y), metrics.r2_score(y, problem.predict(theta, x)), 1e-13)
    with pytest.raises(ValueError, match=r"^y: got 2\.0 in all of output 1, wanted targets that"):
        problem.score(theta, x, np.column_stack([y[:, 0], np.full(9, 2.0), y[:, 2]]))


def test_labels_have_no_residuals():
    problem = refode.Supervised(ODE, "logistic")
    for method in (problem.residuals, problem.score):
        with pytest.raises(ValueError, match=r"^loss: got 'logistic', wanted 'regression'"):
            method(problem.initial(), X, [0, 1, 0, 1])
    regression = refode.Supervised(ODE, "regression")
    with pytest.raises(ValueError, match=r"^y: got an array of shape \(3,\), wanted \(4,\)"):
        regression.score(regression.initial(), X, Y[:3])
