"""Error bars of fitted trajectories: posterior, sensitivity, the fit without each sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode import _validate
from refode._numbers import to_float64
from refode.problems.curvature import jacobian
from refode.problems.error_bars import Dots, Outputs, Uncertain, along, one_dot
from refode.problems.laplace import Laplace, Observed, laplace
from refode.problems.left_out import Alone, LeftOut, left_out
from refode.problems.observations import Observations
from refode.problems.paths import all_finite
from refode.problems.trajectory_courses import Planning

Array = np.ndarray


class MeasuredErrorBars(Planning, Uncertain):
    """Second-order results of a problem whose data are ``Observations``."""

    # --- posterior -----------------------------------------------------------------------
    def laplace(
        self,
        theta: Array,
        x: Array | None,
        y: Observations,
        *,
        noise: float | None = None,
        curvature: str = "hessian",
    ) -> Laplace:
        """Laplace's approximation of the posterior of theta at the optimum, (D143)-(D146).

        M, by which the objective's mean divides, is the sum of the weights. ``predictive`` of
        the answer takes (x, times), or (x, times, inputs), as ``predict`` does, and gives means
        (N, K, m) and covariances (N, K, m, m) of what would be observed, without noise.

        Parameters
        ----------
        theta : (p,)
            The optimum: where training has converged to a small gradient.
        x, y
            As of ``value``.
        noise : float, optional
            Variance of an observation of weight 1. By default 1 where the observations have
            weights, which are 1/sigma^2 then, and otherwise what the residuals leave for it,
            (D144).
        curvature : {"hessian", "gauss_newton"}, optional
            H: the exact Hessian, which wants a minimum, or the Gauss-Newton matrix.

        Returns
        -------
        refode.problems.laplace.Laplace

        Raises
        ------
        TypeError, ValueError
            Naming the argument; theta where H is not positive definite, with its least
            eigenvalue; shooting, whose objective is no likelihood.

        Warns
        -----
        RuntimeWarning
            Where theta is more than a tenth of a standard deviation away from the optimum.
        """
        self._check_single("laplace")
        return laplace(self, self._parameters(theta), (x, y), {}, noise, curvature)

    def covariance(
        self,
        theta: Array,
        x: Array | None,
        y: Observations,
        *,
        noise: float | None = None,
        curvature: str = "hessian",
    ) -> Array:
        """Covariance (p, p) of theta: that of ``laplace``, whose arguments and errors it has."""
        self._check_single("covariance")
        theta = self._parameters(theta)
        return np.array(laplace(self, theta, (x, y), {}, noise, curvature).covariance)

    def sensitivity(
        self,
        theta: Array,
        x: Array | None,
        y: Observations,
        *,
        x_dot: Array | None = None,
        y_dot: Array | None = None,
    ) -> Array:
        """How the optimum theta moves with the data, theta_dot (p,), (D147).

        Parameters
        ----------
        theta : (p,)
            The optimum.
        x, y
            As of ``laplace``.
        x_dot : (N, d), optional
            Direction of the states at t0; none with initial="fitted".
        y_dot : (N, K, m), optional
            Direction of the values; what is missing has none, whatever stands there.

        Raises
        ------
        TypeError, ValueError
            As of ``laplace``.
        """
        self._check_single("sensitivity")
        dots = one_dot({"x_dot": x_dot, "y_dot": y_dot})
        return self._theta_dot(self._parameters(theta), (x, y), dots, None)

    def leave_one_out(
        self,
        theta: Array,
        x: Array | None,
        y: Observations,
        *,
        curvature: str = "hessian",
    ) -> LeftOut:
        """The fit without each sample, all of its trajectory, by one Newton step, (D148).

        The others' weights in the objective stay as they are. Predictions are (N, K, m), at the
        sample's times; 0 stands where its time is missing.

        Parameters
        ----------
        theta : (p,)
            The optimum.
        x, y
            As of ``laplace``; two samples at least.
        curvature : {"hessian", "gauss_newton"}, optional
            Of the objective of all samples.

        Returns
        -------
        refode.problems.left_out.LeftOut

        Raises
        ------
        TypeError, ValueError
            As of ``laplace``; also x where a sample alone determines a parameter.
        """
        self._check_single("leave_one_out")
        return left_out(self, self._parameters(theta), (x, y), {}, curvature)

    # --- insides -------------------------------------------------------------------------
    def _observed(self, theta: Array, *data: Any, **named: Any) -> Observed:
        theta, x, y, schedule = self._arguments(theta, *data, **named)
        there, w = y.there, y.weights[y.there]
        r = (self._outputs(theta, x, schedule) - y.values)[there]
        return Observed(
            total=y.total,
            scalars=r.size,
            squares=float(np.sum(w * r * r)),
            log_weights=float(np.log(w).sum()),
            noise=1.0 if y.weighted else None,
        )

    def _predictor(self, x: Any, *more: Any) -> Outputs:
        if len(more) not in (1, 2):
            raise TypeError(
                f"times: got {len(more)} arguments after x, wanted the times, and inputs if any"
            )
        n = len(self._states(np.zeros(self.n_parameters), x, None))
        schedule = self._asked(n, more[0], more[1] if len(more) == 2 else None)

        def outputs(theta: Array) -> Array:
            start = self._states(theta.real, x, None)
            z = self._states_along(theta, self._start(theta, start), schedule)
            return all_finite("x", self._read(theta, z))

        return outputs

    def _mixed(self, theta: Array, data: tuple[Any, ...], dots: Dots, weight: Any) -> Array:
        theta, x, y, schedule = self._arguments(theta, *data)
        mixed = np.zeros_like(theta)
        if "x_dot" in dots:
            if self.fitted:
                raise ValueError("x_dot: got a direction of what is fitted, wanted None")
            dot = _validate.real_array("x_dot", dots["x_dot"], x.shape)
            mixed += along(
                lambda step: self._value_and_gradient(theta + 0j, x + step, y, schedule)[1], dot
            )
        if "y_dot" in dots:
            there = y.there
            given = to_float64("y_dot", dots["y_dot"])
            if given.shape != there.shape:
                raise ValueError(f"y_dot: got shape {given.shape}, wanted {there.shape} as y has")
            dot = _validate.real_array("y_dot", np.where(there, given, 0.0), there.shape)
            mixed -= self._pulled(theta, x, y, schedule, y.weights * dot / y.total)
        return mixed

    def _alone(self, *data: Any, **named: Any) -> Alone:
        """Sample i's loss is the sum of its w r^2/2, and its share 1/M."""
        x, y = self.data(data)
        y = self._observations(y)
        n = y.n_samples

        def seen(theta: Array) -> tuple[Array, Array]:
            at, start, _, schedule = self._arguments(theta, x, y)
            F = np.where(y.there, self._outputs(at, start, schedule), 0.0)
            return all_finite("x", F), np.where(y.there, F - y.values, 0.0)

        def told(theta: Array, one: tuple[Any, ...]) -> tuple[Array, float]:
            F, r = seen(theta)
            (i,) = one
            return F[i], float(0.5 * np.sum(y.weights[i] * r[i] ** 2))

        def linear(theta: Array) -> tuple[Array, Array, Array]:
            at, start, _, schedule = self._arguments(theta, x, y)
            size = y.values[0].size
            _validate.affordable("y", y, 3 * 8 * n * size * (len(theta) + size))

            def outputs(moved: Array) -> Array:
                F = self._outputs(moved, self._start(moved, start), schedule)
                return np.where(y.there, F, 0.0)

            J = jacobian(outputs, at).reshape(n, size, len(at))
            weights = y.weights.reshape(n, size)
            bars = weights * seen(theta)[1].reshape(n, size)
            return J, bars, weights[:, :, None] * np.eye(size)

        return Alone(np.full(n, 1.0 / y.total), [(i,) for i in range(n)], told, linear)
