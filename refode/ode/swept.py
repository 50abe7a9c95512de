"""Sweeps over a field with weights in time: what ``NeuralODE`` and the problems compute by."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode import _validate, bases
from refode._fixed import Fixed
from refode._products import product
from refode._scaling import TINY, restored, scaled
from refode.costs.contract import Cotangent, parameters_of, work_rows
from refode.fields.contract import Field
from refode.ode import driver, learned, placement
from refode.ode import steps as stepping
from refode.ode.finite import all_finite
from refode.ode.placement import Placement
from refode.ode.plan import Plan, ends_bar, planned
from refode.packing import Layout
from refode.sweeps.dynamics import LogDet, Plain
from refode.sweeps.sweep import MEMORY

Array = np.ndarray


class Swept(Fixed):
    """A field, weights in time and steps, all checked; theta and samples are, too.

    A subclass sets the attributes below, once.
    """

    field: Field
    steps: stepping.Steps
    t_span: tuple[float, float]
    basis: bases.Basis
    memory: str
    slots: int | None
    placement: Placement
    layout: Layout
    step_rule: str
    _h: slice  # of theta: what says the learned steps
    _places: list[slice]  # of the weights' names in theta
    _scheme: Any
    _order: Array  # where each entry of theta is among the coefficients
    _plans: dict[tuple[float, float], Plan]
    _sweeps: dict[Any, tuple[Plan, driver.Sweep]]

    # --- what problems build on --------------------------------------------------------
    def plan(self, t_span: tuple[float, float] | None = None) -> Plan:
        """Grid, slots and basis matrices for an interval (kept for the next call).

        n_steps steps cover whatever t_span is given.
        """
        span = self.t_span if t_span is None else _validate.interval("t_span", t_span)
        plan = self._plans.get(span)
        if plan is None:
            if len(self._plans) > 32:
                self._plans.clear()
            plan = self._planned(span)
            plan = self._plans.setdefault(span, plan)
        return plan

    def _planned(self, span: tuple[float, float]) -> Plan:
        if self.step_rule == "fixed":
            return planned(self.steps, self.basis, self._scheme, self.t_span, span)
        back = self.t_span[::-1]
        if span not in (self.t_span, back):
            raise ValueError(
                f"t_span: got {span} with steps={self.step_rule!r}, wanted {self.t_span} or {back} "
                "(learned steps have no others)"
            )
        steps = stepping.Equal(self.steps.n_steps)  # so that step n reads cell n
        plan = planned(steps, self.basis, self._scheme, self.t_span, span)
        return plan._replace(backwards=span == back)

    def stepped(self, plan: Plan, theta: Array) -> Plan:
        """The plan as it is; with learned steps, with those that theta says, (D167)."""
        if self.step_rule == "fixed":
            return plan
        t0, T = self.t_span
        steps = learned.sizes(self.step_rule, theta[self._h], T - t0)
        return learned.with_sizes(plan, steps, t0)

    def stage_weights(self, theta: Array, plan: Plan) -> Array:
        """Weights of every slot, (n_slots, n_weights): P theta."""
        Theta = self._coefficients(theta)
        return Theta if plan.identity else product(plan.P, Theta)

    def stage_weights_adjoint(
        self, weights_bar: Array, plan: Plan, time_bar: Array | None = None
    ) -> Array:
        """theta_bar (p,) = P^T weights_bar; of learned steps too, by the grid's time_bar (n, 2)."""
        Theta_bar = weights_bar if plan.identity else product(plan.P.T, weights_bar)
        if plan.steps is None:
            return Theta_bar.reshape(-1)[self._order]
        assert time_bar is not None
        if len(Theta_bar) > 1:  # layers: one whose step is 0 moves nothing
            Theta_bar = np.where((plan.steps == 0.0)[:, None], 0.0, Theta_bar)
        return np.concatenate(
            [Theta_bar.reshape(-1)[self._order], self._steps_adjoint(plan, time_bar)]
        )

    def _steps_adjoint(self, plan: Plan, time_bar: Array) -> Array:
        """Cotangent of theta's "h", (D168), (D169)."""
        learned.check_second(plan)
        length = self.t_span[1] - self.t_span[0]
        h_bar = learned.steps_bar(plan, time_bar)
        return learned.sizes_adjoint(self.step_rule, plan.steps, length, h_bar)

    def sweep(self, plan: Plan, dynamics: Any, dtype: Any) -> driver.Sweep:
        """Description of a sweep for the driver; ``dynamics`` is a class of sweeps/."""
        if self.step_rule != "fixed":  # another grid for every theta
            return self._sweep_of_learned(plan, dynamics, dtype)
        key = (id(plan), dynamics, np.dtype(dtype).char)
        plan_of, sweep = self._sweeps.get(key, (None, None))
        if sweep is None or plan_of is not plan:
            sweep = self._swept(plan, dynamics, dtype)
            if len(self._sweeps) > 64:
                self._sweeps.clear()
            self._sweeps[key] = plan, sweep
        return sweep

    # --- insides -----------------------------------------------------------------------
    def _swept(self, plan: Plan, dynamics: Any, dtype: Any) -> driver.Sweep:
        return driver.Sweep.of(
            self.field,
            plan.scheme,
            plan.grid,
            dynamics,
            dtype,
            MEMORY[self.memory] + min(self.slots or 0, len(plan.grid.t)),
            self.placement,
        )

    def _sweep_of_learned(self, plan: Plan, dynamics: Any, dtype: Any) -> driver.Sweep:
        if plan.steps is None:  # whoever asks knows nothing of them
            self._check_fixed_steps()
        return self._swept(plan, dynamics, dtype)

    def _check_fixed_steps(self, wanted: str = "fixed ones", name: str = "steps") -> None:
        """ValueError where steps are learned, for what goes with fixed ones alone."""
        if self.step_rule != "fixed":
            raise ValueError(f"{name}: got an ode with steps={self.step_rule!r}, wanted {wanted}")

    def _check_end(self, t: float) -> None:
        """ValueError where t is on the way of learned steps, which have no parts."""
        if t not in self.t_span:
            self._check_fixed_steps(f"fixed ones, or one of the ends {self.t_span}", "t")

    def _forward(
        self, theta: Array, x: Array, plan: Plan, trace: bool = False, whole: bool = False
    ) -> Array:
        plan = self.stepped(plan, theta)
        E = self.field.prepare(self.stage_weights(theta, plan), trace)
        out = driver.forward(self.sweep(plan, LogDet if trace else Plain, E.dtype), E, x, whole)
        return out if whole else out[:1]

    def _tangent(
        self, theta: Array, x: Array, theta_dot: Array, x_dot: Array, plan: Plan, trace: bool
    ) -> Array:
        exponent, (theta_dot, x_dot) = scaled(theta_dot, x_dot)
        size = max(np.abs(theta_dot).max(initial=0.0), np.abs(x_dot).max()) or 1.0
        step, x = TINY / size, placement.hosted(x)
        y = self._forward(theta + 1j * step * theta_dot, x + 1j * step * x_dot, plan, trace)
        return all_finite("x", restored(exponent, all_finite("x", y[0]).imag / step))

    def _adjoint(
        self, theta: Array, x: Array, y_bar: Array, plan: Plan, times: bool, trace: bool
    ) -> tuple[Array, ...]:
        exponent, (y_bar,) = scaled(y_bar, dtype=self.placement.dtype)
        plan = self.stepped(plan, theta)
        result, weights_bar = self._charged(theta, x, Cotangent(y_bar), plan, trace, times)
        if not np.isfinite(result.value):  # <y_bar, y>: the path, or the product alone
            all_finite("x", self._forward(theta, x, plan, trace)[0])
        bars = [self.stage_weights_adjoint(weights_bar, plan, result.time_bar), result.x_bar]
        if times:
            bars.append(self._ends_bar(theta, plan, result.time_bar, weights_bar))
        return tuple(restored(exponent, bar) for bar in bars)

    def _charged(
        self, theta: Array, x: Array, cost: Any, plan: Plan, trace: bool, times: bool = False
    ) -> tuple[driver.Gradient, Array]:
        """Value and cotangents of a cost by a stepped plan, and that of the stage weights."""
        if times:
            self.field.check_times()
            self._check_fixed_steps("fixed ones with times=True")
        weights = self.stage_weights(theta, plan)
        E = self.field.prepare(weights, trace)
        sweep = self.sweep(plan, LogDet if trace else Plain, E.dtype)
        if times:  # the device knows no cotangent of t
            sweep, x = sweep._replace(device="cpu"), placement.hosted(x)
        own, rows = parameters_of(cost), work_rows(cost)
        result = driver.gradient(sweep, E, x, cost, own, rows, want_x=True)
        return result, self.field.prepare_adjoint(weights, trace, result.E_bar)

    def _ends_bar(self, theta: Array, plan: Plan, time_bar: Array, weights_bar: Array) -> Array:
        length = self.t_span[1] - self.t_span[0]
        return ends_bar(plan, length, time_bar, weights_bar, self._coefficients(theta))

    def _coefficients(self, theta: Array) -> Array:
        """theta as rows, one a basis coefficient: (J, n_weights)."""
        J = self.basis.n_coefficients
        return np.concatenate([theta[place].reshape(J, -1) for place in self._places], axis=1)
