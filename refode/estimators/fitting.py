"""What the estimators share: training with the parameters that say how, and how it ended."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from refode import _validate, training
from refode.estimators import inputs, state, threads
from refode.machine.threads import num_threads

Array = np.ndarray


class Data(NamedTuple):
    """Samples as training takes them; ``y`` is None for flows, ``weight`` for equal ones."""

    x: Array
    y: Array | None
    weight: Array | None

    def at(self, rows: Array) -> Data:
        """Some of the samples."""
        y, weight = (None if a is None else a[rows] for a in (self.y, self.weight))
        return Data(self.x[rows], y, weight)


class Fitting:
    """An estimator with ``problem_`` and ``theta_``, and parameters that say how to train.

    Its parameters are documented where they are set.
    """

    # --- parameters that all have ------------------------------------------------------
    method: Any
    max_iter: Any
    tolerance: Any
    memory: Any
    batch_size: Any
    iterations_per_batch: Any
    early_stopping: Any
    validation_fraction: Any
    n_iter_no_change: Any
    warm_start: Any
    random_state: Any
    n_threads: Any
    verbose: Any

    problem_: Any
    theta_: Array

    def __getstate__(self) -> Any:
        return state.frozen(super().__getstate__())  # type: ignore[arg-type]

    def __setstate__(self, attributes: Any) -> None:
        super().__setstate__(state.thawed(attributes))  # type: ignore[misc]

    def _threads(self) -> Any:
        """Context with the threads that this estimator may use."""
        return num_threads(threads.allowed(self.n_threads))

    def _is_warm(self) -> bool:
        """Whether a fit goes on from the last one."""
        return _validate.boolean("warm_start", self.warm_start) and hasattr(self, "theta_")

    def _from(self, problem: Any) -> Array | None:
        """Where to start a problem's training: the last fit's theta, or None for at random."""
        if not self._is_warm():
            return None
        if problem.layout != self.problem_.layout:
            raise ValueError(
                f"warm_start: got True with weights {problem.layout}, wanted those of the last "
                f"fit, {self.problem_.layout}"
            )
        return self.theta_

    def _fitted(self, X: Any) -> Array:
        """Samples for an estimator that is fitted, (N, n_features)."""
        check_is_fitted(self)
        return inputs.validated(self, X, reset=False, dtype=np.float64)

    def _train(self, problem: Any, data: Data, theta0: Array | None, stratify: Any = None) -> None:
        """Train, from theta0 or from where the random state says."""
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        options, data = self._options(data, seed, stratify)
        with self._threads():
            result = training.train(problem, *data[:2], theta0, seed, **options)
        self.problem_, self.theta_ = problem, result.x
        self.n_iter_, self.loss_ = int(result.nit), float(result.fun)
        self.loss_curve_ = result.history["value"].tolist()
        if self.early_stopping:
            self.validation_curve_ = result.history["validation"].tolist()
        elif hasattr(self, "validation_curve_"):
            del self.validation_curve_
        self._say_how_it_ended(result)

    def _options(self, data: Data, seed: int, stratify: Any) -> tuple[dict[str, Any], Data]:
        """Named arguments of ``train``, and the samples to train on."""
        options: dict[str, Any] = {
            "max_iter": self.max_iter,
            "tolerance": self.tolerance,
            "method": self.method,
            "memory": self.memory,
            "progress": bool(self.verbose),
        }
        if _validate.boolean("early_stopping", self.early_stopping):
            data, held = self._split(data, seed, stratify)
            options["validation"] = tuple(part for part in held if part is not None)
            options["patience"] = _validate.positive_int("n_iter_no_change", self.n_iter_no_change)
        if data.weight is not None:
            options["sample_weight"] = data.weight
        if self.batch_size is not None:
            size = _validate.positive_int("batch_size", self.batch_size)
            options["batch"] = min(size, len(data.x))
            every = _validate.positive_int("iterations_per_batch", self.iterations_per_batch)
            options["every"] = every
        return options, data

    def _split(self, data: Data, seed: int, stratify: Any) -> tuple[Data, Data]:
        """Samples to train on and samples to hold out."""
        fraction = _validate.real_number("validation_fraction", self.validation_fraction)
        n = len(data.x)
        size = math.ceil(fraction * n)
        if not 0.0 < fraction < 1.0 or size >= n:
            raise ValueError(
                f"validation_fraction: got {fraction} with {n} samples, wanted a number between 0 "
                "and 1 that leaves samples to train on"
            )
        if stratify is not None:  # classes of few samples cannot be in both parts
            _, counts = np.unique(stratify, return_counts=True)
            stratify = stratify if counts.min() > 1 and len(counts) <= min(size, n - size) else None
        kept, held = train_test_split(
            np.arange(n), test_size=size, random_state=seed, stratify=stratify
        )
        return data.at(kept), data.at(held)

    def _say_how_it_ended(self, result: Any) -> None:
        """Warn of, or raise, what is not a usual end."""
        if result.status == training.INTERRUPTED:  # a search over many fits is to end, too
            raise KeyboardInterrupt
        if result.status == training.FAILED:
            raise RuntimeError(f"training: {result.message}")
        if result.status not in (training.CONVERGED, training.PATIENCE):
            warnings.warn(
                f"{type(self).__name__}: {result.message}; more iterations (max_iter), a larger "
                "tolerance or a larger tikhonov may help",
                ConvergenceWarning,
                stacklevel=4,
            )
