"""Checkpoints load as models: the problem, and the best theta of the run."""

from __future__ import annotations

import re

import numpy as np
import pytest
from saved_models import Linear
from saved_runs import Bowl, Some, X, Y, supervised, trained

import refode
from refode import fields
from refode.training import read_checkpoint


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.npz"


def test_a_checkpoint_is_a_model(path):
    problem = supervised().standardized(X, Y)
    result = trained(path, problem, X, Y)
    model = refode.load(path)
    assert model.problem.fingerprint() == problem.fingerprint()
    assert model.theta.tobytes() == result.x.tobytes() == read_checkpoint(path).x.tobytes()
    assert model.problem.value_and_gradient(model.theta, X, Y)[0] == result.fun
    resumed = trained(path, model.problem, X, Y, resume=True)  # by what was loaded
    assert resumed.x.tobytes() == result.x.tobytes()


def test_levels_and_redrawn_samples_have_it_too(tmp_path):
    problem = supervised()
    finer = supervised()
    refode.train_multilevel(
        [problem, finer.with_steps(4)],
        X,
        Y,
        max_iter=1,
        progress=False,
        checkpoint=tmp_path / "levels.npz",
    )
    files = sorted(tmp_path.iterdir())
    assert [refode.load(file).problem.ode.n_steps for file in files] == [2, 4]
    game = refode.games.optimal_transport(
        refode.densities.Gaussian([0.0], 1.0), refode.densities.Gaussian([1.0], 0.5)
    )
    played = refode.MeanFieldGame(fields.Potential(1, 2), game)
    refode.train_resampled(
        played,
        n_samples=8,
        every=1,
        max_iter=2,
        progress=False,
        checkpoint=tmp_path / "redrawn.npz",
    )
    assert repr(refode.load(tmp_path / "redrawn.npz").problem) == repr(played)


def test_what_is_from_outside_is_asked_for(path):
    trained(path, supervised(Linear(2, 0.5)), X, Y)
    with pytest.raises(ValueError, match=r"^fields: got nothing, wanted .*'Linear', which was L"):
        refode.load(path)
    made = refode.load(path, {"Linear": Linear(2, 0.5)}).problem
    assert isinstance(made.ode.field, Linear)


@pytest.mark.parametrize("problem", [Bowl(), Some()])
def test_problems_of_ones_own_are_trained_and_not_loaded(path, problem):
    result = trained(path, problem, X, theta0=np.zeros(3))
    with pytest.raises(ValueError, match="a problem of one's own, which nobody can write into"):
        refode.load(path)
    assert read_checkpoint(path).x.tobytes() == result.x.tobytes()


def test_former_checkpoints_are_refused_with_the_reason(path):
    result = trained(path, supervised(), X, Y)
    with np.load(path) as archive:
        members = {n: a for n, a in archive.items() if n != "description" and n[:5] != "array"}
    with open(path, "wb") as file:
        np.savez(file, **{**members, "format": np.array("refode training 1")})
    message = (
        rf"^path: got {re.escape(repr(str(path)))}, .* \(it is a checkpoint of a refode before"
    )
    with pytest.raises(ValueError, match=message):
        refode.load(path)
    assert read_checkpoint(path).x.tobytes() == result.x.tobytes()


def test_a_checkpoint_with_a_damaged_description_is_refused(path):
    trained(path, supervised(), X, Y)
    with np.load(path) as archive:
        members = dict(archive)
    for bad in ("{}", "[", 'x"'):
        with open(path, "wb") as file:
            np.savez(file, **{**members, "description": np.array(bad)})
        with pytest.raises(ValueError, match=r"^path: got .*, which cannot be read as a model"):
            refode.load(path)


def test_a_problem_that_no_file_can_hold_is_trained_all_the_same(path, monkeypatch):
    monkeypatch.setattr("refode.saving.describe.LONGEST", 10)
    result = trained(path, supervised(), X, Y)
    assert read_checkpoint(path).fun == result.fun
