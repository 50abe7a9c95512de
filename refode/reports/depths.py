"""Is a residual network a differential equation? (D161), after [SAP22]."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from refode import _validate, bases
from refode._quiet import quietly
from refode.ode import evaluate
from refode.ode.neural_ode import NeuralODE
from refode.ode.steps import Equal
from refode.problems.contract import WithODE
from refode.problems.predictions import Predicting
from refode.sweeps.runge_kutta import RungeKutta
from refode.verify import OrderReport, observed_order

Array = np.ndarray

FINER = 16  # steps of RK4 a layer by which the equation itself is solved
DEPTHS = (1, 2, 4, 8)  # multiples of the layers at which the gap is measured
SPARSER = (2, 4)  # every so-manieth layer is kept
CLOSE = 0.05  # of the features' size: up to here a network counts as its equation


@dataclass(frozen=True)
class Change:
    """What other layers with the same weights in time do: ``features`` relative to the network's.

    ``predictions`` is the share of labels that change, or the relative change of values; NaN where
    nothing is predicted.
    """

    name: str
    n_layers: int
    features: float
    predictions: float


@dataclass(frozen=True)
class DepthReport:
    """What `depth` found.

    Attributes
    ----------
    n_layers : int
    d1 : float
        max |theta_{n+1} - theta_n| (T - t0)/h: bounded where a network is an equation's.
    roughness : dict of str to ndarray, (n_layers-1,)
        The same by name and layer.
    depths, gaps : ndarray, (K,)
        Largest distance |z_n - z(T)| over samples of networks that read the interpolated weights.
    order : OrderReport
        How the gaps fall.
    size : float
        Largest |z_N|.
    bound : float
        Of the first gap, (D161); NaN for other schemes than Euler's.
    lipschitz, curvature : float
        Largest |df/dz| and |z''| along the paths, from which the bound is made.
    reconstruction : float
        Relative error of the features that undoing the layers leads back to.
    gradient_error : float
        Relative error of a gradient by the states rebuilt so.
    changes : tuple of Change
        Refined, interpolated, pruned.
    verdict : str
    """

    n_layers: int
    d1: float
    roughness: dict[str, Array]
    depths: Array
    gaps: Array
    order: OrderReport
    size: float
    bound: float
    lipschitz: float
    curvature: float
    reconstruction: float
    gradient_error: float
    changes: tuple[Change, ...]
    verdict: str

    def __str__(self) -> str:
        lines = [f"{self.n_layers} layers, D1 = {self.d1:.3g}"]
        for name, values in self.roughness.items():
            lines.append(
                f"  {name:<8} largest {values.max():9.3g}   median {np.median(values):9.3g}"
            )
        lines.append(f"{'layers':>8} {'gap':>10} {'order':>6}")
        for k, n in enumerate(self.depths):
            slope = f"{self.order.slopes[k - 1]:6.2f}" if k else f"{'-':>6}"
            lines.append(f"{int(n):>8} {self.gaps[k]:10.3e} {slope}")
        lines.append(f"bound of the first gap {self.bound:.3g}, features up to {self.size:.3g}")
        undone = f"start {self.reconstruction:.1e} off, gradient {self.gradient_error:.1e}"
        lines.append(f"layers undone: {undone}")
        lines.append(f"{'':14} {'layers':>6} {'features':>10} {'predictions':>12}")
        for c in self.changes:
            predicted = f"{'-':>12}" if np.isnan(c.predictions) else f"{c.predictions:12.2%}"
            lines.append(f"{c.name:<14} {c.n_layers:>6} {c.features:10.2%} {predicted}")
        return "\n".join([*lines, self.verdict])


@quietly()
def depth(problem: WithODE | NeuralODE, theta: Array, x: Array) -> DepthReport:
    """Say whether a network with weights of its own in every layer is a differential equation.

    The weights are read as nodes theta(t_n) of a function that is linear between them. If the
    network is Euler's scheme for z' = f(z, theta(t)), refining it changes little, its gap to the
    exact solution falls as 1/n, and layers may be left out.

    Parameters
    ----------
    problem : Supervised, another problem with an ``ode``, or NeuralODE
        The ode has equal steps and the basis ``PiecewiseConstant(n_steps)``.
    theta : (p,)
    x : (N, d)
        Features as ``problem.predict`` takes them; states where nothing is predicted.

    Returns
    -------
    DepthReport
        Printed, it is a table.

    Raises
    ------
    TypeError, ValueError
        Naming the argument: another basis, grid or scheme; shapes; paths that leave float64.
    """
    ode, weights, states, predict = _read(problem, theta, x)
    net = _Network(ode, weights)
    path = ode.trajectory(net.packed(ode, weights), states)
    exact = net.exact(states)
    if not np.isfinite(_longest(path)):
        raise ValueError(
            f"x: got {_validate.shown(x)}, whose path is longer than float64 can say, wanted "
            "states that are no longer than 1e150"
        )
    ends, fine = path[-1], [net.end(m * net.n, states) for m in DEPTHS]
    gaps = np.array([_longest(z - exact[-1]) for z in fine])
    depths = net.n * np.array(DEPTHS, dtype=float)
    rough = net.roughness()
    d1 = max(float(values.max()) for values in rough.values())
    lipschitz = net.lipschitz(path, exact[::FINER])
    curvature = _longest(np.diff(exact, 2, axis=0)) / (net.h / FINER) ** 2
    start, off = net.undone(path)
    changes = [(f"refined x{m}", m * net.n, z) for m, z in zip(DEPTHS[1:3], fine[1:3], strict=True)]
    changes.append(("interpolated", net.n * FINER, exact[-1]))
    kept = [m for m in SPARSER if net.n % m == 0]
    changes += [(f"pruned /{m}", net.n // m, net.pruned(m, states)) for m in kept]
    return DepthReport(
        net.n,
        d1,
        rough,
        depths,
        gaps,
        observed_order(gaps, 1.0 / depths, floor=1e-14 * (1.0 + _longest(ends))),
        _longest(ends),
        _bound(net, lipschitz, curvature) if ode.scheme == "euler" else np.nan,
        lipschitz,
        curvature,
        _relative(start, states),
        off,
        tuple(_change(*change, ends, predict) for change in changes),
        _verdict(gaps[0], _longest(ends), d1),
    )


class _Network:
    """Layers (n, n_weights) of an ode with a weight set a step."""

    def __init__(self, ode: NeuralODE, weights: Array) -> None:
        self.ode, self.weights, self.n = ode, weights, len(weights)
        self.length = ode.t_span[1] - ode.t_span[0]
        self.h = abs(self.length) / self.n

    def packed(self, ode: NeuralODE, weights: Array) -> Array:
        """theta of an ode of the same field, from its coefficients (J, n_weights)."""
        return np.ascontiguousarray(weights).reshape(-1)[ode._order]

    def end(self, n: int, x: Array) -> Array:
        """z_n of n layers, each with theta(t) at its start."""
        at = np.arange(n) * (self.n / n)
        low = np.minimum(np.floor(at + 1e-9).astype(int), self.n - 1)
        high, share = np.minimum(low + 1, self.n - 1), (at - low)[:, None]
        return self._layers((1.0 - share) * self.weights[low] + share * self.weights[high], x)

    def pruned(self, m: int, x: Array) -> Array:
        """z of every m-th layer alone, with steps m times as long."""
        return self._layers(self.weights[::m], x)

    def _layers(self, weights: Array, x: Array) -> Array:
        n, ode = len(weights), self.ode
        other = NeuralODE(ode.field, ode._named_scheme, n, ode.t_span, bases.PiecewiseConstant(n))
        return other.solve(self.packed(other, weights), x)

    def exact(self, x: Array) -> Array:
        """States (n FINER + 1, N, d) of the equation itself, by RK4."""
        ode, basis = self.ode, bases.PiecewiseLinear(self.n + 1)
        fine = NeuralODE(ode.field, "rk4", self.n * FINER, ode.t_span, basis)
        nodes = np.concatenate([self.weights, self.weights[-1:]])
        return fine.trajectory(self.packed(fine, nodes), x)

    def roughness(self) -> dict[str, Array]:
        jumps = np.abs(np.diff(self.weights, axis=0)) * self.n
        return {
            name: part.reshape(len(jumps), -1).max(axis=1)
            for name, part in self.ode.field.named(jumps).items()
        }

    def lipschitz(self, *paths: Array) -> float:
        """Largest |df/dz| at the layers' starts on the paths: an estimate of f's constant."""
        times = self.ode.t_span[0] + np.arange(self.n) * self.length / self.n
        found = [
            np.linalg.norm(evaluate.jacobian(self.ode.field, w, path[k], float(t)), 2, (1, 2)).max()
            for path in paths
            for k, (w, t) in enumerate(zip(self.weights, times, strict=True))
        ]
        return float(max(found))

    def undone(self, path: Array) -> tuple[Array, float]:
        """The start by undoing layers, z_n = z_{n+1} - h f(z_{n+1}), and the gradient's error.

        The gradient is that of the mean of |z_N|^2/2.
        """
        ode, ends = self.ode, np.linspace(*self.ode.t_span, self.n + 1)
        z, lam, right = path[-1], path[-1] / path.shape[1], path[-1] / path.shape[1]
        found, wanted = np.empty((2, *self.weights.shape))
        for k in reversed(range(self.n)):
            span = float(ends[k]), float(ends[k + 1])
            layer = NeuralODE(ode.field, ode._named_scheme, 1, span)
            theta = self.packed(layer, self.weights[k : k + 1])
            z = layer.solve(theta, z, span[::-1])
            theta_bar, lam = layer.adjoint(theta, z, lam)
            found[k] = _coefficients(layer, theta_bar)
            theta_bar, right = layer.adjoint(theta, path[k], right)
            wanted[k] = _coefficients(layer, theta_bar)
        return z, _relative(found, wanted)


def _coefficients(ode: NeuralODE, theta: Array) -> Array:
    return ode._coefficients(theta)[0]


def _read(problem: Any, theta: Array, x: Array) -> tuple[NeuralODE, Array, Array, Any]:
    """The ode, its layers' weights (n, n_weights), states, and what is predicted of ends."""
    if isinstance(problem, NeuralODE):
        ode: NeuralODE = problem
    else:
        ode = _validate.instance("problem", problem, WithODE).ode
    _of_layers(ode)
    theta = _validate.real_vector("theta", theta, problem.n_parameters)
    of_ode = theta[: ode.n_parameters]
    if isinstance(problem, Predicting):
        states = problem._padded(problem._inputs(x))
        return ode, ode._coefficients(of_ode), states, partial(_predicted, problem, theta)
    return ode, ode._coefficients(of_ode), _validate.samples("x", x, ode.dim), None


