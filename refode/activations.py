"""The former place of refode.machine.activations."""

from refode.machine.activations import (
    CODES,
    COMPILED,
    IDENTITY,
    SINE,
    SOFTPLUS,
    TANH,
    activate,
    add_curvature,
    cosine,
    log_cosh,
    sigmoid,
    sine,
    softplus,
    tanh,
    tanh_and_log_cosh_rows,
    tanh_rows,
)

__all__ = [
    "CODES",
    "COMPILED",
    "IDENTITY",
    "SINE",
    "SOFTPLUS",
    "TANH",
    "activate",
    "add_curvature",
    "cosine",
    "log_cosh",
    "sigmoid",
    "sine",
    "softplus",
    "tanh",
    "tanh_and_log_cosh_rows",
    "tanh_rows",
]
