"""Products and sums, of tiles and of launches, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from common import close, laid_out
from numba import cuda
from supervised import CASES, drawn

from refode.cuda import gemm, layout
from refode.cuda.linalg import linalg
from refode.cuda.ops import staged, tile
from refode.cuda.sweeps import add_blocks


@pytest.mark.parametrize("rows", range(1, 10))
def test_tree(rows):
    """Integers add up exactly, in whatever order."""
    sums = np.random.default_rng(rows).integers(-99, 99, size=(rows, 5)).astype(float)
    out = cuda.to_device(np.zeros(5))
    add_blocks(2, 3)[3, (2, 3)](cuda.to_device(sums.ravel()), rows, 5, out)
    assert np.array_equal(out.copy_to_host(), sums.sum(axis=0))


@pytest.fixture(params=[(1, 4, 6, 1), (2, 2, 5, 4)], ids=str)
def square(request, monkeypatch):
    """Threads a side, entries a thread; samples a part, threads that add it."""
    monkeypatch.setattr(gemm, "_shape", lambda: request.param)
    gemm.sums.cache_clear()
    linalg.cache_clear()
    yield
    gemm.sums.cache_clear()
    linalg.cache_clear()


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (5, 3, 7, 1), (4, 9, 6, 2), (3, 2, 13, 3)])
def test_staged_products(sizes, square):
    """Against NumPy: rows, columns, samples, D; squares that are cut short."""
    m, k, S, D = sizes
    rng, la = np.random.default_rng(0), linalg(staged)
    A, X, U = (rng.standard_normal(s) for s in ((m, k), (k * D, S), (m * D, S)))
    X_of, U_of = X.reshape(k, D * S), U.reshape(m, D * S)
    a = cuda.to_device(np.concatenate([np.full(2, np.nan), A.ravel()]))
    on = cuda.to_device
    for more in (False, True):
        Y, W = on(U.copy()), on(X.copy())
        la.product(a, 2, D, on(X), Y, more)
        la.product_transposed(a, 2, D, on(U), W, more)
        close(Y.copy_to_host(), (A @ X_of + more * U_of).reshape(U.shape))
        close(W.copy_to_host(), (A.T @ U_of + more * X_of).reshape(X.shape))
    bar = on(np.ones(m * k + 1))
    la.outer_add(on(U), on(X), D, bar, 1)
    close(bar.copy_to_host()[1:], 1.0 + (U_of @ X_of.T).ravel())
    sums = on(np.zeros(2 * len(U) + 1))
    la.row_sums(sums, 0, on(U), 2.0)
    la.row_products(sums, len(U), on(U), on(U[0].copy()), -1.0)
    la.total(sums, 2 * len(U), on(U[0].copy()), 0.5)
    apart = on(np.zeros(3 * len(U)))
    la.column_sums(apart, 1, 3, on(U), 2.0)
    close(apart.copy_to_host()[1::3], 2.0 * U.sum(axis=1))
    wanted = np.concatenate([2.0 * U.sum(axis=1), -U @ U[0], [0.5 * U[0].sum()]])
    close(sums.copy_to_host(), wanted)


TILES = [(1, 1, 1, 1), (5, 3, 7, 1), (16, 5, 4, 1), (18, 6, 4, 1), (20, 9, 5, 2), (3, 17, 6, 3)]


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("threads", [1, 3, 8])
@pytest.mark.parametrize("sizes", TILES, ids=str)
def test_tile_products(sizes, threads, wide):
    """Against NumPy: rows, columns, samples, D; a tile's rows are longer than its samples."""
    m, k, S, D = sizes
    rng, la = np.random.default_rng(0), linalg(tile(S, threads, wide))
    A, X, U = (rng.standard_normal(s) for s in ((m, k), (k * D, S), (m * D, S)))
    X_of, U_of = X.reshape(k, D * S), U.reshape(m, D * S)

    @cuda.jit
    def all_of_them(a, X, U, Y, W, bar, sums, more):
        la.product(a, 2, D, X, Y, more)
        la.product_transposed(a, 2, D, U, W, more)
        la.outer_add(U, X, D, bar, 1)
        la.row_sums(sums, 0, U, 2.0)
        la.row_products(sums, m * D, U, U[0], -1.0)
        la.total(sums, 2 * m * D, U[0], 0.5)
        la.column_sums(sums, 2 * m * D + 1, 3, U, 2.0)

    def padded(rows):
        return cuda.to_device(np.pad(rows, ((0, 0), (0, 1)), constant_values=np.nan))

    a = cuda.to_device(np.concatenate([np.full(2, np.nan), A.ravel()]))
    for more in (False, True):
        Y, W = padded(U), padded(X)
        bar, sums = cuda.to_device(np.ones(m * k + 1)), cuda.to_device(np.zeros(5 * m * D + 1))
        all_of_them[1, threads](a, padded(X), padded(U), Y, W, bar, sums, more)
        close(Y.copy_to_host()[:, :S], (A @ X_of + more * U_of).reshape(U.shape))
        close(W.copy_to_host()[:, :S], (A.T @ U_of + more * X_of).reshape(X.shape))
        close(bar.copy_to_host()[1:], 1.0 + (U_of @ X_of.T).ravel())
        n = m * D
        wanted = [2.0 * U.sum(axis=1), -U @ U[0], [0.5 * U[0].sum()]]
        close(sums.copy_to_host()[: 2 * n + 1], np.concatenate(wanted))
        close(sums.copy_to_host()[2 * n + 1 :: 3], 2.0 * U.sum(axis=1))


@pytest.mark.parametrize("case", [1, 5, 7])
def test_wide_tiles(case, monkeypatch):
    """A thread that takes many places of a product, as for wide nets."""
    monkeypatch.setattr(layout, "MANY", 1)
    here, there, theta, x, y = drawn(*CASES[case])
    with laid_out():
        close(there.value_and_gradient(theta, x, y), here.value_and_gradient(theta, x, y))
