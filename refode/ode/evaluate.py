"""A field by itself: value, trace, tangent and adjoint at given points; a potential too.

The same kernels as the sweeps', through the scheme that takes no step, so that what
is checked here is what runs there. No path is followed: what is beyond float64 comes back as inf
or NaN. Tangents and adjoints are linear maps of directions of every size.

Of a field with inputs, z is (z, u) here, (N, d + inputs), and values are (N, outputs); such fields
have no trace.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refode import _validate
from refode._quiet import quietly
from refode._scaling import TINY, restored, scaled
from refode.costs.contract import Cotangent
from refode.fields.contract import Field
from refode.fields.padded import Padded
from refode.fields.potential import Potential
from refode.ode import driver
from refode.sweeps.dynamics import LogDet, Plain
from refode.sweeps.game_dynamics import Derivatives
from refode.sweeps.runge_kutta import Evaluate
from refode.sweeps.sweep import Grid

Array = np.ndarray
_ONCE = Evaluate(np.ones(1))


@quietly()
def value(field: Field, weights: Array, z: Array, t: float = 0.0) -> Array:
    """f(z, t), (N, d), for one weight set ``weights`` (field.n_weights,) and z (N, d)."""
    weights, z, t = _arguments(field, weights, z, t)
    return _run(field, weights, z, t, trace=False)


@quietly()
def trace(field: Field, weights: Array, z: Array, t: float = 0.0) -> Array:
    """Exact trace of df/dz, (N,)."""
    weights, z, t = _arguments(field, weights, z, t)
    return np.ascontiguousarray(_run(field, weights, z, t, trace=True)[:, -1])


@quietly()
def tangent(
    field: Field, weights: Array, z: Array, weights_dot: Array, z_dot: Array, t: float = 0.0
) -> tuple[Array, Array | None]:
    """Derivatives of value (N, d) and trace (N,) in a direction, by the complex step.

    The second is None for a field without a trace.
    """
    weights, z, t = _arguments(field, weights, z, t)
    weights_dot = _validate.real_vector("weights_dot", weights_dot, field.n_weights)
    z_dot = _validate.real_array("z_dot", z_dot, z.shape)
    exponent, (weights_dot, z_dot) = scaled(weights_dot, z_dot)
    size = max(np.abs(weights_dot).max(), np.abs(z_dot).max())
    if size == 0.0:
        return np.zeros((len(z), field.outputs)), np.zeros(len(z)) if field.square else None
    step = 1j * TINY / size
    y = _run(field, weights + step * weights_dot, z + step * z_dot, t, trace=field.square)
    y_dot = restored(exponent, y.imag * (size / TINY))
    if not field.square:
        return y_dot, None
    return np.ascontiguousarray(y_dot[:, :-1]), np.ascontiguousarray(y_dot[:, -1])


@quietly()
def jacobian(field: Field, weights: Array, z: Array, t: float = 0.0) -> Array:
    """df/dz, (N, d, d), by d tangents; with inputs (N, outputs, d + inputs).

    Examples
    --------
    >>> import numpy as np, refode
    >>> field = refode.fields.Shallow(dim=2, width=8)
    >>> weights, z = refode.NeuralODE(field).initial(), np.ones((5, 2))
    >>> J = jacobian(field, weights, z)
    >>> J.shape, np.allclose(np.trace(J, axis1=1, axis2=2), trace(field, weights, z))
    ((5, 2, 2), True)
    """
    weights, z, t = _arguments(field, weights, z, t)
    columns = [
        _run(field, weights.astype(complex), z + 1j * TINY * e, t, trace=False).imag / TINY
        for e in np.eye(z.shape[1])
    ]
    return np.stack(columns, axis=2)


@quietly()
def adjoint(
    field: Field,
    weights: Array,
    z: Array,
    f_bar: Array,
    trace_bar: Array | None = None,
    t: float = 0.0,
) -> tuple[Array, Array, float]:
    """Cotangents of the weights (n_weights,), of z (N, d) and of t.

    Parameters
    ----------
    field : Field
    weights : (field.n_weights,)
    z : (N, d)
    f_bar : (N, d)
        Cotangent of the value.
    trace_bar : (N,), optional
        Cotangent of the trace; without it the trace is not computed.
    t : float, optional
    """
    weights, z, t = _arguments(field, weights, z, t)
    bars = [_validate.real_array("f_bar", f_bar, (len(z), field.outputs))]
    swept = _swept(field)
    if trace_bar is not None:
        bars.append(_validate.real_vector("trace_bar", trace_bar, len(z))[:, None])
    exponent, (together,) = scaled(np.concatenate(bars, axis=1))
    cost = Cotangent(together[None])
    with_trace = trace_bar is not None
    rows = weights[None]
    E = swept.prepare(rows, with_trace)
    result = driver.gradient(_sweep(swept, t, with_trace, E.dtype), E, z, cost, want_x=True)
    weights_bar = field.prepare_adjoint(rows, with_trace, result.E_bar)[0]
    return _restored(exponent, weights_bar, result.x_bar, result.time_bar[0, 0])


@quietly()
def potential(
    field: Potential, weights: Array, x: Array, t: float = 0.0
) -> tuple[Array, Array, Array, Array]:
    """Phi (N,), grad_x Phi (N, d), dPhi/dt (N,) and Lap_x Phi (N,), (D90)-(D93).

    Parameters
    ----------
    field : refode.fields.Potential
    weights : (field.n_weights,)
    x : (N, d)
    t : float, optional
    """
    weights, x, t = _arguments(_validate.instance("field", field, Potential), weights, x, t, "x")
    return _four(_derivatives(field, weights, x, t), field.dim)


@quietly()
def potential_tangent(
    field: Potential,
    weights: Array,
    x: Array,
    weights_dot: Array,
    x_dot: Array,
    t: float = 0.0,
    t_dot: float = 0.0,
) -> tuple[Array, Array, Array, Array]:
    """Derivatives of all four in a direction, by the complex step."""
    weights, x, t = _arguments(_validate.instance("field", field, Potential), weights, x, t, "x")
    weights_dot = _validate.real_vector("weights_dot", weights_dot, field.n_weights)
    x_dot = _validate.real_array("x_dot", x_dot, x.shape)
    t_dot = _validate.real_number("t_dot", t_dot)
    exponent, (weights_dot, x_dot, of_t) = scaled(weights_dot, x_dot, np.array(t_dot))
    t_dot = float(of_t)
    size = max(np.abs(weights_dot).max(), np.abs(x_dot).max(), abs(t_dot))
    step = 1j * TINY / (size or 1.0)
    moved = _derivatives(field, weights + step * weights_dot, x + step * x_dot, t + step * t_dot)
    return _four(restored(exponent, moved.imag / abs(step)), field.dim)


@quietly()
def potential_adjoint(
    field: Potential,
    weights: Array,
    x: Array,
    phi_bar: Array,
    gradient_bar: Array,
    time_bar: Array,
    laplacian_bar: Array,
    t: float = 0.0,
) -> tuple[Array, Array, float]:
    """Cotangents of the weights (n_weights,), of x (N, d) and of t, (D94)-(D97).

    Parameters
    ----------
    field : refode.fields.Potential
    weights : (field.n_weights,)
    x : (N, d)
    phi_bar, time_bar, laplacian_bar : (N,)
    gradient_bar : (N, d)
    t : float, optional
    """
    weights, x, t = _arguments(_validate.instance("field", field, Potential), weights, x, t, "x")
    bars = [_validate.real_array("gradient_bar", gradient_bar, x.shape)]
    for name, bar in (
        ("phi_bar", phi_bar),
        ("time_bar", time_bar),
        ("laplacian_bar", laplacian_bar),
    ):
        bars.append(_validate.real_vector(name, bar, len(x))[:, None])
    rows = weights[None]
    E = field.prepare(rows, True)
    sweep = _with_derivatives(field, t, E.dtype)
    start = np.concatenate([x, np.zeros((len(x), 3))], axis=1)
    exponent, (together,) = scaled(np.concatenate(bars, axis=1))
    result = driver.gradient(sweep, E, start, Cotangent(together[None]), want_x=True)
    weights_bar = field.prepare_adjoint(rows, True, result.E_bar)[0]
    return _restored(exponent, weights_bar, result.x_bar[:, : field.dim], result.time_bar[0, 0])


def _restored(
    exponent: int, weights_bar: Array, x_bar: Array, time_bar: Any
) -> tuple[Array, Array, float]:
    """Cotangents as they are returned, times 2**exponent."""
    bars = [np.ascontiguousarray(restored(exponent, bar)) for bar in (weights_bar, x_bar)]
    return bars[0], bars[1], float(restored(exponent, time_bar))


def _derivatives(field: Potential, weights: Array, x: Array, t: Any) -> Array:
    """grad_x Phi, Phi, dPhi/dt, Lap Phi side by side, (N, d+3)."""
    E = field.prepare(weights[None], True)
    return driver.forward(_with_derivatives(field, t, E.dtype), E, x)[0]


def _with_derivatives(field: Potential, t: Any, dtype: np.dtype) -> driver.Sweep:
    within = Derivatives(field.description())
    return _sweep(field, t, True, dtype)._replace(dynamics=within, rows=field.dim + 3)


def _four(found: Array, d: int) -> tuple[Array, Array, Array, Array]:
    """Phi, gradient, time derivative and Laplacian, each an array of its own."""
    return found[:, d].copy(), found[:, :d].copy(), found[:, d + 1].copy(), found[:, d + 2].copy()


def _arguments(
    field: Field, weights: Array, z: Array, t: float, name: str = "z"
) -> tuple[Array, Array, float]:
    _validate.instance("field", field, Field)
    weights = _validate.real_vector("weights", weights, field.n_weights)
    columns = field.dim + field.inputs
    return weights, _validate.samples(name, z, columns), _validate.real_number("t", t)


def _swept(field: Field) -> Field:
    """What sweeps run of a field: as many rows as it reads."""
    return field if field.square else Padded(field)


def _sweep(field: Field, t: Any, with_trace: bool, dtype: np.dtype) -> driver.Sweep:
    grid = Grid(np.array([t]), np.ones(1), np.zeros((1, 1), dtype=np.int64))
    return driver.Sweep.of(field, _ONCE, grid, LogDet if with_trace else Plain, dtype)


def _weights_bar(field: Field, weights: Array, z: Array, f_bar: Array, t: float) -> Array:
    """`adjoint`'s cotangent of the weights at complex points z, for the complex step."""
    rows = weights[None].astype(complex)
    E = field.prepare(rows, False)
    cost = Cotangent(f_bar[None].astype(complex))
    result = driver.gradient(_sweep(field, t, False, E.dtype), E, z, cost, want_x=True)
    return field.prepare_adjoint(rows, False, result.E_bar)[0]


def _run(field: Field, weights: Array, z: Array, t: float, trace: bool) -> Array:
    swept = _swept(field)
    E = swept.prepare(weights[None], trace)
    out = driver.forward(_sweep(swept, t, trace, E.dtype), E, z)[0]
    return out if swept is field else np.ascontiguousarray(out[:, : field.outputs])
