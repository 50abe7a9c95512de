"""Steps of one's own: what they are, and that all that is solved and differentiated takes them."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import tolerances as tol
from contract import close
from graded_steps import CELLS, GAME, GRADED, LINEAR, POTENTIAL, TIMED, drawn

import refode
from refode import bases, fields, steps

SPANS = {
    "own": (-0.2, 1.3),
    "backwards": (1.3, -0.2),
    "within": (0.0, 1.0),
    "within, back": (0.8, 0.1),
}


# --- what steps are -----------------------------------------------------------------------------


def test_equal_steps():
    equal = steps.Equal(3)
    np.testing.assert_array_equal(equal.nodes((2.0, 0.5)), [2.0, 1.5, 1.0, 0.5])
    np.testing.assert_array_equal(equal.sizes((2.0, 0.5)), [-0.5] * 3)
    alpha, w = equal.shares((2.0, 0.5))
    np.testing.assert_array_equal(alpha, np.arange(3) / 3)
    np.testing.assert_array_equal(w, [1 / 3] * 3)
    assert equal.t_span is None
    assert equal == steps.Equal(3) != steps.Equal(4)
    assert hash(equal) == hash(steps.Equal(3))
    assert repr(equal) == "Equal(3)"


@pytest.mark.parametrize("grid", [[0.0, 1.0, 4.0], [4.0, 1.0, 0.0]], ids=["rising", "falling"])
def test_given_steps(grid):
    """As they are, backwards, and both stretched to an interval a quarter as long."""
    given = steps.Given(grid)
    there, back = given.t_span, given.t_span[::-1]
    half = (2.0 + there[0] / 4, 2.0 + there[1] / 4)
    for span, wanted in (
        (there, grid),
        (back, grid[::-1]),
        (half, [2.0 + t / 4 for t in grid]),
        (half[::-1], [2.0 + t / 4 for t in grid[::-1]]),
    ):
        np.testing.assert_array_equal(given.nodes(span), wanted)
        np.testing.assert_array_equal(given.sizes(span), np.diff(wanted))
        alpha, w = given.shares(span)
        length = span[1] - span[0]
        np.testing.assert_array_equal(span[0] + length * alpha, wanted[:-1])
        np.testing.assert_array_equal(length * w, np.diff(wanted))


def test_stretched_times_end_where_they_should():
    rng = np.random.default_rng(0)
    for _ in range(50):
        given, span = steps.Given(np.sort(rng.standard_normal(7))), tuple(rng.standard_normal(2))
        nodes, back = given.nodes(span), given.nodes(span[::-1])
        assert (nodes[0], nodes[-1]) == span
        np.testing.assert_array_equal(back, nodes[::-1])
        np.testing.assert_array_equal(given.sizes(span[::-1]), -given.sizes(span)[::-1])
        close(np.cumsum(given.sizes(span)), nodes[1:] - nodes[0], tol.STEPS_NODES)


def test_given_steps_are_values():
    given, other = steps.Given(GRADED), steps.Given([*GRADED[:-1], 1.4])
    assert given == steps.Given(np.array(GRADED)) != other
    assert given != steps.Equal(5)
    assert hash(given) == hash(steps.Given(tuple(GRADED)))
    assert hash(steps.Given([-0.0, 1.0])) == hash(steps.Given([0, 1]))
    assert repr(given) == f"Given({GRADED})"
    assert eval(repr(given), {"Given": steps.Given}) == given
    for same in (pickle.loads(pickle.dumps(given)), copy.deepcopy(given), copy.copy(given)):
        assert same == given
        assert same.t_span == given.t_span
        with pytest.raises(ValueError, match="read-only"):
            same.times[1] = 0.0


def test_many_times_show_as_a_digest():
    times = np.linspace(0.0, 1.0, 101) ** 2
    moved = times.copy()
    moved[50] = np.nextafter(moved[50], 1.0)
    one, two = repr(steps.Given(times)), repr(steps.Given(moved))
    assert one != two
    assert one == repr(steps.Given(times.copy()))
    assert one.startswith("Given(101 times from 0.0 to 1.0, ")


def test_a_grid_is_copied():
    times = np.array([0.0, 0.2, 1.0])
    ode = refode.NeuralODE(TIMED, grid=times)
    times[1] = 0.9
    np.testing.assert_array_equal(ode.plan().grid.t, [0.0, 0.2])


# --- what an ode makes of its arguments ---------------------------------------------------------


def test_arguments_of_an_ode():
    ode = refode.NeuralODE(TIMED)
    assert (ode.steps, ode.n_steps, ode.t_span) == (steps.Equal(10), 10, (0.0, 1.0))
    assert refode.NeuralODE(TIMED, "rk4", 3, (1.0, 0.0)).steps == steps.Equal(3)
    assert refode.NeuralODE(TIMED, n_steps=steps.Equal(3)).steps == steps.Equal(3)
    for graded in (
        refode.NeuralODE(TIMED, grid=GRADED),
        refode.NeuralODE(TIMED, n_steps=steps.Given(GRADED)),
        refode.NeuralODE(TIMED, grid=GRADED, t_span=(-0.2, 1.3)),
    ):
        assert (graded.steps, graded.n_steps) == (steps.Given(GRADED), 5)
        assert graded.t_span == (-0.2, 1.3)
        assert graded.on("cpu").steps == graded.steps
        assert graded.with_steps(5).steps == steps.Equal(5)
        assert graded.with_steps(5).t_span == (-0.2, 1.3)
    assert refode.NeuralODE(TIMED, grid=GRADED[::-1]).t_span == (1.3, -0.2)
    assert f"n_steps=Given({GRADED}), t_span=(-0.2, 1.3)" in repr(graded)


@pytest.mark.parametrize("span", [(0.0, 1.0), (1.3, -0.2), (0.1, 0.7)])
def test_equally_spaced_times_are_equal_steps(span):
    """To the last bit, also of the step, which the times know less well."""
    n = 7
    equal = refode.NeuralODE(TIMED, "rk4", n, span, LINEAR)
    grid = np.linspace(*span, n + 1)
    for n_steps in (None, steps.Given(grid)):
        given = refode.NeuralODE(
            TIMED, "rk4", n_steps, basis=LINEAR, grid=grid if n_steps is None else None
        )
        assert given.steps == equal.steps
        theta, x, rng = drawn(equal)
        np.testing.assert_array_equal(given.plan().grid.h, (span[1] - span[0]) / n)
        np.testing.assert_array_equal(given.trajectory(theta, x), equal.trajectory(theta, x))
        bars = (ode.adjoint(theta, x, x, times=True) for ode in (given, equal))
        for one, other in zip(*bars, strict=True):
            np.testing.assert_array_equal(one, other)
    grid[3] = np.nextafter(grid[3], 9.0)
    moved = refode.NeuralODE(TIMED, "rk4", basis=LINEAR, grid=grid)
    assert moved.steps == steps.Given(grid)
    close(moved.solve(theta, x), equal.solve(theta, x), tol.STEPS_VALUE)


BAD = {
    "no order": ([0.0, 0.5, 0.2, 1.0], ValueError, r"got 0\.5 at index 1 and 0\.2 at index 2"),
    "falling once": ([1.0, 0.5, 0.7, 0.0], ValueError, r"got 0\.5 at index 1 and 0\.7 at index 2"),
    "twice": ([0.0, 0.5, 0.5, 1.0], ValueError, r"got 0\.5 at index 1 and the same again at"),
    "to and fro": ([0.0, 0.5, 0.0], ValueError, r"got .* at index . and .* at index ., wanted"),
    "one": ([0.0], ValueError, "got 1 time, wanted at least two"),
    "none": ([], ValueError, "got an empty array"),
    "nan": ([0.0, np.nan, 1.0], ValueError, "got nan at index 1"),
    "infinite": ([0.0, np.inf], ValueError, "got inf at index 1"),
    "far apart": ([-1.7e308, 0.0, 1.7e308], ValueError, "got ends .* a finite length apart"),
    "two axes": ([[0.0, 1.0]], ValueError, r"got an array of shape \(1, 2\), wanted \(n_steps"),
    "a number": (3, ValueError, r"got an array of shape \(\), wanted \(n_steps"),
    "text": (["0", "1"], TypeError, "got an array of dtype"),
    "complex": ([0.0, 1j], TypeError, "got an array of dtype complex"),
    "steps": (steps.Equal(3), TypeError, "got an array of dtype object"),
}


@pytest.mark.parametrize("how", BAD)
def test_bad_grids_are_refused(how):
    grid, error, message = BAD[how]
    for make in (
        lambda: refode.NeuralODE(TIMED, grid=grid),
        lambda: steps.Given(grid),
        lambda: refode.MeanFieldGame(POTENTIAL, GAME, grid=grid),
    ):
        with pytest.raises(error, match=f"^grid: {message}"):
            make()


@pytest.mark.parametrize(
    "given",
    [
        {"n_steps": 5},
        {"n_steps": steps.Given(GRADED)},
        {"t_span": (0.0, 1.0)},
        {"t_span": (1.3, -0.2)},
    ],
    ids=["n_steps", "steps", "another t_span", "the other way"],
)
def test_a_grid_says_steps_and_interval_alone(given):
    for make in (
        lambda **how: refode.NeuralODE(TIMED, **how),
        lambda **how: refode.MeanFieldGame(POTENTIAL, GAME, **how),
    ):
        with pytest.raises(ValueError, match=r"^grid: got times .*, wanted "):
            make(grid=GRADED, **given)
    with pytest.raises(ValueError, match=r"^grid: got times from 0\.0 to 2\.0 and t_span"):
        refode.NeuralODE(TIMED, grid=GRADED).with_steps(steps.Given([0.0, 0.5, 2.0]))
    with pytest.raises(ValueError, match=r"^t_span: got"):
        refode.NeuralODE(TIMED, grid=GRADED, t_span=(0.0, 0.0))


# --- values: an integrator that shares no code --------------------------------------------------


def network(weights, z, t):
    """f of the shallow field with time as an input, for real and complex numbers."""
    u = z @ weights["W0"][:, :-1].T + t * weights["W0"][:, -1] + weights["b0"]
    return np.tanh(u) @ weights["W1"].T + weights["b1"]


def rk4(ode, theta, x, times, read):
    """States at all times; ``read(start, end, t)`` has the coefficients of theta for a stage."""
    named = ode.unpack(theta)

    def f(z, start, end, t):
        p = read(start, end, t)
        return network({n: np.tensordot(p, w, 1) for n, w in named.items()}, z, t)

    path = [x]
    for a, b in zip(times[:-1], times[1:], strict=True):
        z, h = path[-1], b - a
        k1 = f(z, a, b, a)
        k2 = f(z + 0.5 * h * k1, a, b, a + 0.5 * h)
        k3 = f(z + 0.5 * h * k2, a, b, a + 0.5 * h)
        k4 = f(z + h * k3, a, b, b)
        path.append(z + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4))
    return np.array(path)


def cells(start, end, t):
    """The third of the interval in which the step's middle lies."""
    return np.eye(3)[int((0.5 * (start + end) + 0.2) / 0.5)]


