"""Implicit schemes: exact cases, stiff flows, orders, adjoints, and Newton's iteration at work."""

from __future__ import annotations

import math
import re

import numpy as np
import oracle
import oracle_implicit
import pytest
import tolerances as tol
from contract import close, same

import refode
from refode import bases, evaluate, fields, tableaus, verify
from refode.fields.contract import jacobian, rhs

SCHEMES = tableaus.names("implicit")
every = pytest.mark.parametrize("scheme", SCHEMES)
SPAN = (-0.2, 1.1)


def refused(error: type[Exception], message: str):
    return pytest.raises(error, match="^" + re.escape(message))


def affine(A, scheme, n_steps, T=1.0, **kwargs):
    """The ode z' = A z and its theta."""
    ode = refode.NeuralODE(fields.Affine(len(A)), scheme, n_steps, (0.0, T), **kwargs)
    return ode, ode.pack({"A": np.array(A, dtype=float)[None], "c": np.zeros((1, len(A)))})


def neuron(scheme, n_steps, a, T=1.0, **kwargs):
    """The ode z' = a tanh z in one dimension, and its theta."""
    ode = refode.NeuralODE(fields.Shallow(1, 1), scheme, n_steps, (0.0, T), **kwargs)
    one = np.ones((1, 1, 1))
    theta = ode.pack({"W0": one, "b0": np.zeros((1, 1)), "W1": a * one, "b1": np.zeros((1, 1))})
    return ode, theta


def draw(ode, n, seed=0):
    rng = np.random.default_rng(seed)
    return 0.7 * rng.standard_normal(ode.n_parameters), rng.standard_normal((n, ode.dim)), rng


# --- exact cases ----------------------------------------------------------------------------


@every
@pytest.mark.parametrize("z", [-1.0, -10.0, 0.5])
def test_a_step_of_a_linear_field_multiplies_by_the_stability_function(scheme, z):
    ode, theta = affine([[z]], scheme, 1)
    R = tableaus.get(scheme).stability(z).real
    x = np.array([[1.0], [-2.5]])
    close(ode.solve(theta, x), R * x, tol.IMPLICIT_STATE)
    _, x_bar = ode.adjoint(theta, x, np.ones((2, 1)))
    close(x_bar, np.full((2, 1), R), tol.IMPLICIT_STATE)


@every
def test_states_and_determinant_of_an_affine_field(scheme):
    """z_N = R(hA)^N x; the log-det is the quadrature of the trace, here exact."""
    A = np.random.default_rng(3).standard_normal((3, 3))
    n, h = 4, 0.25
    ode, theta = affine(A, scheme, n)
    table = tableaus.get(scheme)
    a, b, _ = table.as_floats()
    a = a + (np.array([[float(g) for g in row] for row in table.G]) if hasattr(table, "G") else 0.0)
    s = len(b)
    stages = np.linalg.solve(np.eye(3 * s) - np.kron(a, h * A), np.kron(np.ones((s, 1)), np.eye(3)))
    R = np.eye(3) + np.kron(b[None], h * A) @ stages
    x = np.random.default_rng(4).standard_normal((5, 3))
    close(ode.solve(theta, x), x @ np.linalg.matrix_power(R, n).T, tol.IMPLICIT_STATE)
    still = np.zeros_like(theta)
    J = np.stack([ode.tangent(theta, x[:1], still, e[None])[0] for e in np.eye(3)], axis=1)
    close(np.linalg.det(J), np.linalg.det(R) ** n, tol.IMPLICIT_ADJOINT)
    z, l = ode.log_det(theta, x)  # noqa: E741
    same(z, ode.solve(theta, x))
    close(l, np.full(5, np.trace(A)), tol.IMPLICIT_STATE)


@pytest.mark.parametrize("scheme", ["implicit_midpoint", "gauss2"])
def test_gauss_methods_keep_norms_of_states_and_cotangents(scheme):
    K = np.random.default_rng(5).standard_normal((4, 4))
    ode, theta = affine(K - K.T, scheme, 40, T=5.0)
    x = np.random.default_rng(6).standard_normal((3, 4))
    states = ode.trajectory(theta, x)
    norms = np.linalg.norm(states, axis=2)
    assert np.abs(norms / norms[0] - 1.0).max() <= tol.IMPLICIT_NORM
    _, x_bar = ode.adjoint(theta, x, x)
    before, after = np.linalg.norm(x, axis=1), np.linalg.norm(x_bar, axis=1)
    assert np.abs(after / before - 1.0).max() <= tol.IMPLICIT_NORM
    assert np.abs(states[-1] - x).max() > tol.SWEEP_INVARIANT_CLEAR
    dissipative, theta = affine(K - K.T, "sdirk2", 40, T=5.0)
    assert np.linalg.norm(dissipative.solve(theta, x)) < 0.999 * np.linalg.norm(x)


