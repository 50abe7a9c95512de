"""``train(adapt=)``: periods on planned grids."""

from __future__ import annotations

import numpy as np
import pytest

import refode
from refode import fields, training

ADAPT = {"rtol": 1e-4, "atol": 1e-6}


def a_problem(scheme="dopri5"):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(float)
    ode = refode.NeuralODE(fields.Shallow(2, 5), scheme)
    return refode.Supervised(ode, "logistic", tikhonov=1e-3), x, y


def run(max_iter=20, every=6, adapt=ADAPT, **options):
    problem, x, y = a_problem()
    options = {"adapt": adapt, "every": every, "max_iter": max_iter, **options}
    return refode.train(problem, x, y, progress=False, **options)


def test_each_grid_is_a_period():
    result = run()
    problem, x, y = a_problem()
    history = result.history
    assert result.periods == history["period"][-1] + 1 == 4
    starts = np.flatnonzero(np.diff(history["period"])) + 1
    assert np.array_equal(history["iteration"][starts], history["iteration"][starts - 1])
    for period in range(result.periods):
        steps = history["n_steps"][history["period"] == period]
        assert len(set(steps.tolist())) == 1
    assert result.problem.ode.n_steps == history["n_steps"][-1]
    value, gradient = result.problem.value_and_gradient(result.x, x, y)
    assert value == result.fun
    assert np.array_equal(gradient, result.jac)
    first = problem.adapt(problem.initial(0), x, y, **ADAPT)[0]
    assert history["value"][0] == first.value_and_gradient(problem.initial(0), x, y)[0]


def test_values_hardly_jump_where_a_grid_is_new():
    history = run(max_iter=30).history
    starts = np.flatnonzero(np.diff(history["period"])) + 1
    assert np.all(np.abs(history["value"][starts] - history["value"][starts - 1]) < 1e-3)
    assert history["value"][-1] < history["value"][0] - 0.1


def test_by_default_a_grid_lasts_for_25_iterations():
    result = run(max_iter=27, every=None)
    assert np.sum(result.history["period"] == 0) == 26
    assert result.periods == 2


def test_training_ends_where_a_new_grid_has_nothing_to_gain():
    result = run(max_iter=400, tolerance=1e-3, every=50)
    assert result.status == training.CONVERGED
    assert np.abs(result.jac).max() <= 1e-3


@pytest.mark.parametrize("stop", [1, 7, 13])
def test_a_resumed_run_plays_its_grids_back(tmp_path, monkeypatch, stop):
    path = tmp_path / "run.npz"
    whole = run()
    run(max_iter=stop, checkpoint=path)
    planned = []
    adapt = refode.Supervised.adapt

    def counted(self, *args, **named):
        planned.append(1)
        return adapt(self, *args, **named)

    monkeypatch.setattr(refode.Supervised, "adapt", counted)
    resumed = run(checkpoint=path, resume=True)
    assert np.array_equal(resumed.x, whole.x)
    assert resumed.fun == whole.fun
    assert len(planned) == whole.periods - 1 - stop // 6
    for name in ("period", "iteration", "value", "n_steps", "evaluations"):
        assert np.array_equal(resumed.history[name], whole.history[name])
    assert np.array_equal(resumed.problem.ode.steps.times, whole.problem.ode.steps.times)


def test_a_checkpoint_is_a_model_on_the_last_grid(tmp_path):
    path = tmp_path / "run.npz"
    result = run(checkpoint=path)
    model = refode.load(path)
    assert model.problem.ode.steps == result.problem.ode.steps
    assert training.read_checkpoint(path).nit == result.nit


def test_a_checkpoint_of_another_planning_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    run(max_iter=3, checkpoint=path)
    with pytest.raises(ValueError, match="differs in adapt"):
        run(checkpoint=path, resume=True, adapt={**ADAPT, "rtol": 1e-5})
    with pytest.raises(ValueError, match="differs in every"):
        run(checkpoint=path, resume=True, every=7)


@pytest.mark.parametrize("plans", [[5.0, 0.0, 1.0], [2.5, 0.0, 1.0, 2.0], [2.0, 0.0, 0.0], [1.0]])
def test_damaged_grids_are_refused(tmp_path, plans):
    path = tmp_path / "run.npz"
    run(max_iter=2, checkpoint=path)
    with np.load(path) as archive:
        members = dict(archive)
    np.savez(path, **{**members, "plans": np.array(plans)})
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        training.read_checkpoint(path)


def test_validation_is_on_the_grid_of_the_time():
    problem, x, y = a_problem()
    result = run(validation=(x[:10], y[:10]), terms=True)
    assert np.isfinite(result.history["validation"]).all()
    assert result.history.dtype.names[-4:] == ("loss", "tikhonov", "smoothness", "total")
    assert result.best_iteration is not None


@pytest.mark.parametrize("method", ["newton-cg", "trust-krylov"])
def test_newton_methods_have_periods_too(method):
    result = run(max_iter=8, every=3, method=method)
    assert result.periods >= 2


def test_flows_and_games_train_on_planned_grids():
    ode = refode.NeuralODE(fields.Shallow(2, 4), "tsit5")
    flow = refode.ContinuousNormalizingFlow(ode)
    y = np.random.default_rng(0).normal(size=(30, 2))
    options = {"adapt": ADAPT, "every": 3, "max_iter": 7, "progress": False}
    assert refode.train(flow, y, **options).periods == 3


def test_a_grid_that_cannot_be_planned_ends_the_training():
    problem, x, y = a_problem()
    with pytest.raises(ValueError, match="max_steps=2"):
        run(adapt={**ADAPT, "max_steps": 2})
    steps = problem.adapt(problem.initial(0), x, y, **ADAPT)[1].n_steps
    with pytest.warns(RuntimeWarning, match="max_steps"):
        result = run(max_iter=60, adapt={**ADAPT, "max_steps": steps + 1})
    assert result.status == training.FAILED


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"adapt": 1e-5}, TypeError, "adapt: got 1e-05"),
        ({"adapt": {"rtol": 1e-5}}, ValueError, "adapt: got .*wanted rtol and atol"),
        ({"adapt": {**ADAPT, "tol": 1.0}}, ValueError, "adapt: got 'tol', wanted one of 'rtol'"),
        ({"adapt": {**ADAPT, "rtol": -1.0}}, ValueError, "adapt: rtol: got -1.0"),
        ({"adapt": {**ADAPT, "gradient": 2}}, TypeError, "adapt: gradient: got 2"),
        ({"adapt": {**ADAPT, "interpolated": True}}, ValueError, "adapt: got 'interpolated'"),
        ({"batch": 10}, ValueError, "adapt: got a dict with batch=10"),
        ({"every": 0}, ValueError, "every: got 0"),
    ],
)
def test_bad_input_is_named(options, error, message):
    with pytest.raises(error, match=message):
        run(**options)


def test_problems_that_cannot_plan_are_refused():
    problem, x, y = a_problem("rk4")
    with pytest.raises(ValueError, match="adapt: ode: got scheme 'rk4'"):
        refode.train(problem, x, y, adapt=ADAPT, progress=False)

    class Own:
        n_parameters = 1

        def initial(self, seed):
            return np.zeros(1)

        def value_and_gradient(self, theta, x):
            return float(theta @ theta), 2 * theta

    with pytest.raises(TypeError, match="adapt: got a dict with a Own"):
        refode.train(Own(), x, adapt=ADAPT, progress=False)
    with pytest.raises(ValueError, match="every: got 5 without batch or adapt"):
        refode.train(problem, x, y, every=5, progress=False)
