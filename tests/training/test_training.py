"""Training: it converges, tells the truth about how, and gives the best theta back."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import tolerances as tol
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import OptimizeResult, minimize
from training_problems import METHODS, ONES, Valley, X, Y, same_result

import refode
from refode import training
from refode.training.records import Recorder
from refode.training.samples import Samples

QUIET = {"progress": False}
NEWTON = ("newton-cg", "trust-krylov", "gn-cg")
OVERSHOOTING = 48  # from this seed every method evaluates points worse than its iterate
BROKEN_OFF = "; x is the best theta so far"


def train(problem, **options):
    return refode.train(problem, X, Y, **{**QUIET, **options})


# --- it converges, and says how ---------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 199))
@settings(max_examples=10, deadline=None)
def test_every_method_finds_the_minimum(method, seed):
    """With y = 1 the minimum is zero at theta = 1, and the Hessian there is regular."""
    result = refode.train(Valley(), X, ONES, seed=seed, method=method, tolerance=1e-6, **QUIET)
    assert np.abs(result.x - 1).max() <= tol.TRAINING_MINIMISER
    assert result.success
    assert result.status == training.CONVERGED
    assert np.abs(result.jac).max() <= 1e-6
    assert isinstance(result, OptimizeResult)


@pytest.mark.filterwarnings("error")
def test_a_tolerance_below_rounding_ends_without_a_broken_result():
    """trust-krylov comes up with NaN near the end: its fault, not the problem's; no noise."""
    for method in METHODS:
        for seed in range(30):
            result = refode.train(
                Valley(), X, ONES, seed=seed, method=method, tolerance=1e-14, max_iter=100, **QUIET
            )
            assert result.status in (0, 1, 2, 3)
            assert np.abs(result.x - 1).max() <= tol.TRAINING_MINIMISER
            assert result.fun == result.history["value"][-1]


def test_lbfgs_takes_the_steps_of_scipy_itself():
    problem, values, theta0 = Valley(), [], Valley().initial(3)
    minimize(
        lambda t: problem.value_and_gradient(t, X, Y),
        theta0,
        jac=True,
        method="L-BFGS-B",
        callback=lambda t: values.append(problem.value_and_gradient(t, X, Y)[0]),
        options={"maxiter": 15, "maxcor": 5, "ftol": 0.0, "gtol": 0.0, "maxls": 40},
    )
    result = train(Valley(), theta0=theta0, max_iter=15, memory=5)
    assert list(result.history["value"][1:]) == values
    other = train(Valley(), theta0=theta0, max_iter=15, memory=2)
    assert list(other.history["value"][1:]) != values


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("max_iter", [1, 4, 300])
def test_history_and_counts_are_those_of_the_run(method, max_iter):
    problem = Valley()
    result = train(problem, method=method, seed=3, max_iter=max_iter)
    history = result.history
    assert history.dtype == training.HISTORY
    assert list(history["iteration"]) == list(range(result.nit + 1))
    assert result.nit == max_iter or (result.nit < max_iter and result.success)
    if result.nit == max_iter:
        assert result.status == training.MAX_ITER
        assert not result.success
        assert result.message.startswith(f"max_iter reached, at iteration {max_iter} ")
    assert history["value"][-1] == result.fun
    assert history["gradient_norm"][-1] == pytest.approx(np.sqrt((result.jac**2).sum()))
    assert (np.diff(history["value"]) <= 0).all()
    assert (np.diff(history["seconds"]) >= 0).all()
    assert (np.diff(history["evaluations"]) > 0).all()
    assert history["evaluations"][0] == 1
    assert result.nfev == result.njev == history["evaluations"][-1] == problem.count["value"]
    assert history["products"][-1] == problem.count["product"]
    assert (result.get("nhev") == problem.count["product"]) == (method in NEWTON)
    assert problem.value_and_gradient(result.x, X, Y)[0] == result.fun
    assert np.array_equal(problem.value_and_gradient(result.x, X, Y)[1], result.jac)
    assert history["value"][0] == problem.value_and_gradient(problem.initial(3), X, Y)[0]


