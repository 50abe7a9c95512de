"""States between the points of the grid, and their adjoint."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import tolerances as tol
from contract import close
from dense_oracle import states_at
from graded_steps import GRADED, TIMED, drawn
from sweep_oracle import Twin

import refode
from refode import bases, fields, tableaus
from refode.machine.threads import num_threads

SCHEMES = ["bogacki_shampine", "dopri5", "tsit5"]
BASES = [bases.PiecewiseConstant(1), bases.Legendre(3), bases.PiecewiseConstant(4)]


def problem(scheme="dopri5", basis=BASES[1], t_span=(0.0, 1.0), n=3, K=4):
    ode = refode.NeuralODE(TIMED, scheme, 4, t_span, basis)
    theta, x, rng = drawn(ode, n)
    times = np.sort(rng.uniform(*sorted(t_span), (n, K)), axis=1)
    return ode, theta, x, times, rng


# --- values -------------------------------------------------------------------------------------
@pytest.mark.nojit
@pytest.mark.parametrize("t_span", [(0.0, 1.0), (1.3, -0.2)])
@pytest.mark.parametrize("basis", BASES, ids=str)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_states_are_the_oracles(scheme, basis, t_span):
    """Also at the borders of cells, where the next step's first slope is another field's."""
    ode, theta, x, times, _ = problem(scheme, basis, t_span)
    times[0, :3] = ode.steps.nodes(t_span)[[0, 2, 4]]
    wanted = states_at(Twin(ode, oracle.shallow(time=True)), theta, x, times, nodes(ode))
    close(ode.interpolate(theta, x, times), wanted, tol.INTERPOLATION)
    common = ode.interpolate(theta, x, times[1])
    assert common.shape == (4, 3, 2)
    close(common[:, 1], wanted[1], tol.INTERPOLATION)


def nodes(ode):
    return ode.steps.nodes(ode.t_span)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nodes_have_the_bits_of_the_trajectory(scheme):
    ode = refode.NeuralODE(TIMED, scheme, grid=GRADED, basis=bases.PiecewiseLinear(2))
    theta, x, _ = drawn(ode, 300)
    at_nodes = ode.interpolate(theta, x, GRADED)
    np.testing.assert_array_equal(at_nodes, ode.trajectory(theta, x))
    np.testing.assert_array_equal(at_nodes[-1], ode.solve(theta, x))


def test_times_come_in_any_order_and_again():
    ode, theta, x, times, rng = problem()
    shuffled = rng.permuted(np.concatenate([times, times[:, :2]], axis=1), axis=1)
    z = ode.interpolate(theta, x, shuffled)
    for i in range(len(x)):
        alone = ode.interpolate(theta, x, np.sort(shuffled[i]))
        np.testing.assert_array_equal(z[i], alone[np.argsort(np.argsort(shuffled[i])), i])


@pytest.mark.parametrize(
    ("scheme", "order"), [("bogacki_shampine", 4), ("dopri5", 5), ("tsit5", 4)]
)
def test_local_orders(scheme, order):
    """The error of one step from the exact state, at its worst place, against a closed form."""
    field, theta, x = known(-10.0)
    worst = []
    for h in 0.5 ** np.array([7, 8]):
        ode = refode.NeuralODE(field, scheme, 1, (0.0, float(h)))
        times = h * np.linspace(0.0, 1.0, 41)
        errors = ode.interpolate(theta, x, times)[:, 0] - [exact(t, -10.0) for t in times]
        worst.append(np.abs(errors).max())
    assert abs(np.log2(worst[0] / worst[1]) - order) < tol.INTERPOLATION_ORDER


def known(speed=1.0):
    """One neuron, whose flow is known, and how fast it goes."""
    field = fields.Shallow(2, 1)
    layout = refode.NeuralODE(field)
    named = {
        "W0": W[None, None],
        "b0": [[B]],
        "W1": speed * V[None, :, None],
        "b1": np.zeros((1, 2)),
    }
    return field, layout.pack({k: np.asarray(v, float) for k, v in named.items()}), X[None]


W, V, B, X = np.array([1.5, -0.7]), np.array([0.8, 1.1]), 0.3, np.array([0.4, -0.9])


def exact(t, speed=1.0):
    """u' = a tanh u for u = w z + b, a = w v; z moves along v."""
    a, u0 = speed * W @ V, W @ X + B
    return X + speed * V * (np.arcsinh(np.exp(a * t) * np.sinh(u0)) - u0) / a


