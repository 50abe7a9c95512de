"""Small instances of every public field, each beside the oracle's formula for it.

`field_classes` finds the classes by itself and `CASES` says how to make instances; a class
without cases is a failure of test_field_contract.py. Names of tests over cases begin with the
field's kernel description, by which conftest.py deals them to workers.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import oracle
import oracle_games
import pytest
from users_field import ShallowFunctions

import refode
from refode.fields.contract import Field

ACTIVATIONS = ("tanh", "softplus", "sine", "identity")
Array = np.ndarray


@dataclass(frozen=True)
class FieldCase:
    """A field, the oracle's twin, how many samples, at what time.

    ``trace_is`` says whether it "varies" with weights and states, is "constant" or "zero"; there
    is "none" of a field with inputs or outputs, whose z is (z, u) for the oracle.
    """

    name: str
    field: Any
    oracle: oracle.Field
    n: int = 3
    t: float = 0.7
    trace_is: str = "varies"

    @property
    def group(self) -> str:
        """Name of the kernel description: what one compilation serves."""
        return type(self.field.description()).__name__

    def rng(self, salt: str = "") -> np.random.Generator:
        """A generator of the case's own."""
        return np.random.default_rng(zlib.crc32(f"{self.group} {self.name} {salt}".encode()))

    def weights(self, salt: str = "") -> Array:
        """One random weight set; no entry is zero, biases included."""
        return np.concatenate([w.ravel() for w in random_weights(self.field, self.rng(salt))])

    def states(self, salt: str = "") -> Array:
        """Random states (n, d), or (z, u) (n, d + q)."""
        columns = self.field.dim + self.field.inputs
        return self.rng("states" + salt).standard_normal((self.n, columns))

    def named(self, weights: Array) -> dict[str, Array]:
        """Weights by name, for the oracle; real or complex."""
        return oracle.unpack(weights, self.field.layout.shapes)

    def value(self, weights: Array, z: Array, t: Any) -> Array:
        """The oracle's f, sample by sample."""
        w = self.named(weights)
        return np.array([self.oracle.value(w, row, t) for row in z])

    def trace(self, weights: Array, z: Array, t: Any) -> Array:
        """The oracle's trace, sample by sample."""
        w = self.named(weights)
        return np.array([self.oracle.trace(w, row, t) for row in z])


def random_weights(field: Any, rng: np.random.Generator) -> Iterator[Array]:
    """Matrices N(0, 1/columns), vectors N(0, 1/2)."""
    for shape in field.layout.shapes.values():
        scale = 1.0 / np.sqrt(shape[1]) if len(shape) == 2 else 0.7
        yield scale * rng.standard_normal(shape)


def field_classes() -> dict[str, type[Field]]:
    """Every public field class, by name."""
    found = {name: getattr(refode.fields, name) for name in refode.fields.__all__}
    return {
        name: cls
        for name, cls in found.items()
        if isinstance(cls, type) and issubclass(cls, Field) and cls is not Field
    }


def _affine() -> Iterator[FieldCase]:
    F = refode.fields.Affine
    yield FieldCase("d1", F(1), oracle.affine(), n=1)
    yield FieldCase("d3", F(3), oracle.affine(), n=5)
    yield FieldCase("d4-time", F(4, time=True), oracle.affine(time=True))
    blocks = F(2, time=True)
    yield FieldCase("d2-time-blocks", blocks, oracle.affine(time=True), n=blocks.block() + 3)


