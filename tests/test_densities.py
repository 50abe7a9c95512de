"""Densities against SciPy's and against an oracle that the complex step differentiates."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import special, stats
from tolerances import (
    DATASETS_KS_CRITICAL,
    DATASETS_MOMENT_SIGMAS,
    DENSITY_FAR,
    DENSITY_GRADIENT,
    DENSITY_GRID,
    DENSITY_SCIPY,
    DENSITY_VALUE,
)

from refode import densities
from refode.densities import Density, Empirical, Gaussian, GaussianMixture

SEED = st.integers(0, 2**32)
DIM = st.integers(1, 6)
ROWS = st.integers(1, 7)
COMPONENTS = st.integers(1, 4)
MANY = 100_000


def covariance(rng: np.random.Generator, d: int) -> np.ndarray:
    """Symmetric positive definite, eigenvalues from about 0.1 to a few."""
    b = rng.standard_normal((d, d))
    return b @ b.T / d + 0.1 * np.eye(d)


def gaussian(rng: np.random.Generator, d: int) -> Gaussian:
    return Gaussian(rng.standard_normal(d), covariance(rng, d))


def mixture(rng: np.random.Generator, d: int, k: int) -> GaussianMixture:
    w = rng.uniform(0.2, 1.0, k)
    covariances = [covariance(rng, d) for _ in range(k)]
    return GaussianMixture(w / w.sum(), 2 * rng.standard_normal((k, d)), covariances)


def parts(p: Density) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Weight, mean and covariance of each component."""
    if isinstance(p, GaussianMixture):
        return list(zip(p.weights, p.means, p.covariances, strict=True))
    assert isinstance(p, Gaussian)
    return [(1.0, p.mean, p.covariance)]


def oracle(p: Density, x: np.ndarray) -> np.ndarray:
    """log rho at real or complex points, as the definitions have it."""
    logs = []
    for w, m, s in parts(p):
        square = np.einsum("ni,ij,nj->n", x - m, np.linalg.inv(s), x - m)
        logs.append(np.log(w) - square / 2 - np.log(np.linalg.det(2 * np.pi * s)) / 2)
    top = np.max(np.real(logs), axis=0)
    return top + np.log(np.sum(np.exp(logs - top), axis=0))


def agree(got: np.ndarray, want: np.ndarray, tolerance: float) -> None:
    """To `tolerance` of the largest entry, or of 1."""
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= tolerance * max(1.0, np.abs(want).max())


def refused(error: type[Exception], message: str):
    return pytest.raises(error, match="^" + re.escape(message))


# --- values and gradients ----------------------------------------------------------------


@given(d=DIM, n=ROWS, seed=SEED)
@settings(deadline=None)
def test_gaussian_against_scipy_and_the_complex_step(d, n, seed):
    rng = np.random.default_rng(seed)
    p, x = gaussian(rng, d), 2 * rng.standard_normal((n, d))
    scipys = stats.multivariate_normal(p.mean, p.covariance).logpdf(x)
    agree(p.log_density(x), np.atleast_1d(scipys), DENSITY_SCIPY)
    same_as_the_oracle(p, x)


@given(d=DIM, k=COMPONENTS, n=ROWS, seed=SEED)
@settings(deadline=None)
def test_mixture_against_scipy_and_the_complex_step(d, k, n, seed):
    rng = np.random.default_rng(seed)
    p, x = mixture(rng, d, k), 2 * rng.standard_normal((n, d))
    scipys = [stats.multivariate_normal(m, s).logpdf(x) for _, m, s in parts(p)]
    each = np.reshape(scipys, (k, n)) + np.log(p.weights)[:, None]
    agree(p.log_density(x), special.logsumexp(each, axis=0), DENSITY_SCIPY)
    same_as_the_oracle(p, x)


def same_as_the_oracle(p: Density, x: np.ndarray) -> None:
    agree(p.log_density(x), oracle(p, x), DENSITY_VALUE)
    steps = 1e-200j * np.eye(p.dim)
    want = np.column_stack([oracle(p, x + step).imag / 1e-200 for step in steps])
    got = p.log_density_gradient(x)
    assert got.dtype == np.float64
    assert got.flags.c_contiguous
    agree(got, want, DENSITY_GRADIENT)


