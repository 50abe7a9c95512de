"""Plans for the gradient: the case where the state says nothing, shares, estimates."""

from __future__ import annotations

import numpy as np
import pytest

import refode
from refode import bases, fields
from refode.adaptation import door, halving
from refode.adaptation.course import Course, rows_of_ode
from refode.adaptation.pairs import pair_of
from refode.adaptation.planner import Planner
from refode.adaptation.settings import Settings
from refode.costs.contract import Cotangent
from refode.sweeps.dynamics import Plain

PAIRS = ("dopri5", "tsit5", "bogacki_shampine")
ONE = np.ones((1, 1))


def _f(theta, t, z):
    return theta[0] * np.cos(8 * t) * z


def _vjp(theta, t, z, f_bar):
    both = np.sum(f_bar * z)
    wave = np.cos(8 * t)
    return [wave * both], theta[0] * wave * f_bar, -8 * theta[0] * np.sin(8 * t) * both


def wave(scheme, t_span=(0.0, 3.0)):
    """x' = a cos(8t) x, whose x(3) has the derivative x(3) sin(24)/8 by a."""
    field = fields.User(_f, dim=1, n_parameters=1, vjp=_vjp, names={"a": (1,)})
    return refode.NeuralODE(field, scheme, t_span=t_span)


EXACT = np.sin(24.0) / 8


@pytest.mark.parametrize("scheme", PAIRS)
@pytest.mark.parametrize("a", [0.0, 1e-6, 1.0])
def test_the_gradient_is_as_exact_as_asked_for_where_the_state_does_not_move(scheme, a):
    ode, theta = wave(scheme), np.array([a])
    exact = EXACT * np.exp(a * EXACT)
    for tol in (1e-3, 1e-6):
        planned, report = refode.adapt(ode, theta, ONE, rtol=tol, atol=tol, z_bar=ONE)
        error = abs(planned.adjoint(theta, ONE, ONE)[0][0] - exact)
        assert error < tol
        assert error < 2.0 * report.gradient_error + 1e-14
        assert report.gradient_error < max(5 * tol, 40 * error)
        assert report.n_steps == report.accepted + report.halved


def test_the_state_alone_says_nothing_of_the_gradient():
    theta = np.zeros(1)
    for tol in (1e-3, 1e-9):
        planned, report = refode.adapt(wave("dopri5"), theta, ONE, rtol=tol, atol=tol)
        assert abs(planned.adjoint(theta, ONE, ONE)[0][0] - EXACT) > 0.1
        assert report.gradient_error is None


def test_backwards_too():
    ode, theta = wave("dopri5", (3.0, 0.0)), np.zeros(1)
    planned, report = refode.adapt(ode, theta, ONE, rtol=1e-6, atol=1e-6, z_bar=ONE)
    assert abs(planned.adjoint(theta, ONE, ONE)[0][0] + EXACT) < 1e-6
    assert np.all(np.diff(report.grid) < 0)


# --- nets ---------------------------------------------------------------------------------------
BASES = [None, bases.Legendre(3), bases.PiecewiseConstant(4)]


def a_net(basis=None, scheme="dopri5", scale=2.0):
    ode = refode.NeuralODE(fields.Shallow(2, 6), scheme, t_span=(0.0, 2.0), basis=basis)
    rng = np.random.default_rng(0)
    theta = scale * ode.initial(1) * rng.uniform(0.6, 1.4, ode.n_parameters)
    x = rng.normal(size=(30, 2))
    return ode, theta, x, rng.normal(size=x.shape) / len(x)


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("scheme", PAIRS)
def test_the_gradient_of_a_net_is_as_exact_as_asked_for(scheme, basis):
    ode, theta, x, z_bar = a_net(basis, scheme)
    truth = ode.with_steps(800).adjoint(theta, x, z_bar)[0]
    if scheme == "bogacki_shampine":
        ode_fine = refode.NeuralODE(ode.field, "dopri5", 800, ode.t_span, ode.basis)
        truth = ode_fine.adjoint(theta, x, z_bar)[0]
    size = np.abs(truth).max()
    for tol in (1e-4, 1e-6):
        planned, report = refode.adapt(ode, theta, x, rtol=tol, atol=tol, z_bar=z_bar)
        error = np.abs(planned.adjoint(theta, x, z_bar)[0] - truth).max()
        assert error < 10 * tol * (size + 1.0)
        assert error < 4.0 * report.gradient_error
        assert report.gradient_error < 100.0 * tol * (size + 1.0)


