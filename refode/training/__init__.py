"""Training: SciPy's optimisers on fixed samples, with history, checkpoints and progress.

``train`` runs one optimisation, on all samples or on batches of them, ``train_multilevel`` a row
of them on ever finer weights in time, steps or samples, ``train_resampled`` one with samples
redrawn now and then, and ``read_checkpoint`` reads what any of them saved. A problem is a
``refode.problems.contract.Problem``, or any object with ``value_and_gradient(theta, x, y)``, or
``value_and_gradient(theta, x)`` for problems without targets; ``refode.Supervised`` is one.
"""

from __future__ import annotations

from refode.training.checkpoint import CheckpointNotFoundError, read_checkpoint
from refode.training.door import train
from refode.training.msa import train_msa
from refode.training.multilevel import prolong, train_multilevel
from refode.training.options import METHODS
from refode.training.records import (
    CONVERGED,
    FAILED,
    HISTORY,
    INTERRUPTED,
    LINE_SEARCH,
    MAX_ITER,
    NON_FINITE,
    PATIENCE,
    RESAMPLED,
    STOPPED,
    STUCK,
)
from refode.training.resampled import train_resampled

__all__ = [
    "CONVERGED",
    "FAILED",
    "HISTORY",
    "INTERRUPTED",
    "LINE_SEARCH",
    "MAX_ITER",
    "METHODS",
    "NON_FINITE",
    "PATIENCE",
    "RESAMPLED",
    "STOPPED",
    "STUCK",
    "CheckpointNotFoundError",
    "prolong",
    "read_checkpoint",
    "train",
    "train_msa",
    "train_multilevel",
    "train_resampled",
]
