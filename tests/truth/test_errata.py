"""The survey's slips (docs/errata.md): the corrected form holds, the printed one fails.

Equation (9), in plain NumPy. The transport equation u_t + f . grad u = 0 is solved without
characteristics, so that the comparison with the network W z(1) + b, which is computed along
them, says something: for affine fields through ordinary differential equations for the
coefficients of u, for shallow fields (2) by Chebyshev collocation in space.
"""

from __future__ import annotations

import numpy as np
import pytest
import tolerances
from hypothesis import given, settings
from hypothesis import strategies as st

# --- the two solvers ----------------------------------------------------------------------


def rk4(rate, y, t0, t1, n_steps):
    """Classical Runge-Kutta from t0 to t1, in either direction."""
    h = (t1 - t0) / n_steps
    for k in range(n_steps):
        t = t0 + k * h
        k1 = rate(t, y)
        k2 = rate(t + h / 2, y + h / 2 * k1)
        k3 = rate(t + h / 2, y + h / 2 * k2)
        k4 = rate(t + h, y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y


def affine_transport(A, c, W, b, t0, t1):
    """Carry u(x, t0) = W x + b to t1 under f = A(t) x + c(t).

    u = P(t) x + q(t) solves the equation exactly where P' = -P A, q' = -P c.
    """
    d = W.shape[1]

    def rate(t, Pq):
        P = Pq[:, :d]
        return -np.column_stack([P @ A(t), P @ c(t)])

    Pq = rk4(rate, np.column_stack([W, b]), t0, t1, 40)
    return Pq[:, :d], Pq[:, d]


def chebyshev(n, half_width):
    """Nodes on [-half_width, half_width] and the differentiation matrix [Trefethen 2000]."""
    j = np.arange(n + 1)
    x = np.cos(np.pi * j / n)
    weight = np.where((j == 0) | (j == n), 2.0, 1.0) * (-1.0) ** j
    gap = x[:, None] - x[None, :] + np.eye(n + 1)
    D = np.outer(weight, 1 / weight) / gap
    D -= np.diag(D.sum(axis=1))
    return x * half_width, D / half_width


def collocated_transport(f, W, b, n, half_width, n_steps):
    """Carry u(x, 1) = W x + b back to t = 0 on a square in the plane, by collocation.

    No boundary values are needed (or given) where trajectories only enter the square:
    backward in time all information then leaves it.
    """
    x, D = chebyshev(n, half_width)
    points = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1)
    v = f(points.reshape(-1, 2)).reshape(points.shape)
    assert (v[0, :, 0] < 0).all()  # the nodes run from +half_width to -half_width
    assert (v[-1, :, 0] > 0).all()
    assert (v[:, 0, 1] < 0).all()
    assert (v[:, -1, 1] > 0).all()

    def rate(t, u):
        du_dx = np.einsum("ik,kjm->ijm", D, u)
        du_dy = np.einsum("jk,ikm->ijm", D, u)
        return -(v[..., :1] * du_dx + v[..., 1:] * du_dy)

    return points, rk4(rate, points @ W.T + b, 1.0, 0.0, n_steps)


def along_characteristics(f, x, t0, t1):
    """z(t1) of z' = f(z), z(t0) = x."""
    return rk4(lambda t, z: f(z), x, t0, t1, 200)


def distance(a, b):
    """Largest difference, relative to how far `b` is from a constant."""
    return np.abs(a - b).max() / np.ptp(b, axis=0).max()


# --- equation (9) -------------------------------------------------------------------------


@given(d=st.integers(1, 2), m=st.integers(1, 3), seed=st.integers(0, 2**16))
@settings(deadline=None, max_examples=20)
def test_9_affine_field_varying_in_time(d, m, seed):
    rng = np.random.default_rng(seed)
    A0, A1 = 0.3 * rng.normal(size=(2, d, d))
    c0, W, b = rng.normal(size=d), rng.normal(size=(m, d)), rng.normal(size=m)

    def A(t):
        return A0 + t * A1 + 1.5 * np.eye(d)  # the shift keeps the map away from the identity

    def c(t):
        return np.cos(t) * c0

    x = rng.normal(size=(50, d))
    z = rk4(lambda t, z: z @ A(t).T + c(t), x, 0.0, 1.0, 40)
    network = z @ W.T + b

    P, q = affine_transport(A, c, W, b, 1.0, 0.0)
    assert distance(x @ P.T + q, network) < tolerances.ERRATA_9_AFFINE

    P, q = affine_transport(A, c, W, b, 0.0, 1.0)  # as printed
    assert distance(x @ P.T + q, network) > tolerances.ERRATA_9_PRINTED_MARGIN


def shallow(seed, sign):
    """A shallow field (2) in the plane; with sign +1 trajectories enter the unit square."""
    rng = np.random.default_rng(seed)
    W0 = np.eye(2) + 0.2 * rng.normal(size=(2, 2))
    b0, b1 = 0.1 * rng.normal(size=(2, 2))
    W1 = -(np.eye(2) + 0.1 * rng.normal(size=(2, 2)))
    return lambda z: sign * (np.tanh(z @ W0.T + b0) @ W1.T + b1)


@pytest.mark.parametrize("seed", [0, 1])
def test_9_shallow_field(seed):
    """u(x, 0) = W z(1) + b where u(., 1) = W x + b."""
    rng = np.random.default_rng(100 + seed)
    W, b = rng.normal(size=(3, 2)), rng.normal(size=3)
    f = shallow(seed, +1)
    points, u = collocated_transport(f, W, b, n=24, half_width=1.0, n_steps=200)
    z = along_characteristics(f, points.reshape(-1, 2), 0.0, 1.0)
    assert distance(u.reshape(-1, 3), z @ W.T + b) < tolerances.ERRATA_9_COLLOCATION


@pytest.mark.parametrize("seed", [0, 1])
def test_9_shallow_field_as_printed(seed):
    """With u(., 0) = W x + b the prediction u(x, 1) reads the features z(0) of z(1) = x.

    Carrying u from 0 to 1 under f is carrying it from 1 to 0 under -f, which is a field
    that enters the square if f leaves it.
    """
    rng = np.random.default_rng(100 + seed)
    W, b = rng.normal(size=(3, 2)), rng.normal(size=3)
    f = shallow(seed, -1)
    points, u = collocated_transport(lambda z: -f(z), W, b, n=24, half_width=1.0, n_steps=200)
    x, u = points.reshape(-1, 2), u.reshape(-1, 3)
    network = along_characteristics(f, x, 0.0, 1.0) @ W.T + b
    assert distance(u, network) > tolerances.ERRATA_9_PRINTED_MARGIN
    backward = along_characteristics(f, x, 1.0, 0.0) @ W.T + b
    assert distance(u, backward) < tolerances.ERRATA_9_COLLOCATION


def test_9_forms_agree_where_nothing_moves():
    """The two forms differ by the direction of time alone: f = 0 cannot tell them apart."""
    W, b = np.array([[2.0]]), np.array([1.0])

    def zero(t):
        return np.zeros((1, 1))

    for ends in ((1.0, 0.0), (0.0, 1.0)):
        P, q = affine_transport(zero, lambda t: np.zeros(1), W, b, *ends)
        assert np.array_equal(P, W)
        assert np.array_equal(q, b)
