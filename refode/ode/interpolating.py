"""What a NeuralODE knows between the points of its grid, and its adjoint."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode import _validate
from refode._quiet import quietly
from refode._scaling import restored, scaled
from refode.costs.reading import Reading
from refode.costs.trajectory import TrajectoryCost, work_rows
from refode.ode import driver, interpolation
from refode.ode.finite import all_finite
from refode.ode.plan import Plan, ends_bar, planned
from refode.ode.steps import Steps
from refode.ode.swept import Swept
from refode.sweeps.dynamics import Plain
from refode.tableaus import Tableau

Array = np.ndarray


class Interpolating(Swept):
    """States at any times of t_span, by the scheme's interpolant."""

    _named_scheme: str | Tableau

    @quietly()
    def interpolate(self, theta: Array, x: Array, times: Array) -> Array:
        """States at any times, by the interpolant of the scheme, eq. (D133).

        The steps are the ode's; within a step the state is a polynomial in t: through values and
        slopes at both ends for "bogacki_shampine", "tsit5" and other tableaus whose last stage is
        the slope at the end (local error h^4), Dormand and Prince's of degree four for "dopri5"
        (h^5). At the points of the grid it is the state itself, to the last bit.

        Parameters
        ----------
        theta : (p,)
        x : (N, d)
        times : (K,) or (N, K)
            Within t_span, in any order, repeated or not: the same for all samples, or each
            sample's own.

        Returns
        -------
        (K, N, d) or (N, K, d)
            With common times as ``trajectory``; else samples first.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what was wanted; x also where a path leaves the
            finite range; ``scheme`` without an interpolant; device="cuda".
        """
        theta, x, reading, order, plan = self._read_at(theta, x, times)
        E = self.field.prepare(self.stage_weights(theta, plan), False)
        _validate.affordable("times", times, 8 * x.size * order.shape[1])
        sweep = self.sweep(plan, Plain, E.dtype)
        sorted_ = all_finite("x", interpolation.read(sweep, E, x, reading, order.shape[1]))
        states = np.empty_like(sorted_)
        np.put_along_axis(states, np.broadcast_to(order[..., None], states.shape), sorted_, 1)
        return states if _validate.n_axes(times) == 2 else states.transpose(1, 0, 2).copy()

    @quietly()
    def interpolate_adjoint(
        self, theta: Array, x: Array, times: Array, z_bar: Array, ends: bool = False
    ) -> tuple[Array, ...]:
        """Discrete adjoint of ``interpolate``, eq. (D134).

        Parameters
        ----------
        theta : (p,)
        x : (N, d)
        times : (K,) or (N, K)
        z_bar : (K, N, d) or (N, K, d)
            Cotangent of what ``interpolate`` returns.
        ends : bool, optional
            Also return the cotangent (2,) of the ends (t0, T) of t_span, with which the grid
            moves while the times stay.

        Returns
        -------
        theta_bar : (p,)
        x_bar : (N, d)
        times_bar : (K,) or (N, K)
            The grid stays while the times move.
        ends_bar : (2,), if asked for

        Raises
        ------
        TypeError, ValueError
            As of ``interpolate``. Where the path is finite and a cotangent is not, it comes back
            so.
        """
        theta, x, reading, order, plan = self._read_at(theta, x, times)
        ends, own = _validate.boolean("ends", ends), _validate.n_axes(times) == 2
        if ends:
            self.field.check_times()
        N, K, d = len(x), order.shape[1], self.field.dim
        z_bar = _validate.real_array("z_bar", z_bar, (N, K, d) if own else (K, N, d))
        z_bar = z_bar if own else z_bar.transpose(1, 0, 2)
        exponent, (z_bar,) = scaled(z_bar)
        z_bar = np.take_along_axis(z_bar, np.broadcast_to(order[..., None], z_bar.shape), 1)
        sorted_ = np.zeros((N, K))
        cost = reading_cost(np.ascontiguousarray(z_bar), reading, sorted_)
        result, weights_bar = self._read_back(theta, x, cost, plan)
        if not np.isfinite(result.value):
            self.interpolate(theta, x, times)
        times_bar = np.empty((N, K))
        np.put_along_axis(times_bar, np.broadcast_to(order, (N, K)), sorted_, 1)
        bars = [self.stage_weights_adjoint(weights_bar, plan), result.x_bar]
        bars.append(times_bar if own else times_bar.sum(axis=0))
        if ends:
            length, theta = self.t_span[1] - self.t_span[0], self._coefficients(theta)
            bars.append(ends_bar(plan, length, result.time_bar, weights_bar, theta))
        return tuple(restored(exponent, bar) for bar in bars)

    # --- insides -----------------------------------------------------------------------
    def dense_plan(self, steps: Steps, t_span: tuple[float, float]) -> tuple[Plan, Array]:
        """A plan whose steps can be read within, and the interpolant's shares."""
        dense, shares = interpolation.dense_scheme("scheme", self._named_scheme)
        return planned(steps, self.basis, dense, self.t_span, t_span), shares

    def _read_at(self, theta: Any, x: Any, times: Any) -> tuple[Array, Array, Reading, Array, Plan]:
        """Arguments checked, where the times lie in order, that order, and the plan."""
        if self.placement.device != "cpu":
            raise ValueError(
                f"times: got them with device={self.placement.device!r}, which has the states at "
                "the grid's points alone, wanted device='cpu'"
            )
        theta = _validate.real_vector("theta", theta, self.layout.size)
        x = _validate.samples("x", x, self.field.dim)
        times = interpolation.times_within("times", times, len(x), self.t_span)
        times = np.atleast_2d(times)
        way = 1.0 if self.t_span[1] > self.t_span[0] else -1.0
        order = np.argsort(way * times, axis=1, kind="stable")
        plan, shares = self._dense_plan_of_all()
        reading = interpolation.reading_of(
            self.steps.nodes(self.t_span), np.take_along_axis(times, order, 1), shares
        )
        return theta, x, reading, order, with_reading(plan, reading)

    def _dense_plan_of_all(self) -> tuple[Plan, Array]:
        kept: Any = self._plans
        found = kept.get("dense")
        if found is None:
            self._check_fixed_steps("fixed ones, to read states within them")
            found = kept.setdefault("dense", self.dense_plan(self.steps, self.t_span))
        return found

    def _read_back(
        self, theta: Array, x: Array, cost: Any, plan: Plan
    ) -> tuple[driver.Gradient, Array]:
        """As ``_charged``, for a cost that reads within steps."""
        weights = self.stage_weights(theta, plan)
        E = self.field.prepare(weights, False)
        sweep = self.sweep(plan, Plain, E.dtype)
        rows = work_rows(self.field.dim)
        result = driver.gradient(sweep, E, x, cost, cost_rows=rows, want_x=True)
        return result, self.field.prepare_adjoint(weights, False, result.E_bar)


def with_reading(plan: Plan, reading: Reading) -> Plan:
    """The plan whose steps keep their last stage where something is read."""
    scheme = plan.scheme._replace(wanted=interpolation.wanted_steps(reading))
    return plan._replace(scheme=scheme)


def reading_cost(z_bar: Array, reading: Reading, times_bar: Array) -> TrajectoryCost:
    """The linear cost <z_bar, states read>, z_bar (N, K, d)."""
    d, nowhere = z_bar.shape[2], np.zeros(0, np.int64)
    W, b, every = np.zeros((0, d)), np.zeros(0), np.ones_like(z_bar)
    return TrajectoryCost(W, b, z_bar, every, 1.0, True, nowhere, reading, times_bar)
