"""Small problems at their optimum, to the last digits."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import refode

Array = np.ndarray


def dense(product, theta: Array) -> Array:
    """A matrix by its products with unit vectors."""
    return np.array([product(unit) for unit in np.eye(len(theta))]).T


def optimum(problem: Any, *data: Any, theta0: Array | None = None, **named: Any) -> Array:
    """Where the gradient is rounding: L-BFGS first, unless a start is given, then Newton."""
    if theta0 is None:
        options = {"max_iter": 3000, "progress": False, "tolerance": 1e-5, **named}
        theta0 = refode.train(problem, *data, **options).x
    theta = np.array(theta0)
    for _ in range(12):
        gradient = problem.value_and_gradient(theta, *data, **named)[1]
        if np.abs(gradient).max() < 1e-15:
            break
        H = dense(functools.partial(_product, problem, theta, data, named), theta)
        theta = theta - np.linalg.solve(H, gradient)
    assert np.abs(gradient).max() < 1e-12
    return theta


def _product(problem, theta, data, named, v):
    return problem.hessian_vector(theta, v, *data, **named)


# --- ridge regression: F = x + A x + c, linear in theta ---------------------------------------
#: Its data; N = 5, tikhonov = 0.1.
RIDGE_X = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 2.0], [2.0, -1.0]])
RIDGE_Y = np.array([[2.0, 0.0], [0.0, 1.7], [1.2, 1.1], [-2.2, 2.2], [2.9, -1.9]])
RIDGE = refode.Supervised(
    refode.NeuralODE(refode.fields.Affine(2), scheme="euler", n_steps=1),
    "regression",
    2,
    readout=False,
    tikhonov=0.1,
)
RIDGE_A = np.array([[374.0, -283.0], [-145.0, 215.0]]) / 945.0
RIDGE_C = np.array([1.0 / 9.0, -1.0 / 45.0])
RIDGE_THETA = RIDGE.pack({"A": RIDGE_A[None], "c": RIDGE_C[None]})


def ridge(x: Array, y: Array, w: Array, total: float) -> Array:
    """The optimum for weights w whose sum counts as `total`: the normal equations."""
    X = np.column_stack([x, np.ones(len(x))])
    coefficients = np.linalg.solve((X.T * w) @ X + total * 0.1 * np.eye(3), (X.T * w) @ (y - x))
    return RIDGE.pack({"A": coefficients[:2].T[None].copy(), "c": coefficients[2:].copy()})


# --- nonlinear ones -----------------------------------------------------------------------------
@dataclass(frozen=True)
class Fitted:
    """A problem at its optimum; ``data`` begins with x, or is y of a flow."""

    problem: Any
    data: tuple[Any, ...]
    theta: Array
    named: dict[str, Any] = field(default_factory=dict)

    def value(self, theta: Array, *data: Any) -> float:
        return self.problem.value(theta, *(data or self.data), **self.named)

    def gradient(self, theta: Array, *data: Any) -> Array:
        return self.problem.value_and_gradient(theta, *(data or self.data), **self.named)[1]

    def again(self, *data: Any) -> Array:
        """The optimum for other data, from this one."""
        return optimum(self.problem, *data, theta0=self.theta, **self.named)


NAMES = ("regression", "padded", "weighted", "standardised", "smooth", "logistic", "softmax")
FLOWS = ("flow", "flow-weighted", "flow-standardised")


@functools.cache
def fitted(name: str) -> Fitted:
    """A small nonlinear problem by its name."""
    rng = np.random.default_rng(3)
    x, options = rng.normal(size=(40, 2)), {}
    if name in FLOWS:
        y = rng.normal(size=(40, 2)) * [1.5, 0.6] + [0.3, -1.0]
        ode = refode.NeuralODE(refode.fields.Affine(2), n_steps=4)
        problem = refode.ContinuousNormalizingFlow(ode, tikhonov=0.1)
        problem = problem.standardized(y * [3.0, 1.0]) if name == "flow-standardised" else problem
        data: tuple[Any, ...] = (y,)
    else:
        ode = refode.NeuralODE(refode.fields.Shallow(2, 2), n_steps=3)
        if name == "padded":
            ode = refode.NeuralODE(refode.fields.Shallow(3, 2), n_steps=3)
            options["augment"] = 1
        if name == "smooth":
            basis = refode.bases.PiecewiseLinear(2)
            ode = refode.NeuralODE(refode.fields.Affine(2), n_steps=3, basis=basis)
            options["smoothness"] = 0.3
        m = {"logistic": 1, "softmax": 3}.get(name, 2)
        problem = refode.Supervised(ode, "regression", m, tikhonov=0.02, **options)
        y = problem.predict(problem.initial(7), x) + 0.3 * rng.normal(size=(40, m))
        if name in ("logistic", "softmax"):
            y = (y[:, 0] > 0.0).astype(int) if m == 1 else y.argmax(axis=1)
            problem = refode.Supervised(ode, name, m, tikhonov=0.02)
        if name == "standardised":
            x, y = x * [3.0, 0.2] + [1.0, 5.0], y * [10.0, 0.5] - 2.0
            problem = problem.standardized(x, y)
        data = (x, y)
    named: dict[str, Any] = {}
    if name.endswith("weighted"):
        named["sample_weight"] = np.append(rng.uniform(0.5, 2.0, 37), [0.0, 3.0, 0.0])
    return Fitted(problem, data, optimum(problem, *data, **named), named)
