"""Under ``np.seterr(all="raise")`` every public call gives the same bits as without.

Data and weights are such that numbers vanish on the way: densities far out, complex steps, whose
squares are below all numbers, saturated probabilities.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest

import refode
from refode import bases, closed_forms, datasets, evaluate, fields, games, verify
from refode.costs.losses import Logistic, Regression, Softmax
from refode.densities import Empirical, Gaussian, GaussianMixture

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 2)) * [1.0, 1e-160]
FAR = np.array([[1e3, -1e3], [1e-200, 1e-300], [60.0, 0.0]])
TINY = 1e-150 * FAR
V = RNG.standard_normal(100) * 10.0 ** RNG.uniform(-300, 0, 100)
LABELS = np.array([0, 1, 2, 0, 1, 2])
NORMAL = Gaussian([0.0, 0.0], 1.0)
MIXTURE = GaussianMixture([0.5, 0.5], [[0.0, 0.0], [1e3, 0.0]], [1.0, 1e-6])


@functools.cache
def ode(time=True, basis=None):
    field = fields.Shallow(2, 3, time=time)
    return refode.NeuralODE(field, n_steps=3, basis=basis or bases.PiecewiseLinear(3))


@functools.cache
def supervised(loss, m, scaled=False):
    problem = refode.Supervised(ode(), loss, m, tikhonov=1e-160, smoothness=1e-160)
    theta = problem.initial(1)
    theta[-m * 3 :] *= 1e4  # probabilities of 0 and 1
    theta[:5] = 1e-170  # whose squares vanish
    return problem.standardized(FAR, FAR[:, :m] if loss == "regression" else None) if scaled else (
        problem
    ), theta


@functools.cache
def flow(trace="exact"):
    made = refode.ContinuousNormalizingFlow(
        ode(), transport=1e-160, tikhonov=1e-160, smoothness=1e-160, trace=trace
    )
    theta = made.initial(1)
    theta[:5] = 1e-170
    return made, theta


@functools.cache
def game(kind="crowd"):
    bump = games.GaussianBump(50.0, [0.0, 0.0], 1e-3)
    made = {
        "crowd": lambda: games.crowd_motion(
            NORMAL, MIXTURE, alpha=1.0, obstacle=bump, entropy=0.01, terminal=5.0
        ),
        "flow": lambda: games.normalizing_flow(NORMAL, MIXTURE, alpha=1.0),
    }[kind]()
    problem = refode.MeanFieldGame(fields.Potential(2, 3), made, hjb=1.0, hjb_terminal=1.0)
    theta = problem.initial(1)
    theta[:3] = 1e-170
    return problem, theta


def on(made, method, *arguments, **named):
    """The method of a problem, of theta and these."""

    def call():
        problem, theta = made()
        return getattr(problem, method)(theta, *arguments, **named)

    return call


class Uneven:
    """An objective whose gradient's smallest entry vanishes beside the largest one."""

    n_parameters = 2

    def value_and_gradient(self, theta, x):
        return 5e9 * float(theta[0]) ** 2, np.array([1e10 * theta[0], 1e-310])


def product(made, method, *data):
    def call():
        problem, theta = made()
        return getattr(problem, method)(theta, V[: theta.size], *data)

    return call


def trained(train, made, *data, **how):
    def call():
        problem, theta = made()
        result = train(problem, *data, theta0=theta, max_iter=4, progress=False, **how)
        return result.x, result.fun, result.status

    return call


SOFT = functools.partial(supervised, "softmax", 3)
LOGISTIC = functools.partial(supervised, "logistic", 1)
FIT = functools.partial(supervised, "regression", 1)
SCALED = functools.partial(supervised, "regression", 1, True)
GAUSSIAN = functools.partial(flow, "gaussian")
FLOW_GAME = functools.partial(game, "flow")
Y = RNG.standard_normal(6)
STATES = {"theta": lambda: ode().initial(1), "x": X}
AXIS = np.linspace(-60.0, 60.0, 7)


def of_ode(method, *arguments):
    return lambda: getattr(ode(), method)(1e-3 * ode().initial(1) ** 9, X, *arguments)


def of_field(function, *arguments):
    def call():
        field = fields.Shallow(2, 3, time=True)
        weights = np.full(field.n_weights, 1e-170)
        return function(field, weights, X, *arguments)

    return call


