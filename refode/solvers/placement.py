"""The former place of refode.ode.placement."""

from refode.ode.placement import (
    CPU,
    DEVICES,
    DTYPES,
    Placement,
    Resident,
    TooLarge,
    hosted,
    moved,
    register,
    resident,
    samples,
    send,
)
from refode.ode.placement import gpu_module as room

__all__ = [
    "CPU",
    "DEVICES",
    "DTYPES",
    "Placement",
    "Resident",
    "TooLarge",
    "hosted",
    "moved",
    "register",
    "resident",
    "room",
    "samples",
    "send",
]
