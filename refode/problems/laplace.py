"""Laplace's approximation: the posterior of theta as a Gaussian around the optimum, (D143)-(D146).

The objective is phi = (1/M) sum of losses + regularisers, and (M/sigma^2) phi is minus the
logarithm of likelihood times prior: the posterior's covariance is (sigma^2/M) H^{-1}.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np

from refode import _validate
from refode._blas import one_thread
from refode._fixed import Fixed, read_only
from refode._quiet import quietly
from refode.problems.curvature import KINDS, Definite, dense, jacobian

__all__ = ["Laplace"]

Array = np.ndarray

#: As many standard deviations away from the optimum theta may be without a word.
AWAY = 0.1


class Observed(NamedTuple):
    """What the posterior asks of a problem and its data at theta.

    Attributes
    ----------
    total : float
        M: the objective is 1/M times the sum of all losses, plus regularisers.
    scalars : int
        Real numbers observed with Gaussian noise; 0 where losses are -log p themselves.
    squares : float
        Sum of w r^2 over them, in the loss's units.
    log_weights, log_units : float
        Sums of log w, and of log(observed number's unit / loss's unit), over them.
    noise : float or None
        The variance of what has weight 1, where the weights say it.
    improper : str
        Why the prior has no normaliser, if it has none.
    """

    total: float
    scalars: int = 0
    squares: float = 0.0
    log_weights: float = 0.0
    log_units: float = 0.0
    noise: float | None = None
    improper: str = ""


class Laplace(Fixed):
    """The posterior N(theta, covariance) that ``problem.laplace`` gives. Attributes are set once.

    Attributes
    ----------
    problem : Problem
    theta : (p,)
        Its mean, and mode.
    covariance : (p, p)
        (noise/M) H^{-1}, (D143).
    curvature : str
        What H is: "hessian" or "gauss_newton", regularisers included.
    noise : float
        The variance sigma^2 of the observations in the loss's units: as given, or estimated
        by (D144); 1 for losses that are -log p.
    total : float
        M, samples or the sum of their weights.
    p_eff : float
        Number of parameters that the data determine, (D144): p without regularisers. Directions
        in which the data's own curvature is negative count for nothing.
    least_eigenvalue : float
        Of H.
    away : float
        How many standard deviations the optimum is away from theta, by the gradient there.
    """

    @quietly()
    def __init__(
        self,
        problem: Any,
        theta: Array,
        H: Definite,
        curvature: str,
        about: Observed,
        noise: float | None,
        at: tuple[float, Array],
    ) -> None:
        value, gradient = at
        inverse, prior = H.inverse(), problem._regulariser.matrix(len(theta))
        self.problem, self.curvature, self.total = problem, curvature, about.total
        self.theta, self.least_eigenvalue = read_only(np.array(theta)), H.least
        self.p_eff = determined(H, prior)
        self.noise = _noise(noise, about, self.p_eff)
        scale = self.noise / self.total
        self.covariance = read_only(scale * inverse)
        self._root = read_only(math.sqrt(scale) * H.inverse_factor.T)  # C = root root^T
        self.away = math.sqrt(float(gradient @ inverse @ gradient) / scale)
        self._evidence = _evidence(value, self.noise, about, _log_determinant(prior), H)

    def std(self, name: str) -> Array:
        """Standard deviations of the array of this name, in ``unpack``'s shape."""
        blocks = self.problem.unpack(np.sqrt(np.diagonal(self.covariance)))
        return np.array(blocks[_validate.choice("name", name, blocks)])

    @property
    def log_evidence(self) -> float:
        """Logarithm of the data's density, parameters integrated out, (D145).

        Raises
        ------
        ValueError
            Where the prior has no normaliser: without tikhonov, or with transport cost.
        """
        if isinstance(self._evidence, str):
            raise ValueError(self._evidence)
        return self._evidence

    @quietly()
    @one_thread
    def predictive(self, x: Any, *more: Any) -> tuple[Array, Array]:
        """Mean (N, m) and covariance (N, m, m) of F(x), without observation noise, (D146).

        F is linearised in theta: the mean is what ``predict`` (of a flow, ``generate``) says.
        Both are in the data's units; of classifiers they are those of the outputs before any
        probability. It costs p forward sweeps.

        Parameters
        ----------
        x, *more
            What the problem's ``predict`` (``generate``) takes after theta.
        """
        outputs = self.problem._predictor(x, *more)
        mean = outputs(self.theta)
        _validate.affordable("x", x, 3 * 8 * mean.size * len(self.theta))
        spread = jacobian(outputs, self.theta) @ self._root
        return mean, spread @ np.swapaxes(spread, -1, -2)

    @one_thread
    def sample(self, n: int, seed: int = 0) -> Array:
        """n draws (n, p) of theta; the same for the same seed."""
        n = _validate.positive_int("n", n)
        _validate.affordable("n", n, 3 * 8 * n * len(self.theta))
        rng = np.random.default_rng(_validate.nonnegative_int("seed", seed))
        return self.theta + rng.standard_normal((n, len(self.theta))) @ self._root.T

    def __repr__(self) -> str:
        return (
            f"Laplace({self.problem!r}, curvature={self.curvature!r}, noise={self.noise:.6g}, "
            f"p_eff={self.p_eff:.6g}, least_eigenvalue={self.least_eigenvalue:.6g})"
        )


