"""``train_msa``: Pontryagin's principle by successive approximations, (D162)-(D164), [LCTW18].

No way to train a network that matters, as L-BFGS on the exact gradient is faster: a way to compare.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from refode import _validate, bases
from refode._blas import one_thread
from refode._quiet import quietly
from refode._scaling import TINY
from refode.fields import Affine
from refode.ode import driver, evaluate
from refode.ode.neural_ode import NeuralODE
from refode.ode.steps import Equal
from refode.problems.supervised import Supervised
from refode.sweeps.dynamics import Plain
from refode.training import records
from refode.training.options import check_callback
from refode.training.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy.optimize import OptimizeResult

Array = np.ndarray


class Layer(NamedTuple):
    """What a layer's Hamiltonian is made of, all (N, d) but t; p and q carry N: p_hat, q_hat."""

    t: float
    z: Array
    p: Array
    v: Array
    q: Array


@quietly()
@one_thread
def train_msa(
    problem: Supervised,
    x: Array,
    y: Array,
    rho: float = 1.0,
    inner: int = 10,
    theta0: Array | None = None,
    seed: int = 0,
    max_iter: int = 60,
    progress: bool = True,
    callback: Callable[[OptimizeResult], Any] | None = None,
    *,
    tolerance: float = 1e-6,
) -> OptimizeResult:
    """Train a residual network by the (extended) method of successive approximations, [LCTW18].

    A sweep goes forward for the states, back for the costates, and then maximises every layer's
    Hamiltonian by itself, (D162). With ``rho = 0`` that is MSA, which diverges easily; with
    ``rho > 0`` departures from the old path are penalised (E-MSA).

    Parameters
    ----------
    problem : Supervised
        With Euler's scheme, equal steps forward in time, ``PiecewiseConstant(n_steps)`` and no
        smoothness. A readout is no layer: it stays as it is in theta0.
    x, y
        As ``problem.value_and_gradient`` takes them.
    rho : float, optional
        Weight of both penalties, at least 0.
    inner : int, optional
        Iterations of L-BFGS a layer and sweep, for fields other than `Affine`, whose layers are
        maximised exactly, (D163).
    theta0 : (p,), optional
        ``problem.initial(seed)`` by default.
    seed, max_iter, progress, callback, tolerance
        As in ``train``; an iteration is a sweep.

    Returns
    -------
    OptimizeResult
        As of ``train``: ``x`` is the best theta, ``history`` has a row a sweep, ``status`` is
        ``CONVERGED``, ``MAX_ITER``, ``STOPPED`` or ``NON_FINITE``. Values may rise.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted.
    """
    problem = _admitted(problem)
    check_callback(callback)
    rho, inner = _validate.nonnegative("rho", rho), _validate.positive_int("inner", inner)
    max_iter = _validate.nonnegative_int("max_iter", max_iter)
    tolerance = _validate.nonnegative("tolerance", tolerance)
    if rho == 0.0 and problem.tikhonov == 0.0 and isinstance(problem.ode.field, Affine):
        raise ValueError("rho: got 0.0 for an affine field without tikhonov, wanted one of both")
    if theta0 is None:
        theta0 = problem.initial(_validate.nonnegative_int("seed", seed))
    theta = np.array(_validate.real_vector("theta0", theta0, problem.n_parameters))
    run = _Sweeps(problem, x, y, rho, inner)
    shown = Progress(_validate.boolean("progress", progress), max_iter)
    shown.open()
    try:
        found = _until_ended(run, theta, max_iter, tolerance, shown, callback)
    finally:
        shown.close()
    shown.say(found.message)
    return found


