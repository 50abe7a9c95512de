"""sample_weight of every problem: by repeated samples, plain NumPy and differences.

The plain formulas below share nothing with refode but the names of its parameters.
"""

from __future__ import annotations

import game_cases
import numpy as np
import pytest
import tolerances as tol
from contract import close, same

import refode
from refode import bases, fields, verify
from refode.densities import Density, Gaussian
from refode.problems.contract import Problem
from refode.problems.wrapped import problem_of

N, D = 300, 2  # several blocks, and a last one that is cut short
RNG = np.random.default_rng(17)
X = RNG.standard_normal((N, D))
COUNTS = RNG.integers(0, 4, N)
REPEATED = np.repeat(np.arange(N), COUNTS)
WEIGHTS = COUNTS.astype(float)
REAL = RNG.uniform(0.1, 3.0, N)
TWO, THREE = RNG.integers(0, 2, N), RNG.integers(0, 3, N)
TARGETS = RNG.standard_normal((N, 2))
NORMAL = Gaussian(np.zeros(2), np.eye(2))
BEYOND = Gaussian([1.0, -0.5], [[1.0, 0.3], [0.3, 0.6]])


class ByMethods(Density):
    """A Gaussian that kernels do not know for one."""

    dim = 2

    def log_density(self, x):
        return BEYOND.log_density(x)

    def log_density_gradient(self, x):
        return BEYOND.log_density_gradient(x)

    def sample(self, n, seed=0):
        return BEYOND.sample(n, seed)


def ode(scheme="heun", memory="store", field=None):
    field = field or fields.Shallow(D, 3)
    return refode.NeuralODE(field, scheme, 2, (0.2, 1.1), bases.PiecewiseLinear(2), memory)


def supervised(loss, m, **how):
    return refode.Supervised(ode(), loss, m, tikhonov=0.3, smoothness=0.2, **how)


def game(terminal, alpha=1.2, norm="absolute", memory="store", entropy=0.2, hjb=(0.4, 0.3)):
    of = refode.games.Game(NORMAL, terminal, alpha, None, entropy)
    return refode.MeanFieldGame(fields.Potential(2, 3), of, *hjb, norm, "heun", 2, memory=memory)


KL, CROSS = refode.games.KullbackLeibler, refode.games.CrossEntropy
MADE = {
    "regression": lambda: (supervised("regression", 2), X, TARGETS),
    "logistic": lambda: (supervised("logistic", 1), X, TWO),
    "softmax": lambda: (supervised("softmax", 3), X, THREE),
    "no readout": lambda: (supervised("regression", 2, readout=False), X, TARGETS),
    "padded": lambda: (supervised("softmax", 3, augment=1), X[:, :1], THREE),
    "steps": lambda: (refode.Supervised(ode(memory="steps"), "logistic"), X, TWO),
    "reverse": lambda: (
        refode.Supervised(ode("verlet", "reverse", fields.Hamiltonian(D)), "logistic"),
        X,
        TWO,
    ),
    "standardised": lambda: (
        supervised("regression", 2).standardized(5.0 + X, TARGETS),
        5.0 + X,
        TARGETS,
    ),
    "flow": lambda: (refode.ContinuousNormalizingFlow(ode(), 0.4, 0.3, 0.2), X),
    "flow, standardised": lambda: (
        refode.ContinuousNormalizingFlow(ode(memory="steps"), 0.4).standardized(3.0 * X),
        3.0 * X,
    ),
    "transport": lambda: (game(KL(BEYOND, 1.3)), X),
    "squared": lambda: (game(KL(BEYOND, 1.3), norm="squared", memory="steps"), X),
    "cross-entropy": lambda: (game(CROSS(BEYOND, 1.3)), X, X[:7] + 0.5),
    "terminal energy": lambda: (
        game(refode.games.TerminalEnergy(refode.games.Quadratic(0.8, 0.3), 0.7)),
        X,
    ),
    "by methods": lambda: (game(KL(ByMethods(), 1.3)), X),
}
KINDS = pytest.mark.parametrize("kind", MADE)


def made(kind):
    """The problem, its data, theta and a direction."""
    problem, *data = MADE[kind]()
    rng = np.random.default_rng(3)
    theta = 0.5 * rng.standard_normal(problem.n_parameters)
    return problem, data, theta, rng.standard_normal(problem.n_parameters)


def chosen(data, index):
    """The samples of an index; of a game the targets' stay, which are others."""
    return [a[index] if len(a) == N else a for a in data]


