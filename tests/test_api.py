"""The public contract, literally: names, signatures, shapes, dtypes and layouts that others use."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import scipy.optimize
import tolerances as tol
from contract import close, same

import refode

J, D, K, N = 10, 2, 8, 5  # cells, dimension, width, samples
grouped = pytest.mark.parametrize("group", ["x"], ids=["ShallowSpec-api"])


def is_array(a, shape, dtype=np.float64):
    """A C-ordered array of this shape and type that may be written to."""
    assert type(a) is np.ndarray
    assert a.shape == shape
    assert a.dtype == dtype
    assert a.flags.c_contiguous
    assert a.flags.writeable


def parameters(function):
    """Names and defaults."""
    return {p.name: p.default for p in inspect.signature(function).parameters.values()}


required = inspect.Parameter.empty


@pytest.fixture
def ode():
    field = refode.fields.Shallow(dim=D, width=K)
    return refode.NeuralODE(
        field, scheme="rk4", n_steps=10, t_span=(0.0, 1.0), basis=refode.bases.PiecewiseConstant(J)
    )


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((N, D))


def test_signatures():
    assert parameters(refode.NeuralODE) == {
        "field": required,
        "scheme": "rk4",
        "n_steps": None,
        "t_span": None,
        "basis": None,
        "memory": "store",
        "device": "cpu",
        "dtype": "float64",
        "grid": None,
        "slots": None,
        "steps": "fixed",
    }
    made = refode.NeuralODE(refode.fields.Shallow(dim=D, width=K))  # what the two None mean
    assert (made.n_steps, made.t_span) == (10, (0.0, 1.0))
    assert parameters(refode.Supervised) == {
        "ode": required,
        "loss": "logistic",
        "n_outputs": 1,
        "augment": 0,
        "readout": True,
        "tikhonov": 0.0,
        "smoothness": 0.0,
        "device": None,
        "dtype": "float64",
        "x_scaling": None,
        "y_scaling": None,
    }
    solve = {"self": required, "theta": required, "x": required, "t_span": None}
    for method in ("solve", "trajectory", "log_det"):
        assert parameters(getattr(refode.NeuralODE, method)) == solve
    assert list(parameters(refode.NeuralODE.tangent)) == [
        "self",
        "theta",
        "x",
        "theta_dot",
        "x_dot",
        "t_span",
    ]
    assert parameters(refode.NeuralODE.adjoint) == {
        "self": required,
        "theta": required,
        "x": required,
        "z_bar": required,
        "t_span": None,
        "times": False,
    }
    for method in ("value", "value_and_gradient"):
        names = list(parameters(getattr(refode.Supervised, method)))
        assert names == ["self", "theta", "x", "y", "sample_weight"]
    names = list(parameters(refode.Supervised.hessian_vector))
    assert names == ["self", "theta", "v", "x", "y", "sample_weight"]
    train = parameters(refode.train)
    assert list(train)[:3] == ["problem", "x", "y"]
    assert train["theta0"] is None
    assert (train["seed"], train["max_iter"], train["progress"], train["callback"]) == (
        0,
        200,
        True,
        None,
    )


def test_names():
    for name in ("Shallow", "MLP", "Affine", "Antisymmetric", "Parabolic", "Hamiltonian"):
        assert name in refode.fields.__all__
    for name in ("Constant", "PiecewiseConstant", "PiecewiseLinear", "Legendre", "BSpline"):
        assert hasattr(refode.bases, name)
    for name in ("check_gradient", "dot_test", "observed_order"):
        assert callable(getattr(refode.verify, name))


def test_theta(ode):
    """A flat vector, name by name; the J basis coefficients first, for J = 1 too; views."""
    theta = ode.initial(seed=0)
    is_array(theta, (ode.n_parameters,))
    assert ode.n_parameters == J * (K * D + K + D * K + D)
    shapes = {"W0": (J, K, D), "b0": (J, K), "W1": (J, D, K), "b1": (J, D)}
    parts = ode.unpack(theta)
    assert {n: w.shape for n, w in parts.items()} == shapes
    assert list(parts) == list(shapes)
    assert all(np.shares_memory(w, theta) and w.flags.c_contiguous for w in parts.values())
    same(np.concatenate([w.ravel() for w in parts.values()]), theta)
    parts["b1"][J - 1, D - 1] = 42.0
    assert theta[-1] == 42.0
    same(ode.pack(parts), theta)
    assert not np.shares_memory(ode.pack(parts), theta)
    same(ode.initial(seed=3), ode.initial(3))
    assert np.any(ode.initial(seed=3) != ode.initial(seed=4))
    first = ode.unpack(ode.initial(seed=1))["W0"]
    assert np.all(first == first[0])  # one weight set, the same at all times

    default = refode.NeuralODE(ode.field)
    assert default.basis == refode.bases.Constant()
    shapes = {"W0": (1, K, D), "b0": (1, K), "W1": (1, D, K), "b1": (1, D)}
    assert {n: w.shape for n, w in default.unpack(default.initial()).items()} == shapes


@pytest.mark.parametrize(
    "basis",
    [
        refode.bases.Constant(),
        refode.bases.Legendre(4),
        refode.bases.BSpline(6),
        refode.bases.PiecewiseLinear(3),
    ],
    ids=str,
)
def test_initial_weights_are_constant_in_time(ode, basis):
    """In any basis the same function of time: the same solution."""
    other = refode.NeuralODE(ode.field, basis=basis)
    plan = other.plan()
    stages = other.stage_weights(other.initial(seed=2), plan)
    wanted = refode.NeuralODE(ode.field).initial(seed=2)
    close(stages, np.tile(wanted, (len(stages), 1)), tol.SWEEP_STATE)


@grouped
def test_solutions(group, ode, x):
    theta = ode.initial(seed=0)
    z = ode.solve(theta, x)
    is_array(z, (N, D))
    path = ode.trajectory(theta, x)
    is_array(path, (ode.n_steps + 1, N, D))
    same(path[0], x)
    same(path[-1], z)
    back = ode.solve(theta, z, t_span=(1.0, 0.0))  # backward in time, as in (12)
    is_array(back, (N, D))
    assert np.abs(back - x).max() < np.abs(z - x).max() * tol.API_THERE_AND_BACK
    end, l = ode.log_det(theta, x)  # noqa: E741
    is_array(end, (N, D))
    is_array(l, (N,))
    for given in (x.tolist(), x.astype(np.float32).astype(float), np.asfortranarray(x)):
        assert ode.solve(theta, given).shape == (N, D)
    close(
        ode.solve(theta, np.arange(2 * N).reshape(N, 2)),
        ode.solve(theta, np.arange(2.0 * N).reshape(N, 2)),
        tol.SWEEP_STATE,
    )


@grouped
def test_sign_of_log_det(group):
    """l = + int tr grad f dt along t_span, (21): positive where the field spreads."""
    ode = refode.NeuralODE(refode.fields.Shallow(D, 2), n_steps=2)
    theta = ode.pack(
        {"W0": [np.eye(2)], "b0": [np.zeros(2)], "W1": [np.eye(2)], "b1": [np.zeros(2)]}
    )
    _, forward = ode.log_det(theta, np.zeros((1, 2)))
    _, backward = ode.log_det(theta, np.zeros((1, 2)), t_span=(1.0, 0.0))
    close(forward, [2.0], tol.SWEEP_STATE)
    close(backward, [-2.0], tol.SWEEP_STATE)


@grouped
def test_derivatives(group, ode, x):
    theta = ode.initial(seed=0)
    is_array(ode.tangent(theta, x, np.ones_like(theta), np.ones_like(x)), (N, D))
    theta_bar, x_bar = ode.adjoint(theta, x, np.ones_like(x))
    is_array(theta_bar, (ode.n_parameters,))
    is_array(x_bar, (N, D))
    *_, times_bar = ode.adjoint(theta, x, np.ones((11, N, D)), times=True)
    is_array(times_bar, (2,))
    zero = ode.tangent(theta, x, np.zeros_like(theta), np.zeros_like(x))
    assert not zero.any()


@grouped
@pytest.mark.parametrize(("loss", "m"), [("regression", 3), ("logistic", 1), ("softmax", 3)])
def test_supervised(group, ode, x, loss, m):
    problem = refode.Supervised(ode, loss=loss, n_outputs=m, augment=1)
    theta = problem.initial(seed=0)
    is_array(theta, (problem.n_parameters,))
    assert problem.n_parameters == ode.n_parameters + m * D + m
    parts = problem.unpack(theta)
    assert list(parts) == ["W0", "b0", "W1", "b1", "W", "b"]
    assert parts["W"].shape == (m, D)
    assert parts["b"].shape == (m,)
    same(problem.pack(parts), theta)
    same(theta[: ode.n_parameters], ode.initial(seed=0))

    x, v = x[:, :1], np.ones_like(theta)
    y = np.ones((N, m)) if loss == "regression" else np.arange(N) % 2
    value, gradient = problem.value_and_gradient(theta, x, y)
    assert type(problem.value(theta, x, y)) is float
    assert type(value) is float
    is_array(gradient, theta.shape)
    is_array(problem.hessian_vector(theta, v, x, y), theta.shape)
    is_array(problem.gauss_newton_vector(theta, v, x, y), theta.shape)
    is_array(problem.predict(theta, x), (N, m))
    if loss != "regression":
        is_array(problem.predict_proba(theta, x), (N, 2 if loss == "logistic" else 3))
        assert problem.predict_label(theta, x).shape == (N,)
    if loss == "logistic":
        for labels in (y.astype(float), y.astype(bool), y.astype(np.uint8), y.tolist()):
            assert problem.value(theta, x, labels) == problem.value(theta, x, y)


@grouped
def test_supervised_without_a_readout(group, ode, x):
    problem = refode.Supervised(ode, loss="regression", readout=False)
    assert problem.n_outputs == D
    assert list(problem.unpack(problem.initial())) == ["W0", "b0", "W1", "b1"]
    assert problem.n_parameters == ode.n_parameters
    is_array(problem.predict(problem.initial(), x), (N, D))
    one = refode.Supervised(ode, loss="regression", n_outputs=1)
    theta, y = one.initial(), np.arange(float(N))
    assert one.value(theta, x, y) == one.value(theta, x, y[:, None])


@grouped
def test_scipy_takes_it_as_it_is(group, ode, x):
    """theta is one flat vector, value_and_gradient what jac=True wants, hessp its Hessian."""
    problem = refode.Supervised(ode, loss="logistic", tikhonov=0.1)
    y, theta = np.arange(N) % 2, problem.initial()
    found = scipy.optimize.minimize(
        problem.value_and_gradient, theta, (x, y), "L-BFGS-B", jac=True, options={"maxiter": 5}
    )
    assert found.fun < problem.value(theta, x, y)
    found = scipy.optimize.minimize(
        problem.value_and_gradient,
        theta,
        (x, y),
        "Newton-CG",
        jac=True,
        hessp=problem.hessian_vector,
        options={"maxiter": 2},
    )
    assert found.fun < problem.value(theta, x, y)
