"""Flows against the oracle: objective, gradient, Hessian products, inverses and densities."""

from __future__ import annotations

import contract
import numpy as np
import oracle
import pytest
import tolerances as tol
from contract import close, same
from flow_cases import FIELDS, T_SPAN, FlowCase, cases, over
from sweep_oracle import Twin

import refode
from refode import bases, tableaus, verify
from refode.costs.contract import Cotangent

CASES = cases()
ESTIMATED = [
    FlowCase("small", basis=bases.PiecewiseLinear(3), trace="gaussian"),
    FlowCase("wide", "heun", trace="rademacher"),
    FlowCase("mlp", trace="rademacher"),
    FlowCase("hamiltonian", "heun", trace="gaussian"),
]


@pytest.mark.nojit
@over(CASES)
def test_objective_and_gradient(case):
    flow, (theta, y, rng) = case.flow, case.draw()
    want = case.objective(theta, y)
    value, gradient = flow.value_and_gradient(theta, y)
    close(value, want, tol.FLOW_VALUE)
    close(flow.value(theta, y), want, tol.FLOW_VALUE)
    for name, place in flow.layout.slices.items():
        v = np.zeros_like(theta)
        v[place] = rng.standard_normal(gradient[place].size)
        slope = oracle.complex_directional(lambda th: case.objective(th, y), theta, v)
        scale = np.linalg.norm(gradient[place]) * np.linalg.norm(v)
        assert abs(gradient @ v - slope) <= tol.FLOW_GRADIENT * scale, name
        assert scale > 0, name


@over([c for c in CASES if c.scheme == "rk4"])
def test_every_entry_of_the_gradient(case):
    theta, y, _ = case.draw()
    want = oracle.complex_gradient(lambda th: case.objective(th, y), theta)
    close(case.flow.value_and_gradient(theta, y)[1], want, tol.FLOW_GRADIENT)


@over([c for c in CASES if c.scheme in ("rk4", "heun")])
def test_complex_step_taylor_and_hessian(case):
    """By the checks that users run; the product with the Hessian besides."""
    flow, (theta, y, _) = case.flow, case.draw()

    def value(at):
        return flow._value_and_gradient(at, y)[0] if np.iscomplexobj(at) else flow.value(at, y)

    report = verify.check_gradient(
        value,
        lambda at: flow.value_and_gradient(at, y)[1],
        theta,
        hessian_vector=lambda at, v: flow.hessian_vector(at, v, y),
        blocks=flow.layout.slices,
        print_table=False,
    )
    assert report.passed, report
    assert report.method == "complex step"
    assert report.relative_error <= tol.FLOW_GRADIENT


@over([FlowCase(name, basis=bases.Legendre(3), n=9) for name in ("small", "mlp", "hamiltonian")])
def test_dot_test_of_states_log_det_and_transport(case):
    flow, (theta, y, _) = case.flow, case.draw()
    plan = flow.ode.plan(T_SPAN[::-1])

    def tangent(theta_dot, y_dot):
        size = 1e-200
        th, at = theta + 1j * size * theta_dot, y + 1j * size * y_dot
        return np.column_stack(flow._backward(th, at, flow.ode, None)).imag / size

    def adjoint(bars):
        signed = bars.copy()
        signed[:, -1] = -bars[:, -1]  # _backward gives v without the sign of the direction
        result, theta_bar = flow._pull_back(theta, y, Cotangent(signed[None]), plan)
        return theta_bar, result.x_bar

    report = verify.dot_test(tangent, adjoint, [theta.shape, y.shape], (len(y), flow.dim + 2))
    assert report, report


@over([c for c in CASES if c.scheme in ("rk4", "heun")][:14])
def test_hessian_against_the_oracle(case):
    """The complex step through central differences of nothing: of the oracle's own gradient."""
    flow, (theta, y, rng) = case.flow, case.draw()
    v = rng.standard_normal(theta.size)
    v /= np.linalg.norm(v)
    got = flow.hessian_vector(theta, v, y)
    u = rng.standard_normal(theta.size)

    def slope(h):
        return oracle.complex_directional(lambda th: case.objective(th, y), theta + h * v, u)

    h = tol.FLOW_STEP
    want = (8 * (slope(h) - slope(-h)) - (slope(2 * h) - slope(-2 * h))) / (12 * h)
    assert abs(got @ u - want) <= tol.FLOW_HESSIAN * np.linalg.norm(got) * np.linalg.norm(u)
    same(flow.hessian_vector(theta, np.zeros_like(v), y), np.zeros_like(v))


