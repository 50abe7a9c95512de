"""What a grid is planned for: samples on their way, with what is measured of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refode.bases import PiecewiseConstant
from refode.ode.driver import Sweep
from refode.ode.neural_ode import NeuralODE

Array = np.ndarray
Span = tuple[float, float]

#: What ``error_in`` may name.
PARTS = ("z", "log_det", "cost")


class Reached(NamedTuple):
    """A path that has been planned: the grid's points, and where samples are at its end."""

    nodes: Array  # (n+1,)
    ends: Callable[[], Array]  # (N, d)
    times: Array  # (n, m+1): of the intervals that are looked at, of m steps each


class Course(NamedTuple):
    """Samples that start together, and the sweep that takes them along."""

    ode: NeuralODE
    theta: Array  # the ode's
    span: Span
    sweep: Sweep
    trace: bool  # whether effective weights are made for a trace too
    start: Array  # (N, columns), what the state's rows begin with
    #: A part of the state and a name for each row: of ``PARTS``, or "" for what stands still.
    rows: tuple[tuple[str, str], ...]
    #: By effective weights and the path: its cost, the cost's rows of work space, and how many
    #: parameters of its own it has.
    cost: Callable[[Array, Reached], tuple[Any, int, int]] | None = None
    name: str = "x"  # of the samples, for messages
    #: Whether the cost is asked all along, so that the cotangent at the end is no measure.
    charged_along: bool = False

    @property
    def home(self) -> Span:
        """The interval on which theta(t) lives."""
        return self.ode.t_span

    def along(self, t: Any) -> Any:
        """Normalised times."""
        return (t - self.home[0]) / (self.home[1] - self.home[0])

    def borders(self) -> list[float]:
        """Where theta(t) jumps, strictly within the span."""
        basis = self.ode.basis
        if not isinstance(basis, PiecewiseConstant):
            return []
        J, (start, end) = basis.n_coefficients, self.home
        times = (start + (end - start) * (j / J) for j in range(1, J))
        low, high = sorted(self.span)
        return [t for t in times if low < t < high]

    def coefficients(self) -> Array:
        """theta as (J, n_weights)."""
        return self.ode._coefficients(self.theta)

    def effective(self, weights: Array) -> Array:
        """Effective weights of weight sets."""
        return self.ode.field.prepare(weights, self.trace)


def rows_of_ode(d: int, parts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Rows of z and the quadratures that an ode has by itself."""
    rows = [("z", "")] * d
    if "log_det" in parts or "cost" in parts:
        rows.append(("log_det", "log_det"))
    if "cost" in parts:
        rows.append(("cost", "kinetic"))
    return tuple(rows)


def watched(courses: list[Course], gradient: bool) -> list[Course]:
    """The courses, without their costs where the gradient is not to be watched."""
    return courses if gradient else [course._replace(cost=None) for course in courses]
