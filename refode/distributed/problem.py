"""A problem whose samples are spread over ranks, as rank 0 sees it."""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import numpy as np

from refode import _validate
from refode._numbers import as_array
from refode._weights import NAME, Weighing, weighing
from refode.distributed.post import RankError
from refode.distributed.ranks import Ranks
from refode.ode.placement import Resident
from refode.ode.shares import Borders
from refode.problems.contract import Problem, WithODE
from refode.problems.game import MeanFieldGame
from refode.problems.trajectories import TrajectoryFitting

Array = np.ndarray


class Spread(Resident):
    """Samples of which every rank has its own rows: what methods take in place of an array.

    Parameters
    ----------
    key : int
        What ranks know them by.
    n : int
        How many there are in all.
    host : ndarray
        All of them, where rank 0 has all; else digests by which checkpoints know them.
    """

    where = "that is spread over ranks, wanted the Distributed"

    def __init__(self, key: int, n: int, host: Array) -> None:
        super().__init__(None, host)
        self.key, self.n = key, n

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.n, *self.host.shape[1:])

    def __len__(self) -> int:
        return self.n

    def whole(self) -> Array:
        """All samples; ValueError where rank 0 has its own rows alone."""
        if len(self.host) != self.n:
            raise ValueError(
                f"{NAME}: got weights of samples whose rows every rank has brought along, wanted "
                "None"
            )
        return self.host

    def __repr__(self) -> str:
        return f"Spread({self.n} samples)"


class Weights(NamedTuple):
    """Weights of samples, spread as these are, and the sum of all."""

    spread: Spread
    total: float


