"""How training on redrawn samples ends, goes on from a file, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from resampled_runs import SAMPLES, VALIDATION, train
from training_problems import Regression, same_result

import refode
from refode import training
from refode.training import periods


def always_the_same(n, seed):
    return SAMPLES


# --- how it ends -------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", ["kept", "reset"])
def test_converged_on_fresh_samples(memory):
    result = train(sampler=always_the_same, memory=memory, max_iter=3000)
    assert (result.status, result.success) == (training.CONVERGED, True)
    assert np.abs(result.jac).max() <= 1e-6
    assert result.history["iteration"][-1] == result.history["iteration"][-2]  # a start
    noisy = train(memory=memory, n_samples=4000, every=60, max_iter=200)
    assert noisy.status == training.MAX_ITER  # periods converge, the next is another one
    assert noisy.periods > 200 / 60


def test_where_nothing_is_left_to_gain_it_ends():
    """Below rounding: without the pairs of old once more, then no further."""
    for memory in ("kept", "reset"):
        result = train(sampler=always_the_same, memory=memory, tolerance=0.0, max_iter=3000)
        assert result.nit < 400
        assert result.status in (0, 2)
        assert np.abs(result.jac).max() <= 1e-6


def test_curvature_that_leads_nowhere_is_forgotten(monkeypatch):
    """One step that gains nothing, and the next period starts without what the pairs say."""
    made = []

    class Wrong(periods.ProductForm):
        def __init__(self, pairs):
            super().__init__(pairs)
            made.append(len(pairs))

        def transposed(self, g):
            return -super().transposed(g)  # uphill

    monkeypatch.setattr(periods, "ProductForm", Wrong)
    result = train(max_iter=20)
    assert result.nit == 20
    steps = np.bincount(result.history["period"]) - 1
    assert list(steps) == [6, 1, 6, 1, 6]
    assert made == [6, 6]


def test_a_period_that_converges_in_its_last_iteration_ends_the_training():
    options = {"n_samples": 4000, "every": 500, "max_iter": 150}
    history = train(**options).history
    k = int(history["iteration"][history["period"] == 0][-1])
    assert k < 150
    for stop, status in (
        ({"max_iter": k}, training.MAX_ITER),
        ({"callback": lambda r: r.iteration == k}, training.STOPPED),
    ):
        ended = train(**(options | stop))
        assert (ended.nit, ended.periods, ended.status) == (k, 1, status)
        assert np.abs(ended.jac).max() <= 1e-6


def test_callback_ends_the_training():
    result = train(callback=lambda r: (r.period, r.iteration) == (2, 15))
    assert (result.nit, result.status, result.periods) == (15, training.STOPPED, 3)


@pytest.mark.parametrize("event", [KeyboardInterrupt(), "value", ZeroDivisionError("here")])
@pytest.mark.filterwarnings("ignore:ZeroDivisionError:RuntimeWarning")
def test_the_best_theta_of_the_period_comes_back(event):
    for k in range(2, 30):
        asked = []

        class Asked(Regression):
            def value_and_gradient(self, theta, x, asked=asked):
                asked.append((theta.copy(), x, *super().value_and_gradient(theta, x)))
                return asked[-1][2:]

        result = train(Asked(bend=0.3, events={k: event}))
        asked = [entry for entry in asked if np.isfinite(entry[2])]
        period = [entry for entry in asked if entry[1] is asked[-1][1]]
        best = min(period, key=lambda entry: entry[2])
        assert result.x.tobytes() == best[0].tobytes()
        assert result.fun == best[2]
        assert result.nfev == k - 1 or (event == "value" and result.nfev > k)
        assert (
            result.status
            == {
                KeyboardInterrupt: training.INTERRUPTED,
                str: training.NON_FINITE,
                ZeroDivisionError: training.FAILED,
            }[type(event)]
        )


@pytest.mark.parametrize("where", ["draw", "value"])
def test_ctrl_c_elsewhere(where):
    """While drawing, and while validating: at the start, between periods and at the end."""
    for k in range(1 + (where == "draw"), 4):

        class Interrupted(Regression):
            left = k

            def _event(self, name):
                self.left -= name == where
                if self.left == 0:
                    raise KeyboardInterrupt

            def draw(self, n, seed):
                self._event("draw")
                return super().draw(n, seed)

            def value(self, theta, x):
                self._event("value")
                return super().value(theta, x)

        result = train(Interrupted(bend=0.3), max_iter=13, validation_samples=VALIDATION)
        assert result.status == training.INTERRUPTED
        assert np.isfinite(result.x).all()
        assert np.isfinite(result.fun)


# --- checkpoints -------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", ["kept", "reset"])
@pytest.mark.parametrize("terms", [False, True])
def test_resumed_to_the_same_bits(memory, terms, tmp_path):
    options = {"memory": memory, "validation_samples": VALIDATION, "terms": terms, "max_iter": 25}
    whole = train(**options)
    for k in range(2, whole.nfev, 3):
        path = tmp_path / f"{k}.npz"
        train(Regression(bend=0.3, events={k: KeyboardInterrupt()}), checkpoint=path, **options)
        problem = Regression(bend=0.3)
        result = train(problem, checkpoint=path, resume=True, **options)
        assert same_result(result, whole)
        assert result.validation == whole.validation
        assert problem.count["value"] == whole.nfev - (k - 1) + (2 if k > 2 else 1)  # and checks


def test_resumed_for_more_iterations(tmp_path):
    """max_iter at the end of a period and within one; the last row's validation is no start's."""
    for first in (12, 15):
        path = tmp_path / f"{first}.npz"
        stored = train(checkpoint=path, validation_samples=VALIDATION, max_iter=first)
        found = training.read_checkpoint(path)
        assert (found.nit, found.history.dtype) == (first, training.RESAMPLED)
        problem = Regression(bend=0.3)
        options = {"validation_samples": VALIDATION, "max_iter": 30}
        result = train(problem, checkpoint=path, resume=True, **options)
        assert same_result(result, train(**options))
        assert np.isfinite(stored.history["validation"][-1])
        assert problem.count["test"] == result.periods + 1 - stored.periods  # the rest is known


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"every": 7}, r"every \(there 6, here 7\)"),
        ({"n_samples": 61}, r"n_samples \(there 60, here 61\), x \("),
        ({"memory": "reset"}, r"curvature \(there 'kept', here 'reset'\)"),
        ({"memory_pairs": 3}, r"memory \(there 20, here 3\)"),
        (
            {"seed": 2, "theta0": Regression().initial(1)},
            r"seed \(there 1, here None\), seed_of",
        ),
        (
            {"validation_samples": VALIDATION[:9]},
            r"validation_samples\[0\] \(there '<f8\(300,",
        ),
        ({"validation_samples": None}, r"validation_samples\[0\] \(there .*, here None\)"),
        ({"terms": True}, r"terms \(there None, here True\)"),
    ],
)
def test_another_run_is_refused(change, named, tmp_path):
    options = {"checkpoint": tmp_path / "run.npz", "validation_samples": VALIDATION}
    train(**options)
    with pytest.raises(ValueError, match=f"^checkpoint: got .* differs in .*{named}"):
        train(**{**options, **change}, resume=True)


def test_a_checkpoint_of_train_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    refode.train(Regression(bend=0.3), SAMPLES, checkpoint=path, progress=False)
    with pytest.raises(ValueError, match="differs in .*every"):
        train(checkpoint=path, resume=True)


# --- what it shows and refuses -------------------------------------------------------------------


def test_progress_shows_period_terms_and_validation(capfd, monkeypatch):
    monkeypatch.setattr(training.progress, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(training.progress, "SHARE_OF_TERMS", 1e9)
    result = train(progress=True, max_iter=9, validation_samples=VALIDATION)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == len(result.history) + 1
    validation = np.nan
    for line, row in zip(lines, result.history, strict=False):
        assert line.startswith(f"period {row['period']}  iteration {row['iteration']}/9  value ")
        if row["iteration"] < 9 and np.isfinite(row["validation"]):
            validation = row["validation"]
        assert f" s  validation {validation:.4e}  L " in line
    assert lines[-1] == f"period 1  {result.message}"


BARE = Regression()
FLOW = refode.ContinuousNormalizingFlow(refode.NeuralODE(refode.fields.Affine(2), n_steps=1))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"sampler": None}, TypeError, "sampler: got None and Regression without game.initial."),
        ({"sampler": 3}, TypeError, r"sampler: got 3 \(int\), wanted a callable"),
        ({"problem": object()}, TypeError, "problem: got object without a method value_and_gradie"),
        ({"n_samples": 0}, ValueError, "n_samples: got 0"),
        ({"n_samples": 2.0}, TypeError, "n_samples: got 2.0"),
        ({"every": 0}, ValueError, "every: got 0"),
        ({"every": True}, TypeError, "every: got True"),
        ({"seed": -1}, ValueError, "seed: got -1"),
        ({"max_iter": 0}, ValueError, "max_iter: got 0"),
        ({"memory": 20}, TypeError, "memory: got 20"),
        ({"memory": "forgotten"}, ValueError, "memory: got 'forgotten', wanted one of 'kept', '"),
        ({"memory_pairs": 0}, ValueError, "memory_pairs: got 0"),
        ({"validation_samples": 0}, ValueError, "validation_samples: got 0"),
        ({"validation_samples": 1.5}, TypeError, "validation_samples: got 1.5"),
        (
            {"problem": FLOW, "validation_samples": ()},
            TypeError,
            "validation_samples: y: got 0 arrays of data",
        ),
        ({"choose": "first"}, ValueError, "choose: got 'first', wanted one of 'last', 'best'"),
        ({"choose": "best"}, ValueError, "choose: got 'best' without validation_samples"),
        ({"tolerance": -1.0}, ValueError, "tolerance: got -1.0"),
        ({"terms": 1}, TypeError, "terms: got 1"),
        ({"theta0": np.ones(3)}, ValueError, r"theta0: got an array of shape \(3,\)"),
        ({"resume": True}, ValueError, "resume: got True without a checkpoint"),
        (
            {"problem": Regression(events={1: "value"})},
            ValueError,
            "theta0: got a start where the value is nan",
        ),
    ],
)
def test_bad_input_is_named(change, error, message):
    arguments = {"problem": BARE, "sampler": BARE.draw, "progress": False, **change}
    with pytest.raises(error, match=f"^{message}"):
        training.train_resampled(**arguments)


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        (np.ones((4, 3)), r"y: got an array of shape \(4, 3\), wanted \(N, 2\)"),
        (np.full((4, 2), np.nan), "y: got nan"),
        (None, "y: got an array of dtype object"),
        ((np.ones((4, 2)), np.ones(4)), "y: got 2 arrays of data"),
    ],
    ids=["shape", "nan", "None", "two arrays"],
)
def test_errors_of_what_a_sampler_returns_name_it(drawn, said):
    with pytest.raises((ValueError, TypeError), match="^sampler: returned data of the .*, " + said):
        refode.train_resampled(FLOW, lambda *_: drawn, n_samples=4, progress=False)
