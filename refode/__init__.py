"""Ground truth for continuous-time deep learning: neural ODEs with hand-derived adjoints.

A model is a field, its weights in time and a Runge-Kutta scheme, differentiated by the
discrete adjoint in NumPy, SciPy and Numba. The public names are loaded when first used, so
that ``import refode`` costs little.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"  # the one place; setup.cfg and docs/conf.py read it here

if TYPE_CHECKING:
    from refode import adaptation as adaptation
    from refode import bases as bases
    from refode import bridges as bridges
    from refode import check as check
    from refode import closed_forms as closed_forms
    from refode import cuda as cuda
    from refode import datasets as datasets
    from refode import densities as densities
    from refode import distributed as distributed
    from refode import estimators as estimators
    from refode import fields as fields
    from refode import games as games
    from refode import reference as reference
    from refode import reports as reports
    from refode import tableaus as tableaus
    from refode import training as training
    from refode import verify as verify
    from refode.adaptation import adapt as adapt
    from refode.machine.threads import get_num_threads as get_num_threads
    from refode.machine.threads import set_num_threads as set_num_threads
    from refode.ode import evaluate as evaluate
    from refode.ode import steps as steps
    from refode.ode.neural_ode import NeuralODE as NeuralODE
    from refode.problems.game import MeanFieldGame as MeanFieldGame
    from refode.problems.normalizing_flow import (
        ContinuousNormalizingFlow as ContinuousNormalizingFlow,
    )
    from refode.problems.observations import Observations as Observations
    from refode.problems.supervised import Supervised as Supervised
    from refode.problems.trajectories import TrajectoryFitting as TrajectoryFitting
    from refode.saving import load as load
    from refode.saving import save as save
    from refode.training import train as train
    from refode.training import train_multilevel as train_multilevel
    from refode.training import train_resampled as train_resampled

_MODULES = {
    "adaptation": "refode.adaptation",
    "bases": "refode.bases",
    "bridges": "refode.bridges",
    "check": "refode.check",
    "closed_forms": "refode.closed_forms",
    "cuda": "refode.cuda",
    "datasets": "refode.datasets",
    "densities": "refode.densities",
    "distributed": "refode.distributed",
    "estimators": "refode.estimators",
    "evaluate": "refode.ode.evaluate",
    "fields": "refode.fields",
    "games": "refode.games",
    "reference": "refode.reference",
    "reports": "refode.reports",
    "steps": "refode.ode.steps",
    "tableaus": "refode.tableaus",
    "training": "refode.training",
    "verify": "refode.verify",
}

_HOMES = {
    "ContinuousNormalizingFlow": "refode.problems.normalizing_flow",
    "MeanFieldGame": "refode.problems.game",
    "NeuralODE": "refode.ode.neural_ode",
    "Observations": "refode.problems.observations",
    "Supervised": "refode.problems.supervised",
    "adapt": "refode.adaptation",
    "TrajectoryFitting": "refode.problems.trajectories",
    "get_num_threads": "refode.machine.threads",
    "load": "refode.saving",
    "save": "refode.saving",
    "set_num_threads": "refode.machine.threads",
    "train": "refode.training",
    "train_multilevel": "refode.training",
    "train_resampled": "refode.training",
}

__all__ = [
    "ContinuousNormalizingFlow",
    "MeanFieldGame",
    "NeuralODE",
    "Observations",
    "Supervised",
    "TrajectoryFitting",
    "__version__",
    "adapt",
    "adaptation",
    "bases",
    "bridges",
    "check",
    "closed_forms",
    "cuda",
    "datasets",
    "densities",
    "distributed",
    "estimators",
    "evaluate",
    "fields",
    "games",
    "get_num_threads",
    "load",
    "reference",
    "reports",
    "save",
    "set_num_threads",
    "steps",
    "tableaus",
    "train",
    "train_multilevel",
    "train_resampled",
    "training",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562) and keep it."""
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(_MODULES[name])
    else:
        raise AttributeError(f"module 'refode' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