@given(d=DIM, k=COMPONENTS, seed=SEED)
@settings(deadline=None)
def test_numbers_stand_for_multiples_of_the_identity(d, k, seed):
    rng = np.random.default_rng(seed)
    s, w, means = rng.uniform(0.1, 3.0, k), np.full(k, 1 / k), rng.standard_normal((k, d))
    assert np.array_equal(Gaussian(means[0], s[0]).covariance, s[0] * np.eye(d))
    assert np.array_equal(GaussianMixture(w, means, s).covariances, s[:, None, None] * np.eye(d))
    one = GaussianMixture(w, means, float(s[0]))
    assert np.array_equal(one.covariances, np.tile(s[0] * np.eye(d), (k, 1, 1)))


@given(d=DIM, seed=SEED)
@settings(deadline=None)
def test_a_mixture_of_one_is_a_gaussian(d, seed):
    rng = np.random.default_rng(seed)
    p, x = gaussian(rng, d), rng.standard_normal((5, d))
    alone = GaussianMixture([1.0], [p.mean], [p.covariance])
    agree(alone.log_density(x), p.log_density(x), DENSITY_VALUE)
    agree(alone.log_density_gradient(x), p.log_density_gradient(x), DENSITY_VALUE)
    same_as_the_oracle(p, p.mean[None])
    same_as_the_oracle(alone, p.mean[None])


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("k", [0, 1, 3])
def test_mass_and_moments_on_a_grid(d, k):
    """The trapezoidal rule converges faster than any power here."""
    rng = np.random.default_rng(d + 10 * k)
    p: Density = mixture(rng, d, k) if k else gaussian(rng, d)
    axis = np.linspace(-25, 25, 801)
    x = np.stack(np.meshgrid(*[axis] * d), axis=-1).reshape(-1, d)
    mass = np.exp(p.log_density(x)) * (axis[1] - axis[0]) ** d
    assert abs(mass.sum() - 1.0) < DENSITY_GRID
    mean = sum(w * m for w, m, _ in parts(p))
    second = sum(w * (s + np.outer(m, m)) for w, m, s in parts(p))
    assert_allclose(mass @ x, mean, atol=DENSITY_GRID)
    assert_allclose(x.T @ (mass[:, None] * x), second, atol=DENSITY_GRID * 10)
    # E grad log rho = 0 and E (grad log rho) x^T = -I, by parts
    g = p.log_density_gradient(x)
    assert_allclose(mass @ g, 0.0, atol=DENSITY_GRID)
    assert_allclose(g.T @ (mass[:, None] * x), -np.eye(d), atol=DENSITY_GRID * 10)


@pytest.mark.parametrize("distance", [1e3, 1e8, 1e100, 1e200, 1e300])
def test_far_out_the_nearest_component_remains(distance):
    """Nearest by its own covariance: the wide one, though its mean is on the other side."""
    wide, narrow = Gaussian([-5.0, 1.0], 4.0), Gaussian([5.0, 0.0], 1.0)
    p = GaussianMixture([0.25, 0.75], [wide.mean, narrow.mean], [4.0, 1.0])
    x = distance * np.array([[1.0, 0.5], [-1.0, 0.0], [0.0, 1.0]])
    with np.errstate(all="raise", under="ignore"):
        value, gradient = p.log_density(x), p.log_density_gradient(x)
        alone, slope = wide.log_density(x), wide.log_density_gradient(x)
    assert_allclose(gradient, -(x - wide.mean) / 4, rtol=DENSITY_FAR)
    assert_allclose(slope, -(x - wide.mean) / 4, rtol=DENSITY_FAR)
    if distance > 1e154:
        assert np.all(value == -np.inf)
        assert np.all(alone == -np.inf)
    else:
        square = np.sum((x - wide.mean) ** 2, axis=1) / 8
        want = np.log(0.25) - square - np.log(2 * np.pi * 4)
        assert_allclose(value, want, rtol=DENSITY_FAR)
        assert_allclose(alone, want - np.log(0.25), rtol=DENSITY_FAR)


