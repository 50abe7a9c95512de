"""Energies inside kernels: what they add, their derivatives by the complex step, their door."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import tolerances as tol
from contract import close
from hypothesis import given, settings
from hypothesis import strategies as st

from refode.costs.energies import Energy, energy, energy_gradient
from refode.games import GaussianBump, Nothing, Quadratic
from refode.machine.compile import kernel

pytestmark = pytest.mark.nojit

D, N = 3, 5
TINY = 1e-200


class RingSpec(NamedTuple):
    """height exp(-(|x|^2 - r^2)^2)."""

    height: float
    radius: float


class Ring(Energy):
    """An energy of somebody's own."""

    def __init__(self, height, radius):
        self.spec = RingSpec(height, radius)

    def description(self):
        return self.spec


@energy.register(RingSpec)
def ring_energy(Q, Z, out):
    for s in range(out.shape[0]):
        u = Z[0, s] * 0 - Q.radius * Q.radius
        for i in range(Z.shape[0]):
            u += Z[i, s] * Z[i, s]
        out[s] += Q.height * np.exp(-u * u)


@energy_gradient.register(RingSpec)
def ring_energy_gradient(Q, Z, weight, Z_bar):
    for s in range(weight.shape[0]):
        u = Z[0, s] * 0 - Q.radius * Q.radius
        for i in range(Z.shape[0]):
            u += Z[i, s] * Z[i, s]
        for i in range(Z.shape[0]):
            Z_bar[i, s] += weight[s] * Q.height * np.exp(-u * u) * (-4.0 * u * Z[i, s])


def bump():
    return GaussianBump(3.0, [0.2, -0.1], [[1.0, 0.2], [0.2, 0.5]])


ENERGIES = {
    "nothing": Nothing(),
    "bump": bump(),
    "bowls": Quadratic(0.7, [0.3, -0.2, 1.0]),
    "ring": Ring(0.9, 1.3),
    "sum": Quadratic(0.4, 0.1) + bump() + Ring(0.9, 1.3),
}


@kernel
def both(Q, Z, weight, out, Z_bar):
    """Both bodies."""
    energy(Q, Z, out)
    energy_gradient(Q, Z, weight, Z_bar)


def run(Q, x, weight, start=0.0):
    """Q (N,) and weight grad Q (N, D), added to what was there."""
    out = np.full(len(x), start, x.dtype)
    Z_bar = np.full(x.T.shape, start, x.dtype)
    both(Q.description(), np.ascontiguousarray(x.T), weight.astype(x.dtype), out, Z_bar)
    return out, Z_bar.T


def drawn():
    """Points, directions and weights of both signs, one of them 0."""
    rng = np.random.default_rng(3)
    return rng.standard_normal((N, D)), rng.standard_normal((N, D)), np.arange(N) - 1.5


@pytest.mark.parametrize("name", ENERGIES)
def test_bodies_add(name):
    """To what the rows held; the gradient by its sample's weight, as the public methods say."""
    Q, (x, _, weight) = ENERGIES[name], drawn()
    out, Z_bar = run(Q, x, weight, start=0.5)
    close(out, 0.5 + Q.value(x), tol.FIELD_VALUE)
    close(Z_bar, 0.5 + weight[:, None] * Q.gradient(x), tol.FIELD_VALUE)


@pytest.mark.parametrize("name", ENERGIES)
def test_complex_step_through_the_bodies(name):
    """It gives the gradient from the value, and from the gradient a symmetric Hessian.

    That, the gradient's own differences give too.
    """
    Q, (x, v, weight) = ENERGIES[name], drawn()
    ones = np.ones(N)
    out, Z_bar = run(Q, x + 1j * TINY * v, ones)
    close(out.imag / TINY, (Q.gradient(x) * v).sum(axis=1), tol.FIELD_VALUE)
    h = 1e-5
    central = (Q.gradient(x + h * v) - Q.gradient(x - h * v)) / (2 * h)
    close(Z_bar.imag / TINY, central, tol.TARGET_CURVATURE)
    w = x[::-1] + 0.3
    other = run(Q, x + 1j * TINY * w, ones)[1].imag / TINY
    close((other * v).sum(axis=1), (Z_bar.imag / TINY * w).sum(axis=1), tol.FIELD_VALUE)
    # weights that carry a derivative of their own
    Z_bar = np.zeros((D, N), complex)
    moved = weight + 1j * TINY * (weight + 2.0)
    both(Q.description(), np.ascontiguousarray(x.T, complex), moved, np.zeros(N, complex), Z_bar)
    close(Z_bar.T.imag / TINY, (weight + 2.0)[:, None] * Q.gradient(x), tol.FIELD_VALUE)


