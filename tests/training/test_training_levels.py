"""Levels that differ in samples and steps: every level on its own samples."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances as tol
from training_problems import Regression, same_result

import refode
from refode import training
from refode.packing import Layout

SIZES = (20, 80, 320)
SAMPLES = [Regression().draw(n, n) for n in SIZES]


def train(problems, x, y=None, **options):
    options = {"progress": False, "max_iter": 8, "seed": 1, **options}
    return refode.train_multilevel(problems, x, y, **options)


def regressions(bends=(0.3, 0.2, 0.1)):
    return [Regression(bend=bend) for bend in bends]


def test_every_level_has_its_own_samples():
    for samples in (SAMPLES, tuple(SAMPLES)):
        result = train(regressions(), samples)
        theta = Regression().initial(1)
        for problem, x, level in zip(regressions(), SAMPLES, result.levels, strict=True):
            alone = refode.train(problem, x, theta0=theta, max_iter=8, progress=False)
            assert same_result(level, alone)
            theta = alone.x
        assert result.x.tobytes() == theta.tobytes()


def test_one_array_is_for_all_levels():
    result = train(regressions(), SAMPLES[1])
    lists = train(regressions(), [SAMPLES[1]] * 3)
    assert same_result(result, lists)
    assert all(same_result(a, b) for a, b in zip(result.levels, lists.levels, strict=True))


def test_targets_by_level_or_for_all():
    ode = refode.NeuralODE(refode.fields.Shallow(dim=2, width=3), n_steps=1)
    problems = [refode.Supervised(refode.NeuralODE(ode.field, n_steps=n)) for n in (1, 3)]
    rng = np.random.default_rng(0)
    x = [rng.standard_normal((n, 2)) for n in (10, 30)]
    y = [(samples[:, 0] > 0).astype(int) for samples in x]
    result = train(problems, x, y)
    first = refode.train(problems[0], x[0], y[0], seed=1, max_iter=8, progress=False)
    assert same_result(result.levels[0], first)
    second = refode.train(problems[1], x[1], y[1], theta0=first.x, max_iter=8, progress=False)
    assert same_result(result.levels[1], second)  # more steps: theta as it is
    assert same_result(train(problems, [x[0], x[0]], y[0]), train(problems, x[0], y[0]))


def test_resumed_with_samples_by_level(tmp_path):
    path = tmp_path / "run.npz"
    whole = train(regressions(), SAMPLES)
    broken = regressions()
    broken[1].events[4] = KeyboardInterrupt()
    train(broken, SAMPLES, checkpoint=path)
    result = train(regressions(), SAMPLES, checkpoint=path, resume=True)
    assert same_result(result, whole)
    with pytest.raises(ValueError, match="level1.npz', the run of which differs in x "):
        train(regressions(), [SAMPLES[0], SAMPLES[2], SAMPLES[2]], checkpoint=path, resume=True)


# --- problems without an ode -----------------------------------------------------------------


def with_layout(p, **shapes):
    problem = Regression(p)
    problem.layout = Layout(shapes)
    return problem


def test_theta_is_copied_where_the_parameters_agree():
    theta = np.arange(12.0)
    for pair in (
        (Regression(), Regression()),
        (with_layout(12, K=(3, 4)), with_layout(12, K=(3, 4))),
        [refode.NeuralODE(refode.fields.Affine(dim=3), n_steps=n) for n in (1, 2)],
    ):
        finer = training.prolong(theta, *pair)
        assert finer.tobytes() == theta.tobytes()
        assert not np.shares_memory(finer, theta)


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        (Regression(13), ValueError, "fine: got the parameters 13, wanted 12"),
        (object(), TypeError, "fine: got object, wanted a problem with a NeuralODE, or with n_par"),
        (with_layout(12, K=(4, 3)), ValueError, "fine: got the parameters Layout.*, wanted"),
        (refode.NeuralODE(refode.fields.Affine(dim=4)), ValueError, "fine: got the parameters"),
    ],
)
def test_parameters_must_agree(other, error, message):
    coarse = with_layout(12, K=(3, 4)) if hasattr(other, "layout") else Regression()
    with pytest.raises(error, match=f"^{message}"):
        training.prolong(np.ones(12), coarse, other)
    if isinstance(other, Regression):
        with pytest.raises(error, match=rf"^problems\[1\] after problems\[0\]: {message}"):
            train([coarse, other], SAMPLES[0])


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (SAMPLES[:2], None, "x: got a list of 2 arrays, wanted one for 3 problems"),
        ([*SAMPLES[:2], np.ones((3, 4))], None, r"x\[2\]: got an array of shape \(3, 4\), wanted"),
        ([*SAMPLES[:2], np.full((3, 13), np.nan)], None, r"x\[2\]: got nan at index \(0, 0\)"),
        ([*SAMPLES[:2], np.ones((0, 13))], None, r"x\[2\]: got an empty array"),
        (SAMPLES, [1, 2], "y: got a list of 2, wanted one for 3 problems, as x is"),
    ],
)
def test_lists_must_fit(x, y, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        train(regressions(), x, y)


def test_a_list_of_rows_is_one_array():
    """Two samples for two problems, as array_like."""
    field = refode.fields.Shallow(dim=2, width=3)
    problems = [refode.Supervised(refode.NeuralODE(field, n_steps=n)) for n in (1, 2)]
    x, y = [[0.0, 1.0], [2.0, -1.0]], [0, 1]
    result = train(problems, x, y)
    assert same_result(result, train(problems, np.array(x), np.array(y)))
    assert result.level == 1


# --- mean field games ------------------------------------------------------------------------


def test_games_train_on_fresh_samples_and_ever_more_steps():
    densities = refode.densities
    initial = densities.GaussianMixture(
        [0.5, 0.5], [[-2.0, 0.0], [2.0, 0.0]], [0.3 * np.eye(2)] * 2
    )
    game = refode.games.optimal_transport(
        initial, densities.Gaussian(np.zeros(2), 0.3 * np.eye(2)), alpha=2.0, terminal=5.0
    )
    potential = refode.fields.Potential(dim=2, width=4)
    coarse = refode.MeanFieldGame(potential, game, hjb=1.0, hjb_terminal=1.0, n_steps=1)
    problems = [coarse, coarse.with_steps(3)]
    x = [initial.sample(n, seed=n) for n in (50, 100)]
    levels = train(problems, x, terms=True)
    assert levels.history.dtype.names[-6:] == ("L", "F", "G", "hjb", "hjb_terminal", "total")
    start = problems[1].value(levels.levels[0].x, x[1])
    assert levels.levels[1].history["value"][0] == pytest.approx(start, rel=tol.TRAINING_PROLONGED)
    assert levels.fun < start < coarse.value(coarse.initial(1), x[1])

    result = training.train_resampled(
        problems[1],
        n_samples=100,
        every=5,
        max_iter=12,
        theta0=levels.x,
        progress=False,
        validation_samples=200,
    )
    assert list(np.bincount(result.history["period"])) == [6, 6, 3]
    assert result.validation < result.history["validation"][0]