def test_a_start_that_has_converged_is_left_alone():
    for method in METHODS:
        problem = Valley()
        result = refode.train(problem, X, theta0=ONES.repeat(2)[:4], method=method, **QUIET)
        assert (result.nit, result.nfev, result.success) == (0, 1, True)
        assert np.array_equal(result.x, np.ones(4))


def test_tolerance_is_of_the_largest_entry_of_the_gradient():
    for method in METHODS:
        loose = train(Valley(), method=method, tolerance=1e-2, seed=3)
        tight = train(Valley(), method=method, tolerance=1e-7, seed=3)
        assert np.abs(loose.jac).max() <= 1e-2 < loose.history["gradient_norm"][-2]
        assert np.abs(tight.jac).max() <= 1e-7
        assert loose.nit < tight.nit


def test_a_value_that_has_stopped_falling_ends_lbfgs():
    result = train(Valley(), tolerance=0.0, max_iter=5000)
    assert result.nit < 500
    assert result.status in (0, 2)  # SciPy's: no reduction, or no step found
    assert result.fun == result.history["value"][-1]
    assert result.nfev == result.history["evaluations"][-1] or result.status == 2


@pytest.mark.parametrize("method", METHODS)
def test_no_theta_is_evaluated_twice(method):
    """trust-krylov goes back to its iterate after a step that it rejects."""
    problem = Valley()
    result = train(problem, method=method, seed=OVERSHOOTING)
    thetas = {theta.tobytes() for kind, theta, _ in problem.diary if kind == "value"}
    assert len(thetas) == result.nfev
    if method == "trust-krylov":
        assert (np.diff(result.history["value"]) == 0).any()


def test_a_recorder_keeps_one_iteration_and_gives_copies():
    recorder = Recorder(Valley(), Samples((X, Y)), [], keep=False)
    first, second = np.zeros(4), np.ones(4)
    for theta in (first, second):
        recorder.gradient(theta)[:] = 99.0
        assert np.array_equal(
            recorder.evaluate(theta).gradient, Valley().value_and_gradient(theta, X, Y)[1]
        )
    assert recorder.evaluations == len(recorder.recent) == 2
    recorder.forget_all_but(recorder.evaluate(second))
    assert recorder.evaluate(second).theta.tobytes() == second.tobytes()
    assert recorder.evaluations == 2
    recorder.evaluate(first)
    assert recorder.evaluations == 3


def test_without_y_the_problem_gets_none():
    class Labelless(Valley):
        def value_and_gradient(self, theta, x):
            return super().value_and_gradient(theta, x)

        def hessian_vector(self, theta, v, x):
            return super().hessian_vector(theta, v, x)

        def gauss_newton_vector(self, theta, v, x):
            return super().gauss_newton_vector(theta, v, x)

    for method in METHODS:
        result = refode.train(Labelless(), X, method=method, theta0=np.zeros(4), **QUIET)
        assert result.success


def test_problems_may_write_into_what_they_get_and_reuse_what_they_gave():
    class Careless(Valley):
        buffer = np.zeros(4)

        def value_and_gradient(self, theta, x, y):
            value, gradient = super().value_and_gradient(theta, x, y)
            theta[:] = 99.0
            self.buffer[:] = gradient
            return value, self.buffer

        def hessian_vector(self, theta, v, x, y):
            return self._kept(super().hessian_vector(theta, v, x, y), theta, v)

        def gauss_newton_vector(self, theta, v, x, y):
            return self._kept(super().gauss_newton_vector(theta, v, x, y), theta, v)

        def _kept(self, product, theta, v):
            theta[:], v[:] = 98.0, 97.0
            self.buffer[:] = product
            return self.buffer

    for method in METHODS:
        theta0 = Valley().initial(5)
        assert same_result(
            train(Careless(), theta0=theta0, method=method),
            train(Valley(), theta0=theta0, method=method),
        )
        assert np.array_equal(theta0, Valley().initial(5))


