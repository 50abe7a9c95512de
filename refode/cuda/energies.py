"""Running potentials Q(x) of games on the device: twin of the kernels in refode/costs/energies.py.

``energy(Q, Z, out)``
    out[s] += Q(z_s).
``energy_gradient(Q, Z, weight, Z_bar)``
    Z_bar[:, s] += weight[s] grad Q(z_s).

One thread takes a sample whole, so that its sums have a fixed order. Bodies belong to the
classes that a description is made of: sums of sums have bodies of their own.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

from numba import cuda

from refode.costs.energies import BumpSpec, NothingSpec, QuadraticSpec, SumSpec
from refode.cuda.ops import Ops
from refode.cuda.registry import TABLES, register


class EnergyBodies(NamedTuple):
    """An energy on the device."""

    energy: Any
    energy_gradient: Any


def energy_bodies(ops: Ops, description: Any) -> EnergyBodies:
    """Bodies of an energy; ValueError where the device has none."""
    return _made(ops, _structure(description))


def _structure(description: Any) -> Any:
    """The classes that a description is made of: one, or a pair of structures for a sum."""
    kind = type(description)
    if kind is SumSpec:
        return _structure(description.first), _structure(description.second)
    if kind not in TABLES["energy"]:
        raise ValueError(
            f"device: got 'cuda', which has no body for the energy {kind.__name__}, wanted "
            "GaussianBump, Quadratic and their sums, or device='cpu'"
        )
    return kind


@functools.cache
def _made(ops: Ops, structure: Any) -> EnergyBodies:
    if isinstance(structure, tuple):
        return _sum(ops, *(_made(ops, part) for part in structure))
    return TABLES["energy"][structure](ops)


def _nothing(ops: Ops) -> EnergyBodies:
    """Q = 0."""

    @ops.body
    def energy(Q, Z, out):
        """Nothing to add."""

    @ops.body
    def energy_gradient(Q, Z, weight, Z_bar):
        """Nothing to add."""

    return EnergyBodies(energy, energy_gradient)


def _sum(ops: Ops, first: EnergyBodies, second: EnergyBodies) -> EnergyBodies:
    """Two energies."""
    first_energy, first_gradient = first
    second_energy, second_gradient = second

    @ops.body
    def energy(Q, Z, out):
        """One after the other."""
        first_energy(Q.first, Z, out)
        second_energy(Q.second, Z, out)

    @ops.body
    def energy_gradient(Q, Z, weight, Z_bar):
        """One after the other."""
        first_gradient(Q.first, Z, weight, Z_bar)
        second_gradient(Q.second, Z, weight, Z_bar)

    return EnergyBodies(energy, energy_gradient)


@cuda.jit(device=True)
def _bump(peak, mean, precision, Z, s):
    """Q(z_s)."""
    square = 0.0
    for i in range(mean.shape[0]):
        for j in range(mean.shape[0]):
            square += (Z[i, s] - mean[i]) * precision[i, j] * (Z[j, s] - mean[j])
    return peak * math.exp(-0.5 * square)


def _bumps(ops: Ops) -> EnergyBodies:
    """peak exp(-(x - m) . P (x - m)/2) on the leading coordinates."""

    @ops.body
    def energy(Q, Z, out):
        add(out, Q.peak, Q.mean, Q.precision, Z)

    @ops.each
    def add(s, out, peak, mean, precision, Z):
        """[1] q = (x - m) . P (x - m), [2] Q = peak exp(-q/2)."""
        out[s] += _bump(peak, mean, precision, Z, s)

    @ops.body
    def energy_gradient(Q, Z, weight, Z_bar):
        add_gradient(weight, Q.peak, Q.mean, Q.precision, Z, Z_bar)

    @ops.each
    def add_gradient(s, weight, peak, mean, precision, Z, Z_bar):
        """grad Q = -Q P (x - m)."""
        factor = -weight[s] * _bump(peak, mean, precision, Z, s)
        for i in range(mean.shape[0]):
            total = 0.0
            for j in range(mean.shape[0]):
                total += precision[i, j] * (Z[j, s] - mean[j])
            Z_bar[i, s] += factor * total

    return EnergyBodies(energy, energy_gradient)


def _quadratic(ops: Ops) -> EnergyBodies:
    """k/2 |x - q|^2; q has one entry, for all coordinates, or d."""

    @ops.body
    def energy(Q, Z, out):
        add(out, Q.k, Q.q, Z)

    @ops.each
    def add(s, out, k, q, Z):
        """k/2 |x - q|^2."""
        total = 0.0
        for i in range(Z.shape[0]):
            v = Z[i, s] - q[i if q.shape[0] > 1 else 0]
            total += 0.5 * k * v * v
        out[s] += total

    @ops.body
    def energy_gradient(Q, Z, weight, Z_bar):
        add_gradient(weight, Q.k, Q.q, Z, Z_bar)

    @ops.each
    def add_gradient(s, weight, k, q, Z, Z_bar):
        """k (x - q)."""
        for i in range(Z.shape[0]):
            Z_bar[i, s] += weight[s] * k * (Z[i, s] - q[i if q.shape[0] > 1 else 0])

    return EnergyBodies(energy, energy_gradient)


register("energy", NothingSpec)(_nothing)
register("energy", BumpSpec)(_bumps)
register("energy", QuadraticSpec)(_quadratic)
