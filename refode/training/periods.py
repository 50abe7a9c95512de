"""Runs of L-BFGS one after another, each on its own samples: a period has them fixed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from refode import _validate
from refode.problems.contract import Problem
from refode.training import records
from refode.training.ends import Stop
from refode.training.options import Options
from refode.training.records import RESAMPLED, Evaluation, Float64
from refode.training.run import Run
from refode.training.samples import Samples
from refode.training.validation import Validation
from refode.training.variables import Pair, Preconditioned, ProductForm, Unscaled, curved

if TYPE_CHECKING:
    import contextlib

#: What ``memory`` may be.
MEMORIES = ("kept", "reset")


class Source(Protocol):
    """Where a period's samples come from."""

    def period(self, period: int) -> Samples:
        """Of a period, from 0: the same ones whenever it is asked."""

    @property
    def idle_periods(self) -> int:
        """After so many periods in a row that had nothing to gain no other one has."""

    def identity(self, first: Samples) -> Samples:
        """The samples that a checkpoint knows it by; `first` are those of period 0."""

    def how(self) -> dict[str, Any]:
        """What else it knows it by, as JSON scalars by name."""

    def naming(self) -> contextlib.AbstractContextManager[None]:
        """Within it errors of its samples are said to be its own."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """See ``train_resampled`` and ``train``, which document and default these."""

    source: Source
    every: int
    memory: str = "kept"

    def __post_init__(self) -> None:
        _validate.choice("memory", self.memory, MEMORIES)


class PeriodOver(Exception):
    """As many iterations as a period has."""


class Periods(Run):
    """One history and one checkpoint for all periods.

    ``pairs_named`` is how the caller knows the pairs that L-BFGS keeps.
    """

    columns = RESAMPLED

    def __init__(
        self,
        problem: Problem,
        plan: Plan,
        theta0: Float64,
        seed: int | None,
        options: Options,
        validation: Validation | None = None,
        *,
        pairs_named: str = "memory",
    ) -> None:
        self.plan, self.pairs_named = plan, pairs_named
        self.period = self.began_at = self.idle = 0
        self.pairs: deque[Pair] = deque(maxlen=options.memory)
        first = plan.source.period(0)
        super().__init__(problem, first, theta0, seed, options, "period 0  ", validation)

    def _naming(self) -> contextlib.AbstractContextManager[None]:
        return self.plan.source.naming()

    def _identity(self) -> Samples:
        return self.plan.source.identity(self.samples)

    def _how(self, seed: int | None, weight: Float64 | None) -> dict[str, Any]:
        how = {"every": self.plan.every, "curvature": self.plan.memory}
        return super()._how(seed, weight) | how | self.plan.source.how()

    # --- periods -------------------------------------------------------------------------
    def _minimise(self) -> None:
        while True:
            try:
                self._check_converged()
            except Stop as stop:
                self._nothing_to_gain(stop)
            else:
                self._one_period()
            self._begin_period()

    def _one_period(self) -> None:
        kept = len(self.pairs)
        try:
            self._optimise(self._variables())
        except PeriodOver:
            self.idle = 0
        except Stop as stop:
            if stop.status not in (records.CONVERGED, records.LINE_SEARCH, records.STUCK):
                raise
            if self._has_gained():
                self.idle = 0
                return
            self.pairs.clear()
            if not kept:
                self._nothing_to_gain(stop)

    def _has_gained(self) -> bool:
        """Whether the period, which is over early, came anywhere."""
        steps = self.iteration - self.began_at
        return steps > 1 or (steps == 1 and self._largest() <= self.options.tolerance)

    def _nothing_to_gain(self, stop: Stop) -> None:
        """Take in such a period, and end the training unless another one may have something."""
        self.idle += 1
        if self.idle >= self.plan.source.idle_periods:
            raise stop

    def _variables(self) -> Unscaled | Preconditioned:
        if not self.pairs:
            return Unscaled(self.iterate.theta)
        return Preconditioned.at(self.iterate.theta, self.iterate.gradient, ProductForm(self.pairs))

    def _begin_period(self) -> None:
        self._check_enough()  # where the period has converged in its very last iteration
        with np.errstate(**self.recorder.errors):
            samples = self.plan.source.period(self.period + 1)
        self.iterate = self.recorder.redraw(samples, self.iterate.theta)
        self.period, self.began_at = self.period + 1, self.iteration
        self.progress.label = f"period {self.period}  "
        self._add_row(self.iterate, self.iteration)
        self._check_patience()

    def _iterate(self, xk: Float64) -> None:
        super()._iterate(xk)
        if self.iteration >= self.began_at + self.plan.every:
            raise PeriodOver

    def _go_to(self, evaluation: Evaluation) -> None:
        before = self.iterate
        super()._go_to(evaluation)
        s, y = evaluation.theta - before.theta, evaluation.gradient - before.gradient
        if self.plan.memory == "kept" and curved(s, y):
            self.pairs.append((s, y))

    # --- the history -----------------------------------------------------------------------
    def _besides(self, iteration: int, evaluation: Evaluation, known: Any) -> dict[str, Any]:
        return {"period": self.period} | super()._besides(iteration, evaluation, known)

    def _more(self, chosen: Evaluation) -> dict[str, Any]:
        return super()._more(chosen) | {"periods": self.period + 1}
