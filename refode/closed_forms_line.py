"""The former place of refode.closed_forms.line."""

from refode.closed_forms.line import (
    GAUSS_POINTS,
    GOLDEN,
    INTEGRAL,
    LOG_HALF,
    MAX_HALVINGS,
    REACH,
    hopf_lax,
    monotone_distance2,
    monotone_map,
)

__all__ = [
    "GAUSS_POINTS",
    "GOLDEN",
    "INTEGRAL",
    "LOG_HALF",
    "MAX_HALVINGS",
    "REACH",
    "hopf_lax",
    "monotone_distance2",
    "monotone_map",
]
