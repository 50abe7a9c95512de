"""Training on samples redrawn every few iterations."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances as tol
from training_problems import Regression, WithGame, bfgs, same_history, same_result

import refode
from refode import training
from refode.training import resampled

SAMPLES = Regression().draw(400, 9)
VALIDATION = Regression().draw(300, 99)


def train(problem=None, sampler=None, **options):
    problem = problem or Regression(bend=0.3)
    options = {"n_samples": 60, "every": 6, "max_iter": 40, "progress": False, "seed": 1, **options}
    return training.train_resampled(problem, sampler or problem.draw, **options)


def always_the_same(n, seed):
    return SAMPLES


class Watching(list):
    """A callback that keeps copies."""

    def __call__(self, intermediate):
        self.append({**intermediate, "x": intermediate.x.copy()})


# --- samples and history ------------------------------------------------------------------------


def test_each_period_has_fresh_samples_of_the_seed():
    drawn = []

    def sampler(n, seed):
        drawn.append((n, seed))
        return Regression().draw(n, seed)

    result = train(sampler=sampler, n_samples=33, every=5, max_iter=20)
    assert result.periods == 4
    assert [n for n, _ in drawn] == [33] * 4
    assert len({seed for _, seed in drawn}) == 4
    again = train(n_samples=33, every=5, max_iter=20)
    assert same_result(result, again)
    assert not same_result(result, train(n_samples=33, every=5, max_iter=20, seed=2))
    theta0 = Regression().initial(1)
    other = train(n_samples=33, every=5, max_iter=20, seed=2, theta0=theta0)
    assert other.history["value"][0] != result.history["value"][0]  # the samples' seed counts


def test_the_game_s_initial_density_is_the_default():
    problem = WithGame(bend=0.3)
    result = training.train_resampled(
        problem, n_samples=60, every=6, max_iter=40, seed=1, progress=False
    )
    assert same_result(result, train())


@pytest.mark.parametrize("memory", ["kept", "reset"])
def test_history_is_that_of_the_run(memory):
    seen = Watching()
    samples = []

    def sampler(n, seed):
        samples.append(Regression().draw(n, seed))
        return samples[-1]

    problem = Regression(bend=0.3)
    result = train(
        problem, sampler, memory=memory, callback=seen, validation_samples=VALIDATION, max_iter=20
    )
    history = result.history
    assert history.dtype == training.RESAMPLED
    assert list(history["period"]) == [0] * 7 + [1] * 7 + [2] * 7 + [3] * 3
    assert list(history["iteration"]) == [*range(7), *range(6, 13), *range(12, 19), 18, 19, 20]
    assert [row["iteration"] for row in seen] == list(range(1, 21))
    assert result.nit == 20
    assert [row["period"] for row in seen] == [0] * 6 + [1] * 6 + [2] * 6 + [3] * 2
    assert (np.diff(history["seconds"]) >= 0).all()
    assert history["evaluations"][-1] == problem.count["value"] == result.nfev
    thetas = [problem.initial(1), *(row["x"] for row in seen)]
    starts = np.append(True, np.diff(history["period"]) > 0)
    starts[-1] = True  # and the end
    for row, start in zip(history, starts, strict=True):
        theta, x = thetas[row["iteration"]], samples[row["period"]]
        value, gradient = problem.value_and_gradient(theta, x)
        assert row["value"] == value
        assert row["gradient_norm"] == pytest.approx(np.linalg.norm(gradient))
        expected = problem.value(theta, VALIDATION) if start else np.nan
        assert np.array_equal(row["validation"], expected, equal_nan=True)
    within = np.diff(history["value"])[np.diff(history["iteration"]) == 1]
    assert (within <= 0).all()  # samples are fixed there
    jumps = np.diff(history["value"])[np.diff(history["iteration"]) == 0]
    assert (jumps != 0).all()
    assert result.x.tobytes() == thetas[-1].tobytes()
    assert (result.fun, result.validation) == (history["value"][-1], history["validation"][-1])
    assert result.chosen == "last"
    assert result.status == training.MAX_ITER


def test_pairs_of_samples_and_targets():
    class Labelled(Regression):
        def value_and_gradient(self, theta, x, y):
            return super().value_and_gradient(theta, np.column_stack([x, y]))

        def value(self, theta, x, y):
            return super().value(theta, np.column_stack([x, y]))

    def sampler(n, seed):
        drawn = Regression().draw(n, seed)
        return drawn[:, :-1].copy(), drawn[:, -1].copy()

    pair = (VALIDATION[:, :-1], VALIDATION[:, -1])
    result = train(Labelled(bend=0.3), sampler, validation_samples=pair)
    assert same_history(result.history, train(validation_samples=VALIDATION).history)


def test_validation_samples_may_be_a_number():
    drawn = []

    def sampler(n, seed):
        drawn.append((n, seed))
        return Regression().draw(n, seed)

    result = train(sampler=sampler, validation_samples=500)
    assert [n for n, _ in drawn].count(500) == 1
    assert len({seed for _, seed in drawn}) == len(drawn)
    (seed,) = [seed for n, seed in drawn if n == 500]
    value = Regression(bend=0.3).value(result.x, Regression().draw(500, seed))
    assert result.validation == value


def test_a_problem_without_value_is_validated_too():
    class Valueless(Regression):
        value = None

    result = train(Valueless(bend=0.3), validation_samples=VALIDATION)
    assert result.validation == pytest.approx(Regression(bend=0.3).value(result.x, VALIDATION))


def test_the_value_jumps_by_the_noise_that_a_period_has_fitted():
    """(D55): tr A^-1 C/N is p/N for least squares with unit noise, where periods converge."""
    p, n, samples = 6, 200, []

    def sampler(n, seed):
        samples.append(problem.draw(n, seed))
        return samples[-1]

    problem = Regression(p, spread=0.5, noise=1.0)
    history = train(problem, sampler, n_samples=n, every=60, max_iter=700).history
    jumps = np.diff(history["value"])[np.diff(history["iteration"]) == 0]
    # by the samples alone the value at the minimum jumps too, three times as much
    jumps -= np.diff([problem.value(np.ones(p), x) for x in samples])[: len(jumps)]
    assert len(jumps) > 70
    error = jumps.std() / np.sqrt(len(jumps))
    assert error < 0.1 * p / n
    assert abs(jumps.mean() - p / n) < 3 * error + (p / n) ** 2


# --- which theta comes back -----------------------------------------------------------------------


def overfitting(**options):
    """So few samples that each period fits the noise."""
    return train(
        Regression(noise=1.0),
        n_samples=18,
        every=30,
        max_iter=150,
        seed=0,
        validation_samples=VALIDATION,
        **options,
    )


def test_the_best_on_the_validation_samples_on_request():
    last, best = overfitting(), overfitting(choose="best")
    assert same_history(last.history, best.history)
    validation = last.history["validation"]
    assert last.validation == validation[-1] > np.nanmin(validation) == best.validation
    assert (last.chosen, best.chosen) == ("last", "best")
    row = last.history[np.nanargmin(validation)]
    assert best.message.endswith(
        f"; x is the best on the validation samples, of iteration {row['iteration']}"
    )
    assert best.fun == row["value"]
    assert Regression(noise=1.0).value(best.x, VALIDATION) == best.validation


def test_a_value_that_is_not_finite_is_not_the_best():
    class Blown(Regression):
        def value(self, theta, x):
            value = super().value(theta, x)
            return np.nan if self.count["test"] in (1, 3) else value

    result = train(Blown(bend=0.3), validation_samples=VALIDATION, choose="best")
    assert np.isnan(result.history["validation"][[0, 14]]).all()
    assert result.validation == np.nanmin(result.history["validation"])


def test_after_a_break_too():
    """Known thetas only: nothing more is evaluated."""
    problem = Regression(noise=1.0, events={90: KeyboardInterrupt()})
    result = training.train_resampled(
        problem,
        problem.draw,
        n_samples=18,
        every=30,
        max_iter=150,
        progress=False,
        validation_samples=VALIDATION,
        choose="best",
    )
    assert result.status == training.INTERRUPTED
    assert result.validation == np.nanmin(result.history["validation"])
    assert problem.count["test"] == result.periods
    assert np.isnan(result.history["validation"][-1])


# --- curvature ---------------------------------------------------------------------------------


def test_a_period_starts_from_the_inverse_hessian_of_the_pairs_so_far(monkeypatch):
    """Dense BFGS by the pairs within periods, the newest twenty of them, across the periods."""
    made = []

    class Kept(resampled.ProductForm):
        def __init__(self, pairs):
            super().__init__(pairs)
            made.append(self)

    monkeypatch.setattr(resampled, "ProductForm", Kept)
    seen, asked = Watching(), []

    class Asked(Regression):
        def value_and_gradient(self, theta, x):
            asked.append((theta.copy(), *super().value_and_gradient(theta, x)))
            return asked[-1][1:]

    problem = Asked(p=20, bend=0.3)
    result = train(problem, callback=seen, memory_pairs=9, every=6, max_iter=30)
    starts = result.history[np.append(False, np.diff(result.history["period"]) > 0)]
    assert len(made) == len(starts) == 4
    rows = [(problem.initial(1), None), *((row["x"], row["jac"]) for row in seen)]
    pairs, gradient = [], None
    for row, factor in zip(starts, made, strict=True):
        for i in range(row["iteration"] - 5, row["iteration"] + 1):
            before = asked[0][2] if i == 1 else rows[i - 1][1]
            if (i - 1) % 6 == 0 and i > 1:  # on the fresh samples
                before = gradient
            pairs.append((rows[i][0] - rows[i - 1][0], rows[i][1] - before))
        H = bfgs(pairs[-9:])
        S = np.array([factor.times(e) for e in np.eye(20)]).T
        assert np.abs(S @ S.T - H).max() <= tol.TRAINING_FACTOR * np.abs(H).max()
        theta, _, gradient = asked[row["evaluations"] - 1]  # the period's start
        step = asked[row["evaluations"]][0] - theta
        assert np.abs(step + H @ gradient).max() <= tol.TRAINING_STEP * np.abs(step).max()


@pytest.mark.parametrize(("p", "spread", "bend"), [(40, 1.5, 0.0), (100, 2.0, 0.0), (40, 1.5, 0.3)])
@pytest.mark.parametrize("every", [10, 25])
def test_kept_needs_no_more_iterations_than_one_run(p, spread, bend, every):
    """Measured: 115 and 297 iterations, kept and reset, against 127, for (40, 1.5, 0) and 10."""
    problem = Regression(p, spread, bend=bend)
    x = problem.draw(1000, 5)
    whole = refode.train(problem, x, seed=1, max_iter=3000, progress=False)
    kept, reset = (
        train(problem, lambda n, seed: x, every=every, max_iter=3000, memory=memory)
        for memory in ("kept", "reset")
    )
    assert all(result.success for result in (whole, kept, reset))
    assert kept.nit < 1.1 * whole.nit
    assert kept.nfev < 1.2 * whole.nfev
    assert reset.nit > (1.8 if every == 10 else 1.08) * kept.nit


@pytest.mark.parametrize("memory", ["kept", "reset"])
def test_fresh_samples_lead_to_the_minimum_of_the_expectation(memory):
    problem = Regression(noise=0.01)
    result = train(problem, n_samples=4000, every=20, max_iter=200, memory=memory)
    assert problem.expectation(result.x) < (1 + 1e-2) * problem.expectation(np.ones(12))


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

    class Wrong(resampled.ProductForm):
        def __init__(self, pairs):
            super().__init__(pairs)
            made.append(len(pairs))

        def transposed(self, g):
            return -super().transposed(g)  # uphill

    monkeypatch.setattr(resampled, "ProductForm", Wrong)
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
    flow = refode.ContinuousNormalizingFlow(refode.NeuralODE(refode.fields.Affine(2), n_steps=1))
    with pytest.raises((ValueError, TypeError), match="^sampler: returned data of the .*, " + said):
        refode.train_resampled(flow, lambda *_: drawn, n_samples=4, progress=False)