def _shallow() -> Iterator[FieldCase]:
    F = refode.fields.Shallow
    for d in (1, 2, 3, 4):
        yield FieldCase(f"d{d}", F(d, 4), oracle.shallow(), n=9)
        yield FieldCase(f"d{d}-time", F(d, 3, time=True), oracle.shallow(time=True), n=2)
    yield FieldCase("d3-one-unit-one-sample", F(3, 1), oracle.shallow(), n=1)
    yield FieldCase("d5", F(5, 4), oracle.shallow(), n=9)
    yield FieldCase("d6-time", F(6, 3, time=True), oracle.shallow(time=True), n=1)
    for blocks in (F(2, 2, time=True), F(5, 2, time=True)):
        name, n = f"d{blocks.dim}-blocks", blocks.block() + 3
        yield FieldCase(name, blocks, oracle.shallow(time=True), n=n)
    for rows in (F(2, 4, inputs=1), F(3, 2, inputs=3, outputs=3), F(2, 3, outputs=5)):
        name = f"d{rows.dim}-inputs{rows.inputs}-outputs{rows.outputs}"
        yield FieldCase(name, rows, oracle.shallow(), n=9, trace_is="none")
    timed, twin = F(1, 5, True, 2, 4), oracle.shallow(time=True)
    yield FieldCase("inputs-outputs-time", timed, twin, trace_is="none")
    yield FieldCase("fewer-outputs", F(4, 3, True, 1, 1), twin, n=1, trace_is="none")


def _mlp() -> Iterator[FieldCase]:
    F = refode.fields.MLP
    yield FieldCase("no-hidden-layer", F(3, ()), oracle.mlp())
    yield FieldCase("no-hidden-layer-time", F(2, (), time=True), oracle.mlp(time=True))
    yield FieldCase("d1", F(1, (2, 1)), oracle.mlp(), n=1)
    for i, name in enumerate(ACTIVATIONS):
        field = F(2, (3, 4), activation=name, time=i % 2 == 1)
        yield FieldCase(f"two-{name}", field, oracle.mlp(name, time=field.time))
    softplus = oracle.mlp("softplus", True)
    yield FieldCase("one-softplus", F(3, (4,), "softplus", time=True), softplus, n=9)
    yield FieldCase("three-sine", F(3, (2, 5, 3), "sine"), oracle.mlp("sine"))
    yield FieldCase("narrow-wide", F(5, (2, 6, 1, 3), time=True), oracle.mlp(time=True), n=2)
    timed = oracle.mlp("sine", time=True)
    yield FieldCase("inputs", F(2, (3, 4), inputs=2), oracle.mlp(), n=9, trace_is="none")
    more = F(2, (3,), "sine", time=True, inputs=1, outputs=6)
    yield FieldCase("inputs-outputs-time", more, timed, trace_is="none")
    yield FieldCase("outputs", F(4, (2, 3), outputs=1), oracle.mlp(), n=1, trace_is="none")
    none = F(3, (), time=True, inputs=2, outputs=2)
    yield FieldCase("no-hidden-layer-inputs", none, oracle.mlp(time=True), trace_is="none")


def _antisymmetric() -> Iterator[FieldCase]:
    F = refode.fields.Antisymmetric
    yield FieldCase("d1", F(1, gamma=0.4), oracle.antisymmetric(0.4), n=1)
    for i, name in enumerate(ACTIVATIONS):
        field = F(3, gamma=0.3, activation=name, time=i % 2 == 0)
        twin = oracle.antisymmetric(0.3, name, field.time)
        yield FieldCase(name, field, twin, trace_is="constant" if name == "identity" else "varies")
    yield FieldCase("undamped", F(4), oracle.antisymmetric(), n=9, trace_is="zero")


def _parabolic() -> Iterator[FieldCase]:
    F = refode.fields.Parabolic
    yield FieldCase("d1", F(1), oracle.parabolic(), n=1)
    for i, name in enumerate(ACTIVATIONS):
        field = F(3, width=2 + 3 * (i % 2), activation=name, time=i < 2)
        yield FieldCase(name, field, oracle.parabolic(name, field.time))
    yield FieldCase("square", F(4), oracle.parabolic(), n=9)


def _hamiltonian() -> Iterator[FieldCase]:
    F = refode.fields.Hamiltonian
    yield FieldCase("d2", F(2), oracle.hamiltonian(), n=1, trace_is="zero")
    for i, name in enumerate(ACTIVATIONS):
        field = F(6, activation=name, time=i % 2 == 0)
        yield FieldCase(name, field, oracle.hamiltonian(name, field.time), trace_is="zero")
    yield FieldCase("d4", F(4), oracle.hamiltonian(), n=9, trace_is="zero")


