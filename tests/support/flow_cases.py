"""Flows with random weights and data, each beside the oracle's objective."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import oracle
import pytest
from sweep_oracle import Twin

import refode
from refode import bases, fields, tableaus
from refode.bases import Basis

Array = np.ndarray
T_SPAN = (-0.2, 1.3)  # length 1.5, so that a missing factor of the length shows
FIELDS: dict[str, tuple[Any, oracle.Field]] = {
    "small": (fields.Shallow(2, 3, time=True), oracle.shallow(True)),
    "wide": (fields.Shallow(5, 2), oracle.shallow()),
    "line": (fields.Shallow(1, 3), oracle.shallow()),
    "affine": (fields.Affine(3, time=True), oracle.affine(True)),
    "mlp": (fields.MLP(2, (3, 4), "softplus", time=True), oracle.mlp("softplus", True)),
    "antisymmetric": (
        fields.Antisymmetric(3, gamma=0.4, activation="sine"),
        oracle.antisymmetric(0.4, "sine"),
    ),
    "parabolic": (fields.Parabolic(3, 2, time=True), oracle.parabolic("tanh", True)),
    "hamiltonian": (fields.Hamiltonian(4), oracle.hamiltonian()),
    "leapfrog": (fields.Leapfrog(4, 3, "softplus"), oracle.second_order("softplus")),
}
BASES = (
    bases.Constant(),
    bases.PiecewiseConstant(3),
    bases.PiecewiseLinear(3),
    bases.Legendre(3),
    bases.BSpline(5),
)


@dataclass(frozen=True)
class FlowCase:
    """A flow, random theta and data, and what the oracle makes of them."""

    field: str
    scheme: str = "rk4"
    basis: Basis = field(default_factory=bases.Constant)
    transport: float = 0.3
    tikhonov: float = 0.1
    smoothness: float = 0.2
    n: int = 3
    memory: str = "store"
    trace: str = "exact"

    def __str__(self) -> str:
        group = type(FIELDS[self.field][0].description()).__name__
        return f"{group}-{self.field}-{self.scheme}-{type(self.basis).__name__}-{self.trace}"

    @property
    def flow(self) -> Any:
        ode = refode.NeuralODE(
            FIELDS[self.field][0], self.scheme, 3, T_SPAN, self.basis, self.memory
        )
        return refode.ContinuousNormalizingFlow(
            ode, self.transport, self.tikhonov, self.smoothness, self.trace
        )

    def draw(self) -> tuple[Array, Array, np.random.Generator]:
        """theta (p,), y (N, d), and a generator for what else is needed."""
        name = str(self).split("-", 1)[1]  # no class of ours in the seed
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        flow = self.flow
        return (
            0.6 * rng.standard_normal(flow.n_parameters),
            rng.standard_normal((self.n, flow.dim)),
            rng,
        )

    def ends(self, theta: Array, y: Array) -> tuple[Array, Array, Array]:
        """w (N, d), l and v (N,) by the oracle, integrated from T to t0: v is negative."""
        ode = self.flow.ode
        times = oracle.grid(*T_SPAN[::-1], ode.n_steps)
        twin = Twin(ode, FIELDS[self.field][1])
        rhs = oracle.augmented(twin.field, lambda z, f, t: np.sum(f**2) / 2.0)
        at, table = twin.weights(theta, times), tableaus.get(self.scheme).as_floats()
        rows = [
            oracle.trajectory(rhs, at, np.concatenate([row, [0.0, 0.0]]), times, table)[-1]
            for row in y
        ]
        end = np.array(rows)
        return end[:, :-2], end[:, -2], end[:, -1]

    def objective(self, theta: Array, y: Array) -> Any:
        """Eq. (13) with the right sign, (15), and the regularisers."""
        flow = self.flow
        w, l, v = self.ends(theta, y)  # noqa: E741
        likelihood = sum(
            np.sum(row**2) / 2.0 + flow.dim / 2.0 * np.log(2.0 * np.pi) - log_det
            for row, log_det in zip(w, l, strict=True)
        )
        total = likelihood / len(y) - self.transport * np.sum(v) / len(y)
        named = oracle.unpack(theta, flow.layout.shapes)
        stiffness = flow.ode.basis.stiffness().toarray() / (T_SPAN[1] - T_SPAN[0])
        total = total + self.tikhonov * oracle.tikhonov(theta)
        return total + self.smoothness * oracle.smoothness(named, stiffness)


def cases() -> list[FlowCase]:
    """Each field; one field under each scheme and in each basis; three memories; no penalties."""
    found = [FlowCase(name, basis=BASES[i % 5]) for i, name in enumerate(FIELDS)]
    found += [
        FlowCase("small", scheme, BASES[i % 5])
        for i, scheme in enumerate(tableaus.names("explicit"))
        if scheme != "rk4"
    ]
    found += [FlowCase("small", "heun", basis) for basis in BASES]
    found += [
        FlowCase("small", "midpoint", memory="steps"),
        FlowCase("small", "kutta3", n=1, transport=0.0, tikhonov=0.0, smoothness=0.0),
        FlowCase("wide", "dopri5", BASES[1], transport=0.0, n=2),
    ]
    return list({str(c): c for c in found}.values())


def over(chosen: list[FlowCase]) -> Any:
    """Parametrise a test by `case`."""
    return pytest.mark.parametrize("case", chosen, ids=[str(c) for c in chosen])
