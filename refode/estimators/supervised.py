"""Classification and regression by neural ODEs, eqs. (5)-(8), as scikit-learn has them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import log_softmax
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from refode import _validate
from refode.estimators import inputs, parts, texts
from refode.estimators.fitting import Data, Fitting
from refode.problems.scaling import Scaling
from refode.problems.supervised import Supervised

Array = np.ndarray
SHARED = (texts.ODE, texts.AUGMENT, texts.PENALTIES, texts.STANDARDIZE, texts.TRAINING)


class _NeuralODE(Fitting, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A ``Supervised`` problem and its training."""

    # --- parameters ---------------------------------------------------------------------
    field: Any
    width: Any
    time: Any
    scheme: Any
    n_steps: Any
    t_span: Any
    basis: Any
    n_coefficients: Any
    augment: Any
    tikhonov: Any
    smoothness: Any
    standardize: Any

    n_features_in_: int

    def _problem(self, data: Data, loss: str, n_outputs: int) -> Supervised:
        """The problem for such samples."""
        ode, augment = parts.ode_of(self, data.x.shape[1])
        warm = self._is_warm()
        if warm and loss == "regression" and n_outputs != self.problem_.n_outputs:
            raise ValueError(
                f"y: got {n_outputs} columns with warm_start=True, wanted those of the last fit, "
                f"{self.problem_.n_outputs}"
            )
        x_scaling, y_scaling = self._scalings(data, loss) if not warm else self._old_scalings()
        return Supervised(
            ode,
            loss,
            n_outputs,
            augment,
            tikhonov=self.tikhonov,
            smoothness=self.smoothness,
            x_scaling=x_scaling,
            y_scaling=y_scaling,
        )

    def _scalings(self, data: Data, loss: str) -> tuple[Scaling | None, Scaling | None]:
        x_scaling = y_scaling = None
        if _validate.is_text(self.standardize):
            _validate.choice("standardize", self.standardize, ("common",))
            x_scaling = inputs.common_scaling_of("X", data.x, data.weight)
        elif _validate.boolean("standardize", self.standardize):
            x_scaling = inputs.scaling_of("X", data.x, data.weight, bounded=True)
        if loss == "regression":
            y_scaling = inputs.scaling_of("y", np.asarray(data.y), data.weight)
        return x_scaling, y_scaling

    def _old_scalings(self) -> tuple[Scaling | None, Scaling | None]:
        """Those that theta was found with: for others it means another function."""
        return self.problem_.x_scaling, self.problem_.y_scaling

    def transform(self, X: Any) -> Array:
        """Where the paths end: the features z(T), (N, d), that the readout reads.

        Parameters
        ----------
        X : array_like (N, n_features)

        Returns
        -------
        (N, d)
            d is the number of features plus ``augment``.
        """
        X = self._fitted(X)
        with self._threads():
            return self.problem_.features(self.theta_, X)

    def _outputs(self, X: Any) -> Array:
        """F(x), (N, m)."""
        X = self._fitted(X)
        with self._threads():
            return self.problem_.predict(self.theta_, X)

    @property
    def _n_features_out(self) -> int:
        return self.problem_.ode.dim