@pytest.mark.parametrize("scheme", ["implicit_midpoint", "gauss2"])
def test_the_adjoint_of_a_gauss_step_is_the_same_method_for_the_adjoint_equation(scheme):
    """lambda' = -J^T lambda by the same tableau on the stages of the step, from x_bar to z_bar."""
    field, h = fields.Shallow(3, 5), 0.4
    ode = refode.NeuralODE(field, scheme, 1, (0.0, h))
    theta, x, rng = draw(ode, 1)
    w = {name: value[0] for name, value in ode.unpack(theta).items()}
    A, b, c = tableaus.get(scheme).as_floats()
    plain = oracle.shallow()
    Z = oracle_implicit.stages(plain, [w] * len(b), x[0], c * h, h, A)
    z_bar = rng.standard_normal(x.shape)
    _, x_bar = ode.adjoint(theta, x, z_bar)
    J = [plain.jacobian(w, z, 0.0) for z in Z]
    s = len(b)
    M = np.eye(3 * s)
    for i in range(s):
        for j in range(s):
            M[3 * i : 3 * i + 3, 3 * j : 3 * j + 3] += h * A[i, j] * J[j].T
    L = np.linalg.solve(M, np.tile(x_bar[0], s)).reshape(s, 3)
    end = x_bar[0] - h * sum(b[i] * J[i].T @ L[i] for i in range(s))
    close(end, z_bar[0], tol.IMPLICIT_STATE)


# --- stiff flows ----------------------------------------------------------------------------


def exact_neuron(a, x, t):
    """asinh(e^{at} sinh x), where nothing overflows."""
    return np.arcsinh(np.exp(a * t) * np.sinh(x))


@pytest.mark.parametrize(
    ("scheme", "want"),
    [("implicit_midpoint", "0.328"), ("gauss2", "0.0254"), ("sdirk2", "0.0016")],
)
def test_a_stable_is_not_l_stable(scheme, want):
    """z' = -50 tanh z, four steps: the exact end is 2.9e-22."""
    assert exact_neuron(-50.0, 1.2, 1.0) == pytest.approx(2.9113733597586373535e-22, rel=1e-12)
    ode, theta = neuron(scheme, 4, -50.0)
    found = abs(ode.solve(theta, np.array([[1.2]]))[0, 0])
    assert f"{found:.{len(want) - 2}f}" == want


def test_damping_brings_newton_where_the_whole_correction_goes_astray():
    """sdirk3 on z' = -50 tanh z with h = 1/4 went to -6.3 in a prototype without damping."""
    for a, x in ((-50.0, 1.2), (-5e3, 3.0), (-5e6, 8.0)):
        for scheme in ("sdirk3", "sdirk2", "implicit_midpoint", "gauss2"):
            ode, theta = neuron(scheme, 4, a)
            path = ode.trajectory(theta, np.array([[x], [-x]]))
            assert np.abs(path).max() == x
            same(path[:, 0], -path[:, 1])
            if scheme == "sdirk3":
                assert np.abs(path[-1]).max() < 1e-2


@every
def test_the_exact_stiff_flow(scheme):
    """a = -50 from large states: errors vanish with the steps, as the scheme damps them."""
    x = np.array([[1.2], [0.3], [-2.0]])
    errors = []
    for n in (50, 400):
        ode, theta = neuron(scheme, n, -50.0)
        errors.append(np.abs(ode.solve(theta, x) - exact_neuron(-50.0, x, 1.0)).max())
    assert errors[1] <= 1e-15


