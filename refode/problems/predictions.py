"""What a problem with a readout predicts, F(x) = W z(T) + b, in the data's own units."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode import _validate
from refode._products import product
from refode._quiet import quietly
from refode.ode.placement import Resident, hosted, samples
from refode.problems.contract import WithODE
from refode.problems.paths import all_finite
from refode.problems.scaling import standardised, with_units
from refode.problems.scores import Scored

Array = np.ndarray


class Predicting(Scored, WithODE):
    """A problem whose predictions a readout makes of where the paths end.

    A subclass sets the attributes below, once.
    """

    readout: bool
    augment: int

    @property
    def n_inputs(self) -> int:
        """Columns of x: the ode's dim less the appended zeros."""
        return self.ode.dim - self.augment

    @quietly()
    def predict(self, theta: Array, x: Array) -> Array:
        """Values of F, (N, m): two axes for m = 1 too, ``predict(theta, x)[:, 0]`` is (N,).

        Raises
        ------
        TypeError, ValueError
            Naming the argument; x also where a path leaves the finite range, here and in all
            methods below.
        """
        outputs = self._outputs_at(self._parameters(theta), self._inputs(x))
        return all_finite("x", with_units(outputs, self.y_scaling))

    @quietly()
    def predict_proba(self, theta: Array, x: Array) -> Array:
        """Class probabilities: (N, 2) for logistic, (N, m) for softmax."""
        return self._loss.probabilities(self.predict(theta, x))

    def predict_label(self, theta: Array, x: Array) -> Array:
        """Most probable class, (N,) integers."""
        return self.predict_proba(theta, x).argmax(axis=1)

    @quietly()
    def features(self, theta: Array, x: Array) -> Array:
        """Propagated features z(T), (N, d), as the readout reads them."""
        theta, x = self._parameters(theta), self._inputs(x)
        return self.ode.solve(theta[: self.ode.n_parameters], self._padded(hosted(x)))

    @quietly()
    def transported(self, theta: Array, x: Array, t: float) -> Array:
        """u(x, t) of the transport view (9): W z(T) + b for the characteristic through (x, t).

        u solves u_t + f . grad u = 0 with the terminal condition u(., T) = W x + b
        (docs/errata.md); F(x) = u((x, 0), t0).

        Parameters
        ----------
        theta : (p,)
        x : (N, d)
            States, with all d columns; the first d - augment in the data's units.
        t : float
            Within the ode's t_span; its n_steps steps cover the way from t to T.

        Returns
        -------
        (N, m)
        """
        theta = self._parameters(theta)
        x = self._scaled_states(_validate.samples("x", x, self.ode.dim))
        t = _validate.real_number("t", t)
        low, high = sorted(self.ode.t_span)
        if not low <= t <= high:
            raise ValueError(f"t: got {t}, wanted a time in [{low}, {high}]")
        self.ode._check_end(t)
        T = self.ode.t_span[1]
        z = x if t == T else self.ode.solve(theta[: self.ode.n_parameters], x, t_span=(t, T))
        return all_finite("x", with_units(self._read(theta, z), self.y_scaling))

    # --- insides -----------------------------------------------------------------------
    def _readout(self, theta: Array) -> tuple[Array, Array]:
        tail = theta[self.ode.n_parameters :]
        if not self.readout:
            return tail.reshape(0, self.ode.dim), tail
        m, d = self.n_outputs, self.ode.dim
        return tail[: m * d].reshape(m, d), tail[m * d :]

    def _read(self, theta: Array, z: Array) -> Array:
        W, b = self._readout(theta)
        with np.errstate(over="ignore", invalid="ignore"):  # who asks looks what came out
            return product(z, W.T) + b if self.readout else z

    def _outputs_at(self, theta: Array, x: Array) -> Array:
        return self._read(theta, self._ends_at(theta, x))

    def _ends_at(self, theta: Array, x: Array) -> Array:
        theta_ode = theta[: self.ode.n_parameters]
        return self.ode._forward(theta_ode, self._padded(x), self.ode.plan())[0]

    def _outputs_adjoint(self, theta: Array, x: Array, F_bar: Array) -> Array:
        ode, W = self.ode, self._readout(theta)[0]
        theta_ode, padded = theta[: ode.n_parameters], self._padded(hosted(x))
        z_bar = product(F_bar, W) if self.readout else F_bar
        theta_bar, _ = ode.adjoint(theta_ode, padded, np.ascontiguousarray(z_bar))
        if not self.readout:
            return theta_bar
        z = ode.solve(theta_ode, padded)
        return np.concatenate([theta_bar, product(F_bar.T, z).ravel(), F_bar.sum(axis=0)])

    def _padded(self, x: Array) -> Array:
        if not self.augment or isinstance(x, Resident):  # which the sweep pads itself
            return x
        padded = np.zeros((len(x), self.ode.dim))
        padded[:, : self.n_inputs] = x
        return padded

    def _inputs(self, x: Any) -> Any:
        x = samples(self.ode.placement, "x", x, self.n_inputs)
        return standardised("x", x, self.x_scaling)

    def _scaled_states(self, x: Array) -> Array:
        """The columns of states that are data, standardised; zeros were appended after that."""
        scaled = standardised("x", x[:, : self.n_inputs], self.x_scaling)
        return np.concatenate([scaled, x[:, self.n_inputs :]], axis=1)
