"""Steps that were too long are shortened, and a failed line search is no success."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tolerances as tol
from training_problems import METHODS, Valley, X, Y, same_result

import refode
from refode import training
from refode.training import records
from refode.training.ends import Promise
from refode.training.records import Evaluation, Recorder
from refode.training.samples import Samples

QUIET = {"progress": False}
NOTHING = np.ones((3, 1))


class Bowl:
    """(t0^2 + 100 t1^2)/2, with its gradient times a factor."""

    n_parameters = 2

    def __init__(self, factor=1.0, lift=0.0):
        self.factor, self.lift = factor, lift

    def initial(self, seed=0):
        return np.ones(2)

    def draw(self, n, seed):
        return np.ones((n, 1))

    def value_and_gradient(self, theta, x):
        scales = np.array([1.0, 100.0])
        value = 0.5 * float(scales @ theta**2) + self.lift
        return value, self.factor * scales * theta

    def hessian_vector(self, theta, v, x):
        return self.factor * np.array([1.0, 100.0]) * v

    gauss_newton_vector = hessian_vector


class Growth:
    """(exp(1000 a) - exp(-1))^2/2: z' = a z on [0, 1000]; the first step overflows."""

    n_parameters = 1

    def __init__(self, event=None, raises=None):
        self.event, self.raises, self.asked = event, raises, []

    def __repr__(self):
        return "Growth()"

    def initial(self, seed=0):
        return np.array([-0.01])

    def value_and_gradient(self, theta, x):
        self.asked.append(float(theta[0]))
        if len(self.asked) == self.event:
            raise KeyboardInterrupt
        with np.errstate(over=self.raises or "ignore", invalid="ignore"):
            end = np.exp(1000.0 * theta)
            off = end - np.exp(-1.0)
            return float(0.5 * off @ off), 1000.0 * off * end

    def hessian_vector(self, theta, v, x):
        end = np.exp(1000.0 * theta)
        return 1e6 * end * (2.0 * end - np.exp(-1.0)) * v

    def gauss_newton_vector(self, theta, v, x):
        return 1e6 * np.exp(1000.0 * theta) ** 2 * v


# --- steps into overflow ----------------------------------------------------------------------


@pytest.mark.parametrize("raises", [None, "raise"])
@pytest.mark.parametrize("method", METHODS)
def test_a_step_into_overflow_is_shortened(method, raises):
    problem = Growth(raises=raises)
    result = refode.train(problem, NOTHING, method=method, tolerance=1e-11, **QUIET)
    assert result.success
    assert result.fun < 1e-25
    assert abs(result.x[0] + 1e-3) < 1e-15
    assert method == "newton-cg" or max(problem.asked) > 0.7  # there squares overflow
    assert np.isfinite(result.history["value"]).all()
    assert result.nfev == len(problem.asked) < 60


class Rate:
    """The rate a alone of z' = a z on [0, 1000], by refode's own sweeps."""

    n_parameters = 1

    def __init__(self):
        ode = refode.NeuralODE(refode.fields.Affine(1), n_steps=4000, t_span=(0.0, 1000.0))
        self.problem = refode.Supervised(ode, "regression", readout=False)

    def initial(self, seed=0):
        return np.array([-0.01])

    def draw(self, n, seed):
        return np.ones((n, 1)), np.full((n, 1), 0.18)

    def value(self, theta, x, y):
        return self.problem.value(np.append(theta, 0.0), x, y)

    def value_and_gradient(self, theta, x, y):
        value, gradient = self.problem.value_and_gradient(np.append(theta, 0.0), x, y)
        return value, gradient[:1]