def test_half_way_between_two_components():
    p = GaussianMixture([0.5, 0.5], [[-40.0, 0.0], [40.0, 0.0]], 1.0)
    x = np.array([[0.0, 0.0], [0.0, 3.0], [0.01, 0.0]])
    # grad log rho = (-x1 + 40 tanh(40 x1), -x2)
    want = np.c_[-x[:, 0] + 40 * np.tanh(40 * x[:, 0]), -x[:, 1]]
    agree(p.log_density_gradient(x), want, DENSITY_VALUE * 40)


# --- samples -----------------------------------------------------------------------------


@pytest.mark.parametrize(("d", "k"), [(1, 0), (3, 0), (1, 3), (3, 4)])
def test_samples_have_the_density(d, k):
    """Moments, the distribution of projections, and independence of neighbours."""
    rng = np.random.default_rng(100 * d + k)
    p: Density = mixture(rng, d, k) if k else gaussian(rng, d)
    x = p.sample(MANY, seed=7)
    mean = sum(w * m for w, m, _ in parts(p))
    second = sum(w * (s + np.outer(m - mean, m - mean)) for w, m, s in parts(p))
    y = x - mean
    bound = DATASETS_MOMENT_SIGMAS * np.sqrt(np.diag(second) / MANY)
    assert np.all(np.abs(y.mean(axis=0)) < bound)
    products = y[:, :, None] * y[:, None, :]
    bound = DATASETS_MOMENT_SIGMAS * products.std(axis=0) / np.sqrt(MANY)
    assert np.all(np.abs(products.mean(axis=0) - second) < bound)
    for shift in (1, 2, MANY // 4):
        correlation = y[shift:].T @ y[:-shift] / (MANY - shift)
        bound = DATASETS_MOMENT_SIGMAS / np.sqrt(MANY - shift)
        assert np.all(np.abs(correlation) < bound * np.sqrt(np.outer(*[np.diag(second)] * 2)))
    for u in (*np.eye(d), *rng.standard_normal((4, d))):

        def cdf(t: np.ndarray, u: np.ndarray = u) -> np.ndarray:
            return sum(w * special.ndtr((t - m @ u) / np.sqrt(u @ s @ u)) for w, m, s in parts(p))

        distance = stats.ks_1samp(x @ u, cdf).statistic
        assert distance < DATASETS_KS_CRITICAL / np.sqrt(MANY)


@given(d=DIM, k=COMPONENTS, n=ROWS, seed=SEED)
@settings(deadline=None)
def test_a_seed_names_the_samples(d, k, n, seed):
    rng = np.random.default_rng(seed)
    for p in (gaussian(rng, d), mixture(rng, d, k), Empirical(rng.standard_normal((9, d)))):
        x = p.sample(n, seed)
        assert x.shape == (n, d)
        assert x.dtype == np.float64
        assert x.flags.carray
        assert np.array_equal(x, p.sample(n, seed=seed))
        assert np.array_equal(p.sample(n), p.sample(n, seed=0))
        if not isinstance(p, Empirical):
            assert not np.isin(p.sample(n, seed + 1), x).any()


@given(size=st.integers(1, 9), n=st.integers(1, 40), seed=SEED)
@settings(deadline=None)
def test_an_empirical_density_is_drawn_evenly(size, n, seed):
    samples = np.random.default_rng(seed).standard_normal((size, 2))
    x = Empirical(samples).sample(n, seed)
    counts = np.count_nonzero(np.all(x[:, None] == samples, axis=2), axis=0)
    assert counts.sum() == n
    assert counts.min() >= n // size
    assert counts.max() <= -(-n // size)


def test_an_empirical_density_is_drawn_at_random():
    """Every sample equally often, in every place, from whichever seed."""
    p = Empirical(np.arange(5.0)[:, None])
    x = np.array([p.sample(7, seed)[:, 0] for seed in range(4000)]).astype(int)
    bound = DATASETS_MOMENT_SIGMAS * np.sqrt(4000 * 0.2 * 0.8)
    for place in x.T:
        assert np.all(np.abs(np.bincount(place, minlength=5) - 800) < bound)


# --- what they hold ----------------------------------------------------------------------


def test_arrays_are_read_only_copies():
    mean, s, samples = np.zeros(2), np.eye(2), np.ones((3, 2))
    weights, means, covariances = np.array([0.5, 0.5]), np.ones((2, 2)), np.array([np.eye(2)] * 2)
    held = {
        Gaussian(mean, s): ("mean", "covariance", "cholesky"),
        GaussianMixture(weights, means, covariances): ("weights", "means", "covariances"),
        Empirical(samples): ("samples",),
    }
    given_arrays = (mean, s, samples, weights, means, covariances)
    for p, names in held.items():
        assert isinstance(p, Density)
        assert p.dim == 2
        again = eval(repr(p), {type(p).__name__: type(p)})
        assert repr(again) == repr(p)
        for name in names:
            array = getattr(p, name)
            assert array.dtype == np.float64
            assert not any(np.shares_memory(array, a) for a in given_arrays)
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 7.0
    assert all(a.flags.writeable for a in given_arrays)


@given(d=DIM, seed=SEED)
@settings(deadline=None)
def test_cholesky_factor(d, seed):
    p = gaussian(np.random.default_rng(seed), d)
    assert np.array_equal(p.cholesky, np.tril(p.cholesky))
    assert np.all(np.diag(p.cholesky) > 0)
    agree(p.cholesky @ p.cholesky.T, p.covariance, DENSITY_VALUE)


@pytest.mark.parametrize("scale", [1e-140, 1.0, 1e140])
def test_units_do_not_decide_what_is_positive_definite(scale):
    units = scale * np.array([1e-8, 1.0, 1e8])
    correlation = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, -0.3], [0.2, -0.3, 1.0]])
    p = Gaussian(np.zeros(3), correlation * units * units[:, None])
    want = np.linalg.cholesky(correlation) * units[:, None]
    assert_allclose(p.cholesky, want, rtol=DENSITY_VALUE)
    with refused(ValueError, "covariance: got a matrix, smallest eigenvalue"):
        Gaussian(np.zeros(3), np.outer(units, units))