def _leapfrog() -> Iterator[FieldCase]:
    F = refode.fields.Leapfrog
    yield FieldCase("d2", F(2), oracle.second_order(), n=1, trace_is="zero")
    for i, name in enumerate(ACTIVATIONS):
        field = F(4, width=1 + 2 * (i % 2), activation=name, time=i < 2)
        yield FieldCase(name, field, oracle.second_order(name, field.time), trace_is="zero")
    yield FieldCase("d6", F(6), oracle.second_order(), n=9, trace_is="zero")


def potential_twin(quadratic: str) -> oracle.Field:
    """The control -grad Phi and its Jacobian, from the oracle's second-order jets."""

    def jet(w: Any, z: Array, t: Any) -> Any:
        return oracle_games.phi_jet(w, np.append(z, t)[None], quadratic)

    def value(w: Any, z: Array, t: Any = 0.0) -> Array:
        return -jet(w, z, t)[1][0, : len(z)]

    def jacobian(w: Any, z: Array, t: Any = 0.0) -> Array:
        return -jet(w, z, t)[2][0, : len(z), : len(z)]

    return oracle.Field(value, jacobian)


def _potential() -> Iterator[FieldCase]:
    F, low, symmetric = refode.fields.Potential, potential_twin("lowrank"), "symmetric"
    full = potential_twin(symmetric)
    yield FieldCase("d1-one-layer", F(1, 3, 1), low, n=1)
    yield FieldCase("d2", F(2, 4), low)
    yield FieldCase("d2-symmetric", F(2, 4, quadratic=symmetric), full, n=9)
    yield FieldCase("d5-more-than-units", F(5, 2, rank=2), low)
    yield FieldCase("d5-symmetric-three-layers", F(5, 2, 3, quadratic=symmetric), full, n=2)
    yield FieldCase("d2-four-layers", F(2, 3, 4, rank=1), low, n=2)
    yield FieldCase("d3-one-unit", F(3, 1, 2), low, n=1)


def _user() -> Iterator[FieldCase]:
    yield FieldCase("d1", ShallowFunctions(1, 3).field(), oracle.shallow(), n=1)
    yield FieldCase("d3", ShallowFunctions(3, 4).field(), oracle.shallow(), n=9)
    timed = ShallowFunctions(2, 3, time=True).field()
    yield FieldCase("d2-timed", timed, oracle.shallow(time=True), n=4)
    yield FieldCase("d2-blocks", timed, oracle.shallow(time=True), n=timed.block() + 3)


FACTORIES: dict[str, Callable[[], Iterator[FieldCase]]] = {
    "Affine": _affine,
    "Shallow": _shallow,
    "MLP": _mlp,
    "Antisymmetric": _antisymmetric,
    "Parabolic": _parabolic,
    "Hamiltonian": _hamiltonian,
    "Leapfrog": _leapfrog,
    "Potential": _potential,
    "User": _user,
}

CASES = [case for factory in FACTORIES.values() for case in factory()]


def over(cases: list[FieldCase]) -> Any:
    """Parametrise a test by `case`."""
    return pytest.mark.parametrize("case", cases, ids=[f"{c.group}-{c.name}" for c in cases])


def close(got: Any, want: Any, rtol: float) -> None:
    """Same shape, and entries equal to rtol times the largest of `want` (exact where that is 0)."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    scale, off = np.abs(want).max(initial=0.0), np.abs(got - want).max(initial=0.0)
    assert off <= rtol * scale, f"off by {off:.2e}, {off / scale if scale else np.inf:.2e} relative"


def same(got: Any, want: Any) -> None:
    """Equal bit for bit, -0.0 and 0.0 told apart."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    assert got.tobytes() == want.tobytes(), f"off by {np.abs(got - want).max():.2e}"
