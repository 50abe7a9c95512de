"""Shallow networks whose flow is known: by 60 digits, by the library's sweeps, and at extremes."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest
from closed_form_checks import close
from shallow_digits import exact, of
from tolerances import SHALLOW_ADJOINT, SHALLOW_ORDER, SHALLOW_ROUNDING, SHALLOW_SWEEP

import refode
from refode import bases, fields, verify
from refode.closed_forms import ParabolicFlow, ShallowFlow
from refode.closed_forms import shallow as module

ONE = ShallowFlow([[1.5, -0.7]], [0.3], [[0.8], [1.1]])
X = np.array([[0.4, -0.9]])
#: (D157) to 20 digits, by arithmetic of 40
Z = [1.1500204781961408673, 0.13127815751969369261]
LOG_DET = 0.051965533497457959449


def scalar(rate):
    return ShallowFlow([[1.0]], [0.0], [[rate]])


# --- (D157) in 60 digits ---------------------------------------------------------------------


@pytest.mark.parametrize("t", [1.0, -1.3, 30.0, -30.0])
@pytest.mark.parametrize(
    "flow",
    [ONE, ShallowFlow.drawn(3, [1.4, -2.1]), ShallowFlow.drawn(4, [1e-9, -1e-4, 0.1, 3.0], seed=2)],
)
def test_state_and_log_determinant_to_sixty_digits(flow, t):
    x = np.random.default_rng(0).standard_normal((3, flow.dim))
    z, log_det = flow.log_det(x, t)
    with localcontext() as context:
        context.prec = 60
        for s in range(3):
            right, log_right = exact(*of(flow, x[s], t))
            scale = max(1.0, abs(t))  # z and log_det grow as t does
            close(z[s], np.array([*map(float, right)]), SHALLOW_ROUNDING, scale)
            close(log_det[s], float(log_right), SHALLOW_ROUNDING, scale)


def test_the_numbers_of_the_specification():
    z, log_det = ONE.log_det(X)
    close(z[0], np.array(Z), SHALLOW_ROUNDING)
    close(log_det[0], LOG_DET, SHALLOW_ROUNDING)
    for rate, right in (
        (-50.0, 2.9113733597586373535e-22),
        (-8.0, 5.0636785136435941e-4),
        (-1.0, 0.53011901576242067269),
        (3.0, 4.1051719136728995894),
    ):
        close(scalar(rate).preactivations([[1.2]])[0, 0], right, 1e-13)
        close(scalar(rate).solve([[1.2]])[0, 0], right, SHALLOW_ROUNDING, 1.2)


#: Where what one neuron depends on is in (W0, b0, W1, b1, x, t); b1 would leave the closed form.
PLACES = [(0, 0, 0), (0, 0, 1), (1, 0), (2, 0, 0), (2, 1, 0), (4, 0), (4, 1), (5,)]


def by_differences(flow, x, t, of_end):
    """Derivatives of ``of_end(z, log_det)`` by all of PLACES: steps of 1e-20 in 60 digits."""
    found = []
    with localcontext() as context:
        context.prec = 60
        step = Decimal("1e-20")
        for place in PLACES:
            ends = []
            for sign in (1, -1):
                arguments = of(flow, x, t)
                inner = arguments
                for i in place[:-1]:
                    inner = inner[i]
                inner[place[-1]] += sign * step
                ends.append(of_end(*exact(*arguments)))
            found.append(float((ends[0] - ends[1]) / (2 * step)))
    return np.array(found)


@pytest.mark.parametrize("t", [1.0, -0.7, 3.0])
def test_all_derivatives_of_one_neuron_to_many_digits(t):
    places = [0, 1, 2, 3, 4]  # of theta: W0, b0, W1
    z, _ = ONE.log_det(X, t)
    for z_bar, l_bar, of_end in (
        (z, None, lambda z, l: sum(zi * zi for zi in z) / 2),  # noqa: E741
        (0.0 * z, [1.0], lambda z, l: l),  # noqa: E741
    ):
        theta_bar, x_bar, t_bar = ONE.adjoint(X, z_bar, t, l_bar)
        found = np.concatenate([theta_bar[places], x_bar[0], [t_bar]])
        close(found, by_differences(ONE, X[0], t, of_end), SHALLOW_ADJOINT)


# --- against the library's own sweeps ----------------------------------------------------------

FLOWS = {
    "one": (ONE, 1.0),
    "one backwards": (ONE, -1.3),
    "two": (ShallowFlow.drawn(3, [1.4, -2.1]), 1.0),
    "standing still": (ShallowFlow.drawn(4, [0.0, 1e-3, -0.3, 2.0]), 1.0),
    "equal": (ShallowFlow.drawn(4, [0.7, 0.7, -1.0], seed=3), -1.5),
    "slow": (ShallowFlow.drawn(5, [1e-9], seed=4), 1.0),
    "at the border": (ShallowFlow.drawn(2, [0.5001, -0.4999], seed=5), 1.0),
    "parabolic": (ParabolicFlow.drawn(4, [-0.5, -2.0, -1.0]), 1.0),
    "parabolic backwards": (ParabolicFlow.drawn(2, [-1.0], seed=2), -1.0),
}
over_flows = pytest.mark.parametrize(("flow", "t"), FLOWS.values(), ids=FLOWS)


def ode_of(flow, t, scheme, n_steps):
    kind = fields.Parabolic if isinstance(flow, ParabolicFlow) else fields.Shallow
    return refode.NeuralODE(kind(flow.dim, flow.width), scheme, n_steps, (0.0, t))


def drawn(flow, n=4):
    rng = np.random.default_rng(7)
    return *rng.standard_normal((2, n, flow.dim)), rng.standard_normal(n)


@over_flows
def test_sweeps_of_high_order_agree(flow, t):
    """Every entry of theta, the directions that couple preactivations among them."""
    x, z_bar, l_bar = drawn(flow)
    ode = ode_of(flow, t, "fehlberg8", 40)
    for mine, right in zip(ode.log_det(flow.theta, x), flow.log_det(x, t), strict=True):
        close(mine, right, SHALLOW_SWEEP, 1.0)
    theta_bar, x_bar = ode.log_det_adjoint(flow.theta, x, z_bar, l_bar)[:2]
    right = flow.adjoint(x, z_bar, t, l_bar)
    close(theta_bar, right[0], SHALLOW_SWEEP)
    close(x_bar, right[1], SHALLOW_SWEEP)
    by_end = ode.adjoint(flow.theta, x, z_bar, times=True)[2][1]
    close(by_end, flow.adjoint(x, z_bar, t)[2], SHALLOW_SWEEP)


@pytest.mark.parametrize(("scheme", "order"), [("heun", 2), ("kutta3", 3), ("rk4", 4)])
def test_schemes_reach_it_at_their_orders(scheme, order):
    flow = FLOWS["two"][0]
    x, z_bar, l_bar = drawn(flow)
    z, log_det = flow.log_det(x)
    theta_bar, x_bar, _ = flow.adjoint(x, z_bar, 1.0, l_bar)
    steps, errors = [16, 32, 64, 128], []
    for n in steps:
        ode = ode_of(flow, 1.0, scheme, n)
        mine = (*ode.log_det(flow.theta, x), *ode.log_det_adjoint(flow.theta, x, z_bar, l_bar)[:2])
        errors.append([np.abs(a - b).max() for a, b in zip(mine, (z, log_det, theta_bar, x_bar))])  # noqa: B905
    for of_one in np.transpose(errors):
        assert verify.observed_order(
            of_one, 1.0 / np.array(steps), expected=order, tolerance=SHALLOW_ORDER
        )


def test_weights_that_change_in_time_run_through_the_same_states():
    """alpha(t) = 1 + 2 t by two Legendre coefficients: the integral of alpha in place of t."""
    flow = FLOWS["two"][0]
    field = fields.Shallow(flow.dim, flow.width)
    ode = refode.NeuralODE(field, "fehlberg8", 40, (0.0, 0.8), bases.Legendre(2))
    zeros, rise = np.zeros_like, 0.8  # alpha = 1.8 + 0.8 (2 t/T - 1)
    theta = ode.pack(
        {
            "W0": np.stack([flow.W0, zeros(flow.W0)]),
            "b0": np.stack([flow.b0, zeros(flow.b0)]),
            "W1": np.stack([1.8 * flow.W1, rise * flow.W1]),
            "b1": np.stack([1.8 * flow.b1, rise * flow.b1]),
        }
    )
    x = drawn(flow)[0]
    for mine, right in zip(ode.log_det(theta, x), flow.log_det(x, 0.8 + 0.8**2), strict=True):
        close(mine, right, SHALLOW_SWEEP)


@over_flows
def test_there_and_back_and_in_two_parts(flow, t):
    x = drawn(flow)[0]
    half, log_half = flow.log_det(x, 0.4 * t)
    end, log_end = flow.log_det(half, 0.6 * t)
    z, log_det = flow.log_det(x, t)
    close(end, z, SHALLOW_ROUNDING)
    close(log_half + log_end, log_det, SHALLOW_ROUNDING, 1.0)
    close(flow.solve(z, -t), x, SHALLOW_ADJOINT)
    close(flow.trajectory(x, [0.4 * t, t, 0.0]), np.stack([half, z, x]), SHALLOW_ROUNDING)


# --- extremes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("u", [1e-200, 1e-8, 0.7, 5.0, 800.0, 1e6])
@pytest.mark.parametrize("at", [-1e5, -299.0, -301.0, 299.0, 301.0, 1e5])
def test_nothing_overflows(u, at):
    """Far out, where asinh e^w is w + log 2 or e^w."""
    flow = scalar(at)
    for x in (u, -u):
        z, log_det = flow.log_det([[x]])
        w = at + (np.log(np.sinh(u)) if u < 700.0 else u - np.log(2.0))
        size = w + np.log(2.0) if w > 20.0 else np.arcsinh(np.exp(w))
        close(z[0, 0], np.sign(x) * size, 1e-13, u)
        assert np.isfinite(log_det).all()


def test_both_ways_of_evaluation_agree_where_they_meet():
    u = np.array([[-30.0, -2.0, -1e-3, 1e-12, 0.0, 0.4, 3.0, 40.0]])
    e = np.exp(-2.0 * np.abs(u))
    for at in (-250.0, -3.0, -0.2, 0.2, 3.0, 250.0):
        at_all = np.full_like(u, at)
        with np.errstate(all="ignore"):  # as where they are called
            one = module._by_exponentials(4.0 * e / (1.0 + e) ** 2, np.tanh(u), at_all)
            other = module._by_logarithms(u, at_all)
        for a, b in zip(one, other, strict=True):
            close(a, b, 1e-13, 1.0)


def test_elementary_integrals_are_those_of_gauss(monkeypatch):
    flow, t = FLOWS["two"]
    x, z_bar, l_bar = drawn(flow)
    right = flow.adjoint(x, z_bar, t, l_bar)
    monkeypatch.setattr(module, "CANCELS", np.inf)
    for a, b in zip(flow.adjoint(x, z_bar, t, l_bar), right, strict=True):
        close(np.asarray(a), np.asarray(b), SHALLOW_ADJOINT)


def test_stiff_derivatives_are_finite_and_right():
    """a = -5000: all but W1's own direction forgets the start."""
    theta_bar, x_bar, t_bar = scalar(-5000.0).adjoint([[1.2]], [[1.0]], 1.0, [1.0])
    assert np.isfinite(theta_bar).all()
    close(x_bar[0, 0], np.tanh(1.2), 1e-12)  # of the log-determinant alone: a + log cosh x
    close(t_bar, -5000.0, 1e-12)
    close(theta_bar[2], 1.0, 1e-3)  # dl/da is t, z is 0 for whatever rate


