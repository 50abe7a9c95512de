"""Plans for the state: against SciPy, a plain oracle, closed forms."""

from __future__ import annotations

import adaptive_oracle
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import refode
from refode import bases, fields, tableaus
from refode.adaptation import planner
from refode.adaptation.course import Course, rows_of_ode
from refode.adaptation.moving import moving_of
from refode.sweeps.dynamics import LogDet

PAIRS = ("dopri5", "tsit5", "bogacki_shampine")


def an_ode(scheme="dopri5", t_span=(0.0, 5.0), basis=None, scale=2.0, dim=2, seed=1):
    ode = refode.NeuralODE(fields.Shallow(dim, 6), scheme, t_span=t_span, basis=basis)
    return ode, scale * ode.initial(seed)


def samples(n=7, dim=2, seed=3):
    return np.random.default_rng(seed).normal(size=(n, dim))


def right_hand_side(ode, theta):
    """f(t, y) for y (N, d), by the field alone."""
    start, end = ode.t_span

    def f(t, y):
        s = np.array([min(1.0, max(0.0, (t - start) / (end - start)))])
        J = ode.basis.n_coefficients
        parts = [a.reshape(J, -1) for a in ode.unpack(theta).values()]
        weights = ode.basis.matrix(s).toarray() @ np.concatenate(parts, axis=1)
        return refode.evaluate.value(ode.field, weights[0], y, t)

    return f