def laplace(
    problem: Any, theta: Array, data: tuple[Any, ...], named: Any, noise: Any, curvature: str
) -> Laplace:
    """``problem.laplace``; theta has been checked. Its caller's caller is the user."""
    posterior, largest = _posterior(problem, theta, data, named, noise, curvature)
    if posterior.away > AWAY:
        warnings.warn(
            f"theta: got one that is {posterior.away:.3g} standard deviations away from the "
            f"optimum (the gradient's largest entry is {largest:.3g}), and the posterior is one "
            "around it; train on, to a smaller tolerance",
            RuntimeWarning,
            stacklevel=3,
        )
    return posterior


@quietly()
@one_thread
def _posterior(
    problem: Any, theta: Array, data: tuple[Any, ...], named: Any, noise: Any, curvature: str
) -> tuple[Laplace, float]:
    """It and the gradient's largest entry."""
    about = problem._observed(theta, *data, **named)
    noise = _checked_noise(noise, about, problem.kind)
    curvature = _validate.choice("curvature", curvature, KINDS)
    H = Definite(dense(problem, curvature, theta, data, named), curvature)
    at = problem.value_and_gradient(theta, *data, **named)
    return Laplace(problem, theta, H, curvature, about, noise, at), float(np.abs(at[1]).max())


def _checked_noise(noise: Any, about: Observed, kind: str) -> float | None:
    if noise is None:
        return about.noise if about.scalars else 1.0
    noise = _validate.positive("noise", noise)
    if not about.scalars and noise != 1.0:
        raise ValueError(
            f"noise: got {noise} for a {kind} whose losses are minus the logarithm of a "
            "probability, wanted None or 1"
        )
    return noise


def _noise(given: float | None, about: Observed, p_eff: float) -> float:
    """As given, or what is left of the residuals by degrees of freedom, (D144)."""
    if given is not None:
        return given
    free = about.scalars - p_eff
    if not (free > 0.0 and about.squares > 0.0):
        raise ValueError(
            f"noise: got None with {about.scalars} observed numbers for {p_eff:.3g} parameters "
            f"that they determine, whose residuals' squares sum to {about.squares:.3g}: nothing "
            "to estimate it from; wanted a variance > 0"
        )
    return about.squares / free


def determined(H: Definite, prior: Array) -> float:
    """Number of parameters that the data determine, (D144): directions by which part they do."""
    parts = 1.0 - np.linalg.eigvalsh(H.inverse_factor @ prior @ H.inverse_factor.T)
    return float(np.maximum(parts, 0.0).sum())


def _log_determinant(prior: Array) -> float | None:
    """None where the matrix is singular."""
    eigenvalues = np.linalg.eigvalsh(prior)
    if eigenvalues[0] <= len(prior) * np.finfo(np.float64).eps * eigenvalues[-1]:
        return None
    return float(np.log(eigenvalues).sum())


def _evidence(
    value: float, noise: float, about: Observed, prior: float | None, H: Definite
) -> float | str:
    """(D145), or why there is none."""
    if about.improper or prior is None:
        why = about.improper or "tikhonov=0.0, whose prior has no normaliser"
        return f"log_evidence: got {why}, wanted a prior that is a density"
    gaussian = 0.5 * (about.scalars * math.log(2.0 * math.pi * noise) - about.log_weights)
    volumes = 0.5 * (prior - H.log_determinant)
    return -about.total * value / noise - gaussian - about.log_units + volumes
