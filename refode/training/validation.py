"""Held-out samples: the value on them as training goes on, the best theta, and patience."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from refode import _validate
from refode.ode.placement import hosted
from refode.problems.contract import Problem
from refode.training import records
from refode.training.ends import Stop, Unfit
from refode.training.records import Evaluation
from refode.training.samples import Samples, paired, weight_of


class Validated(NamedTuple):
    """A theta with its value on the validation samples."""

    value: float
    evaluation: Evaluation
    iteration: int


class Validation:
    """The samples, and what is known of a run's thetas on them.

    Parameters
    ----------
    problem : Problem
        Whose ``held_out`` is compared.
    samples : Samples
    name : str
        What the caller knows them by.
    chooses : bool
        Whether the best theta on these samples is what comes back.
    patience : int or None
        Iterations without a better value after which it is enough.

    Attributes
    ----------
    best, newest : Validated or None
        ``best`` is the newest one as long as no value was finite.
    """

    def __init__(
        self,
        problem: Problem,
        samples: Samples,
        name: str = "validation",
        *,
        chooses: bool = True,
        patience: int | None = None,
    ) -> None:
        self.problem, self.samples, self.name = problem, samples, name
        self.chooses, self.patience = chooses, patience
        self.best: Validated | None = None
        self.newest: Validated | None = None
        self._improved_at = 0
        self._placed: Samples | None = None

    def value_at(self, evaluation: Evaluation, errors: Mapping[str, Any]) -> float:
        """The value at the evaluation's theta, asked under the caller's ``np.errstate``.

        Raises
        ------
        Unfit
            The first time the problem raises anything: the samples do not suit it.
        """
        known = self.known(evaluation)
        if known is not None:
            return known.value
        try:
            with np.errstate(**errors):
                self._placed = self._placed or self.samples.placed(self.problem)
                theta, placed = evaluation.theta.copy(), self._placed
                return float(self.problem.held_out(theta, *placed.arrays, **placed.named))
        except Exception as error:
            if self.newest is not None:
                raise
            raise Unfit(f"{self.name}: the problem's value refuses them ({error})") from error

    def take(self, value: float, evaluation: Evaluation, iteration: int) -> None:
        """Take in a value: the newest one, and perhaps the best."""
        self.newest = Validated(value, evaluation, iteration)
        if self.best is None or not np.isfinite(self.best.value):
            self.best = self.newest
            if np.isfinite(value):
                self._improved_at = iteration
        elif value < self.best.value:
            self.best, self._improved_at = self.newest, iteration

    def known(self, evaluation: Evaluation) -> Validated | None:
        """The evaluation's value on the samples, if it is at hand."""
        for found in (self.best, self.newest):
            if found and np.array_equal(found.evaluation.theta, evaluation.theta):
                return found
        return None

    @property
    def chosen(self) -> Validated | None:
        """What comes back by these samples, if they are to choose and a value was finite."""
        good = self.chooses and self.best and np.isfinite(self.best.value)
        return self.best if good else None

    def check_patience(self) -> None:
        """Raise `Stop` where it has run out."""
        if self.patience is None or self.newest is None:
            return
        waited = self.newest.iteration - self._improved_at
        if waited >= self.patience:
            why = f"stopped early: no better value on the validation samples in {waited} iterations"
            raise Stop(records.PATIENCE, why)

    def more(self, chosen: Evaluation) -> dict[str, Any]:
        """What a result says of `chosen`, its x, and of the best one."""
        known, best = self.known(chosen), self.best
        good = best is not None and np.isfinite(best.value)
        return {
            "validation": float("nan") if known is None else known.value,
            "best_iteration": best.iteration if best is not None and good else None,
        }


def validation_of(
    problem: Problem, given: Any, like: Samples, patience: int | None = None
) -> Validation | None:
    """``validation`` of ``train``, checked against the training's samples; None for None."""
    if given is None:
        if patience is not None:
            raise ValueError(f"patience: got {patience} without validation, wanted this too")
        return None
    wanted = (
        "(x, y) or (x, y, sample_weight)" if len(like.arrays) > 1 else "x or (x, sample_weight)"
    )
    n = len(like.arrays)
    if n == 1 and not isinstance(given, tuple):
        given = (given,)
    if not isinstance(given, tuple):
        raise TypeError(f"validation: got {_validate.short(given)}, wanted a tuple {wanted}")
    if len(given) not in (n, n + 1):
        raise ValueError(f"validation: got a tuple of {len(given)}, wanted {wanted}")
    arrays, weight = problem.data(given[:n]), None
    if len(given) > n and given[n] is not None:
        weight = weight_of(f"validation[{n}]", problem, given[n], arrays)
    samples = Samples(arrays, weight)
    check_form("validation", samples, like)
    return Validation(problem, samples, patience=patience)


def check_form(name: str, given: Samples, like: Samples) -> None:
    """See that each array has the form of the training's; how many samples there are is free."""
    single = len(like.arrays) == 1
    for i, (array, other) in enumerate(paired(given, like)):
        if isinstance(other, np.ndarray) and other.dtype.kind == "f" and other.ndim > 1:
            called = name if single else f"{name}[{i}]"
            _validate.real_array(called, hosted(array), ("N", *other.shape[1:]))