@pytest.mark.nojit
@over([CASES[0], CASES[1], CASES[4]])
def test_inverse_density_and_transport(case):
    flow, (theta, y, _) = case.flow, case.draw()
    w, l, v = (a.real for a in case.ends(theta, y))  # noqa: E741
    got_w, got_l = flow.inverse(theta, y)
    close(got_w, w, tol.FLOW_VALUE)
    close(got_l, l, tol.FLOW_VALUE)
    close(flow.transport_cost(theta, y), -v, tol.FLOW_VALUE)
    want = l - np.sum(w**2, axis=1) / 2 - flow.dim / 2 * np.log(2 * np.pi)
    close(flow.log_density(theta, y), want, tol.FLOW_VALUE)
    same(flow.log_density(theta, y, t=T_SPAN[1]), flow.log_density(theta, y))
    normal = -np.sum(y**2, axis=1) / 2 - flow.dim / 2 * np.log(2 * np.pi)
    close(flow.log_density(theta, y, t=T_SPAN[0]), normal, tol.FLOW_VALUE)
    same(flow.generate(theta, y), flow.ode.solve(theta, y))
    same(flow.trajectory(theta, y), flow.ode.trajectory(theta, y))
    back = flow.trajectory(theta, y, inverse=True)
    same(back[0], y)
    close(back[-1], w, tol.FLOW_VALUE)
    finer = refode.NeuralODE(flow.ode.field, case.scheme, 7, T_SPAN, case.basis)
    same(flow.generate(theta, y, n_steps=7), finer.solve(theta, y))
    same(flow.inverse(theta, y, n_steps=7)[1], finer.log_det(theta, y, t_span=T_SPAN[::-1])[1])
    z = np.random.default_rng(5).standard_normal((6, flow.dim))
    same(flow.sample(theta, 6, seed=5), flow.generate(theta, z))


@pytest.mark.nojit
@over([CASES[0], CASES[1], CASES[4]])
@pytest.mark.parametrize("t", [-0.05, 0.4])
def test_density_in_between(case, t):
    """rho(t, .) of (16): back from t to t0 alone, (D49), by the oracle's own path."""
    flow, (theta, y, _) = case.flow, case.draw()
    w, l = Twin(flow.ode, FIELDS[case.field][1]).log_det(theta, y, t, T_SPAN[0])  # noqa: E741
    want = l.real - np.sum(w.real**2, axis=1) / 2 - flow.dim / 2 * np.log(2 * np.pi)
    close(flow.log_density(theta, y, t=t), want, tol.FLOW_VALUE)
    if flow.dim == 2:
        axes = np.array([-0.5, 0.1, 0.3]), np.array([0.2, 0.7])
        grid = flow.density_on_grid(theta, *axes, t=t)
        points = np.array([[a, b] for a in axes[0] for b in axes[1]])
        close(grid.ravel(), np.exp(flow.log_density(theta, points, t=t)), tol.FLOW_VALUE)
        assert grid.shape == (3, 2)


@over([c for c in CASES[:6] if c.field != "line"])
def test_log_det_exact_is_the_maps_own(case):
    """slogdet of the oracle's map, differentiated by the complex step in each direction."""
    flow, (theta, y, _) = case.flow, case.draw()
    want = []
    for row in y:
        J = oracle.complex_gradient(lambda x: case.ends(theta, x[None])[0][0], row)
        want.append(np.linalg.slogdet(J)[1])
    close(flow.log_det_exact(theta, y), want, tol.FLOW_GRADIENT)


@over(
    [
        FlowCase("small", "rk4", bases.Legendre(3)),
        FlowCase("mlp", "rk4"),
        FlowCase("small", "heun"),
        FlowCase("small", "kutta3"),
    ]
)
def test_quadrature_and_inverse_converge(case):
    """The trace's quadrature to the map's own determinant at the scheme's order p; F^{-1} F to
    the identity at p for odd p and p + 1 for even p, since then the local errors of a step h
    and of the step -h back cancel to leading order, (D48)."""
    flow, (theta, y, _) = case.flow, case.draw()
    p = tableaus.get(case.scheme).order

    def gap(n):
        return flow.inverse(theta, y, n)[1] - flow.log_det_exact(theta, y, n)

    def there_and_back(n):
        return flow.generate(theta, flow.inverse(theta, y, n)[0], n) - y

    steps = 2 ** np.arange(3, 11)
    for error, order in ((gap, p), (there_and_back, p + 1 - p % 2)):
        errors = [np.sqrt(np.mean(error(n) ** 2)) for n in steps]
        report = verify.observed_order(
            errors,
            1.0 / steps,
            expected=order,
            tolerance=tol.OBSERVED_ORDER,
            floor=tol.FLOW_FLOOR,
        )
        assert report, (error.__name__, report)