def hats(start, end, t):
    s = (t + 0.2) / 1.5
    return np.array([1.0 - s, s])


def stretched(span):
    """GRADED within an interval, one direction or the other."""
    rising = sorted(span)
    times = [rising[0] + (t + 0.2) / 1.5 * (rising[1] - rising[0]) for t in GRADED]
    return times if span[1] > span[0] else times[::-1]


@pytest.mark.parametrize("name", SPANS)
@pytest.mark.parametrize(("basis", "read"), [(CELLS, cells), (LINEAR, hats)], ids=["cells", "hats"])
def test_trajectories_step_at_the_times(basis, read, name):
    """Steps that meet no border of a cell read the cell of their middle, both ways."""
    ode = refode.NeuralODE(TIMED, "rk4", basis=basis, grid=GRADED)
    theta, x, _ = drawn(ode)
    wanted = rk4(ode, theta, x, stretched(SPANS[name]), read)
    close(ode.trajectory(theta, x, SPANS[name]), wanted, tol.STEPS_VALUE)
    close(ode.solve(theta, x, SPANS[name]), wanted[-1], tol.STEPS_VALUE)


@pytest.mark.parametrize("name", SPANS)
def test_derivatives_in_the_ends(name):
    """Complex steps of t0 and T through the other integrator, all times moving along."""
    ode = refode.NeuralODE(TIMED, "rk4", basis=LINEAR, grid=GRADED)
    theta, x, rng = drawn(ode)
    span, bars = SPANS[name], rng.standard_normal((len(GRADED), *x.shape))
    times = np.array(stretched(span))
    alpha = (times - span[0]) / (span[1] - span[0])
    got = ode.adjoint(theta, x, bars, span, times=True)[2]
    for end, share in enumerate((1.0 - alpha, alpha)):
        path = rk4(ode, theta, x, times + 1e-200j * share, hats)
        close(got[end], (bars * path).sum().imag / 1e-200, tol.STEPS_DERIVATIVE)


