"""Training on ever finer weights in time: prolongation keeps the function, levels improve it."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tolerances as tol
from training_problems import same_result

import refode
from refode import bases, training

RNG = np.random.default_rng(0)
SAMPLES = RNG.standard_normal((60, 2))
LABELS = (SAMPLES[:, 0] * SAMPLES[:, 1] > 0).astype(int)
FIELD = refode.fields.Shallow(dim=2, width=4)


def ode(basis, n_steps=4, **options):
    return refode.NeuralODE(options.pop("field", FIELD), n_steps=n_steps, basis=basis, **options)


class Watched(refode.Supervised):
    """Counts evaluations, and at the k-th raises, or answers NaN from there on."""

    def __init__(self, ode, happens=None, tikhonov=0.0):
        super().__init__(ode, tikhonov=tikhonov)
        self.k, self.event = happens or (None, None)
        self.seen = []

    @property
    def count(self):
        return len(self.seen)

    def value_and_gradient(self, theta, x, y):
        self.seen.append(theta)
        value, gradient = super().value_and_gradient(theta, x, y)
        if self.k is not None and self.count >= self.k and self.event == "value":
            return float("nan"), gradient
        if self.count == self.k:
            raise self.event
        return value, gradient


def levels(*events, sizes=(1, 2, 4)):
    events = dict(events)
    return [
        Watched(ode(bases.PiecewiseConstant(J)), happens=events.get(i)) for i, J in enumerate(sizes)
    ]


def train(problems, **options):
    options = {"progress": False, "max_iter": 12, "seed": 1, **options}
    return refode.train_multilevel(problems, SAMPLES, LABELS, **options)


# --- prolongation -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coarse", "fine"),
    [
        (bases.Constant(), bases.PiecewiseConstant(4)),
        (bases.Constant(), bases.BSpline(4)),
        (bases.PiecewiseConstant(2), bases.PiecewiseConstant(4)),
        (bases.PiecewiseLinear(2), bases.PiecewiseLinear(3)),
        (bases.PiecewiseLinear(2), bases.Legendre(3)),
        (bases.Legendre(2), bases.Legendre(4)),
        (bases.BSpline(4), bases.BSpline(5)),
    ],
)
def test_prolonged_theta_is_the_same_function(coarse, fine):
    one, other = refode.Supervised(ode(coarse)), refode.Supervised(ode(fine))
    theta = np.random.default_rng(2).standard_normal(one.n_parameters)
    finer = training.prolong(theta, one, other)
    F, F_finer = one.predict(theta, SAMPLES), other.predict(finer, SAMPLES)
    assert np.abs(F - F_finer).max() <= tol.TRAINING_PROLONGED * np.abs(F).max()
    assert one.value(theta, SAMPLES, LABELS) == pytest.approx(
        other.value(finer, SAMPLES, LABELS), rel=tol.TRAINING_PROLONGED
    )
    assert np.ptp(F) > 0.1  # not a constant, which anything prolongs
    for name in ("W", "b"):
        assert np.array_equal(one.unpack(theta)[name], other.unpack(finer)[name])
    z = one.ode.solve(theta[: one.ode.n_parameters], SAMPLES)
    finer_ode = training.prolong(theta[: one.ode.n_parameters], one.ode, other.ode)
    assert np.array_equal(finer_ode, finer[: other.ode.n_parameters])
    assert np.abs(other.ode.solve(finer_ode, SAMPLES) - z).max() <= tol.TRAINING_PROLONGED * 10


def test_prolonging_is_linear_and_takes_names_apart():
    one, other = (refode.Supervised(ode(bases.PiecewiseConstant(J))) for J in (2, 6))
    arrays = {name: np.zeros_like(a) for name, a in one.unpack(one.initial()).items()}
    arrays["W1"][1] = 3.0
    arrays["b"][:] = 2.0
    finer = other.unpack(training.prolong(one.pack(arrays), one, other))
    assert np.array_equal(finer["W1"], np.repeat(arrays["W1"], 3, axis=0))
    assert (finer["b"] == 2.0).all()
    assert all(not finer[name].any() for name in ("W0", "b0", "b1", "W"))


# --- the levels -------------------------------------------------------------------------------


def test_each_level_starts_where_the_last_ended_and_gets_further():
    problems = levels()
    result = train(problems, max_iter=[12, 8, 9])
    parts = result.levels
    assert [part.nit for part in parts] == [12, 8, 9]
    assert [problem.count for problem in problems] == [part.nfev for part in parts]
    for before, after in zip(parts, parts[1:], strict=False):
        start = after.history["value"][0]
        assert start == pytest.approx(before.fun, rel=tol.TRAINING_PROLONGED)
        assert after.fun < 0.98 * start
    assert result.level == 2
    assert result.x.shape == (problems[-1].n_parameters,)
    assert result.fun == pytest.approx(problems[-1].value(result.x, SAMPLES, LABELS))
    assert result.message.startswith("max_iter reached, at iteration 9 ")


def test_a_level_is_training_from_the_prolonged_theta():
    problems = levels()
    result = train(problems)
    options = {"progress": False, "max_iter": 12}
    first = refode.train(problems[0], SAMPLES, LABELS, seed=1, **options)
    assert same_result(result.levels[0], first)
    theta0 = training.prolong(first.x, problems[0], problems[1])
    second = refode.train(problems[1], SAMPLES, LABELS, theta0=theta0, **options)
    assert same_result(result.levels[1], second)


def test_histories_are_joined():
    result = train(levels())
    history, parts = result.history, result.levels
    assert history.dtype.names == ("level", *training.HISTORY.names)
    assert len(history) == sum(part.nit + 1 for part in parts)
    assert (np.diff(history["seconds"]) >= 0).all()
    assert history["seconds"][-1] == pytest.approx(sum(p.history["seconds"][-1] for p in parts))
    for level, part in enumerate(parts):
        rows = history[history["level"] == level]
        for name in ("iteration", "value", "gradient_norm", "evaluations", "products"):
            assert np.array_equal(rows[name], part.history[name])
    assert history["value"][-1] == result.fun


def test_theta0_callback_progress_and_more_steps(capfd):
    problems = [refode.Supervised(ode(bases.PiecewiseConstant(J), n_steps=J)) for J in (2, 4)]
    theta0, seen = problems[0].initial(7), []
    result = refode.train_multilevel(
        problems,
        SAMPLES,
        LABELS,
        theta0=theta0,
        max_iter=3,
        callback=lambda r: seen.append((r.level, r.iteration)),
    )
    assert seen == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]
    assert result.history["value"][0] == problems[0].value_and_gradient(theta0, SAMPLES, LABELS)[0]
    lines = capfd.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["level 1/2"] * 3 + ["level 2/2"] * 3
    assert result.message in lines[-1]


# --- broken off -------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("event", [KeyboardInterrupt(), "value"])
def test_broken_off_within_a_level(level, event):
    problems = levels((level, (6, event)))
    result = train(problems)
    status = training.NON_FINITE if event == "value" else training.INTERRUPTED
    assert (result.level, result.status, result.success) == (level, status, False)
    assert len(result.levels) == level + 1
    assert result.x.shape == (problems[level].n_parameters,)
    assert problems[level + 1].count == 0


@pytest.mark.parametrize(
    ("event", "status", "reason"),
    [
        (KeyboardInterrupt(), training.INTERRUPTED, "interrupted by Ctrl-C, at the start of lev"),
        ("value", training.FAILED, "ValueError: theta0: got a start where the value is nan"),
        (OverflowError("x"), training.FAILED, "OverflowError: x, at the start of level 1"),
    ],
)
@pytest.mark.parametrize("tolerance", [1e-6, 1.0])  # unfinished and converged before
@pytest.mark.filterwarnings("ignore:.*at the start of level 1:RuntimeWarning")
def test_broken_off_at_a_finer_level_s_first_evaluation(event, status, reason, tolerance):
    good, result = (
        train(levels(*events), tolerance=tolerance) for events in ((), [(1, (1, event))])
    )
    assert good.levels[0].success == (tolerance == 1.0)
    assert (result.level, result.status, result.success) == (0, status, False)
    assert result.x.tobytes() == good.levels[0].x.tobytes()
    assert result.fun == good.levels[0].fun
    assert result.message.startswith(reason)
    assert result.message.endswith("at the start of level 1; x is of the level before")


def test_the_callback_ends_all_levels():
    result = train(levels(), callback=lambda r: (r.level, r.iteration) == (1, 2))
    assert (result.level, result.nit, result.status) == (1, 2, training.STOPPED)


def test_the_first_level_s_start_must_be_finite():
    with pytest.raises(ValueError, match="^theta0: got a start where the value is nan"):
        train(levels((0, (1, "value"))))
    with pytest.raises(KeyboardInterrupt):
        train(levels((0, (1, KeyboardInterrupt()))))


# --- checkpoints ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "k"), [(0, 2), (0, 7), (1, 1), (1, 2), (1, 7), (2, 1), (2, 2), (2, 7)]
)
def test_resumed_to_the_same_bits(level, k, tmp_path):
    path = tmp_path / "run.npz"
    whole = train(levels())
    train(levels((level, (k, KeyboardInterrupt()))), checkpoint=path)
    written = level + (k > 1)
    assert sorted(os.listdir(tmp_path)) == [f"run-level{i}.npz" for i in range(written)]
    problems = levels()
    result = train(problems, checkpoint=path, resume=True)
    assert same_result(result, whole)
    assert all(same_result(a, b) for a, b in zip(result.levels, whole.levels, strict=True))
    assert sum(p.count for p in problems[:level]) == 2 * level  # these were only checked


def test_files_of_an_older_run_are_outdated(tmp_path):
    path = tmp_path / "run.npz"
    train(levels(), checkpoint=path, seed=2)
    with pytest.raises(ValueError, match="^theta0"):  # it never began: nothing is touched
        train(levels((0, (1, "value"))), checkpoint=path)
    assert len(os.listdir(tmp_path)) == 3
    train(levels((0, (5, KeyboardInterrupt()))), checkpoint=path)
    assert os.listdir(tmp_path) == ["run-level0.npz"]
    assert same_result(train(levels(), checkpoint=path, resume=True), train(levels()))


def test_resume_needs_the_first_level_and_the_same_run(tmp_path):
    path = tmp_path / "run.npz"
    with pytest.raises(FileNotFoundError, match="^checkpoint: got '.*run-level0.npz'"):
        train(levels(), checkpoint=path, resume=True)
    train(levels(), checkpoint=path)
    with pytest.raises(ValueError, match="run-level0.npz', the run of which differs in seed"):
        train(levels(), checkpoint=path, resume=True, seed=5)
    with pytest.raises(ValueError, match="run-level1.npz', the run of which differs in problem"):
        train(levels(sizes=(1, 3)), checkpoint=path, resume=True)
    changed = levels()
    changed[1] = Watched(changed[1].ode, tikhonov=1e-3)  # repr does not show it
    with pytest.raises(ValueError, match="run-level1.npz', but the problem no longer answers"):
        train(changed, checkpoint=path, resume=True)


# --- bad input --------------------------------------------------------------------------------

SHALLOW = refode.Supervised(ode(bases.PiecewiseConstant(2)))


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        (
            ode(bases.PiecewiseConstant(4), field=refode.fields.Shallow(dim=2, width=5)),
            ValueError,
            "fine: got the field Shallow",
        ),
        (
            ode(bases.PiecewiseConstant(4), t_span=(0.0, 2.0)),
            ValueError,
            r"fine: got the t_span \(0.0, 2.0\), wanted \(0.0, 1.0\)",
        ),
        (ode(bases.PiecewiseConstant(1)), ValueError, "finer: got PiecewiseConstant"),
        (ode(bases.PiecewiseConstant(4)), ValueError, "fine: got NeuralODE.*, wanted the readout"),
        (
            refode.Supervised(ode(bases.PiecewiseConstant(4)), loss="regression", n_outputs=2),
            ValueError,
            "fine: got Supervised.*, wanted the readout of",
        ),
        (object(), TypeError, "fine: got object, wanted a problem with a NeuralODE"),
    ],
)
def test_problems_must_follow_one_another(other, error, message):
    if isinstance(other, refode.NeuralODE) and "readout" not in message:
        other = refode.Supervised(other)
    with pytest.raises(error, match=f"^{message}"):
        training.prolong(SHALLOW.initial(), SHALLOW, other)
    if not isinstance(other, refode.Supervised):
        other = object()
        message = "problem: got object without a method value_and_gradient"
        error = TypeError
    else:
        message = r"problems\[1\] after problems\[0\]: " + message
    with pytest.raises(error, match=f"^{message}"):
        train([SHALLOW, other])


def test_prolong_checks_theta():
    with pytest.raises(ValueError, match="^theta: got an array of shape"):
        training.prolong(np.ones(3), SHALLOW, SHALLOW)
    assert np.array_equal(training.prolong(SHALLOW.initial(), SHALLOW, SHALLOW), SHALLOW.initial())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"problems": []}, ValueError, "problems: got an empty list"),
        ({"problems": SHALLOW}, TypeError, "problems: got Supervised, wanted a list"),
        ({"problems": "ab"}, TypeError, "problems: got str, wanted a list"),
        ({"max_iter": [3]}, ValueError, "max_iter: got 1 numbers, wanted one for 3 problems"),
        ({"max_iter": [3, 0, 1]}, ValueError, r"max_iter\[1\]: got 0"),
        ({"max_iter": 2.0}, TypeError, "max_iter: got 2.0"),
        ({"method": "sgd"}, ValueError, "method: got 'sgd'"),
        ({"callback": 1}, TypeError, "callback: got 1"),
        ({"resume": True}, ValueError, "resume: got True without a checkpoint"),
        ({"resume": 1}, TypeError, "resume: got 1"),
        ({"checkpoint": 1}, TypeError, "checkpoint: got 1, wanted a path"),
        ({"checkpoint": "no/such/run.npz"}, ValueError, "checkpoint: got 'no/such/run-level0.npz'"),
        ({"theta0": np.ones(2)}, ValueError, r"theta0: got an array of shape \(2,\)"),
    ],
)
def test_bad_input_is_named(change, error, message):
    problems = change.pop("problems", None)
    with pytest.raises(error, match=f"^{message}"):
        train(levels() if problems is None else problems, **change)