def test_a_rate_over_a_long_time_is_found_however_it_is_trained():
    problem, found = Rate(), {}
    x, y = problem.draw(1, 0)
    options = {"tolerance": 1e-12, **QUIET}
    found["train"] = refode.train(problem, x, y, **options)
    found["levels"] = refode.train_multilevel([problem, Rate()], x, y, **options)
    draws = {"sampler": problem.draw, "n_samples": 1, "every": 3}
    found["resampled"] = training.train_resampled(problem, **draws, **options)
    found["validated"] = training.train_resampled(
        problem, **draws, validation_samples=(x, y), choose="best", **options
    )
    for name, result in found.items():
        assert result.success, (name, result.message)
        assert result.history["value"][0] == pytest.approx(0.0162, abs=5e-5)
        assert result.fun < 1e-20, name
        assert result.x[0] == pytest.approx(np.log(0.18) / 1000, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_one_number_that_is_not_finite_ends_nothing(method):
    for k in range(2, 40, 3):
        problem = Valley({("value", k): "once"})
        result = refode.train(problem, X, Y, method=method, seed=48, tolerance=1e-5, **QUIET)
        assert result.success, result.message
        assert (np.diff(result.history["value"]) <= 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_run_with_such_steps_resumes_to_the_same_bits(method, tmp_path):
    options = {"method": method, "tolerance": 1e-5, **QUIET}
    whole = refode.train(Growth(), NOTHING, **options)
    for k in range(2, whole.nfev + 1):
        path = tmp_path / f"{k}.npz"
        broken = refode.train(Growth(event=k), NOTHING, checkpoint=path, **options)
        assert broken.status == training.INTERRUPTED
        result = refode.train(Growth(), NOTHING, checkpoint=path, resume=True, **options)
        assert same_result(result, whole)


def test_the_start_must_be_finite_all_the_same():
    with pytest.raises(ValueError, match="^theta0: got a start where the value is inf"):
        refode.train(Growth(), NOTHING, theta0=[1.0], **QUIET)
    with pytest.raises(FloatingPointError):
        refode.train(Growth(raises="raise"), NOTHING, theta0=[1.0], **QUIET)


def test_what_a_line_search_is_told_is_never_the_best_nor_accepted():
    recorder = Recorder(Growth(), Samples((NOTHING,)), [], keep=True)
    start = recorder.evaluate(np.array([-0.01]))
    recorder.forget_all_but(start)
    there = recorder.evaluate(np.array([0.9]))
    assert there.value > start.value
    assert np.array_equal(there.gradient, -start.gradient)
    assert recorder.best is start
    assert "inf" in recorder.broken
    large = recorder.evaluate(np.array([0.24]))  # finite, but squares of it are not
    assert np.array_equal(large.gradient, -start.gradient)
    assert recorder.broken == "value or gradient is too large to be squared"
    recorder.evaluate(np.array([0.1]))
    assert recorder.broken == ""


# --- a line search that failed ----------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [-1.0, -1e-3])
def test_a_gradient_of_the_wrong_sign_fails(method, factor):
    result = refode.train(Bowl(factor), NOTHING, method=method, **QUIET)
    assert (result.success, result.status) == (False, training.LINE_SEARCH)
    assert np.array_equal(result.x, np.ones(2))
    assert result.message.startswith("stuck: no step lessens the value")
    for word in ("|gradient| is", "check_gradient", "problem.standardized(x)"):
        assert word in result.message
    assert "CONVERGENCE" not in result.message


def test_the_same_over_levels_and_redrawn_samples():
    results = [
        refode.train_multilevel([Bowl(-1.0), Bowl(-1.0)], NOTHING, **QUIET),
        training.train_resampled(Bowl(-1.0), Bowl().draw, 3, **QUIET),
        training.train_resampled(Bowl(-1.0), Bowl().draw, 3, memory="reset", **QUIET),
    ]
    for result in results:
        assert (result.success, result.status) == (False, training.LINE_SEARCH)
        assert "check_gradient" in result.message


@pytest.mark.parametrize("part", [0, 1])
def test_a_gradient_that_is_wrong_in_part_fails(part):
    """x moves first, down to where the wrong part leads up."""

    class Partly(Bowl):
        def value_and_gradient(self, theta, x):
            value, gradient = super().value_and_gradient(theta, x)
            gradient[part] *= -1.0
            return value, gradient

    result = refode.train(Partly(), NOTHING, **QUIET)
    assert (result.success, result.status) == (False, training.LINE_SEARCH)


def test_a_gradient_without_the_penalty_fails():
    class Forgotten(Bowl):
        def value_and_gradient(self, theta, x):
            value, gradient = super().value_and_gradient(theta, x)
            return value + 5.0 * float((theta - 1.0) @ (theta - 1.0)), gradient

    result = refode.train(Forgotten(), NOTHING, theta0=[1.0, 0.3], **QUIET)
    assert (result.success, result.status) == (False, training.LINE_SEARCH)


@pytest.mark.parametrize("method", METHODS[:2])
@pytest.mark.parametrize("lift", [0.0, 1.0, 1e6])
def test_a_value_that_has_stopped_falling_is_still_a_success(method, lift):
    result = refode.train(Bowl(lift=lift), NOTHING, method=method, tolerance=0.0, **QUIET)
    assert result.success or result.status == training.LINE_SEARCH
    assert result.success or "larger tolerance" in result.message
    assert np.abs(result.x).max() < tol.TRAINING_STOPPED * np.sqrt(1.0 + lift)


def test_the_promise_of_a_gradient():
    """Of a quadratic whose curvature was met along both axes: g^T H g/2, H the inverse Hessian."""
    promise, points = Promise(), [np.array(p) for p in ([1.0, 1.0], [0.0, 1.0], [0.0, 0.5])]
    made = [Evaluation(p, *Bowl().value_and_gradient(p, None)) for p in points]
    assert promise.at(made[0]) == pytest.approx(np.hypot(1.0, 100.0) / made[0].value)
    promise.moved(made[0], made[1])
    promise.moved(made[1], made[2])
    end = Evaluation(points[2], *Bowl().value_and_gradient(points[2], None))
    assert promise.at(end) == pytest.approx(end.value / max(1.0, end.value), rel=1e-12)
    assert len(promise.pairs) == 2
    promise.moved(made[2], made[2])  # no step, no curvature
    assert len(promise.pairs) == 2


def test_every_status_has_a_row_in_the_docs():
    table = re.split(r"={6,}  =+", refode.train.__doc__)[1]
    known = {records.CONVERGED, records.MAX_ITER, records.LINE_SEARCH, records.STUCK}
    known |= {records.STOPPED, records.INTERRUPTED, records.NON_FINITE, records.FAILED}
    known |= {records.PATIENCE}
    rows = {int(n) for n in re.findall(r"^ +(\d+)  ", table, re.MULTILINE)}
    assert rows == known