@pytest.mark.parametrize("name", ["within", "within, back"])
def test_derivatives_in_the_ends_are_those_of_calls(name):
    """Central differences of calls with other ends, for cells as well."""
    for basis in (CELLS, LINEAR):
        ode = refode.NeuralODE(TIMED, "rk4", basis=basis, grid=GRADED)
        theta, x, rng = drawn(ode)
        span, z_bar = np.array(SPANS[name]), rng.standard_normal(x.shape)
        got = ode.adjoint(theta, x, z_bar, tuple(span), times=True)[2]
        for end, e in enumerate(np.eye(2)):
            up, down = (
                (z_bar * ode.solve(theta, x, tuple(span + h * e))).sum() for h in (1e-5, -1e-5)
            )
            close(got[end], (up - down) / 2e-5, tol.STEPS_DIFFERENCE)


# --- order, against a nonlinear flow that is known exactly --------------------------------------


def test_order_on_a_graded_grid():
    """One neuron: u = w.z + b has u' = (w.v) tanh u, so sinh u = e^{(w.v) t} sinh u_0."""
    w, v, b, x = np.array([1.5, -0.7]), np.array([0.8, 1.1]), 0.3, np.array([[0.4, -0.9]])
    a, u0 = w @ v, w @ x[0] + b
    exact = x + v * (np.arcsinh(np.exp(a) * np.sinh(u0)) - u0) / a
    field, errors, numbers = fields.Shallow(2, 1), [], [8, 16, 32, 64]
    for n in numbers:
        ode = refode.NeuralODE(field, "rk4", grid=(np.arange(n + 1) / n) ** 2)
        theta = ode.pack(
            {"W0": w[None, None], "b0": [[b]], "W1": v[None, :, None], "b1": np.zeros((1, 2))}
        )
        errors.append(np.abs(ode.solve(theta, x) - exact).max())
    orders = np.diff(np.log(errors)) / np.diff(np.log(1.0 / np.array(numbers)))
    assert np.abs(orders - 4.0).max() < tol.STEPS_ORDER
    assert errors[-1] < tol.STEPS_FINEST


