"""Neural ODEs and flows as estimators of scikit-learn's: for pipelines, searches and reports.

``NeuralODEClassifier`` and ``NeuralODERegressor`` are a ``refode.Supervised`` with its training,
``FlowDensity`` is a ``refode.ContinuousNormalizingFlow``, ``TrajectoryRegressor`` a
``refode.TrajectoryFitting``. They need scikit-learn, the extra
``sklearn``, which is imported when one of them is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refode.estimators.density import FlowDensity as FlowDensity
    from refode.estimators.supervised import NeuralODEClassifier as NeuralODEClassifier
    from refode.estimators.supervised import NeuralODERegressor as NeuralODERegressor
    from refode.estimators.trajectories import TrajectoryRegressor as TrajectoryRegressor

_HOMES = {
    "FlowDensity": "refode.estimators.density",
    "NeuralODEClassifier": "refode.estimators.supervised",
    "NeuralODERegressor": "refode.estimators.supervised",
    "TrajectoryRegressor": "refode.estimators.trajectories",
}

__all__ = ["FlowDensity", "NeuralODEClassifier", "NeuralODERegressor", "TrajectoryRegressor"]


def __getattr__(name: str) -> Any:
    """Load an estimator on first use (PEP 562) and keep it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'refode.estimators' has no attribute {name!r}")
    try:
        importlib.import_module("sklearn")
    except ImportError as error:
        wanted = "scikit-learn: pip install 'refode[sklearn]'"
        raise ImportError(f"refode.estimators.{name} needs {wanted}") from error
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
