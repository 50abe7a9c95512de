"""Products over blocks, reductions, and how samples are dealt to blocks, chunks and threads."""

from __future__ import annotations

import sys
import threading
from typing import NamedTuple

import numpy as np
import pytest
import tolerances as tol
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.errors import TypingError

import refode
from refode.machine import blas
from refode.machine import blocks as la
from refode.machine import threads as parallel
from refode.machine.compile import JIT, kernel
from refode.machine.counting import hold, uncounted
from refode.machine.registers import at, dot, entries, plus, put, rows_of, zeros

SIZE = st.integers(1, 9)
SEED = st.integers(0, 2**16)


@kernel(cache=False)
def products(A, B, At, Bt, out):
    """All five forms of A B; out[1], out[3] and out[4] hold something to add to."""
    blas.multiply(A, B, out[0])
    blas.add_product(A, B, out[1])
    blas.multiply_transposed(At, B, out[2])
    blas.add_transposed_product(At, B, out[3])
    blas.add_outer(A, Bt, out[4])


@pytest.mark.nojit
@given(m=SIZE, k=SIZE, n=SIZE, seed=SEED, dtype=st.sampled_from([float, complex]))
@settings(max_examples=60, deadline=None)
def test_products(m, k, n, seed, dtype):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        z = rng.standard_normal(shape)
        return z + 1j * rng.standard_normal(shape) if dtype is complex else z

    A, B, before = draw(m, k), draw(k, n), draw(5, m, n)
    before[[0, 2]] = np.nan  # these two are overwritten, whatever was there
    out = before.copy()
    products(A, B, A.T.copy(), B.T.copy(), out)
    want = sum(A[:, [i]] * B[[i]] for i in range(k))  # a conjugate would show
    bound = tol.PRODUCT_EPS * k * np.finfo(float).eps * (np.abs(A) @ np.abs(B)).max()
    for i in range(5):
        base = before[i] if i in (1, 3, 4) else 0.0
        assert np.abs(out[i] - base - want).max() <= bound + 4e-16 * np.abs(base).max()


@pytest.mark.skipif(not JIT, reason="types are the compiler's")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda a: a.T,  # Fortran order
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: a.astype(complex),
        lambda a: a.astype(np.float32),
    ],
    ids=["transposed", "strided", "complex", "float32"],
)
def test_products_refuse_what_blas_would_misread(spoil):
    A = np.ones((3, 3))
    with pytest.raises((TypeError, TypingError), match="C-contiguous matrices|number types differ"):
        products(spoil(A), A, A, A, np.zeros((5, 3, 3)))


@kernel(cache=False)
def reductions(x, y, b, out):
    out[0] = la.row_sum(x[0])
    out[1] = la.inner(x, y)
    la.add_row_sums(b, x)


@pytest.mark.nojit
@given(m=SIZE, n=st.integers(1, 300), seed=SEED, dtype=st.sampled_from([float, complex]))
@settings(max_examples=40, deadline=None)
def test_reductions(m, n, seed, dtype):
    """Any order of n additions errs by at most (n - 1) eps sum |terms|."""
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, m, n)).astype(dtype)
    if dtype is complex:
        x = x + 1j * y[::-1]
    b, out = np.ones(m, dtype), np.empty(2, dtype)
    reductions(x, y, b, out)
    eps = np.finfo(float).eps * tol.REDUCTION_EPS
    assert abs(out[0] - x[0].sum()) <= eps * n * np.abs(x[0]).sum()
    assert abs(out[1] - (x * y).sum()) <= eps * m * n * np.abs(x * y).sum()
    assert np.all(np.abs(b - 1.0 - x.sum(axis=1)) <= eps * n * (1 + np.abs(x).sum(axis=1)))


# --- blocks and chunks ----------------------------------------------------------------------