@over([FlowCase("small", "rk4", bases.Legendre(3)), FlowCase("affine", "dopri5")])
def test_forward_and_backward_densities_agree(case):
    """log N(x) - l along F from x, and log_density at F(x); fine steps, so up to rounding."""
    flow, (theta, y, _) = case.flow, case.draw()
    z, l = flow.ode.with_steps(200).log_det(theta, y)  # noqa: E741
    forward = -np.sum(y**2, axis=1) / 2 - flow.dim / 2 * np.log(2 * np.pi) - l
    assert np.abs(flow.log_density(theta, z, 200) - forward).max() <= tol.FLOW_THERE_AND_BACK


@over(ESTIMATED)
def test_hutchinson(case):
    """eps^T J eps by the oracle's dense Jacobian; gradient by the complex step through it."""
    flow, (theta, y, _) = case.flow, case.draw()
    noise = flow._start(y)[:, flow.dim :]
    if case.trace == "rademacher":
        assert set(np.unique(noise)) == {-1.0, 1.0}
    field = FIELDS[case.field][1]

    class Estimated(type(field)):
        """The oracle's field with an estimate in place of its trace, for one sample."""

        eps = None

        def trace(self, w, z, t=0.0):
            return self.eps @ self.jacobian(w, z, t) @ self.eps

    def objective(theta):
        total = 0.0
        for row, eps in zip(y, noise, strict=True):
            twin = Estimated(*field)
            Estimated.eps = eps
            FIELDS["estimated"] = (FIELDS[case.field][0], twin)
            single = FlowCase(
                "estimated",
                case.scheme,
                case.basis,
                case.transport,
                case.tikhonov,
                case.smoothness,
            )
            total = total + single.objective(theta, row[None])
            del FIELDS["estimated"]
        return total / len(y)

    value, gradient = flow.value_and_gradient(theta, y)
    close(value, objective(theta), tol.FLOW_VALUE)
    close(flow.value(theta, y), value, tol.FLOW_VALUE)
    close(gradient, oracle.complex_gradient(objective, theta), tol.FLOW_GRADIENT)
    exact = refode.ContinuousNormalizingFlow(flow.ode, case.transport)
    same(flow.log_density(theta, y), exact.log_density(theta, y))
    other = refode.ContinuousNormalizingFlow(flow.ode, trace=case.trace, noise_seed=1)
    assert not np.array_equal(other._start(y), flow._start(y))
    with pytest.raises(ValueError, match=r"^trace: got .* second derivatives"):
        flow.hessian_vector(theta, theta, y)


@over([FlowCase("wide", trace="rademacher", n=1)])
def test_hutchinson_is_unbiased(case):
    """Over all 2^d signs the mean is the trace, to rounding."""
    flow, (theta, y, _) = case.flow, case.draw()
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * flow.dim)).reshape(flow.dim, -1).T
    rows = np.broadcast_to(y, signs.shape).copy()

    class Signed(refode.ContinuousNormalizingFlow):
        def _start(self, data):
            return np.concatenate([data, signs], axis=1)

    exact = refode.ContinuousNormalizingFlow(
        flow.ode, case.transport, case.tikhonov, case.smoothness
    )
    estimate = Signed(flow.ode, case.transport, case.tikhonov, case.smoothness, case.trace)
    value, gradient = estimate.value_and_gradient(theta, rows)
    want, want_gradient = exact.value_and_gradient(theta, y)
    close(value, want, tol.FLOW_GRADIENT)
    close(gradient, want_gradient, tol.FLOW_GRADIENT)


@over([FlowCase("small", n=9)])
def test_threads_and_blocks_do_not_matter(case):
    flow, (theta, _, rng) = case.flow, case.draw()
    y = rng.standard_normal((1000, 2))
    before = refode.get_num_threads()
    try:
        refode.set_num_threads(1)
        one = flow.value_and_gradient(theta, y)
        refode.set_num_threads(2)
        two = flow.value_and_gradient(theta, y)
    finally:
        refode.set_num_threads(before)
    same(one[0], two[0])
    same(one[1], two[1])
    parts = [flow.value(theta, part) for part in np.split(y, 4)]
    penalty = flow._regulariser(theta)[0]
    close(np.mean(parts) - penalty, one[0] - penalty, tol.FLOW_VALUE)


def test_groups_are_the_contracts():
    """So that conftest.py deals these tests to the workers that compile the same kernels."""
    known = {c.group for c in contract.CASES}
    assert {type(f.description()).__name__ for f, _ in FIELDS.values()} <= known
