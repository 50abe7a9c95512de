"""A second opinion on the gradient: reverse mode of RK4 and (2) in the textbook form.

Samples in rows, matrices (N, d), the four stages of the classical scheme written out,
everything stored. Plain NumPy; imports nothing of refode.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Array = np.ndarray


def rk4_shallow_reverse(
    w: Mapping[str, Array], X: Array, X_bar: Array, h: float, n_steps: int
) -> tuple[Array, dict[str, Array], Array]:
    """z(T) (N, d), cotangents of the constant weights, cotangent of X; samples in rows.

    ``X_bar`` is the cotangent of z(T); the field is f = W1 tanh(W0 z + b0) + b1.
    """
    W0, b0, W1, b1 = w["W0"], w["b0"], w["W1"], w["b1"]
    bar = {name: np.zeros_like(array) for name, array in w.items()}

    def forward(Y: Array) -> tuple[Array, tuple[Array, Array]]:
        H = np.tanh(Y @ W0.T + b0)
        return H @ W1.T + b1, (Y, H)

    def backward(kept: tuple[Array, Array], F_bar: Array) -> Array:
        Y, H = kept
        U_bar = (F_bar @ W1) * (1.0 - H * H)
        bar["W1"] += F_bar.T @ H
        bar["b1"] += F_bar.sum(axis=0)
        bar["W0"] += U_bar.T @ Y
        bar["b0"] += U_bar.sum(axis=0)
        return U_bar @ W0

    Z, tape = X, []
    for _ in range(n_steps):
        k1, s1 = forward(Z)
        k2, s2 = forward(Z + h / 2 * k1)
        k3, s3 = forward(Z + h / 2 * k2)
        k4, s4 = forward(Z + h * k3)
        Z = Z + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        tape.append((s1, s2, s3, s4))
    lam = X_bar
    for s1, s2, s3, s4 in reversed(tape):
        r4 = backward(s4, h / 6 * lam)
        r3 = backward(s3, h / 3 * lam + h * r4)
        r2 = backward(s2, h / 3 * lam + h / 2 * r3)
        r1 = backward(s1, h / 6 * lam + h / 2 * r2)
        lam = lam + r1 + r2 + r3 + r4
    return Z, bar, lam