def test_far_away_a_bump_is_gone_and_not_undefined():
    x = np.array([[1e3, 0.0, 0.0], [-1e150, 1e3, 2.0]])
    assert np.array_equal(bump().value(x), np.zeros(2))
    assert np.array_equal(bump().gradient(x), np.zeros((2, 3)))


def test_variances_may_be_a_number_a_diagonal_or_a_matrix():
    x = drawn()[0]
    for short, S in ((0.4, 0.4 * np.eye(2)), ([0.4, 0.9], np.diag([0.4, 0.9]))):
        given_short, full = GaussianBump(2.0, [0.1, 0.3], short), GaussianBump(2.0, [0.1, 0.3], S)
        assert np.array_equal(given_short.value(x), full.value(x))


def test_a_bump_weighs_its_height():
    """Its integral over the leading coordinates, on a grid, whatever the others are."""
    t = np.linspace(-9.0, 9.0, 181)
    X, Y = np.meshgrid(t, t)
    x = np.column_stack([X.ravel(), Y.ravel(), np.full(X.size, 77.0)])
    close(bump().value(x).sum() * (t[1] - t[0]) ** 2, 3.0, tol.FIELD_VALUE)


def test_sums():
    """In any order and grouping; nothing adds nothing; each part refuses what it cannot live on."""
    x, a, b, c = drawn()[0], bump(), Quadratic(0.3, 0.2), Ring(1.0, 1.0)
    want = a.value(x) + b.value(x) + c.value(x)
    for total in (
        (a + b) + c,
        a + (b + c),
        c + a + b,
        a + b + Nothing() + c,
        Nothing() + a + b + c,
    ):
        close(total.value(x), want, tol.FIELD_VALUE)
    assert Nothing() + a is a
    assert not Nothing()
    assert not Nothing() + Nothing()
    assert a + Nothing()
    wrong = Quadratic(1.0, [0.0, 0.0])
    for total in (b + wrong, wrong + b, a + (b + wrong)):
        with pytest.raises(ValueError, match=r"^obstacle: got .* shape \(2,\), wanted \(3,\)"):
            total.check_dim(3)
    with pytest.raises(TypeError):
        a + 1.0


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 4), d=st.integers(1, 4), k=st.integers(1, 4), q=st.integers(1, 4))
def test_shapes(n, d, k, q):
    """(N,) and (N, d) wherever an energy lives; a ValueError that names it elsewhere."""
    Q, x = GaussianBump(1.0, np.zeros(k), 1.0) + Quadratic(1.0, np.zeros(q)), np.zeros((n, d))
    if k <= d and q == d:
        assert Q.value(x).shape == (n,)
        assert Q.gradient(x).shape == (n, d)
    else:
        for call in (Q.value, Q.gradient):
            with pytest.raises(ValueError, match="^obstacle: got a (GaussianBump|Quadratic)"):
                call(x)
    for bad in (x[0], x[None], x[:0], x * np.nan, x.astype(complex)):
        with pytest.raises((TypeError, ValueError), match="^x: got"):
            Q.value(bad)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GaussianBump("high", [0.0], 1.0), "^height: got"),
        (lambda: GaussianBump(1e300, np.zeros(20), 1e-4), "^height: got 1e.300 .* beyond float64"),
        (lambda: GaussianBump(0.0, np.zeros(100), 1e-8), "^height: got 0.0 .* beyond float64"),
        (lambda: GaussianBump(1.0, 0.0, 1.0), "^mean: got"),
        (lambda: GaussianBump(1.0, [0.0, 0.0], [1.0] * 3), r"^covariance: .*\(3,\), wanted \(2,\)"),
        (lambda: GaussianBump(1.0, [0.0, 0.0], [1.0, -1.0]), "^covariance: got"),
        (lambda: GaussianBump(1.0, [0.0, 0.0], [[1.0, 0.5], [0.4, 1.0]]), "^covariance: got"),
        (lambda: GaussianBump(1.0, [0.0, 0.0], np.eye(3)), "^covariance: got"),
        (lambda: Quadratic(-1e-3), "^k: got"),
        (lambda: Quadratic(1.0, [[0.0]]), "^q: got"),
        (lambda: Quadratic(1.0, "here"), "^q: got"),
    ],
)
def test_bad_energies_are_refused_by_name(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_energies_stay_as_they_were_checked():
    q = np.zeros(2)
    bowl, hill = Quadratic(1.0, q), bump()
    q[0] = 5.0
    assert bowl.value(np.zeros((1, 2)))[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        bowl.q[0] = 5.0
    for energy_of, name in ((bowl, "k"), (bowl, "q"), (hill, "height"), (bowl + hill, "first")):
        with pytest.raises(AttributeError, match=f"^{name}: got 7.0"):
            setattr(energy_of, name, 7.0)
