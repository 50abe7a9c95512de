"""The oracle against itself, by means that share none of its formulas: fields and losses."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import numpy as np
import oracle
import pytest
import scipy.optimize
import scipy.special
import tolerances as tol
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import complex_directional, complex_gradient
from oracle_cases import ACTIVATIONS, FIELDS, RK4, build, close, constant
from oracle_reverse import rk4_shallow_reverse

# S with S' = sigma, where an elementary one exists
PRIMITIVES = {
    "tanh": lambda u: np.log(np.cosh(u)),
    "sine": lambda u: -np.cos(u),
    "identity": lambda u: u**2 / 2,
}

cases = st.tuples(
    st.sampled_from(FIELDS),
    st.sampled_from(ACTIVATIONS),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(0, 2**32 - 1),
)
quick = settings(max_examples=60, deadline=None, derandomize=True)


def test_imports_nothing_of_refode():
    for name in ("oracle.py", "oracle_reverse.py"):
        tree = ast.parse((Path(__file__).parents[1] / "support" / name).read_text())
        imported = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or ".").split(".")[0])
        assert "numpy" in imported
        assert imported <= {"__future__", "collections", "inspect", "numpy", "typing"}


# --- activations and fields -------------------------------------------------------------


def test_activations_and_slopes_against_scipy():
    u = np.concatenate([np.linspace(-4, 4, 41), [-800.0, 800.0]])
    expit = scipy.special.expit(u)
    known = {
        "tanh": (np.tanh(u), 4 * scipy.special.expit(2 * u) * scipy.special.expit(-2 * u)),
        "softplus": (-scipy.special.log_expit(-u), expit),
        "sine": (np.sin(u), np.cos(u)),
        "identity": (u, 1 + 0 * u),
    }
    for name, (sigma, slope) in oracle.ACTIVATIONS.items():
        close(sigma(u), known[name][0])
        close(slope(u), known[name][1])
        close(complex_directional(sigma, u, np.ones_like(u)), known[name][1])


@quick
@given(cases, st.booleans())
def test_jacobian_is_the_derivative_of_the_value(case, time):
    field, w, z, _ = build(*case, time=time)
    close(field.jacobian(w, z, 0.7), complex_gradient(lambda x: field.value(w, x, 0.7), z))
    close(field.trace(w, z, 0.7), np.trace(field.jacobian(w, z, 0.7)))


@quick
@given(cases)
def test_fields_and_jacobians_are_complex_analytic(case):
    """The complex step of the Jacobian in w and z agrees with central differences."""
    field, w, z, rng = build(*case)
    shapes = {name: array.shape for name, array in w.items()}
    flat = np.concatenate([array.ravel() for array in w.values()])
    direction, dz = rng.standard_normal(flat.size), rng.standard_normal(z.size)

    def line(e):
        return field.jacobian(oracle.unpack(flat + e * direction, shapes), z + e * dz, 0.0)

    def difference(h):
        return (line(h) - line(-h)) / (2 * h)

    exact = np.imag(line(1e-200j)) / 1e-200
    richardson = (4 * difference(1e-3) - difference(2e-3)) / 3
    close(exact, richardson, tol.ORACLE_RICHARDSON)


@quick
@given(cases, st.booleans())
def test_time_input_only_shifts_the_bias(case, time_zero):
    """With t fixed, the field with time is the one without, its first bias moved."""
    name, t = case[0], 0.0 if time_zero else -1.3
    field, w, z, _ = build(*case, time=True)
    plain, _, _, _ = build(*case, time=False)
    v = dict(w)
    if "tau" in w:
        v["b0"] = w["b0"] + t * v.pop("tau")
    else:
        matrix, bias = {"affine": ("A", "c"), "parabolic": ("K", "b0")}.get(name, ("W0", "b0"))
        v[matrix], v[bias] = w[matrix][:, :-1], w[bias] + t * w[matrix][:, -1]
    close(field.value(w, z, t), plain.value(v, z))
    close(field.jacobian(w, z, t), plain.jacobian(v, z))


def test_values_by_plain_loops():
    rng = np.random.default_rng(1)
    d, k = 3, 2
    w = {
        "W0": rng.standard_normal((k, d)),
        "b0": rng.standard_normal(k),
        "W1": rng.standard_normal((d, k)),
        "b1": rng.standard_normal(d),
    }
    z = rng.standard_normal(d)
    a = [math.tanh(sum(w["W0"][j, i] * z[i] for i in range(d)) + w["b0"][j]) for j in range(k)]
    f = [sum(w["W1"][i, j] * a[j] for j in range(k)) + w["b1"][i] for i in range(d)]
    close(oracle.shallow().value(w, z), f)
    close(oracle.mlp("tanh").value(w, z), f)
    close(
        oracle.affine().value({"A": w["W1"], "c": w["b1"]}, z[:2]),
        [w["W1"][i, 0] * z[0] + w["W1"][i, 1] * z[1] + w["b1"][i] for i in range(d)],
    )
    deep = {
        "W0": [[0.5], [2.0]],
        "b0": [0.0, 1.0],
        "W1": [[1.0, -1.0]],
        "b1": [0.25],
        "W2": [[3.0]],
        "b2": [-1.0],
    }
    deep = {name: np.array(array) for name, array in deep.items()}
    inner = math.sin(math.sin(0.5 * 0.4) - math.sin(2 * 0.4 + 1.0) + 0.25)
    close(oracle.mlp("sine").value(deep, np.array([0.4])), [3 * inner - 1])
    K, b = np.array([[1.0, 2.0], [-0.5, 0.25]]), np.array([0.1, -0.2])
    state = np.array([0.3, -0.7, 1.1, 0.9])  # Y then Z
    close(
        oracle.hamiltonian().value({"K": K, "b0": b}, state),
        [
            math.tanh(1.1 + 2 * 0.9 + 0.1),
            math.tanh(-0.5 * 1.1 + 0.25 * 0.9 - 0.2),
            -math.tanh(0.3 + 0.5 * 0.7 + 0.1),
            -math.tanh(2 * 0.3 - 0.25 * 0.7 - 0.2),
        ],
    )
    B = [[-0.3, 2.5], [-2.5, -0.3]]  # K - K^T - 0.3 I
    close(
        oracle.antisymmetric(0.3).value({"K": K, "b0": b}, z[:2]),
        [math.tanh(B[i][0] * z[0] + B[i][1] * z[1] + b[i]) for i in range(2)],
    )


@pytest.mark.parametrize("activation", list(PRIMITIVES))
def test_gradient_fields_descend_and_accelerate_along_their_potential(activation):
    """Parabolic: f = -grad sum S(Kz+b); second order: Y'' = the same force; S' = sigma."""
    _, w, z, _ = build("parabolic", activation, 3, 4, seed=5)

    def potential(y):
        return np.sum(PRIMITIVES[activation](w["K"] @ y + w["b0"]))

    force = -complex_gradient(potential, z)
    close(oracle.parabolic(activation).value(w, z), force)
    state = np.concatenate([z, [1.0, 2.0, 3.0]])
    close(oracle.second_order(activation).value(w, state), np.append([1.0, 2.0, 3.0], force))


