"""Checks of derivatives and of convergence, for anyone's functions.

They take plain NumPy callables and know nothing of the rest of the package. docs/checks.md
says how each works, and what it can and cannot see.
"""

from refode.verify.directional import complex_step
from refode.verify.dot import DotReport, dot_test
from refode.verify.gap import GapReport, adjoint_gap
from refode.verify.gradient import check_gradient, taylor_test
from refode.verify.order import OrderReport, observed_order
from refode.verify.reports import (
    DirectionReport,
    GradientReport,
    HessianReport,
    TaylorReport,
)

__all__ = [
    "DirectionReport",
    "DotReport",
    "GapReport",
    "GradientReport",
    "HessianReport",
    "OrderReport",
    "TaylorReport",
    "adjoint_gap",
    "check_gradient",
    "complex_step",
    "dot_test",
    "observed_order",
    "taylor_test",
]