def methods(problem):
    """What takes weights, as functions of data."""

    def all_of(theta, v, *data, **named):
        value, gradient = problem.value_and_gradient(theta, *data, **named)
        got = [value, gradient, problem.value(theta, *data, **named)]
        got.append(problem.costs(theta, *data, **named)["total"])
        known = not isinstance(getattr(getattr(problem, "game", None), "target", 0), ByMethods)
        if known and getattr(problem, "trace", "exact") == "exact":
            got.append(problem.hessian_vector(theta, v, *data, **named))
        if hasattr(problem, "gauss_newton_vector"):
            got.append(problem.gauss_newton_vector(theta, v, *data, **named))
        return got

    return all_of


@KINDS
def test_integer_weights_are_repeated_samples(kind):
    problem, data, theta, v = made(kind)
    got = methods(problem)(theta, v, *data, sample_weight=WEIGHTS)
    want = methods(problem)(theta, v, *chosen(data, REPEATED))
    for a, b in zip(got, want, strict=True):
        close(a, b, tol.SAMPLE_WEIGHT)
    terms = problem.costs(theta, *data, sample_weight=COUNTS.tolist())
    for name, term in problem.costs(theta, *chosen(data, REPEATED)).items():
        close(terms[name], term, tol.SAMPLE_WEIGHT)


@KINDS
def test_zero_is_left_out(kind):
    problem, data, theta, v = made(kind)
    keep = np.flatnonzero(COUNTS)
    got = methods(problem)(theta, v, *data, sample_weight=WEIGHTS)
    want = methods(problem)(theta, v, *chosen(data, keep), sample_weight=WEIGHTS[keep])
    for a, b in zip(got, want, strict=True):
        same(a, b)


@KINDS
def test_scale_of_the_weights_does_not_count(kind):
    problem, data, theta, _ = made(kind)
    value, gradient = problem.value_and_gradient(theta, *data, sample_weight=REAL)
    for power in (2.0**-1000, 0.25, 2.0**1020):
        scaled = problem.value_and_gradient(theta, *data, sample_weight=REAL * power)
        assert scaled[0] == value
        same(scaled[1], gradient)
    scaled = problem.value_and_gradient(theta, *data, sample_weight=REAL * 3.7)
    close(scaled[0], value, tol.SAMPLE_WEIGHT)
    close(scaled[1], gradient, tol.SAMPLE_WEIGHT)


@KINDS
def test_equal_weights_are_none(kind):
    problem, data, theta, v = made(kind)
    want = methods(problem)(theta, v, *data)
    for weights in (None, np.ones(N), np.full(N, 0.3), [5] * N):
        for a, b in zip(
            methods(problem)(theta, v, *data, sample_weight=weights), want, strict=True
        ):
            same(a, b)


@pytest.mark.parametrize("kind", [kind for kind in MADE if kind != "by methods"])
def test_products_are_differences_of_gradients(kind):
    problem, data, theta, v = made(kind)
    if isinstance(problem, refode.MeanFieldGame) and problem.hjb_norm == "absolute":
        data = chosen(data, slice(0, 5))
    w, h = REAL[: len(data[0])], 1e-5

    def gradient(at):
        return problem.value_and_gradient(at, *data, sample_weight=w)[1]

    got = problem.hessian_vector(theta, v, *data, sample_weight=w)
    want = (gradient(theta + h * v) - gradient(theta - h * v)) / (2.0 * h)
    close(got, want, tol.SAMPLE_WEIGHT_DIFFERENCES)


@pytest.mark.parametrize("kind", ["regression", "softmax", "flow", "squared", "cross-entropy"])
def test_gradients_by_taylor(kind):
    problem, data, theta, _ = made(kind)

    def fun(at):
        return problem.value(at, *data, sample_weight=REAL)

    def gradient(at):
        return problem.value_and_gradient(at, *data, sample_weight=REAL)[1]

    def product(at, v):
        return problem.hessian_vector(at, v, *data, sample_weight=REAL)

    report = verify.check_gradient(fun, gradient, theta, hessian_vector=product, print_table=False)
    assert report.passed, str(report)


# --- plain formulas ---------------------------------------------------------------------------
def stage_weights(problem, theta):
    """Names of the ode's arrays at a time in [0, 1], linear in between."""
    named = problem.unpack(theta)
    return lambda s: {k: (1 - s) * v[0] + s * v[1] for k, v in named.items() if k not in "Wb"}


def slope(w, z):
    return np.tanh(z @ w["W0"].T + w["b0"]) @ w["W1"].T + w["b1"]


def divergence(w, z):
    a = np.tanh(z @ w["W0"].T + w["b0"])
    return (1 - a**2) @ (w["W0"] * w["W1"].T).sum(axis=1)


def heun(rate, state, at, h):
    """Two steps by Heun's method of a tuple of arrays, s from at[0] to at[2]."""
    for start, end in ((at[0], at[1]), (at[1], at[2])):
        first = rate(start, state)
        second = rate(end, [u + h * k for u, k in zip(state, first, strict=True)])
        steps = zip(state, first, second, strict=True)
        state = [u + 0.5 * h * (j + k) for u, j, k in steps]
    return state


