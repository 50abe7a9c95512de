"""The former place of refode.sweeps.dynamics and refode.sweeps.contract."""

from refode.sweeps.contract import slope, slope_adjoint
from refode.sweeps.dynamics import (
    DELTA,
    Flow,
    Hutchinson,
    LogDet,
    Plain,
    extra_rows,
    flow_slope,
    flow_slope_adjoint,
    half_square,
    half_square_adjoint,
    has_trace,
    hutchinson_slope,
    hutchinson_slope_adjoint,
    log_det_slope,
    log_det_slope_adjoint,
    plain_slope,
    plain_slope_adjoint,
)

__all__ = [
    "DELTA",
    "Flow",
    "Hutchinson",
    "LogDet",
    "Plain",
    "extra_rows",
    "flow_slope",
    "flow_slope_adjoint",
    "half_square",
    "half_square_adjoint",
    "has_trace",
    "hutchinson_slope",
    "hutchinson_slope_adjoint",
    "log_det_slope",
    "log_det_slope_adjoint",
    "plain_slope",
    "plain_slope_adjoint",
    "slope",
    "slope_adjoint",
]
