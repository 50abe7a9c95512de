"""Mini-batches of given samples: shuffled passes through them, a batch for each period."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from refode import _seeds, _validate
from refode.problems.contract import Problem
from refode.training.options import Options
from refode.training.periods import Plan
from refode.training.records import Float64
from refode.training.samples import Samples, chosen_from, rows

#: Iterations on a batch, where nobody says how many.
EVERY = 10


class Batches:
    """A `Source` that has each sample once a pass, in an order of the pass's own.

    Parameters
    ----------
    samples : Samples
        All of them. Those that weigh nothing are in no batch.
    size : int
        Samples of a batch at most: a pass has as few batches as that allows, whose sizes differ
        by at most one, so that none is a small rest.
    seed : int
    """

    def __init__(self, samples: Samples, size: int, seed: int) -> None:
        self.samples, self.size, self.seed = samples, size, seed
        self._arrays = [chosen_from("x", array) for array in samples.arrays]
        n, weight = len(self._arrays[0]), samples.weight
        self._there = np.arange(n) if weight is None else np.flatnonzero(weight)
        self.n_batches = -(-len(self._there) // size)

    @property
    def idle_periods(self) -> int:
        """So many periods in a row have a whole pass among them."""
        return 2 * self.n_batches - 1

    def period(self, period: int) -> Samples:
        """A period's batch."""
        chosen = self.chosen(period)
        weight = self.samples.weight
        arrays = tuple(array[chosen] for array in self._arrays)
        return Samples(arrays, None if weight is None else weight[chosen])

    def chosen(self, period: int) -> np.ndarray:
        """The indices of a period's samples, rising."""
        number, batch = divmod(period, self.n_batches)
        order = _seeds.generator("batches of a pass", self.seed, number).permutation(self._there)
        return np.sort(np.array_split(order, self.n_batches)[batch])

    def identity(self, first: Samples) -> Samples:
        """What a checkpoint knows the samples by: all of them."""
        return self.samples

    def how(self) -> dict[str, Any]:
        """What else it knows the batches by."""
        return {"batch": self.size, "seed_of_batches": self.seed}

    def naming(self) -> contextlib.AbstractContextManager[None]:
        """Errors about x or y are about the caller's."""
        return contextlib.nullcontext()


def plan_of(
    problem: Problem,
    samples: Samples,
    batch: Any,
    every: Any,
    theta: Float64,
    seed: int,
    options: Options,
) -> Plan | None:
    """``batch`` and ``every`` of ``train``, checked; None where a batch would have all samples.

    Raises
    ------
    TypeError, ValueError
        Also for arrays of data that have not as many rows each, and for what the problem refuses
        of any sample: later batches would find it late.
    """
    if every is not None:
        every = _validate.positive_int("every", every)
    if batch is None:
        if every is not None:
            raise ValueError(f"every: got {every} without batch or adapt, wanted one of these too")
        return None
    batch = _validate.positive_int("batch", batch)
    n = rows("x", samples.arrays[0])
    for array in samples.arrays[1:]:
        if rows("y", array) != n:
            raise ValueError(f"y: got {rows('y', array)} rows, wanted {n} as x has, for batches")
    problem.check(theta, *samples.arrays, **samples.named)
    source = Batches(samples, batch, seed)
    if source.n_batches == 1:
        return None
    memory = "kept" if options.method == "lbfgs" else "reset"
    return Plan(source=source, every=every or EVERY, memory=memory)
