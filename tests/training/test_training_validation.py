"""Held-out samples: the history has their value, x is the best on them, and patience ends."""

from __future__ import annotations

import numpy as np
import pytest
from held_out_runs import HELD_OUT, MANY, Weighted, X, same, train
from resampled_runs import VALIDATION
from resampled_runs import train as train_resampled
from training_problems import Regression, same_history

import refode
from refode import training

# --- history and x ---------------------------------------------------


@pytest.mark.parametrize("method", ["lbfgs", "newton-cg"])
def test_each_iteration_has_the_value_on_the_held_out_samples(method):
    seen = []
    problem = Weighted()
    result = train(
        problem, method=method, callback=lambda r: seen.append((r.x, r.validation)) and None
    )
    history = result.history
    names = [*training.HISTORY.names, "validation"]
    assert list(history.dtype.names) == names
    thetas = [problem.initial(1), *(x for x, _ in seen)]
    expected = [problem.value(theta, HELD_OUT) for theta in thetas]
    assert list(history["validation"]) == expected
    assert [value for _, value in seen] == expected[1:]


def test_the_training_is_the_same_with_and_without():
    plain, held = train(validation=None), train()
    for name in training.HISTORY.names:
        if name != "seconds":
            assert np.array_equal(plain.history[name], held.history[name])
    assert (plain.status, plain.nit, plain.nfev) == (held.status, held.nit, held.nfev)
    assert "validation" not in plain
    assert plain.history.dtype == training.HISTORY


def test_x_is_the_best_on_the_held_out_samples():
    result = train()
    row = result.history[np.argmin(result.history["validation"])]
    assert 0 < row["iteration"] < result.nit  # it does overfit
    assert (result.best_iteration, result.fun) == (row["iteration"], row["value"])
    assert result.validation == row["validation"]
    problem = Regression(noise=1.0)
    assert problem.value(result.x, HELD_OUT) == result.validation
    assert problem.value_and_gradient(result.x, X)[0] == result.fun
    assert np.array_equal(problem.value_and_gradient(result.x, X)[1], result.jac)
    k = row["iteration"]
    assert result.message.endswith(f"; x is the best on the validation samples, of iteration {k}")