# --- adjoints -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPANS)
@pytest.mark.parametrize("memory", ["store", "steps"])
@pytest.mark.parametrize("basis", [CELLS, LINEAR, bases.Constant()], ids=repr)
def test_adjoint_against_tangent(basis, memory, name):
    """The tangent is the complex step through the sweep, which sees no adjoint."""
    ode = refode.NeuralODE(TIMED, "rk4", basis=basis, memory=memory, grid=GRADED)
    theta, x, rng = drawn(ode)
    theta_dot, x_dot, z_bar = (rng.standard_normal(a.shape) for a in (theta, x, x))
    theta_bar, x_bar = ode.adjoint(theta, x, z_bar, SPANS[name])
    z_dot = ode.tangent(theta, x, theta_dot, x_dot, SPANS[name])
    close(theta_bar @ theta_dot + (x_bar * x_dot).sum(), (z_bar * z_dot).sum(), tol.STEPS_DOT)


def test_recomputed_backwards():
    """A symplectic path that is walked back for the adjoint takes each step's own size."""
    field = fields.Hamiltonian(4)
    kept, undone = (
        refode.NeuralODE(field, "verlet", basis=CELLS, memory=m, grid=GRADED)
        for m in ("store", "reverse")
    )
    theta, x, rng = drawn(kept)
    z_bar = rng.standard_normal(x.shape)
    for one, other in zip(
        kept.adjoint(theta, x, z_bar), undone.adjoint(theta, x, z_bar), strict=True
    ):
        close(one, other, tol.STEPS_VALUE)


