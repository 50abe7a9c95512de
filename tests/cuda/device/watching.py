"""What the tests of the device rest on: mistakes of kernels that the simulator must see."""

from __future__ import annotations

import re
import threading
from typing import NamedTuple

import numpy as np
import pytest
import races
import simulator
from common import MODES, close, laid_out
from numba import cuda
from supervised import CASES, drawn


class Arrays(NamedTuple):
    here: object
    n: int


# --- within a block -------------------------------------------------------------------------
@cuda.jit
def reversed_in_shared(out, wait, from_row):
    """Each thread reads what another wrote."""
    room = cuda.shared.array((2, 4), np.float64)
    k = cuda.threadIdx.x
    row = room[from_row]
    row[k] = k + 1.0
    if wait:
        cuda.syncthreads()
    out[k] = room[from_row, 3 - k]


@pytest.mark.parametrize("row", [0, 1])
def test_a_barrier_is_missed(row):
    """The same entry by two names."""
    out = np.zeros(4)
    reversed_in_shared[1, 4](out, True, row)
    assert out.tolist() == [4.0, 3.0, 2.0, 1.0]
    with pytest.raises(races.Mistake, match=r"shared memory: entry \(\d, \d\) of .* before"):
        reversed_in_shared[1, 4](out, False, row)


@cuda.jit
def passed_on(a, offset, forth):
    """Thread k reads entry k and writes another, or the other way round."""
    k = cuda.threadIdx.x
    if forth:
        here = a[k]
        a[(k + offset) % 3] = here
    else:
        a[(k + offset) % 3] = 1.0
        cuda.syncthreads()
        a[k] = a[k] + 1.0


@pytest.mark.parametrize("offset", [1, 2])
def test_reading_before_and_after_another_writes(offset):
    passed_on[1, 3](np.zeros(3), offset, False)
    with pytest.raises(races.Mistake) as caught:
        passed_on[1, 3](np.zeros(3), offset, True)
    said = str(caught.value)
    assert "global memory: entry" in said
    assert said.count("watching.py:") == 2
    assert "(passed_on)" in said
    assert re.search(r"thread \[0, 0, 0\] of block \[0, 0, 0\] .* thread \[1, 0, 0\]", said)
    assert "without a barrier" in said


@cuda.jit
def all_read(a, writer, wait):
    """Every thread reads an entry that one of them writes."""
    k = cuda.threadIdx.x
    here = a[0] + a[0]
    if wait:
        cuda.syncthreads()
    if k == writer:
        a[0] = here + 1.0


@pytest.mark.parametrize("writer", [0, 1, 2])
def test_many_read_and_one_writes(writer):
    """Whoever of them it is: the last who read, the one before, the first."""
    all_read[1, 3](np.ones(1), writer, True)
    with pytest.raises(races.Mistake, match="read by thread"):
        all_read[1, 3](np.ones(1), writer, False)


@cuda.jit
def all_write(a):
    a[0] = 1.0


def test_all_write():
    with pytest.raises(races.Mistake, match="written by thread .* written by thread"):
        all_write[1, 2](np.ones(1))
    all_write[1, 1](np.ones(1))


@cuda.jit
def in_a_tuple(given):
    given.here[0, cuda.threadIdx.x % given.n] = 1.0


def test_arrays_in_tuples():
    in_a_tuple[1, 2](Arrays(cuda.to_device(np.zeros((1, 2))), 2))
    with pytest.raises(races.Mistake, match="global memory"):
        in_a_tuple[1, 2](Arrays(cuda.to_device(np.zeros((1, 2))), 1))
    with pytest.raises(races.Mistake, match="on the host"):
        in_a_tuple[1, 2](Arrays(np.zeros((1, 2)), 2))


# --- between blocks -------------------------------------------------------------------------
@cuda.jit
def neighbours(a, first, second, third):
    """Each block does one thing to the same entry."""
    does = (first, second, third)[cuda.blockIdx.x]
    if does == 1:
        a[0] + 0.0
    if does == 2:
        a[0] = 1.0
    cuda.syncthreads()


@pytest.mark.parametrize("does", [(2, 1, 0), (1, 2, 0), (2, 2, 0), (2, 0, 1), (1, 1, 2), (1, 0, 2)])
def test_blocks_touch_what_one_writes(does):
    with pytest.raises(races.Mistake, match="blocks do not wait"):
        neighbours[3, 1](np.zeros(1), *does)


@pytest.mark.parametrize("does", [(1, 1, 1), (2, 0, 0), (0, 0, 2), (0, 0, 0)])
def test_blocks_that_share_nothing_written(does):
    neighbours[3, 1](np.zeros(1), *does)


@cuda.jit
def read_twice_then_written(a):
    """Block 1 reads what block 0 read, waits, reads it once more and writes it."""
    a[0] + 0.0
    cuda.syncthreads()
    a[0] + 0.0
    if cuda.blockIdx.x == 1:
        cuda.syncthreads()
        a[0] = 1.0


def test_another_block_is_not_forgotten():
    read_twice_then_written[1, 1](np.zeros(1))
    with pytest.raises(races.Mistake, match="blocks do not wait"):
        read_twice_then_written[2, 1](np.zeros(1))


@cuda.jit
def read_again(a, k):
    """All read, wait, and read once more while thread k writes."""
    a[0] + 0.0
    cuda.syncthreads()
    if cuda.threadIdx.x == k:
        a[0] = 1.0
    else:
        a[0] + 0.0


