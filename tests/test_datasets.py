"""Each data set is what its definition says, sample by sample and in distribution."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import integrate, special, stats
from tolerances import (
    DATASETS_KS_CRITICAL,
    DATASETS_MOMENT_SIGMAS,
    DATASETS_ROUNDING,
)

from refode import datasets
from refode.datasets import real, spheres

NAMES = st.sampled_from(datasets.names())
NOISY = ("donut1d", "donut2d", "spiral", "squares", "swiss_roll", "two_moons")
SIZE = st.integers(1, 60)
SEED = st.integers(0, 2**32)
MANY = 100_000


def drawn_from(samples: np.ndarray, cdf: Callable) -> None:
    """Kolmogorov-Smirnov: the samples' distribution function is `cdf`."""
    distance = stats.ks_1samp(samples, cdf).statistic
    assert distance < DATASETS_KS_CRITICAL / np.sqrt(len(samples))


def uniform(low: float = 0.0, high: float = 1.0) -> Callable:
    return stats.uniform(low, high - low).cdf


def angle(x: np.ndarray) -> np.ndarray:
    return np.arctan2(x[:, 1], x[:, 0])


def rows(x: np.ndarray) -> np.ndarray:
    """The rows in lexical order, to compare sets of points."""
    return x[np.lexsort(x.T)]


# --- what they share ---------------------------------------------------------------------


def test_the_names():
    assert datasets.names() == (
        "annuli",
        "donut1d",
        "donut2d",
        "ellipses",
        "spiral",
        "squares",
        "swiss_roll",
        "two_moons",
    )
    for name in datasets.names():
        assert datasets.get(name) is getattr(datasets, name)


@given(name=NAMES, n=SIZE, seed=SEED)
@settings(deadline=None)
def test_form_and_balance(name, n, seed):
    x, y = datasets.get(name)(n, seed)
    assert x.shape == (n, 2)
    assert x.dtype == np.float64
    assert x.flags.c_contiguous
    assert np.isfinite(x).all()
    assert y.shape == (n,)
    assert y.dtype == np.int64
    assert y.flags.c_contiguous
    assert np.bincount(y, minlength=2).tolist() == [(n + 1) // 2, n // 2]


@given(name=NAMES, n=SIZE, seed=SEED)
@settings(deadline=None)
def test_a_seed_names_the_samples(name, n, seed):
    x, y = datasets.get(name)(n, seed=seed)
    again, y_again = datasets.get(name)(n, seed)
    assert np.array_equal(x, again)
    assert np.array_equal(y, y_again)
    # as sets of points: another order of the same ones would be no new sample
    assert not np.isin(datasets.get(name)(n, seed + 1)[0], x).any()


@pytest.mark.parametrize("name", datasets.names())
def test_seed_zero_is_the_default_and_globals_do_not_matter(name):
    x, y = datasets.get(name)(30)
    np.random.seed(7)  # noqa: NPY002
    again, y_again = datasets.get(name)(30, seed=0)
    assert np.array_equal(x, again)
    assert np.array_equal(y, y_again)


@pytest.mark.parametrize("name", datasets.names())
def test_samples_come_shuffled(name):
    _, y = datasets.get(name)(MANY, seed=3)
    # a run of one class has mean length 2
    changes = np.count_nonzero(np.diff(y))
    assert abs(changes - MANY / 2) < DATASETS_MOMENT_SIGMAS * np.sqrt(MANY) / 2


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize("noise", [0.05, 0.3])
def test_noise_is_normal_and_leaves_points_and_labels(name, noise):
    clean, y = datasets.get(name)(MANY, seed=5, noise=0.0)
    noisy, y_noisy = datasets.get(name)(MANY, seed=5, noise=noise)
    assert np.array_equal(y, y_noisy)
    added = (noisy - clean) / noise
    for coordinate in added.T:
        drawn_from(coordinate, stats.norm.cdf)
    assert abs(np.mean(added[:, 0] * added[:, 1])) < DATASETS_MOMENT_SIGMAS / np.sqrt(MANY)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("donut1d", 0.1),
        ("donut2d", 0.1),
        ("spiral", 0.05),
        ("squares", 0.1),
        ("swiss_roll", 0.0),
        ("two_moons", 0.1),
    ],
)
def test_default_noise(name, published):
    generator = datasets.get(name)
    assert np.array_equal(generator(9)[0], generator(9, noise=published)[0])