@every
@pytest.mark.parametrize("a", [-8.0, 3.0])
def test_orders_of_state_and_gradient_against_the_exact_flow(scheme, a):
    """u(t) = asinh(e^{at} sinh u0) and its derivatives in a and u0, here over one unit."""
    x, T = np.array([[1.2], [-0.4]]), 1.0
    e = np.exp(a * T)
    u = exact_neuron(a, x, T)
    by_x = e * np.cosh(x) / np.cosh(u)
    by_a = T * np.tanh(u)  # d asinh(v) = dv/cosh u, dv/da = T v
    order, steps = tableaus.get(scheme).order, [64, 128, 256, 512]
    tables = {"state": [], "by x": [], "by a": []}
    for n in steps:
        ode, theta = neuron(scheme, n, a, T)
        theta_bar, x_bar = ode.adjoint(theta, x, np.ones((2, 1)))
        tables["state"].append(np.abs(ode.solve(theta, x) - u).max())
        tables["by x"].append(np.abs(x_bar - by_x).max())
        tables["by a"].append(abs(ode.unpack(theta_bar)["W1"][0, 0, 0] - by_a.sum()))
    for name, errors in tables.items():
        report = verify.observed_order(
            errors,
            [T / n for n in steps],
            expected=order,
            tolerance=tol.OBSERVED_ORDER,
            scale=1.0,
        )
        assert report, (name, report)


# --- every field ----------------------------------------------------------------------------


def pendulum(theta, t, z):
    return np.stack([z[:, 1], -theta[0] * np.sin(z[:, 0]) - theta[1] * z[:, 1]], axis=1)


def pendulum_vjp(theta, t, z, f_bar):
    theta_bar = np.array([-(f_bar[:, 1] * np.sin(z[:, 0])).sum(), -(f_bar[:, 1] * z[:, 1]).sum()])
    first = -theta[0] * np.cos(z[:, 0]) * f_bar[:, 1]
    return theta_bar, np.stack([first, f_bar[:, 0] - theta[1] * f_bar[:, 1]], axis=1)


def pendulum_jvp(theta, t, z, theta_dot, z_dot):
    second = -theta_dot[0] * np.sin(z[:, 0]) - theta_dot[1] * z[:, 1]
    second = second - theta[0] * np.cos(z[:, 0]) * z_dot[:, 0] - theta[1] * z_dot[:, 1]
    return np.stack([z_dot[:, 1], second], axis=1)


FIELDS = {
    "AffineSpec": fields.Affine(3, time=True),
    "NarrowShallowSpec": fields.Shallow(2, 5, time=True),
    "ShallowSpec": fields.Shallow(5, 3),
    "MLPSpec": fields.MLP(3, (4, 5), ("tanh", "softplus"), time=True),
    "MLPSpec, affine": fields.MLP(3, (), "tanh"),
    "AntisymmetricSpec": fields.Antisymmetric(3, 0.3, time=True),
    "ParabolicSpec": fields.Parabolic(3, 4, "softplus", time=True),
    "HamiltonianSpec": fields.Hamiltonian(4, time=True),
    "LeapfrogSpec": fields.Leapfrog(4, 3),
    "PotentialSpec": fields.Potential(2, 4, 2),
    "PotentialSpec, symmetric": fields.Potential(2, 3, quadratic="symmetric"),
    "UserSpec": fields.User(
        pendulum, dim=2, n_parameters=2, vjp=pendulum_vjp, jacobian_vector=pendulum_jvp
    ),
}
each_field = pytest.mark.parametrize("name", FIELDS)


@each_field
@pytest.mark.parametrize("scheme", ["sdirk3", "gauss2", "ros2"])
def test_adjoint_tangent_and_differences_agree(name, scheme):
    """Dot test, and the Taylor remainder of values in the direction of the gradient."""
    field = FIELDS[name]
    ode = refode.NeuralODE(field, scheme, 2, SPAN, bases.Legendre(2))
    theta, x, rng = draw(ode, 5)
    x, z_bar = 0.5 * x, rng.standard_normal(x.shape)
    report = verify.dot_test(
        lambda theta_dot, x_dot: ode.tangent(theta, x, theta_dot, x_dot),
        lambda z_bar: ode.adjoint(theta, x, z_bar),
        [theta.shape, x.shape],
        x.shape,
    )
    assert report, report
    report = verify.check_gradient(
        lambda theta: float(np.sum(z_bar * ode.solve(theta, x))),
        lambda theta: ode.adjoint(theta, x, z_bar)[0],
        theta,
        print_table=False,
    )
    assert report, report
    if field.time and name != "UserSpec":
        ends = (-0.1, 1.0)
        times_bar = ode.adjoint(theta, x, z_bar, t_span=ends, times=True)[2]
        e = 1e-6
        for i in range(2):
            moved = [list(ends), list(ends)]
            moved[0][i], moved[1][i] = ends[i] + e, ends[i] - e
            up, down = (np.sum(z_bar * ode.solve(theta, x, t_span=tuple(m))) for m in moved)
            assert times_bar[i] == pytest.approx((up - down) / (2 * e), rel=1e-7, abs=1e-7)