def test_a_supervised_problem_learns():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 2))
    y = (x[:, 0] > x[:, 1]).astype(int)
    ode = refode.NeuralODE(refode.fields.Shallow(dim=2, width=4), n_steps=3)
    problem = refode.Supervised(ode, tikhonov=1e-3)
    result = refode.train(problem, x, y, max_iter=40, **QUIET)
    assert result.fun < 0.01 < 0.5 < problem.value(problem.initial(0), x, y)
    assert result.fun == pytest.approx(problem.value(result.x, x, y))
    assert (problem.predict_label(result.x, x) == y).mean() > 0.95


# --- the callback -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_callback_comes_once_an_iteration_with_copies(method):
    seen = []

    def callback(intermediate):
        seen.append({**intermediate, "x": intermediate.x.copy()})
        intermediate.x[:] = 55.0
        intermediate.jac[:] = 55.0
        return "go on"  # only True stops

    result = train(Valley(), method=method, callback=callback, max_iter=12, seed=3)
    assert same_result(result, train(Valley(), method=method, max_iter=12, seed=3))
    assert [row["iteration"] for row in seen] == list(range(1, result.nit + 1))
    for row, past in zip(seen, result.history[1:], strict=True):
        assert row["fun"] == past["value"] == Valley().value_and_gradient(row["x"], X, Y)[0]
        for name in ("gradient_norm", "evaluations", "products", "seconds"):
            assert row[name] == past[name]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", [True, np.True_, StopIteration])
def test_callback_ends_the_training(method, how):
    def callback(intermediate):
        if intermediate.iteration < 3:
            return None
        if how is StopIteration:
            raise StopIteration
        return how

    result = train(Valley(), method=method, callback=callback, seed=3)
    assert (result.nit, result.status, result.success) == (3, training.STOPPED, False)
    assert result.message.startswith("stopped by the callback, at iteration 3 ")
    assert result.fun == result.history["value"][-1]


# --- broken off -------------------------------------------------------------------------------


def broken_off(problem, method, status, reason):
    result = train(problem, method=method, seed=OVERSHOOTING)
    value, theta = problem.best()
    assert result.fun == value
    assert result.x.tobytes() == theta.tobytes()
    assert np.array_equal(result.jac, Valley().value_and_gradient(theta, X, Y)[1])
    assert (result.status, result.success) == (status, False)
    assert result.message.startswith(reason)
    assert f", at iteration {result.nit} (evaluation {result.nfev})" in result.message
    assert result.message.endswith(BROKEN_OFF)
    assert result.history["iteration"][-1] == result.nit
    return result


EVENTS = {
    "raised": (KeyboardInterrupt(), training.INTERRUPTED, "interrupted by Ctrl-C"),
    "signal": (
        lambda: signal.raise_signal(signal.SIGINT),
        training.INTERRUPTED,
        "interrupted by Ctrl-C",
    ),
}
BROKEN = {
    "value": "not finite: the value is nan, however short the step",
    "gradient": "not finite: the gradient has the entry inf at index 2, however short the step",
}


