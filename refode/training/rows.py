"""A run's history: a row an iteration, from the start on, and what of it is shown."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from refode.machine import progress as compiler
from refode.problems.contract import Problem
from refode.training.options import Options
from refode.training.progress import Progress
from refode.training.records import HISTORY, Evaluation, Recorder, norm
from refode.training.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Rows:
    """The rows so far, and how a new one comes about.

    A subclass sets the attributes below.

    Attributes
    ----------
    columns, dtype : dtype
        Without terms, and with them.
    rows : list
    seen : (n,)
        Rows that a checkpoint has, and that are being come to once more.
    before, began : float
        Seconds of earlier runs, and when this one began.
    iterate : Evaluation
        The newest.
    """

    columns = HISTORY  # without terms; with a validation's, if there is one
    dtype: np.dtype[Any]
    rows: list[tuple[Any, ...]]
    seen: np.ndarray
    before: float
    began: float
    iterate: Evaluation

    problem: Problem
    options: Options
    recorder: Recorder
    progress: Progress
    validation: Validation | None

    @property
    def iteration(self) -> int:
        """The newest row's."""
        return int(self._newest()["iteration"]) if self.rows else 0

    def _add_row(self, evaluation: Evaluation, iteration: int = 0) -> None:
        i, recorder = len(self.rows), self.recorder
        known = i < len(self.seen)
        row = {
            "iteration": iteration,
            "value": evaluation.value,
            "gradient_norm": norm(evaluation.gradient),
            "seconds": float(self.seen["seconds"][i]) if known else self._elapsed(),
            "evaluations": recorder.evaluations,
            "products": recorder.products,
        }
        row |= self._besides(iteration, evaluation, self.seen[i] if known else None)
        self.rows.append(tuple(row[name] for name in self.dtype.names or ()))
        if i >= len(self.seen) - 1:  # the last one known, then the new ones
            self._show(row, evaluation)

    def _besides(self, iteration: int, evaluation: Evaluation, known: Any) -> dict[str, Any]:
        """A row's other columns; `known` is the stored row, where there is one."""
        row = {}
        if "validation" in (self.columns.names or ()):
            row["validation"] = float("nan")
            if self._is_validated():
                row["validation"] = self._validate(iteration, known)
        if self.options.terms:
            terms = self._terms_at(evaluation) if known is None else known
            row |= {name: float(terms[name]) for name in self._names_of_terms()}
        return row

    def _is_validated(self) -> bool:
        """Whether the row that is being added has a value on the validation samples."""
        return self.validation is not None

    def _validate(self, iteration: int, known: Any = None) -> float:
        """The iterate's value on the validation samples, from the stored row where there is one."""
        held = self.validation
        assert held is not None
        if known is None:
            value = held.value_at(self.iterate, self.recorder.errors)
        else:
            value = float(known["validation"])
        held.take(value, self.iterate, iteration)
        return value

    def _names_of_terms(self) -> tuple[str, ...]:
        return (self.dtype.names or ())[len(self.columns.names or ()) :]

    def _show(self, row: dict[str, Any], evaluation: Evaluation) -> None:
        terms: Callable[[], Mapping[str, float]] | None = None
        if self.options.terms:
            terms = functools.partial(dict, {name: row[name] for name in self._names_of_terms()})
        elif self.problem.shows_costs:
            terms = functools.partial(self._terms_at, evaluation)
        if self.validation is not None and self.validation.newest is not None:
            row = row | {"validation": self.validation.newest.value}
        self.progress.update(row, terms)

    def _terms_at(self, evaluation: Evaluation) -> Mapping[str, float]:
        return self.recorder.terms(evaluation.theta)

    def _newest(self) -> dict[str, Any]:
        return dict(zip(self.dtype.names or (), self.rows[-1], strict=True))

    def history(self) -> np.ndarray:
        """The rows so far, a structured array."""
        return np.array(self.rows, dtype=self.dtype)

    def _elapsed(self) -> float:
        return self.before + time.perf_counter() - compiler.seconds() - self.began
