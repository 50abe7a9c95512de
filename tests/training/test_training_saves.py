"""Saving: by many at a time, under long names, and after a kill in the middle of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from training_problems import Valley, X, Y

import refode
from refode import _drafts, training
from refode.training import checkpoint as files
from validation.truth import checkpoints as damage

ROOT = Path(__file__).resolve().parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="locks and signals of POSIX")


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "run.npz"
    damage.run(path, max_iter=12)
    return path


def test_many_threads_save_one_checkpoint(stored):
    """Whoever reads meanwhile finds a whole file, of one of them."""
    state = files.load(stored)
    states = [state._replace(elapsed=float(i), calls=state.calls[: 1 + 3 * i]) for i in range(4)]
    found, done = [], threading.Event()

    def save(mine):
        for _ in range(25):
            files.save(stored, mine)

    def read():
        while not done.is_set():
            seen = files.load(stored)
            found.append((seen.elapsed, len(seen.calls)))

    files.save(stored, states[0])
    reader = threading.Thread(target=read)
    savers = [threading.Thread(target=save, args=(mine,)) for mine in states]
    for thread in (reader, *savers):
        thread.start()
    for thread in savers:
        thread.join()
    done.set()
    reader.join()
    assert len(found) > 10
    assert set(found) <= {(float(i), len(mine.calls)) for i, mine in enumerate(states)}
    assert os.listdir(stored.parent) == ["run.npz"]


@pytest.mark.parametrize("length", [246, 250, 255])
def test_names_may_be_as_long_as_the_file_system_takes(tmp_path, length):
    path = tmp_path / ("a" * (length - 4) + ".npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        damage.run(path, max_iter=3)
    assert training.read_checkpoint(path).nit == 3


def test_a_name_that_is_too_long_is_refused_before_any_work(tmp_path):
    problem, path = Valley(), tmp_path / ("a" * 252 + ".npz")
    with pytest.raises(ValueError, match="^checkpoint: got "):
        refode.train(problem, X, Y, progress=False, checkpoint=path)
    path = tmp_path / ("a" * 245 + ".npz")  # which a level's name is longer than
    with pytest.raises(ValueError, match="^checkpoint: got "):
        refode.train_multilevel([problem], X, Y, progress=False, checkpoint=path)
    assert problem.count["value"] == 0


def test_levels_are_not_written_beside_a_folder(tmp_path):
    problem, folder = Valley(), tmp_path / "runs"
    folder.mkdir()
    for given in (folder, str(folder), f"{folder}{os.sep}"):
        with pytest.raises(ValueError, match="^checkpoint: got the folder '.*runs', wanted a fi"):
            refode.train_multilevel([problem], X, Y, progress=False, checkpoint=given)
    (tmp_path / "runs-level1.npz").mkdir()  # and of a level's own name likewise
    with pytest.raises(ValueError, match="^checkpoint: got the folder '.*runs-level1.npz'"):
        refode.train_multilevel([problem] * 2, X, Y, progress=False, checkpoint=f"{folder}.npz")
    assert problem.count["value"] == 0
    assert sorted(os.listdir(tmp_path)) == ["runs", "runs-level1.npz"]


# --- what a kill leaves -----------------------------------------------------------------------

KILLED = """
    import os, signal, sys
    import numpy as np
    from training_problems import Valley, X, Y
    import refode

    save = np.savez
    def half(file, **members):
        save(file, theta0=members["theta0"])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    np.savez = half
    refode.train(Valley(), X, Y, progress=False, checkpoint=sys.argv[1])
"""


def killed(path):
    """A process that was killed while it saved."""
    places = map(os.fspath, (Path(refode.__file__).parents[1], ROOT / "tests" / "support"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    command = [sys.executable, "-c", textwrap.dedent(KILLED), os.fspath(path)]
    assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL


def drafts(folder):
    return [name for name in os.listdir(folder) if name.endswith(".part")]


@posix
def test_what_a_kill_leaves_goes_with_the_next_save(stored):
    before = stored.read_bytes()
    killed(stored)
    (left,) = drafts(stored.parent)
    assert len(left) == 38
    assert stored.read_bytes() == before
    damage.run(stored.with_name("other.npz"), max_iter=1)  # which is none of its business
    assert drafts(stored.parent) == [left]
    damage.run(stored, max_iter=1)
    assert drafts(stored.parent) == []


@posix
def test_a_draft_that_is_being_written_is_left_alone(stored):
    state = files.load(stored)
    with _drafts.drafted(stored) as draft:
        files.save(stored, state)
        assert drafts(stored.parent) == [draft.name]
        with _drafts.drafted(stored) as second:
            assert len({draft.name, second.name, *drafts(stored.parent)}) == 2
    assert drafts(stored.parent) == []


@posix
def test_a_draft_taken_for_left_over_before_it_was_held_is_made_anew(tmp_path, monkeypatch):
    taken, flock = [], _drafts.fcntl.flock

    def slow(number, how):
        for draft in tmp_path.iterdir():
            if not taken:
                taken.append(draft.name)
                draft.unlink()
        flock(number, how)

    monkeypatch.setattr(_drafts.fcntl, "flock", slow)
    with _drafts.drafted(tmp_path / "a") as draft:
        assert draft.exists()
        assert [draft.name] != taken


def test_without_locks_age_says_what_is_left_over(tmp_path, monkeypatch):
    monkeypatch.setattr(_drafts, "fcntl", None)
    with _drafts.drafted(tmp_path / "a") as draft, _drafts.drafted(tmp_path / "a") as second:
        assert draft.exists()
        os.utime(draft, (0, 0))
        with _drafts.drafted(tmp_path / "a"):
            assert not draft.exists()
            assert second.exists()
    assert list(tmp_path.iterdir()) == []


# --- damage -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "times"), [(damage.flipped, 30), (damage.truncated, 12)])
@pytest.mark.filterwarnings("error")
def test_damaged_checkpoints_are_refused_by_name_or_harmless(stored, kind, times):
    """validation/truth/checkpoints.py has 150 and 60 of them, and kills."""
    good, whole, rng = stored.read_bytes(), damage.run(None), np.random.default_rng(5)
    assert damage.outcome(stored, good, whole) == "harmless"
    found = Counter(damage.outcome(stored, kind(good, rng), whole) for _ in range(times))
    assert set(found) <= {"refused", "harmless"}, found
    assert found["refused"] >= times / 2
