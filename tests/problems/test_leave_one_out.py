"""The fit without each sample: exact where the objective is quadratic, else one Newton step."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances as tol
from optima import FLOWS, NAMES, RIDGE, RIDGE_THETA, RIDGE_X, RIDGE_Y, dense, fitted, ridge

import refode

CURVATURES = ("hessian", "gauss_newton")


@pytest.mark.nojit
@pytest.mark.parametrize("curvature", CURVATURES)
def test_ridge_regression(curvature):
    """The others keep 1/N, N = 5: the prior does not grow."""
    left = RIDGE.leave_one_out(RIDGE_THETA, RIDGE_X, RIDGE_Y, curvature=curvature)
    first = RIDGE.unpack(left.theta[0].copy())
    assert first["A"][0, 0, 0] == pytest.approx(0.38896551724137931, abs=tol.LAPLACE_RIDGE)
    for i in range(5):
        exact = ridge(RIDGE_X, RIDGE_Y, np.arange(5) != i, 5.0)
        assert np.abs(left.theta[i] - exact).max() < tol.LAPLACE_RIDGE
        prediction = RIDGE.predict(exact, RIDGE_X[i : i + 1])[0]
        assert np.abs(left.predictions[i] - prediction).max() < tol.LAPLACE_RIDGE
        loss = 0.5 * ((prediction - RIDGE_Y[i]) ** 2).sum()
        assert left.losses[i] == pytest.approx(loss, abs=tol.LAPLACE_RIDGE)


def test_residuals_grow_by_the_leverage():
    """(y - F)/(1 - h), the textbook's formula of linear regression."""
    X = np.column_stack([RIDGE_X, np.ones(5)])
    h = np.diagonal(X @ np.linalg.solve(X.T @ X + 0.5 * np.eye(3), X.T))
    left = RIDGE.leave_one_out(RIDGE_THETA, RIDGE_X, RIDGE_Y)
    r = RIDGE.residuals(RIDGE_THETA, RIDGE_X, RIDGE_Y)
    assert np.abs(left.predictions - RIDGE_Y - r / (1.0 - h)[:, None]).max() < tol.LAPLACE_RIDGE


def test_one_step_reaches_the_optimum_from_anywhere():
    """The objective is quadratic: the gradient is taken along."""
    away = RIDGE_THETA + 0.3
    for curvature in CURVATURES:
        left = RIDGE.leave_one_out(away, RIDGE_X, RIDGE_Y, curvature=curvature)
        exact = ridge(RIDGE_X, RIDGE_Y, np.arange(5) != 2, 5.0)
        assert np.abs(left.theta[2] - exact).max() < tol.LAPLACE_RIDGE


def share(of, i):
    w = of.named.get("sample_weight", np.ones(len(of.data[0])))
    return w[i] / w.sum()


def alone(of, i):
    return [a[i : i + 1] for a in of.data]


def gradient_without(of, i, theta):
    """The objective's gradient less the sample's share."""
    own = of.problem.value_and_gradient(theta, *alone(of, i))[1]
    return of.gradient(theta) - share(of, i) * (own - of.problem._regulariser(theta)[1])


