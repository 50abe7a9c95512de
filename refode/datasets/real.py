"""Real data, from the optional dependency scikit-learn, split into parts.

scikit-learn is imported by the functions here, when they are called, and never before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode import _validate
from refode._quiet import quietly
from refode.datasets._sampling import Float64, Labels

__all__ = ["Split", "breast_cancer", "breast_cancer_density", "digits", "wine_density"]

Parts = tuple[Float64, Float64, Float64]


@dataclass(frozen=True, eq=False)
class Split:
    """A labelled data set, split into a training and a test part.

    Attributes
    ----------
    x_train, x_test : ndarray, shape (n_train, d) and (n_test, d)
        Features, scaled, without physical dimension.
    y_train, y_test : ndarray of int64, shape (n_train,) and (n_test,)
        Labels 0..m-1.
    feature_names : tuple of str
        The d features' names.
    class_names : tuple of str
        The m classes' names, in the order of the labels.
    train_index, test_index : ndarray of int64, shape (n_train,) and (n_test,)
        Which rows of the whole data set the parts are.
    """

    x_train: Float64
    y_train: Labels
    x_test: Float64
    y_test: Labels
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    train_index: NDArray[np.int64]
    test_index: NDArray[np.int64]


@quietly()
def digits(test_fraction: float = 0.25, seed: int = 0) -> Split:
    """Load scikit-learn's handwritten digits: 1797 images of 8 by 8 pixels, 10 classes.

    The pixels, 0 to 16, are divided by 16. No statistics of the data enter, so the test part
    cannot leak into the training part.

    Source: E. Alpaydin and C. Kaynak, "Optical recognition of handwritten digits", UCI
    Machine Learning Repository (1998), the test set, as shipped with scikit-learn.

    Parameters
    ----------
    test_fraction : float
        Part of every class that goes into the test part, rounded to whole samples.
    seed : int
        Seed of the split.

    Returns
    -------
    Split
        With d = 64 features in [0, 1].

    Raises
    ------
    TypeError, ValueError
        `test_fraction` is no number in (0, 1), or leaves a part without a sample of some
        class; `seed` is no int >= 0.
    ImportError
        scikit-learn is missing.
    """
    test_fraction, seed = _checked(test_fraction, seed)
    raw = _load("digits")
    train, test = stratified(raw.target, test_fraction, seed)
    return _split(np.asarray(raw.data, dtype=np.float64) / 16.0, raw, train, test)


@quietly()
def breast_cancer(test_fraction: float = 0.25, seed: int = 0) -> Split:
    """Load scikit-learn's breast cancer data: 569 tumours, 30 features, 2 classes.

    Each feature is shifted and scaled to mean 0 and variance 1 on the training part, and the
    test part is shifted and scaled by the same numbers: no statistics of the test part
    enter.

    Source: W. Wolberg, O. Mangasarian, N. Street, W. Street, "Breast cancer Wisconsin
    (diagnostic)", UCI Machine Learning Repository (1995), as shipped with scikit-learn.
    Label 0 is malignant, 1 benign.

    Parameters
    ----------
    test_fraction : float
        Part of every class that goes into the test part, rounded to whole samples.
    seed : int
        Seed of the split.

    Returns
    -------
    Split
        With d = 30 standardised features.

    Raises
    ------
    TypeError, ValueError
        `test_fraction` is no number in (0, 1), or leaves a part without a sample of some
        class; `seed` is no int >= 0.
    ImportError
        scikit-learn is missing.
    """
    test_fraction, seed = _checked(test_fraction, seed)
    raw = _load("breast_cancer")
    train, test = stratified(raw.target, test_fraction, seed)
    return _split(_standardised(raw, train), raw, train, test)


@quietly()
def wine_density(seed: int = 0) -> Parts:
    """Load scikit-learn's wine data without labels: 178 wines, a density in 13 dimensions.

    A fifth of the samples, rounded, is the validation part, another fifth the test part, and
    the rest the training part, in shuffled order. Each feature is shifted and scaled to mean
    0 and variance 1 on the training part, the others by the same numbers: no statistics of
    theirs enter.

    Source: S. Aeberhard and M. Forina, "Wine", UCI Machine Learning Repository (1991), as
    shipped with scikit-learn.

    Parameters
    ----------
    seed : int
        Seed of the split.

    Returns
    -------
    train, validation, test : ndarray, shape (106, 13), (36, 13) and (36, 13)
        Standardised features.

    Raises
    ------
    TypeError, ValueError
        `seed` is no int >= 0.
    ImportError
        scikit-learn is missing.
    """
    return _density("wine", seed)


@quietly()
def breast_cancer_density(seed: int = 0) -> Parts:
    """Load the data of `breast_cancer` without labels: 569 tumours, a density in 30 dimensions.

    Parted and standardised as those of `wine_density`. Many of the features measure nearly
    the same, so the density is concentrated near a space of fewer dimensions.

    Parameters
    ----------
    seed : int
        Seed of the split.

    Returns
    -------
    train, validation, test : ndarray, shape (341, 30), (114, 30) and (114, 30)
        Standardised features.

    Raises
    ------
    TypeError, ValueError
        `seed` is no int >= 0.
    ImportError
        scikit-learn is missing.
    """
    return _density("breast_cancer", seed)


@quietly()
def stratified(
    y: NDArray[np.integer[Any]], test_fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split 0..len(y)-1 into training and test indices, the same part of every class.

    Returns
    -------
    train, test : ndarray of int64
        Every index once, in shuffled order.

    Raises
    ------
    ValueError
        A class is left without a training or without a test sample.
    """
    rng = np.random.default_rng(seed)
    train, test = [], []
    for k in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == k))
        n_test = round(test_fraction * len(members))
        if not 0 < n_test < len(members):
            raise ValueError(
                f"test_fraction: got {test_fraction}, which puts {n_test} of the {len(members)} "
                f"samples of class {k} into the test part, wanted at least one in either part"
            )
        test.append(members[:n_test])
        train.append(members[n_test:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(test))


def _checked(test_fraction: float, seed: int) -> tuple[float, int]:
    fraction = _validate.real_number("test_fraction", test_fraction)
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"test_fraction: got {fraction}, wanted a number between 0 and 1")
    return fraction, _validate.nonnegative_int("seed", seed)


