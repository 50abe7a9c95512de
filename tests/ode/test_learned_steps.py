"""Steps learned with the weights, (D167)-(D169), against plain programs that share no code."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

import refode
from refode import NeuralODE, bases, fields, tableaus
from refode.sweeps.dynamics import Plain

RNG = np.random.default_rng(0)
X, Z_BAR, L_BAR = RNG.standard_normal((7, 2)), RNG.standard_normal((7, 2)), RNG.standard_normal(7)
SPAN, N = (0.2, 1.7), 4
FIELD = fields.Shallow(2, 3, time=True)
RULES = ["free", "simplex", "softmax"]
BASES = [bases.Constant(), bases.PiecewiseConstant(N)]


def solver(rule, basis=BASES[1], scheme="rk4", field=FIELD, span=SPAN, **more):
    return NeuralODE(field, scheme, N, span, basis, steps=rule, **more)


def drawn(ode, seed=1):
    """A theta with uneven steps; on the simplex, one of them is 0."""
    theta = ode.initial(seed)
    theta += 0.2 * np.random.default_rng(seed).standard_normal(theta.size)
    if ode.step_rule == "simplex":
        theta[-2] = -0.3 * np.sign(ode.t_span[1] - ode.t_span[0])
    return theta


# --- plain programs, of complex numbers too ------------------------------------------------------
def plain_steps(rule, h, length):
    """By bisection for the threshold of the projection, by a loop for the softmax."""
    if rule == "free":
        return h
    if rule == "softmax":
        powers = np.array([np.exp(each) for each in h])
        return length * powers / sum(powers)
    sign = 1.0 if length > 0 else -1.0
    v, total = sign * h, abs(length)
    low, high = v.real.min() - total, v.real.max()
    for _ in range(200):
        middle = (low + high) / 2
        if np.maximum(v.real - middle, 0.0).sum() > total:
            low = middle
        else:
            high = middle
    active = v.real > high + 1e-12
    level = (sum(v[active]) - total) / active.sum()
    return sign * np.where(active, v - level, 0.0)


def plain_solve(ode, theta, x, backwards=False):
    """(z, l) at the end, step by step with the steps' own layers."""
    J, (t0, T) = ode.basis.n_coefficients, ode.t_span
    n, W = theta.size - N, {}
    for name, place in ode.layout.slices.items():
        W[name] = theta[place].reshape(ode.layout.shapes[name])
    steps = plain_steps(ode.step_rule, theta[n:], T - t0)
    A, b, c = tableaus.get(ode.scheme).propagating().as_floats()
    times = [t0 + sum(steps[:m], 0.0) for m in range(N + 1)]
    order = [(times[m], steps[m], m) for m in range(N)]
    if backwards:
        order = [(times[m + 1], -steps[m], m) for m in reversed(range(N))]
    z, l = x.astype(theta.dtype), np.zeros(len(x), theta.dtype)  # noqa: E741
    for t, h, m in order:
        w = {name: a[m if J > 1 else 0] for name, a in W.items() if name != "h"}
        k, traces = [], []
        for i in range(len(b)):
            y = z + h * sum((A[i, j] * k[j] for j in range(i)), 0 * z)
            at = np.full((len(x), 1), t + c[i] * h)
            a = np.tanh(np.concatenate([y, at], axis=1) @ w["W0"].T + w["b0"])
            k.append(a @ w["W1"].T + w["b1"])
            gains = np.einsum("dk,kd->k", w["W1"], w["W0"][:, :2])
            traces.append((1 - a**2) @ gains)
        z = z + h * sum(b[i] * k[i] for i in range(len(b)))
        l = l + h * sum(b[i] * traces[i] for i in range(len(b)))  # noqa: E741
    return z, l


