"""scheme="reversible(...)": the coupling of any explicit scheme, (D170), (D171)."""

from __future__ import annotations

import numpy as np
import pytest

import refode
from refode import NeuralODE, bases, fields, tableaus

RNG = np.random.default_rng(0)
X, Z_BAR, L_BAR = RNG.standard_normal((7, 2)), RNG.standard_normal((7, 2)), RNG.standard_normal(7)
FIELD = fields.MLP(2, [3], time=True)


def solver(scheme, n_steps=6, field=FIELD, **more):
    return NeuralODE(field, scheme, n_steps, (0.2, 1.7), bases.Legendre(3), **more)


def plain(scheme, coupling, f, x, times):
    """The coupling written down for any f(t, z)."""
    table = tableaus.get(scheme).propagating()
    A, b, c = table.as_floats()

    def increment(t, z, h):
        k = []
        for i in range(len(b)):
            k.append(f(t + c[i] * h, z + h * sum((A[i, j] * k[j] for j in range(i)), 0 * z)))
        return h * sum(weight * slope for weight, slope in zip(b, k, strict=True))

    y = v = x
    for t, end in zip(times[:-1], times[1:], strict=True):
        h = end - t
        y = coupling * y + (1 - coupling) * v + increment(t, v, h)
        v = v - increment(end, y, -h)
    return y


@pytest.mark.parametrize("scheme", ["euler", "midpoint", "rk4", "dopri5"])
@pytest.mark.parametrize("coupling", [None, 0.9, 1.0])
def test_the_formula_and_the_adjoint(scheme, coupling):
    """The dot test and the complex step through a program of the formula alone."""
    name = f"reversible({scheme})" if coupling is None else f"reversible({scheme}, {coupling})"
    times = np.array([0.2, 0.5, 0.6, 1.1, 1.7])
    ode = NeuralODE(fields.Shallow(2, 3), name, grid=times)
    theta, held = ode.initial(1), 0.999 if coupling is None else coupling

    def solved(theta, x):
        re, im = ode.unpack(theta.real.copy()), ode.unpack(theta.imag.copy())
        w = {n: re[n][0] + 1j * im[n][0] for n in re}

        def f(t, z):
            return np.tanh(z @ w["W0"].T + w["b0"]) @ w["W1"].T + w["b1"]

        return plain(scheme, held, f, x, times)

    assert np.allclose(ode.solve(theta, X), solved(theta, X), rtol=1e-13, atol=1e-13)
    theta_bar, x_bar = ode.adjoint(theta, X, Z_BAR)
    for _ in range(6):
        theta_dot, x_dot = RNG.standard_normal(theta.size), RNG.standard_normal(X.shape)
        moved = solved(theta + 1e-30j * theta_dot, X + 1e-30j * x_dot).imag / 1e-30
        wanted, found = (Z_BAR * moved).sum(), theta_bar @ theta_dot + (x_bar * x_dot).sum()
        assert abs(found - wanted) <= 1e-13 * np.abs(Z_BAR * moved).sum()


@pytest.mark.parametrize("name", ["reversible(midpoint, 0.99)", "reversible(rk4)"])
def test_log_determinants_ends_and_what_is_kept(name):
    ode = solver(name)
    theta = ode.initial(1)
    bars = ode.log_det_adjoint(theta, X, Z_BAR, L_BAR, times=True)
    theta_dot, x_dot = RNG.standard_normal(theta.size), RNG.standard_normal(X.shape)
    y = ode._tangent(theta, X, theta_dot, x_dot, ode.plan(), trace=True)
    wanted = (y[:, :2] * Z_BAR).sum() + (y[:, 2] * L_BAR).sum()
    assert abs(bars[0] @ theta_dot + (bars[1] * x_dot).sum() - wanted) <= 1e-13

    def ends(shift):  # theta(t) stays where it is
        z, l = ode.log_det(theta, X, t_span=(0.2, 1.7 - shift))  # noqa: E741
        return (z * Z_BAR).sum() + (l * L_BAR).sum()

    change = (ends(0.0) - ends(1e-6)) / 1e-6
    assert abs(bars[2][1] - change) <= 1e-4 * abs(change)
    for more in ({"memory": "steps"}, {"memory": "binomial", "slots": 2}):
        same = solver(name, **more).log_det_adjoint(theta, X, Z_BAR, L_BAR, times=True)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(bars, same, strict=True))
    back = solver(name, memory="reverse").log_det_adjoint(theta, X, Z_BAR, L_BAR, times=True)
    for a, b in zip(bars, back, strict=True):
        assert np.abs(a - b).max() <= 1e-13 * np.abs(a).max()


