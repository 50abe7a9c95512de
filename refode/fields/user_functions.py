"""A user's functions of a field: errors name the function, and what it returned or raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refode import _validate
from refode._shown import one_line

Array = np.ndarray
Cotangents = tuple[Array, Array, Any]  # theta_bar, z_bar, and t_bar or 0


class Functions(NamedTuple):
    """f and what goes with it."""

    f: Callable[..., Any]
    vjp: Callable[..., Any]
    jacobian_vector: Callable[..., Any] | None
    trace_value: Callable[..., Any] | None
    trace_vjp: Callable[..., Any] | None
    d: int
    p: int

    @classmethod
    def of(cls, f: Any, vjp: Any, jacobian_vector: Any, trace: Any, d: int, p: int) -> Functions:
        """After checks of what is no function."""
        for name, function in (("f", f), ("vjp", vjp), ("jacobian_vector", jacobian_vector)):
            if not callable(function) and (function is not None or name != "jacobian_vector"):
                raise TypeError(f"{name}: got {_validate.shown(function)}, wanted a function")
        pair = (None, None) if trace is None else trace
        if not isinstance(pair, tuple | list) or len(pair) != 2 or any(map(_no_function, pair)):
            raise TypeError(
                f"trace: got {_validate.shown(trace)}, wanted a pair of functions, the trace of "
                "df/dz and its vjp, or None"
            )
        if trace is not None and None in pair:
            raise TypeError("trace: got None in the pair, wanted both functions")
        return cls(f, vjp, jacobian_vector, pair[0], pair[1], d, p)

    def value(self, theta: Array, t: float, z: Array) -> Array:
        """F (N, d)."""
        return _called("f", self.f, (theta, t, z), z.shape)

    def tangent(self, theta: Array, t: float, z: Array, theta_dot: Array, z_dot: Array) -> Array:
        """Its derivative in a direction, (N, d)."""
        if self.jacobian_vector is None:
            raise ValueError(
                "jacobian_vector: got None, wanted a function (tangents, second derivatives and "
                "Hutchinson's trace read it)"
            )
        given = (theta, t, z, theta_dot, z_dot)
        return _called("jacobian_vector", self.jacobian_vector, given, z.shape)

    def adjoint(self, theta: Array, t: float, z: Array, f_bar: Array) -> Cotangents:
        """Cotangents of theta, z and t from that of f."""
        return self._cotangents("vjp", (theta, t, z, f_bar))

    def trace(self, theta: Array, t: float, z: Array) -> Array:
        """The trace (N,)."""
        return _called("trace", self.trace_value, (theta, t, z), z.shape[:1])

    def trace_adjoint(self, theta: Array, t: float, z: Array, trace_bar: Array) -> Cotangents:
        """Cotangents of theta, z and t from that of the trace."""
        return self._cotangents("trace's vjp", (theta, t, z, trace_bar))

    def returned(self, name: str, given: tuple[Any, ...]) -> tuple[Any, ...]:
        """What ``vjp``, or the trace's, returns: two or three cotangents, or a ValueError."""
        function = self.vjp if name == "vjp" else self.trace_vjp
        bars = _raw(name, function, given)
        if not isinstance(bars, tuple | list) or len(bars) not in (2, 3):
            raise ValueError(
                f"{name}: got {_validate.shown(bars)}, wanted theta_bar ({self.p},) and z_bar "
                f"{given[2].shape}, and t_bar where f depends on t"
            )
        return tuple(bars)

    def _cotangents(self, name: str, given: tuple[Any, ...]) -> Cotangents:
        bars, real = self.returned(name, given), given[2].dtype == np.float64
        theta_bar = _numbers(f"{name}: theta_bar", bars[0], (self.p,), real)
        z_bar = _numbers(f"{name}: z_bar", bars[1], given[2].shape, real)
        if len(bars) == 2:
            return theta_bar, z_bar, 0.0
        return theta_bar, z_bar, _numbers(f"{name}: t_bar", bars[2], (), real)[()]


def _no_function(value: Any) -> bool:
    return value is not None and not callable(value)


def _raw(name: str, function: Any, given: tuple[Any, ...]) -> Any:
    """What a function returns; what it raises becomes a ValueError that names it.

    It gets copies: what one function keeps or changes is none of the next one's.
    """
    try:
        return function(*(a.copy() if isinstance(a, np.ndarray) else a for a in given))
    except Exception as error:
        raise ValueError(
            f"{name}: raised {type(error).__name__}: {one_line(error)} (for z of shape "
            f"{given[2].shape} and dtype {given[2].dtype}, t={given[1]})"
        ) from error


def _called(name: str, function: Any, given: tuple[Any, ...], shape: tuple[int, ...]) -> Array:
    return _numbers(name, _raw(name, function, given), shape, given[2].dtype == np.float64)


def _numbers(name: str, value: Any, shape: tuple[int, ...], real: bool) -> Array:
    """Numbers of a shape, copied: the next call may write over what this one returned.

    They are finite or not, as paths may leave the finite range.
    """
    try:
        array = np.asarray(value)
    except Exception as error:
        raise TypeError(f"{name}: got {_validate.shown(value)}, wanted numbers") from error
    if array.dtype.kind not in ("fiub" if real else "fiubc"):
        raise TypeError(f"{name}: got dtype {array.dtype}, wanted real numbers")
    if array.shape != shape:
        raise ValueError(f"{name}: got shape {array.shape}, wanted {shape}")
    return array.astype(np.float64 if real else np.complex128)


def name_of(function: Any) -> str:
    """A function as a repr has it."""
    return getattr(function, "__qualname__", None) or type(function).__name__
