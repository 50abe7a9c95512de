"""Activations of one number on the device: twin of refode/machine/activations.py, real numbers
only."""

from __future__ import annotations

import math

from numba import cuda

from refode.cuda.ops import sigmoid, softplus
from refode.machine.activations import SINE, SOFTPLUS, TANH


@cuda.jit(device=True)
def sigma(code, u):
    """sigma(u)."""
    if code == TANH:
        return math.tanh(u)
    if code == SOFTPLUS:
        return softplus(u)
    if code == SINE:
        return math.sin(u)
    return u


@cuda.jit(device=True)
def slope(code, u, a):
    """sigma'(u), where a = sigma(u)."""
    if code == TANH:
        return 1.0 - a * a
    if code == SOFTPLUS:
        return sigmoid(u)
    if code == SINE:
        return math.cos(u)
    return 1.0


@cuda.jit(device=True)
def curvature(code, a, s):
    """sigma''(u) from a = sigma(u) and s = sigma'(u)."""
    if code == TANH:
        return -2.0 * a * s
    if code == SOFTPLUS:
        return s * (1.0 - s)
    if code == SINE:
        return -1.0 * a
    return 0.0
