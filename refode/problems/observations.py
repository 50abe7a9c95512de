"""What is observed of trajectories: when, what, what is missing, and how sure it is."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refode import _validate
from refode._fixed import Fixed
from refode._numbers import as_array, at, first, to_float64
from refode._quiet import quietly
from refode._shown import as_called

Array = np.ndarray


class Observations(Fixed):
    """Values observed of N trajectories at K times, in m channels. Attributes are set once.

    Parameters
    ----------
    times : array_like, (K,) or (N, K)
        When: the same times for all samples, or each sample's own. Within a sample they rise
        throughout, or fall (all samples alike). Where nothing is observed of a sample a time of
        its own may be NaN, so that samples of fewer times are padded. A time does not come
        twice: of repeated measurements give the mean, with the sum of their weights.
    values : array_like, (N, K, m)
        What. NaN is missing.
    mask : array_like of bool, (N, K, m), optional
        True where the value counts. Elsewhere it may be anything and is never computed with.
    weights : array_like, optional
        1/sigma^2 of the values, as a number, (m,) or (N, K, m); 0 is missing.
    inputs : (array_like, array_like), optional
        What drives the field: times (K_u,), and (N, K_u, q) numbers at these.

    Attributes
    ----------
    times, values, weights, there : ndarray, read-only
        Weights are (N, K, m), 0 where missing; values are 0 and ``there`` False in these places.
    n_samples, n_times, n_channels, n_observed : int
        N, K, m, and how many numbers are not missing.
    total : float
        Sum of the weights.
    weighted : bool
        Whether weights were given, so that the noise's size is known.
    inputs : (ndarray, ndarray) or None
        Read-only.

    Raises
    ------
    TypeError, ValueError
        Naming the argument: arrays of other shapes, infinite or negative numbers, times that
        neither rise nor fall, nothing observed at all.

    Examples
    --------
    >>> import numpy as np, refode
    >>> y = refode.Observations([0.1, 0.5, 0.7], [[[1.0], [np.nan], [2.0]]])
    >>> y.n_samples, y.n_times, y.n_channels, y.n_observed, y.total
    (1, 3, 1, 2, 2.0)
    """

    @quietly()
    def __init__(
        self,
        times: ArrayLike,
        values: ArrayLike,
        mask: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        inputs: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> None:
        found = to_float64("values", values)
        if found.ndim != 3 or not found.size:
            raise ValueError(
                f"values: got an array of shape {found.shape}, wanted (N, K, m) with entries"
            )
        there = _mask(mask, found.shape) & ~np.isnan(found)
        known = _weights(weights, found.shape, there)
        self.weights = _closed(np.where(there, known, 0.0))
        self.there = there = self.weights > 0.0
        there.flags.writeable = False
        if np.isinf(found[there]).any():
            index = first(np.isinf(found) & there)
            raise ValueError(
                f"values: got {found[index]} at {at(index)}, wanted finite numbers, or NaN for "
                "what is missing"
            )
        if not there.any():
            raise ValueError("values: got nothing but missing ones, wanted at least one observed")
        self.values = _closed(np.where(there, found, 0.0))
        self.times = _closed(_times(times, there))
        self.n_samples, self.n_times, self.n_channels = found.shape
        self.n_observed = int(there.sum())
        self.total = float(self.weights.sum())
        if not np.isfinite(self.total):
            raise ValueError("weights: got a sum beyond float64, wanted a finite one")
        self.weighted = weights is not None
        self.inputs = None if inputs is None else inputs_of(inputs, len(found))
        self._fingerprint = self._digest()

    @property
    def own(self) -> bool:
        """Whether each sample has times of its own."""
        return self.times.ndim == 2

    def fingerprint(self) -> str:
        """What a checkpoint knows them by: equal observations, equal text."""
        return self._fingerprint

    def _digest(self) -> str:
        arrays = self.times, self.values, self.weights, *(self.inputs or ())
        return f"Observations{self.values.shape} {digest_of(*arrays)}"

    def __len__(self) -> int:
        return self.n_samples

    def __getitem__(self, rows: Any) -> Observations:
        """Those of some samples: a slice, or an array of their numbers."""
        if not isinstance(rows, slice):
            rows = np.atleast_1d(as_array("rows", rows))
        t, inputs = self.times[rows] if self.own else self.times, self.inputs
        inputs = None if inputs is None else (inputs[0], inputs[1][rows])
        weights = self.weights[rows] if self.weighted else None
        return Observations(t, self.values[rows], self.there[rows], weights, inputs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Observations):
            return NotImplemented
        return self.fingerprint() == other.fingerprint()

    def __hash__(self) -> int:
        return hash(self.fingerprint())

    def __repr__(self) -> str:
        given = {"mask": None if self.there.all() else self.there}
        if self.weighted:
            given = {"weights": self.weights}
        return as_called(self, self.times, self.values, **given, inputs=self.inputs)


def _closed(array: Array) -> Array:
    """A C-contiguous copy, read-only."""
    array = np.array(array, dtype=float, order="C")
    array.flags.writeable = False
    return array


def _mask(mask: Any, shape: tuple[int, ...]) -> Array:
    if mask is None:
        return np.ones(shape, bool)
    found = as_array("mask", mask)
    if found.dtype.kind != "b":
        raise TypeError(f"mask: got an array of dtype {found.dtype}, wanted bool")
    if found.shape != shape:
        raise ValueError(f"mask: got an array of shape {found.shape}, wanted {shape} as values")
    return found


def _weights(weights: Any, shape: tuple[int, ...], there: Array) -> Array:
    if weights is None:
        return np.ones(shape)
    found = to_float64("weights", weights)
    if found.shape not in ((), shape[2:], shape):
        raise ValueError(
            f"weights: got an array of shape {found.shape}, wanted a number, {shape[2:]} or {shape}"
        )
    found = np.broadcast_to(found, shape)
    wrong = there & ~((found >= 0.0) & np.isfinite(found))
    if wrong.any():
        index = first(wrong)
        raise ValueError(f"weights: got {found[index]} at {at(index)}, wanted finite numbers >= 0")
    return found


def _times(times: Any, there: Array) -> Array:
    """Times, in order; NaN where one of a sample's own has nothing observed."""
    n, k, _ = there.shape
    axes = _validate.n_axes(times)
    found = to_float64("times", times)
    wanted = (n, k) if axes == 2 else (k,)
    if found.shape != wanted:
        raise ValueError(
            f"times: got an array of shape {found.shape}, wanted ({k},) or ({n}, {k}), for values "
            f"of shape {there.shape}"
        )
    needed = there.any(axis=2) if axes == 2 else np.ones(k, bool)
    wrong = ~np.isfinite(found) & (needed | ~np.isnan(found))
    if wrong.any():
        index = first(wrong)
        raise ValueError(f"times: got {found[index]} at {at(index)}, wanted finite numbers")
    rows = np.atleast_2d(found)
    way = _way(rows)
    for i, row in enumerate(rows):
        _check_order(row, way, i if axes == 2 else None)
    return found


