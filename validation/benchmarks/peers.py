"""The same models in other codes, written as somebody who knows each would write them.

A peer computes value and gradient of a workload: the shallow field of eq. (2), equal
steps of the classical RK4, weights constant in time or one set a step, and the mean
logistic loss behind a readout, the mean of |z(T) - y|^2/2, or a flow's objective
(peers_flow.py). Everything is float64.

Peers get their parameters as arrays on their own device, shaped as they like them, and
return gradients in the same form: what passing through flat NumPy vectors would cost
them is not counted against them. refode is called as its users call it.

``agreement`` compares every peer with refode; nothing is timed before that is done.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import refode

Array = np.ndarray
Named = dict[str, Array]
TOLERANCE = 1e-12  # relative to the largest entry of each named gradient


class Workload(NamedTuple):
    """A model and its data's sizes."""

    name: str
    d: int
    k: int
    n_samples: int
    n_steps: int
    loss: str
    piecewise: bool

    @property
    def flops(self) -> float:
        """Of the products alone: 12 d k a stage and sample, for value and gradient."""
        return 12.0 * self.d * self.k * 4 * self.n_steps * self.n_samples

    @property
    def tanhs(self) -> float:
        """Evaluations of tanh: k a stage and sample."""
        return 1.0 * self.k * 4 * self.n_steps * self.n_samples


S1 = Workload("S1", 3, 32, 1000, 10, "logistic", True)
S2 = Workload("S2", 64, 256, 2000, 8, "regression", False)
C1 = Workload("C1", 2, 64, 2048, 8, "flow", False)
C2 = Workload("C2", 43, 128, 2000, 8, "flow", False)
TRANSPORT = 0.1  # alpha of eq. (15) in C1 and C2


def intermediate(d: int) -> Workload:
    """Between S1 and S2: k = 4 d, otherwise as S2."""
    return Workload(f"d={d}", d, 4 * d, 2000, 8, "regression", False)


class PeerCase(NamedTuple):
    """A workload's data and weights: what refode and the peers are given."""

    workload: Workload
    problem: Any
    theta: Array
    weights: Named
    x: Array  # (N, d), padded
    x_unpadded: Array
    y: Array


def case(
    w: Workload, seed: int = 0, scheme: str = "rk4", field: type[Any] = refode.fields.Shallow
) -> PeerCase:
    """Random data and weights of order one; S1's last feature is a zero that was appended."""
    rng = np.random.default_rng(seed)
    logistic = w.loss == "logistic"
    basis = refode.bases.PiecewiseConstant(w.n_steps) if w.piecewise else refode.bases.Constant()
    ode = refode.NeuralODE(field(w.d, w.k), scheme=scheme, n_steps=w.n_steps, basis=basis)
    augment = 1 if logistic else 0
    if w.loss == "flow":
        problem: Any = refode.ContinuousNormalizingFlow(ode, transport=TRANSPORT)
    else:
        problem = refode.Supervised(ode, loss=w.loss, augment=augment, readout=logistic)
    J, d, k = basis.n_coefficients, w.d, w.k
    weights = {
        "W0": rng.standard_normal((J, k, d)) / np.sqrt(d),
        "b0": 0.3 * rng.standard_normal((J, k)),
        "W1": rng.standard_normal((J, d, k)) / np.sqrt(k),
        "b1": 0.1 * rng.standard_normal((J, d)),
    }
    if logistic:
        weights |= {"W": rng.standard_normal((1, d)), "b": np.array([0.1])}
    x = rng.standard_normal((w.n_samples, d))
    x[:, d - augment :] = 0.0
    y = rng.integers(0, 2, w.n_samples) if logistic else rng.standard_normal((w.n_samples, d))
    unpadded = np.ascontiguousarray(x[:, : d - augment])
    return PeerCase(w, problem, problem.pack(weights), weights, x, unpadded, y)


class Peer(NamedTuple):
    """``call`` runs value and gradient to completion; ``read`` makes NumPy arrays of them."""

    name: str
    call: Callable[[], Any]
    read: Callable[[Any], tuple[float, Named]]
    scheme: str = "rk4"


