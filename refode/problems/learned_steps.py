"""Problems whose steps are learned with the weights, docs/learned_steps.md."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode._quiet import quietly
from refode.ode.learned import Pruned
from refode.ode.neural_ode import NeuralODE
from refode.problems.contract import WithODE

Array = np.ndarray


class LearnsSteps(WithODE):
    """A problem whose gradient has its steps' too."""

    def with_learned_steps(self, steps: str = "simplex") -> Any:
        """The same problem with steps that are learned, or with those it started from: "fixed".

        Parameters
        ----------
        steps : {"simplex", "softmax", "free", "fixed"}, optional
            As of ``NeuralODE``.

        Returns
        -------
        problem
            Its theta has "h" (n_steps,) behind the ode's weights; ``initial`` starts from the steps
            of before, and ``refode.training.prolong`` takes a trained theta there.

        Raises
        ------
        TypeError, ValueError
            Weights that do not belong to the step: a basis other than ``Constant`` and
            ``PiecewiseConstant(n_steps)``; a smoothness, as layers have no distance then.
        """
        return self._with_ode(self.ode.with_learned_steps(steps))

    @quietly()
    def pruned(self, theta: Array) -> Pruned:
        """The problem without the layers whose steps are 0, its theta, and which they were.

        Values and predictions are the same to the last bit. As of ``NeuralODE.pruned``.
        """
        theta = self._parameters(theta)
        left = self.ode.pruned(theta[: self.ode.n_parameters])
        theta = self.ode._theta_of(theta, left.kept)
        return left._replace(problem=self._with_ode(left.problem), theta=theta)

    def _with_ode(self, ode: NeuralODE) -> Any:
        """The same problem with another ode."""
        raise NotImplementedError
