"""The independent oracle: plain, slow, obviously right NumPy.

Nothing of refode is imported here, and nothing is clever: one sample at a time, a
state is a vector (d,), weights are a dict of arrays, every formula is written as on
paper. Everything runs in float64 and in complex128 alike (no conjugate, no absolute
value), so that `complex_gradient` differentiates all of it to rounding; weights,
states, times and step sizes may all be complex.

The trace of a Jacobian is the diagonal sum of the dense Jacobian, on purpose: the
closed forms of docs/equations.md must not stand on both sides of a comparison.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
Weights = Mapping[str, Array]
Theta = Callable[..., Weights]  # t -> weights, or (t, step index) -> weights


# --- activations: name -> (sigma, sigma') -----------------------------------------------


def _softplus(u: Array) -> Array:
    """log(1 + e^u), the larger exponent taken out."""
    u = np.asarray(u)
    right = u.real > 0
    return np.where(right, u, 0.0) + np.log1p(np.exp(np.where(right, -u, u)))


def _sigmoid(u: Array) -> Array:
    """1/(1 + e^-u)."""
    return (1.0 + np.tanh(np.asarray(u) / 2.0)) / 2.0


ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "tanh": (np.tanh, lambda u: 1.0 - np.tanh(u) ** 2),
    "softplus": (_softplus, _sigmoid),
    "sine": (np.sin, np.cos),
    "identity": (lambda u: u, lambda u: np.ones_like(u)),
}


# --- fields: f(z, t; w) and df/dz -------------------------------------------------------


class Field(NamedTuple):
    """value(w, z, t) -> (d,) and jacobian(w, z, t) -> (d, d)."""

    value: Callable[[Weights, Array, Any], Array]
    jacobian: Callable[[Weights, Array, Any], Array]

    def trace(self, w: Weights, z: Array, t: Any = 0.0) -> Any:
        """Sum of the diagonal of the dense Jacobian."""
        return np.sum(np.diag(self.jacobian(w, z, t)))


def _input(z: Array, t: Any, time: bool) -> Array:
    """z, or (z, t)."""
    return np.concatenate([z, np.array([t])]) if time else np.asarray(z)


def _shift(w: Weights, t: Any, time: bool) -> Array:
    """b, or b + t tau."""
    return w["b0"] + t * w["tau"] if time else w["b0"]


def affine(time: bool = False) -> Field:
    """f = A s + c with s = z or (z, t); A (d, d or d+1), c (d,)."""

    def value(w: Weights, z: Array, t: Any = 0.0) -> Array:
        return w["A"] @ _input(z, t, time) + w["c"]

    def jacobian(w: Weights, z: Array, t: Any = 0.0) -> Array:
        return w["A"][:, : len(z)]

    return Field(value, jacobian)


def shallow(time: bool = False) -> Field:
    """Eq. (2): f = W1 tanh(W0 s + b0) + b1; W0 (k, d or d+1), b0 (k,), W1 (d, k), b1 (d,)."""

    def value(w: Weights, z: Array, t: Any = 0.0) -> Array:
        return w["W1"] @ np.tanh(w["W0"] @ _input(z, t, time) + w["b0"]) + w["b1"]

    def jacobian(w: Weights, z: Array, t: Any = 0.0) -> Array:
        a = np.tanh(w["W0"] @ _input(z, t, time) + w["b0"])
        return w["W1"] @ np.diag(1.0 - a**2) @ w["W0"][:, : len(z)]

    return Field(value, jacobian)


def mlp(activation: str = "tanh", time: bool = False) -> Field:
    """Eq. (1): layers W0, b0, ..., WL, bL; the activation on all of them but the last."""
    sigma, slope = ACTIVATIONS[activation]

    def value(w: Weights, z: Array, t: Any = 0.0) -> Array:
        last = len(w) // 2 - 1
        x = _input(z, t, time)
        for layer in range(last):
            x = sigma(w[f"W{layer}"] @ x + w[f"b{layer}"])
        return w[f"W{last}"] @ x + w[f"b{last}"]

    def jacobian(w: Weights, z: Array, t: Any = 0.0) -> Array:
        last = len(w) // 2 - 1
        x = _input(z, t, time)
        J = np.eye(len(x))[:, : len(z)]
        for layer in range(last):
            u = w[f"W{layer}"] @ x + w[f"b{layer}"]
            J = np.diag(slope(u)) @ w[f"W{layer}"] @ J
            x = sigma(u)
        return w[f"W{last}"] @ J

    return Field(value, jacobian)


def antisymmetric(gamma: float = 0.0, activation: str = "tanh", time: bool = False) -> Field:
    """[HR17] f = sigma((K - K^T - gamma I) z + b); K (d, d), b (d,), tau (d,) with time."""
    sigma, slope = ACTIVATIONS[activation]

    def value(w: Weights, z: Array, t: Any = 0.0) -> Array:
        B = w["K"] - w["K"].T - gamma * np.eye(len(z))
        return sigma(B @ z + _shift(w, t, time))

    def jacobian(w: Weights, z: Array, t: Any = 0.0) -> Array:
        B = w["K"] - w["K"].T - gamma * np.eye(len(z))
        return np.diag(slope(B @ z + _shift(w, t, time))) @ B

    return Field(value, jacobian)


def parabolic(activation: str = "tanh", time: bool = False) -> Field:
    """[HR17] f = -K^T sigma(K s + b), K^T without the time's row; K (k, d or d+1), b (k,)."""
    sigma, slope = ACTIVATIONS[activation]

    def value(w: Weights, z: Array, t: Any = 0.0) -> Array:
        return -w["K"][:, : len(z)].T @ sigma(w["K"] @ _input(z, t, time) + w["b0"])

    def jacobian(w: Weights, z: Array, t: Any = 0.0) -> Array:
        K = w["K"][:, : len(z)]
        return -K.T @ np.diag(slope(w["K"] @ _input(z, t, time) + w["b0"])) @ K

    return Field(value, jacobian)