def _until_ended(
    run: _Sweeps, theta: Array, max_iter: int, tolerance: float, shown: Progress, callback: Any
) -> OptimizeResult:
    from scipy.optimize import OptimizeResult

    rows: list[tuple[Any, ...]] = []
    began, best = time.perf_counter(), (np.inf, theta, np.zeros_like(theta))
    for sweep in range(max_iter + 1):
        value, gradient = run.problem.value_and_gradient(theta, run.x, run.y)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            if not rows:
                raise ValueError("theta0: got a start where the value is not finite, wanted one")
            status, why = (
                records.NON_FINITE,
                "not finite: the sweeps diverge; a larger rho may help",
            )
            break
        if value < best[0]:
            best = value, theta, gradient
        norm = records.norm(gradient)
        rows.append((sweep, value, norm, time.perf_counter() - began, sweep + 1, 0))
        row = dict(zip(records.HISTORY.names or (), rows[-1], strict=True))
        shown.update(row)
        told = row | {"x": theta.copy(), "fun": value, "jac": gradient.copy()}
        largest = float(np.abs(gradient[: run.problem.ode.n_parameters]).max())
        if largest <= tolerance:
            status, why = records.CONVERGED, f"converged: no gradient entry above {largest:.2e}"
            break
        if sweep and callback is not None and callback(OptimizeResult(told)) is True:
            status, why = records.STOPPED, "stopped by the callback"
            break
        if sweep == max_iter:
            status, why = records.MAX_ITER, "max_iter reached"
            break
        theta = run.swept(theta)
    history = np.array(rows, dtype=records.HISTORY)
    nit = int(history["iteration"][-1])
    message = f"{why}, at iteration {nit}"
    return OptimizeResult(
        x=best[1].copy(),
        fun=best[0],
        jac=best[2].copy(),
        nit=nit,
        nfev=len(rows),
        njev=len(rows),
        success=status == records.CONVERGED,
        status=status,
        message=message,
        method="msa" if run.rho == 0.0 else "e-msa",
        history=history,
    )


class _Sweeps:
    """Layers of a problem on given samples."""

    def __init__(self, problem: Supervised, x: Array, y: Array, rho: float, inner: int) -> None:
        self.problem, self.ode, self.x, self.y = problem, problem.ode, x, y
        self.rho, self.inner, self.n = rho, inner, problem.ode.n_steps
        self.h = (self.ode.t_span[1] - self.ode.t_span[0]) / self.n
        self.r = problem.tikhonov / self.h

    def swept(self, theta: Array) -> Array:
        """theta after every layer has maximised its Hamiltonian, (D162)."""
        n_ode = self.ode.n_parameters
        weights = self.ode._coefficients(theta[:n_ode])
        exact = isinstance(self.ode.field, Affine) and not self.ode.field.time
        best = affine_layer if exact else self._by_steps
        layers = self.layers(theta)
        new = np.stack([best(self, layer, w) for layer, w in zip(layers, weights, strict=True)])
        return np.concatenate([new.reshape(-1)[self.ode._order], theta[n_ode:]])

    def layers(self, theta: Array) -> list[Layer]:
        """States and costates of the path of theta, p_N = -N d(loss)/dz_N."""
        field, ode, problem = self.ode.field, self.ode, self.problem
        theta, inputs, targets, by = problem._arguments(theta, self.x, self.y)
        of_ode = theta[: ode.n_parameters]
        weights = ode._coefficients(of_ode)
        path = ode.trajectory(of_ode, problem._padded(inputs))
        p = -len(path[-1]) * _loss_slope(problem, path[-1], problem._cost(theta, targets, by))
        found = []
        for k in reversed(range(self.n)):
            t = float(ode.t_span[0] + k * self.h)
            slope = evaluate.adjoint(field, weights[k], path[k], p, t=t)[1]
            found.append(Layer(t, path[k], p, (path[k + 1] - path[k]) / self.h, -slope))
            p = p + self.h * slope
        return found[::-1]

    def hamiltonian(self, layer: Layer, w: Array) -> tuple[float, Array]:
        """-H of a layer with its penalties, and the gradient by w, (D164)."""
        field, n, rho = self.ode.field, len(layer.z), self.rho
        f = evaluate.value(field, w, layer.z, layer.t)
        value = -float(np.sum(layer.p * f)) / n + 0.5 * self.r * float(w @ w)
        seed, gradient = -layer.p / n, self.r * w
        if rho > 0.0:
            off = layer.v - f
            miss = layer.q + evaluate.adjoint(field, w, layer.z, layer.p, t=layer.t)[1]
            value += 0.5 * rho * float(np.sum(off**2) + np.sum(miss**2)) / n
            seed = seed - rho * off / n
            gradient = gradient + rho / n * _mixed(field, w, layer, miss)
        return value, gradient + evaluate.adjoint(field, w, layer.z, seed, t=layer.t)[0]

    def _by_steps(self, _: Any, layer: Layer, w: Array) -> Array:
        from scipy.optimize import minimize

        def tried(w: Array) -> tuple[float, Array]:
            if not np.isfinite(w).all():  # where steps before it overflowed
                return np.inf, np.zeros_like(w)
            return self.hamiltonian(layer, w)

        found = minimize(
            tried,
            w,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": self.inner, "ftol": 0.0, "gtol": 1e-12},
        )
        return found.x if np.isfinite(found.x).all() else w