def _load(name: str) -> Any:
    """Return scikit-learn's data set of that name, or say how to install it."""
    try:
        from sklearn import datasets  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise ImportError(
            f"the data set {name!r} comes with scikit-learn, which could not be imported; "
            "install it by: pip install refode[data]"
        ) from error
    return getattr(datasets, f"load_{name}")()


def _standardised(raw: Any, train: NDArray[np.int64]) -> Float64:
    """Return all samples, with mean 0 and variance 1 of each feature on the rows `train`."""
    x = np.asarray(raw.data, dtype=np.float64)
    return (x - x[train].mean(axis=0)) / x[train].std(axis=0)


def _density(name: str, seed: int) -> Parts:
    rng = np.random.default_rng(_validate.nonnegative_int("seed", seed))
    raw = _load(name)
    order = rng.permutation(len(raw.data))
    held_out = round(len(order) / 5)
    validation, test, train = np.split(order, (held_out, 2 * held_out))
    x = _standardised(raw, train)
    return x[train], x[validation], x[test]


def _split(x: Float64, raw: Any, train: NDArray[np.int64], test: NDArray[np.int64]) -> Split:
    y = raw.target.astype(np.int64)
    return Split(
        x_train=x[train],
        y_train=y[train],
        x_test=x[test],
        y_test=y[test],
        feature_names=tuple(map(str, raw.feature_names)),
        class_names=tuple(map(str, raw.target_names)),
        train_index=train,
        test_index=test,
    )