CALLS = {
    "logistic-value": on(LOGISTIC, "value", X, LABELS % 2),
    "logistic-probabilities": on(LOGISTIC, "predict_proba", FAR),
    "logistic-labels": on(LOGISTIC, "predict_label", FAR),
    "softmax-value": on(SOFT, "value", X, LABELS),
    "softmax-gradient": on(SOFT, "value_and_gradient", X, LABELS),
    "softmax-probabilities": on(SOFT, "predict_proba", FAR),
    "softmax-hessian": product(SOFT, "hessian_vector", X, LABELS),
    "softmax-gauss-newton": product(SOFT, "gauss_newton_vector", X, LABELS),
    "regression-costs": on(FIT, "costs", X, Y),
    "regression-features": on(FIT, "features", X),
    "regression-transported": on(FIT, "transported", X, 0.3),
    "regression-residuals": on(SCALED, "residuals", FAR, Y[:3]),
    "regression-score": on(SCALED, "score", FAR, 1e-200 * Y[:3]),
    "standardized": on(SCALED, "value_and_gradient", FAR, Y[:3]),
    "flow-value": on(flow, "value", X),
    "flow-gradient": on(flow, "value_and_gradient", X),
    "flow-hessian": product(flow, "hessian_vector", X),
    "flow-costs": on(flow, "costs", X),
    "flow-noise": on(GAUSSIAN, "value_and_gradient", X),
    "flow-density": on(flow, "log_density", FAR),
    "flow-inverse": on(flow, "inverse", FAR),
    "flow-transport": on(flow, "transport_cost", FAR),
    "flow-generate": on(flow, "generate", X),
    "flow-sample": on(flow, "sample", 5),
    "flow-trajectory": on(flow, "trajectory", X),
    "flow-log-det": on(flow, "log_det_exact", X),
    "flow-grid": on(flow, "density_on_grid", AXIS, AXIS),
    "game-value": on(game, "value", X),
    "game-gradient": on(game, "value_and_gradient", X),
    "game-hessian": product(game, "hessian_vector", X),
    "game-costs": on(game, "costs", X),
    "game-agent": on(game, "single_agent_cost", FAR),
    "game-density": on(game, "log_density", FAR),
    "game-states": on(game, "states", X),
    "game-value-function": on(game, "value_function", 0.5, FAR),
    "game-laplacian": on(game, "laplacian", 0.5, FAR),
    "flow-game-gradient": on(FLOW_GAME, "value_and_gradient", X),
    "ode-solve": of_ode("solve"),
    "ode-log-det": of_ode("log_det"),
    "ode-tangent": lambda: ode().tangent(ode().initial(1), X, V[: ode().n_parameters], X),
    "ode-adjoint": of_ode("adjoint", X, None, True),
    "ode-log-det-adjoint": of_ode("log_det_adjoint", X, 1e-200 * Y),
    "field-value": of_field(evaluate.value, 0.5),
    "field-trace": of_field(evaluate.trace, 0.5),
    "field-jacobian": of_field(evaluate.jacobian, 0.5),
    "basis": lambda: bases.BSpline(6).matrix(np.array([0.0, 1e-200, 0.5, 1.0]), 1).toarray(),
    "prolongation": lambda: bases.BSpline(4).prolongation(bases.BSpline(5)).toarray(),
    "legendre": lambda: bases.Legendre(9).matrix(np.array([0.0, 0.5 + 1e-120, 1.0])).toarray(),
    "gaussian": lambda: Gaussian([0.0, 0.0], 1e-300 * np.eye(2)).log_density(TINY),
    "gaussian-gradient": lambda: NORMAL.log_density_gradient(FAR),
    "gaussian-small": lambda: Gaussian([1e-200, 0.0], [[1e-250, 0.0], [0.0, 1.0]]).cholesky,
    "mixture": lambda: MIXTURE.log_density(FAR),
    "mixture-gradient": lambda: MIXTURE.log_density_gradient(FAR),
    "mixture-sample": lambda: MIXTURE.sample(7),
    "empirical": lambda: Empirical(X).sample(7),
    "loss": lambda: Softmax().values(1e3 * FAR[:, [0, 1, 1]], [0, 1, 2]),
    "loss-gradient": lambda: Logistic().gradient(1e3 * FAR[:, :1], [0, 1, 1]),
    "loss-hessian": lambda: Softmax().hessian_vector(FAR, TINY, [0, 1, 1]),
    "loss-regression": lambda: Regression().values(TINY, 2.0 * TINY),
    "entropy": lambda: games.costs.Entropy(0.1).functional(FAR, np.array([-1e3, 0.0, 1e-310])),
    "bump": lambda: games.GaussianBump(1e-200, [0.0, 0.0], 1e-3).value(FAR),
    "bump-gradient": lambda: games.GaussianBump(1e-200, [0.0, 0.0], 1e-3).gradient(FAR),
    "quadratic": lambda: games.Quadratic(1e-200, [0.0, 0.0]).gradient(TINY),
    "bures": lambda: closed_forms.bures_map(NORMAL, Gaussian([1e-200, 0.0], 1e-250)),
    "relaxed": lambda: closed_forms.relaxed_transport(NORMAL, NORMAL, 1e-150, 1.0).covariance,
    "lq": lambda: LQ().log_density(0.5, [[90.0]]),
    "moons": lambda: datasets.toy_density("moons", 9),
    "spiral": lambda: datasets.spiral(9)[0],
    "roll": lambda: datasets.swiss_roll(9)[0],
    "check": lambda: (
        verify.check_gradient(
            lambda x: 1e-160 * np.sum(x**2), lambda x: 2e-160 * x, [1e-160, 1.0], print_table=False
        ).passed
    ),
    "dot": lambda: verify.dot_test(lambda v: 1e-200 * v, lambda w: 1e-200 * w, (2,), (2,)).passed,
    "order": lambda: verify.observed_order([1e-200, 1e-240, 1e-300], [1.0, 1e-20, 1e-50]).slopes,
    "complex": lambda: verify.complex_step(lambda x: np.sum(x**3), [1e-120, 1.0], [1.0, 1e-200]),
    "train": trained(refode.train, SOFT, X, LABELS),
    "train-uneven": trained(refode.train, lambda: (Uneven(), [1.0, 1.0]), X),
    "newton": trained(refode.train, FIT, X, Y, method="newton-cg"),
    "krylov": trained(refode.train, FIT, X, Y, method="trust-krylov"),
    "levels": lambda: (
        refode.train_multilevel(
            [FIT()[0], FIT()[0].with_steps(4)], X, Y, max_iter=3, progress=False
        ).x
    ),
    "resampled": lambda: (
        refode.train_resampled(
            game()[0], n_samples=5, every=2, max_iter=5, progress=False, validation_samples=5
        ).x
    ),
}