# --- the plane ---------------------------------------------------------------------------


@given(n=SIZE, seed=SEED, gap=st.sampled_from([0.0, 0.5]))
@settings(deadline=None)
def test_ellipses_label_is_the_side_of_the_ellipse(n, seed, gap):
    x, y = datasets.ellipses(n, seed, gap=gap)
    r = np.hypot(x[:, 0], x[:, 1] / 0.4)
    assert np.all(r[y == 0] < 1.0 + DATASETS_ROUNDING)
    assert np.all(r[y == 1] > 1.0 + gap - DATASETS_ROUNDING)
    assert np.all(r[y == 1] < 2.0 + gap + DATASETS_ROUNDING)


def test_ellipses_have_no_gap_by_default():
    x, y = datasets.ellipses(MANY, seed=1)
    r = np.hypot(x[:, 0], x[:, 1] / 0.4)
    for k in (0, 1):
        assert r[y == k].max() < k + 1 + DATASETS_ROUNDING
        drawn_from(r[y == k], uniform(k, k + 1))
        drawn_from(angle(x[y == k] / (1.0, 0.4)), uniform(-np.pi, np.pi))


@given(n=SIZE, seed=SEED, spacing=st.sampled_from(["random", "regular"]))
@settings(deadline=None)
def test_swiss_roll_lies_on_its_arms(n, seed, spacing):
    x, y = datasets.swiss_roll(n, seed, spacing=spacing)
    t = np.hypot(x[:, 0], x[:, 1]) - 0.2 * y
    assert np.all((t >= -DATASETS_ROUNDING) & (t <= 1.0 + DATASETS_ROUNDING))
    r, theta = t + 0.2 * y, 4 * np.pi * t
    assert_allclose(x, np.c_[r * np.cos(theta), r * np.sin(theta)], atol=DATASETS_ROUNDING)


def test_swiss_roll_spacings():
    x, y = datasets.swiss_roll(2 * MANY, seed=2)
    t = np.hypot(x[:, 0], x[:, 1]) - 0.2 * y
    for k in (0, 1):
        drawn_from(t[y == k], uniform())
    # the published set: 513 points an arm, t = 0, 1/512, ..., 1
    x, y = datasets.swiss_roll(1026, spacing="regular")
    t = np.hypot(x[:, 0], x[:, 1]) - 0.2 * y
    for k in (0, 1):
        assert_allclose(np.sort(t[y == k]), np.arange(513) / 512, atol=DATASETS_ROUNDING)


@given(n=SIZE, seed=SEED)
@settings(deadline=None)
def test_donut1d_lies_on_a_line(n, seed):
    x, y = datasets.donut1d(n, seed, noise=0.0)
    assert np.all(x[:, 1] == 0.0)
    assert np.all(np.abs(x[y == 0, 0]) <= 1.0)


def test_donut1d_densities():
    x, y = datasets.donut1d(MANY, seed=1, noise=0.0)
    ends = stats.truncnorm(-5, 5, loc=0.5, scale=0.1).cdf
    drawn_from(x[y == 0, 0], lambda z: 0.5 * (1 - ends(-z) + ends(z)))
    drawn_from(x[y == 1, 0], stats.norm(0, 0.1).cdf)


def test_donut2d_densities():
    x, y = datasets.donut2d(MANY, seed=1, noise=0.0)
    r = np.hypot(x[:, 0], x[:, 1])
    assert np.all(r[y == 0] <= 1.0 + DATASETS_ROUNDING)
    grid = np.linspace(0, 1, 2001)
    mass = integrate.cumulative_simpson(
        grid * np.exp(-((grid - 0.5) ** 2) / (2 * 0.1**2)), x=grid, initial=0
    )
    drawn_from(r[y == 0], lambda s: np.interp(s, grid, mass / mass[-1]))
    drawn_from(r[y == 1], stats.rayleigh(scale=0.1).cdf)
    for k in (0, 1):
        drawn_from(angle(x[y == k]), uniform(-np.pi, np.pi))


