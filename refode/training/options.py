"""How to train, checked: the settings of ``train`` that are not the problem and its data."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refode import _validate
from refode.problems.contract import Problem
from refode.problems.wrapped import problem_of
from refode.training import checkpoint as files
from refode.training.records import Float64

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

#: What ``method`` may be: SciPy's name for it.
METHODS = {
    "lbfgs": "L-BFGS-B",
    "newton-cg": "Newton-CG",
    "trust-krylov": "trust-krylov",
    "gn-cg": "trust-ncg",
}
WITH_PRODUCTS = ("newton-cg", "trust-krylov", "gn-cg")

Callback = Callable[["OptimizeResult"], Any]


def check_callback(callback: Any) -> None:
    """TypeError unless it can be called, or is None."""
    if callback is not None and not callable(callback):
        raise TypeError(f"callback: got {_validate.short(callback)}, wanted a callable or None")


@dataclass(frozen=True, kw_only=True)
class Options:
    """See ``train``, which documents and defaults them."""

    max_iter: int
    progress: bool
    callback: Callback | None
    method: str
    tolerance: float
    memory: int
    checkpoint: str | os.PathLike[str] | None
    checkpoint_every: int
    resume: bool
    terms: bool = False
    patience: int | None = None

    def __post_init__(self) -> None:
        counts = {"max_iter": self.max_iter, "memory": self.memory}
        counts["checkpoint_every"] = self.checkpoint_every
        if self.patience is not None:
            counts["patience"] = self.patience
        for name, count in counts.items():
            self._set(name, _validate.positive_int(name, count))
        flags = {"progress": self.progress, "resume": self.resume, "terms": self.terms}
        for name, flag in flags.items():
            self._set(name, _validate.boolean(name, flag))
        check_callback(self.callback)
        _validate.choice("method", self.method, METHODS)
        self._set("tolerance", _validate.nonnegative("tolerance", self.tolerance))
        if self.resume and self.checkpoint is None:
            raise ValueError("resume: got True without a checkpoint, wanted the file's name too")
        if self.checkpoint is not None:
            files.path_of(self.checkpoint, self.resume)

    def _set(self, name: str, value: Any) -> None:
        """Set it once more, as a number of Python's: those of NumPy are no JSON."""
        object.__setattr__(self, name, value)

    @property
    def path(self) -> Path | None:
        """The checkpoint's file."""
        return None if self.checkpoint is None else Path(self.checkpoint)

    @property
    def with_products(self) -> bool:
        """Whether the method takes products with vectors."""
        return self.method in WITH_PRODUCTS

    @property
    def gauss_newton(self) -> bool:
        """Whether these are Gauss-Newton products."""
        return self.method == "gn-cg"

    def admit(self, problem: Any) -> Problem:
        """The problem as training asks it; TypeError unless it has what these options call."""
        admitted = problem_of(problem)
        needed, why = {"value_and_gradient": admitted.has_gradient}, ""
        if self.gauss_newton:
            needed["gauss_newton_vector"] = admitted.has_gauss_newton
            why = admitted.no_gauss_newton
        elif self.with_products:
            needed["hessian_vector"] = admitted.has_hessian
        for name, there in needed.items():
            if not there:
                raise TypeError(
                    f"problem: got {admitted.kind} without a method {name}, which training by "
                    f"method={self.method!r} calls{why and f' ({why})'}"
                )
        if self.terms and not admitted.has_costs:
            raise TypeError(
                f"problem: got {admitted.kind} without a method costs, which terms=True calls"
            )
        return admitted

    def admit_size(self, name: str, size: int) -> None:
        """ValueError where L-BFGS would want more memory for its pairs than there is.

        `name` is what the number of pairs is called, `size` that of theta.
        """
        if self.method == "lbfgs":
            m = self.memory
            work = 2 * m * size + 5 * size + 11 * m * m + 8 * m  # as SciPy allocates it
            _validate.affordable(name, m, 8 * work)


def start(problem: Problem, theta0: Any, seed: int) -> Float64:
    """A copy of theta0, or of ``problem.initial(seed)`` where theta0 is None."""
    name = "theta0"
    if theta0 is None:
        name, theta0 = "problem.initial(seed)", problem.initial(seed)
    size: int | None = problem.n_parameters
    wanted = "p" if size is None else _validate.positive_int("problem.n_parameters", size)
    return np.array(_validate.real_array(name, theta0, (wanted,)))
