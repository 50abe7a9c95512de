"""Made curves with noise and gaps, fields fitted to them, and the same fits to noise drawn anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp

from refode.fields import Field, Shallow
from refode.ode.neural_ode import NeuralODE
from refode.problems.laplace import Laplace
from refode.problems.observations import Observations
from refode.problems.trajectories import TrajectoryFitting
from refode.reports.figures import trajectories_known
from refode.training import train

Array = np.ndarray

#: Parts of the observed time that are fitted before all of it is.
GROWING = (0.15, 0.3, 0.55, 1.0)
NEAR = 0.02  # standard deviations away from the optimum: there refits end
TIMES = 121  # at which curves and bands are looked at


@dataclass(frozen=True)
class Case:
    """A field that is to be found, and how it is observed.

    Attributes
    ----------
    name : str
    f : callable
        f(z) of the truth, (d,) -> (d,).
    starts : (N, d)
        Its states at 0.
    until, beyond : float
        The last time that is observed, and the last that is predicted.
    n_times : tuple of int
        So many of each curve.
    sigma : (d,)
        Deviations of the noise.
    missing : (d,)
        Parts of the values that are missing, by channel.
    field : callable
        Makes the field that is fitted.
    guess : (n_weights,) or None
        Where its fit starts; the field's own random weights for None.
    true : (n_weights,) or None
        Its parameters in truth, for a field of known form.
    n_steps : int
    tikhonov : float
    """

    name: str
    f: Callable[[Array], Array]
    starts: Array
    until: float
    beyond: float
    n_times: tuple[int, ...]
    sigma: Array
    missing: Array
    field: Callable[[], Field]
    n_steps: int
    guess: Array | None = None
    true: Array | None = None
    tikhonov: float = 0.0

    def truth(self, times: Array) -> Array:
        """States (N, K, d) at times (N, K) or (K,), far more precisely than they are fitted."""
        times = np.broadcast_to(times, (len(self.starts), np.shape(times)[-1]))
        rows = []
        for start, own in zip(self.starts, times, strict=True):
            at = np.nan_to_num(own, nan=self.until)
            span = {"t_eval": np.unique(at), "rtol": 1e-10, "atol": 1e-12, "method": "DOP853"}
            path = solve_ivp(lambda t, z: self.f(z), (0.0, self.beyond), start, **span)
            rows.append(path.y.T[np.searchsorted(path.t, at)])
        return np.stack(rows)


def _soft_spiral(z: Array) -> Array:
    """Turns inwards, slower where it is wide."""
    x, y = z / (1.0 + 0.25 * (z @ z))
    return np.array([2.0 * y - 0.2 * x, -2.0 * x - 0.2 * y])


def _alone(field: Callable[[], Field], true: Array) -> Callable[[Array], Array]:
    """f(z) of one state, from the functions of a field of known form."""
    f = field()._functions.f  # type: ignore[attr-defined]
    return lambda z: f(true, 0.0, z[None])[0]


def cases() -> list[Case]:
    """The spiral by a network, pendulum and predator-prey by fields of their own form."""
    pendulum, lotka_volterra = np.array([4.0, 0.25]), np.array([1.0, 0.4, 0.8, 0.2])
    return [
        Case(
            "spiral",
            _soft_spiral,
            starts=np.array([[2.0, 0.0]]),
            until=6.0,
            beyond=9.0,
            n_times=(60,),
            sigma=np.array([0.05, 0.05]),
            missing=np.array([0.25, 0.25]),
            field=lambda: Shallow(2, 12),
            n_steps=45,
            tikhonov=1e-4,
        ),
        Case(
            "pendulum",
            _alone(trajectories_known.pendulum, pendulum),
            starts=np.array([[2.6, 0.0], [-1.2, 0.5]]),
            until=7.0,
            beyond=12.0,
            n_times=(40, 30),
            sigma=np.array([0.1, 0.3]),
            missing=np.array([0.1, 0.7]),
            field=trajectories_known.pendulum,
            n_steps=36,
            guess=np.array([3.0, 0.1]),
            true=pendulum,
        ),
        Case(
            "Lotka-Volterra",
            _alone(trajectories_known.lotka_volterra, lotka_volterra),
            starts=np.array([[6.0, 1.5]]),
            until=15.0,
            beyond=24.0,
            n_times=(40,),
            sigma=np.array([0.3, 0.2]),
            missing=np.array([0.3, 0.3]),
            field=trajectories_known.lotka_volterra,
            n_steps=36,
            guess=np.array([0.8, 0.3, 0.6, 0.3]),
            true=lotka_volterra,
        ),
    ]


def measured(case: Case, seed: int, shape: Observations | None = None) -> Observations:
    """Curves of a case with noise; with `shape`, of other noise at its times, with its gaps."""
    rng, n = np.random.default_rng(seed), len(case.starts)
    if shape is None:
        times = np.full((n, max(case.n_times)), np.nan)
        for row, k in zip(times, case.n_times, strict=True):
            row[:k] = np.sort(rng.uniform(0.02 * case.until, case.until, k))
        there = rng.uniform(size=(*times.shape, len(case.sigma))) >= case.missing
        there &= ~np.isnan(times)[:, :, None]
    else:
        times, there = shape.times, shape.there
    values = case.truth(times)
    values += case.sigma * rng.standard_normal(values.shape)
    return Observations(times, values, mask=there, weights=1.0 / case.sigma**2)


class Refit(NamedTuple):
    """Another noise's optimum, and its curves at the times of ``Fit``."""

    theta: Array
    curves: Array


