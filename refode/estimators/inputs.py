"""What users give an estimator, as arrays: weights of samples, and how columns are scaled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import validate_data

from refode import _validate
from refode._numbers import as_array
from refode._quiet import quietly
from refode._weights import checked
from refode.problems.scaling import Scaling

Array = np.ndarray

#: A standardised column has no entry further from 0 than this.
FURTHEST = 4.0


def validated(estimator: Any, X: Any, *y: Any, **how: Any) -> Any:
    """``validate_data`` of scikit-learn's, which would read what stands under a mask as numbers."""
    for name, given in zip(("X", "y"), (X, *y), strict=False):
        without_mask(name, given)
    return validate_data(estimator, X, *y, **how)


def without_mask(name: str, given: Any) -> None:
    """TypeError for a masked array."""
    if isinstance(given, np.ma.MaskedArray):
        as_array(name, given)


def weight_of(sample_weight: Any, X: Array) -> Array | None:
    """Weights (N,), or None for equal ones, given or not: these are to be the same bits.

    Raises
    ------
    ValueError
        Another length than X's, a number that is negative or not finite, nothing but zeros.
    """
    if sample_weight is None:
        return None
    without_mask("sample_weight", sample_weight)
    weight = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    if weight.ndim != 1:
        raise ValueError(f"sample_weight: got shape {weight.shape}, wanted ({len(X)},)")
    check_consistent_length(X, weight)
    return _varying("sample_weight", weight)


def by_class(class_weight: Any, y: Array, weight: Array | None) -> Array | None:
    """Weights (N,) of samples that count by their classes too; None for equal ones.

    Where classes are balanced, it is what their samples weigh that is: a whole weight does as
    repeated samples would.

    Raises
    ------
    TypeError, ValueError
        Naming ``class_weight``.
    """
    own = np.ones(len(y)) if weight is None else _of_order_one(weight)
    if isinstance(class_weight, str) and class_weight == "balanced":
        _, labels = np.unique(y, return_inverse=True)
        share = np.bincount(labels, own)
        factor = (share.sum() / (len(share) * share))[labels]
    elif isinstance(class_weight, Mapping):
        factor = compute_sample_weight(dict(class_weight), y)
        _varying("class_weight", factor)
    else:
        text = isinstance(class_weight, str)
        got = repr(class_weight) if text else _validate.shown(class_weight)
        raise (ValueError if text else TypeError)(
            f"class_weight: got {got}, wanted a dict, 'balanced' or None"
        )
    return _varying("class_weight", _of_order_one(factor) * own)


def _of_order_one(weight: Array) -> Array:
    """The weights by a power of two, so that no product of them overflows or vanishes."""
    return np.ldexp(weight, -np.frexp(weight.max())[1])


def _varying(name: str, weight: Array) -> Array | None:
    """The weights, or None for equal ones; ValueError unless they are weights."""
    weight = checked(name, weight, len(weight))
    return None if weight.min() == weight.max() else weight


def counted(weight: Array | None, *arrays: Any) -> tuple[Any, ...]:
    """The samples of positive weight, and their weights: what has weight 0 is as good as absent."""
    if weight is None or weight.min() > 0.0:
        return (*arrays, weight)
    kept = weight > 0.0
    return (*(array[kept] for array in arrays), weight[kept])


def common_scaling_of(name: str, x: Array, weight: Array | None) -> Scaling:
    """Each column's mean, and one scale for all: the root of the mean variance."""
    scaling = scaling_of(name, x, weight)
    varying = x.min(axis=0) < x.max(axis=0)
    largest = scaling.scale.max(where=varying, initial=0.0) or 1.0
    shares = np.where(varying, scaling.scale / largest, 0.0)  # whose squares do not overflow
    one = largest * (np.sqrt((shares**2).mean()) or 1.0)
    return Scaling(scaling.shift, np.full(x.shape[1], one))


def scaling_of(name: str, x: Array, weight: Array | None, bounded: bool = False) -> Scaling:
    """By weighted means and deviations of the columns; with repeated samples to rounding the same.

    With `bounded`, a column that has entries more than ``FURTHEST`` deviations away is divided by
    a quarter of the largest distance instead: one that is constant but for a few samples would
    else have numbers in it that drown all others.
    """
    scaling = Scaling.of(name, x, weight)
    if not bounded:
        return scaling
    with quietly():
        reach = np.abs(x - scaling.shift).max(axis=0) / FURTHEST
    return Scaling(scaling.shift, np.maximum(scaling.scale, np.where(np.isfinite(reach), reach, 0)))
