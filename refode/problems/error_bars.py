"""Second-order results of a problem: posteriors, sensitivities, what each sample alone does.

``Uncertain`` has the methods' common part and says what a problem supplies: ``_observed``,
``_predictor``, ``_mixed`` and ``_alone``. Formulas: docs/equations_second_order.md.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from refode import _validate
from refode._blas import one_thread
from refode._quiet import quietly
from refode._scaling import TINY, restored, scaled
from refode._weights import NAME, Weighing, checked
from refode.costs.losses import Regression, hessian_products, one_by_one
from refode.ode.placement import hosted
from refode.problems.contract import WithODE
from refode.problems.curvature import Definite, dense, jacobian
from refode.problems.laplace import Laplace, Observed, laplace
from refode.problems.left_out import Alone, LeftOut, left_out
from refode.problems.paths import all_finite
from refode.problems.predictions import Predicting
from refode.problems.scaling import with_units

Array = np.ndarray
Outputs = Callable[[Array], Array]
Dots = dict[str, Any]


class Uncertain(WithODE):
    """A problem with second-order results; a subclass has ``_regulariser`` besides."""

    # --- what a problem supplies ---------------------------------------------------------
    @abstractmethod
    def _observed(self, theta: Array, *data: Any, **named: Any) -> Observed:
        """What Laplace's approximation asks, of data as the methods take them."""

    @abstractmethod
    def _predictor(self, x: Any, *more: Any) -> Outputs:
        """F(x; theta) (N, m) in the data's units as a function of theta, real or complex."""

    @abstractmethod
    def _mixed(self, theta: Array, data: tuple[Any, ...], dots: Dots, weight: Any) -> Array:
        """Derivative (p,) of the gradient along the data's dots."""

    @abstractmethod
    def _alone(self, *data: Any, **named: Any) -> Alone:
        """The samples one by one."""

    # --- what it does with them ----------------------------------------------------------
    @quietly()
    @one_thread
    def _theta_dot(self, theta: Array, data: tuple[Any, ...], dots: Dots, weight: Any) -> Array:
        """-H^{-1} times the derivative of the gradient along the data's dots, (D147)."""
        mixed = self._mixed(theta, data, dots, weight)
        H = dense(self, "hessian", theta, data, self.weighted(weight))
        return -Definite(H, "hessian").solve(mixed)


def raw_weights(sample_weight: Any, n: int) -> Array:
    """Weights of samples as they were given, without zeros."""
    if sample_weight is None:
        return np.ones(n)
    weights = checked(NAME, hosted(sample_weight), n)
    return weights[weights > 0.0]


def along(function: Outputs, dot: Array) -> Array:
    """Derivative of a holomorphic function of a step in the data, by the complex one."""
    exponent, (dot,) = scaled(dot)
    size = float(np.abs(dot).max())
    step = TINY / (size or 1.0)
    return restored(exponent, function(1j * step * dot).imag / step)


def shares_of(by: Weighing, n: int) -> Array:
    """What each of n samples counts in a mean."""
    weights = np.ones(n) if by.weights is None else hosted(by.weights)
    return weights * by.scale


def one_dot(dots: Dots) -> Dots:
    """Those that are given; TypeError where none is."""
    given = {name: dot for name, dot in dots.items() if dot is not None}
    if not given:
        raise TypeError(f"{', '.join(dots)}: got None for all, wanted a direction in the data")
    return given


