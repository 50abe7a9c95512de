"""A field of inputs and outputs with rows of zeros, so that it gives as many rows as it reads.

It is what ``refode.evaluate`` runs, whose sweeps put f(y) in the place of y. No twin on the device.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from refode.fields.contract import FIELD, Array, Field, check_trace, rhs, rhs_adjoint
from refode.machine.blocks import fill
from refode.machine.parts import Member, members


class PaddedSpec(NamedTuple):
    """The field within, and how many rows it reads and gives."""

    field: tuple
    n_in: int
    n_out: int


members(PaddedSpec, field=Member(room=FIELD))


class Padded(Field):
    """y' = (f(y), 0), of as many rows as f reads or gives, whichever are more."""

    def __init__(self, field: Field) -> None:
        self.field, self.n_in = field, field.dim + field.inputs
        super().__init__(max(self.n_in, field.outputs), field.layout.shapes, field.time)

    def description(self) -> Any:
        return PaddedSpec(self.field.description(), self.n_in, self.field.outputs)

    def rows(self, trace: bool) -> tuple[int, int]:
        return self.field.rows(trace)

    def block(self) -> int:
        return self.field.block()

    def prepare(self, weights: Array, trace: bool) -> Array:
        check_trace(self.field, trace)
        return self.field.prepare(weights, trace)

    def prepare_adjoint(self, weights: Array, trace: bool, e_bar: Array) -> Array:
        return self.field.prepare_adjoint(weights, trace, e_bar)


@rhs.register(PaddedSpec)
def padded_rhs(field, e, t, Z, F, tr, tape):
    """The field's own rows, and 0."""
    rhs(field.field, e, t, Z[: field.n_in], F[: field.n_out], None, tape)
    fill(F[field.n_out :], 0.0)


@rhs_adjoint.register(PaddedSpec)
def padded_rhs_adjoint(field, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch):
    """The field's own adjoint."""
    n, m = field.n_in, field.n_out
    return rhs_adjoint(field.field, e, t, Z[:n], tape, F_bar[:m], None, Z_bar[:n], e_bar, scratch)