# --- losses and regularisers ------------------------------------------------------------


@quick
@given(st.integers(1, 6), st.integers(2, 5), st.sampled_from([1.0, 300.0]), st.integers(0, 99))
def test_losses_and_probabilities_against_scipy(n, m, scale, seed):
    rng = np.random.default_rng(seed)
    V, labels = scale * rng.standard_normal((n, m)), rng.integers(0, m, n)
    log_p = scipy.special.log_softmax(V, axis=1)
    close(oracle.mean_loss("softmax", V, labels), -np.mean(log_p[np.arange(n), labels]))
    close(oracle.probabilities("softmax", V[0]), np.exp(log_p[0]))
    v, y = V[:, :1], rng.integers(0, 2, n)
    log_p1, log_p0 = scipy.special.log_expit(v[:, 0]), scipy.special.log_expit(-v[:, 0])
    close(oracle.mean_loss("logistic", v, y), -np.mean(np.where(y == 1, log_p1, log_p0)))
    close(oracle.probabilities("logistic", v[0]), np.exp([log_p0[0], log_p1[0]]))
    Y = rng.standard_normal((n, m))
    mean_squares = np.linalg.norm(V - Y, "fro") ** 2 / (2 * n)
    close(oracle.mean_loss("regression", V, Y), mean_squares)