# --- backwards ------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [GRADED, GRADED[::-1]], ids=["rising", "falling"])
def test_a_symmetric_scheme_walks_back_the_way_it_came(grid):
    """Stoermer-Verlet undoes itself to rounding, on the same nodes and on no others."""
    ode = refode.NeuralODE(fields.Hamiltonian(4), "stormer_verlet", basis=LINEAR, grid=grid)
    theta, x, _ = drawn(ode)
    there = ode.trajectory(theta, x)
    back = ode.trajectory(theta, there[-1], ode.t_span[::-1])
    close(back[::-1], there, tol.STEPS_VALUE)
    others = ode.with_steps(5).solve(theta, there[-1], ode.t_span[::-1])
    assert np.abs(others - x).max() > 1e-4


def test_a_flow_inverts_on_the_same_nodes():
    grid = np.linspace(0.0, 1.0, 33) ** 1.5
    flow = refode.ContinuousNormalizingFlow(refode.NeuralODE(TIMED, grid=grid))
    theta, x, _ = drawn(flow)
    back = flow.ode.plan((1.0, 0.0)).grid
    np.testing.assert_array_equal(back.t, grid[:0:-1])
    np.testing.assert_array_equal(back.h, np.diff(grid[::-1]))
    y = flow.generate(theta, x)
    found, log_det = flow.inverse(theta, y)
    close(found, x, tol.STEPS_INVERSE)
    close(log_det, flow.log_det_exact(theta, y), tol.STEPS_INVERSE)
    path = flow.trajectory(theta, y, inverse=True)
    close(path[::-1], flow.trajectory(theta, x), tol.STEPS_INVERSE)
    value, gradient = flow.value_and_gradient(theta, y)
    close(value, -flow.log_density(theta, y).mean(), tol.STEPS_VALUE)
    v = np.random.default_rng(1).standard_normal(theta.shape)
    up, down = (flow.value(theta + h * v, y) for h in (1e-5, -1e-5))
    close(gradient @ v, (up - down) / 2e-5, tol.STEPS_DIFFERENCE)


def test_an_evaluation_of_so_many_steps_takes_equal_ones():
    """Also where the number is the grid's own."""
    ode = refode.NeuralODE(TIMED, grid=GRADED)
    graded, equal = (refode.ContinuousNormalizingFlow(o) for o in (ode, ode.with_steps(5)))
    theta, x, _ = drawn(graded)
    wanted = equal.generate(theta, x)
    np.testing.assert_array_equal(graded.generate(theta, x, n_steps=5), wanted)
    assert np.abs(graded.generate(theta, x) - wanted).max() > 1e-6
