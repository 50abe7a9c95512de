"""The former place of refode.machine.compile, refode.machine.rooms and refode.machine.counting."""

from refode.machine.compile import JIT, kernel
from refode.machine.counting import hold, take, uncounted
from refode.machine.rooms import generic

__all__ = [
    "JIT",
    "generic",
    "hold",
    "kernel",
    "take",
    "uncounted",
]
