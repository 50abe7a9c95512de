"""What is kept of a path, as ``NeuralODE`` is told: checked arguments."""

from __future__ import annotations

from typing import Any

from refode import _validate
from refode.ode.plan import SYMPLECTIC
from refode.sweeps.reversible import Reversible
from refode.sweeps.sweep import MEMORY
from refode.sweeps.symplectic import Partitioned


def checked(
    memory: Any, slots: Any, scheme: Any, named: str, on_gpu: bool
) -> tuple[str, int | None]:
    """What memory says, and the slots of "binomial"; ``named`` is the scheme's name."""
    memory = _validate.choice("memory", memory, tuple(MEMORY))
    slots = _slots(memory, slots)
    if memory == "reverse" and not isinstance(scheme, Partitioned | Reversible):
        raise ValueError(
            f"memory: got 'reverse' with scheme {named!r}, wanted 'store' or 'steps' "
            f"(only {', '.join(SYMPLECTIC)} and 'reversible(...)' can be run "
            "backwards exactly)"
        )
    if memory == "binomial" and on_gpu:
        raise ValueError(
            "memory: got 'binomial' with device='cuda', wanted 'store' or 'steps' (the "
            "device's sweeps walk no step twice but the one that goes back)"
        )
    return memory, slots


def _slots(memory: str, slots: Any) -> int | None:
    """A number with memory="binomial", None with any other."""
    if memory == "binomial":
        if slots is None:
            raise ValueError("slots: got None with memory='binomial', wanted a number of states")
        return _validate.positive_int("slots", slots)
    if slots is not None:
        raise ValueError(
            f"slots: got {_validate.short(slots)} with memory={memory!r}, wanted None, or "
            "memory='binomial'"
        )
    return None
