"""Damaged and foreign checkpoint files: named, left alone, and never unpickled."""

from __future__ import annotations

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from training_problems import Valley, X, Y

import refode
from refode import training


def run(path, **options):
    return refode.train(Valley(), X, Y, progress=False, checkpoint=path, **options)


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "run.npz"
    run(path, max_iter=5)
    return path


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def as_bytes(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def refused(path, content):
    path.write_bytes(content)
    message = "^checkpoint: got '.*', which cannot be read as a checkpoint of refode.train"
    with pytest.raises(ValueError, match=message):
        training.read_checkpoint(path)
    with pytest.raises(ValueError, match=message):
        run(path, resume=True)
    assert path.read_bytes() == content


def test_pickles_are_never_loaded(stored, tmp_path):
    trace = tmp_path / "exploded"
    bomb = np.array([Bomb(trace)], dtype=object)
    with np.load(stored) as archive:
        members = dict(archive)
    refused(stored, pickle.dumps(Bomb(trace)))
    refused(stored, as_bytes(lambda file: np.save(file, bomb)))
    for name in members:
        refused(stored, as_bytes(lambda file, n=name: np.savez(file, **{**members, n: bomb})))
    assert not trace.exists()
    np.load(io.BytesIO(as_bytes(lambda file: np.save(file, bomb))), allow_pickle=True)
    assert trace.exists()  # the bomb works


def test_damaged_files_are_named(stored):
    good = stored.read_bytes()
    refused(stored, b"")
    refused(stored, b"no archive at all")
    refused(stored, as_bytes(lambda file: np.save(file, np.ones(3))))
    refused(stored, as_bytes(lambda file: np.savez(file, x=np.ones(3))))
    for end in (10, len(good) // 2, len(good) - 1):
        refused(stored, good[:end])
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        members = [(info.header_offset, info.file_size) for info in archive.infolist()]
    assert len(members) == 13
    for offset, size in members:  # one bit at the end of each member's data
        lengths = [int.from_bytes(good[offset + i : offset + i + 2], "little") for i in (26, 28)]
        place = offset + 30 + sum(lengths) + size - 1  # after the header, its name and extras
        broken = bytearray(good)
        broken[place] ^= 1
        refused(stored, bytes(broken))


@pytest.mark.parametrize(
    "change",
    [
        {"format": np.array("refode training 0")},
        {"settings": np.array("[1]")},
        {"settings": np.array("{")},
        {"theta0": np.ones(3)},
        {"theta0": np.full(4, np.nan)},
        {"theta0": np.ones(4, np.float32)},
        {"kinds": np.zeros(3, np.uint8)},
        {"values": np.ones(3)},
        {"vectors": np.ones((3, 4))},
        {"digests": np.zeros((3, 16), np.uint8)},
        {"history": np.zeros(3, [("iteration", int)])},
        {"history": np.ones(3)},
        {"history": np.zeros(0, training.HISTORY)},
        {"history": np.zeros(3, [*training.HISTORY.descr, ("terms", "f4")])},
        {"best_theta": np.ones(5)},
        {"best_value": np.array(np.nan)},
        {"best_gradient": np.ones((4, 1))},
        {"elapsed": np.array(np.inf)},
        {"elapsed": np.ones(1)},
    ],
)
def test_members_that_do_not_fit_are_refused(stored, change):
    with np.load(stored) as archive:
        members = dict(archive)
    training.read_checkpoint(stored)
    refused(stored, as_bytes(lambda file: np.savez(file, **{**members, **change})))


def test_kinds_of_calls_are_checked(stored):
    with np.load(stored) as archive:
        members = dict(archive)
    for i, kind, dtype in [(0, 1, np.uint8), (1, 2, np.uint8), (0, 0, np.float64)]:
        kinds = members["kinds"].astype(dtype)
        kinds[i] = kind
        refused(stored, as_bytes(lambda file, k=kinds: np.savez(file, **{**members, "kinds": k})))


def test_a_link_gets_the_run_that_it_points_to(tmp_path, stored):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "run.npz", tmp_path / "link.npz"
    link.symlink_to(target)
    run(link, max_iter=5)
    assert link.is_symlink()
    assert not target.is_symlink()
    assert [p.name for p in target.parent.iterdir()] == ["run.npz"]
    assert np.array_equal(training.read_checkpoint(link).x, training.read_checkpoint(stored).x)
    resumed = run(link, max_iter=8, resume=True)
    assert link.is_symlink()
    assert resumed.nit > 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
@pytest.mark.parametrize("resume", [False, True])
def test_a_pipe_is_refused_before_any_work(tmp_path, resume):
    os.mkfifo(tmp_path / "run.npz")
    with pytest.raises(ValueError, match=r"^checkpoint: got the named pipe '.*run\.npz', wanted"):
        run(tmp_path / "run.npz", resume=resume, callback=lambda _: pytest.fail("it ran"))
    with pytest.raises(ValueError, match=r"^checkpoint: got the named pipe"):
        training.read_checkpoint(tmp_path / "run.npz")
    assert (tmp_path / "run.npz").is_fifo()