def test_rounding_of_symmetry_is_forgiven():
    s = np.array([[1.0, 0.3], [0.3 + 1e-16, 2.0]])
    p = Gaussian([0.0, 0.0], s)
    assert np.array_equal(p.covariance, p.covariance.T)
    with refused(ValueError, "covariance: got 0.3 at index (0, 1) and 0.30001 at (1, 0), wanted"):
        Gaussian([0.0, 0.0], [[1.0, 0.3], [0.30001, 2.0]])


# --- bad input ---------------------------------------------------------------------------

EYE = np.eye(2)
MIXED = {"weights": [0.5, 0.5], "means": np.zeros((2, 2)), "covariances": 1.0}
BAD: list[tuple[type, dict, type[Exception], str]] = [
    (Gaussian, {"mean": 0.0, "covariance": 1.0}, ValueError, "mean: got an array of shape ()"),
    (Gaussian, {"mean": [], "covariance": 1.0}, ValueError, "mean: got an empty array"),
    (Gaussian, {"mean": [np.nan], "covariance": 1.0}, ValueError, "mean: got nan"),
    *[
        (Gaussian, {"mean": [0.0, 0.0], "covariance": s}, error, f"covariance: got {message}")
        for s, error, message in [
            (0.0, ValueError, "0.0 times the identity, smallest eigenvalue 0.0, wanted a sym"),
            (-2, ValueError, "-2.0 times the identity, smallest eigenvalue -2.0, wanted a sym"),
            (np.nan, ValueError, "nan, wanted a finite number"),
            ("1", TypeError, "'1' (str), wanted a real number"),
            (True, TypeError, "True (bool), wanted a real number"),
            (1j, TypeError, "1j (complex), wanted a real number"),
            (None, TypeError, "None (NoneType), wanted a real number"),
            ([1.0, 1.0], ValueError, "an array of shape (2,), wanted (2, 2)"),
            (np.eye(3), ValueError, "an array of shape (3, 3), wanted (2, 2)"),
            (np.full((2, 2), np.inf), ValueError, "inf at index (0, 0)"),
            (EYE * 1j, TypeError, "an array of dtype complex128"),
            ([[1.0, 2.0], [2.0, 1.0]], ValueError, "a matrix, smallest eigenvalue -1.0"),
            ([[1.0, 0.0], [0.0, 0.0]], ValueError, "a matrix, smallest eigenvalue 0.0"),
            ([[1.0, 1.0], [1.0, 1.0]], ValueError, "a matrix, smallest eigenvalue "),
            ([[1.0, 0.1], [-0.1, 1.0]], ValueError, "0.1 at index (0, 1) and -0.1 at (1, 0)"),
        ]
    ],
    *[
        (GaussianMixture, {**MIXED, name: value}, error, f"{name}{message}")
        for name, value, error, message in [
            ("weights", [0.5, 0.4], ValueError, ": got numbers with sum 0.9, wanted sum 1 within"),
            ("weights", [0.5, 0.5 + 1e-11], ValueError, ": got numbers with sum 1.00000000001"),
            ("weights", [1.0, 0.0], ValueError, ": got 0.0 at index 1, wanted positive numbers"),
            ("weights", [-0.5, 1.5], ValueError, ": got -0.5 at index 0, wanted positive numbers"),
            ("weights", [0.5, np.nan], ValueError, ": got nan at index 1"),
            ("weights", ["a", "b"], TypeError, ": got an array of dtype"),
            ("means", np.zeros((3, 2)), ValueError, ": got an array of shape (3, 2), wanted (2, d"),
            ("means", np.zeros(2), ValueError, ": got an array of shape (2,), wanted (2, d)"),
            ("means", np.zeros((2, 0)), ValueError, ": got an empty array"),
            ("means", [[0, np.inf], [0, 0]], ValueError, ": got inf"),
            ("covariances", 0.0, ValueError, ": got 0.0 times the identity"),
            ("covariances", "1", TypeError, ": got '1' (str), wanted a real number"),
            ("covariances", [1.0, 1.0, 1.0], ValueError, ": got an array of shape (3,), wanted (2"),
            ("covariances", [1.0, -1.0], ValueError, "[1]: got -1.0 times the identity, smallest"),
            ("covariances", EYE, ValueError, ": got an array of shape (2, 2), wanted (2, 2, 2)"),
            ("covariances", [EYE, -EYE], ValueError, "[1]: got a matrix, smallest eigenvalue -1"),
            ("covariances", [EYE, np.eye(3)], TypeError, ": got "),
        ]
    ],
    (Empirical, {"samples": np.zeros(3)}, ValueError, "samples: got an array of shape (3,)"),
    (Empirical, {"samples": np.zeros((0, 2))}, ValueError, "samples: got an empty array"),
    (Empirical, {"samples": None}, TypeError, "samples: got "),
]