def _way(rows: Array) -> float:
    """1 where times rise, -1 where they fall, by the first sample that has two."""
    for row in rows:
        known = row[~np.isnan(row)]
        if len(known) > 1 and known[0] != known[-1]:
            return 1.0 if known[-1] > known[0] else -1.0
    return 1.0


def _check_order(row: Array, way: float, sample: int | None) -> None:
    places = np.flatnonzero(~np.isnan(row))
    wrong = way * np.diff(row[places]) <= 0.0
    if wrong.any():
        i = int(np.argmax(wrong))
        a, b = places[i], places[i + 1]
        whose = "" if sample is None else f" of sample {sample}"
        again = row[a] == row[b]
        raise ValueError(
            f"times: got {row[a]} at index {a}{whose} and "
            f"{'the same again' if again else row[b]} at index {b}, wanted times that rise "
            "throughout, or fall"
            + (" (of repeated measurements the mean, with their weights' sum)" if again else "")
        )


def digest_of(*arrays: Array) -> str:
    """What arrays are known by: equal ones, of equal shapes, by equal text."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def inputs_of(inputs: Any, n: int) -> tuple[Array, Array]:
    if not isinstance(inputs, tuple | list) or len(inputs) != 2:
        raise TypeError(f"inputs: got {_validate.shown(inputs)}, wanted a pair (times, values)")
    times = _validate.real_array("inputs[0]", inputs[0], ("K_u",))
    if len(times) < 2 or (np.diff(times) <= 0.0).any():
        raise ValueError("inputs[0]: got times that do not rise, wanted at least two that do")
    values = _validate.real_array("inputs[1]", inputs[1], (n, len(times), "q"))
    return _closed(times), _closed(values)