@pytest.mark.nojit
@each_field
def test_jacobians_are_those_of_tangents(name):
    """The bodies by hand, and pull-backs, in plain Python: real and complex numbers."""
    from refode.machine.compile import JIT

    if JIT:
        pytest.skip("kernels by themselves are called with the JIT off")
    field = FIELDS[name]
    ode = refode.NeuralODE(field, "implicit_midpoint")  # which provides pull-backs
    theta, x, _ = draw(ode, 4)
    w, (tape, scratch) = field.prepare(theta[None], False)[0], field.rows(False)
    want = evaluate.jacobian(field, theta, x, 0.3)
    for dtype in (float, complex):
        e, Z = w.astype(dtype), np.ascontiguousarray(x.T, dtype=dtype)
        F, J = np.empty_like(Z), np.empty((field.dim**2, 4), dtype)
        kept, work = np.empty((max(tape, 1), 4), dtype), np.empty((max(scratch, 1), 4), dtype)
        about = field.description()
        rhs(about, e, dtype(0.3), Z, F, None, kept)
        jacobian(about, e, dtype(0.3), Z, kept, J, work)
        close(J.real.reshape(field.dim, field.dim, 4).transpose(2, 0, 1), want, 1e-13)


# --- derivatives ----------------------------------------------------------------------------


@every
@pytest.mark.parametrize("trace", ["exact", "rademacher"])
def test_flows(scheme, trace):
    """Likelihood and transport cost by quadratures along the stages, in both directions."""
    field = fields.Shallow(2, 4, time=True)
    ode = refode.NeuralODE(field, scheme, 3, basis=bases.PiecewiseLinear(2))
    flow = refode.ContinuousNormalizingFlow(ode, transport=0.3, trace=trace)
    theta, y, _ = draw(ode, 7)
    report = verify.check_gradient(
        lambda theta: flow.value(theta, y),
        lambda theta: flow.value_and_gradient(theta, y)[1],
        theta,
        print_table=False,
    )
    assert report, report


@pytest.mark.parametrize("scheme", [s for s in SCHEMES if s != "ros2"])
def test_hessians_of_implicit_schemes(scheme):
    """Symmetric, and the difference of gradients."""
    ode = refode.NeuralODE(fields.Shallow(2, 4), scheme, 3)
    problem = refode.Supervised(ode, "regression", tikhonov=0.1)
    rng = np.random.default_rng(1)
    theta = 0.7 * rng.standard_normal(problem.n_parameters)
    x, y = rng.standard_normal((6, 2)), rng.standard_normal((6, 1))
    u, v = rng.standard_normal((2, theta.size))
    Hu, Hv = (problem.hessian_vector(theta, d, x, y) for d in (u, v))
    assert abs(u @ Hv - v @ Hu) <= tol.IMPLICIT_ADJOINT * np.linalg.norm(Hu) * np.linalg.norm(v)
    e = 1e-5
    up, down = (problem.value_and_gradient(theta + s * e * v, x, y)[1] for s in (1, -1))
    close(Hv, (up - down) / (2 * e), 1e-8)


def test_ros2_has_tangents_and_gauss_newton_products_and_no_hessians():
    ode = refode.NeuralODE(fields.Shallow(2, 4), "ros2", 3)
    problem = refode.Supervised(ode, "regression")
    rng = np.random.default_rng(1)
    theta = 0.7 * rng.standard_normal(problem.n_parameters)
    x, y = rng.standard_normal((6, 2)), rng.standard_normal((6, 1))
    assert np.isfinite(problem.gauss_newton_vector(theta, theta, x, y)).all()
    with refused(ValueError, "scheme: got 'ros2', whose gradient has second derivatives"):
        problem.hessian_vector(theta, theta, x, y)