@pytest.mark.parametrize(("scheme", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_the_order_is_kept(scheme, order):
    ode = solver(f"reversible({scheme})")
    theta = ode.initial(1)
    truth = solver("rk4", 2000).solve(theta, X)
    errors = [np.abs(ode.with_steps(n).solve(theta, X) - truth).max() for n in (64, 128)]
    assert abs(np.log2(errors[0] / errors[1]) - order) <= 0.1


@pytest.mark.parametrize(
    ("n_steps", "coupling", "least", "most"),
    [(100, 0.999, 0, 1e-13), (1000, 0.99, 1e-13, 1e-9)],
)
def test_how_well_paths_are_walked_backwards(n_steps, coupling, least, most):
    """Rounding grows as coupling^-n: choose coupling >= 1 - 1/n."""

    def of(memory):
        ode = solver(f"reversible(rk4, {coupling})", n_steps, memory=memory)
        return ode.adjoint(ode.initial(1), X, Z_BAR)[0]

    stored, back = of("store"), of("reverse")
    assert least <= np.abs(stored - back).max() / np.abs(stored).max() <= most


def test_problems_take_it():
    x = RNG.standard_normal((20, 2))
    for kept in ("store", "reverse"):
        flow = refode.ContinuousNormalizingFlow(
            solver("reversible(rk4)", memory=kept), transport=0.3
        )
        fit = refode.Supervised(solver("reversible(rk4)", memory=kept), "regression", n_outputs=1)
        for problem, data in ((flow, (x,)), (fit, (x, x[:, :1]))):
            theta = problem.initial(1)
            _, gradient = problem.value_and_gradient(theta, *data)
            direction = RNG.standard_normal(theta.size)
            values = [
                problem.value_and_gradient(theta + s * direction, *data)[0] for s in (1e-6, -1e-6)
            ]
            wanted = (values[0] - values[1]) / 2e-6
            assert abs(gradient @ direction - wanted) <= 1e-8 * max(1.0, abs(wanted))
            second = problem.hessian_vector(theta, direction, *data)
            moved = [
                problem.value_and_gradient(theta + s * direction, *data)[1] for s in (1e-6, -1e-6)
            ]
            assert (
                np.abs(second - (moved[0] - moved[1]) / 2e-6).max() <= 1e-7 * np.abs(second).max()
            )


def test_names():
    assert solver("reversible(rk4)").scheme == "reversible(rk4)"
    assert solver("reversible(rk4, 0.999)").scheme == "reversible(rk4)"
    assert solver("reversible( rk4 ,0.9)").scheme == "reversible(rk4, 0.9)"
    for wrong in (
        "reversible",
        "reversible(sdirk2)",
        "reversible(rk4, 0)",
        "reversible(rk4, 1.5)",
        "reversible(rk4, nan)",
        "reversible(rk4, x)",
        "reversible(nothing)",
    ):
        with pytest.raises(ValueError, match="scheme: got"):
            solver(wrong)
    with pytest.raises(ValueError, match="scheme: got"):
        solver("reversible(rk4)", device="cuda")


@pytest.mark.parametrize("memory", ["store", "reverse"])
def test_games_take_it(memory):
    """The gradient of all costs against the complex step through the values."""
    ends = [refode.densities.Gaussian(mean, 0.5) for mean in ([0.0, 0.0], [1.0, 0.0])]
    game = refode.games.crowd_motion(
        *ends, obstacle=refode.games.GaussianBump(5.0, [0.5, 0.1], 0.2)
    )
    problem = refode.MeanFieldGame(
        fields.Potential(2, 3),
        game,
        hjb=1.0,
        hjb_terminal=0.5,
        scheme="reversible(rk4)",
        n_steps=3,
        memory=memory,
    )
    theta, direction = problem.initial(1), RNG.standard_normal(problem.n_parameters)
    value, gradient = problem.value_and_gradient(theta, X)
    assert value == pytest.approx(problem.value(theta, X), rel=1e-14)
    _, *data = problem._arguments(theta, X)
    moved, _ = problem._value_and_gradient(theta + 1e-30j * direction, *data)
    wanted = moved.imag / 1e-30
    assert abs(gradient @ direction - wanted) <= 1e-13 * np.abs(gradient * direction).sum()
