"""Where a solver steps: an interval cut into equal steps, or at times of one's own.

Steps are immutable, and equal where their class and their times are. A `NeuralODE` asks them
for the nodes t_0, ..., t_n of an interval, for the steps h_k = t_{k+1} - t_k, and for how both
move with the interval's ends, (D24).
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refode import _validate
from refode._fixed import Fixed

__all__ = ["Equal", "Given", "Steps"]

Float64 = NDArray[np.float64]
Span = tuple[float, float]

#: Up to so many times ``repr`` shows them all.
_SHOWN = 12


class Steps(Fixed):
    """How an interval is cut into steps.

    Attributes
    ----------
    n_steps : int
    t_span : (float, float) or None
        The interval that the steps were given for; None where they fit any.
    """

    n_steps: int
    t_span: Span | None = None

    @abstractmethod
    def nodes(self, t_span: Span) -> Float64:
        """The times (n_steps+1,) of an interval, in either direction; both ends included."""

    def since(self, origin: float, t_span: Span) -> Float64:
        """The nodes less a time ``origin``, which may be far from 0 and close to them."""
        return self.nodes(t_span) - origin

    @abstractmethod
    def sizes(self, t_span: Span) -> Float64:
        """The steps h_k (n_steps,) between these times, negative where the interval falls."""

    @abstractmethod
    def shares(self, t_span: Span) -> tuple[Float64, Float64]:
        """alpha and w, (n_steps,) each: t_k = t0 + alpha_k (T - t0), h_k = w_k (T - t0)."""


class Equal(Steps):
    """n equal steps.

    Parameters
    ----------
    n_steps : int
        At least 1 (TypeError, ValueError).

    Examples
    --------
    >>> Equal(4).nodes((0.0, 1.0))
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """

    def __init__(self, n_steps: int) -> None:
        self.n_steps = _validate.positive_int("n_steps", n_steps)

    def nodes(self, t_span: Span) -> Float64:
        t0, T = t_span
        return np.linspace(t0, T, self.n_steps + 1)

    def since(self, origin: float, t_span: Span) -> Float64:
        t0, T = t_span
        return self.nodes((t0 - origin, T - origin))  # both differences rounded once

    def sizes(self, t_span: Span) -> Float64:
        t0, T = t_span
        return np.full(self.n_steps, (T - t0) / self.n_steps)

    def shares(self, t_span: Span) -> tuple[Float64, Float64]:
        n = self.n_steps
        return np.arange(n) / n, np.full(n, 1.0 / n)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Steps):
            return NotImplemented
        return isinstance(other, Equal) and self.n_steps == other.n_steps

    def __hash__(self) -> int:
        return hash((Equal, self.n_steps))

    def __repr__(self) -> str:
        return f"Equal({self.n_steps})"


class Given(Steps):
    """Steps between given times, which belong to the interval between the first and the last.

    Over another interval in the same direction the times are stretched to its ends. Over an
    interval in the other direction the same times are walked backwards, as inverses do.

    Parameters
    ----------
    grid : array_like, (n_steps+1,)
        Times that rise throughout, or fall; at least two.

    Attributes
    ----------
    times : ndarray, (n_steps+1,)
        The grid, read-only.

    Raises
    ------
    TypeError, ValueError
        No vector of finite numbers, fewer than two, a time that comes twice, or times that
        neither rise nor fall throughout.

    Examples
    --------
    >>> graded = Given([0.0, 0.1, 0.4, 1.0])
    >>> graded.nodes((1.0, 0.0))
    array([1. , 0.4, 0.1, 0. ])
    >>> graded.nodes((2.0, 4.0))
    array([2. , 2.2, 2.8, 4. ])
    """

    def __init__(self, grid: ArrayLike) -> None:
        self.times = _monotone(grid)
        self.n_steps = len(self.times) - 1
        self.t_span = (float(self.times[0]), float(self.times[-1]))

    def nodes(self, t_span: Span) -> Float64:
        return self.since(0.0, t_span)

    def since(self, origin: float, t_span: Span) -> Float64:
        if self._backwards(t_span):
            return self.since(origin, t_span[::-1])[::-1].copy()
        if t_span == self.t_span:
            return self.times - origin
        t0, T = t_span
        start, end = self._ends
        nodes = (t0 - origin) + (self.times - start) / (end - start) * (T - t0)
        nodes[-1] = T - origin  # which rounding may miss
        return nodes

    def sizes(self, t_span: Span) -> Float64:
        if self._backwards(t_span):
            return -self.sizes(t_span[::-1])[::-1]
        sizes = np.diff(self.times)
        if t_span == self.t_span:
            return sizes
        t0, T = t_span
        start, end = self._ends
        return sizes / (end - start) * (T - t0)

    def shares(self, t_span: Span) -> tuple[Float64, Float64]:
        times = self.times[::-1] if self._backwards(t_span) else self.times
        length = times[-1] - times[0]
        return (times[:-1] - times[0]) / length, np.diff(times) / length

    @property
    def _ends(self) -> Span:
        assert self.t_span is not None
        return self.t_span

    def _backwards(self, t_span: Span) -> bool:
        """Whether the interval runs against the grid."""
        start, end = self._ends
        return (t_span[1] > t_span[0]) != (end > start)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Steps):
            return NotImplemented
        return isinstance(other, Given) and np.array_equal(self.times, other.times)

    def __hash__(self) -> int:
        return hash((Given, self.times.tobytes()))

    def __repr__(self) -> str:
        """All times, or of many the ends and a digest: other times show as another text."""
        if len(self.times) <= _SHOWN:
            return f"Given({self.times.tolist()})"
        digest = hashlib.blake2b(self.times.tobytes(), digest_size=8).hexdigest()
        start, end = self._ends
        return f"Given({len(self.times)} times from {start} to {end}, {digest})"


def of(n_steps: Any, name: str = "n_steps") -> Steps:
    """Steps as they are, a number as so many equal ones."""
    if isinstance(n_steps, Steps):
        return n_steps
    return Equal(_validate.positive_int(name, n_steps))


def resolved(
    n_steps: int | Steps | None, t_span: Any, grid: ArrayLike | None, default: int
) -> tuple[Steps, Span]:
    """The steps and the interval that a solver's three arguments say.

    A grid, or steps that were given for an interval, say both. Times that are equally spaced
    bit for bit are `Equal` steps, whose step is known to the last bit.

    Raises
    ------
    TypeError, ValueError
        Naming the argument; a grid besides n_steps, or besides another t_span.
    """
    if grid is None:
        steps = of(default if n_steps is None else n_steps)
    elif n_steps is not None:
        raise ValueError(f"grid: got times and n_steps={n_steps!r}, wanted one of the two")
    else:
        steps = Given(grid)
    if steps.t_span is None:
        return steps, _validate.interval("t_span", (0.0, 1.0) if t_span is None else t_span)
    start, end = span = steps.t_span
    if t_span is not None and _validate.interval("t_span", t_span) != span:
        raise ValueError(
            f"grid: got times from {start} to {end} and t_span={t_span!r}, wanted no t_span, or "
            "the grid's ends"
        )
    equal = Equal(steps.n_steps)
    same = np.array_equal(steps.nodes(span), equal.nodes(span))
    return (equal if same else steps), span


def described(steps: Steps, t_span: Span) -> str:
    """For the ``repr`` of what has them: what tells their times."""
    if isinstance(steps, Equal):
        return f"n_steps={steps.n_steps}, t_span={t_span}"
    return f"n_steps={steps!r}, t_span={t_span}"


def _monotone(grid: ArrayLike) -> Float64:
    """A read-only copy of times that rise throughout, or fall; an error that names ``grid``."""
    times = _validate.real_array("grid", grid, ("n_steps + 1",)) + 0.0  # a copy, -0.0 as 0.0
    if len(times) < 2:
        raise ValueError(f"grid: got {len(times)} time, wanted at least two")
    with np.errstate(over="ignore"):
        gaps, length = np.diff(times), times[-1] - times[0]
    if not np.isfinite(length):
        raise ValueError(
            f"grid: got ends {times[0]} and {times[-1]}, wanted times a finite length apart"
        )
    wrong = gaps * (1.0 if length > 0.0 else -1.0) <= 0.0
    if wrong.any():
        i = int(np.argmax(wrong))
        what = "the same again" if times[i + 1] == times[i] else f"{times[i + 1]}"
        raise ValueError(
            f"grid: got {times[i]} at index {i} and {what} at index {i + 1}, wanted times that "
            "rise throughout, or fall"
        )
    times.flags.writeable = False
    return times