def hamiltonian(activation: str = "tanh", time: bool = False) -> Field:
    """[HR17] state (Y, Z): Y' = sigma(K Z + b), Z' = -sigma(K^T Y + b); K (n, n), b (n,)."""
    sigma, slope = ACTIVATIONS[activation]

    def value(w: Weights, z: Array, t: Any = 0.0) -> Array:
        Y, Z = np.split(z, 2)
        b = _shift(w, t, time)
        return np.concatenate([sigma(w["K"] @ Z + b), -sigma(w["K"].T @ Y + b)])

    def jacobian(w: Weights, z: Array, t: Any = 0.0) -> Array:
        Y, Z = np.split(z, 2)
        b, K, O = _shift(w, t, time), w["K"], np.zeros_like(w["K"])  # noqa: E741
        upper = np.diag(slope(K @ Z + b)) @ K
        lower = -np.diag(slope(K.T @ Y + b)) @ K.T
        return np.block([[O, upper], [lower, O]])

    return Field(value, jacobian)


def second_order(activation: str = "tanh", time: bool = False) -> Field:
    """[HR17] state (Y, V): Y' = V, V' = -K^T sigma(K Y + b); K (k, n), b (k,)."""
    sigma, slope = ACTIVATIONS[activation]

    def value(w: Weights, z: Array, t: Any = 0.0) -> Array:
        Y, V = np.split(z, 2)
        return np.concatenate([V, -w["K"].T @ sigma(w["K"] @ Y + _shift(w, t, time))])

    def jacobian(w: Weights, z: Array, t: Any = 0.0) -> Array:
        Y, _ = np.split(z, 2)
        n, K = len(Y), w["K"]
        lower = -K.T @ np.diag(slope(K @ Y + _shift(w, t, time))) @ K
        return np.block([[np.zeros((n, n)), np.eye(n)], [lower, np.zeros((n, n))]])

    return Field(value, jacobian)


# --- theta(t) ---------------------------------------------------------------------------


def _weights(theta: Theta, t: Any, step: int) -> Weights:
    """The weights at a stage; ``theta`` takes t, or t and the index of the step."""
    if len(inspect.signature(theta).parameters) == 2:
        return theta(t, step)
    return theta(t)


