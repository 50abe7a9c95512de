"""Functions with their right gradients, in plain NumPy, each drawn from a seed.

`SMOOTH` are what a check must never complain about; `BENT` have bends away from x0. Where a
name ends in "_real" the function refuses complex input, so that differences must do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class FunctionCase(NamedTuple):
    """A function, its gradient, a point, and perhaps blocks and a Hessian-vector product."""

    fun: Callable[[Any], Any]
    gradient: Callable[[Any], Any]
    x0: np.ndarray
    blocks: dict[str, Any] | None = None
    hessian_vector: Callable[[Any, Any], Any] | None = None


def real_only(case: FunctionCase) -> FunctionCase:
    """Return the case with a function that raises TypeError for complex input."""
    return case._replace(fun=lambda x: float(case.fun(x)))


def rosenbrock(seed: int) -> FunctionCase:
    def fun(x):
        return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    def gradient(x):
        g = np.zeros_like(x)
        inner = x[1:] - x[:-1] ** 2
        g[1:] += 200 * inner
        g[:-1] += -400 * x[:-1] * inner - 2 * (1 - x[:-1])
        return g

    def hessian_vector(x, v):
        hv = np.zeros_like(v)
        inner, inner_dot = x[1:] - x[:-1] ** 2, v[1:] - 2 * x[:-1] * v[:-1]
        hv[1:] += 200 * inner_dot
        hv[:-1] += -400 * (v[:-1] * inner + x[:-1] * inner_dot) + 2 * v[:-1]
        return hv

    rng = np.random.default_rng(seed)
    x0 = rng.standard_normal(int(rng.integers(2, 12)))
    return FunctionCase(fun, gradient, x0, {"first": [0], "rest": slice(1, None)}, hessian_vector)


def logistic_regression(seed: int) -> FunctionCase:
    rng = np.random.default_rng(seed)
    a, y = rng.standard_normal((40, 6)), rng.choice([-1.0, 1.0], 40)

    def fun(w):
        return np.mean(np.log(1 + np.exp(-y * (a @ w)))) + 0.01 * np.sum(w * w)

    def gradient(w):
        return -(a.T @ (y / (1 + np.exp(y * (a @ w))))) / 40 + 0.02 * w

    return FunctionCase(fun, gradient, rng.standard_normal(6))


def log_sum_exp(seed: int) -> FunctionCase:
    def fun(x):
        top = x.max()
        return top + np.log(np.sum(np.exp(x - top)))

    def gradient(x):
        e = np.exp(x - x.max())
        return e / e.sum()

    rng = np.random.default_rng(seed)
    return FunctionCase(fun, gradient, 3 * rng.standard_normal(int(rng.integers(2, 50))))


def tanh_net(seed: int) -> FunctionCase:
    """Least squares of w . tanh(W x + b) + c; W is square, so that its transpose fits too."""
    rng = np.random.default_rng(seed)
    d = int(rng.integers(2, 6))
    x, y = rng.standard_normal((15, d)), rng.standard_normal(15)
    cut = np.cumsum([d * d, d, d, 1])

    def parts(theta):
        w0, b, w, c = np.split(theta, cut[:-1])
        return w0.reshape(d, d), b, w, c

    def fun(theta):
        w0, b, w, c = parts(theta)
        r = np.tanh(x @ w0.T + b) @ w + c - y
        return 0.5 * np.mean(r * r)

    def gradient(theta):
        w0, b, w, c = parts(theta)
        a = np.tanh(x @ w0.T + b)
        r = (a @ w + c - y) / 15
        u = r[:, None] * w * (1 - a * a)
        return np.concatenate([(u.T @ x).ravel(), u.sum(0), a.T @ r, [r.sum()]])

    ends = {"W": slice(0, cut[0]), "b": slice(cut[0], cut[1])}
    ends |= {"w": slice(cut[1], cut[2]), "c": slice(cut[2], cut[3])}
    return FunctionCase(fun, gradient, rng.standard_normal(cut[-1]), ends)


def badly_scaled(seed: int) -> FunctionCase:
    """Entries of x from 1e-5 to 1e5, each with as much influence as the others."""
    rng = np.random.default_rng(seed)
    s = 10.0 ** rng.uniform(-5, 5, 5)
    return FunctionCase(
        lambda x: np.sum(np.cos(s * x) + (s * x) ** 2),
        lambda x: s * (2 * s * x - np.sin(s * x)),
        rng.standard_normal(5) / s,
        {f"x{i}": [i] for i in range(5)},
    )


def linear(seed: int) -> FunctionCase:
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(7)
    return FunctionCase(lambda x: a @ x + 2, lambda x: a.copy(), rng.standard_normal(7))


def quadratic(seed: int) -> FunctionCase:
    rng = np.random.default_rng(seed)
    b = rng.standard_normal((6, 6))
    a = b + b.T
    return FunctionCase(
        lambda x: 0.5 * x @ a @ x,
        lambda x: a @ x,
        rng.standard_normal(6),
        hessian_vector=lambda x, v: a @ v,
    )


def periodic(seed: int) -> FunctionCase:
    """A period of 1, 1/2, ...: halvings of 1 would all land on the same value."""
    rng = np.random.default_rng(seed)
    k = 2 * np.pi * int(rng.integers(1, 5))
    return FunctionCase(
        lambda x: np.sum(np.cos(k * x)), lambda x: -k * np.sin(k * x), rng.standard_normal(1)
    )


def rational(seed: int) -> FunctionCase:
    def gradient(x):
        g = -2 * x / (1 + x @ x) ** 2
        g[0] -= np.exp(-x[0])
        return g

    x0 = np.random.default_rng(seed).standard_normal(5)
    return FunctionCase(lambda x: 1 / (1 + x @ x) + np.exp(-x[0]), gradient, x0)


def conjugating(seed: int) -> FunctionCase:
    """Takes complex input, but is not analytic: its complex step is wrong."""
    x0 = np.random.default_rng(seed).standard_normal(5)
    return FunctionCase(
        lambda x: np.vdot(x, x) + np.sum(np.sin(x)), lambda x: 2 * x + np.cos(x), x0
    )


def norm_power(seed: int) -> FunctionCase:
    x0 = np.random.default_rng(seed).standard_normal(5)
    return FunctionCase(
        lambda x: np.linalg.norm(x) ** 1.5, lambda x: 1.5 * np.linalg.norm(x) ** -0.5 * x, x0
    )


def product(seed: int) -> FunctionCase:
    rng = np.random.default_rng(seed)
    x0 = rng.uniform(0.5, 2, 6) * rng.choice([-1, 1], 6)
    return FunctionCase(np.prod, lambda x: np.prod(x) / x, x0)


def large_argument(seed: int) -> FunctionCase:
    x0 = 1e12 * np.random.default_rng(seed).standard_normal(4)
    return FunctionCase(
        lambda x: np.sum(np.sin(x / 1e12) * x),
        lambda x: np.sin(x / 1e12) + np.cos(x / 1e12) * x / 1e12,
        x0,
    )


def long_scale(seed: int) -> FunctionCase:
    """Bends over distances a million times those of x alone."""
    x0 = np.random.default_rng(seed).standard_normal(3)
    return FunctionCase(
        lambda x: np.sum(np.sin(1 + x / 1e6)), lambda x: np.cos(1 + x / 1e6) / 1e6, x0
    )


def small_argument(seed: int) -> FunctionCase:
    """Overflows at all but tiny steps."""
    x0 = 1e-7 * np.random.default_rng(seed).standard_normal(4)
    return FunctionCase(lambda x: np.sum(np.exp(1e7 * x)), lambda x: 1e7 * np.exp(1e7 * x), x0)


def fast(seed: int) -> FunctionCase:
    """A condition number of a million."""
    x0 = np.random.default_rng(seed).standard_normal(3)
    return FunctionCase(lambda x: np.sum(np.sin(1e6 * x)), lambda x: 1e6 * np.cos(1e6 * x), x0)


def offset(seed: int) -> FunctionCase:
    x0 = np.random.default_rng(seed).standard_normal(4)
    return FunctionCase(lambda x: 1e8 + np.sum(np.exp(x)), np.exp, x0)


def near_optimum(seed: int) -> FunctionCase:
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((30, 5)), rng.standard_normal(30)
    x0 = np.linalg.lstsq(a, b, rcond=None)[0] + 1e-6 * rng.standard_normal(5)
    return FunctionCase(lambda x: 0.5 * np.sum((a @ x - b) ** 2), lambda x: a.T @ (a @ x - b), x0)


def normal_equations(seed: int) -> FunctionCase:
    """The gradient by another way than the function goes, with more rounding in it."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((30, 5)), rng.standard_normal(30)
    x0 = np.linalg.lstsq(a, b, rcond=None)[0] + 1e-6 * rng.standard_normal(5)
    square, right = a.T @ a, a.T @ b
    return FunctionCase(lambda x: 0.5 * np.sum((a @ x - b) ** 2), lambda x: square @ x - right, x0)


