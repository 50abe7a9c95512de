"""Problems (5)-(8) of every loss, and the same objective by the oracle."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import oracle
from sweep_oracle import FUNCTIONS, Twin

import refode
from refode import bases, fields

Array = np.ndarray
T_SPAN = (-0.3, 1.7)
FIELDS = {
    "small": (fields.Shallow(2, 3, time=True), oracle.shallow(True)),
    "wide": (fields.Shallow(5, 2), oracle.shallow()),
    "hamiltonian": (fields.Hamiltonian(4), oracle.hamiltonian()),
    "scalar": (fields.Affine(1), oracle.affine()),
}


def stiffness(basis: Any) -> Array:
    """int_0^1 p_i' p_j' ds by Gauss points on twelve cells; differences for cells."""
    J = basis.n_coefficients
    if isinstance(basis, bases.PiecewiseConstant):
        D = np.diff(np.eye(J), axis=0)
        return J * D.T @ D
    x, w = np.polynomial.legendre.leggauss(4)
    total, p = np.zeros((J, J)), FUNCTIONS[type(basis)]
    for cell in range(12):
        for s, weight in zip((cell + 0.5 + 0.5 * x) / 12, w / 24, strict=True):
            slope = p(s + 1j * oracle.STEP, J).imag / oracle.STEP
            total += weight * np.outer(slope, slope)
    return total


@dataclass(frozen=True)
class SupervisedCase:
    """A problem, random theta and data, and the oracle's objective."""

    field: str
    loss: str
    m: int = 1
    readout: bool = True
    augment: int = 0
    tikhonov: float = 0.0
    smoothness: float = 0.0
    basis: Any = field(default_factory=bases.Constant)
    scheme: str = "heun"
    n: int = 5
    memory: str = "store"

    def __str__(self) -> str:
        group = type(FIELDS[self.field][0].description()).__name__
        parts = [
            group,
            self.loss,
            self.m,
            "W" if self.readout else "noW",
            f"pad{self.augment}",
            type(self.basis).__name__,
        ]
        return "-".join(map(str, parts))

    @property
    def problem(self) -> Any:
        ode = refode.NeuralODE(
            FIELDS[self.field][0], self.scheme, 3, T_SPAN, self.basis, memory=self.memory
        )
        return refode.Supervised(
            ode, self.loss, self.m, self.augment, self.readout, self.tikhonov, self.smoothness
        )

    def draw(self) -> tuple[Array, Array, Array]:
        """theta, x, y."""
        name = "-".join([self.field, *str(self).split("-")[1:]])  # no class of ours in the seed
        rng, problem = np.random.default_rng(zlib.crc32(name.encode())), self.problem
        theta = 0.7 * rng.standard_normal(problem.n_parameters)
        x = rng.standard_normal((self.n, problem.n_inputs))
        m = problem.n_outputs
        if self.loss == "regression":
            return theta, x, rng.standard_normal((self.n, m))
        # no pattern: one of period two would hide a label read from the wrong block
        return theta, x, rng.integers(2 if self.loss == "logistic" else m, size=self.n)

    def outputs(self, theta: Array, x: Array) -> Array:
        """F(x), (N, m), by the oracle."""
        problem = self.problem
        p = problem.ode.n_parameters
        padded = np.array([oracle.pad(row, self.augment) for row in x])
        z = Twin(problem.ode, FIELDS[self.field][1]).states(theta[:p], padded, *T_SPAN)[-1]
        W = b = None
        if self.readout:
            m, d = problem.n_outputs, problem.ode.dim
            W, b = theta[p : p + m * d].reshape(m, d), theta[p + m * d :]
        return np.array([oracle.readout(row, W, b) for row in z])

    def penalty(self, theta: Array) -> Any:
        """Both regularisers."""
        ode = self.problem.ode
        named = oracle.unpack(theta[: ode.n_parameters], ode.layout.shapes)
        rough = oracle.smoothness(named, stiffness(self.basis) / (T_SPAN[1] - T_SPAN[0]))
        return self.tikhonov * oracle.tikhonov(theta) + self.smoothness * rough

    def objective(self, theta: Array, x: Array, y: Array) -> Any:
        """Eq. (8)."""
        return oracle.mean_loss(self.loss, self.outputs(theta, x), y) + self.penalty(theta)


CASES = [
    SupervisedCase("small", "regression", 2, tikhonov=0.3, basis=bases.PiecewiseConstant(3)),
    SupervisedCase(
        "small", "regression", 1, augment=1, smoothness=0.4, basis=bases.BSpline(5), n=3
    ),
    SupervisedCase(
        "small", "regression", readout=False, basis=bases.PiecewiseLinear(3), smoothness=0.2
    ),
    SupervisedCase(
        "small", "logistic", augment=1, tikhonov=0.1, smoothness=0.4, basis=bases.PiecewiseLinear(3)
    ),
    SupervisedCase("small", "softmax", 3, smoothness=0.5, basis=bases.Legendre(3), scheme="rk4"),
    SupervisedCase("small", "softmax", readout=False, tikhonov=0.2, memory="steps"),
    SupervisedCase("wide", "regression", 7, augment=2, tikhonov=0.1),
    SupervisedCase("wide", "logistic", basis=bases.Legendre(2), n=1),
    SupervisedCase(
        "wide", "softmax", 4, augment=3, basis=bases.PiecewiseConstant(3), smoothness=0.3, n=9
    ),
    SupervisedCase("wide", "softmax", 5, readout=False),
    SupervisedCase(
        "hamiltonian",
        "softmax",
        3,
        augment=2,
        scheme="verlet",
        memory="reverse",
        basis=bases.PiecewiseConstant(3),
        tikhonov=0.1,
    ),
]
# one more compilation: as plain Python only
SCALAR = SupervisedCase("scalar", "logistic", readout=False)
