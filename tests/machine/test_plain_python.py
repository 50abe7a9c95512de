"""The kernels' bodies against the oracle, on sizes that plain Python can bear.

CI runs these twice: compiled, and with NUMBA_DISABLE_JIT=1, where a debugger, a coverage
tool and Python's own index checks see every line that the compiler otherwise hides.
"""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import tolerances

import refode

pytestmark = pytest.mark.nojit

DIMS = [2, 6]
LOSSES = ["regression", "logistic", "softmax"]


class ThreeCells:
    """A shallow net in three cells of time, and the same for the oracle."""

    def __init__(self, dim: int, loss: str = "regression", time: bool = False) -> None:
        self.m = 1 if loss == "logistic" else 3
        field = refode.fields.Shallow(dim, 4, time=time)
        basis = refode.bases.PiecewiseConstant(3)
        self.ode = refode.NeuralODE(field, scheme="rk4_38", n_steps=3, basis=basis)
        self.problem = refode.Supervised(
            self.ode, loss=loss, n_outputs=self.m, augment=1, tikhonov=0.1
        )
        rng = np.random.default_rng(dim)
        self.loss, self.field = loss, oracle.shallow(time)
        self.theta = 0.5 * rng.normal(size=self.problem.n_parameters)
        self.x = rng.normal(size=(5, dim - 1))
        self.y = {
            "regression": rng.normal(size=(5, 3)),
            "logistic": np.array([0, 1, 1, 0, 1]),
            "softmax": np.array([0, 2, 1, 0, 2]),
        }[loss]
        self.times = oracle.grid(0.0, 1.0, 3)
        tableau = refode.tableaus.get("rk4_38")
        self.tableau = tuple(
            np.array(part, dtype=float) for part in (tableau.A, tableau.b, tableau.c)
        )

    def weights(self, theta):
        named = oracle.unpack(theta, self.problem.layout.shapes)
        W, b = named.pop("W"), named.pop("b")
        return oracle.in_cells(named, [0, 1, 2]), W, b

    def objective(self, theta):
        at, W, b = self.weights(theta)
        V = oracle.predict(self.field, at, self.x, self.times, self.tableau, W, b, augment=1)
        return oracle.mean_loss(self.loss, V, self.y) + 0.1 * oracle.tikhonov(theta)


def close(a, b):
    scale = np.abs(b).max()
    assert scale > 0
    assert np.abs(a - b).max() <= tolerances.PLAIN_PYTHON * scale


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("loss", LOSSES)
def test_value_and_gradient(dim, loss):
    case = ThreeCells(dim, loss)
    value, gradient = case.problem.value_and_gradient(case.theta, case.x, case.y)
    close(value, case.objective(case.theta))
    close(gradient, oracle.complex_gradient(case.objective, case.theta))


@pytest.mark.parametrize("dim", DIMS)
def test_hessian_vector(dim):
    """The complex step runs every body in complex128 too."""
    case = ThreeCells(dim, "softmax")
    v = np.random.default_rng(1).normal(size=case.theta.shape)
    h = 1e-3

    def gradient(t):
        return case.problem.value_and_gradient(case.theta + t * v, case.x, case.y)[1]

    def central(h):
        return (gradient(h) - gradient(-h)) / (2 * h)

    product = case.problem.hessian_vector(case.theta, v, case.x, case.y)
    richardson = (4 * central(h) - central(2 * h)) / 3
    error = np.abs(product - richardson).max()
    assert error <= tolerances.PLAIN_PYTHON_RICHARDSON * np.abs(product).max()


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("time", [False, True])
def test_log_det(dim, time):
    case = ThreeCells(dim, time=time)
    theta = case.theta[: case.ode.n_parameters]
    at, _, _ = case.weights(case.theta)
    x = np.hstack([case.x, np.ones((5, 1))])
    z, log_det = case.ode.log_det(theta, x)
    wanted = [oracle.log_det(case.field, at, row, case.times, case.tableau) for row in x]
    close(z, np.array([row[0] for row in wanted]))
    close(log_det, np.array([row[1] for row in wanted]))


@pytest.mark.parametrize("dim", DIMS)
def test_tangent_and_adjoint(dim):
    case = ThreeCells(dim)
    rng = np.random.default_rng(2)
    theta = case.theta[: case.ode.n_parameters]
    x, x_dot, z_bar = rng.normal(size=(3, 5, dim))
    theta_dot = rng.normal(size=theta.shape)
    z_dot = case.ode.tangent(theta, x, theta_dot, x_dot)
    theta_bar, x_bar = case.ode.adjoint(theta, x, z_bar)

    def ends(theta, x):
        at = oracle.in_cells(oracle.unpack(theta, case.ode.layout.shapes), [0, 1, 2])
        rows = [oracle.trajectory(case.field.value, at, r, case.times, case.tableau) for r in x]
        return np.array([states[-1] for states in rows])

    both = np.concatenate([theta, x.ravel()])
    direction = np.concatenate([theta_dot, x_dot.ravel()])

    def flat(v):
        return ends(v[: len(theta)], v[len(theta) :].reshape(x.shape))

    close(z_dot, oracle.complex_directional(flat, both, direction))
    close(np.sum(z_bar * z_dot), np.sum(theta_bar * theta_dot) + np.sum(x_bar * x_dot))