@functools.cache
def LQ():
    return closed_forms.lq_game(1.0, 1e-160, 1e-160, 1e-160, 1.0, [0.0], [1.0], 1e-160, 1.0)


def flat(answer):
    """All numbers of an answer, in order."""
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, tuple | list):
        return np.concatenate([flat(part) for part in answer]) if len(answer) else np.empty(0)
    return np.ravel(np.asarray(answer, dtype=np.float64))


@pytest.mark.parametrize("name", CALLS)
def test_the_same_bits_whatever_floating_point_errors_do(name):
    wanted = flat(CALLS[name]())
    before = np.geterr()
    with np.errstate(all="raise"):
        got = flat(CALLS[name]())
        assert set(np.geterr().values()) == {"raise"}
    assert np.geterr() == before
    assert np.array_equal(got, wanted, equal_nan=True)


# --- whose setting it is -----------------------------------------------------------------------
class Own:
    """An objective whose author wants underflow to raise."""

    n_parameters = 2

    def __init__(self):
        self.seen = []

    def value_and_gradient(self, theta, x):
        self.seen.append(np.geterr()["under"])
        return float(np.sum(theta**2)), 2.0 * theta


def test_what_is_the_caller_s_own_runs_under_the_caller_s_setting():
    own, seen = Own(), []
    with np.errstate(under="raise"):
        refode.train(
            own,
            X,
            theta0=np.ones(2),
            max_iter=3,
            progress=False,
            callback=lambda at: seen.append(np.geterr()["under"]),
        )
    assert set(own.seen) == set(seen) == {"raise"}
    refode.train(own, X, theta0=np.ones(2), max_iter=3, progress=False)
    assert own.seen[-1] == np.geterr()["under"]


def test_quietly_may_be_entered_within_itself_and_gives_back_what_it_found():
    from refode._quiet import quietly

    @quietly()
    def twice(depth):
        return twice(depth - 1) if depth else np.float64(1e-200) * np.float64(1e-200)

    with np.errstate(all="raise"):
        assert twice(3) == 0.0
        with quietly():
            twice(1)
        with pytest.raises(FloatingPointError), quietly():
            raise FloatingPointError
        assert set(np.geterr().values()) == {"raise"}
