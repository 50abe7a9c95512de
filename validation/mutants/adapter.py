"""An adapter, for ``refode check``, of kernels that have a bug."""

from __future__ import annotations

import importlib
import os
import warnings
from typing import Any

import numpy as np

from refode import _validate
from refode.check.case import Case
from validation.mutants.bugs import catalogue
from validation.mutants.gradients import examined
from validation.mutants.mutant import ADAPTER, VARIABLE, plant


class adapter:  # noqa: N801  a target's name, as "module:adapter"
    """The kernels with the bug that `VARIABLE` names, or as they are where it is not set."""

    precision = "float64"

    def __init__(self) -> None:
        name = os.environ.get(VARIABLE, "")
        if name:
            np.seterr(all="ignore")  # a bug may divide by zero; what comes of it is judged
            warnings.simplefilter("ignore")
            mutant = catalogue()[_validate.choice(VARIABLE, name, tuple(catalogue()))]
            self.kernels = plant(mutant)
        else:
            self.kernels = importlib.import_module(ADAPTER)

    def results(self, case: Case) -> dict[str, Any]:
        """All quantities of a case."""
        found: dict[str, Any] = self.kernels.results(case.document)
        return found

    def gradient_check(self, name: str, hessian: bool) -> dict[str, Any]:
        """See `validation.mutants.gradients.examined`."""
        return examined(self.kernels, name, hessian)