def test_the_projections_example():
    ode = NeuralODE(fields.Affine(1), n_steps=4, steps="simplex")
    theta = ode.pack({"A": np.ones((1, 1, 1)), "c": np.zeros((1, 1)), "h": [0.9, 0.6, -0.3, 0.2]})
    assert np.allclose(ode.step_sizes(theta), [0.65, 0.35, 0.0, 0.0], rtol=0, atol=1e-16)
    assert ode.step_sizes(theta)[2] == ode.step_sizes(theta)[3] == 0.0


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("span", [SPAN, SPAN[::-1]])
def test_steps_of_any_theta(rule, span):
    ode = solver(rule, span=span)
    for seed in range(20):
        theta = drawn(ode, seed)
        found = ode.step_sizes(theta)
        wanted = plain_steps(rule, theta[-N:], span[1] - span[0])
        assert np.abs(found - wanted).max() <= 1e-15
        if rule != "free":
            assert abs(found.sum() - (span[1] - span[0])) <= 1e-15
            assert np.all(found * (span[1] - span[0]) >= 0.0)
    assert np.allclose(ode.step_sizes(ode.initial()), (span[1] - span[0]) / N, rtol=1e-15)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("basis", BASES, ids=repr)
@pytest.mark.parametrize("scheme", ["euler", "rk4", "dopri5"])
@pytest.mark.parametrize("backwards", [False, True])
def test_the_adjoint_against_a_plain_program(rule, basis, scheme, backwards):
    """The complex step through the program, in states and log-determinants."""
    ode = solver(rule, basis, scheme)
    theta, span = drawn(ode), SPAN[::-1] if backwards else SPAN
    z, l = ode.log_det(theta, X, span)  # noqa: E741
    for found, wanted in zip((z, l), plain_solve(ode, theta, X, backwards), strict=True):
        assert np.abs(found - wanted).max() <= 1e-13
    theta_bar, x_bar = ode.log_det_adjoint(theta, X, Z_BAR, L_BAR, span)
    for _ in range(6):
        theta_dot, x_dot = RNG.standard_normal(theta.size), RNG.standard_normal(X.shape)
        moved = plain_solve(ode, theta + 1e-30j * theta_dot, X + 1e-30j * x_dot, backwards)
        terms = np.concatenate([(Z_BAR * moved[0].imag).ravel(), L_BAR * moved[1].imag]) / 1e-30
        found = theta_bar @ theta_dot + (x_bar * x_dot).sum()
        assert abs(found - terms.sum()) <= 1e-12 * np.abs(terms).sum()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("scheme", ["rk4", "sdirk2", "gauss2", "ros2", "reversible(midpoint)"])
def test_the_dot_test(rule, scheme):
    ode = solver(rule, scheme=scheme)
    theta = drawn(ode)
    for z_bar in (Z_BAR, RNG.standard_normal((N + 1, *X.shape))):
        theta_bar, x_bar = ode.adjoint(theta, X, z_bar)
        theta_dot, x_dot = RNG.standard_normal(theta.size), RNG.standard_normal(X.shape)
        if z_bar.ndim == 2:
            moved = ode.tangent(theta, X, theta_dot, x_dot)
        else:
            path = [ode.trajectory(theta + e * theta_dot, X + e * x_dot) for e in (1e-5, -1e-5)]
            moved = (path[0] - path[1]) / 2e-5
        wanted, found = (z_bar * moved).sum(), theta_bar @ theta_dot + (x_bar * x_dot).sum()
        near = 1e-12 if z_bar.ndim == 2 else 1e-7
        assert abs(found - wanted) <= near * np.abs(z_bar * moved).sum()


def test_of_a_partitioned_field_what_is_kept_and_the_slope_of_a_taylor_series():
    ode = solver("softmax", scheme="verlet", field=fields.Hamiltonian(2))
    theta = drawn(ode)
    bars = ode.adjoint(theta, X, Z_BAR)
    back = solver("softmax", scheme="verlet", field=ode.field, memory="reverse")
    few = solver("softmax", scheme="verlet", field=ode.field, memory="binomial", slots=2)
    for a, b, c in zip(
        bars, back.adjoint(theta, X, Z_BAR), few.adjoint(theta, X, Z_BAR), strict=True
    ):
        assert np.abs(a - b).max() <= 1e-13 * np.abs(a).max()
        assert a.tobytes() == c.tobytes()
    direction = RNG.standard_normal(theta.size)
    errors = []
    for e in (1e-2, 5e-3, 2.5e-3):
        change = ((ode.solve(theta + e * direction, X) - ode.solve(theta, X)) * Z_BAR).sum()
        errors.append(abs(change - e * bars[0] @ direction))
    slopes = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(np.abs(slopes - 2.0) <= 0.1)