@pytest.fixture
def ctrl_c():
    """Python's own handler, also where the tests run in the background, which ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("event", EVENTS)
def test_the_best_theta_comes_back(method, event):
    happens, status, reason = EVENTS[event]
    best_was_last = set()
    for k in range(2, train(Valley(), method=method, seed=OVERSHOOTING).nfev + 1):
        problem = Valley({("value", k): happens})
        result = broken_off(problem, method, status, reason)
        assert problem.count["value"] == k  # nothing more was asked
        assert result.nfev == k - 1
        values = [v for kind, _, v in problem.diary if kind == "value" and np.isfinite(v)]
        best_was_last.add(values[-1] == min(values))
    assert best_was_last == {True, False}  # so giving the last one back would have failed


def test_gauss_newton_asks_for_no_hessian():
    class Residuals(Valley):
        def hessian_vector(self, theta, v, x, y):
            raise AssertionError("asked for the Hessian")

    assert train(Residuals(), method="gn-cg").success


def test_gauss_newton_converges_where_residuals_are_small():
    """Targets that the problem can meet: 43 iterations measured, of L-BFGS above 400."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((60, 2))
    ode = refode.NeuralODE(refode.fields.Shallow(dim=2, width=3), n_steps=3)
    problem = refode.Supervised(ode, "regression", n_outputs=2, tikhonov=1e-5)
    y = problem.predict(problem.initial(5), x)
    options = {"theta0": problem.initial(5) + 0.2 * rng.standard_normal(problem.n_parameters)}
    options |= {"tolerance": 1e-9, "max_iter": 200, **QUIET}
    assert refode.train(problem, x, y, method="gn-cg", **options).success
    assert not refode.train(problem, x, y, **options).success


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("event", BROKEN)
def test_the_best_theta_comes_back_where_nothing_is_finite_any_more(method, event):
    """Steps are shortened as far as the method goes, and then it is said why they were."""
    for k in range(2, train(Valley(), method=method, seed=OVERSHOOTING).nfev + 1, 7):
        problem = Valley({("value", k): event})
        result = broken_off(problem, method, training.NON_FINITE, BROKEN[event])
        assert k < result.nfev == problem.count["value"] < k + 200


@pytest.mark.parametrize("method", NEWTON)
@pytest.mark.parametrize("event", [KeyboardInterrupt(), "product"])
def test_the_best_theta_comes_back_from_a_product(method, event):
    for k in (1, 2, 5, 20):
        if event == "product":
            kind = "Gauss-Newton" if method == "gn-cg" else "Hessian-vector"
            reason = f"not finite: a {kind} product has the entry nan at index 0"
            status = training.NON_FINITE
        else:
            reason, status = "interrupted by Ctrl-C", training.INTERRUPTED
        result = broken_off(Valley({("product", k): event}), method, status, reason)
        assert result.nhev == k - 1


@pytest.mark.parametrize("method", METHODS)
def test_ctrl_c_in_the_callback(method):
    def callback(intermediate):
        if intermediate.iteration == 4:
            raise KeyboardInterrupt

    problem = Valley()
    result = train(problem, method=method, callback=callback, seed=3)
    assert (result.fun, result.nit) == (problem.best()[0], 4)
    assert result.message.startswith("interrupted by Ctrl-C, at iteration 4 ")


@pytest.mark.parametrize("method", METHODS)
def test_an_exception_does_not_lose_the_training(method):
    with pytest.warns(RuntimeWarning, match="^ZeroDivisionError: here, at iteration"):
        broken_off(
            Valley({("value", 5): ZeroDivisionError("here")}),
            method,
            training.FAILED,
            "ZeroDivisionError: here",
        )

    def callback(intermediate):
        raise IndexError("there")

    with pytest.warns(RuntimeWarning, match="IndexError: there"):
        result = train(Valley(), method=method, callback=callback)
    assert (result.status, result.nit) == (training.FAILED, 1)


def test_before_the_first_evaluation_there_is_nothing_to_give_back():
    for event, name in [("value", "the value is nan"), ("gradient", "the gradient has the entry")]:
        with pytest.raises(ValueError, match=f"^theta0: got a start where {name}"):
            train(Valley({("value", 1): event}))
    with pytest.raises(KeyboardInterrupt):
        train(Valley({("value", 1): KeyboardInterrupt()}))
    with pytest.raises(ZeroDivisionError):
        train(Valley({("value", 1): ZeroDivisionError()}))