def hessian_without(of, i, curvature):
    """The curvature of all, less what the sample takes along."""
    kind = "hessian_vector" if curvature == "hessian" else "gauss_newton_vector"
    own_kind = "hessian_vector" if len(of.data) == 1 else "gauss_newton_vector"
    whole, own = getattr(of.problem, kind), getattr(of.problem, own_kind)

    def product(v):
        one = own(of.theta, v, *alone(of, i)) - of.problem._regulariser(v)[1]
        return whole(of.theta, v, *of.data, **of.named) - share(of, i) * one

    return dense(product, of.theta)


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("name", NAMES + FLOWS)
def test_one_newton_step(name, curvature):
    if name in FLOWS and curvature == "gauss_newton":
        pytest.skip("a flow has none")
    of = fitted(name)
    left = of.problem.leave_one_out(of.theta, *of.data, **of.named, curvature=curvature)
    counted = np.flatnonzero(of.named.get("sample_weight", np.ones(40)))
    assert left.theta.shape == (len(counted), len(of.theta))
    for row, i in list(enumerate(counted))[::5]:
        H = hessian_without(of, i, curvature)
        theta = of.theta - np.linalg.solve(H, gradient_without(of, i, of.theta))
        size = np.abs(theta - of.theta).max()
        assert np.abs(left.theta[row] - theta).max() < tol.LEFT_OUT_STEP * size
        one = alone(of, i)
        if name in FLOWS:
            assert left.predictions is None
            assert left.leverages is None
            loss = -of.problem.log_density(theta, *one)[0]
        else:
            F = of.problem.predict(theta, one[0])[0]
            assert np.abs(left.predictions[row] - F).max() < tol.LEFT_OUT_STEP * (
                1 + np.abs(F).max()
            )
            loss = of.problem.costs(theta, *one)["loss"]
        assert left.losses[row] == pytest.approx(loss, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("name", ["smooth", "weighted", "logistic", "flow"])
def test_the_step_is_most_of_the_way(name):
    """Against the fit without the sample: 0.4 to 2.5 % of the change are left, at the median."""
    of = fitted(name)
    left = of.problem.leave_one_out(of.theta, *of.data, **of.named)
    parts = []
    for i in range(0, 35, 5):
        theta = left.theta[i].copy()
        for _ in range(12):  # Newton with the Hessian at the first step, which contracts
            theta = theta - np.linalg.solve(
                hessian_without(of, i, "hessian"), gradient_without(of, i, theta)
            )
        assert np.abs(gradient_without(of, i, theta)).max() < 1e-6
        parts.append(np.abs(left.theta[i] - theta).max() / np.abs(of.theta - theta).max())
    assert np.median(parts) < 0.1


def test_leverages_sum_to_the_degrees_of_freedom():
    """And say what residuals grow by where the objective is quadratic."""
    left = RIDGE.leave_one_out(RIDGE_THETA, RIDGE_X, RIDGE_Y, curvature="gauss_newton")
    r = RIDGE.residuals(RIDGE_THETA, RIDGE_X, RIDGE_Y)
    h = 1.0 - (r / (left.predictions - RIDGE_Y)).mean(axis=1)
    assert np.abs(left.leverages - 2.0 * h).max() < 1e-11
    for name in ("weighted", "softmax", "smooth"):
        of = fitted(name)
        options = {**of.named, "curvature": "gauss_newton"}
        left = of.problem.leave_one_out(of.theta, *of.data, **options)
        post = of.problem.laplace(of.theta, *of.data, **options)
        assert left.leverages.sum() == pytest.approx(post.p_eff, abs=1e-9)
        assert left.leverages.min() > 0.0


def three(**options):
    """Three points on a line, the third one alone to say what c is."""
    ode = refode.NeuralODE(refode.fields.Affine(1), scheme="euler", n_steps=1)
    problem = refode.Supervised(ode, "regression", 1, readout=False, **options)
    x, y = np.array([[1.0], [1.0], [2.0]]), np.array([[2.0], [2.2], [2.5]])
    theta = problem.pack({"A": np.array([[[-0.6]]]), "c": np.array([[1.7]])})
    return problem, theta, x, y


@pytest.mark.parametrize("curvature", CURVATURES)
def test_a_sample_that_alone_determines_a_parameter_is_named(curvature):
    problem, theta, x, y = three()
    with pytest.raises(ValueError, match="^x: got sample 2, without which the objective's second"):
        problem.leave_one_out(theta, x, y, curvature=curvature)
    problem, theta, x, y = three(tikhonov=1e-3)
    assert np.isfinite(problem.leave_one_out(theta, x, y, curvature=curvature).losses).all()


HERE = (RIDGE_THETA, RIDGE_X, RIDGE_Y)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: RIDGE.leave_one_out(*HERE, curvature="x"), ValueError, "curvature: got 'x', want"),
        (
            lambda: RIDGE.leave_one_out(HERE[0], RIDGE_X[:1], RIDGE_Y[:1]),
            ValueError,
            "x: got one sample, wanted at least two",
        ),
        (lambda: RIDGE.leave_one_out(HERE[0], 3, 4), ValueError, "x: got"),
        (
            lambda: RIDGE.leave_one_out(*HERE, sample_weight=np.ones(4)),
            ValueError,
            "sample_weight: got an array of shape",
        ),
        (
            lambda: fitted("flow").problem.leave_one_out(
                fitted("flow").theta, *fitted("flow").data, curvature="gauss_newton"
            ),
            ValueError,
            "curvature: got 'gauss_newton' for ContinuousNormalizingFlow",
        ),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()
