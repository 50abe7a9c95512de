"""The objective of a mean field game, eq. (25), and its gradient: sweeps with their costs."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode._quiet import quietly
from refode._weights import Weighing, equal
from refode.adaptation.course import Course, Reached
from refode.ode import driver
from refode.ode.neural_ode import NeuralODE
from refode.ode.placement import hosted
from refode.ode.shares import Rows
from refode.problems.agents import with_zero
from refode.problems.game_costs import Charged
from refode.problems.paths import all_finite

Array = np.ndarray
TERMS = ("L", "F", "G", "hjb", "hjb_terminal")


class Priced(Charged):
    """Agents with an objective of checked arguments.

    A subclass sets what is asked for here, once.
    """

    @quietly()
    def _value_and_gradient(
        self, theta: Array, x: Array, y: Array | None, by: Weighing | None = None
    ) -> tuple[Any, Array]:
        """Objective and gradient, theta real or complex."""
        by = equal(len(x)) if by is None else by
        plan = self.ode.plan()
        weights = self.ode.stage_weights(theta, plan)
        E = self.potential.prepare(weights, True)
        E_bar, value = np.zeros_like(E), 0.0
        if self._has_paths():
            cost, n_rows = self._cost(theta, E, x, plan, by)
            sweep = self._sweep(plan, E.dtype)
            result = driver.gradient(sweep, E, self._start(x), cost, E.shape[1], n_rows)
            value = result.value
            E_bar += result.E_bar
            E_bar[0] += result.cost_bar
        if y is not None:
            back = self.ode.plan(self.t_span[::-1])
            inverse, n_rows = self._inverse_cost(theta, y, back)
            sweep = self._sweep(back, E.dtype)
            result = driver.gradient(sweep, E, with_zero(y), inverse, 0, n_rows, of="y")
            value = value + result.value
            E_bar += result.E_bar
        weights_bar = self.potential.prepare_adjoint(weights, True, E_bar)
        return value, self.ode.stage_weights_adjoint(weights_bar, plan)

    def _courses(self, theta: Array, x: Array, y: Array | None, by: Weighing) -> list[Course]:
        """The agents' way, and that back from samples of the target, those that are charged."""
        courses, by = [], hosted(by)
        quadratures = [("log_det", "log rho"), ("cost", "L"), ("cost", "F"), ("cost", "R")]
        rows = tuple([("z", "")] * self.dim + quadratures)

        def course(start: Array, span: tuple[float, float], cost: Any, name: str) -> Course:
            sweep = self._sweep(self.ode.plan(span), np.dtype(float))
            return Course(self.ode, theta, span, sweep, True, start, rows, cost, name)

        def paid(E: Array, reached: Reached) -> tuple[Any, int, int]:
            return *self._cost(theta, E, x, self.ode.plan(), by, reached.ends), E.shape[1]

        if self._has_paths():
            courses.append(course(hosted(self._start(x)), self.t_span, paid, "x"))
        if y is not None:
            back = self.t_span[::-1]

            def crossed(E: Array, reached: Reached) -> tuple[Any, int, int]:
                return *self._inverse_cost(theta, y, self.ode.plan(back), reached.ends), 0

            courses.append(course(hosted(with_zero(y)), back, crossed, "y"))
        return courses

    @quietly()
    def _terms(
        self,
        theta: Array,
        x: Array,
        y: Array | None,
        ode: NeuralODE,
        by: Weighing,
        finite: bool = False,
    ) -> dict[str, float]:
        """The weighted terms, by a forward sweep."""
        terms, game = dict.fromkeys(TERMS, 0.0), self.game
        if self._has_paths():
            rows = self._rows(x)
            end = self._forward(theta, self._start(x), ode.plan())[0]
            sums, *arrays = self._paid(theta, end, y is None, rows, hosted(by), finite)
            L, F, R, G, H = (rows.sums(sums, *arrays) / by.total).tolist()
            terms |= {"L": L if game.alpha else 0.0, "F": F, "hjb": self.hjb * R}
            terms |= {"G": G, "hjb_terminal": self.hjb_terminal * H}
        if y is not None:
            rows = self._rows(y, "y")
            w, q = self._backward(theta, y, ode.plan(self.t_span[::-1]))
            if finite:
                all_finite("y", np.column_stack([w, q]))
            terms["G"] = -game.terminal * float(rows.sums(self._log_rho, w, q) / rows.n)
        broken = np.isnan(terms["L"]) or np.isnan(terms["F"]) or np.isnan(terms["G"])
        return dict.fromkeys(TERMS, np.nan) if broken else terms

    def _paid(
        self, theta: Array, end: Array, with_end: bool, rows: Rows, by: Weighing, finite: bool
    ) -> tuple[Any, ...]:
        """What sums a chunk's L, F, R, G and violation up, and the arrays to give it."""
        if finite:
            all_finite("x", end)
        elif not np.isfinite(end).all():  # elsewhere they may be: no process goes ways of its own
            return lambda _: np.full(5, np.nan), end
        cost, d = self.game.terminal_cost, self.dim
        z, log_rho, size = np.ascontiguousarray(end[:, :d]), end[:, d], np.zeros(len(end))
        if self.hjb_terminal:
            phi = self._derivatives(theta, self.t_span[1], z)[0]
            r = phi - rows.apply(cost.derivative, z, log_rho)
            size = r**2 if self.hjb_norm == "squared" else np.abs(r)
            if finite:
                all_finite("x", size)

        def sums(end: Array, z: Array, log_rho: Array, size: Array, *w: Array) -> list[float]:
            of = Weighing(w[0], float(w[0].sum())) if w else equal(len(z))
            paid = cost.functional(z, log_rho, sample_weight=of.weights) if with_end else 0.0
            return [*of.sum(end[:, d + 1 :]), float(paid) * of.total, of.sum(size)]

        weights = () if by.weights is None else (by.weights,)
        return sums, end, z, log_rho, size, *weights

    def _log_rho(self, w: Array, q: Array) -> float:
        """Sum of log rho(T, y) over samples that came from w."""
        if not np.isfinite(w).all():
            return np.nan
        return float((self.game.initial.log_density(w) - q).sum())
