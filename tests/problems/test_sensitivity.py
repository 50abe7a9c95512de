"""How the optimum moves with the data: against optima found anew, and where it is known."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances as tol
from optima import FLOWS, NAMES, RIDGE, RIDGE_THETA, RIDGE_X, RIDGE_Y, fitted, ridge

import refode

ALL = NAMES + FLOWS
LABELLED = ("logistic", "softmax")


@pytest.mark.nojit
def test_ridge_regression():
    y_dot = np.zeros((5, 2))
    y_dot[0, 0] = 1.0
    found = RIDGE.unpack(RIDGE.sensitivity(RIDGE_THETA, RIDGE_X, RIDGE_Y, y_dot=y_dot))
    assert found["A"][0, 0, 0] == pytest.approx(0.010582010582010582, abs=tol.LAPLACE_RIDGE)
    # linear in y
    change = ridge(RIDGE_X, RIDGE_Y + y_dot, np.ones(5), 5.0) - RIDGE_THETA
    theta_dot = RIDGE.sensitivity(RIDGE_THETA, RIDGE_X, RIDGE_Y, y_dot=y_dot)
    assert np.abs(theta_dot - change).max() < tol.LAPLACE_RIDGE


def directions(of, rng):
    """What may be moved, by the methods' names."""
    if len(of.data) == 1:
        return {"y_dot": rng.normal(size=of.data[0].shape)}
    dots = {"x_dot": rng.normal(size=of.data[0].shape)}
    if of.problem.loss == "regression":
        dots["y_dot"] = rng.normal(size=of.data[1].shape)
    return dots


def moved(of, dots, step):
    data = [np.array(a, dtype=float) for a in of.data]
    for name, dot in dots.items():
        place = 0 if name == "x_dot" or len(data) == 1 else 1
        data[place] = data[place] + step * dot
    if len(data) == 2 and of.problem.loss != "regression":
        data[1] = of.data[1]
    return of.again(*data)


@pytest.mark.parametrize("name", ALL)
def test_against_optima_of_moved_data(name):
    """Central differences of optima: their error falls with the square of the step."""
    of = fitted(name)
    scale = 1e-2 * (0.2 if name == "standardised" else 1.0)
    for which in directions(of, np.random.default_rng(7)):
        dots = {which: directions(of, np.random.default_rng(7))[which]}
        theta_dot = of.problem.sensitivity(of.theta, *of.data, **of.named, **dots)
        errors = []
        for step in (scale, scale / 2):
            difference = (moved(of, dots, step) - moved(of, dots, -step)) / (2.0 * step)
            errors.append(np.abs(difference - theta_dot).max() / np.abs(theta_dot).max())
        assert errors[1] < 1e-2
        assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=tol.SENSITIVITY_ORDER)


@pytest.mark.parametrize("name", ALL)
def test_it_is_linear_in_the_data_s_direction(name):
    of, rng = fitted(name), np.random.default_rng(7)
    dots, others = directions(of, rng), directions(of, rng)

    def sensitivity(**dots):
        return of.problem.sensitivity(of.theta, *of.data, **of.named, **dots)

    together = sensitivity(**{k: dots[k] - 3.0 * others[k] for k in dots})
    apart = sensitivity(**dots) - 3.0 * sensitivity(**others)
    size = np.abs(together).max()
    assert np.abs(together - apart).max() < tol.LAPLACE_ROUNDING * size
    one_by_one = sum(sensitivity(**{k: dots[k]}) for k in dots)
    assert np.abs(one_by_one - sensitivity(**dots)).max() < tol.LAPLACE_ROUNDING * size
    for factor in (1e200, 1e-200):
        found = sensitivity(**{k: factor * dots[k] for k in dots})
        assert np.abs(found / factor - sensitivity(**dots)).max() < tol.LAPLACE_ROUNDING * size
    assert not sensitivity(**{k: 0.0 * dots[k] for k in dots}).any()


def test_samples_of_weight_zero_do_not_move_it():
    of = fitted("weighted")
    y_dot = np.zeros_like(of.data[1])
    y_dot[[37, 39]] = 1.0  # whose weights are 0
    assert not of.problem.sensitivity(of.theta, *of.data, **of.named, y_dot=y_dot).any()
    y_dot[38] = 1.0
    assert of.problem.sensitivity(of.theta, *of.data, **of.named, y_dot=y_dot).any()


def test_targets_of_one_output_may_have_one_axis():
    ode = refode.NeuralODE(refode.fields.Affine(1), n_steps=2)
    problem = refode.Supervised(ode, "regression", readout=False, tikhonov=0.1)
    x, y = RIDGE_X[:, :1], RIDGE_Y[:, 0]
    theta, dot = np.array([0.2, 0.1]), np.arange(5.0)
    one = problem.sensitivity(theta, x, y, y_dot=dot)
    assert np.array_equal(one, problem.sensitivity(theta, x, y, y_dot=dot[:, None]))


HERE = (RIDGE_THETA, RIDGE_X, RIDGE_Y)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: RIDGE.sensitivity(*HERE), TypeError, "x_dot, y_dot: got None for all, wanted a d"),
        (
            lambda: RIDGE.sensitivity(*HERE, y_dot=np.ones(5)),
            ValueError,
            r"y_dot: got an array of shape \(5,\), wanted \(5, 2\)",
        ),
        (
            lambda: RIDGE.sensitivity(*HERE, x_dot=np.ones((4, 2))),
            ValueError,
            r"x_dot: got an array of shape \(4, 2\), wanted \(5, 2\)",
        ),
        (
            lambda: RIDGE.sensitivity(*HERE, x_dot=np.full((5, 2), np.nan)),
            ValueError,
            "x_dot: got nan",
        ),
        (
            lambda: fitted("logistic").problem.sensitivity(
                fitted("logistic").theta, *fitted("logistic").data, y_dot=np.ones(40)
            ),
            ValueError,
            "y_dot: got .* for the labels of loss='logistic', wanted None",
        ),
        (
            lambda: fitted("flow").problem.sensitivity(fitted("flow").theta, *fitted("flow").data),
            TypeError,
            "y_dot: got None for all",
        ),
        (
            lambda: fitted("flow").problem.sensitivity(
                fitted("flow").theta, *fitted("flow").data, y_dot=np.ones((40, 3))
            ),
            ValueError,
            r"y_dot: got an array of shape \(40, 3\), wanted \(40, 2\)",
        ),
        (lambda: RIDGE.sensitivity(HERE[0], 3, 4, y_dot=1), ValueError, "x: got"),
        (
            lambda: fitted("regression").problem.sensitivity(
                fitted("regression").problem.initial(1),
                *fitted("regression").data,
                y_dot=fitted("regression").data[1],
            ),
            ValueError,
            "theta: got one where the Hessian's least eigenvalue is -",
        ),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()
