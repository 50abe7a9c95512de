"""Mini-batches: shuffled passes through the samples, a batch every so many iterations."""

from __future__ import annotations

import numpy as np
import pytest
from held_out_runs import HELD_OUT, MANY, WEIGHTS, Weighted, same
from resampled_runs import Watching
from training_problems import METHODS, Regression, same_history, same_result

import refode
from refode import training
from refode.training import periods
from refode.training.batches import Batches
from refode.training.samples import Samples

N = len(MANY)


class Seen(Weighted):
    """Keeps the samples that it is asked about, by their rows in MANY, and their weights."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.batches = []  # (rows, weights), one entry for each change

    def value_and_gradient(self, theta, x, *, sample_weight=None):
        chosen = [int(np.flatnonzero((row == MANY).all(axis=1))[0]) for row in x]
        if not self.batches or self.batches[-1][0] != chosen:
            self.batches.append((chosen, sample_weight))
        return super().value_and_gradient(theta, x, sample_weight=sample_weight)


def train(problem=None, x=MANY, **options):
    options = {"batch": 20, "every": 4, "max_iter": 45, "progress": False, "seed": 1, **options}
    return refode.train(problem or Weighted(bend=0.3), x, **options)


# --- which samples ----------------------------------------------------------


def test_each_pass_has_each_sample_once():
    problem = Seen(bend=0.3)
    result = train(problem)
    assert result.periods == len(problem.batches) == 12
    chosen = [rows for rows, _ in problem.batches]
    passes = [sum(chosen[i : i + 4], []) for i in range(0, 12, 4)]
    for order in passes:
        assert sorted(order) == list(range(N))
    assert {len(rows) for rows in chosen} == {15, 16}  # 61 in four, none of one sample
    assert len({tuple(order) for order in passes}) == 3


@pytest.mark.parametrize(("n", "size"), [(1, 1), (7, 3), (10, 9), (10, 5), (100, 1)])
def test_batches_are_as_few_and_as_equal_as_can_be(n, size):
    batches = Batches(Samples((np.arange(n),)), size, 0)
    assert batches.n_batches == -(-n // size)
    for start in (0, 5 * batches.n_batches):
        own = range(start, start + batches.n_batches)
        parts = [batches.period(period).arrays[0] for period in own]
        assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(n))
        sizes = {len(part) for part in parts}
        assert max(sizes) <= size
        assert max(sizes) - min(sizes) <= 1


def test_the_seed_says_which_and_has_a_key_of_its_own():
    of = [Batches(Samples((MANY,)), 20, seed).chosen(0).tolist() for seed in (0, 0, 1)]
    assert of[0] == of[1] != of[2]
    orders = np.array_split(np.random.default_rng(0).permutation(N), 4)
    assert of[0] != sorted(orders[0].tolist())
    theta0 = Weighted().initial(1)
    assert not same_result(train(theta0=theta0), train(theta0=theta0, seed=2))


def test_weights_go_along_and_what_weighs_nothing_is_in_no_batch():
    weight = np.where(np.arange(N) % 3, WEIGHTS, 0.0)
    there = set(np.flatnonzero(weight).tolist())
    problem = Seen(bend=0.3)
    result = train(problem, sample_weight=weight, batch=8)
    seen = {row for rows, _ in problem.batches for row in rows}
    assert seen == there
    for rows, w in problem.batches:
        assert np.array_equal(w, weight[rows])
    assert result.periods == 12


def test_a_batch_of_all_samples_is_plain_training():
    plain = train(batch=None, every=None)
    for size in (N, N + 1, 10**9):
        assert same_result(train(batch=size), plain)
    few = np.where(np.arange(N) < 9, 1.0, 0.0)
    weighted = {"sample_weight": few, "batch": 9}
    assert same_result(train(**weighted), train(**{**weighted, "batch": None, "every": None}))


def test_pairs_of_samples_and_targets_stay_together():
    class Labelled(Regression):
        def value_and_gradient(self, theta, x, y):
            return super().value_and_gradient(theta, np.column_stack([x, y]))

    pair = MANY[:, :-1].copy(), MANY[:, -1].copy()
    result = refode.train(
        Labelled(noise=1.0, bend=0.3), *pair, batch=20, every=4, max_iter=45, seed=1, progress=False
    )
    assert same_history(result.history, train().history)
    lists = [part.tolist() for part in pair]
    again = refode.train(
        Labelled(noise=1.0, bend=0.3), *map(np.array, lists), seed=1, batch=20, progress=False
    )
    assert again.nit > 0


# --- the run ----------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_history_is_that_of_the_run(method):
    seen, problem = Watching(), Weighted(bend=0.3)
    result = train(problem, method=method, validation=HELD_OUT, callback=seen, max_iter=18)
    history = result.history
    assert history.dtype == training.RESAMPLED
    batches = Batches(Samples((MANY,)), 20, 1)
    thetas = [problem.initial(1), *(row["x"] for row in seen)]
    for row in history:
        theta = thetas[row["iteration"]]
        value, gradient = problem.value_and_gradient(theta, *batches.period(row["period"]).arrays)
        assert row["value"] == value
        assert row["gradient_norm"] == pytest.approx(np.linalg.norm(gradient))
        assert row["validation"] == problem.value(theta, HELD_OUT)
    starts = history[np.append(True, np.diff(history["period"]) > 0)]
    assert (starts["iteration"] % 4 == 0).all() or method != "lbfgs"
    assert list(starts["period"]) == list(range(result.periods))
    assert [row["period"] for row in seen] == list(
        history["period"][np.append(False, np.diff(history["iteration"]) > 0)]
    )
    best = history[np.argmin(history["validation"])]
    assert (result.best_iteration, result.fun) == (best["iteration"], best["value"])


def test_a_theta_is_validated_once():
    problem = Weighted(bend=0.3)
    result = train(problem, validation=HELD_OUT)
    assert problem.count["test"] == result.nit + 1 < len(result.history)


def test_fun_is_on_the_batch_of_x():
    result = train()
    x = Batches(Samples((MANY,)), 20, 1).period(result.periods - 1).arrays[0]
    value, gradient = Weighted(bend=0.3).value_and_gradient(result.x, x)
    assert result.fun == value
    assert np.array_equal(result.jac, gradient)


def test_curvature_goes_along(monkeypatch):
    """Measured without noise, when batches agree on the minimum: 140 iterations, 330 without."""
    problem = Regression(40, 1.5, noise=0.0)
    x = problem.draw(4000, 5)
    options = {"seed": 1, "batch": 2000, "every": 10, "max_iter": 2000, "progress": False}
    kept = refode.train(problem, x, **options)
    monkeypatch.setattr(periods, "curved", lambda s, y: False)
    reset = refode.train(problem, x, **options)
    assert kept.success
    assert reset.success
    assert reset.nit > 1.8 * kept.nit


@pytest.mark.parametrize("method", METHODS[1:])
def test_newton_s_methods_take_theta_itself(method):
    """Measured: 25 and 15 iterations; in other variables products would be of no use."""
    x = np.copy(MANY)
    x[:, -1] = 0.0
    result = train(Weighted(bend=0.3), x, method=method, every=2, max_iter=500)
    assert result.success
    assert result.nit < 60


def test_it_ends_where_no_batch_of_a_pass_has_anything_to_gain():
    """Noise-free samples have one minimum in common; one batch alone says nothing of the others."""
    x = np.copy(MANY)
    x[:, -1] = 0.0
    result = train(Weighted(), x, max_iter=5000)
    assert (result.status, result.success) == (training.CONVERGED, True)
    assert np.allclose(result.x, 1.0, atol=1e-3)
    gradient = Weighted().value_and_gradient(result.x, x)[1]
    assert np.abs(gradient).max() <= 1e-6
    last = result.history["iteration"]
    assert (last == result.nit).sum() == 1 + 7  # an end, and two passes but one of starts alone


def test_a_batch_that_has_converged_is_not_the_end():
    x = np.copy(MANY)
    theta0 = np.ones(12)
    x[:, -1] = 0.0
    x[33, -1] = 1.0  # the one sample that is not at its minimum
    result = train(Weighted(), x, theta0=theta0, batch=4, max_iter=100)
    assert result.nit == 100
    starts = result.history[result.history["iteration"] == 0]
    assert 1 < len(starts) <= 16


def each_its_own(offsets):
    """A sample for each entry of theta, that alone reads it: a batch of one concerns no other."""
    x = np.eye(len(offsets), 13)
    x[:, -1] = offsets
    return x


def test_batches_that_have_converged_between_others_are_not_the_end():

    class Quartic(Regression):  # slow to converge
        def value_and_gradient(self, theta, x):
            residual = x[:, :-1] @ (theta - 1.0)
            return 0.25 * (residual**4).mean(), residual**3 @ x[:, :-1] / len(x)

    theta0 = np.ones(12)
    theta0[5] = 30.0
    options = {"theta0": theta0, "batch": 1, "every": 1, "max_iter": 400}
    result = train(Quartic(), each_its_own(np.zeros(12)), **options)
    assert result.success
    assert result.periods > 12 * 4  # in each pass eleven have nothing to gain
    assert abs(result.x[5] - 1.0) < 1e-2


@pytest.mark.parametrize("memory", [1, 20])
def test_batches_that_contradict_each_other_are_never_the_end(memory):
    """Two samples want different values of one entry; the others are content."""
    x = np.vstack([each_its_own(np.zeros(12)), each_its_own(np.full(12, 0.37))[3]])
    options = {"theta0": np.ones(12), "batch": 1, "every": 50, "max_iter": 100, "memory": memory}
    result = train(Weighted(), x, **options)
    assert (result.nit, result.status) == (100, training.MAX_ITER)


@pytest.mark.parametrize("method", METHODS)
def test_where_rounding_ends_every_batch_it_ends(method):
    x = np.copy(MANY)
    x[:, -1] = 0.0
    result = train(Weighted(), x, method=method, tolerance=0.0, max_iter=4000, every=50)
    assert result.nit < 4000
    assert result.status in (0, 2, 3)
    assert np.allclose(result.x, 1.0, atol=1e-4)


def test_the_callback_patience_and_progress(capfd, monkeypatch):
    monkeypatch.setattr(training.progress, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(training.progress, "SHARE_OF_TERMS", 1e9)
    assert train(callback=lambda r: (r.period, r.iteration) == (2, 10)).nit == 10
    result = train(Weighted(), validation=HELD_OUT, patience=5, max_iter=400, progress=True)
    assert (result.status, result.nit) == (training.PATIENCE, result.best_iteration + 5)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == len(result.history) + 1
    for line, row in zip(lines, result.history, strict=False):
        assert line.startswith(f"period {row['period']}  iteration")
        assert f"  validation {row['validation']:.4e}" in line


@pytest.mark.parametrize("event", [KeyboardInterrupt(), "value", ZeroDivisionError("here")])
@pytest.mark.filterwarnings("ignore:ZeroDivisionError:RuntimeWarning")
def test_broken_off_the_best_of_the_batch_comes_back(event):
    for k in (2, 7, 20):
        result = train(Weighted(bend=0.3, events={k: event}))
        ended = {KeyboardInterrupt: 11, str: 12, ZeroDivisionError: 13}[type(event)]
        assert result.status == ended
        own = result.history["value"][result.history["period"] == result.periods - 1]
        assert result.fun <= own.min()
        held = train(Weighted(bend=0.3, events={k: event}), validation=HELD_OUT)
        assert held.validation == held.history["validation"].min()


def test_the_bits_do_not_depend_on_threads(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((700, 2)), rng.integers(0, 2, 700)
    problem = refode.Supervised(refode.NeuralODE(refode.fields.Affine(2), n_steps=2))
    results = []
    for threads in ("1", "2"):
        monkeypatch.setenv("REFODE_NUM_THREADS", threads)
        results.append(
            refode.train(
                problem, x, y, batch=300, every=3, max_iter=9, validation=(x, y), progress=False
            )
        )
    assert same(*results)


# --- checkpoints ------------------------------------------------------------


@pytest.mark.parametrize("weight", [None, WEIGHTS])
def test_resumed_to_the_same_bits(weight, tmp_path):
    options = {"sample_weight": weight, "validation": HELD_OUT, "max_iter": 14, "terms": True}
    whole = train(**options)
    for k in range(2, whole.nfev, 7):
        path = tmp_path / f"{k}.npz"
        train(Weighted(bend=0.3, events={k: KeyboardInterrupt()}), checkpoint=path, **options)
        problem = Weighted(bend=0.3)
        assert same(train(problem, checkpoint=path, resume=True, **options), whole)
        assert problem.count["value"] < whole.nfev - (k - 1) + 3


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"batch": 21}, r"batch \(there 20, here 21\)"),
        ({"every": 5}, r"every \(there 4, here 5\)"),
        ({"batch": N}, r"batch \(there 20, here None\)"),
        ({"x": MANY + np.eye(N, 13)[::-1]}, r"x \(there '<f8\(61, 13\) "),
        ({"sample_weight": WEIGHTS}, r"sample_weight \(there None"),
        ({"seed": 2, "theta0": Weighted().initial(1)}, r"seed_of_batches \(there 1, here 2\)"),
    ],
)
def test_another_run_is_refused(change, named, tmp_path):
    options = {"checkpoint": tmp_path / "run.npz", "max_iter": 6}
    train(**options)
    with pytest.raises(ValueError, match=f"^checkpoint: got .* differs in .*{named}"):
        train(**{**options, **change}, resume=True)


# --- bad input --------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"batch": 0}, ValueError, "batch: got 0"),
        ({"batch": 8.0}, TypeError, "batch: got 8.0"),
        ({"batch": True}, TypeError, "batch: got True"),
        ({"every": 0}, ValueError, "every: got 0"),
        ({"every": 2.5}, TypeError, "every: got 2.5"),
        ({"batch": None}, ValueError, "every: got 4 without batch or adapt, wanted one"),
        ({"x": 3.0}, ValueError, r"x: got an array of shape \(\), wanted samples along its first"),
    ],
)
def test_bad_input_is_named(change, error, message):
    with pytest.raises(error, match=f"^{message}"):
        train(**change)


def test_what_no_batch_may_have_is_refused_before_the_first():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 2)), rng.integers(0, 2, 40)
    problem = refode.Supervised(refode.NeuralODE(refode.fields.Affine(2), n_steps=2))
    chosen = Batches(Samples((x, y)), 10, 0).chosen(3)[0]
    bad_x, bad_y = x.copy(), y.copy()
    bad_x[chosen, 1], bad_y[chosen] = np.nan, 2
    for data, error, message in [
        ((bad_x, y), ValueError, f"x: got nan at index .{chosen}, 1."),
        ((x, bad_y), ValueError, f"y: got 2 at index {chosen}, wanted labels"),
        ((x, y[:-1]), ValueError, "y: got 39 rows, wanted 40 as x has, for batches"),
    ]:
        with pytest.raises(error, match=f"^{message}"):
            refode.train(problem, *data, batch=10, progress=False)
