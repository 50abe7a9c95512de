"""How far predictions are from their targets, sample by sample and in one number."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from refode import _validate
from refode._quiet import quietly
from refode._weights import Weighing, weighing
from refode.costs.losses import Loss
from refode.ode.placement import Resident, hosted
from refode.problems.scaling import Scaling, with_units

Array = np.ndarray


class Scored:
    """A problem with predictions of real numbers."""

    n_outputs: int
    y_scaling: Scaling | None
    _loss: Loss

    @abstractmethod
    def predict(self, theta: Array, x: Array) -> Array:
        """Predictions, (N, m)."""

    @abstractmethod
    def _targets(self, y: Any, n: int) -> Any:
        """Targets as sweeps take them; those on a device are so already."""

    @quietly()
    def residuals(self, theta: Array, x: Array, y: Array) -> Array:
        """F(x) - y in the shape of y: (N, m), or (N,) where that is y's.

        Raises
        ------
        TypeError, ValueError
            As of ``value``; also for class labels, which have no residuals.
        """
        residuals = self._residuals(theta, x, y)[0]
        return residuals[:, 0] if _validate.n_axes(y) == 1 else residuals

    @quietly()
    def score(
        self, theta: Array, x: Array, y: Array, *, sample_weight: Array | None = None
    ) -> float:
        """R^2 = 1 - |F(x) - y|^2 / |y - mean y|^2, mean over the outputs.

        1 for exact predictions, 0 for those by the mean of y, less for worse ones, down to -inf
        where that is beyond float64.

        Parameters
        ----------
        theta : (p,)
        x : (N, d - augment)
        y : (N, m), or (N,) for m = 1
        sample_weight : (N,), optional
            Numbers >= 0, not all 0, by which both sums and the mean of y weigh the samples.

        Raises
        ------
        TypeError, ValueError
            As of ``residuals``; also where an output's targets are all the same.
        """
        residuals, targets = self._residuals(theta, x, y)
        by, keep = weighing(hosted(sample_weight), len(targets))
        if keep is not None:
            residuals, targets = residuals[keep], targets[keep]
        return r_squared(residuals, targets, by)

    def _residuals(self, theta: Array, x: Array, y: Array) -> tuple[Array, Array]:
        """F(x) - y and y, both (N, m)."""
        if self._loss.labels:
            raise ValueError(f"loss: got {self._loss.name!r}, wanted 'regression'")
        outputs = self.predict(theta, x)
        if isinstance(y, Resident):
            y = with_units(hosted(self._targets(y, len(outputs))), self.y_scaling)
        targets = self._loss.targets(y, len(outputs), self.n_outputs)
        return outputs - targets, targets


def r_squared(residuals: Array, targets: Array, by: Weighing) -> float:
    """R^2 of each output (N, m), and their mean; ValueError where an output's targets agree."""
    constant = targets.min(axis=0) == targets.max(axis=0)
    if constant.any():
        raise ValueError(
            f"y: got {targets[0, constant][0]} in all of output {int(constant.argmax())}, wanted "
            "targets that differ (R^2 compares with their variance)"
        )
    away = targets - by.mean(targets)
    unit = np.abs(away).max(axis=0)  # so that no square overflows
    total = by.sum((away / unit) ** 2)
    return float((1.0 - by.sum((residuals / unit) ** 2) / total).mean())
