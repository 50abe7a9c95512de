"""refode's models in JAX, from their formulas: fields, weights in time, schemes, losses.

Written apart from refode, for differentiation by JAX. Tableaus and basis functions are the
literature's, not read from refode. Weights are dicts of arrays (J, ...), as ``unpack``
gives them; samples are in rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402  after the switch to float64

Weights = dict[str, Any]
Field = Callable[[Any, Any, Weights], Any]

ACTIVATIONS = {
    "tanh": jnp.tanh,
    "softplus": jax.nn.softplus,
    "sine": jnp.sin,
    "identity": lambda u: u,
}


# --- fields f(z, t; w), samples in rows --------------------------------------------------


def _with_time(z: Any, t: Any, time: bool) -> Any:
    return jnp.concatenate([z, jnp.full((len(z), 1), t)], axis=1) if time else z


def affine(time: bool = False) -> Field:
    """A z + c."""
    return lambda z, t, w: _with_time(z, t, time) @ w["A"].T + w["c"]


def shallow(time: bool = False) -> Field:
    """W1 tanh(W0 z + b0) + b1, eq. (2)."""
    return mlp(("tanh",), time)


def mlp(activations: tuple[str, ...], time: bool = False) -> Field:
    """Eq. (1): W_L sigma(... sigma(W_0 z + b_0) ...) + b_L."""

    def f(z: Any, t: Any, w: Weights) -> Any:
        a = _with_time(z, t, time)
        for i, name in enumerate(activations):
            a = ACTIVATIONS[name](a @ w[f"W{i}"].T + w[f"b{i}"])
        last = len(activations)
        return a @ w[f"W{last}"].T + w[f"b{last}"]

    return f


def antisymmetric(gamma: float, activation: str = "tanh", time: bool = False) -> Field:
    """sigma((K - K^T - gamma I) z + b)."""

    def f(z: Any, t: Any, w: Weights) -> Any:
        A = w["K"] - w["K"].T - gamma * jnp.eye(z.shape[1])
        return ACTIVATIONS[activation](z @ A.T + _bias(w, t, time))

    return f


def _bias(w: Weights, t: Any, time: bool) -> Any:
    return w["b0"] + t * w["tau"] if time else w["b0"]


def parabolic(activation: str = "tanh", time: bool = False) -> Field:
    """-K^T sigma(K z + b)."""

    def f(z: Any, t: Any, w: Weights) -> Any:
        a = ACTIVATIONS[activation](_with_time(z, t, time) @ w["K"].T + w["b0"])
        return -a @ w["K"][:, : z.shape[1]]

    return f


def hamiltonian(activation: str = "tanh", time: bool = False) -> Field:
    """Y' = sigma(K Z + b), Z' = -sigma(K^T Y + b)."""

    def f(y: Any, t: Any, w: Weights) -> Any:
        Y, Z = jnp.split(y, 2, axis=1)
        sigma, b = ACTIVATIONS[activation], _bias(w, t, time)
        return jnp.concatenate([sigma(Z @ w["K"].T + b), -sigma(Y @ w["K"] + b)], axis=1)

    return f


def leapfrog(activation: str = "tanh", time: bool = False) -> Field:
    """Y' = V, V' = -K^T sigma(K Y + b)."""

    def f(y: Any, t: Any, w: Weights) -> Any:
        Y, V = jnp.split(y, 2, axis=1)
        a = ACTIVATIONS[activation](Y @ w["K"].T + _bias(w, t, time))
        return jnp.concatenate([V, -a @ w["K"]], axis=1)

    return f


# --- weights in time ---------------------------------------------------------------------


def basis_values(kind: str, J: int, s: float, cell: float) -> np.ndarray:
    """p_0(s), ..., p_{J-1}(s) for s in [0, 1]; ``cell`` is the middle of the step s lies in."""
    if kind == "Constant":
        return np.ones(1)
    if kind == "PiecewiseConstant":
        return np.eye(J)[int(np.floor(cell * J))]
    if kind == "PiecewiseLinear":
        nodes = np.arange(J) / (J - 1)
        return np.array([np.interp(s, nodes, e) for e in np.eye(J)])
    if kind == "Legendre":
        x, values = 2.0 * s - 1.0, [1.0, 2.0 * s - 1.0]
        for j in range(1, J - 1):
            values.append(((2 * j + 1) * x * values[j] - j * values[j - 1]) / (j + 1))
        return np.array(values[:J])
    if kind == "BSpline":
        return _cubic_splines(J, s)
    raise ValueError(f"kind: got {kind!r}")


def _cubic_splines(J: int, s: float) -> np.ndarray:
    """Cox and de Boor's recursion; the last cell has its right end."""
    knots = np.concatenate([np.zeros(3), np.linspace(0.0, 1.0, J - 2), np.ones(3)])
    cell = min(int(np.floor(s * (J - 3))), J - 4) + 3
    values = np.zeros(len(knots) - 1)
    values[cell] = 1.0
    for p in (1, 2, 3):
        for i in range(len(knots) - 1 - p):
            left, right = knots[i + p] - knots[i], knots[i + p + 1] - knots[i + 1]
            a = (s - knots[i]) / left * values[i] if left > 0 else 0.0
            b = (knots[i + p + 1] - s) / right * values[i + 1] if right > 0 else 0.0
            values[i] = a + b
    return values[:J]