def barrier(seed: int) -> FunctionCase:
    """Raises outside its domain."""
    x0 = np.random.default_rng(seed).uniform(0.001, 1, 5)
    return FunctionCase(
        lambda x: sum(x) - sum(math.log(float(a)) for a in x), lambda x: 1 - 1 / x, x0
    )


def odd_at_zero(seed: int) -> FunctionCase:
    """No curvature at x0."""
    del seed
    return FunctionCase(lambda x: np.sum(np.tanh(x)), lambda x: np.cosh(x) ** -2, np.zeros(4))


def many_parameters(seed: int) -> FunctionCase:
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((50, 1000)) / 30

    def gradient(x):
        z = np.tanh(a @ x)
        return a.T @ (2 * z * (1 - z * z))

    return FunctionCase(lambda x: np.sum(np.tanh(a @ x) ** 2), gradient, rng.standard_normal(1000))


def relu(seed: int) -> FunctionCase:
    rng = np.random.default_rng(seed)
    w0, b, w = rng.standard_normal((20, 5)), rng.standard_normal(20), rng.standard_normal(20)
    return FunctionCase(
        lambda x: w @ np.maximum(w0 @ x + b, 0),
        lambda x: w0.T @ (w * (w0 @ x + b > 0)),
        rng.standard_normal(5),
    )