def test_the_closed_form_is_the_fields():
    field, theta, x = known()
    fine = refode.NeuralODE(field, "dopri5", 64).solve(theta, x)[0]
    close(exact(1.0), fine, tol.INTERPOLATION_FINE)
    close(exact(1.0), [1.1500204781961408673, 0.13127815751969369261], 1e-15)


# --- the adjoint --------------------------------------------------------------------------------
@pytest.mark.nojit
@pytest.mark.parametrize("t_span", [(0.0, 1.0), (1.3, -0.2)])
@pytest.mark.parametrize("basis", BASES, ids=str)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_adjoint_is_the_oracles_derivative(scheme, basis, t_span):
    """In theta, x, the times and the ends, by the complex step."""
    ode, theta, x, times, rng = problem(scheme, basis, t_span, n=2, K=3)
    z_bar = rng.standard_normal((2, 3, 2))
    twin, s = Twin(ode, oracle.shallow(time=True)), np.linspace(0.0, 1.0, 5)

    span = np.array(t_span)

    def value(theta=theta, x=x, times=times, ends=span):
        grid = ends[0] + s * (ends[1] - ends[0])
        return np.sum(z_bar * states_at(twin, theta, x, times, grid))

    theta_bar, x_bar, times_bar, ends_bar = ode.interpolate_adjoint(
        theta, x, times, z_bar, ends=True
    )
    gradient = oracle.complex_gradient
    close(theta_bar, gradient(lambda a: value(theta=a), theta), tol.INTERPOLATION)
    close(x_bar, gradient(lambda a: value(x=a), x), tol.INTERPOLATION)
    close(times_bar, gradient(lambda a: value(times=a), times), tol.INTERPOLATION)
    if not isinstance(basis, bases.PiecewiseConstant) or basis.n_coefficients == 1:
        ends = gradient(lambda a: value(ends=a), span)
        close(ends_bar, ends, tol.INTERPOLATION)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_common_times_are_each_samples_own(scheme):
    ode, theta, x, times, rng = problem(scheme)
    common, z_bar = rng.permutation(times[0]), rng.standard_normal((4, 3, 2))
    own = np.tile(common, (3, 1))
    a = ode.interpolate_adjoint(theta, x, common, z_bar)
    b = ode.interpolate_adjoint(theta, x, own, z_bar.transpose(1, 0, 2))
    np.testing.assert_array_equal(a[0], b[0])
    np.testing.assert_array_equal(a[1], b[1])
    close(a[2], b[2].sum(axis=0), tol.INTERPOLATION)
    np.testing.assert_array_equal(
        ode.interpolate(theta, x, common), ode.interpolate(theta, x, own).transpose(1, 0, 2)
    )


def test_adjoint_at_the_end_is_the_adjoint():
    ode, theta, x, _, rng = problem(basis=BASES[2])
    z_bar = rng.standard_normal((3, 2))
    theta_bar, x_bar = ode.adjoint(theta, x, z_bar)
    read = ode.interpolate_adjoint(theta, x, [ode.t_span[1]], z_bar[None])
    close(read[0], theta_bar, tol.INTERPOLATION)
    close(read[1], x_bar, tol.INTERPOLATION)
    start = ode.interpolate_adjoint(theta, x, [ode.t_span[0]], z_bar[None])
    assert not start[0].any()
    np.testing.assert_array_equal(start[1], z_bar)


def test_dot_test_in_complex_steps_of_its_own():
    """<z_bar, z_dot> = <theta_bar, theta_dot> + <x_bar, x_dot>, z_dot by the sweep itself."""
    ode, theta, x, times, rng = problem("tsit5", BASES[2], n=70)
    z_bar, theta_dot = rng.standard_normal((70, 4, 2)), rng.standard_normal(theta.shape)
    x_dot, e = rng.standard_normal(x.shape), 1e-6
    up, down = (ode.interpolate(theta + s * theta_dot, x + s * x_dot, times) for s in (e, -e))
    theta_bar, x_bar, _ = ode.interpolate_adjoint(theta, x, times, z_bar)
    wanted = theta_bar @ theta_dot + np.sum(x_bar * x_dot)
    assert np.sum(z_bar * (up - down)) / (2 * e) == pytest.approx(wanted, rel=1e-7)