# --- schemes -----------------------------------------------------------------------------

EULER = ([[0.0]], [1.0], [0.0])
RK4 = (
    [[0.0] * 4, [0.5, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]],
    [1 / 6, 1 / 3, 1 / 3, 1 / 6],
    [0.0, 0.5, 0.5, 1.0],
)
RK4_38 = (
    [[0.0] * 4, [1 / 3, 0.0, 0.0, 0.0], [-1 / 3, 1.0, 0.0, 0.0], [1.0, -1.0, 1.0, 0.0]],
    [1 / 8, 3 / 8, 3 / 8, 1 / 8],
    [0.0, 1 / 3, 2 / 3, 1.0],
)
DOPRI5 = (  # Dormand and Prince 1980, the weights of order 5; the seventh stage has weight 0
    [
        [0.0] * 6,
        [1 / 5] + [0.0] * 5,
        [3 / 40, 9 / 40] + [0.0] * 4,
        [44 / 45, -56 / 15, 32 / 9] + [0.0] * 3,
        [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729, 0.0, 0.0],
        [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656, 0.0],
    ],
    [35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
    [0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0],
)
TABLEAUS = {"euler": EULER, "rk4": RK4, "rk4_38": RK4_38, "dopri5": DOPRI5}


class Solver:
    """Equal steps of a scheme over t_span, weights theta(t) = sum_j p_j(s) theta_j."""

    def __init__(
        self,
        field: Field,
        scheme: str,
        n_steps: int,
        t_span: tuple[float, float],
        basis: str,
        n_coefficients: int,
    ) -> None:
        self.field, self.scheme, self.n_steps = field, scheme, n_steps
        self.t0, self.h = t_span[0], (t_span[1] - t_span[0]) / n_steps
        self.basis, self.J = basis, n_coefficients

    def weights(self, theta: Weights, n: int, c: float) -> Weights:
        """theta at fraction c of step n."""
        p = basis_values(self.basis, self.J, (n + c) / self.n_steps, (n + 0.5) / self.n_steps)
        return {name: jnp.tensordot(p, a, axes=1) for name, a in theta.items()}

    def __call__(self, theta: Weights, z: Any) -> Any:
        for n in range(self.n_steps):
            z = self._verlet(theta, z, n) if self.scheme == "verlet" else self._step(theta, z, n)
        return z

    def _step(self, theta: Weights, z: Any, n: int) -> Any:
        A, b, c = TABLEAUS[self.scheme]
        slopes: list[Any] = []
        for a_i, c_i in zip(A, c, strict=True):
            stage = z + self.h * sum(a * k for a, k in zip(a_i, slopes, strict=False))
            t = self.t0 + (n + c_i) * self.h
            slopes.append(self.field(stage, t, self.weights(theta, n, c_i)))
        return z + self.h * sum(b_i * k for b_i, k in zip(b, slopes, strict=True))

    def _verlet(self, theta: Weights, y: Any, n: int) -> Any:
        """Second half at the step's start, then the first at its end with the new second."""
        Y, Z = jnp.split(y, 2, axis=1)
        start, end = self.t0 + n * self.h, self.t0 + (n + 1) * self.h
        slope = self.field(y, start, self.weights(theta, n, 0.0))
        Z = Z + self.h * jnp.split(slope, 2, axis=1)[1]
        slope = self.field(jnp.concatenate([Y, Z], axis=1), end, self.weights(theta, n, 1.0))
        return jnp.concatenate([Y + self.h * jnp.split(slope, 2, axis=1)[0], Z], axis=1)


# --- losses ------------------------------------------------------------------------------


def mean_loss(kind: str, F: Any, y: Any) -> Any:
    """Eqs. (5), (6): mean over samples."""
    if kind == "regression":
        return 0.5 * jnp.mean(jnp.sum((F - y) ** 2, axis=1))
    if kind == "logistic":
        return jnp.mean(jnp.logaddexp(0.0, F[:, 0]) - y * F[:, 0])
    if kind == "softmax":
        return -jnp.mean(jax.nn.log_softmax(F)[jnp.arange(len(F)), y])
    raise ValueError(f"kind: got {kind!r}")
