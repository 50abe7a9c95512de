"""How a training ends: what SciPy's own ends mean, once the gradient has been asked."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from refode._shown import one_line
from refode.training import records
from refode.training.records import Evaluation, Float64, norm
from refode.training.variables import ProductForm, curved

#: A value has stopped falling where the gradient promises no more than this, relative to
#: max(1, |value|): a thousand times what an iteration of L-BFGS must gain to go on.
PROMISED = 1e-11
#: Pairs that the promise is made from.
PAIRS = 5

REMEDIES = (
    "try refode.verify.check_gradient to see whether it is the value's gradient, "
    "problem.standardized(x) or other units where x, y or theta are badly scaled, another theta0"
)


class Stop(Exception):
    """The training is over."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class Unfit(ValueError):
    """An argument that turns out to be unfit before the first iteration; the message names it."""


class Promise:
    """What a step would gain by the gradient, and by the curvature that was met on the way.

    A quasi-Newton step -H g gains g^T H g/2. Before any step was taken nothing is known of H,
    and what a step of length one would gain to first order stands for it.
    """

    def __init__(self) -> None:
        self.pairs: deque[tuple[Float64, Float64]] = deque(maxlen=PAIRS)

    def moved(self, before: Evaluation, after: Evaluation) -> None:
        """Take in a step."""
        s, y = after.theta - before.theta, after.gradient - before.gradient
        if curved(s, y):
            self.pairs.append((s, y))

    def at(self, evaluation: Evaluation) -> float:
        """The gain, relative to max(1, |value|)."""
        size = max(1.0, abs(evaluation.value))
        if not self.pairs:
            return norm(evaluation.gradient) / size
        with np.errstate(over="ignore", invalid="ignore"):
            along = ProductForm(self.pairs).transposed(evaluation.gradient)
            gain = 0.5 * float(along @ along) / size
        return gain if np.isfinite(gain) else np.inf


def given_up(end: Any, iterate: Evaluation, promise: Promise, broken: str) -> Stop:
    """What it means that SciPy has ended by itself, with no tolerance met.

    Parameters
    ----------
    end : OptimizeResult
        SciPy's own.
    iterate : Evaluation
        Where that is.
    promise : Promise
    broken : str
        What was not finite at the last trial point, if anything was.
    """
    if broken:
        return Stop(records.NON_FINITE, f"not finite: {broken}, however short the step")
    said = one_line(end.message).rstrip(":. ")
    gain = promise.at(iterate)
    if gain <= PROMISED:
        if end.success:
            return Stop(records.CONVERGED, f"converged: {said}")
        if end.status == records.LINE_SEARCH:
            why = "the value is as low as rounding lets it become; a larger tolerance can be met"
            return Stop(records.LINE_SEARCH, f"stuck: no step lessens the value ({said}); {why}")
    elif end.success or end.status == records.LINE_SEARCH:
        size = norm(iterate.gradient)
        said = "" if end.success else f" ({said})"  # its word for it is CONVERGENCE
        why = f"no step lessens the value{said}, though |gradient| is {size:.2e}; {REMEDIES}"
        return Stop(records.LINE_SEARCH, f"stuck: {why}")
    return Stop(int(end.status), f"stuck: {said}")