# --- problems ------------------------------------------------------------------------------------
def problems(rule, basis=BASES[1]):
    ode = solver(rule, basis)
    y = np.array([0, 1, 1, 0, 1, 0, 0])
    fit = refode.Supervised(ode, "logistic", augment=1, tikhonov=0.1)
    flow = refode.ContinuousNormalizingFlow(ode, transport=0.3)
    return [(fit, (X[:, :1].copy(), y)), (flow, (X,))]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("which", [0, 1])
def test_gradients_and_second_derivatives_of_problems(rule, which):
    problem, data = problems(rule)[which]
    theta = problem.initial(1)
    h = problem.unpack(theta)["h"]
    h += 0.1 * np.arange(N)
    if rule == "simplex":
        h[1] = -0.3
    value, gradient = problem.value_and_gradient(theta, *data)
    assert abs(value - problem.value(theta, *data)) <= 1e-14 * abs(value)
    v = RNG.standard_normal(theta.size)
    plus, minus = (problem.value_and_gradient(theta + e * v, *data) for e in (1e-5, -1e-5))
    assert abs(gradient @ v - (plus[0] - minus[0]) / 2e-5) <= 1e-8
    second = problem.hessian_vector(theta, v, *data)
    wanted = (plus[1] - minus[1]) / 2e-5
    assert np.abs(second - wanted).max() <= 1e-7 * np.abs(wanted).max()
    other = RNG.standard_normal(theta.size)  # it is symmetric
    assert abs(other @ second - v @ problem.hessian_vector(theta, other, *data)) <= 1e-12 * max(
        1.0, np.abs(second).max()
    )


def test_layers_that_are_superfluous():
    """Their gradient is 0, and without them every bit of the results is the same."""
    ode = solver("simplex")
    theta = drawn(ode)
    assert np.flatnonzero(ode.step_sizes(theta) == 0.0).tolist() == [2]
    for bar in (ode.adjoint(theta, X, Z_BAR)[0], ode.adjoint(theta, X, Z_BAR, SPAN[::-1])[0]):
        named = ode.unpack(bar)
        assert all(np.all(named[name][2] == 0.0) for name in named)
        assert all(np.abs(named[name]).max() > 0.0 for name in named)
    smaller, left, kept, dropped = ode.pruned(theta)
    assert (kept.tolist(), dropped.tolist(), smaller.n_steps) == ([0, 1, 3], [2], 3)
    assert ode.solve(theta, X).tobytes() == smaller.solve(left, X).tobytes()
    for problem, data in problems("simplex"):
        theta = problem.initial(1)
        problem.unpack(theta)["h"][:] = [0.3, -0.2, 0.5, 0.7]
        less, left, kept, dropped = problem.pruned(theta)
        assert (kept.tolist(), dropped.tolist()) == ([0, 2, 3], [1])
        assert type(less) is type(problem)
        assert less.ode.basis == bases.PiecewiseConstant(3)
        data = data[:1]
        ask = "predict" if len(left) > less.ode.n_parameters else "log_density"
        assert (
            getattr(problem, ask)(theta, *data).tobytes()
            == getattr(less, ask)(left, *data).tobytes()
        )
    constant = solver("simplex", bases.Constant())
    less, left, *_ = constant.pruned(drawn(constant))
    assert less.basis == bases.Constant()
    assert len(left) == constant.n_parameters - 1
    with pytest.raises(ValueError, match="^pruned: got steps='fixed'"):
        NeuralODE(FIELD).pruned(NeuralODE(FIELD).initial())


def test_a_step_of_nothing():
    """A new layer of length 0 has a gradient by which it may grow."""
    ode = solver("free")
    theta = drawn(ode)
    theta[-1] = 0.0
    gradient = ode.adjoint(theta, X, Z_BAR)[0]
    moved = plain_solve(ode, theta + 1e-30j * np.eye(theta.size)[-1], X)[0].imag / 1e-30
    assert abs(gradient[-1] - (moved * Z_BAR).sum()) <= 1e-13 * np.abs(moved * Z_BAR).sum()
    problem, data = problems("free")[1]
    theta[-1] = 0.0
    with pytest.raises(ValueError, match=r"^theta: got a step of 0, h\[3\]"):
        problem.hessian_vector(theta, np.ones(theta.size), *data)
    still = np.ones(theta.size)
    still[-1] = 0.0
    assert np.isfinite(problem.hessian_vector(theta, still, *data)).all()
    theta[-N:] = 0.0
    with pytest.raises(ValueError, match="^theta: got steps that are all 0"):
        ode.pruned(theta)