class FittedErrorBars(Predicting, Uncertain):
    """Error bars of a problem of inputs x and targets y."""

    loss: Any

    @abstractmethod
    def _data(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Weighing]:
        """x and targets as sweeps take them, without samples of weight 0; and the weights."""

    # --- posterior -----------------------------------------------------------------------
    def laplace(
        self,
        theta: Array,
        x: Array,
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
        x, y
            As of ``value``.
        sample_weight : (N,), optional
            Those of training. A regression's sample of weight w has the noise's variance over
            w; of classifiers w counts as w samples of its kind. M is their sum, N without.
        noise : float, optional
            Variance sigma^2 of the observations of a regression, in the loss's units; by
            default what the residuals leave for it, |r|^2/(N m - p_eff). Classifiers' losses
            are -log p: None or 1.
        curvature : {"hessian", "gauss_newton"}, optional
            H: the exact Hessian, which wants a minimum, or the Gauss-Newton matrix, which is
            positive definite wherever tikhonov > 0. Both cost p products.

        Returns
        -------
        refode.problems.laplace.Laplace

        Raises
        ------
        TypeError, ValueError
            Naming the argument; theta where H is not positive definite, with its least
            eigenvalue.

        Warns
        -----
        RuntimeWarning
            Where theta is more than a tenth of a standard deviation away from the optimum.
        """
        named = self.weighted(sample_weight)
        return laplace(self, self._parameters(theta), (x, y), named, noise, curvature)

    def sensitivity(
        self,
        theta: Array,
        x: Array,
        y: Array,
        *,
        sample_weight: Array | None = None,
        x_dot: Array | None = None,
        y_dot: Array | None = None,
    ) -> Array:
        """How the optimum theta moves with the data, theta_dot (p,), (D147).

        -H^{-1} d(gradient)/d(data): what training would find for x + eps x_dot and
        y + eps y_dot, less theta, over eps. Scalings of a standardised problem stay.

        Parameters
        ----------
        theta : (p,)
            The optimum.
        x, y, sample_weight
            As of ``laplace``.
        x_dot, y_dot : in the shape of x, of y, optional
            The direction in the data, in their units; one at least. Labels have none.

        Raises
        ------
        TypeError, ValueError
            As of ``laplace``.
        """
        dots = one_dot({"x_dot": x_dot, "y_dot": y_dot})
        return self._theta_dot(self._parameters(theta), (x, y), dots, sample_weight)

    def leave_one_out(
        self,
        theta: Array,
        x: Array,
        y: Array,
        *,
        sample_weight: Array | None = None,
        curvature: str = "hessian",
    ) -> LeftOut:
        """The fit without each sample, by one Newton step from the optimum, (D148).

        Exact where the objective is quadratic: residuals are divided by 1 - leverage. The
        others' weights in the objective stay as they are: 1/N, not 1/(N - 1). What the sample
        takes along is the curvature of its loss by linearised outputs, at whatever curvature
        of all: with residuals its exact Hessian would often leave none that is positive definite.

        Parameters
        ----------
        theta : (p,)
            The optimum.
        x, y, sample_weight
            As of ``laplace``. Samples of weight 0 are left out already, and have no rows.
        curvature : {"hessian", "gauss_newton"}, optional
            Of the objective of all samples. Measured on fits of curves, the Hessian's steps are
            ten times as near to fits made anew.

        Returns
        -------
        refode.problems.left_out.LeftOut

        Raises
        ------
        TypeError, ValueError
            As of ``laplace``; also x where a sample alone determines a parameter.
        """
        named = self.weighted(sample_weight)
        return left_out(self, self._parameters(theta), (x, y), named, curvature)

    # --- insides -------------------------------------------------------------------------
    def _observed(self, theta: Array, x: Any, y: Any, sample_weight: Any = None) -> Observed:
        theta, x_used, targets, _ = self._arguments(theta, x, y, sample_weight)
        w = raw_weights(sample_weight, len(x))
        if not isinstance(self._loss, Regression):
            return Observed(float(w.sum()))
        m = self.n_outputs
        r = self._outputs_at(theta, x_used) - hosted(targets)
        scales = np.ones(m) if self.y_scaling is None else self.y_scaling.scale
        return Observed(
            total=float(w.sum()),
            scalars=r.size,
            squares=float(np.sum(w[:, None] * r * r)),
            log_weights=m * float(np.log(w).sum()),
            log_units=len(r) * float(np.log(scales).sum()),
        )

    def _predictor(self, x: Any, *more: Any) -> Outputs:
        x = self._inputs(x)
        return lambda theta: all_finite("x", with_units(self._outputs_at(theta, x), self.y_scaling))

    def _mixed(self, theta: Array, data: tuple[Any, ...], dots: Dots, weight: Any) -> Array:
        theta, x, targets, by = self._arguments(theta, *data, weight)
        n = len(data[0])
        dots = {name: self._dot(name, dot, n, weight) for name, dot in dots.items()}
        x, mixed = hosted(x), np.zeros_like(theta)
        if "x_dot" in dots:
            step = functools.partial(self._value_and_gradient, theta + 0j)
            mixed += along(lambda dot: step(x + dot, targets, by)[1], dots["x_dot"])
        if "y_dot" in dots:
            F, y = self._outputs_at(theta, x), hosted(targets)
            about = self._loss.description
            F_bar = along(lambda dot: one_by_one(about(y + dot), F + 0j)[1], dots["y_dot"])
            F_bar *= by.scale if by.weights is None else hosted(by.weights)[:, None] * by.scale
            mixed += self._outputs_adjoint(theta, x, F_bar)
        return mixed

    def _dot(self, name: str, dot: Any, n: int, weight: Any) -> Array:
        """A direction in x or y as sweeps take it, without samples of weight 0."""
        if name == "x_dot":
            dot, scaling = _validate.real_array(name, dot, (n, self.n_inputs)), self.x_scaling
        else:
            if self._loss.labels:
                raise ValueError(
                    f"y_dot: got {_validate.shown(dot)} for the labels of loss={self.loss!r}, "
                    "wanted None: labels have no directions"
                )
            m, scaling = self.n_outputs, self.y_scaling
            short = m == 1 and _validate.n_axes(dot) == 1
            dot = _validate.real_array(name, dot, (n,) if short else (n, m)).reshape(n, m)
        dot = dot if scaling is None else dot / scaling.scale
        return dot if weight is None else dot[checked(NAME, hosted(weight), n) > 0.0]

    def _alone(self, x: Any, y: Any, sample_weight: Any = None) -> Alone:
        x, targets, by = self._data(x, y, sample_weight)
        x, targets = hosted(x), hosted(targets)
        about, m = self._loss.description, self.n_outputs
        data = [(x[i : i + 1], targets[i : i + 1]) for i in range(len(x))]

        def told(theta: Array, one: tuple[Any, ...]) -> tuple[Array, float]:
            F = all_finite("x", self._outputs_at(theta, one[0]))
            return with_units(F, self.y_scaling)[0], float(one_by_one(about(one[1]), F)[0][0])

        def linear(theta: Array) -> tuple[Array, Array, Array]:
            _validate.affordable("x", x, 3 * 8 * len(x) * m * len(theta))
            F, of = self._outputs_at(theta, x), about(targets)
            rows = [hessian_products(of, F, np.tile(unit, (len(x), 1))) for unit in np.eye(m)]
            J = jacobian(lambda at: self._outputs_at(at, x), theta)
            return J, one_by_one(of, F)[1], np.stack(rows, axis=1)

        return Alone(shares_of(by, len(x)), data, told, linear)
