"""The oracle's schemes against matrix exponentials, determinants and observed orders."""

from __future__ import annotations

import math

import numpy as np
import oracle
import pytest
import scipy.linalg
import tolerances as tol
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import complex_gradient
from oracle_cases import ACTIVATIONS, EULER, RK4, build, close, constant

quick = settings(max_examples=30, deadline=None, derandomize=True)


def affine_problem(seed=3, d=3):
    rng = np.random.default_rng(seed)
    return {"A": rng.standard_normal((d, d)), "c": rng.standard_normal(d)}, rng.standard_normal(d)


def exact_affine(w, x, T):
    d = len(x)
    block = np.zeros((d + 1, d + 1))
    block[:d, :d], block[:d, d] = w["A"] * T, w["c"] * T
    return (scipy.linalg.expm(block) @ np.append(x, 1.0))[:d]


def observed_order(errors):
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


@pytest.mark.parametrize(("tableau", "order"), [(EULER, 1), (RK4, 4)])
@pytest.mark.parametrize("span", [(0.2, 1.0), (1.0, -0.1)])
def test_affine_converges_to_the_matrix_exponential(tableau, order, span):
    w, x = affine_problem()
    errors = []
    for n in (16, 32, 64) if order == 4 else (512, 1024, 2048):
        times = oracle.grid(*span, n)
        end = oracle.trajectory(oracle.affine().value, constant(w), x, times, tableau)[-1]
        errors.append(np.linalg.norm(end - exact_affine(w, x, span[1] - span[0])))
    assert np.all(np.abs(observed_order(errors) - order) < tol.ORACLE_ORDER), errors


def test_rk4_of_a_linear_field_has_the_determinant_of_its_stability_function():
    w, x = affine_problem()
    times, n = oracle.grid(0.0, 1.0, 5), 5
    R = sum(np.linalg.matrix_power(w["A"] / n, j) / math.factorial(j) for j in range(5))

    def end(z):
        return oracle.trajectory(oracle.affine().value, constant(w), z, times, RK4)[-1]

    jacobian = complex_gradient(end, x)
    close(jacobian, np.linalg.matrix_power(R, n))
    close(np.linalg.det(jacobian), np.linalg.det(R) ** n)
    z, l = oracle.log_det(oracle.affine(), constant(w), x, times, RK4)  # noqa: E741
    close(z, end(x))
    close(l, np.trace(w["A"]))  # the quadrature of a constant is exact


def test_log_det_tends_to_that_of_the_flow_and_running_cost_adds_up():
    field, w, x, _ = build("shallow", "tanh", 2, 4, seed=8)
    errors = []
    for n in (32, 64, 128):
        times = oracle.grid(0.0, 1.0, n)

        def end(z, times=times):
            return oracle.trajectory(field.value, constant(w), z, times, RK4)[-1]

        jacobian = complex_gradient(end, x)
        _, l = oracle.log_det(field, constant(w), x, times, RK4)  # noqa: E741
        errors.append(abs(l - np.log(np.linalg.det(jacobian))))
    assert np.all(np.abs(observed_order(errors) - 4) < tol.ORACLE_ORDER), errors
    still = {"A": np.zeros((2, 2)), "c": np.array([3.0, 4.0])}
    rhs = oracle.augmented(oracle.affine(), lambda z, f, t: f @ f / 2 + t)
    y = oracle.trajectory(rhs, constant(still), np.append(x, [0.0, 0.0]), times, RK4)[-1]
    close(y, [x[0] + 3, x[1] + 4, 0.0, 12.5 + 0.5])


def test_stages_read_theta_at_their_own_times():
    """z' = theta(t): RK4 is Simpson's rule, exact for cubics; and t enters f too."""
    times = oracle.grid(0.5, 2.0, 3)
    close(times, [0.5, 1.0, 1.5, 2.0])
    zero = np.zeros((1, 1))
    cubic = oracle.trajectory(
        oracle.affine().value, lambda t: {"A": zero, "c": np.array([t**3])}, np.zeros(1), times, RK4
    )
    close(cubic[:, 0], (times**4 - 0.5**4) / 4)
    w = {"A": np.array([[0.0, 1.0]]), "c": np.zeros(1)}
    linear = oracle.trajectory(oracle.affine(time=True).value, constant(w), np.zeros(1), times, RK4)
    close(linear[:, 0], (times**2 - 0.5**2) / 2)
    mixed = oracle.in_time(
        {"A": np.zeros((3, 1, 1)), "c": np.array([[1.0], [0.0], [6.0]])},
        lambda t: np.array([1.0, t, t**2]),
    )
    end = oracle.trajectory(oracle.affine().value, mixed, np.zeros(1), times, RK4)[-1]
    close(end, [1.5 + 2 * (8.0 - 0.125)])