# --- truths --------------------------------------------------------------------------------------
def best_steps(ode, theta, loss):
    """The h that minimises loss(z), which answers with value and cotangent; theta elsewhere."""
    n = ode.n_steps

    def objective(h):
        whole = np.concatenate([theta[:-n], h])
        value, z_bar = loss(ode.solve(whole, np.ones((1, 1))))
        return value, ode.adjoint(whole, np.ones((1, 1)), z_bar)[0][-n:]

    done = minimize(
        objective, theta[-n:], jac=True, method="BFGS", options={"gtol": 1e-13, "maxiter": 400}
    )
    return ode.step_sizes(np.concatenate([theta[:-n], done.x])), done.fun


def squares(theta, t, z):
    return np.full_like(z, t * t)


def squares_vjp(theta, t, z, w):
    return 0.0 * theta, 0.0 * w, 2.0 * t * w.sum()


@pytest.mark.parametrize("rule", ["simplex", "softmax"])
@pytest.mark.parametrize(
    ("n", "nodes", "largest"),
    [
        (2, [2 / 3], 4 / 27),
        (4, [0.437054631828979, 0.655581947743468, 0.837688044338876], 0.23390708654276339),
    ],
)
def test_the_largest_left_sum_of_squares(rule, n, nodes, largest):
    """z_N = sum h_n t_n^2 by Euler's scheme for f = t^2 on [0, 1]."""
    field = fields.User(squares, dim=1, n_parameters=1, vjp=squares_vjp)
    ode = NeuralODE(field, "euler", n, steps=rule)
    found, value = best_steps(ode, ode.initial(), lambda z: (1.0 - z[0, 0], np.array([[-1.0]])))
    assert abs(-value - largest) <= 1e-14
    assert np.abs(np.cumsum(found)[:-1] - nodes).max() <= 1e-7


@pytest.mark.parametrize("rule", ["simplex", "softmax"])
@pytest.mark.parametrize(
    ("n", "least"),
    [(2, 0.109643935432473334), (4, 0.0383300429735154570), (8, 0.0116277154661822754)],
)
def test_growth_is_fitted_best_by_equal_steps(rule, n, least):
    """Of z' = z: prod (1 + h_n) is largest there, and below e; a smaller target is met."""
    ode = NeuralODE(fields.Affine(1), "euler", n, steps=rule)
    start = {"softmax": 0.3 * np.arange(n), "simplex": 1 / n + 0.02 * np.arange(n)}[rule]
    theta = ode.pack({"A": np.ones((1, 1, 1)), "c": np.zeros((1, 1)), "h": start})

    def to(target):
        return lambda z: (0.5 * (z[0, 0] - target) ** 2, z - target)

    found, value = best_steps(ode, theta, to(np.e))
    assert abs(value - least) <= 1e-13
    assert np.abs(found - 1 / n).max() <= 1e-6
    if rule == "softmax":  # on the simplex long searches end in a corner
        _, value = best_steps(ode, theta, to(2.1))
        assert value <= 1e-25


# --- the door ------------------------------------------------------------------------------------
def test_theta_of_fixed_steps_is_taken_along():
    fixed = NeuralODE(FIELD, "rk4", t_span=None, basis=BASES[1], grid=[0.0, 0.1, 0.4, 0.7, 1.0])
    for rule in RULES:
        learned = fixed.with_learned_steps(rule)
        theta = refode.training.prolong(fixed.initial(1), fixed, learned)
        assert np.allclose(learned.step_sizes(theta), np.diff(fixed.steps.times), rtol=1e-14)
        assert theta[:-N].tobytes() == fixed.initial(1).tobytes()
        theta = drawn(learned)  # layers belong to steps, however long these are
        assert np.abs(learned.solve(theta, X) - plain_solve(learned, theta, X)[0]).max() <= 1e-13
        assert learned.with_learned_steps("fixed").steps == fixed.steps
        assert np.array_equal(refode.training.prolong(theta, learned, learned), theta)
        with pytest.raises(ValueError, match="^fine: got the steps of"):
            refode.training.prolong(theta, learned, fixed)
    for problem, data in problems("simplex"):
        before = problem.with_learned_steps("fixed")
        start = refode.training.prolong(before.initial(1), before, problem)
        assert np.array_equal(start, problem.initial(1))
        assert len(start) == before.n_parameters + N
        assert problem.with_learned_steps().fingerprint() == problem.fingerprint()
        assert before.fingerprint() != problem.fingerprint()
        done = refode.train(problem, *data, max_iter=30, progress=False)
        assert done.fun < problem.value(start, *data)


