"""Anybody's object as a problem: here it is asked what it can do, and nowhere else."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from refode._weights import NAME
from refode.problems.contract import Problem, Sampler, fingerprint_of, placed_by

Array = np.ndarray

#: What tells a NeuralODE.
_PARTS = ("basis", "field", "layout", "t_span")


def problem_of(of: Any) -> Problem:
    """The object itself if it is a problem, or wrapped as one."""
    return of if isinstance(of, Problem) else Wrapped(of)


class Wrapped(Problem):
    """An object with some of a problem's methods, such as ``value_and_gradient`` alone.

    Parameters
    ----------
    of : object
        Also a NeuralODE, whose parameters are a problem's as far as they go.
    """

    layout: Any

    def __init__(self, of: Any) -> None:
        self.of = of
        ode = getattr(of, "ode", of)
        self.ode = ode if all(hasattr(ode, part) for part in _PARTS) else None
        self.layout = getattr(of, "layout", None)

    def _method(self, name: str) -> Callable[..., Any] | None:
        method = getattr(self.of, name, None)
        return method if callable(method) else None

    # --- what there is -------------------------------------------------------------------
    @property
    def has_gradient(self) -> bool:  # type: ignore[override]
        """Whether it has ``value_and_gradient``."""
        return self._method("value_and_gradient") is not None

    @property
    def has_hessian(self) -> bool:  # type: ignore[override]
        """Whether it has ``hessian_vector``."""
        return self._method("hessian_vector") is not None

    @property
    def has_gauss_newton(self) -> bool:  # type: ignore[override]
        """Whether it has ``gauss_newton_vector``."""
        return self._method("gauss_newton_vector") is not None

    @property
    def has_costs(self) -> bool:  # type: ignore[override]
        """Whether it has ``costs``."""
        return self._method("costs") is not None

    @property
    def has_sample_weight(self) -> bool:  # type: ignore[override]
        """Whether each of its methods takes ``sample_weight`` by name."""
        names = ("value", "value_and_gradient", "hessian_vector", "gauss_newton_vector", "costs")
        methods = [method for name in names if (method := self._method(name)) is not None]
        return all(_takes_weights(method) for method in methods)

    @property
    def sampler(self) -> Sampler | None:
        """``game.initial.sample``, if there is one."""
        initial = getattr(getattr(self.of, "game", None), "initial", None)
        sample = getattr(initial, "sample", None)
        return sample if callable(sample) else None

    # --- parameters ----------------------------------------------------------------------
    @property
    def n_parameters(self) -> Any:
        """Length p of theta; None where the object does not say."""
        return getattr(self.of, "n_parameters", None)

    @property
    def parametrisation(self) -> Any:
        """The object's ``layout``, or p; None where it has no ``n_parameters``."""
        size = self.n_parameters
        return size if size is None or self.layout is None else self.layout

    def initial(self, seed: int = 0) -> Any:
        """The object's start; TypeError where it has none."""
        start = self._method("initial")
        if start is None:
            raise TypeError(
                f"theta0: got None and {self.kind} without a method initial, wanted a start"
            )
        return start(seed)

    def unpack(self, theta: Array) -> dict[str, Array]:
        """The object's."""
        return self.of.unpack(theta)

    def pack(self, arrays: dict[str, Array]) -> Array:
        """The object's."""
        return self.of.pack(arrays)

    # --- objective -------------------------------------------------------------------------
    def value_and_gradient(self, theta: Array, *data: Any, **named: Any) -> Any:
        """The object's."""
        return self.of.value_and_gradient(theta, *data, **self._named(named))

    def value(self, theta: Array, *data: Any, **named: Any) -> float:
        """The object's, or by ``value_and_gradient``."""
        if self._method("value") is None:
            return super().value(theta, *data, **named)
        return float(self.of.value(theta, *data, **self._named(named)))

    def hessian_vector(self, theta: Array, v: Array, *data: Any, **named: Any) -> Any:
        """The object's."""
        return self.of.hessian_vector(theta, v, *data, **self._named(named))

    def gauss_newton_vector(self, theta: Array, v: Array, *data: Any, **named: Any) -> Any:
        """The object's."""
        return self.of.gauss_newton_vector(theta, v, *data, **self._named(named))

    def costs(self, theta: Array, *data: Any, **named: Any) -> Any:
        """The object's."""
        return self.of.costs(theta, *data, **self._named(named))

    def _named(self, named: dict[str, Any]) -> dict[str, Any]:
        """What goes by name; no ``sample_weight`` where that is None, TypeError where in vain."""
        rest = {name: value for name, value in named.items() if name != NAME}
        return rest | self.weighted(named.get(NAME))

    # --- data, and who it is ---------------------------------------------------------------
    def placed(self, data: tuple[Any, ...]) -> tuple[Any, ...]:
        """On the device of the object's ode, if it has one."""
        placement = getattr(getattr(self.of, "ode", None), "placement", None)
        return data if placement is None else placed_by(self.of, placement, data)

    @property
    def kind(self) -> str:
        """Name of the object's class."""
        return type(self.of).__name__

    def fingerprint(self) -> str:
        """Of the object."""
        return fingerprint_of(self.of)

    def __repr__(self) -> str:
        return repr(self.of)


def _takes_weights(method: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):  # written in C, perhaps
        return False
    return any(p.name == "sample_weight" or p.kind is p.VAR_KEYWORD for p in parameters)
