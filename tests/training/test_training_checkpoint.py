"""Checkpoints: an interrupted run goes on to the same bits, and another run is refused."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from training_problems import METHODS, Valley, X, Y, same_history, same_result

import refode
from refode import training
from refode.training import checkpoint as files

SEED = 48


def train(problem, path=None, **options):
    options = {"progress": False, "seed": SEED, "checkpoint": path, **options}
    return refode.train(problem, X, Y, **options)


def resumed(path, **options):
    """The result, and what the problem was asked on the way."""
    problem = Valley()
    return train(problem, path, resume=True, **options), problem.count


# --- the same bits ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_interrupted_at_any_evaluation_the_run_ends_at_the_same_bits(method, tmp_path):
    path = tmp_path / "run.npz"
    whole = train(Valley(), method=method)
    for k in (2, 3, 4, *range(5, whole.nfev, 9), whole.nfev):
        broken = train(Valley({("value", k): KeyboardInterrupt()}), path, method=method)
        assert broken.nfev == k - 1
        result, count = resumed(path, method=method)
        assert same_result(result, whole)
        # the rest, and the first and the last call made again to compare
        assert count["value"] - (whole.nfev - (k - 1)) in (1, 2)
        assert count["product"] - (whole.get("nhev", 0) - broken.get("nhev", 0)) in (0, 1)


@pytest.mark.parametrize("method", METHODS[1:])
def test_interrupted_at_any_product_the_run_ends_at_the_same_bits(method, tmp_path):
    path = tmp_path / "run.npz"
    whole = train(Valley(), method=method)
    for k in (1, 2, 3, 4, 7, whole.nhev // 2, whole.nhev):
        train(Valley({("product", k): KeyboardInterrupt()}), path, method=method)
        assert same_result(resumed(path, method=method)[0], whole)


@pytest.mark.parametrize("method", METHODS)
def test_stopped_after_any_iteration_the_run_ends_at_the_same_bits(method, tmp_path):
    """By max_iter, by the callback, by an exception in it, and by a kill that nothing sees."""
    whole = train(Valley(), method=method)
    for k in (1, 2, 3, 10, 11, whole.nit - 1):
        path, killed = tmp_path / f"{k}.npz", tmp_path / f"{k}-killed.npz"

        def callback(intermediate, k=k, path=path, killed=killed):
            if intermediate.iteration == k:
                shutil.copy(path, killed)  # as a power cut would leave it
                if k % 3 == 0:
                    raise ZeroDivisionError
                return k % 3 == 1
            return False

        limit = {"max_iter": k} if k % 3 == 2 else {}
        if k % 3 == 0:
            with pytest.warns(RuntimeWarning, match="ZeroDivisionError"):
                broken = train(Valley(), path, method=method, callback=callback, **limit)
        else:
            broken = train(Valley(), path, method=method, callback=callback, **limit)
        assert broken.nit == k
        assert files.load(path).history[-1]["iteration"] == k
        assert files.load(killed).history[-1]["iteration"] == k - k % 10
        assert same_result(resumed(path, method=method)[0], whole)
        assert same_result(resumed(killed, method=method)[0], whole)


def test_a_run_may_be_interrupted_again_and_again(tmp_path):
    path = tmp_path / "run.npz"
    whole = train(Valley())
    train(Valley({("value", 4): KeyboardInterrupt()}), path)
    for _ in range(5):  # each resumed run makes two calls again, and dies at its ninth
        train(Valley({("value", 9): KeyboardInterrupt()}), path, resume=True)
    assert len(files.load(path).calls) == 3 + 5 * 6
    assert same_result(resumed(path)[0], whole)


@pytest.mark.parametrize("method", METHODS)
def test_a_finished_run_resumed_costs_two_calls_of_each_kind_at_most(method, tmp_path):
    path = tmp_path / "run.npz"
    whole = train(Valley(), path, method=method)
    result, count = resumed(path, method=method)
    assert same_result(result, whole)
    assert count["value"] == 2
    assert count["product"] <= 1
    assert np.array_equal(result.history, whole.history)  # even in seconds


@pytest.mark.parametrize("method", METHODS)
def test_limits_may_change_since_they_only_say_when_to_stop(method, tmp_path):
    path = tmp_path / "run.npz"
    train(Valley(), path, method=method, max_iter=7, tolerance=1e-2)
    for limits in ({"max_iter": 12}, {"tolerance": 1e-5}):
        whole = train(Valley(), method=method, **limits)
        assert same_result(resumed(path, method=method, **limits)[0], whole)
    before = path.read_bytes()
    shorter = train(Valley(), method=method, max_iter=3)
    assert same_result(resumed(path, method=method, max_iter=3)[0], shorter)
    assert path.read_bytes() == before  # what lies beyond is not thrown away


def test_seconds_go_on_and_the_callback_sees_each_iteration_once(tmp_path, monkeypatch):
    path, seen = tmp_path / "run.npz", []
    train(Valley(), path, max_iter=6, callback=lambda r: seen.append(r.iteration))
    half = files.load(path)
    state = half._replace(elapsed=half.elapsed + 1000.0)
    files.save(path, state)
    result, _ = resumed(path, max_iter=15, callback=lambda r: seen.append(r.iteration))
    assert seen == list(range(1, 16))
    assert np.array_equal(result.history[:7], half.history)
    assert result.history["seconds"][7] > 1000.0


def test_progress_of_a_resumed_run_starts_where_it_was(tmp_path, capfd, monkeypatch):
    from refode.training import progress

    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    path = tmp_path / "run.npz"
    train(Valley(), path, max_iter=6)
    train(Valley(), path, max_iter=8, resume=True, progress=True)
    lines = capfd.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines[:-1]] == ["6/8", "7/8", "8/8"]


def test_supervised_training_resumes_to_the_same_bits(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    ode = refode.NeuralODE(refode.fields.Shallow(dim=2, width=4), n_steps=3)
    path = tmp_path / "run.npz"

    def run(problem=None, **options):
        problem = problem or refode.Supervised(ode, smoothness=0.1, tikhonov=1e-3)
        return refode.train(problem, x, y, progress=False, max_iter=25, **options)

    whole = run()
    for k in (1, 10, 17):
        run(checkpoint=path, callback=lambda r, k=k: r.iteration == k)
        assert same_result(run(checkpoint=path, resume=True), whole)
    # repr does not show the penalty; the calls made again do
    with pytest.raises(ValueError, match="no longer answers call"):
        run(refode.Supervised(ode, smoothness=0.1), checkpoint=path, resume=True)


# --- when it is written -----------------------------------------------------------------------


def test_it_is_written_at_the_start_every_so_often_and_at_the_end(tmp_path, monkeypatch):
    written = []
    save = files.save
    monkeypatch.setattr(
        files, "save", lambda path, state: (written.append(len(state.history)), save(path, state))
    )
    path = tmp_path / "run.npz"
    train(Valley(), path, checkpoint_every=4, max_iter=10)
    assert written == [1, 5, 9, 11]  # rows, the start's included
    written.clear()
    train(Valley(), path, checkpoint_every=5, max_iter=10)
    assert written == [1, 6, 11]  # once, not twice, at the last
    assert os.listdir(tmp_path) == ["run.npz"]


def test_without_resume_an_old_file_is_overwritten(tmp_path):
    path = tmp_path / "run.npz"
    path.write_bytes(b"whatever")
    train(Valley(), path, max_iter=5)
    assert training.read_checkpoint(path).nit == 5
    train(Valley(), path, max_iter=2)
    assert training.read_checkpoint(path).nit == 2
    with pytest.raises(ValueError, match="theta0"):  # but not by a run that never began
        train(Valley({("value", 1): "value"}), path)
    assert training.read_checkpoint(path).nit == 2


@pytest.mark.parametrize("broken", ["savez", "replace"])
def test_a_full_disk_costs_neither_the_old_file_nor_the_training(tmp_path, monkeypatch, broken):
    path = tmp_path / "run.npz"
    train(Valley(), path, max_iter=2)
    before = path.read_bytes()

    def full(file, *_, **__):
        if broken == "savez":
            file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np if broken == "savez" else os, broken, full)
    with pytest.warns(RuntimeWarning, match="checkpoint: not saved .No space left"):
        result = train(Valley(), path)
    assert same_result(result, train(Valley()))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.npz"]


def test_read_checkpoint_tells_what_is_known(tmp_path):
    path = tmp_path / "run.npz"
    problem = Valley({("value", 9): KeyboardInterrupt()})
    result = train(problem, str(path), method="newton-cg")
    found = training.read_checkpoint(str(path))
    assert found.x.tobytes() == result.x.tobytes()
    assert found.jac.tobytes() == result.jac.tobytes()
    assert (found.fun, found.nit, found.nfev, found.nhev) == (
        result.fun,
        result.nit,
        result.nfev,
        result.nhev,
    )
    assert np.array_equal(found.theta0, Valley().initial(SEED))
    assert same_history(found.history, result.history)
    assert found.settings["method"] == "newton-cg"


# --- refusals ---------------------------------------------------------------------------------


class Renamed(Valley):
    def __repr__(self):
        return "Valley(width=3)"


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "run.npz"
    train(Valley(), path, max_iter=5)
    return path


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"method": "newton-cg"}, r"memory \(there 20, here None\), method \(there 'lbfgs', here"),
        ({"memory": 10}, r"in memory \(there 20, here 10\); wanted"),
        ({"seed": 1}, r"in seed \(there 48, here 1\), theta0; wanted"),
        ({"theta0": Valley().initial(SEED)}, r"in seed \(there 48, here None\); wanted"),
        ({"theta0": np.nextafter(Valley().initial(SEED), 9)}, r"seed \(.*\), theta0; wanted"),
        ({"x": np.nextafter(X, 9)}, r"in x \(there '<f8\(3,\) [0-9a-f]{32}', here"),
        ({"y": np.nextafter(Y, 9)}, r"in y \(there"),
        ({"y": None}, r"in y \(there '.*', here None\); wanted"),
        ({"problem": Renamed()}, r"in problem \(there 'training_problems.Valley: Valley\(\)', her"),
    ],
)
def test_another_run_is_refused_and_what_differs_named(stored, change, named):
    arguments = {"problem": Valley(), "x": X, "y": Y, "seed": SEED, "progress": False, **change}
    before = stored.read_bytes()
    with pytest.raises(ValueError, match=f"^checkpoint: got '.*run.npz', the run of .*{named}"):
        refode.train(**arguments, checkpoint=stored, resume=True)
    assert stored.read_bytes() == before


def test_another_version_is_refused(stored, monkeypatch):
    monkeypatch.setattr(refode, "__version__", "0.0.1")
    with pytest.raises(ValueError, match=r"in refode \(there '.*', here '0.0.1'\)"):
        resumed(stored)
    monkeypatch.undo()
    monkeypatch.setattr(files, "_version", lambda package: f"{package}-0")
    with pytest.raises(ValueError, match=r"in numba .*, numpy .*, scipy \(there '.*', here"):
        resumed(stored)


@pytest.mark.parametrize("method", METHODS)
def test_a_problem_that_hides_its_change_is_refused(tmp_path, method):
    path = tmp_path / "run.npz"
    train(Valley(), path, method=method, max_iter=5)
    before = path.read_bytes()
    changed = Valley()
    changed.tilt = 1e-9
    with pytest.raises(ValueError, match="^checkpoint: .* no longer answers call 1 with the same"):
        train(changed, path, method=method, resume=True)

    class Later(Valley):  # differs elsewhere than at the start
        def value_and_gradient(self, theta, x, y):
            self.tilt = 1e-9 * (self.count["value"] > 0)
            return super().value_and_gradient(theta, x, y)

    Later.__qualname__, Later.__module__ = "Valley", Valley.__module__
    with pytest.raises(ValueError, match="^checkpoint: .* no longer answers call [0-9]+ with the"):
        train(Later(), path, method=method, resume=True)
    assert path.read_bytes() == before


def test_a_product_that_changed_is_refused(tmp_path):
    class Other(Valley):
        def hessian_vector(self, theta, v, x, y):
            return super().hessian_vector(theta, v, x, y) * (1 + 1e-15)

    Other.__qualname__, Other.__module__ = "Valley", Valley.__module__
    path = tmp_path / "run.npz"
    train(Valley(), path, method="newton-cg", max_iter=5)
    with pytest.raises(ValueError, match="no longer answers call"):
        train(Other(), path, method="newton-cg", resume=True)


def test_calls_that_are_not_this_run_s_are_refused(stored):
    state = files.load(stored)
    swapped = [state.calls[0], state.calls[2], state.calls[1], *state.calls[3:]]
    files.save(stored, state._replace(calls=swapped))
    with pytest.raises(ValueError, match="call 2 of the stored run was another one"):
        resumed(stored)


def test_writing_into_theta0_meanwhile_does_not_change_the_run(tmp_path):
    path, theta0 = tmp_path / "run.npz", Valley().initial(SEED)
    train(Valley(), path, theta0=theta0, max_iter=9, callback=lambda r: theta0.fill(0.0))
    assert np.array_equal(training.read_checkpoint(path).theta0, Valley().initial(SEED))
    result, _ = resumed(path, theta0=Valley().initial(SEED))
    assert same_result(result, train(Valley()))


def test_an_address_in_a_repr_does_not_count(tmp_path):
    class Plain(Valley):
        __repr__ = object.__repr__

    path = tmp_path / "run.npz"
    kept = Plain()
    train(kept, path, max_iter=5)
    assert train(Plain(), path, max_iter=6, resume=True).nit == 6


def test_a_missing_file_is_both_kinds_of_error(tmp_path):
    path = tmp_path / "none.npz"
    for error in (ValueError, FileNotFoundError, training.CheckpointNotFoundError):
        with pytest.raises(error, match="^checkpoint: got '.*none.npz', but there is no such"):
            resumed(path)
        with pytest.raises(error, match="^checkpoint: got '.*none.npz', but there is no such"):
            training.read_checkpoint(path)
    assert not path.exists()
