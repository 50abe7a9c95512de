"""Regression on time by a field that is fitted to trajectories, as scikit-learn has regressors."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

from refode import training
from refode._numbers import to_float64
from refode.estimators import inputs as columns
from refode.estimators import parts, texts
from refode.estimators.driving import Driving, check_reach, driving_of, ode_on, reaching
from refode.estimators.fitting import Data, Fitting
from refode.ode.neural_ode import NeuralODE
from refode.problems.driven import driven_by
from refode.problems.observations import Observations
from refode.problems.scaling import Scaling
from refode.problems.trajectories import TrajectoryFitting

Array = np.ndarray
#: Parts of the time that are fitted before all of it is.
GROWING = (0.1, 0.2, 0.35, 0.6)
SHARED = (texts.SERIES, texts.PENALTIES, texts.TRAINING_WHOLE)


@texts.documented(*SHARED, problem="refode.TrajectoryFitting")
class TrajectoryRegressor(RegressorMixin, Fitting, BaseEstimator):
    """Curves y(t) as observed states of z' = f(z; theta(t)), their starts fitted too, (D135).

    Samples are moments: X has a column of times, and a second one where there are several
    series, with the number of the series that a moment belongs to. All series share one field, and
    each begins in a state of its own at the earliest time of all. Times and values are
    standardised. Curves may be driven from outside, by ``inputs`` that are known for all of the
    time: z' = f(z, u(t)), (D142), with the fields "shallow" and "mlp".

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}
    inputs_ : (times, values) or None
        Of the fit.

    Examples
    --------
    >>> import numpy as np
    >>> from refode.estimators import TrajectoryRegressor
    >>> t = np.linspace(0.0, 6.0, 60)[:, None]
    >>> y = np.exp(-0.1 * t) * np.concatenate([np.cos(2.0 * t), np.sin(2.0 * t)], axis=1)
    >>> model = TrajectoryRegressor("affine", n_steps=60).fit(t[:40], y[:40])
    >>> bool(model.score(t[40:], y[40:]) > 0.99)
    True
    """

    early_stopping = False
    batch_size = None
    t_span = (0.0, 1.0)  # of the standardised time
    inputs_: Any = None
    u_scaling_: Any = None

    def __init__(
        self,
        field: Any = "shallow",
        width: int = 20,
        *,
        time: bool = False,
        scheme: Any = "dopri5",
        n_steps: int = 40,
        basis: Any = "constant",
        n_coefficients: int = 4,
        augment: int = 0,
        tikhonov: float = 1e-4,
        smoothness: float = 0.0,
        method: str = "lbfgs",
        max_iter: int = 1000,
        tolerance: float = 1e-5,
        memory: int = 20,
        warm_start: bool = False,
        random_state: Any = 0,
        n_threads: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.field = field
        self.width = width
        self.time = time
        self.scheme = scheme
        self.n_steps = n_steps
        self.basis = basis
        self.n_coefficients = n_coefficients
        self.augment = augment
        self.tikhonov = tikhonov
        self.smoothness = smoothness
        self.method = method
        self.max_iter = max_iter
        self.tolerance = tolerance
        self.memory = memory
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_threads = n_threads
        self.verbose = verbose

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, inputs: Any = None
    ) -> TrajectoryRegressor:
        """Train on what was seen at moments.

        Parameters
        ----------
        X : array_like (n, 1) or (n, 2)
            Times; numbers of the series, if there are several.
        y : array_like (n,) or (n, m)
            Values, NaN where one is missing.
        sample_weight : array_like (n,), optional
            1/sigma^2 of each row.
        inputs : (array_like, array_like), optional
            What drives the curves: times (K_u,) that rise, from X's earliest to its latest or
            beyond, and (n_series, K_u, q) numbers at these, cubic between them; series in the
            order of their numbers, of a single one also (K_u, q). Channels are standardised.

        Returns
        -------
        self
        """
        warm = self._is_warm()
        X = self._moments(X, reset=not warm)
        values = self._values(y, len(X))
        weight = columns.weight_of(sample_weight, X)
        if not warm:
            counted = slice(None) if weight is None else weight > 0.0
            self._begin_anew(X[counted], values[counted])
        known, rows = np.unique(X[:, 1], return_inverse=True)
        if not np.array_equal(known, self.series_):
            raise ValueError(
                f"X: got the series {known.tolist()} with warm_start=True, wanted those of the "
                f"last fit, {self.series_.tolist()}"
            )
        driving = driving_of(inputs, len(known), self.u_scaling_ if warm else None)
        if driving is not None:
            check_reach(driving, min(self.start_, X[:, 0].min()), max(self.end_, X[:, 0].max()))
        seen = self._observed(self._standard(X[:, 0]), rows, values, weight, driving)
        problem = self._problem(seen)
        theta0 = self._from(problem)
        theta0 = self._start(problem, seen) if theta0 is None else theta0
        self.inputs_ = None if driving is None else (driving.times, driving.values)
        self.u_scaling_ = None if driving is None else driving.scaling
        self._train(problem, Data(None, seen, None), theta0)  # type: ignore[arg-type]
        return self

    def predict(self, X: Any, inputs: Any = None) -> Array:
        """Values at moments, (n,) or (n, m); beyond the last time with theta(t) constant alone.

        Parameters
        ----------
        X : array_like (n, 1) or (n, 2)
            As of ``fit``.
        inputs : (array_like, array_like), optional
            Other inputs than those of the fit, as far as X goes: what if, or the time to come.
        """
        X = self._moments(X, reset=False)
        known = np.searchsorted(self.series_, X[:, 1])
        wrong = self.series_[np.minimum(known, len(self.series_) - 1)] != X[:, 1]
        if wrong.any():
            raise ValueError(
                f"X: got the series {X[wrong, 1][0]:g}, wanted those of the fit, "
                f"{self.series_.tolist()}"
            )
        s = self._standard(X[:, 0])
        if s.min() < 0.0:
            raise ValueError(f"X: got the time {X[:, 0].min()}, wanted none before {self.start_}")
        weights = self.theta_[: self.problem_.ode.n_parameters]
        x0 = self.problem_.unpack(self.theta_)["x0"][known]
        ode, driving = self._reaching(float(s.max()), X[:, 0].max(), inputs)
        if driving is not None:  # states with the numbers of their series
            x0 = np.concatenate([x0, known[:, None]], axis=1)
        with self._threads():
            z = ode.interpolate(weights, x0, s[:, None])[:, 0, : self.y_scaling_.shift.size]
        out = z * self.y_scaling_.scale + self.y_scaling_.shift
        return out[:, 0] if self._flat else out

    # --- insides -----------------------------------------------------------------------
    def _moments(self, X: Any, reset: bool) -> Array:
        """Times and series, (n, 2)."""
        X = columns.validated(self, X, reset=reset, dtype=np.float64) if reset else self._fitted(X)
        if X.shape[1] > 2:
            raise ValueError(f"X: got {X.shape[1]} columns, wanted times, and numbers of series")
        return X if X.shape[1] == 2 else np.concatenate([X, np.zeros_like(X)], axis=1)

    def _values(self, y: Any, n: int) -> Array:
        values = to_float64("y", y)
        self._flat = values.ndim == 1
        values = values[:, None] if self._flat else values
        if values.ndim != 2 or len(values) != n:
            raise ValueError(f"y: got an array of shape {values.shape}, wanted ({n},) or ({n}, m)")
        if np.isnan(values).all(axis=0).any():
            raise ValueError("y: got a column of nothing but NaN, wanted something observed")
        return values

    def _begin_anew(self, X: Array, values: Array) -> None:
        """What is standardised by."""
        self.start_, self.end_ = float(X[:, 0].min()), float(X[:, 0].max())
        if self.start_ == self.end_:
            raise ValueError(f"X: got the time {self.start_} alone, wanted two at least")
        self.series_ = np.unique(X[:, 1])
        shift, scale = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        self.y_scaling_ = Scaling(shift, np.where(scale > 0.0, scale, 1.0))

    def _standard(self, t: Array) -> Array:
        return (t - self.start_) / (self.end_ - self.start_)

    def _driven(self, driving: Driving | None) -> tuple[Array, Array] | None:
        """Inputs in standardised time and values."""
        if driving is None:
            return None
        return self._standard(driving.times), driving.standard

    def _observed(
        self,
        s: Array,
        rows: Array,
        values: Array,
        weight: Array | None,
        driving: Driving | None,
    ) -> Observations:
        """A sample a series, padded where it has fewer moments."""
        n, most = len(self.series_), int(np.bincount(rows).max())
        times = np.full((n, most), np.nan)
        seen = np.full((n, most, values.shape[1]), np.nan)
        weights = np.ones_like(seen)
        standard = (values - self.y_scaling_.shift) / self.y_scaling_.scale
        for i in range(n):
            mine = np.flatnonzero(rows == i)
            mine = mine[np.argsort(s[mine], kind="stable")]
            times[i, : len(mine)], seen[i, : len(mine)] = s[mine], standard[mine]
            if weight is not None:
                weights[i, : len(mine)] = weight[mine, None]
        return Observations(times, seen, weights=weights, inputs=self._driven(driving))

    def _problem(self, seen: Observations) -> TrajectoryFitting:
        q = 0 if seen.inputs is None else seen.inputs[1].shape[2]
        ode, _ = parts.ode_of(self, seen.n_channels, q)
        matrix = None if ode.dim == seen.n_channels else np.eye(seen.n_channels, ode.dim)
        return TrajectoryFitting(
            ode,
            matrix,
            initial="fitted",
            n_samples=seen.n_samples,
            tikhonov=self.tikhonov,
            smoothness=self.smoothness,
        )

    def _start(self, problem: Any, seen: Observations) -> Array:
        """A theta from random weights that fits the beginning of the curves, then more of them.

        All at once, a random field meets curves that turn often in one of many bad minima.
        """
        theta = problem.initial(self._seed())
        x0 = problem.unpack(theta)["x0"]
        for c in range(seen.n_channels):
            firsts = seen.there[:, :, c].argmax(axis=1)
            x0[:, c] = seen.values[np.arange(len(x0)), firsts, c]
        options = {"method": self.method, "memory": self.memory, "max_iter": self.max_iter}
        for part in GROWING:
            early = seen.times <= part
            there = seen.there & early[:, :, None]
            if there.any(axis=(0, 1)).all():
                times = np.where(early, seen.times, np.nan)
                some = Observations(times, seen.values, there, seen.weights, seen.inputs)
                with self._threads():
                    result = training.train(
                        problem, None, some, theta, progress=False, tolerance=1e-3, **options
                    )
                theta = result.x
        return theta

    def _seed(self) -> int:
        from sklearn.utils import check_random_state

        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _reaching(self, s: float, last: float, inputs: Any) -> tuple[NeuralODE, Driving | None]:
        """The ode, with further steps of the same length where times go beyond its end."""
        ode, driving = self.problem_.ode, self._asked(inputs)
        moving = ode.basis.n_coefficients != 1
        if s > 1.0 and moving:
            raise ValueError(
                f"X: got a time beyond the last one of the fit, {self.end_}, with "
                f"basis={self.basis!r}, wanted 'constant' for that"
            )
        if driving is None:
            n = int(np.ceil(s * ode.n_steps))
            return (ode if s <= 1.0 else ode_on(ode, n, n / ode.n_steps)), None
        check_reach(driving, self.start_, self.end_ if moving else last)
        standard = self._driven(driving)
        assert standard is not None
        reached = reaching(ode, s, float(standard[0][-1]))
        return driven_by(reached, standard, "inputs"), driving

    def _asked(self, inputs: Any) -> Driving | None:
        """What drives predictions: other inputs, or those of the fit."""
        if self.inputs_ is None and inputs is not None:
            raise ValueError("inputs: got some with a fit without, wanted None")
        given = self.inputs_ if inputs is None else inputs
        return driving_of(given, len(self.series_), self.u_scaling_)

    @property
    def _n_features_out(self) -> int:
        return self.y_scaling_.shift.size
