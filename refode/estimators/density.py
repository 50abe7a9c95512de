"""Densities by continuous normalizing flows, eqs. (10)-(16), as scikit-learn has them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    TransformerMixin,
)
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from refode import _validate
from refode.estimators import inputs, parts, texts
from refode.estimators.fitting import Data, Fitting
from refode.problems.normalizing_flow import ContinuousNormalizingFlow

Array = np.ndarray


@texts.documented(
    texts.ODE,
    texts.PENALTIES,
    texts.STANDARDIZE_FLOW,
    texts.TRAINING,
    problem="refode.ContinuousNormalizingFlow",
)
class FlowDensity(
    DensityMixin, Fitting, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Density as the push-forward of a standard normal by a neural ODE, eqs. (10)-(16).

    By default a part of the samples says when to stop: with no end to it, maximum likelihood puts
    all of the density on the samples.

    Parameters
    ----------
    {parameters}
    transport : float, optional
        alpha of (15): charges alpha/2 int |f|^2 dt along the paths, which keeps them straight
        and short.

    Attributes
    ----------
    {attributes}

    Examples
    --------
    >>> import numpy as np
    >>> from refode.estimators import FlowDensity
    >>> x = np.random.default_rng(0).standard_normal((200, 2)) * [1.0, 100.0]
    >>> density = FlowDensity(width=8, max_iter=20, random_state=0).fit(x)
    >>> density.score_samples(x).shape, density.sample(3).shape
    ((200,), (3, 2))
    """

    n_features_in_: int

    def __init__(
        self,
        field: Any = "shallow",
        width: int = 16,
        *,
        time: bool = False,
        scheme: Any = "rk4",
        n_steps: Any = 4,
        t_span: tuple[float, float] = (0.0, 1.0),
        basis: Any = "constant",
        n_coefficients: int = 4,
        transport: float = 0.1,
        tikhonov: float = 1e-2,
        smoothness: float = 0.0,
        standardize: bool = True,
        method: str = "lbfgs",
        max_iter: int = 200,
        tolerance: float = 1e-3,
        memory: int = 20,
        batch_size: int | None = None,
        iterations_per_batch: int = 10,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        warm_start: bool = False,
        random_state: Any = None,
        n_threads: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.field = field
        self.width = width
        self.time = time
        self.scheme = scheme
        self.n_steps = n_steps
        self.t_span = t_span
        self.basis = basis
        self.n_coefficients = n_coefficients
        self.transport = transport
        self.tikhonov = tikhonov
        self.smoothness = smoothness
        self.standardize = standardize
        self.method = method
        self.max_iter = max_iter
        self.tolerance = tolerance
        self.memory = memory
        self.batch_size = batch_size
        self.iterations_per_batch = iterations_per_batch
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_threads = n_threads
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> FlowDensity:
        """Train by maximum likelihood.

        Parameters
        ----------
        X : array_like (N, n_features)
        y : None
            Not read; pipelines give it.
        sample_weight : array_like (N,), optional
            What each sample counts; whole numbers do as repeated samples would.

        Returns
        -------
        self
        """
        X = inputs.validated(self, X, reset=not self._is_warm(), dtype=np.float64)
        X, weight = inputs.counted(inputs.weight_of(sample_weight, X), X)
        data = Data(X, None, weight)
        problem = self._problem(data)
        self._train(problem, data, self._from(problem))
        return self

    def _problem(self, data: Data) -> ContinuousNormalizingFlow:
        """The flow for such samples."""
        ode, y_scaling = parts.ode_of(self, data.x.shape[1])[0], None
        if self._is_warm():
            y_scaling = self.problem_.y_scaling
        elif _validate.boolean("standardize", self.standardize):
            y_scaling = inputs.scaling_of("X", data.x, data.weight)
        return ContinuousNormalizingFlow(
            ode, self.transport, self.tikhonov, self.smoothness, y_scaling=y_scaling
        )

    def score_samples(self, X: Any) -> Array:
        """Log-density of each sample, (N,), in nats and in the data's units."""
        X = self._fitted(X)
        with self._threads():
            return self.problem_.log_density(self.theta_, X)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-density of the samples, as ``GaussianMixture`` has it.

        ``KernelDensity``'s is the sum.
        """
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draw from the density, (n_samples, n_features).

        ``random_state`` is an int, a ``RandomState``, or None for another draw at each call.
        """
        check_is_fitted(self)
        n = _validate.positive_int("n_samples", n_samples)
        normal = check_random_state(random_state).standard_normal((n, self.problem_.dim))
        with self._threads():
            return self.problem_.generate(self.theta_, normal)

    def transform(self, X: Any) -> Array:
        """F^{-1}(x), (N, n_features): standard normal where x is of this density."""
        X = self._fitted(X)
        with self._threads():
            return self.problem_.inverse(self.theta_, X)[0]

    def inverse_transform(self, X: Any) -> Array:
        """F(x), (N, n_features): of this density where x is standard normal."""
        check_is_fitted(self)
        inputs.without_mask("X", X)
        X = check_array(X, dtype=np.float64)
        with self._threads():
            return self.problem_.generate(self.theta_, X)

    @property
    def _n_features_out(self) -> int:
        return self.problem_.dim