def test_cells_hold_through_a_whole_step_and_make_a_resnet():
    """Eq. (3): Euler with h = 1 is the residual network, layer by layer."""
    rng = np.random.default_rng(2)
    c = {
        "W0": rng.standard_normal((3, 4, 2)),
        "b0": rng.standard_normal((3, 4)),
        "W1": rng.standard_normal((3, 2, 4)),
        "b1": rng.standard_normal((3, 2)),
    }
    x = rng.standard_normal(2)
    got = oracle.trajectory(
        oracle.shallow().value, oracle.in_cells(c, [0, 1, 2]), x, np.arange(4.0), EULER
    )
    expected = x
    for n in range(3):
        hidden = np.tanh(c["W0"][n] @ expected + c["b0"][n])
        expected = expected + c["W1"][n] @ hidden + c["b1"][n]
        close(got[n + 1], expected)
    # in RK4 the last stage of a step lies on the next cell's edge and must not look into it
    cells = oracle.in_cells({"A": np.zeros((2, 1, 1)), "c": np.array([[1.0], [10.0]])}, [0, 1])
    steps = oracle.trajectory(oracle.affine().value, cells, np.zeros(1), np.arange(3.0), RK4)
    close(steps[:, 0], [0.0, 1.0, 11.0])


def test_derivative_by_the_end_time_is_the_velocity():
    field, w, x, _ = build("mlp", "softplus", 2, 3, seed=4, time=True)

    def end(T):
        return oracle.trajectory(field.value, constant(w), x, oracle.grid(0.0, T[0], 64), RK4)[-1]

    velocity = complex_gradient(end, np.array([0.5]))[:, 0]
    close(velocity, field.value(w, end(np.array([0.5])), 0.5), tol.ORACLE_DISCRETE)


@quick
@given(st.integers(1, 4), st.sampled_from(ACTIVATIONS), st.booleans(), st.integers(0, 99))
def test_verlet_is_reversible_and_keeps_volume(n, activation, time, seed):
    _, w, y, _ = build("hamiltonian", activation, n, n, seed, time=time)
    h, t = 0.3, 0.9 if time else None
    b = w["b0"] + 0.9 * w["tau"] if time else w["b0"]
    sigma, _ = oracle.ACTIVATIONS[activation]
    Y, Z = oracle.verlet_step(w, y[:n], y[n:], h, activation, t)
    Y_back = Y - h * sigma(w["K"] @ Z + b)
    close(Y_back, y[:n])
    close(Z + h * sigma(w["K"].T @ Y_back + b), y[n:])

    def step(s):
        return np.concatenate(oracle.verlet_step(w, s[:n], s[n:], h, activation, t))

    close(np.linalg.det(complex_gradient(step, y)), 1.0)


def symplectic_defect(M, K):
    """M^T Omega M - Omega for Omega = [[0, -K], [K^T, 0]]; K = -I is the canonical form."""
    Omega = np.block([[np.zeros((len(K), len(K))), -K], [K.T, np.zeros((len(K), len(K)))]])
    return np.max(np.abs(M.T @ Omega @ M - Omega))


def test_which_steps_are_symplectic():
    """Verlet keeps the form of K, and the canonical one only where diag(sigma') K is symmetric."""

    def jacobian(K):
        w = {"K": K, "b0": np.array([0.3, -0.4])}

        def step(s):
            return np.concatenate(oracle.verlet_step(w, s[:2], s[2:], 0.3))

        return complex_gradient(step, np.array([0.1, -0.2, 0.5, 0.7]))

    K, diagonal = np.array([[1.5, 0.4], [-0.6, -0.7]]), np.diag([1.5, -0.7])
    assert symplectic_defect(jacobian(K), K) < tol.ORACLE_ROUNDING
    assert symplectic_defect(jacobian(K), -np.eye(2)) > 0.1
    assert symplectic_defect(jacobian(diagonal), -np.eye(2)) < tol.ORACLE_ROUNDING
    _, w, y, _ = build("second_order", "tanh", 3, 4, seed=6)
    h = 0.3

    def leapfrog(s):  # V = (Y - Y_old)/h
        Y, old = oracle.leapfrog_step(w, s[:3], s[:3] - h * s[3:], h)
        return np.concatenate([Y, (Y - old) / h])

    assert symplectic_defect(complex_gradient(leapfrog, y), -np.eye(3)) < tol.ORACLE_ROUNDING