@every
def test_memory_modes_give_the_same_bits(scheme):
    def bars(memory):
        ode = refode.NeuralODE(
            fields.Shallow(2, 4, time=True), scheme, 4, SPAN, bases.Legendre(3), memory
        )
        theta, x, rng = draw(ode, 11)
        z_bar = rng.standard_normal((5, *x.shape))
        found = [*ode.adjoint(theta, x, z_bar, times=True)]
        return found + [*ode.log_det_adjoint(theta, x, z_bar[0], z_bar[1, :, 0].copy())]

    for a, b in zip(bars("steps"), bars("store"), strict=True):
        same(a, b)
    with refused(ValueError, "memory: got 'reverse'"):
        bars("reverse")


@pytest.mark.parametrize("scheme", ["sdirk2", "gauss2", "ros2"])
def test_same_bits_on_any_number_of_threads(scheme):
    ode = refode.NeuralODE(fields.Shallow(2, 4), scheme, 3)
    theta, x, _ = draw(ode, 1000)
    before, found = refode.get_num_threads(), []
    try:
        for n in (1, 2, 5):
            refode.set_num_threads(n)
            found.append([ode.solve(theta, x), *ode.adjoint(theta, x, x)])
    finally:
        refode.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            same(a, b)
    z, theta_bar, x_bar = found[0]
    part = slice(300, 317)
    close(ode.solve(theta, x[part]), z[part], tol.IMPLICIT_STATE)
    close(ode.adjoint(theta, x[part], x[part])[1], x_bar[part], tol.IMPLICIT_STATE)


def test_a_tableau_of_ones_own():
    """Backward Euler, and Radau IIA of order 3, whose stages are solved for all at once."""
    euler = tableaus.ImplicitTableau("backward", [[1]], [1], [1], 1, "Cauchy, 1824")
    radau = tableaus.ImplicitTableau.from_text(
        "radau3",
        3,
        "J. C. Butcher, 1964",
        """
        1/3 | 5/12  -1/12
        1   |  3/4    1/4
        ----+-------------
            |  3/4    1/4
        """,
    )
    for table in (euler, radau):
        ode, theta = affine([[-3.0]], table, 1)
        got = ode.solve(theta, np.ones((1, 1)))[0, 0]
        assert got == pytest.approx(table.stability(-3.0).real, rel=1e-14)
        assert ode.scheme == table.name
        _, x_bar = ode.adjoint(theta, np.ones((1, 1)), np.ones((1, 1)))
        assert x_bar[0, 0] == pytest.approx(got, rel=1e-14)


def test_ros2_with_another_gamma_and_no_other_rosenbrock_method():
    t = tableaus.get("ros2")
    G = (("1/2", "0"), ("-1", "1/2"))
    half = tableaus.RosenbrockTableau("half", t.A, t.b, t.c, 2, "gamma = 1/2", G=G)
    ode, theta = affine([[-3.0]], half, 2)
    got = ode.solve(theta, np.ones((1, 1)))[0, 0]
    assert got == pytest.approx(half.stability(-1.5).real ** 2, rel=1e-14)
    other = tableaus.RosenbrockTableau("other", t.A, t.b, t.c, 2, "", G=((1, 0), (0, 1)))
    with refused(ValueError, "scheme: got the Rosenbrock method 'other', wanted 'ros2'"):
        refode.NeuralODE(fields.Affine(1), other)


# --- Newton's iteration ---------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["sdirk2", "sdirk3", "implicit_midpoint"])
@pytest.mark.parametrize("size", [10.0, 1e4])
def test_the_stages_of_gradient_flows_are_found(scheme, size):
    """Parabolic fields are gradients of convex functions: their stages are there, and single, at
    every step, be all units saturated on the way. From size 100 on corrections alone do not do."""
    field = fields.Parabolic(4, 6)
    ode = refode.NeuralODE(field, scheme, 4)
    for seed in range(3):
        theta, x, _ = draw(ode, 50, seed)
        theta = size * theta
        z = ode.solve(theta, x)
        _, x_bar = ode.adjoint(theta, x, z)
        assert np.isfinite(x_bar).all()
        K, b = (ode.unpack(theta)[name][0] for name in ("K", "b0"))
        before, after = (np.abs(y @ K.T + b).sum(axis=1) for y in (x, z))
        if scheme != "implicit_midpoint":
            assert (after <= before * (1.0 + 1e-9)).all()


def blowing_up(theta, t, z):
    return theta * np.exp(z)