# --- SciPy -----------------------------------------------------------------------------------
@pytest.mark.parametrize("tol", [(1e-3, 1e-6), (1e-6, 1e-9), (1e-9, 1e-12)])
@pytest.mark.parametrize("t_span", [(0.0, 5.0), (2.0, -3.0), (-2.0, 1.0), (3.0, 0.0)])
def test_rk45_takes_the_same_steps(t_span, tol):
    ode, theta = an_ode(t_span=t_span)
    x = samples(1)
    planned, report = refode.adapt(ode, theta, x, rtol=tol[0], atol=tol[1], controller="i")
    f = right_hand_side(ode, theta)
    theirs = solve_ivp(lambda t, y: f(t, y[None])[0], t_span, x[0], rtol=tol[0], atol=tol[1])
    nodes = planned.steps.nodes(t_span)
    assert len(nodes) == len(theirs.t)
    assert np.allclose(nodes, theirs.t, rtol=0, atol=1e-6)  # errors near rounding choose steps
    assert report.evaluations == theirs.nfev
    assert np.allclose(planned.solve(theta, x)[0], theirs.y[:, -1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scheme", PAIRS)
def test_states_are_as_exact_as_asked_for(scheme):
    ode, theta = an_ode(scheme)
    x = samples()
    f = right_hand_side(ode, theta)
    truth = [
        solve_ivp(lambda t, y: f(t, y[None])[0], ode.t_span, row, "DOP853", rtol=1e-12, atol=1e-13)
        for row in x
    ]
    planned, _ = refode.adapt(ode, theta, x, rtol=1e-7, atol=1e-8)
    error = planned.solve(theta, x) - np.array([s.y[:, -1] for s in truth])
    assert np.abs(error).max() < 30 * 1e-7


# --- a neuron whose flow is known -----------------------------------------------------------
def neuron(scheme, a, t_span=(0.0, 1.0)):
    """x' = a tanh x in the library's own field."""
    ode = refode.NeuralODE(fields.Shallow(1, 1), scheme, t_span=t_span)
    theta = ode.pack({"W0": [[[1.0]]], "b0": [[0.0]], "W1": [[[a]]], "b1": [[0.0]]})
    return ode, theta


def flow(a, x, t=1.0):
    return np.arcsinh(np.exp(a * t) * np.sinh(x))


@pytest.mark.parametrize("scheme", PAIRS)
@pytest.mark.parametrize("a", [-8.0, 3.0])
def test_the_error_does_not_grow_in_tolerances_over_six_decades(scheme, a):
    ode, theta = neuron(scheme, a)
    x = np.linspace(0.2, 2.0, 9)[:, None]
    ratios = []
    for tol in (1e-3, 1e-5, 1e-7, 1e-9):
        planned, _ = refode.adapt(ode, theta, x, rtol=tol, atol=tol)
        ratios.append(np.abs(planned.solve(theta, x) - flow(a, x)).max() / tol)
    assert max(ratios) < 12.0
    assert ratios[-1] < 2.0 * ratios[-2] + 0.5  # a step of 1e-3 is too long to say anything


@pytest.mark.parametrize("scheme", PAIRS)
def test_a_stiff_neuron_is_followed(scheme):
    ode, theta = neuron(scheme, -50.0)
    planned, report = refode.adapt(ode, theta, np.array([[1.2]]), rtol=1e-6, atol=1e-6)
    assert abs(planned.solve(theta, np.array([[1.2]]))[0, 0] - flow(-50.0, 1.2)) < 1e-5
    assert report.errors.max() <= 1.0


# --- a plain oracle ---------------------------------------------------------------------------
BASES = [
    None,
    bases.Legendre(3),
    bases.PiecewiseConstant(4),
    bases.PiecewiseLinear(3),
    bases.BSpline(6),
]


@pytest.mark.nojit
@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("controller", ["pi", "i"])
def test_every_tried_step_is_the_oracles(basis, controller):
    ode, theta = an_ode("dopri5", basis=basis)
    theta = theta * np.random.default_rng(0).uniform(0.5, 1.5, theta.size)
    x, stops = samples(), [0.3, 2.7]
    _, report = refode.adapt(
        ode, theta, x, rtol=1e-4, atol=1e-6, controller=controller, stops=stops
    )
    borders = [1.25, 2.5, 3.75] if isinstance(basis, bases.PiecewiseConstant) else []
    nodes, tried = _oracle(ode, theta, x, controller == "pi", stops + borders)
    assert len(tried) == len(report.tried)
    assert np.allclose(report.grid, nodes, rtol=0, atol=1e-7)
    assert np.allclose(report.tried["error"], [e for _, _, e, _ in tried], rtol=1e-3, atol=1e-9)
    assert report.rejected == sum(not taken for *_, taken in tried)


def _oracle(ode, theta, x, pi, stops, **options):
    f = right_hand_side(ode, theta)
    pair = adaptive_oracle.Pair(tableaus.get(ode.scheme))
    jumps = isinstance(ode.basis, bases.PiecewiseConstant)  # a step's stages read one cell

    def g(t, y, middle):
        return f(middle if jumps else t, y)

    options = {"pi": pi, "stops": stops, **options}
    return adaptive_oracle.steps(g, x, ode.t_span, pair, 1e-4, 1e-6, **options)


@pytest.mark.nojit
@pytest.mark.parametrize("basis", [*BASES[1:2], *BASES[3:]])
def test_weights_that_move_are_the_same_whoever_makes_them(basis, monkeypatch):
    ode, theta = an_ode(basis=basis)
    theta = theta * np.random.default_rng(0).uniform(0.5, 1.5, theta.size)
    asked = {"rtol": 1e-5, "atol": 1e-7, "stops": [1.3]}
    kernels = refode.adapt(ode, theta, samples(), **asked)[1]
    monkeypatch.setattr(planner, "moving_of", lambda *_: None)
    python = refode.adapt(ode, theta, samples(), **asked)[1]
    assert np.allclose(kernels.grid, python.grid, rtol=0, atol=1e-9)
    assert len(kernels.tried) == len(python.tried)


def test_products_of_weights_are_no_polynomials_of_the_basis():
    """A trace reads W1 W0: its plan asks Python for weights, and is right."""
    ode, theta = an_ode(basis=bases.PiecewiseLinear(3))
    theta = theta * np.random.default_rng(0).uniform(0.5, 1.5, theta.size)
    sweep = ode.sweep(ode.plan(), LogDet, np.dtype(float))
    rows = rows_of_ode(2, ("z", "log_det"))
    course = Course(ode, theta, ode.t_span, sweep, True, samples(), rows)
    assert moving_of(course, course.coefficients()) is None
    assert moving_of(course._replace(trace=False), course.coefficients()) is not None
    asked = {"rtol": 1e-5, "atol": 1e-7, "error_in": ("z", "log_det")}
    planned, _ = refode.adapt(ode, theta, samples(), **asked)
    fine = ode.with_steps(3000).log_det(theta, samples())[1]
    assert np.abs(planned.log_det(theta, samples())[1] - fine).max() < 20 * 1e-5


def test_the_mean_over_samples_is_the_oracles():
    ode, theta = an_ode()
    x = samples()
    _, report = refode.adapt(ode, theta, x, rtol=1e-4, atol=1e-6, norm="rms")
    nodes, _ = _oracle(ode, theta, x, True, [], norm="rms")
    assert np.allclose(report.grid, nodes, rtol=0, atol=1e-7)


def test_a_first_step_of_ones_own_is_tried_first():
    ode, theta = an_ode()
    _, report = refode.adapt(ode, theta, samples(), rtol=1e-4, atol=1e-6, first_step=0.01)
    assert report.tried["h"][0] == 0.01
    _, report = refode.adapt(ode, theta, samples(), rtol=1e-4, atol=1e-6, first_step=50.0)
    assert report.tried["h"][0] == 5.0


@pytest.mark.parametrize("a", [-8.0, -50.0])
def test_the_step_after_a_rejection_does_not_grow(a):
    """However small its error, which would have it longer."""
    ode, theta = neuron("dopri5", a)
    _, report = refode.adapt(ode, theta, np.array([[1.2]]), rtol=1e-6, atol=1e-6, first_step=1.0)
    tried = report.tried
    i = int(np.flatnonzero(tried["accepted"])[0])
    assert i > 1
    assert tried["error"][i] ** (-0.7 / 5) * 0.9 > 1.03
    assert tried["h"][i + 1] == tried["h"][i]


# --- grids --------------------------------------------------------------------------------------
@pytest.mark.parametrize("scheme", PAIRS)
@pytest.mark.parametrize("t_span", [(0.0, 5.0), (5.0, 0.0)])
def test_a_frozen_grid_given_back_gives_the_same_bits(scheme, t_span):
    ode, theta = an_ode(scheme, t_span)
    x = samples()
    planned, report = refode.adapt(ode, theta, x, rtol=1e-5, atol=1e-7)
    given = refode.NeuralODE(ode.field, scheme, grid=report.grid)
    z_bar = np.ones_like(x)
    assert np.array_equal(given.trajectory(theta, x), planned.trajectory(theta, x))
    bars = [o.adjoint(theta, x, z_bar, times=True) for o in (given, planned)]
    for ours, theirs in zip(*bars, strict=True):
        assert np.array_equal(ours, theirs)


def test_stops_borders_and_ends_are_points_of_the_grid():
    ode, theta = an_ode(basis=bases.PiecewiseConstant(3), t_span=(1.0, 4.0))
    stops = [1.0, 1.1, np.nextafter(2.5, 3.0), 3.9, 4.0]
    _, report = refode.adapt(ode, theta, samples(), rtol=1e-4, atol=1e-6, stops=stops)
    assert {*stops, 2.0, 3.0} <= set(report.grid.tolist())
    assert np.all(np.diff(report.grid) > 0)


def test_steps_go_on_as_they_were_before_a_stop():
    ode, theta = neuron("dopri5", 0.5, (0.0, 10.0))
    x = np.array([[1.0]])
    _, report = refode.adapt(ode, theta, x, rtol=1e-5, atol=1e-7, stops=[4.0, 4.0 + 1e-6])
    i = int(np.flatnonzero(report.tried["t"] == 4.0)[0])
    assert report.tried["h"][i] == pytest.approx(1e-6)
    assert report.tried["h"][i + 1] > 0.3 * report.tried["h"][:i].max()


def test_any_number_of_threads_plans_the_same_grid():
    ode, theta = an_ode()
    x = samples(2000)
    grids = []
    for n in (1, 2, 5):
        with refode.machine.threads.num_threads(n):
            grids.append(refode.adapt(ode, theta, x, rtol=1e-5, atol=1e-7)[1])
    for other in grids[1:]:
        assert np.array_equal(grids[0].tried, other.tried)


def test_by_the_largest_norm_nobody_hides_among_the_others():
    ode, theta = neuron("dopri5", 3.0)
    easy = np.full((500, 1), 5.0)  # saturated: straight lines
    hard = np.array([[1e-2]])
    x = np.concatenate([easy, hard])
    asked = {"rtol": 1e-6, "atol": 1e-6}
    alone = refode.adapt(ode, theta, hard, **asked)[0].solve(theta, hard)
    among = refode.adapt(ode, theta, x, **asked)[0].solve(theta, x)[-1:]
    hidden = refode.adapt(ode, theta, x, norm="rms", **asked)[0].solve(theta, x)[-1:]
    errors = [np.abs(z - flow(3.0, hard)).max() for z in (alone, among, hidden)]
    assert errors[1] < 3e-6
    assert errors[2] > 3 * errors[1]


@pytest.mark.parametrize("name", ["fehlberg8", "dopri5", "own"])
def test_tableaus_of_ones_own_and_pairs_that_are_not_fsal(name):
    heun_euler = tableaus.Tableau(
        "own", ((0, 0), (1, 0)), ("1/2", "1/2"), (0, 1), 2, "here", (1, 0), 1
    )
    ode, theta = neuron(heun_euler if name == "own" else tableaus.get(name), -2.0)
    x = np.array([[0.4], [1.0]])
    tol = 1e-4 if name == "own" else 1e-7
    planned, report = refode.adapt(ode, theta, x, rtol=tol, atol=tol)
    assert np.abs(planned.solve(theta, x) - flow(-2.0, x)).max() < 10 * tol
    pair = adaptive_oracle.Pair(heun_euler if name == "own" else tableaus.get(name))
    nodes, _ = adaptive_oracle.steps(
        lambda t, y, middle: -2.0 * np.tanh(y), x, (0.0, 1.0), pair, tol, tol
    )
    assert np.allclose(report.grid, nodes, atol=1e-7)


# --- where nothing moves -----------------------------------------------------------------------
@pytest.mark.parametrize("controller", ["pi", "i"])
def test_nothing_that_moves_takes_few_steps(controller):
    ode, theta = neuron("dopri5", 0.0)
    x, asked = np.array([[1.0]]), {"rtol": 1e-6, "atol": 1e-6, "controller": controller}
    planned, report = refode.adapt(ode, theta, x, **asked)
    assert np.array_equal(planned.solve(theta, x), x)
    assert report.tried["h"][0] == pytest.approx(1e-6)
    assert np.all(report.errors == 0.0)
    growth = report.tried["h"][1:4] / report.tried["h"][:3]
    both = 0.9 * 1e10 ** (0.7 / 5) * 1e-10 ** (0.4 / 5)  # an error counts as 1e-10 in both powers
    assert np.allclose(growth, [10.0, both, both] if controller == "pi" else 10.0)


# --- quadratures ---------------------------------------------------------------------------------
def test_quadratures_ride_along_and_count_where_they_are_named():
    ode, theta = an_ode(scale=3.0)
    x = samples()
    asked = {"rtol": 1e-4, "atol": 1e-7}
    _, alone = refode.adapt(ode, theta, x, **asked)
    planned, with_l = refode.adapt(ode, theta, x, error_in=("z", "log_det"), **asked)
    _, all_three = refode.adapt(ode, theta, x, error_in=("z", "log_det", "cost"), **asked)
    assert alone.quadratures == {}
    assert list(with_l.quadratures) == ["log_det"]
    assert list(all_three.quadratures) == ["log_det", "kinetic"]
    fine = ode.with_steps(3000).log_det(theta, x)[1]
    assert np.abs(planned.log_det(theta, x)[1] - fine).max() < with_l.quadratures["log_det"]
    assert with_l.tried["error"][0] != alone.tried["error"][0]


# --- the report ---------------------------------------------------------------------------------
def test_the_report_says_what_was_done():
    ode, theta = an_ode(scale=4.0)
    planned, report = refode.adapt(ode, theta, samples(), rtol=1e-5, atol=1e-7)
    assert report.n_steps == planned.n_steps == report.accepted == len(report.errors)
    assert report.rejected == len(report.tried) - report.accepted
    assert report.gradient_error is None
    assert report.adjoint_evaluations == 0
    assert report.evaluations == 2 + 6 * len(report.tried)
    taken = report.tried[report.tried["accepted"]]
    assert np.array_equal(taken["t"], report.grid[:-1])
    assert np.array_equal(taken["h"], np.diff(report.grid))
    text = str(report)
    for piece in ("dopri5", f"{report.accepted}, {report.rejected}", "gradient not watched"):
        assert piece in text
    assert "Adaptation(" in repr(report)
    with pytest.raises(AttributeError, match="attributes are set once"):
        report.accepted = 3
    with pytest.raises(ValueError, match="read-only"):
        report.grid[0] = 1.0
