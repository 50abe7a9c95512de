"""What agents are charged, as kernels take it: at their ends, along their paths, and backwards."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from refode import _seeds
from refode._weights import Weighing
from refode.costs.game import CROSS_ENTROPY, ENERGY, KULLBACK_LEIBLER, GameCost, InverseCost
from refode.costs.targets import EnergyTarget, GivenTarget, rows, target_of
from refode.densities import Empirical
from refode.games import CrossEntropy, KullbackLeibler, TerminalEnergy
from refode.ode.plan import Plan
from refode.ode.shares import Rows
from refode.problems.agents import Controlled

Array = np.ndarray
Ends = Callable[[], Array]
_KINDS: dict[type, int] = {
    KullbackLeibler: KULLBACK_LEIBLER,
    CrossEntropy: CROSS_ENTROPY,
    TerminalEnergy: ENERGY,
}


class Charged(Controlled):
    """Agents with costs: which of them a game has, and their descriptions.

    A subclass sets the attributes below, once.
    """

    hjb: float
    hjb_terminal: float

    def _has_paths(self) -> bool:
        """Whether anything but the cross-entropy is charged."""
        game = self.game
        free = game.alpha == 0.0 and game.entropy == 0.0 and not game.energy
        return not (free and isinstance(game.terminal_cost, CrossEntropy))

    def _cost(
        self, theta: Array, E: Array, x: Array, plan: Plan, by: Weighing, ends: Ends | None = None
    ) -> tuple[GameCost, int]:
        """The cost at the ends of the paths, which are ``ends()`` or those of the plan."""
        ends = functools.partial(self._ends, theta, x, plan) if ends is None else ends
        game, field = self.game, self.potential
        terminal = game.terminal_cost
        crossed = isinstance(terminal, CrossEntropy)
        tape, scratch = field.rows(False)
        if isinstance(terminal, TerminalEnergy):
            target: Any = EnergyTarget(terminal.energy.description())
        elif crossed and self.hjb_terminal == 0.0:  # nobody asks for the target's density
            target = GivenTarget(np.zeros(1), np.zeros((1, self.dim)))
        else:
            target = self._in_kernel(game.target, E.dtype, ends, self._rows(x))
        cost = GameCost(
            self._sweep(plan, E.dtype).dynamics.field,
            E[0],
            self.t_span[1],
            target,
            _KINDS[type(terminal)],
            1.0 if game.alpha else 0.0,
            self.hjb,
            game.terminal,
            self.hjb_terminal,
            self.hjb_norm == "squared",
            by.scale,
            tape,
            scratch,
            by.weights,
        )
        return cost, tape + scratch + 4 + self.dim + rows(target, self.dim)

    def _inverse_cost(
        self, theta: Array, y: Array, plan: Plan, ends: Ends | None = None
    ) -> tuple[InverseCost, int]:
        """The cost where paths to y come from, which are ``ends()`` or those of the plan."""
        those = self._rows(y, "y")
        ends = (lambda: self._backward(theta.real, y, plan)[0]) if ends is None else ends
        initial = self._in_kernel(self.game.initial, theta.dtype, ends, those)
        cost = InverseCost(self.dim, initial, self.game.terminal, 1.0 / those.n)
        return cost, 1 + self.dim + rows(initial, self.dim)

    def _in_kernel(self, density: Any, dtype: Any, ends: Any, those: Rows) -> Any:
        """The density's form for kernels; or its values where the paths end, by its methods."""
        known = target_of(density, dtype)
        if known is not None:
            return known
        points = ends()
        if not np.isfinite(points).all():
            return GivenTarget(np.full(len(points), np.nan), np.full(points.shape, np.nan))
        values = those.apply(density.log_density, points)
        return GivenTarget(values, those.apply(density.log_density_gradient, points))

    def _ends(self, theta: Array, x: Array, plan: Plan) -> Array:
        end = self._forward(theta.real, self._start(x), plan)[0]
        return np.ascontiguousarray(end[:, : self.dim])

    def _reads(self, y: Any) -> bool:
        """Whether the terminal cost reads samples y; ValueError where some came in vain."""
        crossed = isinstance(self.game.terminal_cost, CrossEntropy)
        if y is not None and not crossed:
            raise ValueError("y: got samples, wanted None (the terminal cost reads x alone)")
        return crossed

    def _drawn(self, n: int) -> Array:
        """The target's own samples, or n draws, kept for the next call with the same n."""
        target = self.game.target
        if isinstance(target, Empirical):
            return target.samples
        kept = self._draws.get("drawn")
        if kept is None or len(kept) != n:
            seed = _seeds.number("target of the cross-entropy")
            kept = self._draws["drawn"] = target.sample(n, seed=seed)
        return kept