@given(n=SIZE, seed=SEED)
@settings(deadline=None)
def test_squares_label_is_the_sign_of_the_product(n, seed):
    x, y = datasets.squares(n, seed, noise=0.0)
    assert np.array_equal(y, x[:, 0] * x[:, 1] > 0)
    assert np.all(np.abs(x) <= 0.7)


def test_squares_are_uniform():
    x, y = datasets.squares(MANY, seed=4, noise=0.0)
    for k in (0, 1):
        for coordinate in x[y == k].T:
            drawn_from(coordinate, uniform(-0.7, 0.7))
        # independent but for the sign of their product
        product = np.abs(x[y == k, 0] * x[y == k, 1]) / 0.49
        drawn_from(product, lambda p: p - special.xlogy(p, p))


@given(n=SIZE, seed=SEED, spacing=st.sampled_from(["random", "regular"]))
@settings(deadline=None)
def test_spiral_lies_on_its_arms(n, seed, spacing):
    x, y = datasets.spiral(n, seed, noise=0.0, spacing=spacing)
    r = np.hypot(x[:, 0], x[:, 1])
    t = (r - 0.1) / 0.9
    assert np.all((t >= -DATASETS_ROUNDING) & (t <= 1.0 + DATASETS_ROUNDING))
    # the published code turns the arm with label 1 by pi
    a = 0.1 + (2 * np.pi - 0.1) * t + np.pi * y
    assert_allclose(x, np.c_[r * np.cos(a), r * np.sin(a)], atol=DATASETS_ROUNDING)


def test_spiral_spacings():
    x, y = datasets.spiral(202, noise=0.0)
    r = np.hypot(x[:, 0], x[:, 1])
    for k in (0, 1):
        assert_allclose(np.sort(r[y == k]), np.linspace(0.1, 1, 101), atol=DATASETS_ROUNDING)
    x, y = datasets.spiral(MANY, noise=0.0, spacing="random")
    for k in (0, 1):
        drawn_from(np.hypot(*x[y == k].T), uniform(0.1, 1.0))


@given(n=SIZE, seed=SEED)
@settings(deadline=None)
def test_two_moons_are_half_circles(n, seed):
    x, y = datasets.two_moons(n, seed, noise=0.0)
    upper, lower = x[y == 0], x[y == 1] - (1.0, 0.5)
    assert_allclose(np.hypot(*upper.T), 1.0, atol=DATASETS_ROUNDING)
    assert_allclose(np.hypot(*lower.T), 1.0, atol=DATASETS_ROUNDING)
    assert np.all(upper[:, 1] >= -DATASETS_ROUNDING)
    assert np.all(lower[:, 1] <= DATASETS_ROUNDING)


def test_two_moons_are_uniform_in_angle():
    x, y = datasets.two_moons(MANY, seed=2, noise=0.0)
    drawn_from(angle(x[y == 0]), uniform(0.0, np.pi))
    drawn_from(angle(x[y == 1] - (1.0, 0.5)), uniform(-np.pi, 0.0))


# --- spheres -----------------------------------------------------------------------------

RADII = st.sampled_from([(0.5, 1.0, 1.5), (1.0, 1.01, 4.0), (1e-3, 2.0, 2.5)])


@given(dim=st.integers(1, 6), n=SIZE, seed=SEED, radii=RADII)
@settings(deadline=None)
def test_annuli_carry_the_values_of_g(dim, n, seed, radii):
    r1, r2, r3 = radii
    x, y = datasets.annuli(n, seed, dim=dim, r1=r1, r2=r2, r3=r3)
    assert x.shape == (n, dim)
    assert x.flags.c_contiguous
    r = np.sqrt(np.sum(x**2, axis=1))
    assert np.all(r[y == 0] <= r1)
    assert np.all((r[y == 1] >= r2) & (r[y == 1] <= r3))
    assert np.array_equal(datasets.g(x, r1, r2, r3), 2.0 * y - 1.0)