def unpack(flat: Array, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Cut a flat vector into named arrays, name after name, each in C order."""
    named, start = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        named[name] = flat[start : start + size].reshape(shape)
        start += size
    if start != len(flat):
        raise ValueError(f"flat: {len(flat)} numbers for {start}")
    return named


def in_time(coefficients: Weights, p: Callable[[Any], Array]) -> Theta:
    """theta(t) = sum_j p_j(t) theta_j; the coefficient index comes first in every array."""
    return lambda t: {name: np.tensordot(p(t), c, axes=1) for name, c in coefficients.items()}


def in_cells(coefficients: Weights, cell: Sequence[int]) -> Theta:
    """Piecewise constant theta: step n reads coefficient ``cell[n]`` in all its stages."""
    return lambda t, step: {name: c[cell[step]] for name, c in coefficients.items()}


# --- schemes ----------------------------------------------------------------------------


def grid(t0: Any, T: Any, n_steps: int) -> Array:
    """t_n = t0 + n (T - t0) / n_steps."""
    return t0 + np.arange(n_steps + 1) * (T - t0) / n_steps


def rk_step(rhs: Any, w: Sequence[Weights], y: Array, t: Any, h: Any, tableau: Any) -> Array:
    """One explicit Runge-Kutta step; rhs(w, y, t), w[i] the weights of stage i."""
    A, b, c = (np.asarray(part, dtype=float) for part in tableau)
    k: list[Array] = []
    for i in range(len(b)):
        stage = y + h * sum((A[i, j] * k[j] for j in range(i)), np.zeros_like(y))
        k.append(rhs(w[i], stage, t + c[i] * h))
    return y + h * sum(b[i] * k[i] for i in range(len(b)))


def trajectory(rhs: Any, theta: Theta, x: Array, times: Array, tableau: Any) -> Array:
    """Runge-Kutta states at all ``times``, shape (len(times), len(x)); tableau = (A, b, c)."""
    c = np.asarray(tableau[2], dtype=float)
    y = np.asarray(x)
    states = [y]
    for n in range(len(times) - 1):
        t, h = times[n], times[n + 1] - times[n]
        w = [_weights(theta, t + ci * h, n) for ci in c]
        y = rk_step(rhs, w, y, t, h, tableau)
        states.append(y)
    return np.array(states)


def augmented(field: Field, running: Any = None) -> Any:
    """Right-hand side of (z, l[, v]): l' = tr df/dz, v' = running(z, f, t)."""

    def rhs(w: Weights, y: Array, t: Any) -> Array:
        z = y[:-1] if running is None else y[:-2]
        f = field.value(w, z, t)
        rows = [field.trace(w, z, t)]
        if running is not None:
            rows.append(running(z, f, t))
        return np.concatenate([f, rows])

    return rhs


def log_det(field: Field, theta: Theta, x: Array, times: Array, tableau: Any) -> tuple[Array, Any]:
    """z(T) and l = + int tr df/dz dt, by the same stages."""
    y = trajectory(augmented(field), theta, np.append(x, 0.0), times, tableau)[-1]
    return y[:-1], y[-1]


def splitting(field: Field, theta: Theta, x: Array, times: Array, substeps: Any) -> Array:
    """Trajectory of y <- y + h b f(y; t + c h) in one half of y, for each (half, b, c) in turn."""
    y = np.asarray(x)
    states = [y]
    for n in range(len(times) - 1):
        t, h = times[n], times[n + 1] - times[n]
        for half, b, c in substeps:
            f = field.value(_weights(theta, t + c * h, n), y, t + c * h)
            y = y + h * b * np.where(np.repeat([half == 0, half == 1], len(y) // 2), f, 0.0)
        states.append(y)
    return np.array(states)


def verlet_step(
    w: Weights, Y: Array, Z: Array, h: Any, activation: str = "tanh", t: Any = None
) -> tuple[Array, Array]:
    """[HR17] Z+ = Z - h sigma(K^T Y + b), Y+ = Y + h sigma(K Z+ + b); t: the step's own time."""
    sigma, _ = ACTIVATIONS[activation]
    b = _shift(w, t, t is not None)
    Z = Z - h * sigma(w["K"].T @ Y + b)
    return Y + h * sigma(w["K"] @ Z + b), Z


def leapfrog_step(
    w: Weights, Y: Array, Y_old: Array, h: Any, activation: str = "tanh", t: Any = None
) -> tuple[Array, Array]:
    """[HR17] Y+ = 2 Y - Y_old - h^2 K^T sigma(K Y + b); returns (Y+, Y), the next arguments."""
    sigma, _ = ACTIVATIONS[activation]
    force = w["K"].T @ sigma(w["K"] @ Y + _shift(w, t, t is not None))
    return 2.0 * Y - Y_old - h**2 * force, Y


# --- supervised learning, (5)-(8) -------------------------------------------------------


def pad(x: Array, augment: int) -> Array:
    """x with ``augment`` zeros behind."""
    return np.concatenate([x, np.zeros(augment)])


def readout(z: Array, W: Array | None = None, b: Array | None = None) -> Array:
    """Eq. (6): W z + b, or z itself."""
    return z if W is None else W @ z + b


def _logsumexp(v: Array) -> Any:
    top = np.max(v.real)
    return top + np.log(np.sum(np.exp(v - top)))


def sample_loss(loss: str, v: Array, y: Any) -> Any:
    """l(v, y) of one sample: v (m,); y (m,), a label in {0, 1}, or a label in 0..m-1."""
    if loss == "regression":
        return np.sum((v - y) ** 2) / 2.0
    if loss == "logistic":  # -log p(y), p(1) = sigmoid(v)
        return _softplus(v[0]) - float(np.ravel(y)[0]) * v[0]
    if loss == "softmax":  # -log p(y), p = softmax(v)
        return _logsumexp(v) - v[int(y)]
    raise ValueError(f"loss: {loss!r}")


def mean_loss(loss: str, V: Array, Y: Any) -> Any:
    """Mean over the samples (rows) of `sample_loss`."""
    return sum(sample_loss(loss, v, y) for v, y in zip(V, Y, strict=True)) / len(V)


def probabilities(loss: str, v: Array) -> Array:
    """(p(0), p(1)) of the logistic model, (p(0), ..., p(m-1)) of the softmax model."""
    if loss == "logistic":
        return np.array([_sigmoid(-v[0]), _sigmoid(v[0])])
    return np.exp(v - _logsumexp(v))


def tikhonov(theta: Array) -> Any:
    """1/2 |theta|^2 over all parameters."""
    return np.sum(np.asarray(theta) ** 2) / 2.0


def smoothness(coefficients: Weights, stiffness: Array) -> Any:
    """1/2 int |theta'|^2 dt = 1/2 sum_ij S_ij theta_i . theta_j, S_ij = int p_i' p_j' dt."""
    total = 0.0
    for c in coefficients.values():
        rows = c.reshape(len(c), -1)
        total = total + np.sum(stiffness * (rows @ rows.T)) / 2.0
    return total


def predict(
    field: Field,
    theta: Theta,
    X: Array,
    times: Array,
    tableau: Any,
    W: Array | None = None,
    b: Array | None = None,
    augment: int = 0,
) -> Array:
    """Eqs. (6), (7): F(x) for every row of X, shape (N, m)."""
    ends = [trajectory(field.value, theta, pad(x, augment), times, tableau)[-1] for x in X]
    return np.array([readout(z, W, b) for z in ends])


# --- derivatives by the complex step ----------------------------------------------------

STEP = 1e-200  # its square underflows: no truncation, no cancellation


def complex_directional(fun: Callable[[Array], Any], theta: Array, v: Array) -> Any:
    """d/de fun(theta + e v) at 0; ``fun`` may return an array."""
    return np.imag(fun(np.asarray(theta) + 1j * STEP * np.asarray(v))) / STEP


def complex_gradient(fun: Callable[[Array], Any], theta: Array) -> Array:
    """All first derivatives, one parameter at a time: value's shape + theta's shape."""
    theta = np.asarray(theta, dtype=float)
    columns = []
    for i in range(theta.size):
        e = np.zeros(theta.size)
        e[i] = 1.0
        columns.append(complex_directional(fun, theta, e.reshape(theta.shape)))
    columns_last = np.moveaxis(np.array(columns), 0, -1)
    return columns_last.reshape(*columns_last.shape[:-1], *theta.shape)