def absolute(seed: int) -> FunctionCase:
    x0 = np.random.default_rng(seed).standard_normal(5)
    return FunctionCase(lambda x: np.sum(np.abs(x)), np.sign, x0)


def absolute_and_sine(seed: int) -> FunctionCase:
    x0 = np.random.default_rng(seed).standard_normal(5)
    return FunctionCase(
        lambda x: np.sum(np.abs(x)) + np.sum(np.sin(x)), lambda x: np.sign(x) + np.cos(x), x0
    )


def single_precision(seed: int) -> FunctionCase:
    """Float32 inside, function and gradient."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((6, 4)).astype(np.float32)

    def fun(x):
        return np.sum(np.tanh(a @ np.asarray(x, np.float32)) ** 2)

    def gradient(x):
        z = np.tanh(a @ np.asarray(x, np.float32))
        return a.T @ (2 * z * (1 - z * z))

    return FunctionCase(fun, gradient, rng.standard_normal(4))


def _named(make: Callable[[int], FunctionCase]) -> Callable[[int], FunctionCase]:
    def made(seed: int) -> FunctionCase:
        return real_only(make(seed))

    made.__name__ = make.__name__ + "_real"
    return made


_ANALYTIC = [
    rosenbrock,
    logistic_regression,
    log_sum_exp,
    tanh_net,
    badly_scaled,
    linear,
    quadratic,
    periodic,
    rational,
    product,
    large_argument,
    long_scale,
    small_argument,
    near_optimum,
    normal_equations,
    odd_at_zero,
    many_parameters,
]
SMOOTH = [*_ANALYTIC, *map(_named, _ANALYTIC), conjugating, norm_power, barrier]
SMOOTH += [_named(fast), _named(offset)]
BENT = [relu, _named(relu), absolute, absolute_and_sine]