def blowing_up_vjp(theta, t, z, f_bar):
    return np.array([np.sum(np.exp(z) * f_bar)]), theta * np.exp(z) * f_bar


@pytest.mark.parametrize("scheme", ["implicit_midpoint", "sdirk2", "sdirk3", "gauss2"])
def test_where_newton_fails_step_and_sample_are_named(scheme):
    """z' = e^z from 1.5 ends at t = e^-1.5: later steps have no stages at all."""
    field = fields.User(
        blowing_up, dim=1, n_parameters=1, vjp=blowing_up_vjp, initial=lambda rng: np.ones(1)
    )
    ode = refode.NeuralODE(field, scheme, 5)
    theta, x = np.ones(1), np.array([[-3.0], [-2.0], [1.5], [-2.5]])
    assert np.isfinite(ode.solve(theta, x[[0, 1, 3]])).all()
    message = r"^scheme: got Newton's iteration that did not converge in step 1 of 5 \(t = 0.2, h = 0.2\) for sample 2 \(1 of 4 samples fail\), wanted"  # noqa: E501
    for call in (
        lambda: ode.solve(theta, x),
        lambda: ode.trajectory(theta, x),
        lambda: ode.adjoint(theta, x, x),
    ):
        with pytest.raises(
            ValueError, match=message.replace("step 1", r"step \d").replace("0.2, h", r"\S+, h")
        ):
            call()
    assert np.isfinite(ode.solve(theta, x[[0, 1, 3]])).all()  # nothing is left of it


def test_training_comes_back_from_where_newton_fails():
    """A step too long, as one to where nothing is finite; at the start it is the error itself."""
    field = fields.User(
        blowing_up, dim=1, n_parameters=1, vjp=blowing_up_vjp, initial=lambda rng: np.ones(1)
    )
    problem = refode.Supervised(
        refode.NeuralODE(field, "sdirk2", 5), "regression", n_outputs=1, readout=False
    )
    x, y = np.array([[-1.0], [-0.5]]), np.array([[-0.6], [0.3]])
    with refused(ValueError, "scheme: got Newton's iteration that did not converge in step"):
        problem.value_and_gradient(np.array([9.0]), x, y)
    with refused(ValueError, "scheme: got Newton's iteration that did not converge in step"):
        refode.train(problem, x, y, theta0=np.array([9.0]), progress=False)
    asked = []

    class Watched:
        def value_and_gradient(self, theta, x, y):
            asked.append(float(theta[0]))
            scaled = 1.0 if len(asked) != 2 else 9.0 / theta[0]  # the first step is far too long
            return problem.value_and_gradient(scaled * theta, x, y)

    result = refode.train(Watched(), x, y, theta0=np.array([0.3]), progress=False)
    assert result.success, result.message
    assert 0.89 < result.x[0] < 0.91  # e^-x - e^-y of the one sample, and of the other
    assert len(asked) > 2


def test_a_singular_system_is_a_failure():
    ode, theta = affine([[2.0, 0.0], [0.0, -1.0]], "implicit_midpoint", 1)
    with refused(ValueError, "scheme: got Newton's iteration that did not converge in step 0 of 1"):
        ode.solve(theta, np.ones((3, 2)))
    ode, theta = affine([[1.0 / 0.2928932188134524755991556379]], "ros2", 1)
    with pytest.raises(ValueError, match=r"^(x|scheme): got"):
        ode.solve(theta, np.full((3, 1), 1e300))


def test_a_path_that_is_not_finite_is_no_failure_of_newtons():
    ode, theta = affine([[1.0]], "implicit_midpoint", 2, T=2.0)
    with refused(ValueError, "x: got sample 0, whose path leaves the finite range"):
        ode.solve(theta, np.full((1, 1), 0.8e308))
    ode, theta = affine([[1.0]], "implicit_midpoint", 1)  # nothing is squared
    close(ode.solve(theta, np.full((1, 1), 1e200)), np.full((1, 1), 3e200), tol.IMPLICIT_STATE)