def _loss_slope(problem: Supervised, ends: Array, cost: Any) -> Array:
    """Derivative of the mean loss by where the paths end, (N, d): of a step of length nothing."""
    standing = NeuralODE(Affine(problem.ode.dim), "euler", 1)
    plan = standing.plan()
    E = standing.stage_weights(np.zeros(standing.n_parameters), plan)
    sweep, n_cost = standing.sweep(plan, Plain, E.dtype), problem._readout_layout.size
    rows = problem.n_outputs
    return driver.gradient(sweep, E, ends, cost, n_cost, cost_rows=rows, want_x=True).x_bar


def _mixed(field: Any, w: Array, layer: Layer, direction: Array) -> Array:
    """d/dw of p . J(z; w) direction: the complex step through the field's own adjoint, (D164)."""
    size = float(np.abs(direction).max())
    if size == 0.0:
        return np.zeros_like(w)
    moved = layer.z + 1j * (TINY / size) * direction
    bar = evaluate._weights_bar(field, w, moved, layer.p, layer.t)
    return bar.imag * (size / TINY)


def affine_layer(run: _Sweeps, layer: Layer, w: Array) -> Array:
    """The maximiser for f = A z + c: a Sylvester equation, (D163)."""
    from scipy.linalg import solve_sylvester

    n, d = layer.z.shape
    r, rho, weights = run.r, run.rho, run.ode.field.named(w[None])
    A, c = weights["A"][0], weights["c"][0]
    mean, at_c = layer.z.mean(axis=0), layer.p.mean(axis=0) - r * c
    share = rho / (rho + r)
    right = layer.p.T @ layer.z / n - r * A - share * np.outer(at_c, mean)
    spread = layer.z.T @ layer.z / n - share * np.outer(mean, mean)
    by_p = r * np.eye(d) + rho * layer.p.T @ layer.p / n
    E = solve_sylvester(by_p, rho * spread, right)
    e = (at_c - rho * E @ mean) / (rho + r)
    return np.concatenate([(A + E).ravel(), c + e])


def _admitted(problem: Any) -> Supervised:
    problem = _validate.instance("problem", problem, Supervised)
    ode, n = problem.ode, problem.ode.n_steps
    ode._check_fixed_steps("fixed ones", "problem")
    if ode.scheme != "euler" or ode.basis != bases.PiecewiseConstant(n):
        raise ValueError(
            f"problem: got scheme={ode.scheme!r} and {ode.basis!r} with {n} steps, wanted 'euler' "
            "and PiecewiseConstant(n_steps)"
        )
    if not isinstance(ode.steps, Equal) or not ode.t_span[1] > ode.t_span[0]:
        raise ValueError(f"problem: got {ode.steps!r} on {ode.t_span}, wanted equal steps forward")
    if problem.smoothness:
        raise ValueError(
            f"problem: got smoothness={problem.smoothness}, wanted 0: it couples the layers"
        )
    return problem
