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
    room,
    samples,
    send,
)

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