def test_training_finds_layers_that_are_superfluous():
    """A map that two steps of z' = A z reach: others may go."""
    fit = refode.Supervised(
        NeuralODE(fields.Affine(2), "euler", 6, steps="simplex"), "regression", readout=False
    )
    theta = fit.initial()
    fit.unpack(theta)["h"][:] = [0.7, -0.4, 0.1, 0.8, -0.2, 0.1]
    y = X @ np.array([[1.5, 0.2], [0.1, 0.7]])
    done = refode.train(fit, X, y, theta0=theta, max_iter=300, progress=False, tolerance=1e-10)
    less, left, kept, dropped = fit.pruned(done.x)
    assert len(dropped) >= 2
    assert less.value(left, X, y) == fit.value(done.x, X, y)


@pytest.mark.parametrize("rule", RULES)
def test_saved_and_loaded(rule, tmp_path):
    for problem, data in problems(rule):
        theta = problem.initial(1)
        refode.save(tmp_path / "model", problem, theta)
        again = refode.load(tmp_path / "model")
        assert f"steps={rule!r}" in repr(again.problem)
        assert repr(again.problem) == repr(problem)
        assert again.problem.value(again.theta, *data) == problem.value(theta, *data)


def test_what_has_no_learned_steps_says_so():
    ode = solver("simplex")
    theta, (fit, flow) = ode.initial(), (problem for problem, _ in problems("simplex"))
    potential = fields.Potential(2, 3)
    for make, named in (
        (lambda: solver("learned"), "steps: got 'learned'"),
        (lambda: solver("simplex", bases.Legendre(3)), "steps: got 'simplex' with Legendre"),
        (lambda: solver("free", bases.PiecewiseConstant(3)), "steps: got 'free' with Piecewise"),
        (lambda: NeuralODE(FIELD, device="cuda", steps="free"), "steps: got 'free' with device"),
        (lambda: ode.with_steps(7), "n_steps: got an ode"),
        (lambda: fit.transported(fit.initial(), X, 0.7), "t: got an ode"),
        (lambda: flow.log_density(flow.initial(), X, t=0.7), "t: got an ode"),
        (lambda: ode.sweep(ode.plan(), Plain, np.dtype(float)), "steps: got an ode"),
        (lambda: ode.solve(theta, X, (0.2, 1.0)), r"t_span: got \(0.2, 1.0\) with steps"),
        (lambda: ode.adjoint(theta, X, X, times=True), "steps: got an ode"),
        (lambda: solver("free", scheme="dopri5").interpolate(theta, X, [0.3]), "steps: got an ode"),
        (lambda: refode.TrajectoryFitting(ode), "ode: got an ode"),
        (lambda: refode.Supervised(ode, smoothness=1.0), "smoothness: got an ode"),
        (lambda: fit.adapt(fit.initial(), X, X, rtol=1e-3, atol=1e-3), "ode: got an ode"),
        (lambda: refode.adapt(ode, theta, X, rtol=1e-3, atol=1e-3), "ode: got an ode"),
        (lambda: refode.reports.adjoint_gap(ode, theta, X, X), "ode: got an ode"),
        (lambda: refode.reports.depth(fit, fit.initial(), X), "problem: got an ode"),
        (lambda: refode.training.train_msa(fit, X, X), "problem: got an ode"),
        (lambda: NeuralODE(potential, steps="free").with_learned_steps("x"), "steps: got 'x'"),
    ):
        with pytest.raises(ValueError, match=f"^{named}"):
            make()
    assert not hasattr(refode.MeanFieldGame, "with_learned_steps")