@pytest.mark.parametrize(("kind", "arguments", "error", "message"), BAD)
def test_bad_constructions(kind, arguments, error, message):
    with np.errstate(all="raise"), refused(error, message):
        kind(**arguments)


DENSITIES = pytest.mark.parametrize(
    "p",
    [
        Gaussian([0.0, 0.0], 1.0),
        GaussianMixture([0.5, 0.5], np.zeros((2, 2)), 1.0),
        Empirical(np.zeros((3, 2))),
    ],
    ids=repr,
)


@DENSITIES
@pytest.mark.parametrize(
    ("n", "seed", "error", "message"),
    [
        (0, 0, ValueError, "n: got 0"),
        (-1, 0, ValueError, "n: got -1"),
        (2.0, 0, TypeError, "n: got"),
        (2, -1, ValueError, "seed: got -1"),
        (2, None, TypeError, "seed: got"),
    ],
)
def test_bad_draws(p, n, seed, error, message):
    with refused(error, message):
        p.sample(n, seed)


@DENSITIES
def test_bad_points_and_unknown_densities(p):
    for method in ("log_density", "log_density_gradient"):
        function = getattr(p, method)
        if isinstance(p, Empirical):
            with refused(ValueError, f"{method}: got an Empirical density, of which only samples"):
                function(np.zeros((1, 2)))
            continue
        for x in (np.zeros(2), np.zeros((2, 3)), np.zeros((0, 2)), [[0.0, np.nan]]):
            with refused(ValueError, "x: got "):
                function(x)
        for x in (np.zeros((2, 2), dtype=complex), "x", None):
            with refused(TypeError, "x: got "):
                function(x)


def test_the_public_names():
    assert densities.__all__ == ["Density", "Empirical", "Gaussian", "GaussianMixture"]
    with pytest.raises(TypeError, match="abstract"):
        Density()
