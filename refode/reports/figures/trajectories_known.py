"""Fields of known form, as users write them: a damped pendulum, and Lotka and Volterra's."""

from __future__ import annotations

import numpy as np

from refode.fields import User

Array = np.ndarray


# --- angle' = speed, speed' = -k sin(angle) - c speed -----------------------------------------
def _pendulum(theta: Array, t: float, z: Array) -> Array:
    (k, c), (angle, speed) = theta, z.T
    return np.stack([speed, -k * np.sin(angle) - c * speed], axis=1)


def _pendulum_vjp(theta: Array, t: float, z: Array, f_bar: Array) -> tuple[Array, Array]:
    (k, c), (angle, speed), (angle_bar, speed_bar) = theta, z.T, f_bar.T
    theta_bar = np.stack([-(speed_bar * np.sin(angle)).sum(), -(speed_bar * speed).sum()])
    z_bar = np.stack([-speed_bar * k * np.cos(angle), angle_bar - c * speed_bar], axis=1)
    return theta_bar, z_bar


def _pendulum_tangent(theta: Array, t: float, z: Array, theta_dot: Array, z_dot: Array) -> Array:
    (k, c), (angle, speed) = theta, z.T
    (k_dot, c_dot), (angle_dot, speed_dot) = theta_dot, z_dot.T
    pulled = k_dot * np.sin(angle) + k * np.cos(angle) * angle_dot
    return np.stack([speed_dot, -pulled - c_dot * speed - c * speed_dot], axis=1)


def pendulum() -> User:
    """The damped pendulum, theta = (k, c)."""
    return User(
        _pendulum,
        dim=2,
        n_parameters=2,
        vjp=_pendulum_vjp,
        jacobian_vector=_pendulum_tangent,
        names={"k": (), "c": ()},
    )


# --- prey' = prey (a - b predator), predator' = predator (d prey - c) -------------------------
def _lotka_volterra(theta: Array, t: float, z: Array) -> Array:
    (a, b, c, d), (prey, predator) = theta, z.T
    return np.stack([prey * (a - b * predator), predator * (d * prey - c)], axis=1)


def _lotka_volterra_vjp(theta: Array, t: float, z: Array, f_bar: Array) -> tuple[Array, Array]:
    (a, b, c, d), (prey, predator), (p, q) = theta, z.T, f_bar.T
    met = prey * predator
    parts = [(p * prey).sum(), -(p * met).sum(), -(q * predator).sum(), (q * met).sum()]
    prey_bar = p * (a - b * predator) + q * d * predator
    predator_bar = q * (d * prey - c) - p * b * prey
    return np.stack(parts), np.stack([prey_bar, predator_bar], axis=1)


def _lotka_volterra_tangent(
    theta: Array, t: float, z: Array, theta_dot: Array, z_dot: Array
) -> Array:
    (a, b, c, d), (prey, predator) = theta, z.T
    (a_dot, b_dot, c_dot, d_dot), (prey_dot, predator_dot) = theta_dot, z_dot.T
    growth = a_dot - b_dot * predator - b * predator_dot
    feeding = d_dot * prey + d * prey_dot - c_dot
    rows = [
        prey_dot * (a - b * predator) + prey * growth,
        predator_dot * (d * prey - c) + predator * feeding,
    ]
    return np.stack(rows, axis=1)


def lotka_volterra() -> User:
    """Predator and prey, theta = (a, b, c, d)."""
    return User(
        _lotka_volterra,
        dim=2,
        n_parameters=4,
        vjp=_lotka_volterra_vjp,
        jacobian_vector=_lotka_volterra_tangent,
        names={"a": (), "b": (), "c": (), "d": ()},
    )
