"""The real data sets are split without leakage, and come only where scikit-learn does."""

from __future__ import annotations

import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from tolerances import DATASETS_ROUNDING

from refode import datasets
from refode.datasets import real

SEED = st.integers(0, 2**32)


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


@REAL
@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (0.5, TypeError), (None, TypeError)])
def test_bad_seed(name, seed, error):
    with refused(error, "seed: got "):
        getattr(datasets, name)(seed=seed)


NUMBERS = [
    (-0.1, ValueError),
    (np.nan, ValueError),
    (np.inf, ValueError),
    ("0.1", TypeError),
    (True, TypeError),
    (1j, TypeError),
]


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