def test_a_problem_is_compared_without_its_regularisers():
    """By the mean loss and by the likelihood, though the penalties are part of the objective."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((30, 2)), rng.integers(0, 2, 30)
    ode = refode.NeuralODE(refode.fields.Affine(2), n_steps=2)
    problem = refode.Supervised(ode, tikhonov=0.1, smoothness=0.1)
    result = refode.train(problem, x, y, max_iter=3, validation=(x, y), progress=False)
    assert result.validation == problem.costs(result.x, x, y)["loss"]
    assert result.validation < result.fun
    flow = refode.ContinuousNormalizingFlow(ode, transport=0.3, tikhonov=0.1)
    result = refode.train(flow, x, max_iter=3, validation=x[:9], progress=False)
    assert result.validation == flow.costs(result.x, x[:9])["likelihood"]


def test_a_problem_without_value_is_validated_by_its_gradient():
    class Valueless(Regression):
        value = None

    result = train(Valueless(noise=1.0))
    assert np.allclose(result.history["validation"], train().history["validation"], rtol=1e-14)


def test_progress_shows_it(capfd, monkeypatch):
    monkeypatch.setattr(training.progress, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(training.progress, "SHARE_OF_TERMS", 1e9)
    result = train(progress=True, max_iter=4)
    lines = capfd.readouterr().err.splitlines()
    for line, row in zip(lines, result.history, strict=False):
        assert f" s  validation {row['validation']:.4e}" in line
    assert lines[-1] == result.message


def test_terms_come_after_it():
    result = train(terms=True, max_iter=3)
    assert result.history.dtype.names[-7:-4] == ("validation", "L", "F")
    assert np.allclose(result.history["L"], result.history["value"], rtol=1e-14)


# --- patience ---------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 5])
def test_patience_ends_the_training(k):
    whole, result = train(), train(patience=k)
    validation = whole.history["validation"]
    best = 0
    for i in range(1, len(validation)):
        best = i if validation[i] < validation[best] else best
        if i - best == k:
            break
    assert (result.nit, result.best_iteration) == (i, best)
    assert same_history(result.history, whole.history[: i + 1])
    assert (result.status, result.success) == (training.PATIENCE, False)
    assert result.message == (
        f"stopped early: no better value on the validation samples in {k} iterations, at iteration "
        f"{i} (evaluation {result.nfev}); x is the best on the validation samples, of iteration "
        f"{best}"
    )


def test_an_equal_value_is_no_better_one():
    class Flat(Regression):
        def value(self, theta, x):
            return 1.0

    result = train(Flat(noise=1.0), patience=3)
    assert (result.nit, result.best_iteration, result.status) == (3, 0, training.PATIENCE)


def test_patience_that_suffices_changes_nothing():
    assert same(train(), train(patience=10_000))


def test_convergence_the_callback_and_max_iter_come_with_the_best_too():
    whole = train()
    assert whole.status == training.CONVERGED
    k = whole.best_iteration + 2
    stopped = train(callback=lambda r: r.iteration == k)
    assert (stopped.status, stopped.best_iteration) == (training.STOPPED, whole.best_iteration)
    ended = train(max_iter=k)
    assert (ended.status, ended.best_iteration) == (training.MAX_ITER, whole.best_iteration)
    assert stopped.x.tobytes() == ended.x.tobytes() == whole.x.tobytes()


# --- what is not finite, Ctrl-C and errors ---------------------------------------------------


class Blown(Regression):
    """Of which some values on held-out samples are NaN, by number from 1."""

    def __init__(self, at):
        super().__init__(noise=1.0)
        self.at = at

    def value(self, theta, x):
        value = super().value(theta, x)
        return np.nan if self.count["test"] in self.at else value


def test_nan_is_never_the_best():
    whole = train()
    result = train(Blown({1, whole.best_iteration + 1}))
    finite = np.where(np.isnan(result.history["validation"]), np.inf, result.history["validation"])
    assert np.isnan(result.history["validation"]).sum() == 2
    assert result.best_iteration == np.argmin(finite) != whole.best_iteration
    assert result.validation == finite.min()
    assert result.nit == whole.nit


def test_nan_throughout_runs_out_of_patience_and_leaves_the_last_theta():
    result = train(Blown(range(100)), patience=4)
    assert (result.nit, result.status) == (4, training.PATIENCE)
    assert result.best_iteration is None
    assert np.isnan(result.validation)
    assert result.fun == result.history["value"][-1]
    assert "; x is" not in result.message


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError("here")])
@pytest.mark.filterwarnings("ignore:ZeroDivisionError:RuntimeWarning")
def test_what_comes_while_validating_or_evaluating_leaves_the_best(error, tmp_path):
    class Held(Regression):
        left = 0

        def value(self, theta, x):
            self.left -= 1
            if self.left == 0:
                raise error
            return super().value(theta, x)

    whole = train()
    for k in (2, 5, 12):
        problem = Held(noise=1.0)
        problem.left = k
        path = tmp_path / f"{k}.npz"
        result = train(problem, checkpoint=path)
        ended = {KeyboardInterrupt: training.INTERRUPTED, ZeroDivisionError: training.FAILED}
        assert result.status == ended[type(error)]
        known = whole.history["validation"][: k - 1]
        assert same_history(result.history, whole.history[: k - 1])
        assert (result.validation, result.best_iteration) == (known.min(), known.argmin())
        assert training.read_checkpoint(path).x.tobytes() == result.x.tobytes()
        assert same(train(Held(noise=1.0), checkpoint=path, resume=True), whole)


def test_ctrl_c_between_leaves_the_best():
    problem = Regression(noise=1.0, events={14: KeyboardInterrupt()})
    result = train(problem)
    assert result.status == training.INTERRUPTED
    assert result.validation == result.history["validation"].min()


def test_ctrl_c_while_the_compiler_works_is_raised():
    class Compiled(Regression):
        def value(self, theta, x):
            raise KeyboardInterrupt("while compiling a kernel")

    with pytest.raises(KeyboardInterrupt, match="while compiling"):
        train(Compiled(noise=1.0))


# --- checkpoints ---------------------------------------------------


@pytest.mark.parametrize("patience", [None, 4])
@pytest.mark.parametrize("terms", [False, True])
def test_resumed_to_the_same_bits(patience, terms, tmp_path):
    options = {"patience": patience, "terms": terms}
    whole = train(**options)
    for k in range(2, whole.nfev, 9):
        path = tmp_path / f"{k}.npz"
        broken = Regression(noise=1.0, events={k: KeyboardInterrupt()})
        stored = train(broken, checkpoint=path, **options)
        problem = Regression(noise=1.0)
        assert same(train(problem, checkpoint=path, resume=True, **options), whole)
        # a row that is stored is not validated again
        assert problem.count["test"] == len(whole.history) - len(stored.history)


def test_resumed_with_more_patience(tmp_path):
    path = tmp_path / "run.npz"
    short = train(patience=1, checkpoint=path)
    longer = train(patience=6, checkpoint=path, resume=True)
    assert longer.nit > short.nit
    assert same(longer, train(patience=6))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"validation": None}, r"validation\[0\] \(there '<f8.*, here None\)"),
        ({"validation": HELD_OUT[:9]}, r"validation\[0\] \(there '<f8\(300,"),
        ({"validation": (HELD_OUT, np.ones(300))}, r"validation\[1\] \(there None"),
        ({"sample_weight": np.ones(18)}, r"sample_weight \(there None"),
    ],
)
def test_another_run_is_refused(change, named, tmp_path):
    options = {"checkpoint": tmp_path / "run.npz", "max_iter": 3}
    train(Weighted(), **options)
    with pytest.raises(ValueError, match=f"^checkpoint: got .* differs in .*{named}"):
        train(Weighted(), **{**options, **change}, resume=True)


# --- levels and redrawn samples ---------------------------------------------------


def test_levels_begin_with_the_best_of_the_level_before():
    problems = [Regression(noise=1.0), Regression(noise=1.0)]
    options = {"validation": HELD_OUT, "seed": 1, "patience": 3, "progress": False}
    result = refode.train_multilevel(problems, [X, MANY], **options)
    first, second = result.levels
    assert same(first, train(patience=3))
    assert same(second, train(x=MANY, theta0=first.x, patience=3))
    assert result.history.dtype.names[-1] == "validation"
    assert result.best_iteration == second.best_iteration
    assert first.status == training.PATIENCE  # which is no reason to leave the finer level out


def test_patience_on_redrawn_samples_counts_what_is_validated():
    options = {"noise": 1.0}
    few = {"n_samples": 18, "every": 5, "max_iter": 400, "validation_samples": VALIDATION}
    result = train_resampled(Regression(**options), patience=30, **few)
    whole = train_resampled(Regression(**options), **few).history
    best, least = 0, np.inf
    for row in whole[np.isfinite(whole["validation"])]:
        if row["validation"] < least:
            best, least = row["iteration"], row["validation"]
        elif row["iteration"] >= best + 30:
            break
    assert (result.status, result.best_iteration) == (training.PATIENCE, best)
    assert same_history(result.history, whole[: len(result.history)])
    assert result.history[-1]["period"] == row["period"]  # its start: nothing more is trained
    assert (result.nit, result.chosen) == (row["iteration"], "last")
