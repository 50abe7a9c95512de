"""Elementwise kernels and sums over blocks of samples, ``(rows, S)``.

Twin: refode/cuda/linalg.py.
"""

from __future__ import annotations

from refode.machine.compile import kernel


@kernel(cache=False)
def add_column(u, b):
    """u[j, :] += b[j]."""
    for j in range(u.shape[0]):
        bj = b[j]
        for s in range(u.shape[1]):
            u[j, s] += bj


@kernel(cache=False)
def axpy(y, a, x):
    """y += a x, over a whole block."""
    for j in range(y.shape[0]):
        for s in range(y.shape[1]):
            y[j, s] += a * x[j, s]


@kernel(cache=False)
def copy(y, x):
    """y = x, over a whole block."""
    for j in range(y.shape[0]):
        for s in range(y.shape[1]):
            y[j, s] = x[j, s]


@kernel(cache=False)
def fill(y, value):
    """y = value, over a whole block."""
    for j in range(y.shape[0]):
        for s in range(y.shape[1]):
            y[j, s] = value


@kernel(cache=False, reassociate=True)
def row_sum(x):
    """Sum of a vector over samples."""
    total = x[0] * 0
    for s in range(x.shape[0]):
        total += x[s]
    return total


@kernel(cache=False, reassociate=True)
def row_product(x, y):
    """Sum of x y over samples (no conjugate)."""
    total = x[0] * 0
    for s in range(x.shape[0]):
        total += x[s] * y[s]
    return total


@kernel(cache=False)
def sign(x):
    """The sign of the real part, 0 at 0: what |.| is multiplied by near the real axis."""
    return (1.0 if x.real > 0.0 else 0.0) - (1.0 if x.real < 0.0 else 0.0)


@kernel(cache=False)
def add_row_sums(b_bar, u_bar):
    """b_bar[j] += sum_s u_bar[j, s]."""
    for j in range(u_bar.shape[0]):
        b_bar[j] += row_sum(u_bar[j])


@kernel(cache=False, reassociate=True)
def inner(x, y):
    """Sum of x*y over a block (no conjugate)."""
    total = x[0, 0] * 0
    for j in range(x.shape[0]):
        for s in range(x.shape[1]):
            total += x[j, s] * y[j, s]
    return total
