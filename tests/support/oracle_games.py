"""The potential network and the games again, in plain NumPy, for complex numbers.

Nothing of refode is imported. Gradient and Hessian of the network come from second-order
jets: every intermediate quantity carries its value, its gradient and its Hessian by
s = (x, t), and sums, products and log(2 cosh) of such triples are all there is. The Laplacian
is the sum of the dense Hessian's diagonal. So neither the closed form of the gradient nor that
of the Laplacian stands on both sides of a comparison.

Everything is holomorphic in theta, samples and times, but for |r|, which is continued as
sign(Re r) r, and for max and sign that read real parts alone. A complex step in theta or x
therefore differentiates the whole objective to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
Weights = Mapping[str, Array]
TINY = 1e-40

RK4 = (
    np.array([[0, 0, 0, 0], [0.5, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 1.0, 0]]),
    np.array([1.0, 2.0, 2.0, 1.0]) / 6.0,
    np.array([0.0, 0.5, 0.5, 1.0]),
)


# --- second-order jets --------------------------------------------------------------------


class Jet(NamedTuple):
    """Features by s = (x, t): value (N, k), gradient (N, k, D), hessian (N, k, D, D)."""

    value: Array
    gradient: Array
    hessian: Array


def coordinates(s: Array) -> Jet:
    """s itself (N, D)."""
    N, D = s.shape
    return Jet(s, np.broadcast_to(np.eye(D), (N, D, D)), np.zeros((N, D, D, D)))


def linear(K: Array, u: Jet, b: Any = 0.0) -> Jet:
    """K u + b."""
    return Jet(
        np.einsum("ij,nj->ni", K, u.value) + b,
        np.einsum("ij,njd->nid", K, u.gradient),
        np.einsum("ij,njde->nide", K, u.hessian),
    )


def plus(u: Jet, v: Jet, h: Any = 1.0) -> Jet:
    """u + h v."""
    return Jet(*(a + h * b for a, b in zip(u, v, strict=True)))


def times(u: Jet, v: Jet) -> Jet:
    """Product entry by entry: (uv)'' = u'' v + u' v'^T + v' u'^T + u v''."""
    mixed = np.einsum("nid,nie->nide", u.gradient, v.gradient)
    return Jet(
        u.value * v.value,
        u.gradient * v.value[..., None] + u.value[..., None] * v.gradient,
        u.hessian * v.value[..., None, None]
        + mixed
        + mixed.swapaxes(2, 3)
        + u.value[..., None, None] * v.hessian,
    )


def activation(u: Jet) -> Jet:
    """log(2 cosh u), with slopes tanh and 1 - tanh^2."""
    a = np.tanh(u.value)
    square = np.einsum("nid,nie->nide", u.gradient, u.gradient)
    return Jet(
        log_2_cosh(u.value),
        a[..., None] * u.gradient,
        (1.0 - a**2)[..., None, None] * square + a[..., None, None] * u.hessian,
    )


def log_2_cosh(v: Array) -> Array:
    """log(e^v + e^-v), the larger exponent taken out."""
    v = np.where(np.real(v) < 0.0, -v, v)
    return v + np.log1p(np.exp(-2.0 * v))


# --- the potential network ----------------------------------------------------------------


class Shape(NamedTuple):
    """Sizes of a potential; ``rank`` None is min(10, dim + 1)."""

    dim: int
    width: int
    depth: int = 2
    rank: int | None = None
    quadratic: str = "lowrank"  # or "symmetric"


def shapes(p: Shape) -> dict[str, tuple[int, ...]]:
    """Names and shapes in the order of theta."""
    D, m = p.dim + 1, p.width
    found: dict[str, tuple[int, ...]] = {"K0": (m, D), "b0": (m,)}
    for i in range(1, p.depth):
        found |= {f"K{i}": (m, m), f"b{i}": (m,)}
    rows = D if p.quadratic == "symmetric" else min(10, D) if p.rank is None else p.rank
    return found | {"w": (m,), "A": (rows, D), "b": (D,), "c": ()}


def n_parameters(p: Shape) -> int:
    """Length of theta."""
    return sum(int(np.prod(shape)) for shape in shapes(p).values())


def unpack(theta: Array, p: Shape) -> dict[str, Array]:
    """Cut theta into the named weights."""
    named, start = {}, 0
    for name, shape in shapes(p).items():
        size = int(np.prod(shape))
        named[name] = theta[start : start + size].reshape(shape)
        start += size
    if start != len(theta):
        raise ValueError(f"theta: {len(theta)} numbers for {start}")
    return named


def phi_jet(w: Weights, s: Array, quadratic: str = "lowrank") -> tuple[Array, Array, Array]:
    """Phi (N,), its gradient (N, D) and Hessian (N, D, D) by s = (x, t), s (N, D)."""
    s_jet = coordinates(s)
    u = activation(linear(w["K0"], s_jet, w["b0"]))
    M = sum(name.startswith("K") for name in w) - 1
    for i in range(1, M + 1):
        u = plus(u, activation(linear(w[f"K{i}"], u, w[f"b{i}"])), 1.0 / M)
    A = w["A"]
    if quadratic == "lowrank":  # half the sum of the squares of A s
        squares = times(linear(A, s_jet), linear(A, s_jet))
    else:  # 1/2 s^T (A + A^T)/2 s = 1/2 s^T A s
        squares = times(s_jet, linear(A, s_jet))
    half = np.full((1, squares.value.shape[1]), 0.5)
    phi = plus(linear(w["w"][None], u), linear(half, squares))
    phi = plus(phi, linear(w["b"][None], s_jet, w["c"]))
    return phi.value[:, 0], phi.gradient[:, 0], phi.hessian[:, 0]


class Value(NamedTuple):
    """Phi (N,), grad_x Phi (N, d), dPhi/dt (N,), Lap_x Phi (N,)."""

    phi: Array
    gradient: Array
    time: Array
    laplacian: Array


def potential(theta: Array, p: Shape, t: Any, x: Array) -> Value:
    """Phi and its derivatives at x (N, d) and one time t."""
    s = np.concatenate([x, np.full((len(x), 1), t)], axis=1)
    phi, gradient, hessian = phi_jet(unpack(theta, p), s, p.quadratic)
    laplacian = sum((hessian[:, j, j] for j in range(p.dim)), np.zeros(len(x)))
    return Value(phi, gradient[:, : p.dim], gradient[:, p.dim], laplacian)


# --- densities and energies ---------------------------------------------------------------


class Mixture(NamedTuple):
    """weights (k,), means (k, d), covariances (k, d, d); a Gaussian has k = 1."""

    weights: Array
    means: Array
    covariances: Array

    def log_density(self, x: Array) -> Array:
        """log rho (N,) at x (N, d), real or complex."""
        logs = []
        for w, m, S in zip(self.weights, self.means, self.covariances, strict=True):
            logs.append(np.log(w) + _log_normal(x, np.asarray(m), np.asarray(S)))
        stacked = np.array(logs)
        top = stacked.real.max(axis=0)
        return top + np.log(np.exp(stacked - top).sum(axis=0))


def gaussian(mean: Any, covariance: Any) -> Mixture:
    """One component; a scalar covariance is a multiple of the identity."""
    m = np.atleast_1d(np.asarray(mean, dtype=float))
    S = np.asarray(covariance, dtype=float)
    return Mixture(np.ones(1), m[None], (S * np.eye(len(m)) if S.ndim == 0 else S)[None])


def _log_normal(x: Array, m: Array, S: Array) -> Array:
    y = x - m
    square = np.einsum("ni,ij,nj->n", y, np.linalg.inv(S), y)
    return -0.5 * square - 0.5 * np.log(np.linalg.det(2.0 * np.pi * S))


class Bump(NamedTuple):
    """height * N(x_1..k; mean, covariance) on the k leading coordinates."""

    height: float
    mean: Array
    covariance: Array

    def __call__(self, x: Array) -> Array:
        m = np.asarray(self.mean)
        return self.height * np.exp(_log_normal(x[:, : len(m)], m, np.asarray(self.covariance)))


class Quadratic(NamedTuple):
    """stiffness/2 |x_1..k - centre|^2 on the k leading coordinates."""

    stiffness: float
    centre: Array

    def __call__(self, x: Array) -> Array:
        q = np.asarray(self.centre)
        return 0.5 * self.stiffness * ((x[:, : len(q)] - q) ** 2).sum(axis=1)


# --- games, (17)-(25) ---------------------------------------------------------------------


class OracleGame(NamedTuple):
    """Costs of a game: alpha/2 |v|^2 + Q + entropy rho log rho, and a terminal cost."""

    initial: Mixture
    target: Mixture | None  # None: samples y alone
    alpha: float = 1.0
    terminal: float = 1.0
    kind: str = "kl"  # or "cross_entropy", "energy"
    energy: tuple[Callable[[Array], Array], ...] = ()
    entropy: float = 0.0
    goal: tuple[Callable[[Array], Array], ...] = ()  # of the kind "energy": E g(z(T))

    def g(self, x: Array) -> Array:
        """The sum of the energies at the end, (N,)."""
        return sum((part(x) for part in self.goal), np.zeros(len(x)))

    def Q(self, x: Array) -> Array:
        """The sum of the energies, (N,)."""
        return sum((part(x) for part in self.energy), np.zeros(len(x)))


class State(NamedTuple):
    """z (N, d), log rho (N,), and the quadratures L, F, R (N,)."""

    z: Array
    log_rho: Array
    L: Array
    F: Array
    R: Array


def absolute(r: Array) -> Array:
    """|r|, continued to complex r near the real axis; 0 at 0."""
    return np.sign(np.real(r)) * r


def _measured(r: Array, norm: str) -> Array:
    return {"absolute": absolute, "squared": np.square}[norm](r)


def velocity(game: OracleGame, value: Value) -> Array:
    """(22): -grad Phi/alpha, or -grad Phi where there is no running cost."""
    return -value.gradient / (game.alpha or 1.0)


def residual(game: OracleGame, value: Value, z: Array, log_rho: Array) -> Array:
    """(24): -dPhi/dt + |grad Phi|^2/(2 alpha) - Q - entropy (log rho + 1)."""
    hamiltonian = (value.gradient**2).sum(axis=1) / (2.0 * game.alpha) - game.Q(z)
    return -value.time + hamiltonian - game.entropy * (log_rho + 1.0)


def slopes(theta: Array, p: Shape, game: OracleGame, norm: str, t: Any, y: State) -> State:
    """Time derivative of the state."""
    value = potential(theta, p, t, y.z)
    v = velocity(game, value)
    zero = np.zeros(len(y.z))
    return State(
        z=v,
        log_rho=value.laplacian / (game.alpha or 1.0),  # -div v
        L=0.5 * game.alpha * (v**2).sum(axis=1),
        F=game.Q(y.z) + game.entropy * y.log_rho,
        R=_measured(residual(game, value, y.z, y.log_rho), norm) if game.alpha else zero,
    )


def _moved(y: State, h: Any, weights: Any, k: list[State]) -> State:
    for weight, slope in zip(weights, k, strict=False):
        y = State(*(a + h * weight * b for a, b in zip(y, slope, strict=True)))
    return y


def trajectory(
    theta: Array,
    p: Shape,
    game: OracleGame,
    start: State,
    t_span: tuple[Any, Any],
    n_steps: int,
    tableau: Any = RK4,
    norm: str = "absolute",
) -> list[State]:
    """The states at the n_steps + 1 equidistant times of t_span, forward or backward."""
    A, b, c = tableau
    t0, T = t_span
    h, states = (T - t0) / n_steps, [start]
    for n in range(n_steps):
        t, y, k = t0 + n * h, states[-1], []
        for i in range(len(b)):
            k.append(slopes(theta, p, game, norm, t + c[i] * h, _moved(y, h, A[i][:i], k)))
        states.append(_moved(y, h, b, k))
    return states


def begin(x: Array, log_rho: Array | None = None) -> State:
    """The state at the start of a path, quadratures 0."""
    zero = np.zeros(len(x))
    return State(x, zero if log_rho is None else log_rho, zero, zero, zero)


def inverse(
    theta: Array,
    p: Shape,
    game: OracleGame,
    y: Array,
    t_span: tuple[Any, Any],
    n_steps: int,
    tableau: Any = RK4,
) -> tuple[Array, Array]:
    """Where paths that end at y began, and log rho(T, y) = log rho_0 there less what it gained."""
    back = trajectory(theta, p, game, begin(y), (t_span[1], t_span[0]), n_steps, tableau)[-1]
    return back.z, game.initial.log_density(back.z) - back.log_rho


def costs(
    theta: Array,
    p: Shape,
    game: OracleGame,
    x: Array,
    y: Array | None = None,
    *,
    hjb: float = 0.0,
    hjb_terminal: float = 0.0,
    norm: str = "absolute",
    n_steps: int = 2,
    t_span: tuple[Any, Any] = (0.0, 1.0),
    tableau: Any = RK4,
) -> dict[str, Any]:
    """The weighted terms of (25) at samples x, for the cross-entropy also y, and their total."""
    start = begin(x, game.initial.log_density(x))
    end = trajectory(theta, p, game, start, t_span, n_steps, tableau, norm)[-1]
    if game.kind == "kl":
        gap = end.log_rho - game.target.log_density(end.z)
        G = game.terminal * np.mean(gap)
    elif game.kind == "energy":
        G = game.terminal * np.mean(game.g(end.z))
    else:
        G = -game.terminal * np.mean(inverse(theta, p, game, y, t_span, n_steps, tableau)[1])
    terms = {"L": np.mean(end.L), "F": np.mean(end.F), "G": G, "hjb": hjb * np.mean(end.R)}
    terms["hjb_terminal"] = 0.0
    if hjb_terminal:
        r = potential(theta, p, t_span[1], end.z).phi - terminal_derivative(game, end)
        terms["hjb_terminal"] = hjb_terminal * np.mean(_measured(r, norm))
    return {**terms, "total": sum(terms.values())}


def terminal_derivative(game: OracleGame, end: State) -> Array:
    """G' of (20) at the paths' ends: terminal (1 + log rho - log rho_Y), -rho_Y/rho, or g."""
    if game.kind == "energy":
        return game.terminal * game.g(end.z)
    gap = end.log_rho - game.target.log_density(end.z)
    return game.terminal * (1.0 + gap if game.kind == "kl" else -np.exp(-gap))


def single_agent_cost(
    theta: Array,
    p: Shape,
    game: OracleGame,
    x: Array,
    log_rho: Array,
    t_span: tuple[Any, Any],
    n_steps: int,
    tableau: Any = RK4,
) -> Array:
    """J_t of (20): int L + F' ds + G' from x at t_span[0], where the log-density is log_rho."""
    end = trajectory(theta, p, game, begin(x, log_rho), t_span, n_steps, tableau)[-1]
    running = end.L + end.F + game.entropy * (t_span[1] - t_span[0])
    return running + terminal_derivative(game, end)


def gradient_by_complex_step(
    theta: Array,
    p: Shape,
    game: OracleGame,
    x: Array,
    y: Array | None = None,
    term: str = "total",
    **how: Any,
) -> Array:
    """Gradient (p,) of one of the terms of `costs`, true to rounding."""
    return complex_gradient(lambda th: costs(th, p, game, x, y, **how)[term], theta)


def complex_gradient(fun: Callable[[Array], Any], at: Array) -> Array:
    """Derivatives of a function of an array, value by value, in the shape (..., *at.shape)."""
    columns = []
    for i in range(at.size):
        moved = at.astype(complex)
        moved.flat[i] += 1j * TINY
        columns.append(np.imag(fun(moved)) / TINY)
    stacked = np.array(columns)
    return np.moveaxis(stacked, 0, -1).reshape(stacked.shape[1:] + at.shape)
