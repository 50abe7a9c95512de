"""The form that every synthetic data set shares, and what they refuse."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import DATASETS_MOMENT_SIGMAS

from refode import datasets

NAMES = st.sampled_from(datasets.names())
NOISY = ("donut1d", "donut2d", "spiral", "squares", "swiss_roll", "two_moons")
SIZE = st.integers(1, 60)
SEED = st.integers(0, 2**32)
MANY = 100_000


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


@pytest.mark.parametrize("name", datasets.names())
@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (0.5, TypeError), (None, TypeError)])
def test_bad_seed(name, seed, error):
    with refused(error, "seed: got "):
        datasets.get(name)(4, seed=seed)


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


def test_unknown_name_lists_the_known():
    known = ", ".join(map(repr, datasets.names()))
    with refused(ValueError, f"name: got 'moons', wanted one of {known}"):
        datasets.get("moons")
    with refused(TypeError, "name: got 3 (int), wanted a str"):
        datasets.get(3)
