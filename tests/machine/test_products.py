"""Products outside kernels, in blocks: right, and the same bits on any number of threads."""

from __future__ import annotations

import os

import numpy as np
import pytest

from refode import _blas, _products

BUNDLED = _blas.libraries()
SIZES = [(1, 1, 1), (3, 40, 5000), (5000, 40, 3), (3, 9000, 4), (1, 9000, 1), (200, 210, 220)]


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize(("m", "k", "n"), SIZES)
def test_products_in_blocks(m, k, n, dtype):
    rng = np.random.default_rng(m + k + n)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    if dtype is complex:
        a, b = a * (1 + 2j), b * (3 - 1j)
    bound = 4 * k * np.finfo(float).eps * (np.abs(a) @ np.abs(b)).max()
    assert np.abs(_products.product(a, b) - np.einsum("ik,kj->ij", a, b)).max() <= bound
    x, y = a.ravel()[:k], b.ravel()[:k]
    assert abs(_products.dot(x, y) - (x * y).sum()) <= bound
    if dtype is float:
        assert _products.norm(x) == pytest.approx(np.sqrt((x * x).sum()), rel=1e-14)


@pytest.mark.nojit
@pytest.mark.skipif((os.cpu_count() or 1) < 2 or not BUNDLED, reason="one thread in any case")
@pytest.mark.parametrize("dtype", [float, complex])
def test_blocks_have_the_same_bits_on_any_number_of_threads(dtype):
    rng = np.random.default_rng(1)
    numbers, found = [library.get() for library in BUNDLED], []
    made = [
        (rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype))
        for m, k, n in SIZES
    ]
    try:
        for threads in (1, 2):
            for library in BUNDLED:
                library.set(threads)
            results = [_products.product(a, b) for a, b in made]
            results += [np.array(_products.dot(a.ravel(), a.ravel())) for a, _ in made]
            found.append([r.tobytes() for r in results])
    finally:
        for library, n in zip(BUNDLED, numbers, strict=True):
            library.set(n)
    assert found[0] == found[1]
