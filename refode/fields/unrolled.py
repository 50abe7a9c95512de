"""The former place of refode.machine.registers."""

from refode.machine.registers import at, disjoint, dot, entries, plus, put, rows_of, zeros

__all__ = [
    "at",
    "disjoint",
    "dot",
    "entries",
    "plus",
    "put",
    "rows_of",
    "zeros",
]