@pytest.mark.parametrize("basis", BASES)
def test_the_frozen_gradient_is_the_complex_steps(basis):
    ode, theta, x, z_bar = a_net(basis)
    planned, _ = refode.adapt(ode, theta, x, rtol=1e-4, atol=1e-6, z_bar=z_bar)
    direction = np.random.default_rng(5).normal(size=theta.size)
    tangent = planned.tangent(theta, x, direction, np.zeros_like(x))
    theta_bar, _ = planned.adjoint(theta, x, z_bar)
    assert np.sum(tangent * z_bar) == pytest.approx(direction @ theta_bar, rel=1e-12)


@pytest.mark.nojit
@pytest.mark.parametrize("basis", BASES)
def test_shares_add_up_to_the_gradient(basis, monkeypatch):
    """What steps by themselves have, and the cotangent where the path begins."""
    ode, theta, x, z_bar = a_net(basis)
    seen = []
    shares = halving.Halving._shares

    def watched(self, times, *args, **named):
        found = shares(self, times, *args, **named)
        seen.append((self, times, found))
        return found

    monkeypatch.setattr(halving.Halving, "_shares", watched)
    planned, report = refode.adapt(ode, theta, x, rtol=1e-4, atol=1e-6, z_bar=z_bar)
    first, times, found = seen[0]
    grid = np.append(times[:, 0], times[-1, 1])
    on_it = refode.NeuralODE(ode.field, ode.scheme, grid=grid, basis=ode.basis)
    theta_bar, x_bar = on_it.adjoint(theta, x, z_bar)
    total = found.of_theta.sum(axis=(0, 1)).reshape(ode.basis.n_coefficients, -1)
    assert np.allclose(total.ravel()[ode._order], theta_bar, rtol=0, atol=1e-12)
    L = found.L[0, 0].reshape(-1, 2, first.borders.S).transpose(0, 2, 1).reshape(-1, 2)[: len(x)]
    assert np.allclose(L, x_bar, rtol=0, atol=1e-13)
    assert report.evaluations > 0 < report.adjoint_evaluations
    assert planned.n_steps == report.n_steps


def test_halves_of_a_step_are_two_steps(monkeypatch):
    ode, theta, x, z_bar = a_net(bases.Legendre(2))
    seen = []
    shares = halving.Halving._shares

    def watched(self, times, *args, **named):
        found = shares(self, times, *args, **named)
        seen.append((times, found))
        return found

    monkeypatch.setattr(halving.Halving, "_shares", watched)
    refode.adapt(ode, theta, x, rtol=1e-2, atol=1e-2, z_bar=z_bar)
    times, found = seen[1]
    last = times[-1]  # from where the path is there: with z_bar at its end
    path = refode.NeuralODE(
        ode.field, ode.scheme, grid=seen[0][0].ravel()[::2].tolist() + [2.0], basis=ode.basis
    ).trajectory(theta, x)
    two = refode.NeuralODE(ode.field, ode.scheme, 2, (0.0, 2.0), ode.basis)
    theta_bar = two.adjoint(theta, path[-2], z_bar, t_span=(last[0], last[2]))[0]
    share = found.of_theta[-1].sum(axis=0)[ode._order]
    assert np.allclose(share, theta_bar, rtol=1e-9, atol=1e-12)


