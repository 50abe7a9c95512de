"""What a problem's methods take after theta: arrays of samples, and by name their weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from refode._numbers import as_array
from refode._weights import checked
from refode.ode.placement import hosted
from refode.problems.contract import Problem
from refode.problems.observations import Observations
from refode.training import checkpoint as files
from refode.training.records import Float64


@dataclass(frozen=True)
class Samples:
    """Arrays of data, and a weight for each sample where there are any.

    Attributes
    ----------
    arrays : tuple
        What a problem's methods take after theta.
    weight : (N,) or None
        What they take by the name sample_weight.
    """

    arrays: tuple[Any, ...]
    weight: Float64 | None = None

    @property
    def named(self) -> dict[str, Any]:
        """What is given by name: nothing, where there are no weights."""
        return {} if self.weight is None else {"sample_weight": self.weight}

    def placed(self, problem: Problem) -> Samples:
        """The same where the problem's sweeps run."""
        return Samples(*problem.placed_with(self.arrays, self.weight))

    def fingerprints(self, name: str) -> dict[str, str | None]:
        """What a checkpoint knows them by: each array's, as an item of `name`."""
        weight = () if self.weight is None else (self.weight,)
        entries = enumerate((*self.arrays, *weight))
        return {f"{name}[{i}]": files.fingerprint(name, array) for i, array in entries}


def samples_of(problem: Problem, x: Any, y: Any, sample_weight: Any = None) -> Samples:
    """What the problem's methods take after theta: x, y where there is one, and the weights.

    Raises
    ------
    TypeError, ValueError
        Too many arrays or too few, a problem that takes no weights, weights that are none.
    """
    arrays = problem.data((x,) if y is None else (x, y))
    if sample_weight is None:
        return Samples(arrays)
    return Samples(arrays, weight_of("sample_weight", problem, sample_weight, arrays))


def weight_of(name: str, problem: Problem, weight: Any, arrays: tuple[Any, ...]) -> Float64:
    """Weights (N,) of the samples in `arrays`, checked: finite, not negative, not all zero."""
    problem.weighted(weight, name)
    return checked(name, weight, rows("x", arrays[0]))


def rows(name: str, array: Any) -> int:
    """How many samples an array has: the length of its first axis."""
    if isinstance(array, Observations):
        return len(array)
    array = as_array(name, hosted(array))
    if not array.ndim:
        raise ValueError(f"{name}: got an array of shape (), wanted samples along its first axis")
    return len(array)


def chosen_from(name: str, array: Any) -> Any:
    """The same, of which an array of numbers chooses samples."""
    return array if isinstance(array, Observations) else as_array(name, hosted(array))


def paired(given: Samples, like: Samples) -> Iterator[tuple[Any, Any]]:
    """Each array with the one of the same meaning."""
    return zip(given.arrays, like.arrays, strict=False)