def _predicted(problem: Predicting, theta: Array, z: Array) -> tuple[Array, bool]:
    """Labels, or values, and which of both."""
    values = problem._read(theta, z)
    labels = problem._loss.labels
    return (problem._loss.probabilities(values).argmax(axis=1) if labels else values), labels


def _of_layers(ode: Any) -> None:
    ode = _validate.instance("problem", ode, NeuralODE)
    n = ode.steps.n_steps
    ode._check_fixed_steps("fixed ones", "problem")
    if ode.basis != bases.PiecewiseConstant(n) or not isinstance(ode.steps, Equal) or n < 2:
        raise ValueError(
            f"problem: got an ode with {ode.basis!r} and {ode.steps!r}, wanted equal steps, at "
            f"least 2, and PiecewiseConstant(n_steps): weights of its own in every layer"
        )
    if not isinstance(ode._scheme, RungeKutta):
        raise ValueError(f"problem: got scheme={ode.scheme!r}, wanted an explicit Runge-Kutta one")


def _bound(net: _Network, lipschitz: float, curvature: float) -> float:
    """h/2 max|z''| (e^(LT) - 1)/L."""
    length = abs(net.length)
    growth = np.expm1(lipschitz * length) / lipschitz if lipschitz > 0.0 else length
    return float(0.5 * net.h * curvature * growth)


def _change(name: str, n: int, z: Array, ends: Array, predict: Any) -> Change:
    predicted = np.nan
    if predict is not None:
        (new, labels), (old, _) = predict(z), predict(ends)
        predicted = float(np.mean(new != old)) if labels else _relative(new, old)
    return Change(name, n, _relative(z, ends), predicted)


def _verdict(gap: float, size: float, d1: float) -> str:
    share = gap / size if size > 0.0 else np.inf
    if share <= CLOSE:
        return f"an ODE to {share:.1%} of the features' size (D1 = {d1:.3g})"
    return f"no ODE at this depth: {share:.1%} of the features' size apart (D1 = {d1:.3g})"


def _longest(differences: Array) -> float:
    """Largest Euclidean length of the last axis's vectors."""
    return float(np.linalg.norm(differences, axis=-1).max())


def _relative(found: Array, right: Array) -> float:
    return float(np.linalg.norm(found - right) / (np.linalg.norm(right) or 1.0))