def test_loss_gradients_are_probabilities_less_labels():
    rng = np.random.default_rng(0)
    v, p = rng.standard_normal(4), None
    p = scipy.special.softmax(v)
    gradient = complex_gradient(lambda u: oracle.sample_loss("softmax", u, 2), v)
    close(gradient, p - np.eye(4)[2])
    gradient = complex_gradient(lambda u: oracle.sample_loss("logistic", u, 1), v[:1])
    close(gradient, scipy.special.expit(v[:1]) - 1)
    with pytest.raises(ValueError, match="hinge"):
        oracle.sample_loss("hinge", v, 0)


def test_regularisers():
    rng = np.random.default_rng(0)
    close(oracle.tikhonov(np.array([[3.0, 4.0]])), 12.5)
    c = {"W": rng.standard_normal((3, 2, 2)), "b": rng.standard_normal((3, 2))}
    S = np.array([[0, 0, 0], [0, 1, 1], [0, 1, 4 / 3]])  # of p = (1, t, t^2) on [0, 1]
    nodes, weights = np.polynomial.legendre.leggauss(4)
    t = (nodes + 1) / 2
    squares = [sum(np.sum((a[1] + 2 * ti * a[2]) ** 2) for a in c.values()) for ti in t]
    close(oracle.smoothness(c, S), weights @ squares / 4)


def test_predict_pads_solves_and_reads_out():
    rng = np.random.default_rng(0)
    X, W, b = rng.standard_normal((4, 2)), rng.standard_normal((5, 3)), rng.standard_normal(5)
    drift = {"A": np.zeros((3, 3)), "c": np.array([1.0, -1.0, 2.0])}
    times = oracle.grid(0.0, 0.5, 2)
    F = oracle.predict(oracle.affine(), constant(drift), X, times, RK4, W, b, augment=1)
    close(F, np.column_stack([X, np.zeros(4)]) @ W.T + 0.5 * W @ drift["c"] + b)
    Z = oracle.predict(oracle.affine(), constant(drift), np.ones((1, 3)), times, RK4)
    close(Z, [[1.5, 0.5, 2.0]])


# --- derivatives ------------------------------------------------------------------------


def test_complex_gradient_of_known_functions():
    x = np.array([0.3, -1.2, 0.8])

    def rosenbrock(v):
        return np.sum(100.0 * (v[1:] - v[:-1] ** 2) ** 2 + (1 - v[:-1]) ** 2)

    close(complex_gradient(rosenbrock, x), scipy.optimize.rosen_der(x))
    v = np.array([1.0, 2.0, -1.0])
    close(complex_directional(rosenbrock, x, v), scipy.optimize.rosen_der(x) @ v)
    M = np.arange(6.0).reshape(2, 3)
    close(complex_gradient(lambda u: M @ u, x), M)  # value's shape first, then theta's
    close(complex_gradient(lambda W: W @ x, M), np.einsum("ij,k->ijk", np.eye(2), x))


def test_unpack_cuts_in_order():
    named = oracle.unpack(np.arange(7.0), {"a": (2, 2), "b": (), "c": (2,)})
    close(named["a"], [[0.0, 1.0], [2.0, 3.0]])
    close(named["b"], 4.0)
    close(named["c"], [5.0, 6.0])
    with pytest.raises(ValueError, match="flat"):
        oracle.unpack(np.zeros(8), {"a": (7,)})


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))
def test_reverse_mode_is_the_complex_step(d, k, n, seed):
    field, w, _, rng = build("shallow", "tanh", d, k, seed)
    X, X_bar = rng.standard_normal((n, d)), rng.standard_normal((n, d))
    shapes = {"X": X.shape} | {name: array.shape for name, array in w.items()}
    flat = np.concatenate([X.ravel(), *[array.ravel() for array in w.values()]])
    times = oracle.grid(0.0, 0.8, 3)

    def ends(flat):
        v = oracle.unpack(flat, shapes)
        return oracle.predict(field, constant(v), v["X"], times, RK4)

    Z, bar, lam = rk4_shallow_reverse(w, X, X_bar, 0.8 / 3, 3)
    close(Z, ends(flat))
    gradient = complex_gradient(lambda u: np.sum(X_bar * ends(u)), flat)
    reverse = np.concatenate([lam.ravel(), *[bar[name].ravel() for name in w]])
    close(reverse, gradient, tol.ORACLE_REVERSE)