@pytest.mark.parametrize("dim", range(1, 7))
def test_annuli_are_uniform_in_volume(dim):
    x, y = datasets.annuli(MANY, seed=dim, dim=dim)
    volume = np.sum(x**2, axis=1) ** (dim / 2)
    drawn_from(volume[y == 0], uniform(0.0, 0.5**dim))
    drawn_from(volume[y == 1], uniform(1.0, 1.5**dim))
    direction = x / np.linalg.norm(x, axis=1, keepdims=True)
    for k in (0, 1):
        u = direction[y == k]
        bound = DATASETS_MOMENT_SIGMAS / np.sqrt(len(u))
        assert np.all(np.abs(u.mean(axis=0)) < bound)
        assert np.all(np.abs(u.T @ u / len(u) - np.eye(dim) / dim) < bound)
        if dim > 1:  # a coordinate of a uniform direction
            for coordinate in u.T:
                drawn_from((1 + coordinate) / 2, stats.beta((dim - 1) / 2, (dim - 1) / 2).cdf)


def test_annuli_default_to_the_published_radii_in_the_plane():
    x, y = datasets.annuli(50, seed=8)
    again, _ = datasets.annuli(50, seed=8, dim=2, r1=0.5, r2=1.0, r3=1.5)
    assert np.array_equal(x, again)
    assert np.array_equal(datasets.g(x), 2.0 * y - 1.0)


@pytest.mark.parametrize("dim", [784, 20_000])
def test_annuli_in_high_dimension(dim):
    # 1.5**20000 is beyond float64, and all radii are within rounding of the outer ones
    x, y = datasets.annuli(40, dim=dim)
    assert np.isfinite(x).all()
    assert np.array_equal(datasets.g(x), 2.0 * y - 1.0)


@pytest.mark.parametrize("dim", [*range(1, 7), 100, 1000])
@pytest.mark.parametrize("draw", [0.0, 1.0 - 2.0**-53])
def test_annuli_round_to_the_right_side(dim, draw, monkeypatch):
    # random() may return either, but too rarely for a seed to show it
    rng = np.random.default_rng(6)
    extreme = SimpleNamespace(
        standard_normal=rng.standard_normal,
        permutation=rng.permutation,
        random=lambda n: np.full(n, draw),
    )
    monkeypatch.setattr(spheres, "start", lambda n, seed: (n, extreme))
    for radii in ((0.5, 1.0, 1.5), (0.1, 0.3, 0.7)):
        x, y = datasets.annuli(400, dim=dim, r1=radii[0], r2=radii[1], r3=radii[2])
        assert np.array_equal(datasets.g(x, *radii), 2.0 * y - 1.0)


def test_g_on_and_off_its_domain():
    r = np.array([0.0, 0.3, 0.5, 0.51, 0.75, 0.99, 1.0, 1.2, 1.5, 1.51])
    want = [-1, -1, -1, np.nan, np.nan, np.nan, 1, 1, 1, np.nan]
    for x in (r[:, None], -r[:, None], np.c_[0 * r, r, 0 * r]):
        np.testing.assert_array_equal(datasets.g(x), want)
    np.testing.assert_array_equal(datasets.g([[3, 4], [0, 1]], 1, 5, 6), [1, -1])


def test_anode_1d():
    x, y = datasets.anode_1d()
    assert x.dtype == y.dtype == np.float64
    assert x.tolist() == [[-1.0], [1.0]]
    assert y.tolist() == [[1.0], [-1.0]]
    assert not np.shares_memory(x, y)


# --- real data ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def raw():
    source = pytest.importorskip("sklearn.datasets")
    return {"digits": source.load_digits(), "breast_cancer": source.load_breast_cancer()}


REAL = pytest.mark.parametrize("name", ["digits", "breast_cancer"])
FRACTION = pytest.mark.parametrize("fraction", [0.25, 0.1, 0.6])


@REAL
@FRACTION
def test_split_uses_each_sample_once(raw, name, fraction):
    split, y = getattr(datasets, name)(fraction, seed=3), raw[name].target
    together = np.concatenate((split.train_index, split.test_index))
    assert np.array_equal(np.sort(together), np.arange(len(y)))
    assert np.array_equal(split.y_train, y[split.train_index])
    assert np.array_equal(split.y_test, y[split.test_index])
    assert len(split.x_train) == len(split.y_train)
    assert len(split.x_test) == len(split.y_test)
    for x, labels in ((split.x_train, split.y_train), (split.x_test, split.y_test)):
        assert x.dtype == np.float64
        assert x.flags.c_contiguous
        assert labels.dtype == np.int64