def refode_peer(c: PeerCase, name: str = "refode") -> Peer:
    """refode, as a user calls it."""

    def read(result: Any) -> tuple[float, Named]:
        return result[0], c.problem.unpack(result[1])

    data = (c.x,) if c.workload.loss == "flow" else (c.x_unpadded, c.y)

    def call() -> Any:
        return c.problem.value_and_gradient(c.theta, *data)

    return Peer(name, call, read, c.problem.ode.scheme)


# --- JAX -----------------------------------------------------------------------------------


def have(package: str) -> bool:
    """Whether a package is installed."""
    return importlib.util.find_spec(package) is not None


def _jax_stepper(w: Workload, rows: bool) -> Callable[[Any, Any], Any]:
    """One RK4 step z -> z+; samples in rows (N, d), or in columns (d, N)."""
    import jax.numpy as jnp

    h = 1.0 / w.n_steps

    def f_rows(z: Any, c: Any) -> Any:
        return jnp.tanh(z @ c["W0"].T + c["b0"]) @ c["W1"].T + c["b1"]

    def f_columns(z: Any, c: Any) -> Any:
        return c["W1"] @ jnp.tanh(c["W0"] @ z + c["b0"][:, None]) + c["b1"][:, None]

    f = f_rows if rows else f_columns

    def step(z: Any, c: Any) -> Any:
        k1 = f(z, c)
        k2 = f(z + 0.5 * h * k1, c)
        k3 = f(z + 0.5 * h * k2, c)
        k4 = f(z + h * k3, c)
        return z + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)

    return step


def _jax_loss(w: Workload, rows: bool) -> Callable[[Any, Any, Any], Any]:
    import jax.numpy as jnp

    def logistic(z: Any, p: Any, y: Any) -> Any:
        v = z @ p["W"][0] + p["b"][0] if rows else p["W"][0] @ z + p["b"][0]
        return jnp.mean(jnp.logaddexp(0.0, v) - y * v)

    def regression(z: Any, p: Any, y: Any) -> Any:
        return 0.5 * jnp.sum((z - y) ** 2) / w.n_samples

    return logistic if w.loss == "logistic" else regression


def jax_peer(c: PeerCase, loop: str, rows: bool = True) -> Peer:
    """Jitted value_and_grad; ``loop`` "scan" or "unrolled", samples in rows or in columns."""
    import jax
    from jax import lax

    jax.config.update("jax_enable_x64", True)
    w = c.workload
    step, loss = _jax_stepper(w, rows), _jax_loss(w, rows)

    def solve(z: Any, p: Any) -> Any:
        sets = {name: p[name] for name in ("W0", "b0", "W1", "b1")}
        first = {name: a[0] for name, a in sets.items()}
        if loop == "unrolled":
            for n in range(w.n_steps):
                z = step(z, {k: a[n] for k, a in sets.items()} if w.piecewise else first)
            return z
        if w.piecewise:
            return lax.scan(lambda z, c: (step(z, c), None), z, sets)[0]
        return lax.scan(lambda z, _: (step(z, first), None), z, None, length=w.n_steps)[0]

    gradient = jax.jit(jax.value_and_grad(lambda p, x, y: loss(solve(x, p), p, y)))
    name = f"jax.jit {loop}" if rows else f"jax.jit {loop}, z as (d, N)"
    return _jax_call(c, name, gradient, rows)


def _jax_call(c: PeerCase, name: str, gradient: Callable[..., Any], rows: bool = True) -> Peer:
    import jax
    import jax.numpy as jnp

    x, y = (c.x, c.y) if rows else (c.x.T, c.y.T)
    y = y.astype(float)
    p, x, y = jax.device_put(({k: jnp.asarray(a) for k, a in c.weights.items()}, x, y))

    def read(result: Any) -> tuple[float, Named]:
        return float(result[0]), {k: np.asarray(a) for k, a in result[1].items()}

    return Peer(name, lambda: jax.block_until_ready(gradient(p, x, y)), read)