@texts.documented(*SHARED, problem="refode.Supervised")
class NeuralODEClassifier(ClassifierMixin, _NeuralODE):
    """Classifier: F(x) = W z(T) + b, z' = f(z; theta(t)), z(0) = (x, 0), eqs. (5)-(8).

    Two classes have one output and the logistic loss, more have one each and cross-entropy.

    Parameters
    ----------
    {parameters}
    class_weight : dict or "balanced", optional
        What the samples of each class count, beside ``sample_weight``; all the same by default.
        "balanced" gives each class the same share, sample weights included.

    Attributes
    ----------
    classes_ : (m,)
        The labels.
    {attributes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from refode.estimators import NeuralODEClassifier
    >>> x, y = load_iris(return_X_y=True)
    >>> model = NeuralODEClassifier(width=10, random_state=0)
    >>> bool(cross_val_score(model, x, y).mean() > 0.93)
    True
    """

    classes_: Array

    def __init__(
        self,
        field: Any = "shallow",
        width: int = 50,
        *,
        time: bool = False,
        scheme: Any = "midpoint",
        n_steps: Any = 4,
        t_span: tuple[float, float] = (0.0, 1.0),
        basis: Any = "constant",
        n_coefficients: int = 4,
        augment: int = 0,
        tikhonov: float = 1e-2,
        smoothness: float = 0.0,
        standardize: bool | str = True,
        method: str = "lbfgs",
        max_iter: int = 200,
        tolerance: float = 1e-3,
        memory: int = 20,
        batch_size: int | None = None,
        iterations_per_batch: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        warm_start: bool = False,
        class_weight: Any = None,
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
        self.augment = augment
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
        self.class_weight = class_weight
        self.random_state = random_state
        self.n_threads = n_threads
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NeuralODEClassifier:
        """Train on samples and their labels.

        Parameters
        ----------
        X : array_like (N, n_features)
        y : array_like (N,)
            Labels: numbers or strings, of two classes at least.
        sample_weight : array_like (N,), optional
            What each sample counts; whole numbers do as repeated samples would.

        Returns
        -------
        self
        """
        new = not self._is_warm()
        X, y = inputs.validated(self, X, y, reset=new, dtype=np.float64, multi_output=True)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        weight = inputs.weight_of(sample_weight, X)
        classes, labels = self._labels(y)
        X, y, labels, weight = inputs.counted(weight, X, y, labels)
        present = len(np.unique(labels))
        if present < 2:
            raise ValueError(f"y: got samples of {present} class, wanted two classes at least")
        if self.class_weight is not None:
            weight = inputs.by_class(self.class_weight, y, weight)
            X, labels, weight = inputs.counted(weight, X, labels)
        loss, m = ("logistic", 1) if len(classes) == 2 else ("softmax", len(classes))
        data = Data(X, labels, weight)
        problem = self._problem(data, loss, m)
        theta0 = self._from(problem)
        self.classes_ = classes
        self._train(problem, data, theta0, stratify=labels)
        return self

    def _labels(self, y: Array) -> tuple[Array, Array]:
        """The classes, and each sample's number among them."""
        classes, labels = np.unique(y, return_inverse=True)
        if self._is_warm():
            new = np.setdiff1d(classes, self.classes_)
            if len(new):
                raise ValueError(
                    f"y: got the class {new.tolist()[0]!r} with warm_start=True, wanted those of "
                    f"the last fit, {self.classes_.tolist()}"
                )
            classes, labels = self.classes_, np.searchsorted(self.classes_, y)
        return classes, labels.astype(np.int64)

    def decision_function(self, X: Any) -> Array:
        """F(x): (N,) for two classes, positive for the second; (N, m) for more."""
        outputs = self._outputs(X)
        return outputs[:, 0] if len(self.classes_) == 2 else outputs

    def predict(self, X: Any) -> Array:
        """The most probable class of each sample, (N,)."""
        outputs = self._outputs(X)
        two = len(self.classes_) == 2
        return self.classes_[(outputs[:, 0] > 0.0) * 1 if two else outputs.argmax(axis=1)]

    def predict_proba(self, X: Any) -> Array:
        """Probabilities of the classes, (N, m), in the order of ``classes_``."""
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of the probabilities, (N, m), also where these vanish in float64."""
        outputs = self._outputs(X)
        if len(self.classes_) == 2:
            outputs = np.concatenate([np.zeros_like(outputs), outputs], axis=1)
        return log_softmax(outputs, axis=1)


@texts.documented(*SHARED, problem="refode.Supervised")
class NeuralODERegressor(RegressorMixin, _NeuralODE):
    """Regressor: F(x) = W z(T) + b, z' = f(z; theta(t)), z(0) = (x, 0), eqs. (5)-(8).

    The loss is that of targets of mean 0 and deviation 1; predictions are in their own units.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    Examples
    --------
    >>> import numpy as np
    >>> from refode.estimators import NeuralODERegressor
    >>> x = np.random.default_rng(0).uniform(-1.0, 1.0, (200, 2))
    >>> model = NeuralODERegressor(width=10, tikhonov=1e-3, random_state=0)
    >>> y = x[:, 0] * x[:, 1]
    >>> bool(model.fit(x, y).score(x, y) > 0.9)
    True
    """

    def __init__(
        self,
        field: Any = "shallow",
        width: int = 50,
        *,
        time: bool = False,
        scheme: Any = "midpoint",
        n_steps: Any = 4,
        t_span: tuple[float, float] = (0.0, 1.0),
        basis: Any = "constant",
        n_coefficients: int = 4,
        augment: int = 0,
        tikhonov: float = 1e-2,
        smoothness: float = 0.0,
        standardize: bool | str = True,
        method: str = "lbfgs",
        max_iter: int = 200,
        tolerance: float = 1e-3,
        memory: int = 20,
        batch_size: int | None = None,
        iterations_per_batch: int = 10,
        early_stopping: bool = False,
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
        self.augment = augment
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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NeuralODERegressor:
        """Train on samples and their targets.

        Parameters
        ----------
        X : array_like (N, n_features)
        y : array_like (N,) or (N, m)
        sample_weight : array_like (N,), optional
            What each sample counts; whole numbers do as repeated samples would.

        Returns
        -------
        self
        """
        new, how = not self._is_warm(), {"multi_output": True, "y_numeric": True}
        X, y = inputs.validated(self, X, y, reset=new, dtype=np.float64, **how)
        y = y.astype(np.float64, copy=False)
        weight = inputs.weight_of(sample_weight, X)
        flat = y.ndim == 1
        X, y, weight = inputs.counted(weight, X, y[:, None] if flat else y)
        data = Data(X, y, weight)
        problem = self._problem(data, "regression", y.shape[1])
        theta0 = self._from(problem)
        self._flat = flat
        self._train(problem, data, theta0)
        return self

    def predict(self, X: Any) -> Array:
        """Predictions, (N,) or (N, m) as the targets were."""
        outputs = self._outputs(X)
        return outputs[:, 0] if self._flat else outputs