@REAL
@FRACTION
def test_split_is_stratified(raw, name, fraction):
    split = getattr(datasets, name)(fraction, seed=4)
    whole = np.bincount(raw[name].target)
    assert np.all(np.abs(np.bincount(split.y_test) - fraction * whole) <= 0.5)


@REAL
def test_split_is_seeded_and_shuffled(raw, name):
    load = getattr(datasets, name)
    split, again, other = load(seed=1), load(0.25, 1), load(seed=2)
    for field in ("x_train", "y_train", "x_test", "y_test", "train_index", "test_index"):
        assert np.array_equal(getattr(split, field), getattr(again, field))
    assert set(split.test_index) != set(other.test_index)
    assert np.any(np.diff(split.test_index) < 0)
    # and not class after class
    assert len(set(split.y_test[:20])) > 1


def test_digits(raw):
    split = datasets.digits()
    assert split.x_train.shape == (1347, 64)
    assert split.x_test.shape == (450, 64)
    assert np.array_equal(split.x_train, raw["digits"].data[split.train_index] / 16)
    assert np.array_equal(split.x_test, raw["digits"].data[split.test_index] / 16)
    assert len(split.feature_names) == 64
    assert split.class_names == tuple("0123456789")


def test_breast_cancer_is_standardised_by_the_training_part(raw):
    split, data = datasets.breast_cancer(), raw["breast_cancer"].data
    train = data[split.train_index]
    for x, index in ((split.x_train, split.train_index), (split.x_test, split.test_index)):
        want = (data[index] - np.mean(train, axis=0)) / np.std(train, axis=0)
        assert_allclose(x, want, atol=DATASETS_ROUNDING, rtol=DATASETS_ROUNDING)
    assert_allclose(split.x_train.mean(axis=0), 0.0, atol=DATASETS_ROUNDING)
    assert_allclose(split.x_train.var(axis=0), 1.0, atol=DATASETS_ROUNDING)
    assert split.x_train.shape[1] == len(split.feature_names) == 30
    assert split.class_names == ("malignant", "benign")


@REAL
def test_the_test_part_does_not_leak_into_training(raw, name, monkeypatch):
    load = getattr(datasets, name)
    before = load(seed=5)
    data = raw[name].data.copy()
    data[before.test_index] = -1e9
    spoilt = SimpleNamespace(**{**raw[name], "data": data})
    monkeypatch.setattr(real, "_load", lambda _: spoilt)
    after = load(seed=5)
    assert np.array_equal(before.x_train, after.x_train)
    assert not np.isclose(before.x_test, after.x_test).any()


@given(m=st.integers(2, 6), seed=SEED, n=st.integers(24, 90))
@settings(deadline=None)
def test_stratified_parts(m, seed, n):
    y = np.random.default_rng(seed).permutation(np.arange(n) % m)
    train, test = real.stratified(y, 0.4, seed)
    assert np.array_equal(np.sort(np.concatenate((train, test))), np.arange(n))
    assert np.all(np.abs(np.bincount(y[test], minlength=m) - 0.4 * np.bincount(y)) <= 0.5)


def test_split_is_frozen(raw):
    split = datasets.digits()
    with pytest.raises(AttributeError):
        split.x_train = split.x_test


def test_the_datasets_module_does_not_import_scikit_learn():
    code = "import sys, refode.datasets as d; d.ellipses(3); assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@REAL
def test_missing_scikit_learn_says_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=rf"{name}.*pip install refode\[data\]"):
        getattr(datasets, name)()


# --- bad input ---------------------------------------------------------------------------


def refused(error: type[Exception], message: str):
    return pytest.raises(error, match="^" + re.escape(message))


@pytest.mark.parametrize("name", datasets.names())
@pytest.mark.parametrize(
    ("n", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (3.0, TypeError),
        (True, TypeError),
        ("3", TypeError),
        (None, TypeError),
        (np.array([3]), TypeError),
    ],
)
def test_bad_n(name, n, error):
    with refused(error, "n: got "):
        datasets.get(name)(n)


