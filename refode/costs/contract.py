"""What a cost must supply to the adjoint sweep.

``observe(cost, at, Y, L, cost_bar, scratch)``
    The value of what the cost reads of the state Y (rows, S) at a moment, over the block's m
    samples, which are the samples at.first, ..., at.first+m-1; adds its cotangent to the first
    m columns of L, and to cost_bar those of the cost's own parameters. Costs are asked at the
    end (``at.last``); those that are ``everywhere`` at the start of every step too, in
    descending order. ``scratch`` (rows, S) is work space, at least ``work_rows`` of them.

``look(cost, at, h, Y, F, F_bar, Y_bar, cost_bar, time_bar, scratch)``
    Of costs that read a path ``within`` its steps: the value of what is read in the step of
    length h that begins at a moment with the states Y, from the slopes F of all its stages. F_bar
    and Y_bar are overwritten with the cotangents of the slopes and of Y; cost_bar and time_bar,
    of the step's start and length, are added to. No other cost has one.

docs/adding_a_loss.md adds one. Twins on the device: refode/cuda/contract.py and
refode/cuda/costs.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import types

from refode import _validate
from refode.machine.parts import Room

COST = Room("cost")


class Moment(NamedTuple):
    """When and for whom a cost is asked: a point of the grid, its time, and the samples."""

    n: int  # of the grid's points 0, ..., n_steps
    last: bool  # whether it is the end of the path
    t: float
    first: int
    m: int


def _moment(dtype: Any) -> Any:
    parts = [types.int64, types.boolean, dtype, types.int64, types.int64]
    return types.BaseTuple.from_types(parts, Moment)


@COST.function([_moment, "M", "M", "v", "M"], "s")
def observe(cost, at, Y, L, cost_bar, scratch):
    """Value over the block at a moment; its cotangent is added to L."""


@COST.function([_moment, "s", "M", "T", "T", "M", "v", "v", "M"], "s")
def look(cost, at, h, Y, F, F_bar, Y_bar, cost_bar, time_bar, scratch):
    """Value of what is read within a step; its cotangents overwrite F_bar and Y_bar."""


def everywhere(cost: Any) -> bool:
    """Whether a cost reads the path at every point of the grid; most read its end alone."""
    return _validate.boolean("cost.everywhere", getattr(cost, "everywhere", False))


def within(cost: Any) -> bool:
    """Whether a cost reads the path within its steps, by ``look``."""
    return _validate.boolean("cost.within", getattr(cost, "within", False))


def work_rows(cost: Any) -> int:
    """Rows of ``scratch`` that a cost of one's own asks for; its description may say so."""
    return _validate.nonnegative_int("cost.work_rows", getattr(cost, "work_rows", 0))


def parameters_of(cost: Any) -> int:
    """Parameters of the cost itself, whose cotangents it adds to ``cost_bar``; it may say so."""
    return _validate.nonnegative_int("cost.n_parameters", getattr(cost, "n_parameters", 0))


def check_cost(name: str, cost: Any) -> None:
    """TypeError unless this is a description that ``observe`` has a body for.

    Costs of this package's problems read quadratures and schedules that only these sweep along:
    those that need no more than a path say so by ``of_any_path``.
    """
    kind = type(cost)
    if kind not in observe.bodies:
        raise TypeError(
            f"{name}: got a {kind.__name__}, wanted a NamedTuple of a class with a body "
            "registered for refode.costs.contract.observe"
        )
    if kind.__module__.startswith("refode.") and not getattr(cost, "of_any_path", False):
        raise TypeError(
            f"{name}: got a {kind.__name__}, which reads more than the path, wanted a cost of it "
            "alone; the problem that makes this cost has value_and_gradient"
        )


def check_samples(name: str, cost: Any, n: int) -> None:
    """ValueError where targets, labels, weights or z_bar of a class of ours are of other samples.

    Kernels read them by the samples' indices, beyond an array's end if they are told to. What
    axes mean in classes of others only these know.
    """
    for part in _parts(cost):
        if not type(part).__module__.startswith("refode."):
            continue
        for field, axis in (("targets", 0), ("labels", 0), ("weights", 0), ("z_bar", 1)):
            array = getattr(part, field, None)
            if isinstance(array, np.ndarray) and array.ndim > axis and array.shape[axis] != n:
                raise ValueError(
                    f"{name}: got {field} of {array.shape[axis]} samples, wanted {n}, as many as x"
                )


def check_path(name: str, cost: Any, n_points: int, dim: int) -> None:
    """ValueError where a cost of ours is of states of another dimension, or of another path."""
    if getattr(cost, "of_any_path", False):
        found = cost.dim
        if found != dim:
            raise ValueError(f"{name}: got one of states of {found} numbers, wanted {dim}")
    if isinstance(cost, Cotangent) and cost.z_bar.shape[0] not in (1, n_points):
        raise ValueError(
            f"{name}: got z_bar at {cost.z_bar.shape[0]} points, wanted 1 or {n_points}, those of "
            "the grid"
        )


def _parts(description: Any) -> Iterator[Any]:
    """A description and those within it."""
    yield description
    for value in description:
        if isinstance(value, tuple):
            yield from _parts(value)


class Cotangent(NamedTuple):
    """The linear cost <z_bar, z>: a sweep with it is the adjoint itself.

    ``z_bar`` is (1, N, rows) for the end alone, or (n_steps+1, N, rows) for every
    point of the grid.
    """

    z_bar: np.ndarray

    @property
    def of_any_path(self) -> bool:
        """It reads nothing else."""
        return True

    @property
    def dim(self) -> int:
        """Numbers of a state."""
        return int(self.z_bar.shape[-1])

    @property
    def everywhere(self) -> bool:
        """Whether the path counts and not only its end."""
        return self.z_bar.shape[0] > 1


@observe.register(Cotangent)
def cotangent_observe(cost, at, Y, L, cost_bar, scratch):
    """L += z_bar at the grid's point, (D37)."""
    here = cost.z_bar[cost.z_bar.shape[0] - 1 if at.last else at.n]
    value = Y[0, 0] * 0
    for s in range(at.m):
        for i in range(here.shape[1]):
            bar = here[at.first + s, i]
            L[i, s] += bar
            value += bar * Y[i, s]
    return value
