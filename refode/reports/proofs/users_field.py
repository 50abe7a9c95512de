"""f(z) = tanh(K z + c) as a user writes it: in plain NumPy, for ``refode.fields.User``."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode.fields import User

Array = np.ndarray


def _parts(theta: Array, d: int) -> tuple[Array, Array]:
    return theta[: d * d].reshape(d, d), theta[d * d :]


def f(theta: Array, t: float, z: Array) -> Array:
    """tanh(K z + c), row by row."""
    K, c = _parts(theta, z.shape[1])
    return np.tanh(z @ K.T + c)


def vjp(theta: Array, t: float, z: Array, f_bar: Array) -> tuple[Array, Array]:
    """u = K z + c: u_bar = (1 - f^2) f_bar, K_bar = u_bar z^T, c_bar = u_bar, z_bar = K^T u_bar."""
    return _pulled(theta, z, (1.0 - f(theta, t, z) ** 2) * f_bar, 0.0)


def jacobian_vector(theta: Array, t: float, z: Array, theta_dot: Array, z_dot: Array) -> Array:
    """(1 - f^2) (K z_dot + K_dot z + c_dot)."""
    K, _ = _parts(theta, z.shape[1])
    K_dot, c_dot = _parts(theta_dot, z.shape[1])
    return (1.0 - f(theta, t, z) ** 2) * (z_dot @ K.T + z @ K_dot.T + c_dot)


def trace(theta: Array, t: float, z: Array) -> Array:
    """sum_i (1 - f_i^2) K_ii."""
    K, _ = _parts(theta, z.shape[1])
    return (1.0 - f(theta, t, z) ** 2) @ np.diagonal(K)


def trace_vjp(theta: Array, t: float, z: Array, trace_bar: Array) -> tuple[Array, Array]:
    """u_bar_i = -2 f_i (1 - f_i^2) K_ii trace_bar, and the diagonal's own share."""
    K, _ = _parts(theta, z.shape[1])
    a = f(theta, t, z)
    slope = 1.0 - a * a
    u_bar = -2.0 * a * slope * np.diagonal(K) * trace_bar[:, None]
    return _pulled(theta, z, u_bar, np.diag(trace_bar @ slope))


def _pulled(theta: Array, z: Array, u_bar: Array, K_bar: Any) -> tuple[Array, Array]:
    K, _ = _parts(theta, z.shape[1])
    K_bar = K_bar + u_bar.T @ z
    return np.concatenate([K_bar.ravel(), u_bar.sum(axis=0)]), u_bar @ K


def field(d: int) -> User:
    """The field in d dimensions."""
    return User(
        f,
        dim=d,
        n_parameters=d * (d + 1),
        vjp=vjp,
        jacobian_vector=jacobian_vector,
        trace=(trace, trace_vjp),
        names={"K": (d, d), "c": (d,)},
    )