@pytest.mark.parametrize("k", [0, 1])
def test_what_was_read_before_a_barrier_counts_anew(k):
    read_again[1, 2](np.zeros(1), 2)
    with pytest.raises(races.Mistake, match="without a barrier"):
        read_again[1, 2](np.zeros(1), k)


@cuda.jit
def own_entries(a):
    a[cuda.grid(1)] += 1.0


def test_launches_follow_one_another():
    there = cuda.to_device(np.zeros(4))
    own_entries[2, 2](there)
    own_entries[1, 4](there)
    assert there.copy_to_host().tolist() == [2.0] * 4


# --- memory that nobody wrote ---------------------------------------------------------------
@cuda.jit
def unwritten(out, written):
    room = cuda.shared.array(3, np.float32)
    whole = cuda.shared.array(0, np.float64)
    if cuda.blockIdx.x == 0:
        for k in range(3):
            room[k] = 1.0
            whole[k] = 1.0
    for k in range(written):
        room[k] = 1.0
        whole[k] = 1.0
    out[cuda.blockIdx.x] = room[2] if written == 2 else whole.reshape(1, 4)[0, 2]


@pytest.mark.parametrize("written", [1, 2])
def test_reading_what_nobody_wrote(written):
    """What another block wrote is gone."""
    unwritten[1, 1, 0, 32](np.zeros(1), written)
    with pytest.raises(races.Mistake, match=r"shared memory: .* block \[1, 0, 0\], before"):
        unwritten[2, 1, 0, 32](np.zeros(2), written)


def test_new_arrays_hold_no_numbers():
    for shape, kind in (((2, 3), np.float64), (4, np.float32)):
        assert np.isnan(cuda.device_array(shape, kind).copy_to_host()).all()


# --- indices --------------------------------------------------------------------------------
@cuda.jit
def at(a, i, j):
    a[i, j] = a[i, j] + 1.0


@cuda.jit
def row_at(a, i, j):
    a[i][j] = 1.0


@cuda.jit
def rows_from(a, i, j):
    a[i:j][0, 0] = 1.0


@pytest.mark.parametrize("kernel", [at, row_at])
@pytest.mark.parametrize("index", [(-1, 0), (0, -1), (2, 0), (0, 3), (np.int64(-1), 0)], ids=str)
def test_indices_outside(kernel, index):
    kernel[1, 1](np.zeros((2, 3)), 1, 2)
    with pytest.raises(races.Mistake, match="outside"):
        kernel[1, 1](np.zeros((2, 3)), *index)


@pytest.mark.parametrize("index", [(-1, 2), (0, 3), (0, -1), (3, 3)], ids=str)
def test_slices_outside(index):
    rows_from[1, 1](np.zeros((2, 3)), 1, 2)
    with pytest.raises(races.Mistake, match="outside"):
        rows_from[1, 1](np.zeros((2, 3)), *index)


@cuda.jit
def whole_row(a):
    a[0] = 1.0


def test_rows_are_not_written_at_once():
    with pytest.raises(races.Mistake, match="wanted entries"):
        whole_row[1, 2](np.zeros((2, 3)))


# --- barriers -------------------------------------------------------------------------------
@cuda.jit
def different_barriers(a):
    if cuda.threadIdx.x == 1:
        cuda.syncthreads()
    else:
        cuda.syncthreads()
    a[cuda.threadIdx.x] = 1.0


def test_threads_wait_at_one_place():
    different_barriers[1, 1](np.zeros(1))
    with pytest.raises(races.Mistake, match=r"different barriers: watching.py:\d+ .*watching.py"):
        different_barriers[1, 2](np.zeros(2))


@cuda.jit
def one_goes_home(a, k):
    if cuda.threadIdx.x != k:
        cuda.syncthreads()
    a[cuda.threadIdx.x] = 1.0


@pytest.mark.parametrize("k", [0, 1, 2])
def test_one_never_comes(k):
    one_goes_home[1, 3](np.zeros(3), 3)
    with pytest.raises(threading.BrokenBarrierError):
        one_goes_home[1, 3](np.zeros(3), k)


# --- refode's own ---------------------------------------------------------------------------
def test_the_kernels_are_watched(monkeypatch):
    """What they read and wrote, in shared memory and in global one, in both modes."""
    _, there, theta, x, y = drawn(*CASES[1])
    books = []
    start = races.Book.__init__
    monkeypatch.setattr(races.Book, "__init__", lambda b, s: books.append(b) or start(b, s))
    for mode in MODES:
        books.clear()
        with laid_out(mode):
            there.value_and_gradient(theta, x, y)
        for shared in {"tile": (True, False), "staged": (False,)}[mode]:
            found = [b for b in books if b.shared is shared]
            assert sum(len(b.writes) for b in found) > 100
            assert sum(len(b.reads) for b in found) > 100


def test_barriers_that_do_not_count(monkeypatch):
    """The kernels without any barrier, though their numbers are right: turns still go round."""
    here, there, theta, x, y = drawn(*CASES[1])

    def meet(thread):
        thread.turns.meet(thread.k, ())

    with laid_out():
        close(there.value_and_gradient(theta, x, y), here.value_and_gradient(theta, x, y))
        monkeypatch.setattr(simulator.Thread, "syncthreads", meet)
        with pytest.raises(races.Mistake, match="without a barrier"):
            there.value_and_gradient(theta, x, y)
