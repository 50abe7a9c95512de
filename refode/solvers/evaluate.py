"""A field by itself: value, trace, tangent and adjoint at given points.

The same kernels as the sweeps', through the scheme that takes no step, so that what
is checked here is what runs there.
"""

from __future__ import annotations

import numpy as np

from refode import _validate
from refode.costs.contract import Cotangent
from refode.fields.contract import Field
from refode.solvers import driver
from refode.solvers.dynamics import LogDet, Plain
from refode.solvers.schemes import Evaluate
from refode.solvers.sweeps import Grid

Array = np.ndarray
TINY = 1e-200
_ONCE = Evaluate(np.ones(1))


def value(field: Field, weights: Array, z: Array, t: float = 0.0) -> Array:
    """f(z, t), (N, d), for one weight set ``weights`` (field.n_weights,) and z (N, d)."""
    weights, z, t = _arguments(field, weights, z, t)
    return _run(field, weights, z, t, trace=False)


def trace(field: Field, weights: Array, z: Array, t: float = 0.0) -> Array:
    """Exact trace of df/dz, (N,)."""
    weights, z, t = _arguments(field, weights, z, t)
    return np.ascontiguousarray(_run(field, weights, z, t, trace=True)[:, -1])


def tangent(
    field: Field, weights: Array, z: Array, weights_dot: Array, z_dot: Array, t: float = 0.0
) -> tuple[Array, Array]:
    """Derivatives of value (N, d) and trace (N,) in a direction, by the complex step."""
    weights, z, t = _arguments(field, weights, z, t)
    weights_dot = _validate.real_vector("weights_dot", weights_dot, field.n_weights)
    z_dot = _validate.real_array("z_dot", z_dot, z.shape)
    size = max(np.abs(weights_dot).max(), np.abs(z_dot).max())
    if size == 0.0:
        return np.zeros_like(z), np.zeros(len(z))
    step = 1j * TINY / size
    y = _run(field, weights + step * weights_dot, z + step * z_dot, t, trace=True)
    y_dot = y.imag * (size / TINY)
    return np.ascontiguousarray(y_dot[:, :-1]), np.ascontiguousarray(y_dot[:, -1])


def jacobian(field: Field, weights: Array, z: Array, t: float = 0.0) -> Array:
    """df/dz, (N, d, d), by d tangents."""
    weights, z, t = _arguments(field, weights, z, t)
    columns = [
        _run(field, weights.astype(complex), z + 1j * TINY * e, t, trace=False).imag / TINY
        for e in np.eye(field.dim)
    ]
    return np.stack(columns, axis=2)


def adjoint(
    field: Field, weights: Array, z: Array, f_bar: Array,
    trace_bar: Array | None = None, t: float = 0.0,
) -> tuple[Array, Array, float]:  # fmt: skip
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
    bars = [_validate.real_array("f_bar", f_bar, z.shape)]
    if trace_bar is not None:
        bars.append(_validate.real_vector("trace_bar", trace_bar, len(z))[:, None])
    cost = Cotangent(np.concatenate(bars, axis=1)[None])
    with_trace = trace_bar is not None
    rows = weights[None]
    E = field.prepare(rows, with_trace)
    result = driver.gradient(_sweep(field, t, with_trace, E.dtype), E, z, cost, want_x=True)
    weights_bar = field.prepare_adjoint(rows, with_trace, result.E_bar)[0]
    return np.ascontiguousarray(weights_bar), result.x_bar, float(result.time_bar[0, 0])


def _arguments(field: Field, weights: Array, z: Array, t: float) -> tuple[Array, Array, float]:
    _validate.instance("field", field, Field)
    weights = _validate.real_vector("weights", weights, field.n_weights)
    return weights, _validate.samples("z", z, field.dim), _validate.real_number("t", t)


def _sweep(field: Field, t: float, with_trace: bool, dtype: np.dtype) -> driver.Sweep:
    grid = Grid(np.array([t]), np.ones(1), np.zeros((1, 1), dtype=np.int64))
    return driver.Sweep.of(field, _ONCE, grid, LogDet if with_trace else Plain, dtype)


def _run(field: Field, weights: Array, z: Array, t: float, trace: bool) -> Array:
    E = field.prepare(weights[None], trace)
    return driver.forward(_sweep(field, t, trace, E.dtype), E, z)[0]