def roughness(problem, theta):
    tail = problem.n_parameters - problem.ode.n_parameters
    blocks = problem.ode.layout.unpack(theta[: len(theta) - tail])
    squares = sum(((v[1] - v[0]) ** 2).sum() for v in blocks.values())
    return 0.5 * problem.tikhonov * (theta**2).sum() + 0.5 * problem.smoothness * squares / 0.9


def losses(loss, F, y):
    if loss == "regression":
        return 0.5 * ((F - y) ** 2).sum(axis=1)
    if loss == "logistic":
        return np.log(1 + np.exp(F[:, 0])) - y * F[:, 0]
    return np.log(np.exp(F).sum(axis=1)) - F[np.arange(len(F)), y]


def supervised_by_hand(problem, theta, x, y, w):
    at, named = stage_weights(problem, theta), problem.unpack(theta)
    (z,) = heun(lambda s, u: [slope(at(s), u[0])], [x], (0.0, 0.5, 1.0), 0.45)
    charged = losses(problem.loss, z @ named["W"].T + named["b"], y)
    return (w * charged).sum() / w.sum() + roughness(problem, theta)


def flow_by_hand(problem, theta, y, w):
    at = stage_weights(problem, theta)

    def rate(s, u):
        f = slope(at(s), u[0])
        return [f, divergence(at(s), u[0]), 0.5 * (f**2).sum(axis=1)]

    nothing = np.zeros(len(y))
    z, trace, work = heun(rate, [y, nothing, nothing], (1.0, 0.5, 0.0), -0.45)
    charged = 0.5 * (z**2).sum(axis=1) + np.log(2 * np.pi) - trace - problem.transport * work
    return (w * charged).sum() / w.sum() + roughness(problem, theta)


BY_HAND = {
    "regression": supervised_by_hand,
    "logistic": supervised_by_hand,
    "softmax": supervised_by_hand,
    "flow": flow_by_hand,
}


@pytest.mark.parametrize("kind", BY_HAND)
def test_plain_formulas(kind):
    problem, data, theta, _ = made(kind)
    w = np.where(COUNTS == 0, 0.0, REAL)
    want = BY_HAND[kind](problem, theta, *data, w)
    value, gradient = problem.value_and_gradient(theta, *data, sample_weight=w)
    close(value, want, tol.SAMPLE_WEIGHT)
    close(problem.value(theta, *data, sample_weight=w), want, tol.SAMPLE_WEIGHT)
    unit = np.eye(len(theta))
    slopes = [BY_HAND[kind](problem, theta + 1e-30j * e, *data, w).imag / 1e-30 for e in unit]
    close(gradient, np.array(slopes), tol.SAMPLE_WEIGHT)


GAMES = [c for c in game_cases.cases() if c.n > 1 and c.game.alpha > 0.0]


@pytest.mark.parametrize("case", GAMES, ids=lambda c: f"PotentialSpec-{c.name}")
def test_games_by_the_oracle(case):
    """Its terms of one sample at a time, and their weighted means."""
    problem, theta, x = case.problem(), case.theta(), case.samples()
    w = np.random.default_rng(1).uniform(0.2, 2.0, len(x))
    one_by_one = [case.oracle(theta, x[i : i + 1]) for i in range(len(x))]
    got = problem.costs(theta, x, case.y, sample_weight=w)
    for name in one_by_one[0]:
        want = sum(a * terms[name] for a, terms in zip(w, one_by_one, strict=True)) / w.sum()
        close(got[name], want, tol.SAMPLE_WEIGHT)
    value = problem.value_and_gradient(theta, x, case.y, sample_weight=w)[0]
    close(value, got["total"], tol.SAMPLE_WEIGHT)


# --- what is left out ---------------------------------------------------------------------------
def test_paths_of_weight_zero_may_blow_up():
    problem = refode.Supervised(
        refode.NeuralODE(fields.Affine(1), n_steps=1, t_span=(0.0, 1.0)), "regression", 1
    )
    theta = np.full(problem.n_parameters, 1e60)
    x, y = np.array([[1e-250], [1e250], [3e-250]]), np.zeros(3)
    assert not np.isfinite(problem.value(theta, x, y))
    w = np.array([1.0, 0.0, 2.0])
    for got, want in zip(
        problem.value_and_gradient(theta, x, y, sample_weight=w),
        problem.value_and_gradient(theta, x[[0, 2]], y[[0, 2]], sample_weight=w[[0, 2]]),
        strict=True,
    ):
        same(got, want)