def test_hamiltonian_field_conserves_its_energy():
    """H = sum log cosh(K Z + b) + log cosh(K^T Y + b): its gradient is orthogonal to f."""
    field, w, y, _ = build("hamiltonian", "tanh", 3, 3, seed=12)

    def energy(s):
        u, v = w["K"] @ s[3:] + w["b0"], w["K"].T @ s[:3] + w["b0"]
        return np.sum(np.log(np.cosh(u))) + np.sum(np.log(np.cosh(v)))

    gradient = complex_gradient(energy, y)
    assert np.linalg.norm(gradient) > 0.1
    close(gradient @ field.value(w, y), 0.0)


def test_symplectic_steps_converge_to_their_odes():
    verlet, leapfrog = [], []
    field, w, y, _ = build("hamiltonian", "tanh", 2, 2, seed=7)
    newton, v, s, _ = build("second_order", "tanh", 2, 3, seed=7)
    fine = oracle.grid(0.0, 1.0, 200)
    ham = oracle.trajectory(field.value, constant(w), y, fine, RK4)[-1]
    new = oracle.trajectory(newton.value, constant(v), s, fine, RK4)[-1]
    for n in (64, 128, 256):
        h = 1.0 / n
        Y, Z = y[:2], y[2:]
        U, old = s[:2], oracle.trajectory(newton.value, constant(v), s, np.array([0, -h]), RK4)[-1]
        U_old = old[:2]
        for _ in range(n):
            Y, Z = oracle.verlet_step(w, Y, Z, h)
            U, U_old = oracle.leapfrog_step(v, U, U_old, h)
        verlet.append(np.linalg.norm(np.append(Y, Z) - ham))
        leapfrog.append(np.linalg.norm(U - new[:2]))
    assert np.all(np.abs(observed_order(verlet) - 1) < tol.ORACLE_ORDER), verlet
    assert np.all(np.abs(observed_order(leapfrog) - 2) < tol.ORACLE_ORDER), leapfrog


def test_splitting_contains_verlet_and_the_leapfrog():
    field, w, y, _ = build("hamiltonian", "sine", 2, 2, seed=10, time=True)
    newton, v, s, _ = build("second_order", "tanh", 2, 3, seed=10)
    times, order = oracle.grid(0.2, 1.0, 3), [(1, 1.0, 0.0), (0, 1.0, 0.0)]
    path = oracle.splitting(field, constant(w), y, times, order)
    moved = oracle.splitting(newton, constant(v), s, times, order)
    h, (Y, Z), (U, U_old) = 0.8 / 3, np.split(y, 2), (s[:2], s[:2] - 0.8 / 3 * s[2:])
    for n in range(3):
        Y, Z = oracle.verlet_step(w, Y, Z, h, "sine", times[n])
        U, U_old = oracle.leapfrog_step(v, U, U_old, h)
        close(path[n + 1], np.append(Y, Z))
        close(moved[n + 1], np.append(U, (U - U_old) / h))


def test_stormer_verlet_has_order_two_with_weights_in_time():
    field, w, y, rng = build("hamiltonian", "tanh", 2, 2, seed=11, time=True)
    coefficients = {name: np.array([a, rng.standard_normal(a.shape)]) for name, a in w.items()}
    theta = oracle.in_time(coefficients, lambda t: np.array([1.0, t]))
    fine = oracle.trajectory(field.value, theta, y, oracle.grid(0.0, 1.0, 200), RK4)[-1]
    substeps, errors = [(1, 0.5, 0.0), (0, 1.0, 0.5), (1, 0.5, 1.0)], []
    for n in (32, 64, 128):
        end = oracle.splitting(field, theta, y, oracle.grid(0.0, 1.0, n), substeps)[-1]
        errors.append(np.linalg.norm(end - fine))
    assert np.all(np.abs(observed_order(errors) - 2) < tol.ORACLE_ORDER), errors


def test_leapfrog_is_reversible_with_time():
    _, w, y, _ = build("second_order", "sine", 2, 3, seed=9, time=True)
    Y, now = oracle.leapfrog_step(w, y[:2], y[2:], 0.3, "sine", 0.4)
    back, again = oracle.leapfrog_step(w, now, Y, 0.3, "sine", 0.4)
    close(back, y[2:])
    close(again, y[:2])
    plain = {"K": w["K"], "b0": w["b0"] + 0.4 * w["tau"]}
    close(Y, oracle.leapfrog_step(plain, y[:2], y[2:], 0.3, "sine")[0])