def test_costs_along_the_path_are_charged_where_steps_meet(monkeypatch):
    """A cotangent at every point of the grid: the adjoint jumps there, (D37)."""
    ode, theta, x, _ = a_net(bases.Legendre(2))
    seen, rng = [], np.random.default_rng(2)
    bars = rng.normal(size=(200, *x.shape)) / len(x)

    def cost(E, reached):
        return Cotangent(np.ascontiguousarray(bars[: len(reached.nodes)])), 0, 0

    sweep = ode.sweep(ode.plan(), Plain, np.dtype(float))
    course = Course(ode, theta, ode.t_span, sweep, False, x, rows_of_ode(2, ("z",)), cost)
    pair, asked = pair_of(ode), Settings.of(1e-3, 1e-5)
    grid = Planner(course, pair, asked, keep=True).run()
    shares = halving.Halving._shares

    def watched(self, *args, **named):
        seen.append(shares(self, *args, **named))
        return seen[-1]

    monkeypatch.setattr(halving.Halving, "_shares", watched)
    found = halving.Halving(course, pair, asked, grid).run()
    on_it = refode.NeuralODE(ode.field, ode.scheme, grid=grid.nodes, basis=ode.basis)
    theta_bar, _ = on_it.adjoint(theta, x, bars[: len(grid.nodes)])
    total = seen[0].of_theta.sum(axis=(0, 1))[ode._order]
    assert np.allclose(total, theta_bar, rtol=0, atol=1e-12)
    assert set(grid.nodes.tolist()) <= set(found.nodes.tolist())
    assert len(found.nodes) < 8 * len(grid.nodes)  # jumps are no errors


def test_the_size_of_z_bar_does_not_matter():
    """Nor by the absolute tolerance, which is in units of z_bar."""
    ode, theta, asked = wave("dopri5"), np.zeros(1), {"rtol": 1e-12, "atol": 1e-5}
    one, two = (
        refode.adapt(ode, theta, ONE, z_bar=factor * ONE, **asked)[1] for factor in (1.0, 2.0**20)
    )
    assert one.halved > 0
    assert np.array_equal(one.grid, two.grid)
    assert two.gradient_error == pytest.approx(2.0**20 * one.gradient_error, rel=1e-12)


def test_no_cotangent_has_no_error():
    ode, theta, x, z_bar = a_net()
    _, report = refode.adapt(ode, theta, x, rtol=1e-5, atol=1e-7, z_bar=0.0 * z_bar)
    assert report.gradient_error == 0.0
    assert report.halved == 0


def test_looking_at_few_steps_at_a_time_finds_nearly_the_same(monkeypatch):
    ode, theta, x, z_bar = a_net(bases.Legendre(2))
    whole = refode.adapt(ode, theta, x, rtol=1e-5, atol=1e-7, z_bar=z_bar)[1]
    monkeypatch.setattr(halving, "AT_ONCE", 1)
    one_by_one = refode.adapt(ode, theta, x, rtol=1e-5, atol=1e-7, z_bar=z_bar)[1]
    assert set(whole.grid.tolist()) <= set(one_by_one.grid.tolist())  # scales are known later
    assert one_by_one.n_steps <= 2 * whole.n_steps


def test_any_number_of_threads_finds_the_same():
    ode, theta, _, _ = a_net()
    x = np.random.default_rng(1).normal(size=(1500, 2))
    found = []
    for n in (1, 3):
        with refode.machine.threads.num_threads(n):
            found.append(refode.adapt(ode, theta, x, rtol=1e-5, atol=1e-7, z_bar=x / len(x))[1])
    assert np.array_equal(found[0].grid, found[1].grid)
    assert found[0].gradient_error == found[1].gradient_error


def test_interpolated_values_count_where_they_are_bounded():
    ode, theta, x, _ = a_net()
    asked = Settings.of(1e-6, 1e-8)
    plain = door.planned_ode(ode, theta, x, asked, None)[1]
    read = door.planned_ode(ode, theta, x, asked._replace(interpolated=True), None)[1]
    assert plain.interpolant == ""
    assert read.interpolant == "bounded"
    assert read.n_steps >= plain.n_steps
    assert np.all(read.tried["error"][0] >= plain.tried["error"][0])
    other = refode.NeuralODE(ode.field, "tsit5", t_span=ode.t_span)
    report = door.planned_ode(other, theta, x, asked._replace(interpolated=True), None)[1]
    assert report.interpolant == "not bounded"
    assert "not bounded" in str(report)
