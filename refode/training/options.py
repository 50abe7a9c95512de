"""How to train, checked: the settings of ``train`` that are not the problem and its data."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refode import _validate
from refode.training import checkpoint as files
from refode.training.records import Float64

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

#: What ``method`` may be: SciPy's name for it.
METHODS = {"lbfgs": "L-BFGS-B", "newton-cg": "Newton-CG", "trust-krylov": "trust-krylov"}
WITH_PRODUCTS = ("newton-cg", "trust-krylov")

Callback = Callable[["OptimizeResult"], Any]


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

    def __post_init__(self) -> None:
        _validate.positive_int("max_iter", self.max_iter)
        _validate.instance("progress", self.progress, bool)
        if self.callback is not None and not callable(self.callback):
            raise TypeError(f"callback: got {self.callback!r}, wanted a callable or None")
        _validate.choice("method", self.method, METHODS)
        _validate.nonnegative("tolerance", self.tolerance)
        _validate.positive_int("memory", self.memory)
        _validate.positive_int("checkpoint_every", self.checkpoint_every)
        _validate.instance("resume", self.resume, bool)
        _validate.instance("terms", self.terms, bool)
        if self.resume and self.checkpoint is None:
            raise ValueError("resume: got True without a checkpoint, wanted the file's name too")
        if self.checkpoint is not None:
            files.path_of(self.checkpoint, self.resume)

    @property
    def path(self) -> Path | None:
        """The checkpoint's file."""
        return None if self.checkpoint is None else Path(self.checkpoint)

    @property
    def with_products(self) -> bool:
        """Whether the method takes Hessian-vector products."""
        return self.method in WITH_PRODUCTS

    def check_problem(self, problem: Any) -> None:
        """TypeError unless the problem has the methods that training by these options calls."""
        needed = ["value_and_gradient"] + ["hessian_vector"] * self.with_products
        for name in needed:
            if not callable(getattr(problem, name, None)):
                kind = type(problem).__name__
                raise TypeError(
                    f"problem: got {kind} without a method {name}, which training by "
                    f"method={self.method!r} calls"
                )
        if self.terms and costs_of(problem) is None:
            kind = type(problem).__name__
            raise TypeError(f"problem: got {kind} without a method costs, which terms=True calls")


def start(problem: Any, theta0: Any, seed: Any) -> Float64:
    """A copy of theta0, or of ``problem.initial(seed)`` where theta0 is None."""
    seed = _validate.nonnegative_int("seed", seed)
    name = "theta0"
    if theta0 is None:
        if not callable(getattr(problem, "initial", None)):
            raise TypeError(
                f"theta0: got None and {type(problem).__name__} without a method initial, "
                "wanted a start"
            )
        name, theta0 = "problem.initial(seed)", problem.initial(seed)
    size = getattr(problem, "n_parameters", None)
    wanted = "p" if size is None else _validate.positive_int("problem.n_parameters", size)
    return np.array(_validate.real_array(name, theta0, (wanted,)))


def costs_of(problem: Any) -> Callable[..., dict[str, float]] | None:
    """The problem's method ``costs(theta, x, y)``, the terms of its value by name, if any."""
    costs = getattr(problem, "costs", None)
    return costs if callable(costs) else None


def data_of(x: Any, y: Any) -> tuple[Any, ...]:
    """What a problem's methods take after theta: x, and y where there is one."""
    return (x,) if y is None else (x, y)
