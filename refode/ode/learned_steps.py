"""What a ``NeuralODE`` says of steps that are learned with its weights, docs/learned_steps.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from refode import _validate, bases
from refode._quiet import quietly
from refode.ode import learned
from refode.ode import steps as stepping
from refode.ode.interpolating import Interpolating
from refode.ode.learned import Pruned

if TYPE_CHECKING:
    from refode.ode.neural_ode import NeuralODE

Array = np.ndarray


class LearnedSteps(Interpolating):
    """Steps as theta says them, layers that they make superfluous."""

    n_steps: int

    @quietly()
    def step_sizes(self, theta: Array) -> Array:
        """The steps h (n_steps,) that are taken along t_span, with its sign, (D167).

        Learned ones are what theta says; others are the same for every theta.
        """
        theta = _validate.real_vector("theta", theta, self.layout.size)
        if self.step_rule == "fixed":
            return self.steps.sizes(self.t_span)
        t0, T = self.t_span
        return learned.sizes(self.step_rule, theta[self._h], T - t0)

    def with_learned_steps(self, steps: str = "simplex") -> NeuralODE:
        """The same ode with steps that are learned, or with those it started from: "fixed".

        Its theta has "h" (n_steps,) last; ``refode.training.prolong`` takes a theta of fixed steps
        there.
        """
        return self._like(steps=_validate.choice("steps", steps, learned.RULES))

    @quietly()
    def pruned(self, theta: Array) -> Pruned:
        """The ode without the layers whose steps are 0, its theta, and which they were.

        The results are the same to the last bit, as such a layer moves nothing. Steps are 0
        where the simplex has a face ("simplex"), or by themselves ("free").

        Raises
        ------
        TypeError, ValueError
            Naming theta; steps that are fixed, or all 0.
        """
        theta = _validate.real_vector("theta", theta, self.layout.size)
        if self.step_rule == "fixed":
            raise ValueError("pruned: got steps='fixed', wanted steps that are learned")
        kept, dropped = learned.kept_steps(self.step_sizes(theta))
        return Pruned(self._of_steps(len(kept)), self._theta_of(theta, kept), kept, dropped)

    def _of_steps(self, n: int) -> NeuralODE:
        """The same with so many learned steps, and as many layers where it has layers."""
        basis = self.basis
        if n != self.n_steps and basis.n_coefficients > 1:
            basis = bases.PiecewiseConstant(n) if n > 1 else bases.Constant()
        steps = self.steps if n == self.n_steps else stepping.Equal(n)
        return self._like(n_steps=steps, basis=basis)

    def _theta_of(self, theta: Array, kept: Array) -> Array:
        """Theta, of the ode or beginning with the ode's, without the layers that are not kept."""
        J, n = self.basis.n_coefficients, self.layout.size
        named = self.layout.unpack(theta[:n]).items()
        left = [(a[kept] if name == "h" or J > 1 else a).ravel() for name, a in named]
        return np.concatenate([*left, theta[n:]])

    def _like(self, **changes: object) -> NeuralODE:
        raise NotImplementedError
