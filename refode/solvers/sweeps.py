"""The former place of refode.sweeps.sweep."""

from refode.sweeps.sweep import (
    MEMORY,
    REVERSE,
    STEPS,
    STORE,
    Grid,
    Sizes,
    forward_chunks,
    gradient_block,
    gradient_chunks,
    load,
    unload,
)

__all__ = [
    "Grid",
    "MEMORY",
    "REVERSE",
    "STEPS",
    "STORE",
    "Sizes",
    "forward_chunks",
    "gradient_block",
    "gradient_chunks",
    "load",
    "unload",
]