class Distributed(Problem):
    """A problem whose value, gradient and Hessian products all ranks compute together.

    ``lead`` and ``train`` of ``refode.distributed`` make it, on rank 0, where it is a problem like
    any other: ``refode.train`` and ``refode.train_resampled`` take it. Results have the bits that
    ``problem`` itself gives, and checkpoints are ``problem``'s own: a run may be resumed on another
    number of ranks, or by ``refode.train`` on one.

    Attributes
    ----------
    problem : Problem
        What is distributed; predictions are its own.
    """

    def __init__(self, problem: Any, ranks: Ranks) -> None:
        self.problem, self._ranks = checked(problem), ranks
        self.layout, self.ode = problem.layout, problem.ode
        self.has_costs, self.has_hessian = problem.has_costs, problem.has_hessian
        self.has_sample_weight = problem.has_sample_weight
        self._keys, self._outdated = 0, list[int]()
        self.failure: RankError | None = None  # the newest

    # --- what the problem says -----------------------------------------------------------
    @property
    def n_data(self) -> tuple[int, int | None]:  # type: ignore[override]
        """How many arrays of data the methods take after theta: at least, at most."""
        return self.problem.n_data

    @property
    def held_out_term(self) -> str:  # type: ignore[override]
        """The term of costs that is compared on samples that are not trained on."""
        return self.problem.held_out_term

    @property
    def scalings(self) -> dict[str, Any]:
        """By what data are standardised."""
        return self.problem.scalings

    @property
    def shows_costs(self) -> bool:
        """Whether lines on the progress of training show ``costs``."""
        return self.problem.shows_costs

    @property
    def sampler(self) -> Any:
        """The problem's own."""
        return self.problem.sampler

    @property
    def parametrisation(self) -> Any:
        """The problem's own."""
        return self.problem.parametrisation

    @property
    def kind(self) -> str:
        """The problem's class."""
        return self.problem.kind

    def fingerprint(self) -> str:
        """The problem's: its checkpoints may be resumed on any number of ranks."""
        return self.problem.fingerprint()

    def initial(self, seed: int = 0) -> Array:
        """Random theta (p,), the problem's."""
        return self.problem.initial(seed)

    # --- objective -----------------------------------------------------------------------
    def value(self, theta: Array, *data: Any, **named: Any) -> float:
        """Objective."""
        return float(self._ask("value", (self._parameters(theta),), data, named))

    def value_and_gradient(self, theta: Array, *data: Any, **named: Any) -> tuple[float, Array]:
        """Objective and its gradient (p,)."""
        return self._ask("value_and_gradient", (self._parameters(theta),), data, named)

    def hessian_vector(self, theta: Array, v: Array, *data: Any, **named: Any) -> Array:
        """Exact Hessian-vector product (p,)."""
        v = _validate.real_vector("v", v, self.n_parameters)
        return self._ask("hessian_vector", (self._parameters(theta), v), data, named)

    def costs(self, theta: Array, *data: Any, **named: Any) -> dict[str, float]:
        """Terms of the objective by name, and their sum, total."""
        return self._ask("costs", (self._parameters(theta),), data, named)

    # --- data ----------------------------------------------------------------------------
    def placed(self, data: tuple[Any, ...]) -> tuple[Any, ...]:
        """The data spread over the ranks: once, to be given in their place at every call."""
        return self.placed_with(data, None)[0]

    def placed_with(self, data: tuple[Any, ...], sample_weight: Any) -> tuple[tuple[Any, ...], Any]:
        """``placed`` data with their weights, without the samples of weight 0."""
        if data and all(isinstance(a, Spread) for a in data):
            if sample_weight is None or isinstance(sample_weight, Weights):
                return data, sample_weight
            data = tuple(array.whole() for array in data)
        arrays, by = self._arrays(data, sample_weight)
        for name, array in zip("xy", arrays, strict=False):
            check_chunks(name, len(array), self.problem, self._ranks.size)
        there = tuple(self._dealt(array) for array in arrays)
        if by.weights is None:
            return there, None
        return there, Weights(self._dealt(by.weights), by.total)

    def own(self, n: int, digests: Array) -> Spread:
        """Samples whose rows every rank has brought with it."""
        self._keys += 1
        return Spread(self._keys, n, digests)

    def _arrays(
        self, data: tuple[Any, ...], sample_weight: Any
    ) -> tuple[tuple[Array, ...], Weighing]:
        """The data as arrays, checked by the problem, and what it draws where none are given.

        Weights are those of the first array, and of all that have the problem's samples in them.
        """
        data = self.problem.data(data)
        absent = (None,) * ((self.problem.n_data[1] or len(data)) - len(data))
        named = self.problem.weighted(sample_weight)
        _, *taken, by = self.problem._arguments(
            np.zeros(self.n_parameters), *data, *absent, **named
        )
        given = [as_array(name, value) for name, value in zip("xy", data, strict=False)]
        keep = weighing(sample_weight, len(given[0]))[1]
        if keep is not None:
            alike = 1 if isinstance(self.problem, MeanFieldGame) else len(given)
            given[:alike] = [array[keep] for array in given[:alike]]
        drawn = [array for array in taken[len(given) :] if array is not None]
        return (*given, *drawn), by

    def _dealt(self, array: Array) -> Spread:
        self._keys += 1
        key, about = self._keys, (len(array), array.shape[1:], array.dtype.str)
        ranks = self._ranks
        ranks.whole = array
        try:
            ranks.ask("deal", key, *about)
        finally:
            ranks.whole = None
        spread = Spread(key, len(array), array)
        weakref.finalize(spread, self._outdated.append, key)
        return spread

    def _ask(self, method: str, before: tuple[Any, ...], data: Any, named: dict[str, Any]) -> Any:
        spread, weights = self.placed_with(data, named.pop(NAME, None))
        outdated = [self._outdated.pop() for _ in range(len(self._outdated))]
        keys = [one.key for one in spread]
        by = None if weights is None else (weights.spread.key, weights.total)
        try:
            return self._ranks.ask("call", method, before, keys, by, named, outdated)
        except RankError as error:
            self.failure = error
            raise


def checked(problem: Any) -> Any:
    """A problem that can be distributed: the survey's three, on the CPU."""
    if not isinstance(problem, WithODE) or isinstance(problem, TrajectoryFitting):
        raise TypeError(
            f"problem: got {_validate.short(problem)}, wanted a Supervised, "
            "ContinuousNormalizingFlow or MeanFieldGame: of others nobody knows what is a sum "
            "over samples"
        )
    if problem.ode.placement.device != "cpu":
        raise ValueError(
            f"problem: got one with device={problem.ode.placement.device!r}, wanted device='cpu'"
        )
    return problem


def check_chunks(name: str, n: int, problem: Any, ranks: int) -> None:
    """ValueError where a rank would come out without a chunk of samples."""
    most = len(Borders.of(n, problem.ode.field.block()).runs)
    if ranks > most:
        raise ValueError(
            f"{name}: got {n} samples for {ranks} ranks, wanted at most {most} ranks: these "
            f"samples make {most} chunk{'s' if most > 1 else ''}, and each rank takes at least one"
        )