@dataclass(frozen=True)
class Fit:
    """What was found for a case.

    Attributes
    ----------
    case : Case
    y : Observations
    problem : TrajectoryFitting
    posterior : Laplace
        At the optimum ``posterior.theta``.
    times : (K,)
    truth, curves, bands : (N, K, m)
        At these times; bands are standard deviations by ``posterior``.
    refits : list of Refit
    """

    case: Case
    y: Observations
    problem: TrajectoryFitting
    posterior: Laplace
    times: Array
    truth: Array
    curves: Array
    bands: Array
    refits: list[Refit]

    @property
    def spread(self) -> Array:
        """Standard deviations (N, K, m) of the refits' curves."""
        return np.std([r.curves for r in self.refits], axis=0, ddof=1)

    @property
    def inside(self) -> Array:
        """Which times are observed ones."""
        return self.times <= self.case.until


def fitted(case: Case, n_refits: int, seed: int = 0) -> Fit:
    """Fit the case, its error bars, and `n_refits` times other noise."""
    y = measured(case, seed)
    ode = NeuralODE(case.field(), "dopri5", case.n_steps, (0.0, case.beyond))
    problem = TrajectoryFitting(
        ode, initial="fitted", n_samples=len(case.starts), tikhonov=case.tikhonov
    )
    theta = optimum(case, problem, y)
    posterior = problem.laplace(theta, None, y, curvature="gauss_newton")
    times = np.linspace(0.0, case.beyond, TIMES)
    curves, covariance = posterior.predictive(None, times)
    bands = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    found = Fit(case, y, problem, posterior, times, case.truth(times), curves, bands, [])
    for k in range(n_refits):
        found.refits.append(refitted(found, seed + 1 + k))
    return found


def optimum(case: Case, problem: TrajectoryFitting, y: Observations) -> Array:
    """theta of the fit: the beginning of the curves first, then ever more of them."""
    theta = problem.initial(seed=0)
    named = problem.unpack(theta)
    named["x0"][...] = _first_seen(y)
    if case.guess is not None:
        theta[: len(case.guess)] = case.guess
    for part in GROWING:
        early = Observations(
            y.times,
            y.values,
            mask=y.there & (y.times <= part * case.until)[:, :, None],
            weights=y.weights,
        )
        theta = train(
            problem, None, early, theta0=theta, max_iter=2000, tolerance=1e-5, progress=False
        ).x
    last: Any = {"method": "gn-cg", "max_iter": 300, "tolerance": 1e-7, "progress": False}
    return train(problem, None, y, theta0=theta, **last).x


def _first_seen(y: Observations) -> Array:
    """The first value of each channel (N, m) that is there."""
    first = y.there.argmax(axis=1)
    return np.take_along_axis(y.values, first[:, None], axis=1)[:, 0]


class Near:
    """The problem near its optimum, in the posterior's deviations: theta = optimum + root u.

    There it is round, and few evaluations find the optimum for other noise. Its prior may have
    another mean. ``train`` takes no more than this of a problem.
    """

    def __init__(self, posterior: Laplace, tau: float, mean: Array) -> None:
        self.problem, self.origin, self.pull = posterior.problem, posterior.theta, tau * mean
        self.root = np.linalg.cholesky(posterior.covariance)
        self.scale = posterior.total / posterior.noise

    def theta(self, u: Array) -> Array:
        return self.origin + self.root @ u

    def value_and_gradient(self, u: Array, x: None, y: Observations) -> tuple[float, Array]:
        """Minus the logarithm of likelihood and prior, but for a constant."""
        theta = self.theta(u)
        value, gradient = self.problem.value_and_gradient(theta, x, y)
        value, gradient = value - float(self.pull @ theta), gradient - self.pull
        return self.scale * value, self.scale * (gradient @ self.root)


def refitted(fit: Fit, seed: int) -> Refit:
    """The optimum for noise drawn anew, and for a prior's mean drawn from the prior.

    With the latter, optima of a linear model are draws from its posterior, not narrower than
    that where the prior says most.
    """
    posterior, tau = fit.posterior, fit.case.tikhonov
    mean = np.zeros_like(posterior.theta)
    if tau:
        deviation = np.sqrt(posterior.noise / (posterior.total * tau))
        mean = deviation * np.random.default_rng([seed, 1]).standard_normal(len(mean))
    near, y = Near(posterior, tau, mean), measured(fit.case, seed, fit.y)
    how: Any = {"max_iter": 300, "tolerance": NEAR, "progress": False}
    theta = near.theta(train(near, None, y, theta0=np.zeros_like(mean), **how).x)
    return Refit(theta, fit.problem.predict(theta, None, fit.times))
