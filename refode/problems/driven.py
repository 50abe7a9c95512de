"""Fitted trajectories whose fields read inputs u(t), as ordinary ones of one row more, (D142)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from refode import _validate
from refode.fields.driven import Driven
from refode.ode.neural_ode import NeuralODE
from refode.problems.observations import Observations

Array = np.ndarray


def with_inputs(method: Callable) -> Callable:
    """Let a method (..., x, y) hand observations with inputs to the problem of one row more."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    def of(self: Any, *given: Any, **named: Any) -> Any:
        bound = signature.bind(self, *given, **named)
        y = bound.arguments["y"]
        if not isinstance(y, Observations) or y.inputs is None or not reads(self):
            return method(self, *given, **named)
        problem, bare = _of_observations(self, y)
        bound.arguments.update(x=numbered(self, bound.arguments["x"], y.n_samples), y=bare)
        _, *arguments = bound.args
        found = getattr(problem, method.__name__)(*arguments)
        if method.__name__ == "gradients":  # nothing moves a sample's number
            found = np.ascontiguousarray(found[0][:, :-1]), found[1]
        return found

    return of


def reads(problem: Any) -> int:
    """How many inputs the problem's field reads."""
    return int(getattr(problem.ode.field, "inputs", 0))


def numbered(problem: Any, x: Any, n: int | None = None) -> Array:
    """States at t0 with the samples' numbers in a last column."""
    x = _validate.real_array("x", x, ("N" if n is None else n, problem.ode.dim))
    return np.concatenate([x, np.arange(len(x), dtype=x.dtype)[:, None]], axis=1)


def driven(problem: Any, inputs: tuple[Array, Array]) -> Any:
    """The same problem for these inputs: its states have the samples' numbers in a last row."""
    ode, (knots, u) = problem.ode, inputs
    q, d = reads(problem), ode.dim
    if not q:
        raise ValueError(
            f"inputs: got some with a {type(ode.field).__name__} that reads none, wanted None"
        )
    for name in ("readout", "fitted", "shooting"):
        if getattr(problem, name) not in (False, None):
            raise ValueError(
                f"y: got inputs with {_SAID[name]}, wanted observations without inputs, or "
                "initial='given', readout=False and shooting=None"
            )
    if problem.steps_between is not None:
        raise ValueError(
            f"y: got inputs with steps_between={problem.steps_between}, wanted steps_between=None "
            "(samples are not at the same time together)"
        )
    if u.shape[2] != q:
        raise ValueError(
            f"y: got inputs of {u.shape[2]} channels, wanted {q}, those of the field's inputs"
        )
    low, high = sorted(ode.t_span)
    if knots[0] > low or knots[-1] < high:
        raise ValueError(
            f"y: got inputs from t={knots[0]} to {knots[-1]}, wanted them from {low} to {high}, "
            "all of the ode's t_span"
        )
    field = Driven(ode.field, knots, u)
    of_inputs = NeuralODE(field, ode._named_scheme, ode.steps, ode.t_span, ode.basis, ode.memory)
    C = np.eye(d) if problem.observed is None else problem.observed
    return type(problem)(
        of_inputs,
        np.concatenate([C, np.zeros((len(C), 1))], axis=1),
        tikhonov=problem.tikhonov,
        smoothness=problem.smoothness,
    )


_SAID = {"readout": "readout=True", "fitted": "initial='fitted'", "shooting": "shooting"}


def _given(y: Observations) -> tuple[Array, Array]:
    assert y.inputs is not None
    return y.inputs


def _of_observations(problem: Any, y: Observations) -> tuple[Any, Observations]:
    """The problem for a set of observations, kept, and these without their inputs."""
    key = ("inputs", y.fingerprint())
    found = problem._schedules.get(key)
    if found is None:
        bare = Observations(y.times, y.values, y.there, y.weights)
        if len(problem._schedules) > 16:
            problem._schedules.clear()
        found = problem._schedules.setdefault(key, (driven(problem, _given(y)), bare))
    made: tuple[Any, Observations] = found
    return made
