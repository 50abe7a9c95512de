"""A field as users write it, in plain NumPy: the shallow network once more, and wrong ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode.fields import Shallow, User


class ShallowFunctions:
    """f, vjp, jacobian_vector and trace of W1 tanh(W0 z + w t + b0) + b1."""

    def __init__(self, dim: int, width: int, time: bool = False) -> None:
        self.twin = Shallow(dim, width, time)
        self.dim, self.time = dim, time
        self.shapes, self.size = dict(self.twin.layout.shapes), self.twin.n_weights

    def parts(self, theta: Any) -> Any:
        w = self.twin.layout.unpack(theta)
        W0 = w["W0"][:, : self.dim]
        column = w["W0"][:, self.dim] if self.time else np.zeros(len(W0))
        return W0, column, w["b0"], w["W1"], w["b1"]

    def hidden(self, theta: Any, t: float, z: Any) -> Any:
        W0, column, b0, _, _ = self.parts(theta)
        return np.tanh(z @ W0.T + column * t + b0)

    def f(self, theta, t, z):
        *_, W1, b1 = self.parts(theta)
        return self.hidden(theta, t, z) @ W1.T + b1

    def pulled(self, theta, t, z, u_bar, W0_bar, W1_bar, b1_bar):
        """What both vjps end with: the cotangents of W0 z + w t + b0 known."""
        W0, column, *_ = self.parts(theta)
        W0_bar = W0_bar + u_bar.T @ z
        if self.time:
            W0_bar = np.column_stack([W0_bar, t * u_bar.sum(axis=0)])
        theta_bar = [W0_bar.ravel(), u_bar.sum(axis=0), W1_bar.ravel(), b1_bar]
        found = np.concatenate(theta_bar), u_bar @ W0
        return (*found, (u_bar @ column).sum()) if self.time else found

    def vjp(self, theta, t, z, f_bar):
        *_, W1, _ = self.parts(theta)
        a = self.hidden(theta, t, z)
        u_bar = (1 - a * a) * (f_bar @ W1)
        return self.pulled(theta, t, z, u_bar, 0.0, f_bar.T @ a, f_bar.sum(axis=0))

    def jacobian_vector(self, theta, t, z, theta_dot, z_dot):
        W0, _, _, W1, _ = self.parts(theta)
        V0, column, b0, V1, b1 = self.parts(theta_dot)
        a = self.hidden(theta, t, z)
        a_dot = (1 - a * a) * (z_dot @ W0.T + z @ V0.T + column * t + b0)
        return a_dot @ W1.T + a @ V1.T + b1

    def trace(self, theta, t, z):
        W0, _, _, W1, _ = self.parts(theta)
        return (1 - self.hidden(theta, t, z) ** 2) @ np.einsum("ik,ki->k", W1, W0)

    def trace_vjp(self, theta, t, z, trace_bar):
        W0, _, _, W1, b1 = self.parts(theta)
        a, M = self.hidden(theta, t, z), np.einsum("ik,ki->k", W1, W0)
        M_bar = trace_bar @ (1 - a * a)
        u_bar = -2 * a * (1 - a * a) * M * trace_bar[:, None]
        return self.pulled(theta, t, z, u_bar, M_bar[:, None] * W1.T, M_bar * W0.T, 0 * b1)

    def field(self, **other: Any) -> User:
        """The field of all of them, but for those given."""
        given = {
            "vjp": self.vjp,
            "jacobian_vector": self.jacobian_vector,
            "trace": (self.trace, self.trace_vjp),
            "names": self.shapes,
        } | other
        f = given.pop("f", self.f)
        return User(f, dim=self.dim, n_parameters=self.size, **given)