def test_a_derivative_beyond_float64_is_named():
    with pytest.raises(ValueError, match=r"^t: got 1000\.0, wanted times at which all results"):
        scalar(1.0).adjoint([[0.0]], [[1.0]], 1000.0)


def test_a_repr_makes_it_again():
    names = {"ShallowFlow": ShallowFlow, "ParabolicFlow": ParabolicFlow}
    for flow, _ in FLOWS.values():
        again = eval(repr(flow), names)
        assert type(again) is type(flow)
        np.testing.assert_array_equal(again.theta, flow.theta)


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "error", "match"),
    [
        (lambda: ShallowFlow([1.0], [0.0], [[1.0]]), ValueError, "^W0: got an array of shape"),
        (lambda: ShallowFlow([[1.0]], [0.0, 1.0], [[1.0]]), ValueError, "^b0: got an array of"),
        (lambda: ShallowFlow([[1.0]], [0.0], [[1.0, 2.0]]), ValueError, "^W1: got an array of"),
        (lambda: ShallowFlow([[1.0]], [0.0], [[1.0]], [0.0, 0.0]), ValueError, "^b1: got an array"),
        (lambda: ShallowFlow([["a"]], [0.0], [[1.0]]), TypeError, "^W0: got"),
        (
            lambda: ShallowFlow(np.eye(2), [0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]]),
            ValueError,
            r"^W1: got column 1 of W1 at a cosine of 4\.5e-01 to row 0 of W0, wanted W0 W1 diag",
        ),
        (
            lambda: ShallowFlow([[1.0, 0.0]], [0.0], [[1.0], [0.0]], [0.1, 0.1]),
            ValueError,
            r"^b1: got b1 at a cosine of 7\.1e-01 to row 0 of W0, wanted W0 b1 = 0",
        ),
        (lambda: ParabolicFlow([[1.0, 0.0], [1.0, 1.0]], [0.0, 0.0]), ValueError, "^W1: got col"),
        (lambda: ShallowFlow.drawn(1, [1.0, 2.0]), ValueError, "^rates: got 2 of them, wanted at"),
        (lambda: ParabolicFlow.drawn(2, [1.0]), ValueError, "^rates: got .* numbers <= 0"),
        (lambda: ONE.solve([[1.0]]), ValueError, "^x: got an array of shape"),
        (lambda: ONE.solve(X, np.inf), ValueError, "^t: got inf"),
        (lambda: ONE.solve(X, "1"), TypeError, "^t: got '1'"),
        (lambda: ONE.adjoint(X, X[0]), ValueError, "^z_bar: got an array of shape"),
        (lambda: ONE.adjoint(X, X, 1.0, [1.0, 2.0]), ValueError, "^log_det_bar: got an array of"),
        (lambda: ONE.trajectory(X, 1.0), ValueError, "^times: got"),
        (
            lambda: ShallowFlow.drawn(2, [-1e6, 1.0]).adjoint(X, X),
            ValueError,
            r"^t: got 1\.0 with rates up to .*, wanted at most 20000 of their product for sev",
        ),
    ],
)
def test_bad_input_is_named(made, error, match):
    with pytest.raises(error, match=match):
        made()
