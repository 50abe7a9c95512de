"""Potential mean field games in JAX, from their formulas: eqs. (17)-(25).

Written apart from refode. The potential's derivatives come in two ways: ``by_autodiff`` takes
the gradient by ``jax.grad`` and the Laplacian as the trace of ``jax.hessian``, with no closed
form of ours in it; ``closed_form`` is written for speed, as somebody who knows JAX would write
it, and is what refode is timed against. Everything around them is shared.

Samples stand in columns, (d, N): XLA's products and reductions over short dimensions then run
along samples, which was as fast as rows or faster in every form below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from validation.models import jax_models

import jax.numpy as jnp  # isort: skip  after jax_models' switch to float64
from jax import lax  # isort: skip

Weights = dict[str, Any]
#: (p, t, Z) -> Phi (N,), grad_x Phi (d, N), dPhi/dt (N,), Laplacian (N,)
Derivatives = Callable[[Weights, Any, Any], tuple[Any, Any, Any, Any]]


class Net(NamedTuple):
    """Sizes of a potential; ``depth`` layers."""

    dim: int
    width: int
    depth: int
    symmetric: bool

    @property
    def h(self) -> float:
        """Step of the residual layers."""
        return 1.0 / (self.depth - 1) if self.depth > 1 else 0.0


# --- by automatic differentiation --------------------------------------------------------


def potential(net: Net, p: Weights, s: Any) -> Any:
    """Phi at one point s = (x, t), a scalar."""

    def sigma(v: Any) -> Any:
        return jnp.logaddexp(v, -v)

    u = sigma(p["K0"] @ s + p["b0"])
    for i in range(1, net.depth):
        u = u + net.h * sigma(p[f"K{i}"] @ u + p[f"b{i}"])
    A = p["A"]
    quadratic = s @ (0.5 * (A + A.T)) @ s if net.symmetric else jnp.sum((A @ s) ** 2)
    return p["w"] @ u + 0.5 * quadratic + p["b"] @ s + p["c"]


def by_autodiff(net: Net) -> Derivatives:
    """Gradient by jax.grad, Laplacian as the trace of jax.hessian."""
    d = net.dim

    def at(p: Weights, t: Any, z: Any) -> tuple[Any, Any, Any, Any]:
        s = jnp.append(z, t)
        phi, g = jax.value_and_grad(potential, argnums=2)(net, p, s)
        H = jax.hessian(potential, argnums=2)(net, p, s)
        return phi, g[:d], g[d], jnp.trace(H[:d, :d])

    return jax.vmap(at, in_axes=(None, None, 1), out_axes=(0, 1, 0, 0))


# --- in closed form, for speed -----------------------------------------------------------


@jax.custom_jvp
def log_cosh(v: Any) -> Any:
    """log(2 cosh v); its derivative is the tanh that is there already."""
    return jnp.abs(v) + jnp.log1p(jnp.exp(-2.0 * jnp.abs(v)))


@jax.custom_jvp
def tanh(v: Any) -> Any:
    """(1 - e)/(1 + e) with the exponential of log_cosh, which costs less than jnp.tanh."""
    e = jnp.exp(-2.0 * jnp.abs(v))
    return jnp.sign(v) * (1.0 - e) / (1.0 + e)


@log_cosh.defjvp
def _log_cosh_jvp(primals: Any, tangents: Any) -> Any:
    return log_cosh(primals[0]), tanh(primals[0]) * tangents[0]


@tanh.defjvp
def _tanh_jvp(primals: Any, tangents: Any) -> Any:
    a = tanh(primals[0])
    return a, (1.0 - a * a) * tangents[0]


def _direct(net: Net, p: Weights, a: list[Any], c: list[Any]) -> Any:
    """h sum_i c_i . |K_i J_{i-1}|^2 row by row, layers one by one, as MATH.md has it."""
    C = p["K0"][:, : net.dim]
    J, total = a[0][:, None] * C[:, :, None], 0.0
    for i in range(1, net.depth):
        T = jnp.tensordot(p[f"K{i}"], J, 1)
        total = total + net.h * jnp.sum(c[i] * jnp.sum(T * T, axis=1), axis=0)
        J = J + net.h * a[i][:, None] * T
    return total


def _gram(net: Net, p: Weights, a: list[Any], c: list[Any]) -> Any:
    """The same with J_i = S_i C, |K S C|^2 = K S (C C^T) (K S)^T: its cost knows no d."""
    C = p["K0"][:, : net.dim]
    G, total = C @ C.T, 0.0
    S = a[0][:, None] * jnp.eye(net.width)[:, :, None]
    for i in range(1, net.depth):
        K = p[f"K{i}"]
        T = K[:, :, None] * a[0] if i == 1 else jnp.tensordot(K, S, 1)
        square = jnp.sum(T * jnp.einsum("kjn,jl->kln", T, G), axis=1)
        total = total + net.h * jnp.sum(c[i] * square, axis=0)
        S = S + net.h * a[i][:, None] * T
    return total


def _product(net: Net, p: Weights, a: list[Any], c: list[Any]) -> Any:
    """Two layers: K_1 diag(a_0) C is linear in a_0, one product for all samples.

    Where d > m, C gives way to the Cholesky factor of C C^T, which has m columns.
    """
    C, K = p["K0"][:, : net.dim], p["K1"]
    if net.dim > net.width:
        C = jnp.linalg.cholesky(C @ C.T)
    m, D = C.shape
    T = ((K[:, None, :] * C.T).reshape(m * D, m) @ a[0]).reshape(m, D, -1)
    return net.h * jnp.sum(c[1] * jnp.sum(T * T, axis=1), axis=0)


def _pairs(net: Net, p: Weights, a: list[Any], c: list[Any]) -> Any:
    """Two layers: the squares are quadratic forms in a_0, a product with a_j a_l, j <= l."""
    C, K = p["K0"][:, : net.dim], p["K1"]
    j, l = np.triu_indices(net.width)  # noqa: E741
    weight = (C @ C.T)[j, l] * np.where(j == l, 1.0, 2.0)
    return net.h * jnp.sum(c[1] * ((K[:, j] * K[:, l] * weight) @ (a[0][j] * a[0][l])), axis=0)


FORMS = {"direct": _direct, "Gram": _gram, "product": _product, "pairs": _pairs}


def closed_form(net: Net, form: str = "direct") -> Derivatives:
    """All four by hand; ``form`` of the Laplacian one of FORMS, the last two for two layers."""
    if form not in FORMS or (form in ("product", "pairs") and net.depth != 2):
        raise ValueError(f"form: got {form!r} for {net.depth} layers")
    d, h = net.dim, net.h

    def at(p: Weights, t: Any, Z: Any) -> tuple[Any, Any, Any, Any]:
        K0x, K0t = p["K0"][:, :d], p["K0"][:, d]
        v = K0x @ Z + (K0t * t + p["b0"])[:, None]
        u, a = log_cosh(v), [tanh(v)]
        for i in range(1, net.depth):
            v = p[f"K{i}"] @ u + p[f"b{i}"][:, None]
            u, a = u + h * log_cosh(v), [*a, tanh(v)]
        y = [jnp.broadcast_to(p["w"][:, None], u.shape)]  # y[0] = z_{i+1}, of the layer at hand
        for i in range(net.depth - 1, 0, -1):
            y.insert(0, y[0] + h * (p[f"K{i}"].T @ (a[i] * y[0])))
        q, c = a[0] * y[0], [(1.0 - a_i * a_i) * y_i for a_i, y_i in zip(a, y, strict=True)]
        bend, slope, slope_t, trace = _quadratic(net, p, t, Z)
        phi = p["w"] @ u + bend + p["b"][:d] @ Z + p["b"][d] * t + p["c"]
        g = K0x.T @ q + slope + p["b"][:d, None]
        laplacian = jnp.sum(K0x * K0x, axis=1) @ c[0] + trace
        if net.depth > 1:
            laplacian = laplacian + FORMS[form](net, p, a, c)
        return phi, g, K0t @ q + slope_t + p["b"][d], laplacian

    return at


def _quadratic(net: Net, p: Weights, t: Any, Z: Any) -> tuple[Any, Any, Any, Any]:
    """The quadratic part: value, gradient in x, derivative in t, trace in x."""
    d, A = net.dim, p["A"]
    if not net.symmetric:
        l = A[:, :d] @ Z + (A[:, d] * t)[:, None]  # noqa: E741
        return 0.5 * jnp.sum(l * l, axis=0), A[:, :d].T @ l, A[:, d] @ l, jnp.sum(A[:, :d] ** 2)
    S = 0.5 * (A + A.T)
    SZ, cross = S[:d, :d] @ Z, S[:d, d]
    value = 0.5 * jnp.sum(Z * SZ, axis=0) + t * (cross @ Z) + 0.5 * S[d, d] * t**2
    return value, SZ + (cross * t)[:, None], cross @ Z + S[d, d] * t, jnp.trace(A[:d, :d])


# --- densities and energies --------------------------------------------------------------


class Mixture(NamedTuple):
    """A mixture of Gaussians, one of them included."""

    weights: Any
    means: Any
    covariances: Any

    def log_density(self, Z: Any) -> Any:
        """log rho (N,) at the columns of Z."""
        terms = []
        for w, m, S in zip(self.weights, self.means, self.covariances, strict=True):
            L, d = np.linalg.cholesky(S), len(m)
            centred = Z - np.asarray(m)[:, None]
            isotropic = np.array_equal(L, L[0, 0] * np.eye(d))
            y = centred / L[0, 0] if isotropic else np.linalg.inv(L) @ centred
            constant = np.log(w) - np.sum(np.log(np.diag(L))) - 0.5 * d * np.log(2.0 * np.pi)
            terms.append(constant - 0.5 * jnp.sum(y * y, axis=0))
        return terms[0] if len(terms) == 1 else jax.nn.logsumexp(jnp.stack(terms), axis=0)


class Bump(NamedTuple):
    """height times a Gaussian density of the leading coordinates."""

    height: float
    mean: Any
    covariance: Any

    def __call__(self, Z: Any) -> Any:
        one = Mixture([1.0], [self.mean], [self.covariance])
        return self.height * jnp.exp(one.log_density(Z[: len(self.mean)]))


class Spring(NamedTuple):
    """k/2 |x - q|^2."""

    k: float
    q: Any

    def __call__(self, Z: Any) -> Any:
        return 0.5 * self.k * jnp.sum((Z - np.asarray(self.q)[:, None]) ** 2, axis=0)


# --- the game ----------------------------------------------------------------------------


class JaxGame(NamedTuple):
    """A game and how it is solved; ``wrong`` names a sign planted wrongly, for controls."""

    initial: Mixture
    target: Mixture | None
    alpha: float = 1.0
    terminal: float = 1.0
    energies: tuple[Any, ...] = ()
    entropy: float = 0.0
    cross: bool = False  # cross-entropy in place of the KL divergence
    hjb: float = 0.0
    hjb_terminal: float = 0.0
    squared: bool = False
    scheme: str = "rk4"
    n_steps: int = 2
    t_span: tuple[float, float] = (0.0, 1.0)
    wrong: str = ""

    def sign(self, what: str) -> float:
        """1, or -1 where ``what`` is planted wrongly."""
        return -1.0 if what == self.wrong else 1.0


def slopes(game: JaxGame, derivatives: Derivatives, p: Weights, t: Any, state: Any) -> Any:
    """Of (z, log rho, L, F, R)."""
    Z, log_rho = state[:2]
    _, g, g_t, laplacian = derivatives(p, t, Z)
    alpha = game.alpha or 1.0
    L = jnp.sum(g * g, axis=0) / (2.0 * alpha)
    Q = sum((e(Z) for e in game.energies), jnp.zeros(()))
    r = L - game.sign("dPhi/dt") * g_t - game.sign("Q in the residual") * Q
    F = jnp.broadcast_to(Q, L.shape)
    if game.entropy:
        r = r - game.entropy * (log_rho + game.sign("1 in the entropy's derivative"))
        F = F + game.entropy * log_rho
    R = r * r if game.squared else jnp.abs(r)
    return -g / alpha, game.sign("divergence") * laplacian / alpha, L, F, R


def solve(
    game: JaxGame,
    derivatives: Derivatives,
    p: Weights,
    start: Any,
    t_span: tuple[float, float],
    loop: str = "unrolled",
) -> Any:
    """The state at the far end of t_span; ``loop`` "unrolled" or "scan"."""
    A, b, c = jax_models.TABLEAUS[game.scheme]
    h = (t_span[1] - t_span[0]) / game.n_steps

    def moved(state: Any, weights: list[float], k: list[Any]) -> Any:
        used = [(w, k_j) for w, k_j in zip(weights, k, strict=False) if w]
        if not used:
            return state
        return tuple(y + h * sum(w * k_j[n] for w, k_j in used) for n, y in enumerate(state))

    def step(state: Any, n: Any) -> Any:
        k: list[Any] = []
        for a_i, c_i in zip(A, c, strict=True):
            t = t_span[0] + (n + c_i) * h
            k.append(slopes(game, derivatives, p, t, moved(state, a_i, k)))
        return moved(state, b, k)

    if loop == "scan":
        steps = jnp.arange(game.n_steps, dtype=float)
        return lax.scan(lambda y, n: (step(y, n), None), start, steps)[0]
    for n in range(game.n_steps):
        start = step(start, n)
    return start


def terms(
    game: JaxGame,
    derivatives: Derivatives,
    p: Weights,
    x: Any,
    log_rho: Any,
    y: Any = None,
    loop: str = "unrolled",
) -> dict[str, Any]:
    """The weighted terms of (25); x (d, N), log_rho (N,) its log-density, y (d, M)."""
    zero = jnp.zeros_like(log_rho)
    end = solve(game, derivatives, p, (x, log_rho, zero, zero, zero), game.t_span, loop)
    Z, log_rho, L, F, R = end
    found = {
        "L": jnp.mean(L) if game.alpha else 0.0,
        "F": jnp.mean(F),
        "hjb": game.hjb * jnp.mean(R) if game.hjb else 0.0,
        "hjb_terminal": 0.0,
    }
    beta = game.terminal
    if not game.cross or game.hjb_terminal:
        log_target = game.target.log_density(Z)
    if game.cross:
        zero = jnp.zeros(y.shape[1])
        w, q = solve(game, derivatives, p, (y, *[zero] * 4), game.t_span[::-1], loop)[:2]
        found["G"] = beta * jnp.mean(
            game.sign("inverse's divergence") * q - game.initial.log_density(w)
        )
    else:
        found["G"] = beta * jnp.mean(log_rho - log_target)
    if game.hjb_terminal:
        G = -jnp.exp(log_target - log_rho) if game.cross else 1.0 + log_rho - log_target
        r = derivatives(p, game.t_span[1], Z)[0] - game.sign("terminal condition") * beta * G
        found["hjb_terminal"] = game.hjb_terminal * jnp.mean(r * r if game.squared else jnp.abs(r))
    return found


def objective(
    game: JaxGame, derivatives: Derivatives, loop: str = "unrolled"
) -> Callable[..., Any]:
    """(p, x, log_rho, y=None) -> the sum of ``terms``."""

    def value(p: Weights, x: Any, log_rho: Any, y: Any = None) -> Any:
        return sum(terms(game, derivatives, p, x, log_rho, y, loop).values())

    return value


def in_blocks(value: Callable[..., Any], n_blocks: int) -> Callable[..., Any]:
    """Value and gradient of a mean over samples, block by block: a block's arrays stay in cache."""
    both = jax.value_and_grad(value)
    if n_blocks == 1:
        return both

    def call(p: Weights, x: Any, log_rho: Any) -> Any:
        def add(total: Any, block: Any) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, both(p, *block)), None

        d, N = x.shape
        xs = x.reshape(d, n_blocks, -1).transpose(1, 0, 2), log_rho.reshape(n_blocks, -1)
        zero = jax.tree.map(jnp.zeros_like, (jnp.zeros(()), p))
        return jax.tree.map(lambda a: a / n_blocks, lax.scan(add, zero, xs)[0])

    return call
