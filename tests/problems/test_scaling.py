"""Shifts and scales of data, and problems that have them: who they are, how they train."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from contract import close, same

import refode
from refode import fields, games
from refode.densities import Gaussian
from refode.problems.scaling import Scaling


# --- scalings --------------------------------------------------------------------------------
@pytest.mark.nojit
def test_means_and_deviations_are_those_of_the_data():
    x = np.array([[1.0, 0.1, 1e9 - 1, 1e200], [3.0, 0.1, 1e9 + 1, -1e200], [5.0, 0.1, 1e9, 1e200]])
    scaling = Scaling.of("x", x)
    close(scaling.shift, [3.0, 0.1, 1e9, 1e200 / 3], 1e-15)
    close(scaling.scale, [np.sqrt(8 / 3), 1.0, np.sqrt(2 / 3), 1e200 * np.sqrt(8) / 3], 1e-15)
    same(scaling.apply("x", x)[:, 1], np.zeros(3))  # 3 * 0.1 / 3 is not 0.1
    close(scaling.undo(scaling.apply("x", x)), x, 1e-15)
    tiny = Scaling.of("x", np.array([[5e-324, 1e-310], [0.0, -1e-310]]))
    assert (tiny.scale > 0.0).all()


@pytest.mark.nojit
def test_one_sample_is_shifted_alone():
    same(Scaling.of("x", np.array([[4.0, -2.0]])).scale, np.ones(2))


@pytest.mark.nojit
def test_a_scaling_cannot_be_changed_and_survives_copies():
    given = np.array([1.0, 2.0])
    scaling = Scaling(given, [3.0, 0.1])
    given[0] = 7.0
    assert repr(scaling) == "Scaling(shift=[1.0, 2.0], scale=[3.0, 0.1])"
    assert eval(repr(scaling)) == scaling
    for other in (scaling, pickle.loads(pickle.dumps(scaling)), copy.deepcopy(scaling)):
        assert other == scaling
        assert hash(other) == hash(scaling)
        with pytest.raises(ValueError, match="read-only"):
            other.shift[0] = 0.0
        with pytest.raises(AttributeError, match=r"^scale: got 1\.0 for a Scaling that exists"):
            other.scale = 1.0
    assert scaling != Scaling([1.0, 2.0], [3.0, np.nextafter(0.1, 1)])


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.0], [0.0]), r"^scale: got 0\.0, wanted numbers > 0"),
        (([0.0], [-1.0]), r"^scale: got -1\.0, wanted numbers > 0"),
        (([0.0, 1.0], [1.0]), r"^scale: got an array of shape \(1,\), wanted \(2,\)"),
        (([np.nan], [1.0]), r"^shift: got nan"),
    ],
)
def test_scalings_that_there_are_not(arguments, message):
    with pytest.raises(ValueError, match=message):
        Scaling(*arguments)


# --- who a standardised problem is -------------------------------------------------------------
ODE = refode.NeuralODE(fields.Shallow(2, 3))


X = np.array([[1e4, 1e-2], [2e4, 3e-2], [4e4, -1e-2], [0.0, 2e-2]])


Y = np.array([150.0, 151.0, 152.0, 149.0])


@pytest.mark.nojit
def test_repr_fingerprint_and_pickles_have_the_scalings():
    plain = refode.Supervised(ODE, "regression")
    problem = plain.standardized(X, Y)
    assert repr(plain) in repr(problem).replace(
        f", x_scaling={problem.x_scaling!r}, y_scaling={problem.y_scaling!r}", ""
    )
    flow = refode.ContinuousNormalizingFlow(ODE).standardized(X)
    assert repr(flow).endswith(f", y_scaling={flow.y_scaling!r})")
    for made in (problem, flow):
        again = pickle.loads(pickle.dumps(made))
        assert again.scalings == made.scalings
        assert again.fingerprint() == made.fingerprint()
    other = plain.standardized(X, Y + 1.0)
    assert other.fingerprint() != problem.fingerprint() != plain.fingerprint()
    assert other.standardized(X, Y).fingerprint() == problem.fingerprint()  # in place of the old


@pytest.mark.nojit
def test_a_fingerprint_tells_what_a_long_repr_leaves_out():
    plain = refode.Supervised(refode.NeuralODE(fields.Shallow(9, 1)), "regression")
    x = np.random.default_rng(0).standard_normal((4, 9))
    other = x.copy()
    other[:, 6] *= 2.0
    one, two = plain.standardized(x), plain.standardized(other)
    assert repr(one) == repr(two)
    assert one.fingerprint() != two.fingerprint()


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.standardized(np.ma.masked_array(X, X > 3e4)), r"^x: got a masked array"),
        (lambda p: p.standardized(np.where(X > 3e4, np.nan, X)), r"^x: got nan at index \(2, 0\)"),
        (lambda p: p.standardized(X[:, :1]), r"^x: got an array of shape \(4, 1\)"),
        (lambda p: p.standardized(X, Y[:3]), r"^y: got an array of shape \(3,\)"),
        (lambda p: p.standardized(X, [np.nan, 1, 2, 3]), r"^y: got nan at index 0"),
        (
            lambda p: p.standardized(X).predict(p.initial(), 1e308 * np.ones((1, 2))),
            r"^x: got 1e\+308 at index \(0, 1\), which is too many of the scale",
        ),
        (
            lambda p: refode.Supervised(ODE, "regression", x_scaling=Scaling([0.0], [1.0])),
            r"^x_scaling: got one of 1 columns, wanted 2",
        ),
        (
            lambda p: refode.Supervised(ODE, y_scaling=Scaling([0.0], [1.0])),
            r"^y_scaling: got one with loss='logistic', wanted 'regression'",
        ),
        (
            lambda p: refode.ContinuousNormalizingFlow(ODE, y_scaling=1.0),
            r"^y_scaling: got 1\.0 \(float\), wanted an instance of Scaling",
        ),
        (lambda p: _game().standardized(X), r"^problem: got a MeanFieldGame, whose densities and"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(refode.Supervised(ODE, "regression"))


def _game():
    normal = Gaussian([0.0, 0.0], 1.0)
    game = games.optimal_transport(normal, normal, alpha=1.0, terminal=1.0)
    return refode.MeanFieldGame(fields.Potential(2, 4), game)


# --- training ----------------------------------------------------------------------------------
def test_features_of_scales_1e4_and_1e_minus_2_train():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((300, 2))
    x, y = 1e5 + z * [1e4, 1e-2], (z[:, 0] * z[:, 1] > 0.0).astype(int)
    problem = refode.Supervised(refode.NeuralODE(fields.Shallow(2, 8))).standardized(x, y)
    result = refode.train(problem, x, y, max_iter=60, progress=False)
    assert result.status in (0, 1), result.message
    assert result.fun < 0.2
    assert (problem.predict_label(result.x, x) == y).mean() > 0.93


def test_a_target_of_mean_150_is_learned():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((300, 2)) * [1e4, 1e-2] + [3e4, 0.0]
    y = 150.0 + 30.0 * np.sin(x[:, 0] / 1e4) + 20.0 * rng.standard_normal(300)
    problem = refode.Supervised(refode.NeuralODE(fields.Shallow(2, 8)), "regression")
    problem = problem.standardized(x, y)
    result = refode.train(problem, x, y, max_iter=60, progress=False)
    assert problem.score(result.x, x, y) > 0.3  # half of the variance is noise
    assert abs(problem.residuals(result.x, x, y).mean()) < 5.0


def test_the_diabetes_data_are_learned():
    """Raw: R^2 0.04, as the mean of 152 is all that is learned."""
    sets = pytest.importorskip("sklearn.datasets")
    x, y = sets.load_diabetes(return_X_y=True, scaled=False)
    ode = refode.NeuralODE(fields.Shallow(10, 8))
    problem = refode.Supervised(ode, "regression", tikhonov=0.01).standardized(x, y)
    result = refode.train(problem, x[::2], y[::2], max_iter=60, progress=False)
    assert problem.score(result.x, x[1::2], y[1::2]) > 0.3


def test_checkpoints_know_the_scaling(tmp_path):
    plain, file = refode.Supervised(ODE, "regression"), tmp_path / "run.npz"
    problem = plain.standardized(X, Y)
    first = refode.train(problem, X, Y, max_iter=2, progress=False, checkpoint=file)
    assert first.nit == 2
    whole = refode.train(problem, X, Y, max_iter=6, progress=False)
    resumed = refode.train(
        pickle.loads(pickle.dumps(problem)),
        X,
        Y,
        max_iter=6,
        progress=False,
        checkpoint=file,
        resume=True,
    )
    same(resumed.x, whole.x)
    for other in (plain, plain.standardized(X, Y + 1.0)):
        with pytest.raises(ValueError, match="the run of which differs in problem"):
            refode.train(other, X, Y, progress=False, checkpoint=file, resume=True)


def test_levels_and_redrawn_samples():
    plain = refode.Supervised(ODE, "regression")
    problem = plain.standardized(X, Y)
    scaled = (X - X.mean(axis=0)) / X.std(axis=0), (Y - Y.mean()) / Y.std()
    levels = [problem.with_steps(2), problem.with_steps(4)]
    result = refode.train_multilevel(levels, X, Y, max_iter=3, progress=False)
    wanted = refode.train_multilevel(
        [plain.with_steps(2), plain.with_steps(4)], *scaled, max_iter=3, progress=False
    )
    close(result.x, wanted.x, 1e-9)
    with pytest.raises(ValueError, match=r"^problems\[1\] after problems\[0\]: fine: got a Sup"):
        refode.train_multilevel([problem.with_steps(2), plain], X, Y, progress=False)
    again = refode.train_resampled(
        problem,
        lambda n, seed: (X[:n], Y[:n]),
        n_samples=4,
        every=2,
        max_iter=4,
        progress=False,
        validation_samples=(X, Y),
    )
    close(again.validation, problem.value(again.x, X, Y), 1e-13)
