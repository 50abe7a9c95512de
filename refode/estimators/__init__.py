"""Neural ODEs and flows as estimators of scikit-learn's: for pipelines, searches and reports.

``NeuralODEClassifier`` and ``NeuralODERegressor`` are a ``refode.Supervised`` with its training,
``FlowDensity`` is a ``refode.ContinuousNormalizingFlow``. They need scikit-learn, the extra
``sklearn``.
"""

from __future__ import annotations

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "refode.estimators needs scikit-learn: pip install 'refode[sklearn]'"
    ) from error

from refode.estimators.density import FlowDensity
from refode.estimators.supervised import NeuralODEClassifier, NeuralODERegressor

__all__ = ["FlowDensity", "NeuralODEClassifier", "NeuralODERegressor"]
