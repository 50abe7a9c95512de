"""Training on planned grids: every so many iterations the problem gets a grid anew."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from refode import _validate
from refode._quiet import quietly
from refode.adaptation.pairs import pair_of
from refode.adaptation.settings import Settings
from refode.machine import progress as compiler
from refode.ode.steps import Given
from refode.problems.contract import Problem, WithODE
from refode.training import checkpoint as files
from refode.training.options import Options
from refode.training.periods import Periods, Plan
from refode.training.records import RESAMPLED, Evaluation, Float64
from refode.training.samples import Samples
from refode.training.validation import Validation

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

#: Iterations on a grid, where nobody says how many.
EVERY = 25

#: The columns of a history: a period has one grid.
ADAPTED = np.dtype([*RESAMPLED.descr, ("n_steps", np.int64)])


@dataclass(frozen=True)
class Same:
    """A `Source` of the same samples throughout, by which the problem's grids are planned."""

    samples: Samples
    adapt: dict[str, Any]  # what ``problem.adapt`` takes by name

    def period(self, period: int) -> Samples:
        """The samples."""
        return self.samples

    @property
    def idle_periods(self) -> int:
        """A new grid at the same theta is the same grid."""
        return 1

    def identity(self, first: Samples) -> Samples:
        """What a checkpoint knows the samples by."""
        return self.samples

    def how(self) -> dict[str, Any]:
        """What else it knows the planning by."""
        return {"adapt": json.dumps(self.adapt, sort_keys=True, default=list)}

    def naming(self) -> contextlib.AbstractContextManager[None]:
        """Errors about x or y are about the caller's."""
        return contextlib.nullcontext()


class Adapted(Periods):
    """Periods that have each a grid of its own."""

    columns = ADAPTED

    def __init__(
        self,
        problem: WithODE,
        plan: Plan,
        theta0: Float64,
        seed: int | None,
        options: Options,
        validation: Validation | None = None,
    ) -> None:
        self.original, self.grids = problem, list[Float64]()
        super().__init__(problem, plan, theta0, seed, options, validation)
        self.source: Any = plan.source
        self.stored = list(self.plans)  # of a run that is resumed, to be played back

    def run(self) -> OptimizeResult:
        """Train; the first grid is planned where training starts."""
        with compiler.shown() if self.options.progress else contextlib.nullcontext(), quietly():
            self._go_on_a_grid(0, self.theta0)
        return super().run()

    def _go_on_a_grid(self, period: int, theta: Float64) -> None:
        """Plan a period's grid, or take the one that it had, and put the problem on it."""
        if period < len(self.stored):
            problem: WithODE = self.original.with_steps(Given(self.stored[period]))
        else:
            samples = self.source.samples
            named: Any = {**samples.named, **self.source.adapt}
            with np.errstate(**self.recorder.errors):
                problem, _ = self.original.adapt(theta, *samples.arrays, **named)
        self.grids.append(problem.ode.steps.nodes(problem.ode.t_span))
        self.problem = self.recorder.problem = problem
        if self.validation is not None:
            self.validation.problem = problem
        if self.options.path is not None:
            self.plans = tuple(self.grids)
            self.model = files.description_of(problem)

    def _begin_period(self) -> None:
        self._check_enough()
        self._go_on_a_grid(self.period + 1, self.iterate.theta)
        super()._begin_period()

    def _besides(self, iteration: int, evaluation: Evaluation, known: Any) -> dict[str, Any]:
        besides = super()._besides(iteration, evaluation, known)
        return besides | {"n_steps": len(self.grids[-1]) - 1}

    def _more(self, chosen: Evaluation) -> dict[str, Any]:
        return super()._more(chosen) | {"problem": self.problem}


def plan_of(problem: Problem, samples: Samples, adapt: Any, every: Any, options: Options) -> Plan:
    """``adapt`` and ``every`` of ``train``, checked.

    Raises
    ------
    TypeError, ValueError
        What ``problem.adapt`` refuses of any theta, named as the caller knows it.
    """
    if not isinstance(adapt, dict):
        raise TypeError(
            f"adapt: got {_validate.shown(adapt)}, wanted None or a dict of what problem.adapt "
            "takes, such as dict(rtol=1e-5, atol=1e-8)"
        )
    if not isinstance(problem, WithODE):
        raise TypeError(
            f"adapt: got a dict with a {problem.kind}, for which no grid can be planned, wanted "
            "None"
        )
    known = (*(name for name in Settings._fields if name != "interpolated"), "gradient")
    for name in adapt:
        _validate.choice("adapt", name, known)
    for name in ("rtol", "atol"):
        if name not in adapt:
            raise ValueError(f"adapt: got {_validate.short(adapt)}, wanted rtol and atol in it")
    named = {name: value for name, value in adapt.items() if name != "gradient"}
    try:
        Settings.of(**named)
        gradient = _validate.boolean("gradient", adapt.get("gradient", True))
        pair_of(problem.ode)
    except (TypeError, ValueError) as error:
        raise type(error)(f"adapt: {error}") from None
    if "stops" in named and named["stops"] is not None:
        named["stops"] = np.asarray(named["stops"], dtype=float).tolist()
    every = EVERY if every is None else _validate.positive_int("every", every)
    memory = "kept" if options.method == "lbfgs" else "reset"
    return Plan(source=Same(samples, {**named, "gradient": gradient}), every=every, memory=memory)