@pytest.mark.parametrize("iterations", [1, 2, 3, 4, 6, 8, 30])
def test_an_unconverged_iteration_makes_the_adjoint_wrong(iterations):
    """With a frozen Jacobian, against the derivative of the iteration that was run: the error of
    the implicit function theorem's adjoint is that of the stages, and rounding where they are
    found. So stages are solved for to rounding, and failures are errors."""
    plain, d, h = oracle.shallow(), 3, 0.5
    rng = np.random.default_rng(2)
    shapes = {"W0": (4, d), "b0": (4,), "W1": (d, 4), "b1": (d,)}
    theta = rng.standard_normal(sum(math.prod(s) for s in shapes.values()))
    y, v = rng.standard_normal(d), rng.standard_normal(theta.size)
    A, b, c = tableaus.get("gauss2").as_floats()

    def end(theta):
        w = oracle.unpack(theta, shapes)
        Z = oracle_implicit.stages(plain, [w] * 2, y, c * h, h, A, iterations, frozen=True)
        return Z, w, y + h * sum(b[i] * plain.value(w, Z[i]) for i in range(2))

    run = end(theta + 1e-200j * v)[2].imag / 1e-200  # of the iteration itself
    Z, w, _ = end(theta)
    J = [plain.jacobian(w, z, 0.0) for z in Z]
    by_theta = [
        oracle.complex_directional(
            lambda th, z=z: plain.value(oracle.unpack(th, shapes), z), theta, v
        )
        for z in Z
    ]
    M = np.eye(2 * d)
    for i in range(2):
        for j in range(2):
            M[i * d : (i + 1) * d, j * d : (j + 1) * d] -= h * A[i, j] * J[j]
    Z_dot = np.linalg.solve(M, (h * A @ np.array(by_theta)).ravel()).reshape(2, d)
    theorem = h * sum(b[i] * (J[i] @ Z_dot[i] + by_theta[i]) for i in range(2))
    error = np.linalg.norm(theorem - run) / np.linalg.norm(run)
    if iterations == 30:
        assert error <= 1e-14
    else:
        assert error >= 10.0 ** (-1.6 * iterations - 1.5), error


def test_without_the_jacobians_own_derivative_ros2_is_wrong_by_the_square_of_the_step():
    """Small enough to pass for an error of the scheme; the whole term is in the gradient here."""
    plain, d, T = oracle.shallow(), 2, 1.0
    ode = refode.NeuralODE(fields.Shallow(d, 4), "ros2", 1)
    theta, x, rng = draw(ode, 1)
    v, z_bar = rng.standard_normal(theta.size), rng.standard_normal(d)
    shapes = {name: shape[1:] for name, shape in ode.layout.shapes.items()}
    gamma = float(tableaus.get("ros2").G[0][0])

    def end(theta, n, jacobian):
        w, y, h = oracle.unpack(theta, shapes), x[0], T / n
        for k in range(n):
            field = oracle.Field(plain.value, jacobian)
            y, _ = oracle_implicit.ros2_step(field, [w, w], y, k * h, h, gamma)
        return np.sum(z_bar * y)

    def held(w, z, t):
        return plain.jacobian({name: a.real for name, a in w.items()}, z.real, t)

    off, steps = [], [8, 16, 32, 64, 128]
    for n in steps:
        right = oracle.complex_directional(lambda th, n=n: end(th, n, plain.jacobian), theta, v)
        wrong = oracle.complex_directional(lambda th, n=n: end(th, n, held), theta, v)
        theta_bar, _ = ode.with_steps(n).adjoint(theta, x, z_bar[None])
        assert abs(theta_bar @ v - right) <= tol.IMPLICIT_ADJOINT * abs(right)
        off.append(abs(wrong - right) / abs(right))
    report = verify.observed_order(off, [T / n for n in steps], expected=2, tolerance=0.2)
    assert report, report
    assert off[0] > 1e-5


def test_a_large_state_is_refused_before_its_jacobians_fill_the_memory():
    with refused(ValueError, "scheme: got 'gauss2'"):
        refode.NeuralODE(fields.Antisymmetric(20_000), "gauss2")


def test_what_cannot_be():
    with refused(ValueError, "scheme: got 'sdirk2' with device='cuda', wanted an explicit"):
        refode.NeuralODE(fields.Affine(2), "sdirk2", device="cuda")
    game = refode.games.optimal_transport(
        refode.densities.Gaussian(np.zeros(2), 1.0), refode.densities.Gaussian(np.ones(2), 1.0)
    )
    with refused(ValueError, "scheme: got 'gauss2', wanted an explicit scheme (with an entropy"):
        refode.MeanFieldGame(fields.Potential(2, 3), game, scheme="gauss2")
