"""Error bars of a normalizing flow: its losses are minus log-densities, so that noise is none."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from refode import _validate
from refode._weights import NAME, Weighing, checked
from refode.ode.placement import hosted
from refode.problems.error_bars import (
    Dots,
    Outputs,
    Uncertain,
    along,
    one_dot,
    raw_weights,
    shares_of,
)
from refode.problems.flow_objective import Likelihood
from refode.problems.laplace import Laplace, Observed, laplace
from refode.problems.left_out import Alone, LeftOut, left_out
from refode.problems.paths import all_finite
from refode.problems.scaling import with_units

Array = np.ndarray


class FlowErrorBars(Likelihood, Uncertain):
    """Error bars of a flow with an exact trace."""

    @abstractmethod
    def _weighed(self, y: Any, sample_weight: Any) -> tuple[Any, Weighing]:
        """Data as sweeps take them, without samples of weight 0; and the weights."""

    def laplace(
        self,
        theta: Array,
        y: Array,
        *,
        sample_weight: Array | None = None,
        noise: float | None = None,
        curvature: str = "hessian",
    ) -> Laplace:
        """Laplace's approximation of the posterior of theta at the optimum, (D143)-(D146).

        Parameters
        ----------
        theta : (p,)
            The optimum: where training has converged to a small gradient.
        y : (N, d)
        sample_weight : (N,), optional
            Those of training: w counts as w data of a kind. M is their sum, N without.
        noise : float, optional
            None or 1: losses are minus log-densities.
        curvature : {"hessian"}, optional
            H is the exact Hessian; a flow has no Gauss-Newton matrix.

        Returns
        -------
        refode.problems.laplace.Laplace
            ``predictive(x)`` is of ``generate(theta, x)``. With transport cost there is no
            evidence, as nobody knows the normaliser of the prior that it makes.

        Raises
        ------
        TypeError, ValueError
            Naming the argument; theta where H is not positive definite, with its least
            eigenvalue; trace unless "exact".

        Warns
        -----
        RuntimeWarning
            Where theta is more than a tenth of a standard deviation away from the optimum.
        """
        return laplace(
            self, self._parameters(theta), (y,), self.weighted(sample_weight), noise, curvature
        )

    def sensitivity(
        self,
        theta: Array,
        y: Array,
        *,
        sample_weight: Array | None = None,
        y_dot: Array | None = None,
    ) -> Array:
        """How the optimum theta moves with the data, theta_dot (p,), (D147).

        Parameters
        ----------
        theta : (p,)
            The optimum.
        y, sample_weight
            As of ``laplace``.
        y_dot : (N, d)
            The direction in the data, in their units.

        Raises
        ------
        TypeError, ValueError
            As of ``laplace``.
        """
        dots = one_dot({"y_dot": y_dot})
        return self._theta_dot(self._parameters(theta), (y,), dots, sample_weight)

    def leave_one_out(
        self,
        theta: Array,
        y: Array,
        *,
        sample_weight: Array | None = None,
        curvature: str = "hessian",
    ) -> LeftOut:
        """The fit without each datum, by one Newton step from the optimum, (D148).

        Parameters
        ----------
        theta : (p,)
            The optimum.
        y, sample_weight, curvature
            As of ``laplace``.

        Returns
        -------
        refode.problems.left_out.LeftOut
            ``losses`` are minus the log-densities of the data by the fits without them,
            transport cost included.

        Raises
        ------
        TypeError, ValueError
            As of ``laplace``; also y where a datum alone determines a parameter.
        """
        return left_out(
            self, self._parameters(theta), (y,), self.weighted(sample_weight), curvature
        )

    # --- insides -------------------------------------------------------------------------
    def _observed(self, theta: Array, y: Any, sample_weight: Any = None) -> Observed:
        self._weighed(y, sample_weight)
        self._check_products(y)
        why = f"transport={self.transport}, a prior of unknown normaliser"
        total = float(raw_weights(sample_weight, len(y)).sum())
        return Observed(total, improper=why if self.transport else "")

    def _predictor(self, x: Any, *more: Any) -> Outputs:
        x, ode = _validate.samples("x", x, self.dim), self.ode
        return lambda theta: all_finite(
            "x", with_units(ode._forward(theta, x, ode.plan())[0], self.y_scaling)
        )

    def _mixed(self, theta: Array, data: tuple[Any, ...], dots: Dots, weight: Any) -> Array:
        (y,) = data
        y, by = self._weighed(y, weight)
        self._check_products(y)
        n, y = len(data[0]), hosted(y)
        dot = _validate.real_array("y_dot", dots["y_dot"], (n, self.dim))
        dot = dot if self.y_scaling is None else dot / self.y_scaling.scale
        if weight is not None:
            dot = dot[checked(NAME, hosted(weight), n) > 0.0]
        return along(lambda step: self._value_and_gradient(theta + 0j, y + step, by)[1], dot)

    def _alone(self, y: Any, sample_weight: Any = None) -> Alone:
        y, by = self._weighed(y, sample_weight)
        self._check_products(y)
        rows = hosted(y)
        data = [(rows[i : i + 1],) for i in range(len(rows))]

        def told(theta: Array, one: tuple[Any, ...]) -> tuple[None, float]:
            value = self._value_and_gradient(theta, *one)[0] - self._regulariser(theta)[0]
            return None, float(value)

        return Alone(shares_of(by, len(rows)), data, told, None)
