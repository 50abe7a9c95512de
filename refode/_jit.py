"""The former place of refode.machine, for files that were written when it was here."""

from refode.machine.compile import JIT, kernel
from refode.machine.counting import hold, take, uncounted
from refode.machine.parts import generic

__all__ = ["JIT", "generic", "hold", "kernel", "take", "uncounted"]