def diffrax_peer(c: PeerCase) -> Peer:
    """diffrax's equal steps of a classical RK4, recursive checkpointing (its default)."""
    import diffrax
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    class RK4(diffrax.AbstractERK):
        """Not among diffrax's own. Time counts steps here, and step n's weights are those of
        cell floor(t) = n; the last stage stands just before the step's end, in its cell."""

        tableau = diffrax.ButcherTableau(
            c=np.array([0.5, 0.5, 1.0 - 1e-6]),
            b_sol=np.array([1.0, 2.0, 2.0, 1.0]) / 6.0,
            b_error=np.zeros(4),
            a_lower=(np.array([0.5]), np.array([0.0, 0.5]), np.array([0.0, 0.0, 1.0])),
        )
        interpolation_cls = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

        def order(self, terms: Any) -> int:
            return 4

    w = c.workload
    h, loss = 1.0 / w.n_steps, _jax_loss(w, rows=True)

    def f(t: Any, z: Any, p: Any) -> Any:
        n = jnp.floor(t).astype(int) if w.piecewise else 0
        return jnp.tanh(z @ p["W0"][n].T + p["b0"][n]) @ p["W1"][n].T + p["b1"][n]

    def value(p: Any, x: Any, y: Any) -> Any:
        scaled = p | {"W1": h * p["W1"], "b1": h * p["b1"]}
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(f),
            RK4(),
            0.0,
            float(w.n_steps),
            1.0,
            x,
            scaled,
            adjoint=diffrax.RecursiveCheckpointAdjoint(),
            max_steps=w.n_steps + 1,
        )
        return loss(solution.ys[-1], p, y)

    return _jax_call(c, "diffrax", jax.jit(jax.value_and_grad(value)))


# --- all of them ---------------------------------------------------------------------------


def peers(c: PeerCase) -> tuple[list[Peer], list[str]]:
    """Every peer that is installed, and a line for each that is not."""
    if c.workload.loss == "flow":
        from validation.benchmarks import peers_flow

        return peers_flow.peers(c)
    found, missing = [], []
    if have("jax"):
        for rows in (True, False):
            found += [jax_peer(c, loop, rows) for loop in ("scan", "unrolled")]
    else:
        missing.append("jax is not installed: no jax.jit")
    if have("diffrax"):
        found.append(diffrax_peer(c))
    else:
        missing.append("diffrax is not installed")
    if have("torch"):
        from validation.benchmarks import peers_torch

        found.append(peers_torch.eager_peer(c))
        if have("torchdiffeq"):
            found.append(peers_torch.torchdiffeq_peer(c))
        else:
            missing.append("torchdiffeq is not installed")
    else:
        missing.append("torch is not installed: no torch eager, no torchdiffeq")
    return found, missing


def disagreement(a: tuple[float, Named], b: tuple[float, Named]) -> float:
    """Largest relative difference of values and of each named gradient (in its largest entry)."""
    errors = [abs(a[0] - b[0]) / abs(b[0])]
    if a[1].keys() != b[1].keys():
        raise ValueError(f"gradients: got names {sorted(a[1])}, wanted {sorted(b[1])}")
    for name, reference in b[1].items():
        errors.append(np.abs(a[1][name] - reference).max() / np.abs(reference).max())
    return float(np.max(errors))  # a NaN stays


def agreement(c: PeerCase, found: list[Peer]) -> dict[str, float]:
    """Disagreement of each peer with refode on the same scheme; AssertionError above TOLERANCE."""
    truth, errors = {}, {}
    for peer in found:
        if peer.scheme not in truth:
            mine = refode_peer(c if peer.scheme == "rk4" else case(c.workload, scheme=peer.scheme))
            truth[peer.scheme] = mine.read(mine.call())
        errors[peer.name] = error = disagreement(peer.read(peer.call()), truth[peer.scheme])
        assert error <= TOLERANCE, f"{c.workload.name}: {peer.name} differs by {error:.2e}"
    return errors