# --- the same numbers ---------------------------------------------------------------------------
def test_threads_and_memory_change_no_bit():
    ode, theta, x, times, rng = problem(n=700, K=3)
    lean = refode.NeuralODE(TIMED, "dopri5", 4, basis=BASES[1], memory="steps")
    z_bar, found = rng.standard_normal((700, 3, 2)), []
    for n, which in ((1, ode), (3, ode), (2, lean)):
        with num_threads(n):
            found.append(
                (
                    which.interpolate(theta, x, times),
                    *which.interpolate_adjoint(theta, x, times, z_bar),
                )
            )
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_large_and_small_cotangents_are_scaled():
    ode, theta, x, times, rng = problem()
    z_bar = rng.standard_normal((3, 4, 2))
    for size in (2.0**900, 2.0**-900):
        for a, b in zip(
            ode.interpolate_adjoint(theta, x, times, size * z_bar),
            ode.interpolate_adjoint(theta, x, times, z_bar),
            strict=True,
        ):
            np.testing.assert_array_equal(a, size * b)


def test_a_tableau_of_ones_own_has_the_cubic():
    pair = tableaus.get("bogacki_shampine")
    own = tableaus.Tableau("mine", pair.A, pair.b, pair.c, 3, "here")
    ode, theta, x, times, _ = problem("bogacki_shampine")
    mine = refode.NeuralODE(TIMED, own, 4, basis=BASES[1])
    np.testing.assert_array_equal(
        mine.interpolate(theta, x, times), ode.interpolate(theta, x, times)
    )


# --- bad input ----------------------------------------------------------------------------------
@pytest.mark.parametrize("scheme", ["rk4", "fehlberg8", "heun"])
def test_schemes_without_an_interpolant(scheme):
    ode, theta, x, times, _ = problem(scheme)
    text = f"scheme: got '{scheme}', .* wanted one of 'bogacki_shampine', 'dopri5', 'tsit5'"
    with pytest.raises(ValueError, match=text):
        ode.interpolate(theta, x, times)


def test_symplectic_schemes_have_none():
    ode = refode.NeuralODE(fields.Hamiltonian(2), "verlet")
    theta, x, _ = drawn(ode)
    with pytest.raises(ValueError, match="scheme: got 'verlet'"):
        ode.interpolate(theta, x, [0.5])


@pytest.mark.parametrize(
    ("times", "text"),
    [
        ([0.1, 1.1], r"times: got 1.1 at index 1, wanted times within t_span, \[0.0, 1.0\]"),
        ([[0.1], [-0.1], [0.2]], r"times: got -0.1 at index \(1, 0\), wanted times within"),
        ([[0.1, 0.2]], r"times: got an array of shape \(1, 2\), wanted \(3, K\)"),
        ([0.1, np.nan], "times: got nan"),
        ([], "times: got an empty array"),
        (0.5, r"times: got an array of shape \(\), wanted \(K,\)"),
        ("now", "times: got"),
    ],
)
def test_times_that_are_none(times, text):
    ode, theta, x, _, _ = problem()
    with pytest.raises((TypeError, ValueError), match=text):
        ode.interpolate(theta, x, times)
    with pytest.raises((TypeError, ValueError), match=text):
        ode.interpolate_adjoint(theta, x, times, np.ones((3, 2, 2)))


def test_cotangents_of_another_shape():
    ode, theta, x, times, _ = problem()
    with pytest.raises(ValueError, match=r"z_bar: got .*, wanted \(3, 4, 2\)"):
        ode.interpolate_adjoint(theta, x, times, np.ones((4, 3, 2)))
    with pytest.raises(ValueError, match=r"z_bar: got .*, wanted \(4, 3, 2\)"):
        ode.interpolate_adjoint(theta, x, times[0], np.ones((3, 4, 2)))


def test_paths_that_leave_the_finite_range():
    ode = refode.NeuralODE(fields.Affine(2), "dopri5", 4)
    theta, x = np.full(ode.n_parameters, 1e200), np.ones((3, 2))
    x[0] = 0.0
    with pytest.raises(ValueError, match="x: got sample"):
        ode.interpolate(theta, x, [0.5])
    with pytest.raises(ValueError, match="x: got sample"):
        ode.interpolate_adjoint(theta, x, [0.5], np.ones((1, 3, 2)))