@pytest.mark.parametrize("trace", ["rademacher", "gaussian"])
def test_noise_is_of_those_that_are_left(trace):
    flow = refode.ContinuousNormalizingFlow(ode(), 0.4, trace=trace)
    theta = flow.initial(1)
    keep = np.flatnonzero(COUNTS)
    got = flow.value_and_gradient(theta, X, sample_weight=WEIGHTS)
    want = flow.value_and_gradient(theta, X[keep], sample_weight=WEIGHTS[keep])
    same(got[0], want[0])
    same(got[1], want[1])
    close(flow.value(theta, X, sample_weight=WEIGHTS), got[0], tol.SAMPLE_WEIGHT)


def test_r_squared():
    problem, (x, y), theta, _ = made("regression")
    got = problem.score(theta, x, y, sample_weight=WEIGHTS)
    close(got, problem.score(theta, x[REPEATED], y[REPEATED]), tol.SAMPLE_WEIGHT)
    assert problem.score(theta, x, y, sample_weight=[2.0] * N) == problem.score(theta, x, y)
    residual = problem.predict(theta, x) - y
    centre = (REAL[:, None] * y).sum(axis=0) / REAL.sum()
    shares = (REAL[:, None] * residual**2).sum(axis=0) / (REAL[:, None] * (y - centre) ** 2).sum(
        axis=0
    )
    want = (1.0 - shares).mean()
    close(problem.score(theta, x, y, sample_weight=REAL), want, tol.SAMPLE_WEIGHT)


# --- the contract ---------------------------------------------------------------------------
class Own:
    """Somebody's objective."""

    def value_and_gradient(self, theta, x):
        return float((theta**2).sum()), 2.0 * theta


class OwnWeighed:
    """The same with weights, in one method."""

    def value_and_gradient(self, theta, x, sample_weight=None):
        return float((theta**2).sum() * np.sum(sample_weight)), 2.0 * theta


def test_problems_say_whether_they_take_weights():
    for kind in ("regression", "flow", "transport"):
        problem = made(kind)[0]
        assert problem.has_sample_weight
        assert problem.weighted(None) == {}
        assert problem.weighted(REAL)["sample_weight"] is REAL
    assert not Problem.has_sample_weight
    assert problem_of(OwnWeighed()).has_sample_weight
    assert problem_of(OwnWeighed()).value(np.ones(2), X, sample_weight=np.ones(3)) == 6.0
    own = problem_of(Own())
    assert not own.has_sample_weight
    assert own.value(np.ones(2), X, sample_weight=None) == 2.0
    for call in (own.value, own.value_and_gradient, lambda *a, **k: own.placed_with(a, REAL)):
        with pytest.raises(TypeError, match="^sample_weight: got .* with a Own, whose methods"):
            call(np.ones(2), X, sample_weight=REAL)


BAD = [
    (np.ones(N - 1), ValueError, r"shape \(299,\), wanted \(300,\)"),
    (np.ones((N, 1)), ValueError, r"shape \(300, 1\), wanted \(300,\)"),
    (1.0, ValueError, r"shape \(\), wanted \(300,\)"),
    ([], ValueError, r"shape \(0,\)"),
    (-WEIGHTS, ValueError, r"got -3.0 at index \d+, wanted numbers >= 0"),
    (np.where(np.arange(N) == 4, np.nan, 1.0), ValueError, "got nan at index 4"),
    (np.where(np.arange(N) == 4, np.inf, 1.0), ValueError, "got inf at index 4"),
    (np.zeros(N), ValueError, "got zeros alone"),
    ("balanced", TypeError, "wanted real numbers"),
    (["a"] * N, TypeError, "wanted real numbers"),
    (WEIGHTS + 0j, TypeError, "wanted real numbers"),
    (np.ma.masked_array(np.ones(N)), TypeError, ""),
]


@pytest.mark.parametrize("kind", ["softmax", "flow", "transport"])
@pytest.mark.parametrize(("weights", "error", "said"), BAD)
def test_bad_weights_are_named(kind, weights, error, said):
    problem, data, theta, v = made(kind)
    with pytest.raises(error, match=f"^sample_weight: .*{said}"):
        problem.value_and_gradient(theta, *data, sample_weight=weights)
    with pytest.raises(error, match="^sample_weight: "):
        problem.hessian_vector(theta, v, *data, sample_weight=weights)
    with pytest.raises(error, match="^sample_weight: "):
        problem.costs(theta, *data, sample_weight=weights)


def test_weights_that_weigh_nothing_are_refused():
    problem = game(CROSS(BEYOND), alpha=0.0, entropy=0.0, hjb=(0.0, 0.0))
    theta = problem.initial()
    assert np.isfinite(problem.value(theta, X, X[:7]))
    with pytest.raises(ValueError, match=r"^sample_weight: got weights of x with a game that"):
        problem.value(theta, X, X[:7], sample_weight=REAL)