@pytest.mark.parametrize("name", [*datasets.names(), "digits", "breast_cancer"])
@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (0.5, TypeError), (None, TypeError)])
def test_bad_seed(name, seed, error):
    generator = getattr(datasets, name)
    with refused(error, "seed: got "):
        generator(4, seed=seed) if name in datasets.names() else generator(seed=seed)


NUMBERS = [
    (-0.1, ValueError),
    (np.nan, ValueError),
    (np.inf, ValueError),
    ("0.1", TypeError),
    (True, TypeError),
    (1j, TypeError),
]


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize(("noise", "error"), NUMBERS)
def test_bad_noise(name, noise, error):
    with refused(error, "noise: got "):
        datasets.get(name)(4, noise=noise)


@pytest.mark.parametrize(("gap", "error"), NUMBERS)
def test_bad_gap(gap, error):
    with refused(error, "gap: got "):
        datasets.ellipses(4, gap=gap)


@pytest.mark.parametrize("name", ["spiral", "swiss_roll"])
def test_bad_spacing(name):
    with refused(ValueError, "spacing: got 'even', wanted one of 'regular', 'random'"):
        datasets.get(name)(4, spacing="even")


@pytest.mark.parametrize(("dim", "error"), [(0, ValueError), (2.0, TypeError), (True, TypeError)])
def test_bad_dim(dim, error):
    with refused(error, "dim: got "):
        datasets.annuli(4, dim=dim)


@pytest.mark.parametrize(
    ("radii", "error", "message"),
    [
        ((0.0, 1.0, 2.0), ValueError, "r1, r2, r3: got 0.0, 1.0, 2.0, wanted 0 < r1 < r2 < r3"),
        ((-1.0, 1.0, 2.0), ValueError, "r1, r2, r3: got"),
        ((1.0, 1.0, 2.0), ValueError, "r1, r2, r3: got"),
        ((1.0, 2.0, 2.0), ValueError, "r1, r2, r3: got"),
        ((1.0, 3.0, 2.0), ValueError, "r1, r2, r3: got"),
        ((np.nan, 1.0, 2.0), ValueError, "r1: got"),
        ((0.5, "1", 2.0), TypeError, "r2: got"),
        ((0.5, 1.0, np.inf), ValueError, "r3: got"),
    ],
)
def test_bad_radii(radii, error, message):
    r1, r2, r3 = radii
    with refused(error, message):
        datasets.annuli(4, r1=r1, r2=r2, r3=r3)
    with refused(error, message):
        datasets.g(np.ones((2, 2)), r1, r2, r3)


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (np.ones(2), ValueError),
        (np.ones((0, 2)), ValueError),
        ([[np.nan]], ValueError),
        ([[1j]], TypeError),
    ],
)
def test_bad_points_of_g(x, error):
    with refused(error, "x: got "):
        datasets.g(x)


@REAL
@pytest.mark.parametrize(
    ("fraction", "error"),
    NUMBERS,
)
def test_bad_test_fraction(name, fraction, error):
    with refused(error, "test_fraction: got "):
        getattr(datasets, name)(fraction)


@REAL
@pytest.mark.parametrize("fraction", [-0.1, 0, 0.0, 1, 1.0, 1.5])
def test_a_fraction_out_of_range(name, fraction):
    message = f"test_fraction: got {float(fraction)}, wanted a number between 0 and 1"
    with refused(ValueError, message):
        getattr(datasets, name)(fraction)


@REAL
@pytest.mark.parametrize("fraction", [1e-6, 1 - 1e-6])
def test_a_fraction_that_empties_a_part(raw, name, fraction):
    with pytest.raises(ValueError, match=r"test_fraction: got .* of class 0 .* at least one"):
        getattr(datasets, name)(fraction)


def test_unknown_name_lists_the_known():
    known = ", ".join(map(repr, datasets.names()))
    with refused(ValueError, f"name: got 'moons', wanted one of {known}"):
        datasets.get("moons")
    with refused(TypeError, "name: got 3 (int), wanted a str"):
        datasets.get(3)
