"""What the checks of flows run on, and the affine flow's truth by the matrix exponential."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import expm

from refode import bases, fields, tableaus
from refode.densities import Gaussian
from refode.fields import Field
from refode.ode.neural_ode import NeuralODE
from refode.problems.normalizing_flow import ContinuousNormalizingFlow
from refode.reports.proofs.gradient_cases import BASES, KINDS, N_SAMPLES, N_STEPS, field_name

Array = np.ndarray

T_SPAN = (-0.2, 1.3)  # length 1.5, so that a missing factor of the length shows
ALPHA = 0.3  # of the transport cost (15)


@dataclass(frozen=True)
class FlowCase:
    """A flow with weights and data; its kind of field is a key of `KINDS`."""

    kind: str
    name: str
    flow: ContinuousNormalizingFlow
    theta: Array
    y: Array


def make(
    kind: str, field: Field, scheme: str, basis: bases.Basis, seed: int, trace: str = "exact"
) -> FlowCase:
    """A case with theta (p,) and y (N, d) drawn from `seed`, alpha > 0 and both regularisers."""
    ode = NeuralODE(field, scheme, N_STEPS, T_SPAN, basis)
    flow = ContinuousNormalizingFlow(ode, ALPHA, tikhonov=0.1, smoothness=0.2, trace=trace)
    rng = np.random.default_rng((seed, 12))
    theta = 0.6 * rng.standard_normal(flow.n_parameters)
    name = f"{field_name(field)}, {scheme}, {basis!r}" + ("" if trace == "exact" else f", {trace}")
    return FlowCase(kind, name, flow, theta, rng.standard_normal((N_SAMPLES, flow.dim)))


def cases(quick: bool) -> list[FlowCase]:
    """Quick: one; full: every kind of field, and the shallow one in every basis.

    Schemes and bases take turns, so that nearly all schemes are met.
    """
    if quick:
        return [make("Shallow", fields.Shallow(3, 5, time=True), "rk4", bases.Legendre(3), 0)]
    pairs = [(kind, turn) for turn, kind in enumerate(KINDS) if kind != "Shallow"]
    pairs += [("Shallow", turn) for turn in range(len(BASES))]
    schemes, chosen = tableaus.names("explicit"), []
    for seed, (kind, turn) in enumerate(pairs):
        field, basis = KINDS[kind][turn % len(KINDS[kind])](), BASES[turn % len(BASES)]()
        chosen.append(make(kind, field, schemes[seed % len(schemes)], basis, seed))
    return chosen


@dataclass(frozen=True)
class AffineFlow:
    """f = A_j z + c_j on three intervals of equal length, so F is affine and the density normal.

    Attributes
    ----------
    theta : (p,)
    y : (N, d)
    """

    theta: Array
    y: Array

    @classmethod
    def drawn(cls, seed: int = 4) -> AffineFlow:
        """Random weights in R^3, and data around the origin."""
        rng = np.random.default_rng(seed)
        p = cls(np.zeros(0), np.zeros((0, 3))).flow("rk4", 3).n_parameters
        return cls(0.5 * rng.standard_normal(p), rng.standard_normal((N_SAMPLES, 3)))

    def flow(self, scheme: str, n_steps: int) -> ContinuousNormalizingFlow:
        """The flow under a scheme; n_steps is a multiple of 3."""
        ode = NeuralODE(fields.Affine(3), scheme, n_steps, T_SPAN, bases.PiecewiseConstant(3))
        return ContinuousNormalizingFlow(ode, ALPHA, tikhonov=0.1)

    @property
    def interval(self) -> float:
        """Length of each of the three."""
        return (T_SPAN[1] - T_SPAN[0]) / 3

    @cached_property
    def generators(self) -> list[Array]:
        """(A_j, c_j; 0, 0), each (d+1, d+1), in order of time."""
        w, matrices = self.flow("rk4", 3).unpack(self.theta), []
        for A, c in zip(w["A"], w["c"], strict=True):
            made = np.zeros((4, 4))
            made[:3, :3], made[:3, 3] = A, c
            matrices.append(made)
        return matrices

    @cached_property
    def density(self) -> Gaussian:
        """F#N(0, I)."""
        F = np.eye(4)
        for G in self.generators:
            F = expm(self.interval * G) @ F
        return Gaussian(F[:3, 3], F[:3, :3] @ F[:3, :3].T)

    @cached_property
    def log_det(self) -> float:
        """log|det grad F^{-1}| = -int tr A dt, the same everywhere."""
        return -self.interval * sum(float(np.trace(G)) for G in self.generators)

    @cached_property
    def transport_cost(self) -> Array:
        """int |f|^2/2 dt (N,) along the path through each datum, by Gauss's rule."""
        nodes, weights = np.polynomial.legendre.leggauss(16)
        z, cost = np.column_stack([self.y, np.ones(len(self.y))]), np.zeros(len(self.y))
        for G in self.generators[::-1]:
            for s, weight in zip(nodes, weights, strict=True):
                before_end = 0.5 * self.interval * (1.0 - s)
                slope = z @ expm(-before_end * G).T @ G.T
                cost += 0.25 * self.interval * weight * np.sum(slope**2, axis=1)
            z = z @ expm(-self.interval * G).T
        return cost

    def objective(self, sign: float = 1.0) -> float:
        """Negative log-likelihood and costs; sign -1 turns that of log|det|, as printed in (13)."""
        likelihood = -self.density.log_density(self.y) + (1.0 - sign) * self.log_det
        penalty = 0.05 * np.sum(self.theta**2)
        return float(likelihood.mean() + ALPHA * self.transport_cost.mean() + penalty)

    def rk4_log_det(self, n_steps: int) -> float:
        """log|det| of RK4's own map, from T to t0: the sum of n/3 log|det R(-h A_j)|, (D45)."""
        h, total = 3 * self.interval / n_steps, 0.0
        for G in self.generators:
            A = -h * G[:3, :3]
            R = np.eye(3) + A @ (np.eye(3) + A / 2 @ (np.eye(3) + A / 3 @ (np.eye(3) + A / 4)))
            total += n_steps / 3 * float(np.linalg.slogdet(R)[1])
        return total