@given(n=st.integers(1, 100_000), eights=st.integers(1, 64))
def test_every_sample_is_in_one_block_of_one_chunk(n, eights):
    largest = 8 * eights
    S = parallel.block_size(n, largest)
    assert S % 8 == 0
    assert 8 <= S <= largest
    n_blocks = -(-n // S)
    runs = parallel.chunks(n_blocks)
    assert 1 <= len(runs) <= parallel.MOST_CHUNKS
    assert runs[0][0] == 0
    assert runs[-1][1] == n_blocks
    for (_, end), (begin, _) in zip(runs, runs[1:], strict=False):
        assert end == begin
    lengths = [end - begin for begin, end in runs]
    assert min(lengths) >= 1
    assert max(lengths) - min(lengths) <= 1
    assert (n_blocks - 1) * S < n <= n_blocks * S  # no block without a sample, none forgotten


def test_every_field_s_largest_block_is_a_multiple_of_eight():
    for d in (1, 2, 3, 4, 5, 8):
        assert refode.fields.Shallow(d, 3).block() % 8 == 0
    assert refode.fields.Affine(2).block() % 8 == 0


@given(n=st.integers(1, 100_000), threads=st.integers(1, 64))
def test_chunks_do_not_depend_on_threads(n, threads):
    before = refode.get_num_threads()
    once = parallel.block_size(n, 128), parallel.chunks(n)
    try:
        refode.set_num_threads(threads)
        assert refode.get_num_threads() == threads
        assert (parallel.block_size(n, 128), parallel.chunks(n)) == once
    finally:
        refode.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("n", [1, 2, 16])
def test_tasks_run_once_each_and_come_back_in_order(n, threads, monkeypatch):
    monkeypatch.setitem(parallel._state, "threads", threads)
    ran, lock = [], threading.Lock()

    def task(i):
        with lock:
            ran.append(i)
        return i * i

    assert parallel.run(task, n) == [i * i for i in range(n)]
    assert sorted(ran) == list(range(n))

    def fail(i):
        if i == n - 1:
            raise RuntimeError("task")

    with pytest.raises(RuntimeError, match="task"):
        parallel.run(fail, n)
    assert parallel.run(task, n) == [i * i for i in range(n)]


def test_blas_gets_its_threads_back(monkeypatch):
    from threadpoolctl import threadpool_info, threadpool_limits

    def counts():
        return [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        before, inside = counts(), []
        monkeypatch.setitem(parallel._state, "threads", 2)
        parallel.run(lambda i: inside.append(counts()), 3)
        assert all(set(c) == {1} for c in inside)
        assert counts() == before
        with pytest.raises(ZeroDivisionError):
            parallel.run(lambda i: 1 // i, 1)
        assert counts() == before


class Nested(NamedTuple):
    """As dynamics, schemes and costs are: arrays and numbers at several depths."""

    inner: tuple
    number: int
    array: np.ndarray


@kernel(cache=False)
def halves(nested):
    """Views of views of arrays that nobody counts, and of one made here."""
    made = np.ones(nested.array.shape[1])
    given = (nested, made)
    free, ones = uncounted(given)
    total = 0.0
    for i in range(free.array.shape[0]):
        row = free.array[i]
        total += (row[: row.shape[0] // 2] * ones[: row.shape[0] // 2]).sum() + free.inner[0][i]
    hold(given)
    return free.number * total


@pytest.mark.nojit
def test_uncounted_arrays_are_the_same_arrays_and_keep_their_owners():
    rng = np.random.default_rng(0)
    array, inner = rng.standard_normal((5, 8)), rng.standard_normal(5)
    before = sys.getrefcount(array), sys.getrefcount(inner)
    for _ in range(50):
        got = halves(Nested((inner, 1.0), 3, array))
    assert got == pytest.approx(3 * (array[:, :4].sum() + inner.sum()), rel=1e-14)
    assert (sys.getrefcount(array), sys.getrefcount(inner)) == before


@kernel(cache=False)
def over_rows(X, w, axes, out):
    """out[i, s] <- X[i, s] + (w . X[:, s]) w_i; the sums of X's rows, weights 2."""
    x, y, a = rows_of(X, axes), rows_of(out, axes), entries(w, 1, 2, axes)
    sums = zeros(a)
    for s in range(X.shape[1]):
        here = at(x, s)
        put(y, s, plus(here, dot(a, here), a))
        sums = plus(sums, X[0, 0] * 0 + 2, here)
    return sums


@pytest.mark.nojit
@given(d=st.integers(1, 3), n=SIZE, seed=SEED, dtype=st.sampled_from([float, complex]))
@settings(max_examples=40, deadline=None)
def test_rows_as_tuples(d, n, seed, dtype):
    rng = np.random.default_rng(seed)
    X, w = rng.standard_normal((d, n)).astype(dtype), rng.standard_normal(7).astype(dtype)
    if dtype is complex:
        X, w = X * (1 - 2j), w * (3 + 1j)
    out, a = np.empty_like(X), w[1 : 2 * d : 2]
    sums = over_rows(X, w, tuple(range(d)), out)
    want = X + np.outer(a, a @ X)
    eps = 10 * tol.PRODUCT_EPS * np.finfo(float).eps
    assert np.abs(out - want).max() <= eps * (1 + np.abs(a).max() ** 2) * np.abs(X).max() * d
    assert np.abs(np.array(sums) - 2 * X.sum(axis=1)).max() <= eps * n * np.abs(X).max()
